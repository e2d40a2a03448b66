//! What a chat request must look like to be understood. Everything that this page does not name is left to the
//! provider: unknown fields are kept, not judged. `prompt` shares the fields that other requests have too.

use serde_json::{Map, Value};

use crate::error::RequestError;

const MAX_MESSAGES: usize = 10_000;
const MAX_TOOLS: usize = 512;
const MAX_STOPS: usize = 64;
const MAX_ANSWERS: u64 = 128;

/// The settings that the gateway acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) model: Box<str>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) answers: u32,
    pub(crate) max_output: Option<u64>,
}

pub(crate) type Object = Map<String, Value>;

/// Checks the document and reads its settings.
pub(crate) fn view(body: &Object) -> Result<View, RequestError> {
    messages(body)?;
    for list in ["tools", "functions"] {
        objects(body.get(list), list, MAX_TOOLS, "an array of at most 512 objects")?;
    }
    stop(body.get("stop"))?;
    let include_usage = include_usage(body)?;
    let newer = limit(body.get("max_completion_tokens"), "max_completion_tokens")?;
    let older = limit(body.get("max_tokens"), "max_tokens")?;
    Ok(View {
        model: model(body)?.into(),
        stream: boolean(body.get("stream"), "stream")?,
        include_usage,
        answers: answers(body.get("n"))?,
        // Which of the two counts is the server's choice, so that the larger one is held for.
        max_output: newer.max(older),
    })
}

pub(crate) fn model(body: &Object) -> Result<&str, RequestError> {
    const EXPECTED: &str = "a name of 1 to 256 bytes";
    match body.get("model") {
        None | Some(Value::Null) => {
            Err(RequestError::MissingField { param: "model".into(), hint: "name a model, or use `auto`" })
        }
        Some(Value::String(name)) if (1..=256).contains(&name.len()) => Ok(name),
        Some(Value::String(name)) => Err(RequestError::InvalidField {
            param: "model".into(),
            expected: EXPECTED,
            found: format!("{} bytes", name.len()),
        }),
        Some(other) => Err(RequestError::invalid("model", EXPECTED, other)),
    }
}

pub(crate) fn boolean(value: Option<&Value>, param: &str) -> Result<bool, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(set)) => Ok(*set),
        Some(other) => Err(RequestError::invalid(param, "true or false", other)),
    }
}

/// Whether the client asks for a usage chunk at the end of a stream.
pub(crate) fn include_usage(body: &Object) -> Result<bool, RequestError> {
    match body.get("stream_options") {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Object(options)) => boolean(options.get("include_usage"), "stream_options.include_usage"),
        Some(other) => Err(RequestError::invalid("stream_options", "an object", other)),
    }
}

/// What stands where a whole number in some range should. Not the figure itself: it is the client's content.
pub(crate) fn number_found(value: &Value) -> String {
    match value {
        Value::Number(_) => "another number".to_owned(),
        other => crate::error::type_name(other).to_owned(),
    }
}

fn limit(value: Option<&Value>, param: &str) -> Result<Option<u64>, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(tokens) if tokens >= 1 => Ok(Some(tokens)),
            _ => Err(RequestError::InvalidField {
                param: param.into(),
                expected: "a whole number of at least 1",
                found: number_found(value),
            }),
        },
    }
}

pub(crate) fn answers(value: Option<&Value>) -> Result<u32, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(1),
        Some(value) => value
            .as_u64()
            .filter(|n| (1..=MAX_ANSWERS).contains(n))
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| RequestError::InvalidField {
                param: "n".into(),
                expected: "a whole number from 1 to 128",
                found: number_found(value),
            }),
    }
}

pub(crate) fn stop(value: Option<&Value>) -> Result<(), RequestError> {
    const EXPECTED: &str = "a string or an array of at most 64 strings";
    match value {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(stops)) if stops.len() > MAX_STOPS => Err(too_many("stop", EXPECTED, stops.len())),
        Some(Value::Array(stops)) => match stops.iter().enumerate().find(|(_, stop)| !stop.is_string()) {
            Some((at, other)) => Err(RequestError::invalid(format!("stop[{at}]"), "a string", other)),
            None => Ok(()),
        },
        Some(other) => Err(RequestError::invalid("stop", EXPECTED, other)),
    }
}

pub(crate) fn too_many(param: &str, expected: &'static str, count: usize) -> RequestError {
    RequestError::InvalidField { param: param.into(), expected, found: format!("{count} elements") }
}

