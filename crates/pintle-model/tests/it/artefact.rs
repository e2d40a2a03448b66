//! Models as folders: what was saved is what is loaded, and no file, however broken, gives more than an error.

use std::{fs, path::Path, sync::Arc};

use pintle_model::{
    ModelError,
    artefact::{Card, Generation, GgufPrecision, Model, Precision, export_gguf, load, save},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{TOKENISER, model, saved, shape, trained};

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn error(folder: &Path) -> String {
    load(folder).unwrap_err().to_string()
}

#[test]
fn what_was_saved_is_loaded() {
    let place = tempfile::tempdir().unwrap();
    for is_tied in [false, true] {
        let model = model(is_tied);
        let folder = place.path().join(format!("tied-{is_tied}"));
        save(&model, &folder, &Card::default(), Precision::F32).unwrap();
        let loaded = load(&folder).unwrap();
        assert_eq!(loaded.weights, model.weights);
        assert_eq!(loaded.generation, model.generation);
        assert_eq!(loaded.config.check().ok(), Some(()));
        assert_eq!(loaded.logits(&[5, 70, 9]).unwrap(), model.logits(&[5, 70, 9]).unwrap());
        let size = fs::metadata(folder.join("model.safetensors")).unwrap().len();
        let numbers = 4 * model.layout().weights as u64;
        assert!(size > numbers && size < numbers + 4096, "{size} for {numbers}");
    }
}

#[test]
fn half_the_size_is_near() {
    let place = tempfile::tempdir().unwrap();
    let (model, folder) = (model(false), place.path().join("half"));
    save(&model, &folder, &Card::default(), Precision::Bf16).unwrap();
    let loaded = load(&folder).unwrap();
    let worst =
        model.weights.iter().zip(loaded.weights.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst > 0.0 && worst < 1e-3, "{worst}");
    // Rounding twice changes nothing.
    save(&loaded, &place.path().join("again"), &Card::default(), Precision::Bf16).unwrap();
    assert_eq!(load(&place.path().join("again")).unwrap().weights, loaded.weights);
}

#[test]
fn the_folder_says_what_others_ask() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    let card = Card {
        front: vec![("license".into(), json!("CC0\n---\nevil: true")), ("tags".into(), json!(["a"]))],
        text: "# Handbook\n".into(),
    };
    save(&model(false), &folder, &card, Precision::F32).unwrap();
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    insta::assert_snapshot!("config.json", read("config.json"));
    insta::assert_snapshot!("generation_config.json", read("generation_config.json"));
    insta::assert_snapshot!("tokenizer_config.json", read("tokenizer_config.json"));
    insta::assert_snapshot!("README.md", read("README.md"));
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    insta::assert_debug_snapshot!("files", names);
}

#[test]
fn a_model_is_never_written_over_another() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let again = save(&model(false), &folder, &Card::default(), Precision::F32);
    assert!(matches!(again, Err(ModelError::Exists { .. })));
    let nowhere = save(&model(false), &place.path().join("a/b"), &Card::default(), Precision::F32);
    assert!(matches!(nowhere, Err(ModelError::Io { .. })));
    assert!(save(&model(false), Path::new("/"), &Card::default(), Precision::F32).is_err());
    // Nothing is left beside the model.
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn shards_are_read_as_one() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let bytes = fs::read(folder.join("model.safetensors")).unwrap();
    let (header, data) = parts(&bytes);
    let mut map = serde_json::Map::new();
    for part in 0..2 {
        let (mut own, mut numbers) = (serde_json::Map::new(), Vec::new());
        let tensors = header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__");
        for (name, tensor) in tensors.enumerate().filter(|(index, _)| index % 2 == part).map(|(_, pair)| pair)
        {
            let place = |at: usize| usize::try_from(tensor["data_offsets"][at].as_u64().unwrap()).unwrap();
            let from = numbers.len();
            numbers.extend_from_slice(&data[place(0)..place(1)]);
            let entry =
                json!({"dtype": "F32", "shape": tensor["shape"], "data_offsets": [from, numbers.len()]});
            own.insert(name.clone(), entry);
            map.insert(name.clone(), format!("part-{part}.safetensors").into());
        }
        fs::write(folder.join(format!("part-{part}.safetensors")), join(&Value::Object(own), &numbers))
            .unwrap();
    }
    fs::remove_file(folder.join("model.safetensors")).unwrap();
    let index = folder.join("model.safetensors.index.json");
    fs::write(&index, json!({"metadata": {}, "weight_map": map}).to_string()).unwrap();
    assert_eq!(load(&folder).unwrap().weights, model(false).weights);

    edit(&index, |value| value["weight_map"]["model.norm.weight"] = "../secret.safetensors".into());
    assert!(error(&folder).contains("not a `.safetensors` file beside it"));
    edit(&index, |value| value["weight_map"]["model.norm.weight"] = "part-2.safetensors".into());
    assert!(error(&folder).contains("part-2.safetensors"));
}

