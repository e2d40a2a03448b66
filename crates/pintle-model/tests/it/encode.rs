//! Embeddings: a small random encoder that `tests/models/tiny_encoder.py` wrote, with what the reference implementation
//! makes of some texts; folders that ask for something else; and the encoder as its callers meet it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use pintle_core::DataClass;
use pintle_llm::LocalModel;
use pintle_model::{
    encode::{EncoderModel, is_encoder},
    serve::{EncoderSettings, ServedEncoder},
};
use serde_json::{Value, json};

use crate::serve::{pieces, refused, whole};

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny-encoder")
}

fn expected() -> Vec<(String, Vec<u32>, Vec<f32>)> {
    let rows: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(tiny().join("expected.json")).unwrap()).unwrap();
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    rows.iter()
        .map(|row| {
            let tokens = serde_json::from_value(row["tokens"].clone()).unwrap();
            (row["text"].as_str().unwrap().to_owned(), tokens, read(&row["embedding"]))
        })
        .collect()
}

fn assert_close(left: &[f32], right: &[f32]) {
    assert_eq!(left.len(), right.len());
    let worst = left.iter().zip(right).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-5, "{worst}");
}

/// The files of the encoder in a folder of their own, to be broken.
fn copy(place: &Path) -> PathBuf {
    let folder = place.join("encoder");
    fs::create_dir_all(folder.join("1_Pooling")).unwrap();
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ] {
        fs::copy(tiny().join(name), folder.join(name)).unwrap();
    }
    folder
}

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn error(folder: &Path) -> String {
    EncoderModel::load(folder).unwrap_err().to_string()
}

#[test]
fn embeddings_are_those_of_the_reference() {
    let model = EncoderModel::load(&tiny()).unwrap();
    assert_eq!((model.dimensions(), model.tokens_max()), (12, 46));
    assert!(is_encoder(&tiny()).unwrap());
    let rows = expected();
    let mut texts = Vec::new();
    for (text, tokens, _) in &rows {
        assert_eq!(model.tokeniser().encode_prompt(text).unwrap(), *tokens, "{text}");
        texts.push(tokens.clone());
    }
    // Alone, together, and by more threads than there is work.
    for ((_, tokens, embedding), together) in rows.iter().zip(model.encode(&texts, 7).unwrap()) {
        assert_close(&together, embedding);
        assert_close(&model.encode(std::slice::from_ref(tokens), 1).unwrap()[0], embedding);
    }
    assert!(rows[0].2.iter().zip(&rows[1].2).any(|(a, b)| (a - b).abs() > 0.01));
}

#[test]
fn company_and_threads_change_nothing() {
    let model = EncoderModel::load(&tiny()).unwrap();
    let texts: Vec<Vec<u32>> =
        (0..200_u32).map(|i| (0..1 + i * 7 % 46).map(|j| (i * 13 + j * 5) % 59).collect()).collect();
    let alone: Vec<Vec<f32>> =
        texts.iter().map(|text| model.encode(std::slice::from_ref(text), 1).unwrap().remove(0)).collect();
    for threads in [1, 2, 5] {
        for (together, alone) in model.encode(&texts, threads).unwrap().iter().zip(&alone) {
            assert_close(together, alone);
        }
    }
    assert!(model.encode(&[], 2).unwrap().is_empty());
    for wrong in [vec![], vec![1; 47], vec![2, 60_000, 3]] {
        assert!(model.encode(&[vec![2, 3], wrong], 2).is_err());
    }
}

#[test]
fn pooling_and_normalisation_are_those_of_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let folder = copy(place.path());
    let tokens = vec![vec![2, 20, 30, 3]];
    let length = |embedding: &[f32]| embedding.iter().map(|v| v * v).sum::<f32>().sqrt();
    let mean = EncoderModel::load(&folder).unwrap().encode(&tokens, 1).unwrap().remove(0);
    assert!((length(&mean) - 1.0).abs() < 1e-5);
    // The newer word for it, and without the last module.
    fs::write(folder.join("1_Pooling/config.json"), json!({"pooling_mode": "mean"}).to_string()).unwrap();
    edit(&folder.join("modules.json"), |modules| drop(modules.as_array_mut().unwrap().pop()));
    let plain = EncoderModel::load(&folder).unwrap().encode(&tokens, 1).unwrap().remove(0);
    assert!((length(&plain) - 1.0).abs() > 0.1);
    let scaled: Vec<f32> = plain.iter().map(|value| value / length(&plain)).collect();
    assert_close(&scaled, &mean);
    // Without modules it is the mean as well.
    fs::remove_file(folder.join("modules.json")).unwrap();
    assert_close(&EncoderModel::load(&folder).unwrap().encode(&tokens, 1).unwrap()[0], &plain);
}

