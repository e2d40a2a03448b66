//! The body of `POST /v1/fine_tuning/jobs`. What this cannot do as it is meant is refused, not left out: a client must be
//! able to rely on what it asked for.

use std::collections::BTreeMap;

use pintle_core::FileId;
use pintle_llm::RequestError;
use serde_json::{Map, Value};

use super::TuningWish;

const SUFFIX_CHARS_MAX: usize = 64;
const METADATA_MAX: usize = 16;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 512;
const MODEL_CHARS_MAX: usize = 128;

/// Reads it.
pub(super) fn parse(body: &Value) -> Result<TuningWish, RequestError> {
    let fields = body.as_object().ok_or_else(|| invalid("body", "an object", body))?;
    let known = [
        "model",
        "training_file",
        "validation_file",
        "hyperparameters",
        "method",
        "seed",
        "suffix",
        "metadata",
        "integrations",
        "pintle",
    ];
    only(fields, "", &known)?;
    let (model, training_file) = (required(fields, "model")?, required(fields, "training_file")?);
    if model.chars().count() > MODEL_CHARS_MAX {
        return Err(found("model", "at most 128 characters", "a longer text"));
    }
    let integrations = fields.get("integrations").filter(|value| !value.is_null());
    if integrations.is_some_and(|value| value.as_array().is_none_or(|list| !list.is_empty())) {
        return Err(unsupported("integrations", "nothing is sent to other services; leave it out"));
    }
    let by_method = method(fields)?;
    let hyperparameters = by_method.or(optional(fields, "hyperparameters"));
    let numbers = hyperparameters.map(|(path, value)| numbers(path, value)).transpose()?.unwrap_or_default();
    Ok(TuningWish {
        model: model.to_owned(),
        training_file: file("training_file", training_file)?,
        validation_file: optional_text(fields, "validation_file")?
            .map(|text| file("validation_file", text))
            .transpose()?,
        n_epochs: numbers.n_epochs,
        batch_size: numbers.batch_size,
        learning_rate_multiplier: numbers.learning_rate_multiplier,
        seed: seed(fields)?,
        suffix: suffix(fields)?,
        metadata: metadata(fields)?,
        is_full: is_full(fields)?,
    })
}

fn invalid(param: &str, expected: &'static str, value: &Value) -> RequestError {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number out of range or of another kind",
        Value::String(_) => "another text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    found(param, expected, kind)
}

fn found(param: &str, expected: &'static str, what: &str) -> RequestError {
    RequestError::InvalidField { param: param.to_owned(), expected, found: what.to_owned() }
}

fn unsupported(param: impl Into<String>, reason: &'static str) -> RequestError {
    RequestError::Unsupported { param: param.into(), reason }
}

/// Refuses fields that would be passed over.
fn only(fields: &Map<String, Value>, path: &str, known: &[&str]) -> Result<(), RequestError> {
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let key: String = key.chars().take(64).filter(|c| !c.is_control()).collect();
            Err(unsupported(format!("{path}{key}"), "this field is not known here; leave it out"))
        }
    }
}

fn optional<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Option<(&'static str, &'a Value)> {
    fields.get(name).filter(|value| !value.is_null()).map(|value| (name, value))
}

fn optional_text<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, RequestError> {
    optional(fields, name)
        .map(|(name, value)| value.as_str().ok_or_else(|| invalid(name, "a string", value)))
        .transpose()
}

fn required<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, RequestError> {
    optional_text(fields, name)?.filter(|text| !text.is_empty()).ok_or_else(|| RequestError::MissingField {
        param: name.to_owned(),
        hint: if name == "model" {
            "name an own model, one of its versions such as `handbook@1`, or a placement that serves one"
        } else {
            "upload a file with the purpose `fine-tune` and give its id"
        },
    })
}

fn file(param: &'static str, text: &str) -> Result<FileId, RequestError> {
    text.parse().map_err(|_| found(param, "the id of an uploaded file, such as `file-…`", "another text"))
}

/// `method.supervised.hyperparameters`; the other methods are refused.
fn method(fields: &Map<String, Value>) -> Result<Option<(&'static str, &Value)>, RequestError> {
    let Some((_, method)) = optional(fields, "method") else { return Ok(None) };
    let method = method.as_object().ok_or_else(|| invalid("method", "an object", method))?;
    match method.get("type").and_then(Value::as_str) {
        Some("supervised") => {}
        Some("dpo" | "reinforcement") => {
            let reason = "models are tuned here with the method `supervised` only";
            return Err(unsupported("method.type", reason));
        }
        _ => return Err(found("method.type", "`supervised`", "something else")),
    }
    only(method, "method.", &["type", "supervised"])?;
    let Some((_, supervised)) = optional(method, "supervised") else { return Ok(None) };
    let supervised =
        supervised.as_object().ok_or_else(|| invalid("method.supervised", "an object", supervised))?;
    only(supervised, "method.supervised.", &["hyperparameters"])?;
    let value = optional(supervised, "hyperparameters");
    Ok(value.map(|(_, value)| ("method.supervised.hyperparameters", value)))
}

#[derive(Default)]
struct Numbers {
    n_epochs: Option<u32>,
    batch_size: Option<u32>,
    learning_rate_multiplier: Option<f64>,
}

