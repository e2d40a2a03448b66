//! Tokenisers: trained the same each time, nothing lost, and nobody writes a control token but the template.

use std::{fs, sync::Arc};

use pintle_model::tokenise::{CHAT_TEMPLATE, ChatTurn, Role, StreamDecoder, Tokeniser, TokeniserRecipe};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{TOKENISER, saved, trained};

fn turn(role: Role, content: &str) -> ChatTurn {
    ChatTurn { role, content: content.into() }
}

#[test]
fn training_twice_gives_the_same_file() {
    let (first, second) = (trained(600), trained(600));
    assert_eq!(first.json(), second.json());
    assert_eq!(first.vocab_size(), 600);
    assert_eq!((first.bos(), first.eos(), first.pad()), (Some(0), Some(1), Some(0)));
}

#[test]
fn numbers_are_digits() {
    let tokens = TOKENISER.encode("12 4507.5").unwrap();
    let pieces: Vec<_> = tokens.iter().map(|id| TOKENISER.decode(&[*id])).collect();
    assert_eq!(pieces, ["1", "2", " ", "4", "5", "0", "7", ".", "5"]);
}

#[test]
fn a_vocabulary_pays() {
    let per_token = TOKENISER.bytes_per_token(&crate::corpus().join("\n")).unwrap().unwrap();
    assert!(per_token > 3.0, "{per_token}");
    assert_eq!(TOKENISER.bytes_per_token("").unwrap(), None);
}

#[test]
fn too_small_or_empty_is_refused() {
    let train = |vocab_size, text: &str| {
        let recipe = TokeniserRecipe { vocab_size, ..TokeniserRecipe::default() };
        Tokeniser::train([text].into_iter(), recipe).map(|tokeniser| tokeniser.vocab_size())
    };
    assert!(train(100, "text").unwrap_err().to_string().contains("between 261 and 65536"));
    assert!(train(600, "").unwrap_err().to_string().contains("no text"));
    // A corpus of one word cannot fill the vocabulary.
    assert!(train(600, "word word word").unwrap() < 270);
}

#[test]
fn long_texts_are_cut_without_a_trace() {
    let text = crate::corpus().concat().repeat(12);
    assert!(text.len() > 300_000);
    let whole = tokenizers::Tokenizer::from_bytes(TOKENISER.json()).unwrap();
    let expected = whole.encode(text.as_str(), false).unwrap();
    assert_eq!(TOKENISER.encode(&text).unwrap(), expected.get_ids());
}

#[test]
fn a_conversation_is_written_as_the_template_says() {
    let turns = [turn(Role::System, "Be short."), turn(Role::User, " Hi \n"), turn(Role::Assistant, "Yes.")];
    assert_eq!(
        TOKENISER.render_chat(&turns, true).unwrap(),
        "<|system|>Be short.<|end|><|user|> Hi \n<|end|><|assistant|>Yes.<|end|><|assistant|>"
    );
    let dialogue = TOKENISER.encode_dialogue(&turns).unwrap();
    assert_eq!(dialogue.tokens, TOKENISER.encode_chat(&turns, false).unwrap());
    let answer: Vec<u32> =
        dialogue.tokens.iter().zip(&dialogue.is_answer).filter(|(_, is)| **is).map(|(id, _)| *id).collect();
    assert_eq!(TOKENISER.decode_all(&answer), "Yes.<|end|>");
    // What is learnt continues exactly what is asked.
    let prompt = TOKENISER.encode_chat(&turns[..2], true).unwrap();
    assert!(dialogue.tokens.starts_with(&prompt));
    assert!(dialogue.is_answer[..prompt.len()].iter().all(|is| !is));
}

#[test]
fn the_stored_template_is_the_served_one() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let settings: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("tokenizer_config.json")).unwrap()).unwrap();
    assert_eq!(settings["chat_template"], CHAT_TEMPLATE);
    assert_eq!(settings["model_max_length"], 64);
    let loaded = Tokeniser::load(&folder).unwrap();
    assert_eq!(loaded.chat_template(), Some(CHAT_TEMPLATE));
    assert_eq!(loaded.json(), TOKENISER.json());
}

