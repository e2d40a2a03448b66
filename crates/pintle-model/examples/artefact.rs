//! Writes small models with what this engine makes of them, and reads models that others wrote, so that
//! `tests/models/check_artefact.py` can compare both with the reference implementation, and `check_lm_eval.py` what
//! Pintle serves with what this engine computes.
//!
//! `artefact make FOLDER TEXT`: models in all forms, `expected.json` beside them.
//! `artefact read MODEL TASK OUT`: the logits of prompts and the texts of conversations, by a model's own files.
//! `artefact score MODEL LISTS OUT`: of lists of tokens, each token's log-probability after those before it.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use pintle_model::{
    ModelConfig,
    artefact::{Card, GgufPrecision, Model, Precision, export_gguf, load, save},
    tokenise::{ChatTurn, Tokeniser, TokeniserRecipe},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is asked of a model.
#[derive(Serialize, Deserialize)]
struct Task {
    /// Texts to encode, decode and, where they are short enough, compute.
    texts: Vec<String>,
    /// Conversations to render and encode.
    chats: Vec<Vec<ChatTurn>>,
    /// Whether logits are asked for.
    logits: bool,
}

fn main() -> Outcome<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let arguments: Vec<&Path> = arguments.iter().map(PathBuf::as_path).collect();
    match arguments.as_slice() {
        [mode, folder, text, task] if *mode == Path::new("make") => make(folder, text, task),
        [mode, model, task, out] if *mode == Path::new("read") => {
            let task: Task = serde_json::from_str(&fs::read_to_string(task)?)?;
            fs::write(out, answer(&load(model)?, &task)?.to_string())?;
            Ok(())
        }
        [mode, model, lists, out] if *mode == Path::new("score") => {
            let lists: Vec<Vec<u32>> = serde_json::from_str(&fs::read_to_string(lists)?)?;
            let model = load(model)?;
            let scores: Vec<Vec<f64>> = lists.iter().map(|list| score(&model, list)).collect::<Outcome<_>>()?;
            fs::write(out, serde_json::to_string(&scores)?)?;
            Ok(())
        }
        _ => Err("use: artefact make FOLDER TEXT TASK | artefact read MODEL TASK OUT | artefact score MODEL LISTS OUT"
            .into()),
    }
}

fn make(folder: &Path, text: &Path, task: &Path) -> Outcome<()> {
    fs::create_dir_all(folder)?;
    let text = fs::read_to_string(text)?;
    let task: Task = serde_json::from_str(&fs::read_to_string(task)?)?;
    let recipe = TokeniserRecipe { vocab_size: 2048, ..TokeniserRecipe::default() };
    let tokeniser = Arc::new(Tokeniser::train(text.lines(), recipe)?);
    for (name, is_tied, heads, shared, head_dim) in
        [("grouped", false, 6, 2, None), ("tied", true, 4, 4, None), ("wide", false, 4, 1, Some(32))]
    {
        let config = ModelConfig {
            // More than the tokeniser has, as padded vocabularies do.
            vocab_size: tokeniser.vocab_size().next_multiple_of(64) + 64,
            hidden_size: 96,
            intermediate_size: 160,
            num_hidden_layers: 3,
            num_attention_heads: heads,
            num_key_value_heads: Some(shared),
            head_dim,
            max_position_embeddings: 256,
            rms_norm_eps: 1e-5,
            rope_theta: 50_000.0,
            tie_word_embeddings: is_tied,
            rope_scaling: None,
            attention_bias: false,
            mlp_bias: false,
            hidden_act: None,
        };
        let mut model = Model::untrained(config, Arc::clone(&tokeniser), 7)?;
        roughen(&mut model);
        let card = Card {
            front: vec![("license".into(), json!("other")), ("tags".into(), json!(["a: b", "--- c"]))],
            text: "# A model\n\nIt has learnt nothing.".into(),
        };
        save(&model, &folder.join(name), &card, Precision::F32)?;
        save(&model, &folder.join(format!("{name}-bf16")), &card, Precision::Bf16)?;
        export_gguf(&model, &folder.join(format!("{name}.gguf")), GgufPrecision::F32)?;
        export_gguf(&model, &folder.join(format!("{name}-f16.gguf")), GgufPrecision::F16)?;
        fs::write(folder.join(format!("{name}.json")), answer(&model, &task)?.to_string())?;
        let rounded = load(&folder.join(format!("{name}-bf16")))?;
        fs::write(folder.join(format!("{name}-bf16.json")), answer(&rounded, &task)?.to_string())?;
    }
    Ok(())
}

/// Weights as they begin give nearly the same logits everywhere, whatever is wrong: larger ones, and norms that
/// differ from value to value, tell places and heads apart.
fn roughen(model: &mut Model) {
    let mut weights = model.weights.to_vec();
    for tensor in &model.layout().tensors {
        let is_matrix = tensor.is_matrix();
        for (index, weight) in
            weights.get_mut(tensor.range.clone()).unwrap_or_default().iter_mut().enumerate()
        {
            *weight = if is_matrix { *weight * 8.0 } else { 1.0 + 0.4 * (index as f32).sin() };
        }
    }
    model.weights = Arc::new(weights);
}

/// The log-probability of each token but the first, in double precision from the logits.
fn score(model: &Model, tokens: &[u32]) -> Outcome<Vec<f64>> {
    let logits = model.logits(tokens)?;
    let rows = logits.chunks_exact(model.config.vocab_size).zip(tokens.iter().skip(1));
    let score = |(row, token): (&[f32], &u32)| {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|logit| f64::from(logit - highest).exp()).sum();
        let own = row.get(*token as usize).ok_or("a token outside of the vocabulary")?;
        Ok(f64::from(own - highest) - sum.ln())
    };
    rows.map(score).collect()
}

fn answer(model: &Model, task: &Task) -> Outcome<Value> {
    let tokeniser = &model.tokeniser;
    let mut texts = Vec::new();
    for text in &task.texts {
        let tokens = tokeniser.encode(text)?;
        let prompt = tokeniser.encode_prompt(text)?;
        let is_computed = task.logits && !prompt.is_empty() && prompt.len() <= 128;
        let logits = is_computed.then(|| model.logits(&prompt)).transpose()?;
        texts.push(json!({
            "text": text,
            "tokens": tokens,
            "decoded": tokeniser.decode(&tokens),
            "prompt": prompt,
            "logits": logits,
        }));
    }
    let mut chats = Vec::new();
    for turns in &task.chats {
        let dialogue = tokeniser.encode_dialogue(turns);
        chats.push(json!({
            "turns": turns,
            "rendered": tokeniser.render_chat(turns, false)?,
            "prompt": tokeniser.render_chat(turns, true)?,
            "tokens": tokeniser.encode_chat(turns, false)?,
            "prompt_tokens": tokeniser.encode_chat(turns, true)?,
            "dialogue": dialogue.as_ref().ok().map(|dialogue| &dialogue.tokens),
            "is_answer": dialogue.as_ref().ok().map(|dialogue| &dialogue.is_answer),
        }));
    }
    Ok(json!({
        "texts": texts,
        "chats": chats,
        "vocab_size": model.config.vocab_size,
        "eos": model.generation.eos,
    }))
}