/// An optional array of objects.
fn objects(
    value: Option<&Value>,
    param: &str,
    max: usize,
    expected: &'static str,
) -> Result<(), RequestError> {
    match value {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(list)) if list.len() > max => Err(too_many(param, expected, list.len())),
        Some(Value::Array(list)) => match list.iter().enumerate().find(|(_, item)| !item.is_object()) {
            Some((at, other)) => Err(RequestError::invalid(format!("{param}[{at}]"), "an object", other)),
            None => Ok(()),
        },
        Some(other) => Err(RequestError::invalid(param, expected, other)),
    }
}

fn messages(body: &Object) -> Result<(), RequestError> {
    const EXPECTED: &str = "an array of 1 to 10000 messages";
    let list = match body.get("messages") {
        None | Some(Value::Null) => {
            return Err(RequestError::MissingField {
                param: "messages".into(),
                hint: "send at least one message",
            });
        }
        Some(Value::Array(list)) => list,
        Some(other) => return Err(RequestError::invalid("messages", EXPECTED, other)),
    };
    if list.is_empty() || list.len() > MAX_MESSAGES {
        return Err(too_many("messages", EXPECTED, list.len()));
    }
    list.iter().enumerate().try_for_each(|(at, value)| message(at, value))
}

fn message(at: usize, value: &Value) -> Result<(), RequestError> {
    let Value::Object(message) = value else {
        return Err(RequestError::invalid(format!("messages[{at}]"), "an object", value));
    };
    match message.get("role") {
        Some(Value::String(_)) => {}
        None | Some(Value::Null) => {
            return Err(RequestError::MissingField {
                param: format!("messages[{at}].role"),
                hint: "use `system`, `user`, `assistant` or `tool`",
            });
        }
        Some(other) => {
            return Err(RequestError::invalid(format!("messages[{at}].role"), "a string", other));
        }
    }
    match message.get("content") {
        None | Some(Value::Null | Value::String(_)) => {}
        Some(Value::Array(parts)) => {
            for (part_at, part) in parts.iter().enumerate() {
                content_part(part, || format!("messages[{at}].content[{part_at}]"))?;
            }
        }
        Some(other) => {
            let param = format!("messages[{at}].content");
            return Err(RequestError::invalid(param, "a string or an array of parts", other));
        }
    }
    for key in ["name", "refusal", "tool_call_id"] {
        if let Some(other) = message.get(key).filter(|value| !(value.is_string() || value.is_null())) {
            return Err(RequestError::invalid(format!("messages[{at}].{key}"), "a string", other));
        }
    }
    calls(message, at)
}

fn content_part(part: &Value, param: impl Fn() -> String) -> Result<(), RequestError> {
    let Value::Object(fields) = part else {
        return Err(RequestError::invalid(param(), "an object", part));
    };
    match fields.get("type") {
        Some(Value::String(kind)) if kind == "text" => match fields.get("text") {
            Some(Value::String(_)) => Ok(()),
            None => Err(RequestError::MissingField {
                param: format!("{}.text", param()),
                hint: "a part of type `text` carries its text there",
            }),
            Some(other) => Err(RequestError::invalid(format!("{}.text", param()), "a string", other)),
        },
        Some(Value::String(_)) => Ok(()),
        None => Err(RequestError::MissingField {
            param: format!("{}.type", param()),
            hint: "use `text`, `image_url`, `input_audio` or `file`",
        }),
        Some(other) => Err(RequestError::invalid(format!("{}.type", param()), "a string", other)),
    }
}

fn calls(message: &Object, at: usize) -> Result<(), RequestError> {
    const MAX_CALLS: usize = 1_024;
    if message.get("tool_calls").is_none() {
        return Ok(());
    }
    let param = format!("messages[{at}].tool_calls");
    objects(message.get("tool_calls"), &param, MAX_CALLS, "an array of at most 1024 objects")?;
    let Some(Value::Array(list)) = message.get("tool_calls") else { return Ok(()) };
    for (call_at, call) in list.iter().enumerate() {
        for key in ["name", "arguments"] {
            let value = call.get("function").and_then(|function| function.get(key));
            if let Some(other) = value.filter(|value| !value.is_string()) {
                let param = format!("{param}[{call_at}].function.{key}");
                return Err(RequestError::invalid(param, "a string", other));
            }
        }
    }
    Ok(())
}