#[test]
fn a_foreign_folder_brings_its_template_in_either_file() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let turns = [turn(Role::User, "x")];
    let rendered =
        || Tokeniser::load(&folder).unwrap().render_chat(&turns, true).map_err(|error| error.to_string());
    let settings = |template: Value| {
        let settings = json!({"bos_token": {"content": "<|endoftext|>"}, "chat_template": template});
        fs::write(folder.join("tokenizer_config.json"), settings.to_string()).unwrap();
    };
    settings(json!("A{{ bos_token }}"));
    assert_eq!(rendered().unwrap(), "A<|endoftext|>");
    settings(json!([{"name": "rag", "template": "B"}, {"name": "default", "template": "C"}]));
    assert_eq!(rendered().unwrap(), "C");
    fs::write(folder.join("chat_template.jinja"), "D\n").unwrap();
    assert_eq!(rendered().unwrap(), "D");
    fs::remove_file(folder.join("chat_template.jinja")).unwrap();
    settings(Value::Null);
    assert!(rendered().unwrap_err().contains("has none"));
    settings(json!("{{ raise_exception('only for tools') }}"));
    assert!(rendered().unwrap_err().contains("only for tools"));
    settings(json!("{% broken"));
    assert!(Tokeniser::load(&folder).is_err());
}

#[test]
fn texts_side_by_side_make_no_control_token() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}<|assistant|>";
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    let tokeniser = Tokeniser::load(&folder).unwrap();
    let turns = [turn(Role::User, "a<|e"), turn(Role::User, "nd|>b<|end|>")];
    let tokens = tokeniser.encode_chat(&turns, false).unwrap();
    assert_eq!(tokens.iter().filter(|id| tokeniser.is_control(**id)).count(), 1);
    assert_eq!(tokeniser.decode(&tokens), "a<|end|>b<|end|>");
}

#[test]
fn a_template_that_rewrites_history_is_not_learnt_from() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let template =
        "{% for m in messages %}<|user|>{{ m.content if loop.last else 'gone' }}<|end|>{% endfor %}";
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
    let tokeniser = Tokeniser::load(&folder).unwrap();
    let turns = [
        turn(Role::User, "q"),
        turn(Role::Assistant, "a"),
        turn(Role::User, "q"),
        turn(Role::Assistant, "a"),
    ];
    assert!(tokeniser.encode_dialogue(&turns).unwrap_err().to_string().contains("rewrites"));
}

#[test]
fn debug_and_errors_tell_no_prompt() {
    assert!(!format!("{:?}", turn(Role::User, "secret")).contains("secret"));
}

fn awkward() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("<|end|>".to_owned()),
        Just("<|assistant|>".to_owned()),
        Just("<|".to_owned()),
        Just("end|>".to_owned()),
        Just("\u{10F000}\u{10F001}".to_owned()),
        Just("<|endoftext|>".to_owned()),
        any::<String>(),
        "[a-z0-9 <>|\n]{0,12}",
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn nothing_is_lost(text in awkward()) {
        let tokens = TOKENISER.encode(&text).unwrap();
        prop_assert_eq!(&TOKENISER.decode(&tokens), &text);
        prop_assert!(tokens.iter().all(|id| !TOKENISER.is_control(*id)));
        let mut stream = StreamDecoder::new(Arc::clone(&TOKENISER));
        let mut given: String = tokens.iter().map(|id| stream.push(*id)).collect();
        given.push_str(&stream.finish());
        prop_assert_eq!(given, text);
        let bytes: Vec<u8> = tokens.iter().flat_map(|id| TOKENISER.token_bytes(*id).unwrap()).collect();
        prop_assert_eq!(String::from_utf8(bytes).unwrap(), TOKENISER.decode(&tokens));
    }

    #[test]
    fn any_tokens_stream_as_they_decode(tokens in prop::collection::vec(0_u32..610, 0..40)) {
        let mut stream = StreamDecoder::new(Arc::clone(&TOKENISER));
        let mut given: String = tokens.iter().map(|id| stream.push(*id)).collect();
        given.push_str(&stream.finish());
        prop_assert_eq!(given, TOKENISER.decode(&tokens));
    }

    /// Two control tokens a turn, in the template's order, whatever is said; and what was said comes back.
    #[test]
    fn only_the_template_writes_control_tokens(texts in prop::collection::vec(awkward(), 1..5)) {
        let roles = [Role::User, Role::Assistant];
        let turns: Vec<_> =
            texts.iter().enumerate().map(|(index, text)| turn(roles[index % 2], text)).collect();
        let tokens = TOKENISER.encode_chat(&turns, false).unwrap();
        let controls: Vec<u32> = tokens.iter().copied().filter(|id| TOKENISER.is_control(*id)).collect();
        let expected: Vec<u32> = turns
            .iter()
            .flat_map(|turn| {
                let role = TOKENISER.control_token(&format!("<|{}|>", turn.role.as_str())).unwrap();
                [role, TOKENISER.eos().unwrap()]
            })
            .collect();
        prop_assert_eq!(controls, expected);
        let said: Vec<String> = tokens
            .split(|id| TOKENISER.is_control(*id))
            .skip(1)
            .step_by(2)
            .map(|part| TOKENISER.decode(part))
            .collect();
        prop_assert_eq!(said, texts);
        prop_assert_eq!(TOKENISER.encode_dialogue(&turns).unwrap().tokens, tokens);
    }
}
