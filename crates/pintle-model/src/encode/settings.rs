//! What an encoder's folder says: the network's shape in `config.json`, and how sentence-transformers makes one embedding
//! of a text's tokens (`modules.json`, `1_Pooling/config.json`, `sentence_bert_config.json`).
//!
//! Whatever would change the numbers and is not computed here is refused by name.

use std::path::{Component, Path};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    ModelError,
    artefact::{
        config::{architecture, read_fields, refuse_quantised},
        weights::short,
    },
    config::{LAYERS_MAX, SIZE_MAX, WEIGHTS_MAX},
    tokenise::{
        Tokeniser,
        files::{read_bounded, read_optional},
    },
};

const BYTES_MAX: u64 = 1 << 20;
const MODULES_MAX: usize = 16;
/// Attention takes the square of it in memory.
const TOKENS_MAX: usize = 8192;

/// The shape of a BERT-shaped network, in the words of its `config.json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EncoderConfig {
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Values per token; also those of an embedding.
    pub hidden_size: usize,
    /// Values per token within the feed-forward part.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of the attention; divide the hidden size.
    pub num_attention_heads: usize,
    /// Positions that there are embeddings for.
    pub max_position_embeddings: usize,
    /// Kinds of text that there are embeddings for; only the first one is used.
    #[serde(default = "kinds_default")]
    pub type_vocab_size: usize,
    /// Keeps normalisation away from a division by zero.
    #[serde(default = "epsilon_default")]
    pub layer_norm_eps: f32,
}

fn kinds_default() -> usize {
    2
}

fn epsilon_default() -> f32 {
    1e-12
}

impl EncoderConfig {
    /// How many weights there are; `None` beyond 64 bits.
    fn weights(&self) -> Option<u64> {
        let size = |value: usize| u64::try_from(value).ok();
        let (hidden, inner) = (size(self.hidden_size)?, size(self.intermediate_size)?);
        let rows = [self.vocab_size, self.max_position_embeddings, self.type_vocab_size];
        let rows = rows.into_iter().try_fold(2_u64, |sum, rows| sum.checked_add(size(rows)?))?;
        let attention = hidden.checked_mul(4)?.checked_add(4)?;
        let layer = attention.checked_add(inner.checked_mul(2)?)?.checked_add(5)?.checked_mul(hidden)?;
        let layers = layer.checked_add(inner)?.checked_mul(size(self.num_hidden_layers)?)?;
        layers.checked_add(rows.checked_mul(hidden)?)
    }

    fn check(&self) -> Result<(), ModelError> {
        let fail = |field: &'static str, why: &'static str| Err(ModelError::Config { field, why });
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        for (field, size) in sizes {
            if size == 0 || size > SIZE_MAX {
                return fail(field, "it must be between 1 and 1,048,576");
            }
        }
        if self.num_hidden_layers > LAYERS_MAX {
            return fail("num_hidden_layers", "it must be at most 512");
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return fail("num_attention_heads", "it must divide `hidden_size`");
        }
        if self.layer_norm_eps <= 0.0 || !self.layer_norm_eps.is_finite() {
            return fail("layer_norm_eps", "it must be above zero");
        }
        if self.weights().is_none_or(|weights| weights > WEIGHTS_MAX) {
            return fail("hidden_size", "the network would have more than 4,000,000,000 weights");
        }
        Ok(())
    }
}

/// How one embedding is made of a text's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all of them.
    Mean,
    /// The first one, which the tokeniser puts before a text.
    Cls,
}

/// All that is known about an encoder but for its weights and tokens.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) config: EncoderConfig,
    pub(super) pooling: Pooling,
    /// Whether an embedding has the length one.
    pub(super) normalises: bool,
    /// The longest text.
    pub(super) tokens_max: usize,
}

pub(super) fn is_encoder(folder: &Path) -> Result<bool, ModelError> {
    let (_, fields) = read_fields(folder)?;
    let kind = fields.get("model_type").and_then(Value::as_str);
    Ok(match architecture(&fields) {
        Some(architecture) => architecture.starts_with("Bert"),
        None => kind == Some("bert"),
    })
}