#[test]
fn a_broken_weights_file_is_named() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let path = folder.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let (header, data) = parts(&bytes);
    let check = |name: &str, bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = error(&folder);
        assert!(error.contains("model.safetensors"), "{name}: {error}");
        insta::assert_snapshot!(name, error.replace(&*folder.to_string_lossy(), "MODEL"));
    };
    check("empty", b"");
    check("half-a-length", &bytes[..5]);
    check("half-a-header", &bytes[..200]);
    check("half-the-numbers", &bytes[..bytes.len() - 1000]);
    check("more-than-the-numbers", &[&bytes[..], b"more"].concat());
    check("a-huge-header", &[&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    check("no-json", &join(&json!("text"), data));
    let with = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut header = header.clone();
        change(&mut header);
        check(name, &join(&header, data));
    };
    with("another-shape", &|header| {
        let shape = header["model.norm.weight"]["shape"].as_array_mut().unwrap();
        shape.push(json!(1));
    });
    with("an-overflowing-shape", &|header| {
        header["model.norm.weight"]["shape"] = json!([u64::MAX, u64::MAX])
    });
    with("integers", &|header| header["model.norm.weight"]["dtype"] = json!("I32"));
    with("another-name", &|header| {
        let tensor = header.as_object_mut().unwrap().remove("model.norm.weight").unwrap();
        header["model.norm.bias"] = tensor;
    });
    with("overlapping", &|header| header["model.norm.weight"]["data_offsets"] = json!([0, 64]));
    let mut nan = bytes.clone();
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    check("no-number", &nan);
    fs::remove_file(&path).unwrap();
    assert!(error(&folder).contains("model.safetensors"));
}

#[test]
fn another_network_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let path = folder.join("config.json");
    let original = fs::read_to_string(&path).unwrap();
    for (field, value, expected) in [
        ("architectures", json!(["Qwen3ForCausalLM"]), "Qwen3ForCausalLM"),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8.0}), "llama3"),
        ("rope_parameters", json!({"rope_type": "yarn", "rope_theta": 1e4}), "yarn"),
        ("quantization_config", json!({"quant_method": "gptq"}), "gptq"),
        ("attention_bias", json!(true), "biases"),
        ("hidden_act", json!("gelu"), "silu"),
        ("hidden_size", json!("big"), "config.json"),
        ("hidden_size", json!(20), "shape"),
        ("vocab_size", json!(300), "shape"),
        ("num_hidden_layers", json!(3), "model.layers.2.input_layernorm.weight"),
        ("num_hidden_layers", json!(1), "of another network"),
        ("num_attention_heads", json!(1_048_576), "q_proj"),
        ("max_position_embeddings", json!(1_048_576_000), "max_position_embeddings"),
        ("max_position_embeddings", json!(null), "max_position_embeddings"),
    ] {
        edit(&path, |config| config[field] = value.clone());
        let error = error(&folder);
        assert!(error.contains(expected), "{field} {value}: {error}");
        fs::write(&path, &original).unwrap();
    }
    edit(&path, |config| {
        for field in ["hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim"] {
            config[field] = json!(1_048_576);
        }
        config["num_hidden_layers"] = json!(512);
        config["max_position_embeddings"] = json!(1);
    });
    let message = error(&folder);
    assert!(message.contains("too large"), "{message}");
    fs::write(&path, &original).unwrap();
    edit(&path, |config| {
        config.as_object_mut().unwrap().remove("rope_theta");
        config["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 777.0});
    });
    assert!((load(&folder).unwrap().config.rope_theta - 777.0).abs() < 1e-9);
}

