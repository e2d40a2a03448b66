//! An adapter as a folder in the layout of Hugging Face's PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::{collections::BTreeMap, path::Path};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::{Adapter, LoraSettings};
use crate::ModelError;

/// Writes the adapter into a new folder. `base` is where the model that it stands beside is found, as PEFT reads it.
pub(crate) fn save_adapter(
    folder: &Path,
    adapter: &Adapter,
    weights: &[f32],
    settings: &LoraSettings,
    base: &str,
) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder).map_err(ModelError::io(folder))?;
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "target_modules": settings.targets,
    });
    let path = folder.join("adapter_config.json");
    std::fs::write(&path, format!("{config:#}\n")).map_err(ModelError::io(&path))?;

    let mut parts: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for pair in &adapter.pairs {
        for (side, range, shape) in [
            ("lora_A", &pair.a, vec![adapter.rank, pair.a.len() / adapter.rank]),
            ("lora_B", &pair.b, vec![pair.b.len() / adapter.rank, adapter.rank]),
        ] {
            let values = weights.get(range.clone()).unwrap_or_default();
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            parts.push((format!("base_model.model.{}.{side}.weight", pair.name), shape, bytes));
        }
    }
    let path = folder.join("adapter_model.safetensors");
    let failed = |error: safetensors::SafeTensorError| ModelError::Broken {
        path: path.clone(),
        why: error.to_string(),
    };
    let mut views = BTreeMap::new();
    for (name, shape, bytes) in &parts {
        views.insert(name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(failed)?);
    }
    let bytes = safetensors::serialize(views, None).map_err(failed)?;
    std::fs::write(&path, bytes).map_err(ModelError::io(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, ModelConfig};

    #[test]
    fn an_adapter_is_written_as_peft_names_it() {
        let config: ModelConfig = serde_json::from_value(json!({
            "vocab_size": 8, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 8,
        }))
        .unwrap();
        let settings = LoraSettings { rank: 2, targets: vec!["v_proj".into()], ..LoraSettings::default() };
        let adapter = Adapter::new(&Layout::new(&config), &settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        save_adapter(folder.path(), &adapter, &adapter.first_weights(1), &settings, "../base").unwrap();
        let bytes = std::fs::read(folder.path().join("adapter_model.safetensors")).unwrap();
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let a = read.tensor("base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight").unwrap();
        let b = read.tensor("base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight").unwrap();
        assert_eq!((a.shape(), b.shape(), read.len()), (&[2, 8][..], &[4, 2][..], 2));
    }
}