#[test]
fn a_folder_that_asks_for_something_else_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    for (file, pointer, value, said) in [
        ("config.json", "/architectures", json!(["RobertaModel"]), "RobertaModel"),
        ("config.json", "/hidden_act", json!("gelu_new"), "gelu_new"),
        ("config.json", "/position_embedding_type", json!("relative_key"), "relative_key"),
        ("config.json", "/is_decoder", json!(true), "writes"),
        ("config.json", "/quantization_config", json!({"quant_method": "awq"}), "awq"),
        ("config.json", "/hidden_size", json!(13), "num_attention_heads"),
        ("config.json", "/hidden_size", json!(15), "shape"),
        ("config.json", "/vocab_size", json!(20), "another model's"),
        ("config.json", "/vocab_size", json!(1000), "shape"),
        ("config.json", "/num_hidden_layers", json!(3), "encoder.layer.2"),
        ("config.json", "/num_hidden_layers", json!(1), "of another network"),
        ("config.json", "/layer_norm_eps", json!(0), "layer_norm_eps"),
        ("config.json", "/max_position_embeddings", json!(0), "max_position_embeddings"),
        ("config.json", "/intermediate_size", json!("big"), "config.json"),
        ("modules.json", "/2/type", json!("sentence_transformers.models.Dense"), "Dense"),
        ("modules.json", "/0/type", json!("sentence_transformers.models.CLIPModel"), "modules"),
        ("modules.json", "/1/path", json!("../1_Pooling"), "folder beside it"),
        ("modules.json", "/1/path", json!("2_Pooling"), "2_Pooling"),
        ("1_Pooling/config.json", "/pooling_mode_max_tokens", json!(true), "max_tokens"),
        ("1_Pooling/config.json", "/pooling_mode_mean_tokens", json!(false), "no way of pooling"),
        ("sentence_bert_config.json", "/max_seq_length", json!(0), "max_seq_length"),
        ("sentence_bert_config.json", "/max_seq_length", json!(-5), "sentence_bert_config.json"),
    ] {
        let folder = copy(place.path());
        edit(&folder.join(file), |document| {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = document.pointer_mut(parent).unwrap();
            match key.parse::<usize>() {
                Ok(index) => parent[index] = value.clone(),
                Err(_) => parent[key] = value.clone(),
            }
        });
        let message = error(&folder);
        assert!(message.contains(said), "{file} {pointer} {value}: {message}");
    }
    let folder = copy(place.path());
    edit(&folder.join("config.json"), |config| {
        for field in ["hidden_size", "intermediate_size", "vocab_size"] {
            config[field] = json!(1_048_576);
        }
        config["num_attention_heads"] = json!(1);
    });
    assert!(error(&folder).contains("4,000,000,000"), "{}", error(&folder));
    for missing in ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"] {
        let folder = copy(place.path());
        fs::remove_file(folder.join(missing)).unwrap();
        assert!(error(&folder).contains(missing));
    }
}

fn served() -> Arc<ServedEncoder> {
    let settings = EncoderSettings { threads: 2, ..EncoderSettings::default() };
    ServedEncoder::open(&tiny(), "tiny", DataClass::Internal, settings).unwrap()
}

fn embeddings(answer: &Value) -> Vec<Vec<f32>> {
    let data = answer["data"].as_array().unwrap();
    data.iter()
        .enumerate()
        .map(|(index, entry)| {
            assert_eq!((&entry["object"], &entry["index"]), (&json!("embedding"), &json!(index)));
            serde_json::from_value(entry["embedding"].clone()).unwrap()
        })
        .collect()
}

