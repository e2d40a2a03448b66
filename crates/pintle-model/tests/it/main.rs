//! Models as files and text as tokens, through the public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod artefact;
mod corpus;
mod encode;
mod evaluate;
mod full_disk;
mod handbook;
mod pairs;
mod pipeline;
mod serve;
mod tokenise;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use pintle_model::{
    ModelConfig,
    artefact::{Card, Model, Precision, save},
    tokenise::{Tokeniser, TokeniserRecipe},
};

/// Text with words, numbers and letters beyond ASCII; syllables make words enough for a vocabulary.
fn corpus() -> Vec<String> {
    let syllables = ["ta", "lo", "mer", "in", "sch", "ou", "pri", "kel", "ven", "da", "gor"];
    let word = |number: usize| {
        [number, number / 7, number / 3].map(|index| syllables[index % syllables.len()]).concat()
    };
    (0..300)
        .map(|number| {
            format!(
                "The allowance of class {} is {}.{:02} euros for {} in {}. Employees who've travelled to {} write a \
                 report; naïve Straße 日本. ",
                number % 7,
                number * 13 % 997,
                number % 60,
                word(number),
                word(number * 5 + 1),
                word(number * 11 + 2),
            )
        })
        .collect()
}

fn trained(vocab_size: usize) -> Tokeniser {
    let texts = corpus();
    let recipe = TokeniserRecipe { vocab_size, ..TokeniserRecipe::default() };
    Tokeniser::train(texts.iter().map(String::as_str), recipe).unwrap()
}

static TOKENISER: LazyLock<Arc<Tokeniser>> = LazyLock::new(|| Arc::new(trained(600)));

fn shape(vocab_size: usize, is_tied: bool) -> ModelConfig {
    serde_json::from_value(serde_json::json!({
        "vocab_size": vocab_size, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": is_tied,
    }))
    .unwrap()
}

fn model(is_tied: bool) -> Model {
    let tokeniser = Arc::clone(&TOKENISER);
    Model::untrained(shape(tokeniser.vocab_size() + 3, is_tied), tokeniser, 1).unwrap()
}

/// A saved model in a folder of its own.
fn saved(place: &Path) -> PathBuf {
    let folder = place.join("model");
    save(&model(false), &folder, &Card::default(), Precision::F32).unwrap();
    folder
}
