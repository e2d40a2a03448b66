//! One GGUF file (version 3) for llama.cpp and what is built on it. Only byte-level tokenisers whose splitting rule
//! llama.cpp knows by name are exported: another rule would silently give other tokens.

use std::{
    borrow::Cow,
    collections::HashMap,
    io::{BufWriter, Write},
    path::Path,
};

use serde_json::Value;

use super::{
    Model,
    save::Unfinished,
    weights::{to_f16, write_numbers},
};
use crate::{Layout, ModelConfig, ModelError, Tensor};

/// How the matrices of a GGUF file are written; lists stay in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GgufPrecision {
    /// Single precision.
    #[default]
    F32,
    /// Half precision.
    F16,
}

/// Places in the file are multiples of it.
const ALIGNMENT: usize = 32;
/// The format's numbers for kinds of values.
mod kind {
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const TEXT: u32 = 8;
    pub(super) const LIST: u32 = 9;
}
/// llama.cpp's numbers for kinds of tokens.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Writes a model as one GGUF file.
///
/// # Errors
/// Where the file exists already or cannot be written, or llama.cpp has no name for the tokeniser's rule.
pub fn export_gguf(model: &Model, path: &Path, precision: GgufPrecision) -> Result<(), ModelError> {
    if path.symlink_metadata().is_ok() {
        return Err(ModelError::Exists { path: path.into() });
    }
    let fields = fields(model, precision)?;
    let layout = model.layout();
    let tensors = tensors(&layout)?;
    let (unfinished, file) = Unfinished::file(path)?;
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, &file);
        write_all(&mut out, model, &fields, &tensors, precision)?;
        out.flush()?;
        file.sync_all()
    };
    write().map_err(ModelError::io(path))?;
    unfinished.finish(path)
}

/// The head of a file: names with values.
#[derive(Default)]
struct Fields {
    count: u64,
    bytes: Vec<u8>,
}

impl Fields {
    fn begin(&mut self, name: &str, kind: u32) {
        self.count += 1;
        put_text(&mut self.bytes, name);
        self.bytes.extend(kind.to_le_bytes());
    }

    fn number(&mut self, name: &str, value: u32) {
        self.begin(name, kind::U32);
        self.bytes.extend(value.to_le_bytes());
    }

    fn real(&mut self, name: &str, value: f32) {
        self.begin(name, kind::F32);
        self.bytes.extend(value.to_le_bytes());
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.begin(name, kind::BOOL);
        self.bytes.push(value.into());
    }

    fn text(&mut self, name: &str, value: &str) {
        self.begin(name, kind::TEXT);
        put_text(&mut self.bytes, value);
    }

    fn list(&mut self, name: &str, kind: u32, length: usize) {
        self.begin(name, kind::LIST);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((length as u64).to_le_bytes());
    }

