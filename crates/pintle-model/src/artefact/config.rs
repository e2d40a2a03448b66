//! `config.json` and `generation_config.json`: how others write a network's shape, and how we do.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Generation, Model, Precision, weights::short};
use crate::{
    ModelConfig, ModelError,
    tokenise::files::{read_bounded, read_optional},
};

const BYTES_MAX: u64 = 1 << 20;
const EOS_MAX: usize = 64;

/// Reads `config.json`; also says which tokens it names.
pub(super) fn read(folder: &Path) -> Result<(ModelConfig, Generation), ModelError> {
    let (path, mut fields) = read_fields(folder)?;
    let broken = |why: String| ModelError::Broken { path: path.clone(), why };
    check_kind(&fields).map_err(|what| ModelError::Unsupported { path: path.clone(), what })?;
    take_rotary(&mut fields).map_err(|what| ModelError::Unsupported { path: path.clone(), what })?;
    let generation = generation(folder, &fields)?;
    let config: ModelConfig =
        serde_json::from_value(Value::Object(fields)).map_err(|error| broken(error.to_string()))?;
    config.check()?;
    Ok((config, generation))
}

/// The fields of a folder's `config.json`, with the file's name for errors about them.
pub(crate) fn read_fields(folder: &Path) -> Result<(PathBuf, Map<String, Value>), ModelError> {
    let path = folder.join("config.json");
    let fields = serde_json::from_str(&read_bounded(&path, BYTES_MAX)?);
    let fields = fields.map_err(|error| ModelError::Broken { path: path.clone(), why: error.to_string() })?;
    Ok((path, fields))
}

/// The network that a `config.json` describes, in the words of `transformers`.
pub(crate) fn architecture(fields: &Map<String, Value>) -> Option<&str> {
    let kinds = fields.get("architectures").and_then(Value::as_array);
    kinds.and_then(|list| list.first()).and_then(Value::as_str)
}

/// Mistral's first networks are Llama's where their window is not used.
fn check_kind(fields: &Map<String, Value>) -> Result<(), String> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let kind = architecture(fields);
    let has_window = fields.get("sliding_window").is_some_and(|value| !value.is_null());
    match (kind, text("model_type")) {
        (Some("LlamaForCausalLM"), _) | (None, Some("llama")) => {}
        (Some("MistralForCausalLM"), _) if !has_window => {}
        (Some("MistralForCausalLM"), _) => return Err("attention with a sliding window".into()),
        (Some(other), _) | (None, Some(other)) => {
            return Err(format!("the architecture `{}`", short(other)));
        }
        (None, None) => return Err("it names no architecture".into()),
    }
    refuse_quantised(fields)
}

/// Weights in a form of their own are not read.
pub(crate) fn refuse_quantised(fields: &Map<String, Value>) -> Result<(), String> {
    match fields.get("quantization_config").filter(|value| !value.is_null()) {
        None => Ok(()),
        Some(quantised) => {
            let method = quantised.get("quant_method").and_then(Value::as_str).unwrap_or("some method");
            Err(format!("weights quantised by `{}`", short(method)))
        }
    }
}

/// `transformers` 5 writes the rotary base into `rope_parameters`, earlier ones into `rope_theta`; a scaling named
/// `default` is none.
fn take_rotary(fields: &mut Map<String, Value>) -> Result<(), String> {
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(Value::Object(rotary)) = fields.remove(name) else { continue };
        let kind = rotary.get("rope_type").or_else(|| rotary.get("type")).and_then(Value::as_str);
        if kind.is_some_and(|kind| kind != "default") {
            return Err(format!("rotary angles scaled by `{}`", short(kind.unwrap_or_default())));
        }
        if rotary.contains_key("factor") {
            return Err("scaled rotary angles".into());
        }
        if rotary.get("partial_rotary_factor").and_then(Value::as_f64).is_some_and(|part| part < 1.0) {
            return Err("rotary angles on a part of each head".into());
        }
        if let Some(base) = rotary.get("rope_theta").filter(|base| base.is_number()) {
            fields.insert("rope_theta".into(), base.clone());
        }
    }
    fields.retain(|_, value| !value.is_null());
    Ok(())
}