#[test]
fn embeddings_are_served_in_openais_form() {
    let model = served();
    let rows = expected();
    let ask = |fields: Value| whole(model.embeddings(&fields));
    let one = ask(json!({ "model": "any", "input": rows[0].0, "user": "mara" }));
    assert_eq!((&one["object"], &one["model"]), (&json!("list"), &json!("tiny")));
    assert_eq!(one["usage"], json!({ "prompt_tokens": rows[0].1.len(), "total_tokens": rows[0].1.len() }));
    assert_close(&embeddings(&one)[0], &rows[0].2);

    let texts: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
    let many = ask(json!({ "input": texts, "encoding_format": "float", "dimensions": 12 }));
    let tokens: Vec<&Vec<u32>> = rows.iter().map(|row| &row.1).collect();
    let total: usize = tokens.iter().map(|tokens| tokens.len()).sum();
    assert_eq!(many["usage"]["total_tokens"], json!(total));
    for (got, row) in embeddings(&many).iter().zip(&rows) {
        assert_close(got, &row.2);
    }
    // Tokens stand for the text that they are of.
    assert_eq!(ask(json!({ "input": tokens }))["usage"], many["usage"]);
    assert_eq!(embeddings(&ask(json!({ "input": tokens[1] }))).len(), 1);
    assert_close(&embeddings(&ask(json!({ "input": tokens })))[1], &rows[1].2);

    let coded = ask(json!({ "input": texts[0], "encoding_format": "base64" }));
    let text = coded["data"][0]["embedding"].as_str().unwrap();
    assert_eq!(text.len(), 64);
    assert_eq!(decode_base64(text), embeddings(&one)[0]);
}

fn decode_base64(text: &str) -> Vec<f32> {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = text
        .chars()
        .flat_map(|letter| {
            let value = letters.find(letter).unwrap();
            (0..6).rev().map(move |bit| u8::from(value >> bit & 1 == 1))
        })
        .collect();
    let bytes: Vec<u8> = bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    bytes.chunks(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect()
}

#[test]
fn what_cannot_be_embedded_is_refused_by_field() {
    let model = served();
    let long = "pays ".repeat(45);
    let (huge, many) = ("a".repeat(6000), vec!["a".repeat(5000); 250]);
    for (fields, status, code, param) in [
        (json!({}), 400, "missing_field", json!("input")),
        (json!({ "input": null }), 400, "missing_field", json!("input")),
        (json!({ "input": "" }), 400, "invalid_field", json!("input")),
        (json!({ "input": [] }), 400, "invalid_field", json!("input")),
        (json!({ "input": ["a", " "] }), 400, "invalid_field", json!("input[1]")),
        (json!({ "input": [[]] }), 400, "invalid_field", json!("input")),
        (json!({ "input": ["a", 5] }), 400, "invalid_field", json!("input")),
        (json!({ "input": [2, 60_000] }), 400, "invalid_field", json!("input")),
        (json!({ "input": vec!["a"; 2049] }), 400, "invalid_field", json!("input")),
        (json!({ "input": long }), 400, "context_length_exceeded", json!("input")),
        (json!({ "input": ["a", long] }), 400, "context_length_exceeded", json!("input[1]")),
        (json!({ "input": vec![2; 47] }), 400, "context_length_exceeded", json!("input")),
        (json!({ "input": huge }), 400, "context_length_exceeded", json!("input")),
        (json!({ "input": many }), 400, "context_length_exceeded", json!("input")),
        (json!({ "input": "a", "dimensions": 6 }), 400, "unsupported", json!("dimensions")),
        (json!({ "input": "a", "dimensions": "12" }), 400, "invalid_field", json!("dimensions")),
        (json!({ "input": "a", "encoding_format": "int8" }), 400, "invalid_field", json!("encoding_format")),
        (json!({ "input": "a", "truncate": true }), 400, "unsupported", json!("truncate")),
    ] {
        assert_eq!(refused(model.embeddings(&fields)), (status, code.to_owned(), param));
    }
    // What it is not made for says so.
    let chat = json!({ "messages": [{ "role": "user", "content": "Hi" }] });
    let chat = pintle_llm::ChatRequest::parse(
        json!({ "model": "a", "messages": chat["messages"] }).to_string().as_bytes(),
    );
    assert_eq!(refused(model.chat(&chat.unwrap())).1, "unsupported_by_model");
    assert_eq!(refused(model.completions(&json!({ "prompt": "Hi" }))).1, "unsupported_by_model");
}

#[test]
fn many_callers_get_their_own() {
    let model = served();
    let rows = expected();
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let (model, rows) = (&model, &rows);
            scope.spawn(move || {
                for turn in 0..10 {
                    let row = &rows[(caller + turn) % rows.len()];
                    if turn % 3 == 2 {
                        // Given up before it is computed.
                        drop(model.embeddings(&json!({ "input": vec![row.0.as_str(); 300] })));
                    }
                    let count = 1 + caller * turn % 5;
                    let answer = whole(model.embeddings(&json!({ "input": vec![row.0.as_str(); count] })));
                    let got = embeddings(&answer);
                    assert_eq!(got.len(), count);
                    got.iter().for_each(|got| assert_close(got, &row.2));
                }
            });
        }
    });
    // An answer that was begun comes to its end after the model is gone.
    let mut answer = model.embeddings(&json!({ "input": vec!["a"; 500] }));
    drop(model);
    assert!(pieces(&mut answer).unwrap().starts_with(b"{\"object\":\"list\""));
}