    fn texts(&mut self, name: &str, values: &[Cow<'_, str>]) {
        self.list(name, kind::TEXT, values.len());
        for value in values {
            put_text(&mut self.bytes, value);
        }
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn fields(model: &Model, precision: GgufPrecision) -> Result<Fields, ModelError> {
    let config = &model.config;
    let size = |value: usize| {
        u32::try_from(value).map_err(|_| ModelError::Parts("a size is beyond what GGUF can say".into()))
    };
    let mut fields = Fields::default();
    fields.text("general.architecture", "llama");
    fields.text("general.type", "model");
    fields.number("general.alignment", size(ALIGNMENT)?);
    fields.number(
        "general.file_type",
        match precision {
            GgufPrecision::F32 => 0,
            GgufPrecision::F16 => 1,
        },
    );
    fields.number("general.quantization_version", 2);
    fields.number("llama.vocab_size", size(config.vocab_size)?);
    fields.number("llama.context_length", size(config.max_position_embeddings)?);
    fields.number("llama.embedding_length", size(config.hidden_size)?);
    fields.number("llama.block_count", size(config.num_hidden_layers)?);
    fields.number("llama.feed_forward_length", size(config.intermediate_size)?);
    fields.number("llama.attention.head_count", size(config.num_attention_heads)?);
    fields.number("llama.attention.head_count_kv", size(config.key_value_heads())?);
    fields.number("llama.attention.key_length", size(config.head_dim())?);
    fields.number("llama.attention.value_length", size(config.head_dim())?);
    fields.number("llama.rope.dimension_count", size(config.head_dim())?);
    fields.real("llama.attention.layer_norm_rms_epsilon", config.rms_norm_eps);
    #[expect(clippy::cast_possible_truncation, reason = "the format has single precision")]
    fields.real("llama.rope.freq_base", config.rope_theta as f32);
    add_tokeniser(&mut fields, model)?;
    Ok(fields)
}

fn add_tokeniser(fields: &mut Fields, model: &Model) -> Result<(), ModelError> {
    let refuse = |why: &str| ModelError::Tokeniser(format!("it cannot be written as GGUF: {why}"));
    let tokeniser: Value =
        serde_json::from_str(model.tokeniser.json()).map_err(|_| refuse("its file is no JSON"))?;
    let rule = rule(&tokeniser).ok_or_else(|| refuse("llama.cpp has no name for its splitting rule"))?;
    fields.text("tokenizer.ggml.model", "gpt2");
    fields.text("tokenizer.ggml.pre", rule);

    let vocabulary = tokeniser.pointer("/model/vocab").and_then(Value::as_object);
    let vocabulary = vocabulary.ok_or_else(|| refuse("it has no vocabulary"))?;
    let mut tokens: Vec<(Cow<'_, str>, i32)> =
        (0..model.config.vocab_size).map(|id| (Cow::Owned(format!("[PAD{id}]")), UNUSED)).collect();
    let mut put = |id: Option<u64>, token: &'_ str, kind: i32| -> Result<(), ModelError> {
        let place = id.and_then(|id| usize::try_from(id).ok()).and_then(|id| tokens.get_mut(id));
        *place.ok_or_else(|| refuse("an id is beyond the vocabulary"))? =
            (Cow::Owned(token.to_owned()), kind);
        Ok(())
    };
    for (token, id) in vocabulary {
        put(id.as_u64(), token, NORMAL)?;
    }
    for token in tokeniser.get("added_tokens").and_then(Value::as_array).into_iter().flatten() {
        let id = token.get("id").and_then(Value::as_u64);
        let text = token.get("content").and_then(Value::as_str).unwrap_or_default();
        let is_control =
            id.and_then(|id| u32::try_from(id).ok()).is_some_and(|id| model.tokeniser.is_control(id));
        put(id, text, if is_control { CONTROL } else { USER_DEFINED })?;
    }
    let (tokens, kinds): (Vec<_>, Vec<_>) = tokens.into_iter().unzip();
    fields.texts("tokenizer.ggml.tokens", &tokens);
    fields.list("tokenizer.ggml.token_type", kind::I32, kinds.len());
    fields.bytes.extend(kinds.iter().flat_map(|kind| kind.to_le_bytes()));
    let merges = merges(&tokeniser).ok_or_else(|| refuse("its merges are broken"))?;
    fields.texts("tokenizer.ggml.merges", &merges);

    let generation = &model.generation;
    let named = [
        ("bos", generation.bos),
        ("eos", generation.eos.first().copied()),
        ("eot", model.tokeniser.eos()),
        ("padding", generation.pad),
    ];
    for (name, id) in named {
        if let Some(id) = id {
            fields.number(&format!("tokenizer.ggml.{name}_token_id"), id);
        }
    }
    fields.flag("tokenizer.ggml.add_bos_token", false);
    fields.flag("tokenizer.ggml.add_eos_token", false);
    fields.flag("tokenizer.ggml.add_space_prefix", false);
    if let Some(template) = model.tokeniser.chat_template() {
        fields.text("tokenizer.chat_template", template);
    }
    Ok(())
}

/// What llama.cpp calls a splitting rule: ours is SmolLM's (single digits, then GPT-2's words), or GPT-2's alone. What
/// puts tokens around a text has no place in the file either.
fn rule(tokeniser: &Value) -> Option<&'static str> {
    let is_plain = |name: &str| tokeniser.get(name).is_none_or(Value::is_null);
    let kind = |value: &Value| value.get("type").and_then(Value::as_str).map(str::to_owned);
    let is = |value: &Value, field: &str| value.get(field).and_then(Value::as_bool);
    let is_gpt2 = |value: &Value| {
        kind(value).as_deref() == Some("ByteLevel")
            && is(value, "add_prefix_space") == Some(false)
            && is(value, "use_regex") != Some(false)
    };
    let is_digits = |value: &Value| {
        kind(value).as_deref() == Some("Digits") && is(value, "individual_digits") == Some(true)
    };
    if !is_plain("normalizer") || kind(tokeniser.get("model")?).as_deref() != Some("BPE") {
        return None;
    }
    let post = tokeniser.get("post_processor");
    if !is_plain("post_processor") && post.and_then(kind).as_deref() != Some("ByteLevel") {
        return None;
    }
    let split = tokeniser.get("pre_tokenizer")?;
    if is_gpt2(split) {
        return Some("gpt-2");
    }
    match split.get("pretokenizers").and_then(Value::as_array)?.as_slice() {
        [digits, words] if is_digits(digits) && is_gpt2(words) => Some("smollm"),
        _ => None,
    }
}

/// Merges as pairs with a space between; older files hold them so already.
fn merges(tokeniser: &Value) -> Option<Vec<Cow<'_, str>>> {
    let list = tokeniser.pointer("/model/merges")?.as_array()?;
    let merge = |value: &Value| match value {
        Value::String(pair) => Some(Cow::Owned(pair.clone())),
        Value::Array(pair) => match pair.as_slice() {
            [first, second] => Some(Cow::Owned(format!("{} {}", first.as_str()?, second.as_str()?))),
            _ => None,
        },
        _ => None,
    };
    list.iter().map(merge).collect()
}

/// A tensor under llama.cpp's name, and how many heads' rows change places in it.
struct Placed<'a> {
    tensor: &'a Tensor,
    name: String,
    heads: Option<fn(&ModelConfig) -> usize>,
}

