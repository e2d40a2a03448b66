//! Which value applies, and why: every setting with where it comes from. `pintle config explain` prints
//! it, so that nobody has to guess whether the file or the environment won.

use serde::Serialize;
use serde_json::Value;

use super::{
    ConfigSource,
    check::local_url,
    parse::Parsed,
    settings::{CONFIG, DATA, Inputs, LISTEN, Origin, PUBLIC_URL, SETTINGS},
};

/// One setting, its value and its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Explained {
    /// The path in the file: `placement[0].zone`.
    pub(crate) key: String,
    /// The value as people write it. For a secret: where it is, and whether it is there.
    pub(crate) value: String,
    /// Where the value comes from.
    pub(crate) source: Origin,
}

/// All settings in the order of the file's sections.
pub(crate) fn rows(parsed: &Parsed, inputs: &Inputs, from: &ConfigSource) -> Vec<Explained> {
    let mut rows = Vec::new();
    let (config, source) = inputs.overriding(&CONFIG).unwrap_or_else(|| (from.to_string(), Origin::Default));
    rows.push(Explained { key: CONFIG.path.to_owned(), value: config, source });
    let (data, source) = inputs.data_folder();
    rows.push(Explained { key: DATA.path.to_owned(), value: data.display().to_string(), source });
    // Serialising our own plain structs cannot fail; if it did, nothing would be explained.
    let whole = serde_json::to_value(&parsed.config).unwrap_or_default();
    flatten(parsed, inputs, "", &whole, &mut rows);
    rows
}

fn flatten(parsed: &Parsed, inputs: &Inputs, path: &str, value: &Value, rows: &mut Vec<Explained>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                flatten(parsed, inputs, &super::source::join(path, key), field, rows);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            for (index, element) in elements.iter().enumerate() {
                flatten(parsed, inputs, &format!("{path}[{index}]"), element, rows);
            }
        }
        leaf => rows.extend(row(parsed, inputs, path, leaf)),
    }
}

fn row(parsed: &Parsed, inputs: &Inputs, path: &str, leaf: &Value) -> Option<Explained> {
    let from_file = parsed.map.get(path).map(|mark| Origin::File {
        file: parsed.source.name.clone(),
        line: parsed.source.line(mark.key.start),
    });
    let by_override = SETTINGS
        .into_iter()
        .filter(|setting| setting.path == path)
        .find_map(|setting| inputs.overriding(setting));
    if let Some((value, source)) = by_override {
        return Some(Explained { key: path.to_owned(), value, source });
    }
    let value = match leaf {
        Value::Null if path == PUBLIC_URL.path => derived_url(parsed, inputs)?,
        Value::Null if path.starts_with("placement") => return None,
        Value::Null => "not set".to_owned(),
        Value::String(variable) if path.ends_with(".api_key.env") => {
            let state = if (inputs.environment)(variable).is_some() { "set" } else { "not set" };
            format!("{variable} ({state}, value hidden)")
        }
        Value::String(text) => text.clone(),
        Value::Array(elements) if elements.is_empty() => "none".to_owned(),
        Value::Array(elements) => {
            let texts: Vec<String> = elements
                .iter()
                .map(|element| element.as_str().map_or_else(|| element.to_string(), str::to_owned))
                .collect();
            texts.join(", ")
        }
        other => other.to_string(),
    };
    Some(Explained { key: path.to_owned(), value, source: from_file.unwrap_or(Origin::Default) })
}

fn derived_url(parsed: &Parsed, inputs: &Inputs) -> Option<String> {
    let listen =
        inputs.overriding(&LISTEN).map_or_else(|| parsed.config.server.listen.clone(), |(text, _)| text);
    listen.parse().ok().map(local_url)
}