#[test]
fn what_is_not_a_number_breaks_its_own_request_only() {
    let place = tempfile::tempdir().unwrap();
    let folder = copy(place.path());
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let start = header["embeddings.word_embeddings.weight"]["data_offsets"][0].as_u64().unwrap();
    let row = 8 + length + usize::try_from(start).unwrap() + 20 * 12 * 4;
    for value in bytes[row..row + 12 * 4].chunks_exact_mut(4) {
        value.copy_from_slice(&f32::MAX.to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    let model = EncoderModel::load(&folder).unwrap();
    assert!(matches!(model.encode(&[vec![2, 20, 3]], 1), Err(pintle_model::ModelError::NotANumber)));
    let served =
        ServedEncoder::open(&folder, "tiny", DataClass::Internal, EncoderSettings::default()).unwrap();
    for _ in 0..5 {
        let mut broken = served.embeddings(&json!({ "input": [2, 20, 3] }));
        let healthy = served.embeddings(&json!({ "input": [2, 30, 3] }));
        assert!(pieces(&mut broken).is_err());
        assert_eq!(embeddings(&whole(healthy)).len(), 1);
    }
}

#[test]
fn an_encoders_tokeniser_has_its_routes() {
    let model = served();
    let (text, tokens, _) = &expected()[0];
    let answer = whole(model.tokenize(&json!({ "prompt": text })));
    assert_eq!((&answer["tokens"], &answer["max_model_len"]), (&json!(tokens), &json!(46)));
    // Where a text spells control tokens, those around it are there all the same, each once.
    for spelled in [format!("{text} [MASK]"), format!("[CLS] {text} [MASK]"), format!("{text} [MASK][SEP]")] {
        let answer = whole(model.tokenize(&json!({ "prompt": spelled })));
        let mut expected = tokens.clone();
        expected.insert(tokens.len() - 1, 4);
        assert_eq!(answer["tokens"], json!(expected), "{spelled}");
    }
    let back = whole(model.detokenize(&json!({ "tokens": tokens })));
    assert!(back["prompt"].as_str().unwrap().starts_with("[CLS]"), "{back}");
    assert_eq!(model.text_of(tokens).unwrap().lines().next(), Some("who pays the allowance?"));
    assert_eq!(model.text_of(&[2, 60_000]), None);
    let info = whole(model.tokenizer_info());
    assert_eq!((&info["cls_token"], &info["model_max_length"]), (&json!("[CLS]"), &json!(46)));
    let refused = refused(model.tokenize(&json!({ "messages": [{ "role": "user", "content": "a" }] })));
    assert_eq!((refused.0, refused.2), (400, json!("messages")));
}