fn numbers(path: &str, value: &Value) -> Result<Numbers, RequestError> {
    let fields = value.as_object().ok_or_else(|| invalid(path, "an object", value))?;
    only(fields, &format!("{path}."), &["n_epochs", "batch_size", "learning_rate_multiplier"])?;
    let given =
        |name: &str| fields.get(name).filter(|value| !value.is_null() && value.as_str() != Some("auto"));
    let whole = |name: &str, most: u64, expected: &'static str| match given(name) {
        None => Ok(None),
        Some(value) => match value.as_u64().filter(|number| (1..=most).contains(number)) {
            Some(number) => Ok(u32::try_from(number).ok()),
            None => Err(invalid(&format!("{path}.{name}"), expected, value)),
        },
    };
    let learning_rate_multiplier = match given("learning_rate_multiplier") {
        None => None,
        Some(value) => {
            let number = value.as_f64().filter(|number| *number > 0.0 && *number <= 100.0);
            let expected = "`auto`, or a number above 0, at most 100";
            Some(
                number
                    .ok_or_else(|| invalid(&format!("{path}.learning_rate_multiplier"), expected, value))?,
            )
        }
    };
    Ok(Numbers {
        n_epochs: whole("n_epochs", 50, "`auto`, or a whole number from 1 to 50")?,
        batch_size: whole("batch_size", 256, "`auto`, or a whole number from 1 to 256")?,
        learning_rate_multiplier,
    })
}

fn seed(fields: &Map<String, Value>) -> Result<Option<u64>, RequestError> {
    let Some((_, value)) = optional(fields, "seed") else { return Ok(None) };
    let seed = value.as_u64().filter(|seed| i64::try_from(*seed).is_ok());
    seed.map(Some).ok_or_else(|| invalid("seed", "a whole number from 0 to 9223372036854775807", value))
}

fn suffix(fields: &Map<String, Value>) -> Result<Option<String>, RequestError> {
    let Some(text) = optional_text(fields, "suffix")? else { return Ok(None) };
    if text.chars().count() > SUFFIX_CHARS_MAX {
        return Err(found("suffix", "at most 64 characters", "a longer text"));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn metadata(fields: &Map<String, Value>) -> Result<Option<BTreeMap<String, String>>, RequestError> {
    let Some((_, value)) = optional(fields, "metadata") else { return Ok(None) };
    let expected = "at most 16 pairs of texts, keys of at most 64 and values of at most 512 characters";
    let pairs = value.as_object().filter(|pairs| pairs.len() <= METADATA_MAX);
    let pair = |(key, value): (&String, &Value)| {
        let value = value.as_str()?;
        let fits = key.chars().count() <= METADATA_KEY_CHARS_MAX
            && value.chars().count() <= METADATA_VALUE_CHARS_MAX;
        fits.then(|| (key.clone(), value.to_owned()))
    };
    let pairs = pairs.and_then(|pairs| pairs.iter().map(pair).collect::<Option<_>>());
    pairs.map(Some).ok_or_else(|| invalid("metadata", expected, value))
}

/// `"pintle": {"tuning": "full"}`: what OpenAI's form has no word for.
fn is_full(fields: &Map<String, Value>) -> Result<bool, RequestError> {
    let Some((_, own)) = optional(fields, "pintle") else { return Ok(false) };
    let own = own.as_object().ok_or_else(|| invalid("pintle", "an object", own))?;
    only(own, "pintle.", &["tuning"])?;
    match own.get("tuning").and_then(Value::as_str) {
        None | Some("lora") => Ok(false),
        Some("full") => Ok(true),
        Some(_) => Err(found("pintle.tuning", "`lora` or `full`", "another text")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(more: &Value) -> Value {
        let id = "file-0193a1b2c3d47e5f8a9b0c1d2e3f4a5b";
        let mut body = json!({ "model": "handbook", "training_file": id });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    }

    #[test]
    fn both_places_of_the_hyperparameters_are_read() {
        let numbers = json!({ "n_epochs": 4, "batch_size": "auto", "learning_rate_multiplier": 0.5 });
        for more in [
            json!({ "hyperparameters": numbers }),
            json!({ "method": { "type": "supervised", "supervised": { "hyperparameters": numbers } } }),
        ] {
            let wish = parse(&body(&more)).unwrap();
            assert_eq!((wish.n_epochs, wish.batch_size), (Some(4), None));
            assert_eq!(wish.learning_rate_multiplier, Some(0.5));
        }
        let wish = parse(&body(
            &json!({ "seed": null, "suffix": null, "integrations": [], "metadata": { "a": "b" } }),
        ));
        assert_eq!(wish.unwrap().metadata.unwrap()["a"], "b");
        assert!(parse(&body(&json!({ "pintle": { "tuning": "full" } }))).unwrap().is_full);
    }

    #[test]
    fn what_cannot_be_done_as_it_is_meant_is_refused() {
        for (more, param) in [
            (json!({ "training_file": "file-1" }), "training_file"),
            (json!({ "training_file": null }), "training_file"),
            (json!({ "method": { "type": "dpo" } }), "method.type"),
            (json!({ "hyperparameters": { "beta": 1 } }), "hyperparameters.beta"),
            (json!({ "hyperparameters": { "n_epochs": 0 } }), "hyperparameters.n_epochs"),
            (json!({ "hyperparameters": { "n_epochs": 1.5 } }), "hyperparameters.n_epochs"),
            (json!({ "integrations": [{ "type": "wandb" }] }), "integrations"),
            (json!({ "seed": -1 }), "seed"),
            (json!({ "metadata": { "a": 1 } }), "metadata"),
            (json!({ "suffix": "x".repeat(65) }), "suffix"),
            (json!({ "epochs": 3 }), "epochs"),
            (json!({ "pintle": { "tuning": "half" } }), "pintle.tuning"),
        ] {
            assert_eq!(parse(&body(&more)).unwrap_err().param(), Some(param), "{more}");
        }
        assert_eq!(parse(&json!([])).unwrap_err().param(), Some("body"));
    }
}
