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
    assert!(message.contains("4,000,000,000 weights"), "{message}");
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
fn a_tokeniser_without_the_templates_tokens_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let path = folder.join("tokenizer.json");
    let original = fs::read_to_string(&path).unwrap();
    // Letters where a control token should be: the answer would never end.
    for (token, said) in
        [("<|end|>", "`eos_token`"), ("<|endoftext|>", "`bos_token`"), ("<|user|>", "chat template")]
    {
        fs::write(&path, original.replace(&format!("\"{token}\""), "\"<|other|>\"")).unwrap();
        let message = error(&folder);
        assert!(message.contains(said) && message.contains("tokenizer.json"), "{token}: {message}");
    }
    // In the vocabulary, but as plain text.
    edit(&path, |_| ());
    fs::write(&path, &original).unwrap();
    edit(&path, |tokeniser| {
        for token in tokeniser["added_tokens"].as_array_mut().unwrap() {
            token["special"] = json!(token["content"] != "<|assistant|>");
        }
    });
    assert!(error(&folder).contains("`<|assistant|>`"), "{}", error(&folder));
}

#[test]
fn sizes_that_no_machine_holds_are_refused_before_anything_is_reserved() {
    let config = shape(600, false);
    config.check().unwrap();
    for change in [
        json!({ "hidden_size": 1_048_576, "vocab_size": 1_048_576, "num_attention_heads": 1 }),
        json!({ "intermediate_size": 1_048_576, "num_hidden_layers": 512, "hidden_size": 4096 }),
        json!({ "head_dim": 1_048_576, "num_attention_heads": 1_048_576, "num_key_value_heads": 1 }),
        json!({ "max_position_embeddings": 1_048_576, "head_dim": 1_048_576 }),
    ] {
        let mut fields = serde_json::to_value(&config).unwrap();
        fields.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let config: pintle_model::ModelConfig = serde_json::from_value(fields).unwrap();
        assert!(matches!(config.check(), Err(ModelError::Config { .. })), "{change}");
        assert!(Model::untrained(config, Arc::clone(&TOKENISER), 1).is_err());
    }
}

#[test]
fn what_a_killed_process_left_is_swept_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let leave = |name: &str, at: Option<std::time::SystemTime>| {
        let path = place.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("model.safetensors"), b"half").unwrap();
        let handle = fs::File::open(&path).unwrap();
        if let Some(at) = at {
            handle.set_modified(at).unwrap();
        }
        handle
    };
    drop(leave(".model.unfinished-1-0", Some(long_ago)));
    drop(leave(".model.unfinished-1-1", None));
    drop(leave(".other.unfinished-1-0", Some(long_ago)));
    // Another process is at work on this one.
    let held = leave(".model.unfinished-1-2", Some(long_ago));
    held.lock().unwrap();
    saved(place.path());
    let mut names: Vec<String> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".model.unfinished-1-1", ".model.unfinished-1-2", ".other.unfinished-1-0", "model"]);
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

#[test]
fn a_tokeniser_cut_off_within_its_decoder_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let folder = saved(place.path());
    let path = folder.join("tokenizer.json");
    let text = fs::read_to_string(&path).unwrap();
    let at = text.find("\"decoder\"").unwrap();
    for cut in at..at + 80 {
        fs::write(&path, &text[..cut]).unwrap();
        assert!(error(&folder).contains("tokenizer.json"));
    }
    for wrong in ["\"decoder\":{\"x\":\"\\ud800\"}", "\"decoder\":{\"x\":1e999}"] {
        fs::write(&path, format!("{}{wrong}}}", &text[..at])).unwrap();
        assert!(error(&folder).contains("tokenizer.json"), "{wrong}");
    }
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

    /// Whatever a header says about a tensor's numbers, shape and place: the same weights, or an error that names the
    /// file.
    #[test]
    fn any_tensor_entry_gives_an_error_or_the_same_weights(
        tensor in any::<prop::sample::Index>(),
        dtype in prop::option::of(prop::sample::select(vec![
            "F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "F4", "nothing",
        ])),
        dimension in prop::option::of((any::<prop::sample::Index>(), size())),
        more_dimensions in prop::option::of(prop::collection::vec(size(), 0..4)),
        begin in prop::option::of(size()),
        end in prop::option::of(size()),
        header_length in prop::option::of(size()),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let place = tempfile::tempdir().unwrap();
        let folder = saved(place.path());
        let path = folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let (mut header, data) = parts(&bytes);
        let entries = header.as_object_mut().unwrap();
        let names: Vec<String> = entries.keys().filter(|name| *name != "__metadata__").cloned().collect();
        let entry = &mut entries[&names[tensor.index(names.len())]];
        if let Some(dtype) = dtype {
            entry["dtype"] = json!(dtype);
        }
        if let Some(shape) = more_dimensions {
            entry["shape"] = json!(shape);
        }
        let dimensions = entry["shape"].as_array().unwrap().len();
        if let (Some((at, size)), true) = (dimension, dimensions > 0) {
            entry["shape"][at.index(dimensions)] = json!(size);
        }
        for (at, place) in [begin, end].into_iter().enumerate() {
            if let Some(place) = place {
                entry["data_offsets"][at] = json!(place);
            }
        }
        let mut broken = join(&header, data);
        if let Some(length) = header_length {
            broken[..8].copy_from_slice(&length.to_le_bytes());
        }
        if let Some(cut) = cut {
            broken.truncate(cut.index(broken.len()));
        }
        fs::write(&path, &broken).unwrap();
        match load(&folder) {
            Ok(loaded) => prop_assert_eq!(&loaded.weights, &model(false).weights),
            Err(error) => prop_assert!(error.to_string().contains("model.safetensors"), "{}", error),
        }
    }

    /// One number that is none, wherever it stands and however numbers are written.
    #[test]
    fn a_weight_that_is_no_number_is_found(
        at in any::<prop::sample::Index>(),
        is_half in any::<bool>(),
        value in prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
    ) {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("model");
        let precision = if is_half { Precision::Bf16 } else { Precision::F32 };
        save(&model(false), &folder, &Card::default(), precision).unwrap();
        let path = folder.join("model.safetensors");
        let mut bytes = fs::read(&path).unwrap();
        let start = bytes.len() - parts(&bytes).1.len();
        let upper = (value.to_bits() >> 16) as u16;
        let width = if is_half { 2 } else { 4 };
        let place = start + at.index((bytes.len() - start) / width) * width;
        match is_half {
            true => bytes[place..place + 2].copy_from_slice(&upper.to_le_bytes()),
            false => bytes[place..place + 4].copy_from_slice(&value.to_le_bytes()),
        }
        fs::write(&path, &bytes).unwrap();
        let message = error(&folder);
        prop_assert!(message.contains("no finite numbers"), "{}", message);
    }
}

/// Sizes and places: near what is true, and far beyond it.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..70,
        0_u64..200_000,
        prop::sample::select(vec![1 << 24, 1 << 32, 1 << 62, i64::MAX as u64, u64::MAX - 1, u64::MAX]),
    ]
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