/// What `generation_config.json` says, and where it is silent `config.json`.
fn generation(folder: &Path, config: &Map<String, Value>) -> Result<Generation, ModelError> {
    let path = folder.join("generation_config.json");
    let broken = |why: String| ModelError::Broken { path: path.clone(), why };
    let fields: Map<String, Value> = match read_optional(&path, BYTES_MAX)? {
        Some(text) => serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?,
        None => Map::new(),
    };
    let find = |name: &str| {
        let value = fields.get(name).filter(|value| !value.is_null());
        value.or_else(|| config.get(name).filter(|value| !value.is_null()))
    };
    let ids = |name: &str| -> Result<Vec<u32>, ModelError> {
        let list = match find(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().collect(),
            Some(one) => vec![one],
        };
        // Some folders say -1 for a token that they do not have.
        let list = list.into_iter().filter(|value| value.as_i64() != Some(-1));
        let ids: Option<Vec<u32>> =
            list.map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok())).collect();
        let ids = ids.filter(|ids| ids.len() <= EOS_MAX);
        ids.ok_or_else(|| broken(format!("`{name}` is neither an id nor a list of up to {EOS_MAX} ids")))
    };
    let number = |name: &str| fields.get(name).and_then(Value::as_f64);
    let count =
        |name: &str| fields.get(name).and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok());
    #[expect(clippy::cast_possible_truncation, reason = "settings of single precision")]
    let share = |name: &str, max: f64| {
        number(name).filter(|value| *value >= 0.0 && *value <= max).map(|value| value as f32)
    };
    let is_greedy = fields.get("do_sample").and_then(Value::as_bool) == Some(false);
    Ok(Generation {
        eos: ids("eos_token_id")?,
        bos: ids("bos_token_id")?.first().copied(),
        pad: ids("pad_token_id")?.first().copied(),
        max_new_tokens: count("max_new_tokens").filter(|count| *count > 0),
        temperature: if is_greedy { Some(0.0) } else { share("temperature", 100.0) },
        top_p: share("top_p", 1.0).filter(|share| *share > 0.0),
        top_k: count("top_k").filter(|count| *count > 0),
    })
}

/// A number as its shortest decimal says it: 0.00001 in single precision is not 9.99e-6 in a file.
fn decimal(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Our `config.json`, with every field that `transformers` would else fill with a default of its own.
pub(super) fn config_json(model: &Model, precision: Precision) -> Value {
    let (config, generation) = (&model.config, &model.generation);
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.key_value_heads(),
        "head_dim": config.head_dim(),
        "max_position_embeddings": config.max_position_embeddings,
        "hidden_act": "silu",
        "rms_norm_eps": decimal(config.rms_norm_eps),
        "rope_theta": config.rope_theta,
        "rope_scaling": null,
        "attention_bias": false,
        "attention_dropout": 0.0,
        "mlp_bias": false,
        "pretraining_tp": 1,
        "initializer_range": 0.02,
        "tie_word_embeddings": config.tie_word_embeddings,
        "use_cache": true,
        "bos_token_id": generation.bos,
        "eos_token_id": ids_json(&generation.eos),
        "pad_token_id": generation.pad,
        "torch_dtype": precision.torch_name(),
    })
}

/// One id stands alone, as older readers expect it.
fn ids_json(ids: &[u32]) -> Value {
    match ids {
        [] => Value::Null,
        [one] => (*one).into(),
        several => several.into(),
    }
}

/// Our `generation_config.json`.
pub(super) fn generation_json(generation: &Generation) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.into(), value);
        }
    };
    put("bos_token_id", json!(generation.bos));
    put("eos_token_id", ids_json(&generation.eos));
    put("pad_token_id", json!(generation.pad));
    put("max_new_tokens", json!(generation.max_new_tokens));
    let temperature = generation.temperature;
    put("do_sample", temperature.map_or(Value::Null, |temperature| json!(temperature > 0.0)));
    // `transformers` warns of a temperature where nothing is drawn.
    put("temperature", temperature.filter(|value| *value > 0.0).map_or(Value::Null, decimal));
    put("top_p", generation.top_p.map_or(Value::Null, decimal));
    put("top_k", json!(generation.top_k));
    Value::Object(fields)
}