fn tensors(layout: &Layout) -> Result<Vec<Placed<'_>>, ModelError> {
    let names = HashMap::from([
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ]);
    let place = |tensor: &'_ Tensor| {
        let name = tensor.name.strip_suffix(".weight")?;
        let name = match name {
            "model.embed_tokens" => "token_embd".to_owned(),
            "model.norm" => "output_norm".to_owned(),
            "lm_head" => "output".to_owned(),
            _ => {
                let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
                format!("blk.{layer}.{}", names.get(part)?)
            }
        };
        Some(format!("{name}.weight"))
    };
    let placed = layout.tensors.iter().map(|tensor| {
        let heads: Option<fn(&ModelConfig) -> usize> = if tensor.name.ends_with("q_proj.weight") {
            Some(|config| config.num_attention_heads)
        } else if tensor.name.ends_with("k_proj.weight") {
            Some(ModelConfig::key_value_heads)
        } else {
            None
        };
        place(tensor).map(|name| Placed { tensor, name, heads })
    });
    let placed: Option<Vec<_>> = placed.collect();
    placed.ok_or_else(|| ModelError::Parts("a tensor has no name in GGUF".into()))
}

fn write_all(
    out: &mut impl Write,
    model: &Model,
    fields: &Fields,
    tensors: &[Placed<'_>],
    precision: GgufPrecision,
) -> std::io::Result<()> {
    let is_half = |tensor: &Tensor| precision == GgufPrecision::F16 && tensor.is_matrix();
    let bytes = |tensor: &Tensor| tensor.range.len() * if is_half(tensor) { 2 } else { 4 };
    let mut head = Vec::new();
    head.extend(b"GGUF");
    head.extend(3_u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend(fields.count.to_le_bytes());
    head.extend(&fields.bytes);
    let mut place = 0_usize;
    for Placed { tensor, name, .. } in tensors {
        put_text(&mut head, name);
        head.extend((u32::try_from(tensor.shape.len()).unwrap_or(2)).to_le_bytes());
        // The number that changes fastest comes first.
        head.extend(tensor.shape.iter().rev().flat_map(|size| (*size as u64).to_le_bytes()));
        head.extend(u32::from(is_half(tensor)).to_le_bytes());
        head.extend((place as u64).to_le_bytes());
        place += bytes(tensor).next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    out.write_all(&head)?;
    for Placed { tensor, heads, .. } in tensors {
        let values = model.weights.get(tensor.range.clone()).unwrap_or_default();
        let values = match heads {
            Some(heads) => Cow::Owned(interleaved(values, heads(&model.config), model.config.head_dim())),
            None => Cow::Borrowed(values),
        };
        if is_half(tensor) {
            write_numbers(out, &values, |value| to_f16(value).to_le_bytes())?;
        } else {
            write_numbers(out, &values, f32::to_le_bytes)?;
        }
        let length = bytes(tensor);
        out.write_all(&vec![0; length.next_multiple_of(ALIGNMENT) - length])?;
    }
    Ok(())
}

/// Hugging Face turns value j of a head with value j + half; llama.cpp's Llama turns neighbours. So the rows of each
/// head are dealt from the two halves in turn.
fn interleaved(values: &[f32], heads: usize, head_dim: usize) -> Vec<f32> {
    let columns = values.len() / (heads * head_dim).max(1);
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks_exact((head_dim * columns).max(1)) {
        let (first, second) = head.split_at(head.len() / 2);
        let rows = first.chunks_exact(columns.max(1)).zip(second.chunks_exact(columns.max(1)));
        for (first, second) in rows {
            out.extend_from_slice(first);
            out.extend_from_slice(second);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_dealt_from_the_halves() {
        // Two heads of four rows with one column.
        let rows = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0];
        assert_eq!(interleaved(&rows, 2, 4), [0.0, 2.0, 1.0, 3.0, 10.0, 12.0, 11.0, 13.0]);
    }
}
