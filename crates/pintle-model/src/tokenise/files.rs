//! A tokeniser's files: `tokenizer.json` as it was made, `tokenizer_config.json` with the chat template. Other
//! folders keep the template in `chat_template.jinja`, or several of them in a list; both are read.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use super::{
    CHAT_TEMPLATE, END_OF_ANSWER, END_OF_TEXT, Special, Tokeniser, stream::Vocabulary,
    template::ChatTemplate, train::CONTROL_TOKENS,
};
use crate::ModelError;

const TOKENIZER_BYTES_MAX: u64 = 128 << 20;
const SETTINGS_BYTES_MAX: u64 = 8 << 20;
/// Ids beyond this come from a broken file.
const ID_MAX: u32 = 1 << 20;
/// What a tokeniser's settings may call a control token, in the words that templates use too.
const TOKEN_NAMES: [&str; 7] =
    ["bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token"];

/// The content of `tokenizer_config.json`.
#[derive(Debug)]
pub(super) struct Settings {
    fields: Map<String, Value>,
    template: Option<String>,
}

impl Settings {
    /// Those of our own tokenisers.
    pub(super) fn own(template: &str) -> Result<Self, ModelError> {
        let fields = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END_OF_TEXT,
            "eos_token": END_OF_ANSWER,
            "pad_token": END_OF_TEXT,
            "add_bos_token": false,
            "add_eos_token": false,
            "clean_up_tokenization_spaces": false,
        });
        let Value::Object(fields) = fields else {
            return Err(ModelError::Tokeniser("its settings are no object".into()));
        };
        Ok(Settings { fields, template: Some(template.to_owned()) })
    }

    fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer_config.json");
        let fields = match read_optional(&path, SETTINGS_BYTES_MAX)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| broken(&path, &error))?,
            None => Map::new(),
        };
        let alone = read_optional(&folder.join("chat_template.jinja"), SETTINGS_BYTES_MAX)?;
        Ok(Settings::parse(fields, alone))
    }

    /// A template in a file of its own counts before the one among the settings, as in `transformers`. Of several,
    /// the one named `default` is taken.
    fn parse(mut fields: Map<String, Value>, alone: Option<String>) -> Self {
        let among = match fields.remove("chat_template") {
            Some(Value::String(text)) => Some(text),
            Some(Value::Array(list)) => {
                let default =
                    list.iter().find(|entry| entry.get("name").is_some_and(|name| name == "default"));
                default.and_then(|entry| entry.get("template")).and_then(Value::as_str).map(str::to_owned)
            }
            _ => None,
        };
        // A folder must not make others run its code.
        fields.remove("auto_map");
        Settings { fields, template: alone.or(among) }
    }

    /// A control token by its name; the wild has both a string and an object.
    fn token(&self, name: &str) -> Option<&str> {
        let value = self.fields.get(name)?;
        value.as_str().or_else(|| value.get("content").and_then(Value::as_str))
    }
}

impl Tokeniser {
    /// Reads the tokeniser of a model's folder. Nothing is looked up elsewhere.
    ///
    /// # Errors
    /// With the file's name, for one that is missing, too large or broken.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        let json = read_bounded(&path, TOKENIZER_BYTES_MAX)?;
        let settings = Settings::read(folder)?;
        Tokeniser::from_json(json, settings).map_err(|error| match error {
            ModelError::Tokeniser(why) => ModelError::Broken { path, why },
            other => other,
        })
    }

    pub(super) fn from_json(json: String, settings: Settings) -> Result<Self, ModelError> {
        let broken = |why: String| ModelError::Tokeniser(why);
        // The library panics at a decoder that is no JSON. A whole value, because merely skipping one lets some through.
        let _: serde_json::Value =
            serde_json::from_str(&json).map_err(|_| broken("it is no tokeniser".into()))?;
        let mut library =
            Tokenizer::from_bytes(json.as_bytes()).map_err(|_| broken("it is no tokeniser".into()))?;
        // Files in the wild carry the cutting and padding of their training; both would change texts here.
        library.with_truncation(None).map_err(|_| broken("its truncation cannot be taken out".into()))?;
        library.with_padding(None);
        make_named_special(&mut library, &settings)?;
        let specials = specials(&library);
        let highest = library.get_vocab(true).into_values().max();
        let highest = highest.ok_or_else(|| broken("its vocabulary is empty".into()))?;
        if highest > ID_MAX {
            return Err(broken(format!("its highest id is {highest}, more than {ID_MAX}")));
        }
        let vocab_size = highest as usize + 1;
        let vocabulary = Vocabulary::of(&library, vocab_size);
        let id = |name: &str| settings.token(name).and_then(|token| library.token_to_id(token));
        let (begin, end, pad) = (id("bos_token"), id("eos_token"), id("pad_token"));
        refuse_missing(&settings, &specials, begin, end).map_err(broken)?;
        let model: Value = serde_json::to_value(library.get_model()).unwrap_or_default();
        let unknown =
            model.get("unk_token").and_then(Value::as_str).and_then(|token| library.token_to_id(token));
        let whole = (!vocabulary.is_bytes()).then(|| library.clone());
        library.set_encode_special_tokens(true);
        let names = TOKEN_NAMES.iter();
        let names =
            names.filter_map(|name| Some(((*name).to_owned(), settings.token(name)?.to_owned()))).collect();
        let template = settings.template.as_deref();
        let template = template.map(|source| ChatTemplate::new(source, names)).transpose()?;
        let special_ids: BTreeSet<u32> = specials.iter().map(|special| special.id).collect();
        Ok(Tokeniser {
            library,
            whole,
            json,
            settings: settings.fields,
            specials,
            special_ids,
            unknown,
            vocabulary,
            template,
            vocab_size,
            begin,
            end,
            pad,
        })
    }

    /// The content of `tokenizer_config.json` for a model that reads so many tokens.
    #[must_use]
    pub fn settings_json(&self, tokens_max: usize) -> Value {
        let mut fields = self.settings.clone();
        fields.insert("model_max_length".into(), tokens_max.into());
        if let Some(template) = self.chat_template() {
            fields.insert("chat_template".into(), template.into());
        }
        Value::Object(fields)
    }
}