impl Settings {
    pub(super) fn read(folder: &Path, tokeniser: &Tokeniser) -> Result<Self, ModelError> {
        let (path, mut fields) = read_fields(folder)?;
        refuse_others(&fields).map_err(|what| ModelError::Unsupported { path: path.clone(), what })?;
        fields.retain(|_, value| !value.is_null());
        let config: EncoderConfig = serde_json::from_value(Value::Object(fields))
            .map_err(|error| ModelError::Broken { path, why: error.to_string() })?;
        config.check()?;
        let (pooling, normalises) = modules(folder)?;
        let path = folder.join("sentence_bert_config.json");
        let sentence: Sentence = match read_optional(&path, BYTES_MAX)? {
            Some(text) => parse(&path, &text)?,
            None => Sentence::default(),
        };
        let stated = sentence.max_seq_length.or_else(|| tokeniser.stated_length());
        let tokens_max = stated.unwrap_or(usize::MAX).min(config.max_position_embeddings).min(TOKENS_MAX);
        if tokens_max == 0 {
            return Err(ModelError::Broken { path, why: "`max_seq_length` must be above zero".into() });
        }
        // The tokenisers of such models do so themselves; where one does not, its tokens would be others.
        if sentence.do_lower_case && tokeniser.encode("A ÄÖ Z")? != tokeniser.encode("a äö z")? {
            let what = "texts in lower case, and a tokeniser that keeps capitals".into();
            return Err(ModelError::Unsupported { path, what });
        }
        Ok(Settings { config, pooling, normalises, tokens_max })
    }
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
struct Sentence {
    #[serde(default)]
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ModelError> {
    serde_json::from_str(text)
        .map_err(|error| ModelError::Broken { path: path.into(), why: error.to_string() })
}

/// What would make it another network.
fn refuse_others(fields: &Map<String, Value>) -> Result<(), String> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    match (architecture(fields), text("model_type")) {
        (Some("BertModel"), _) | (None, Some("bert")) => {}
        (Some(other), _) | (None, Some(other)) => {
            return Err(format!("the architecture `{}`", short(other)));
        }
        (None, None) => return Err("it names no architecture".into()),
    }
    // `gelu_new` and others are near, and other numbers.
    if let Some(other) = text("hidden_act").filter(|name| *name != "gelu") {
        return Err(format!("the activation `{}`", short(other)));
    }
    if let Some(other) = text("position_embedding_type").filter(|name| *name != "absolute") {
        return Err(format!("positions that are `{}`", short(other)));
    }
    let is_set = |name: &str| fields.get(name).and_then(Value::as_bool) == Some(true);
    if is_set("is_decoder") || is_set("add_cross_attention") {
        return Err("a network that writes".into());
    }
    refuse_quantised(fields)
}

/// One of sentence-transformers' steps.
#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

/// How one embedding is made, and whether it is normalised. Without `modules.json` it is the mean, as
/// sentence-transformers takes for any folder.
fn modules(folder: &Path) -> Result<(Pooling, bool), ModelError> {
    let path = folder.join("modules.json");
    let Some(text) = read_optional(&path, BYTES_MAX)? else { return Ok((Pooling::Mean, false)) };
    let modules: Vec<Module> = parse(&path, &text)?;
    let unsupported = |what: String| ModelError::Unsupported { path: path.clone(), what };
    if modules.len() > MODULES_MAX {
        return Err(ModelError::Broken { path, why: "it has more than 16 modules".into() });
    }
    // The modules' full names differ between versions of sentence-transformers.
    let kinds: Vec<(&str, &Module)> =
        modules.iter().map(|module| (module.kind.rsplit('.').next().unwrap_or_default(), module)).collect();
    let (pooling, normalises) = match kinds.as_slice() {
        [("Transformer", network), ("Pooling", pooling), rest @ ..] if network.path.is_empty() => {
            match rest {
                [] => (pooling, false),
                [("Normalize", _)] => (pooling, true),
                [(other, _), ..] => return Err(unsupported(format!("the module `{}`", short(other)))),
            }
        }
        _ => return Err(unsupported("other modules than `Transformer`, `Pooling` and `Normalize`".into())),
    };
    // A path with more in it could read what is no part of the model.
    let mut parts = Path::new(&pooling.path).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        return Err(ModelError::Broken { path, why: "a module's path is not a folder beside it".into() });
    }
    Ok((read_pooling(&folder.join(&pooling.path).join("config.json"))?, normalises))
}

/// Older folders have a switch for each way, newer ones a word.
fn read_pooling(path: &Path) -> Result<Pooling, ModelError> {
    let fields: Map<String, Value> = parse(path, &read_bounded(path, BYTES_MAX)?)?;
    let switches = fields
        .iter()
        .filter(|(name, value)| name.starts_with("pooling_mode_") && value.as_bool() == Some(true));
    let mut ways: Vec<&str> = switches.map(|(name, _)| name.as_str()).collect();
    ways.extend(fields.get("pooling_mode").and_then(Value::as_str));
    match ways.as_slice() {
        ["pooling_mode_mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["pooling_mode_cls_token" | "cls"] => Ok(Pooling::Cls),
        [] => Err(ModelError::Broken { path: path.into(), why: "it names no way of pooling".into() }),
        ways => {
            let what = format!("pooling by {}", short(&ways.join(" and ")));
            Err(ModelError::Unsupported { path: path.into(), what })
        }
    }
}