#[test]
fn another_models_tokeniser_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    fs::write(folder.join("tokenizer.json"), trained(700).json()).unwrap();
    let message = error(&folder);
    assert!(message.contains("it is another model's tokeniser"), "{message}");
    fs::write(folder.join("tokenizer.json"), "{}").unwrap();
    assert!(error(&folder).contains("tokenizer.json"));
    fs::write(folder.join("tokenizer.json"), TOKENISER.json()).unwrap();
    edit(&folder.join("generation_config.json"), |value| value["eos_token_id"] = json!([1, 99_999]));
    assert!(error(&folder).contains("99999"));
    edit(&folder.join("generation_config.json"), |value| value["eos_token_id"] = json!("one"));
    assert!(error(&folder).contains("generation_config.json"));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let tokeniser = Arc::clone(&TOKENISER);
    let generation = Generation::of(&tokeniser);
    let config = shape(tokeniser.vocab_size(), false);
    let made = Model::new(config, Arc::new(vec![0.0; 10]), tokeniser, generation);
    assert!(made.unwrap_err().to_string().contains("given are 10"));
    assert!(model(false).logits(&[]).is_err());
    assert!(model(false).logits(&[9999]).is_err());
    assert!(model(false).logits(&[1; 65]).is_err());
}

#[test]
fn a_gguf_file_is_as_large_as_its_numbers() {
    let place = tempfile::tempdir().unwrap();
    let model = model(true);
    let sizes = [GgufPrecision::F32, GgufPrecision::F16].map(|precision| {
        let path = place.path().join(format!("{precision:?}.gguf"));
        export_gguf(&model, &path, precision).unwrap();
        assert!(matches!(export_gguf(&model, &path, precision), Err(ModelError::Exists { .. })));
        let bytes = fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], b"GGUF\x03\0\0\0");
        assert!(bytes.len().is_multiple_of(32));
        bytes.len()
    });
    let matrices: usize = model
        .layout()
        .tensors
        .iter()
        .filter(|tensor| tensor.is_matrix())
        .map(|tensor| tensor.range.len())
        .sum();
    assert_eq!(sizes[0] - sizes[1], matrices * 2);
}

/// The header and the numbers of a file.
fn parts(bytes: &[u8]) -> (Value, &[u8]) {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), &bytes[8 + length..])
}

fn join(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Changed or cut bytes of a header give the same weights or an error: no panic, no memory beyond the file.
    #[test]
    fn any_header_gives_an_error_or_a_model(
        changes in prop::collection::vec((0_usize..2600, any::<u8>()), 1..6),
        cut in prop::option::of(0_usize..4000),
    ) {
        static SAVED: std::sync::LazyLock<(tempfile::TempDir, Vec<u8>)> = std::sync::LazyLock::new(|| {
            let place = tempfile::tempdir().unwrap();
            let bytes = fs::read(saved(place.path()).join("model.safetensors")).unwrap();
            (place, bytes)
        });
        let (place, original) = &*SAVED;
        let folder = place.path().join("model");
        let mut bytes = original.clone();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        fs::write(folder.join("model.safetensors"), &bytes).unwrap();
        if let Err(error) = load(&folder) {
            prop_assert!(error.to_string().contains("model.safetensors"), "{}", error);
        }
    }

    /// As above for the other files, which other parsers read.
    #[test]
    fn any_json_gives_an_error_or_a_model(
        name in prop::sample::select(vec!["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let place = tempfile::tempdir().unwrap();
        let folder = saved(place.path());
        let mut bytes = fs::read(folder.join(name)).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(folder.join(name), &bytes).unwrap();
        if let Ok(model) = load(&folder) {
            prop_assert!(model.tokeniser.encode("a b").is_ok());
        }
    }
}

/// What `tests/models/make_golden.py` wrote: a folder by `transformers`, in bf16, and what it computes with it.
#[test]
fn a_folder_of_the_reference_gives_its_tokens_and_logits() {
    #[derive(serde::Deserialize)]
    struct Expected {
        text: String,
        tokens: Vec<u32>,
        logits: Vec<f32>,
    }
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/llama"));
    let model = load(folder).unwrap();
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    for Expected { text, tokens, logits } in serde_json::from_str::<Vec<Expected>>(&expected).unwrap() {
        assert_eq!(model.tokeniser.encode(&text).unwrap(), tokens, "{text}");
        assert_eq!(model.tokeniser.decode(&tokens), text);
        let all = model.logits(&tokens).unwrap();
        let last = &all[all.len() - logits.len()..];
        let worst = last.iter().zip(&logits).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-3, "{text}: {worst}");
    }
}