/// Without the tokens that its settings or our template write, a tokeniser is another model's: what should end an answer
/// would be letters.
fn refuse_missing(
    settings: &Settings,
    specials: &[Special],
    begin: Option<u32>,
    end: Option<u32>,
) -> Result<(), String> {
    for (name, id) in [("bos_token", begin), ("eos_token", end)] {
        if let (Some(token), None) = (settings.token(name), id) {
            let token: String = token.chars().filter(|letter| !letter.is_control()).take(64).collect();
            return Err(format!("`{token}`, which its settings call `{name}`, is not in its vocabulary"));
        }
    }
    if settings.template.as_deref() == Some(CHAT_TEMPLATE) {
        let is_there = |token: &&str| specials.iter().any(|special| special.text == **token);
        if let Some(token) = CONTROL_TOKENS.iter().find(|token| !is_there(token)) {
            return Err(format!("`{token}`, which the chat template writes, is none of its control tokens"));
        }
    }
    Ok(())
}

/// Some folders name a control token that `tokenizer.json` does not mark as special; text must not make it either.
fn make_named_special(library: &mut Tokenizer, settings: &Settings) -> Result<(), ModelError> {
    let named: Vec<&str> = TOKEN_NAMES.iter().filter_map(|name| settings.token(name)).collect();
    let added = library.get_added_tokens_decoder().into_values();
    let plain: Vec<_> = added
        .filter(|token| !token.special && named.contains(&token.content.as_str()))
        .map(|token| token.special(true))
        .collect();
    let added = library.add_special_tokens(plain);
    added.map(|_| ()).map_err(|_| ModelError::Tokeniser("its control tokens cannot be added".into()))
}

/// The control tokens.
fn specials(library: &Tokenizer) -> Vec<Special> {
    let mut specials: Vec<Special> = library
        .get_added_tokens_decoder()
        .into_iter()
        .filter(|(_, token)| token.special)
        .filter(|(_, token)| !token.content.is_empty())
        .map(|(id, token)| Special {
            text: token.content,
            id,
            takes_space_before: token.lstrip,
            takes_space_after: token.rstrip,
        })
        .collect();
    specials.sort_by_key(|special| special.id);
    specials
}

fn broken(path: &Path, error: &serde_json::Error) -> ModelError {
    ModelError::Broken { path: path.into(), why: error.to_string() }
}

/// Reads a text file of a bounded size.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, ModelError> {
    let file = fs::File::open(path).map_err(ModelError::io(path))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(ModelError::io(path))?;
    let fail = |why: String| ModelError::Broken { path: PathBuf::from(path), why };
    if bytes.len() as u64 > bytes_max {
        return Err(fail(format!("it is larger than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".into()))
}

/// As [`read_bounded`]; `None` where there is no such file.
pub(crate) fn read_optional(path: &Path, bytes_max: u64) -> Result<Option<String>, ModelError> {
    match read_bounded(path, bytes_max) {
        Ok(text) => Ok(Some(text)),
        Err(ModelError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
