//! A chat request as Anthropic's Messages API wants it.
//!
//! **Converted:** `system` and `developer` messages, wherever they stand, become the top-level `system`; messages
//! of one role that follow each other are joined; `tool` messages become results in a user message; tools, tool
//! choice, `functions` and `function_call`; `data:` and `https:` images, PDF files; `stop`, `temperature` (above 1,
//! which is Anthropic's most, it is sent as 1), `top_p`, `user`; `response_format` of type `json_schema`.
//! **Passed on as they are:** `top_k`, `thinking`, `output_config`, and `cache_control` on parts and tools.
//! **Dropped**, because they only tune what Anthropic has no knob for: `seed`, `logit_bias`, penalties, `metadata`,
//! `store`, `service_tier`, `prediction`, `reasoning_effort`, `verbosity`, `strict`, cache keys, unknown fields,
//! messages' `name`, and earlier answers' reasoning.
//! **Refused** (`unsupported`), because the answer would lack what was asked for: `n` above 1, `logprobs`, sound in
//! or out, files by id, custom tools, web search, `json_object`.

use serde_json::{Map, Value, json};

use crate::{blocks::object, chat::ChatRequest, error::RequestError, walk::is_data_url};

type Object = Map<String, Value>;

/// Builds the body.
pub(crate) fn convert(
    request: &ChatRequest,
    model: &str,
    default_max_tokens: u64,
) -> Result<Object, RequestError> {
    let source = request.body();
    refuse_unsupported(request)?;
    let mut conversation = Conversation::default();
    for (at, message) in request.messages().iter().enumerate() {
        if let Value::Object(message) = message {
            conversation.message(at, message)?;
        }
    }
    if conversation.turns.is_empty() {
        return Err(RequestError::unsupported(
            "messages",
            "this provider needs at least one message with content that is not a system message",
        ));
    }
    let mut body = Object::new();
    body.insert("model".into(), model.into());
    body.insert("max_tokens".into(), request.max_output_tokens().unwrap_or(default_max_tokens).into());
    if !conversation.system.is_empty() {
        body.insert("system".into(), conversation.system.into());
    }
    let turns = conversation.turns.into_iter();
    let messages =
        turns.map(|turn| object([("role", turn.role.into()), ("content", Value::Array(turn.blocks))]));
    body.insert("messages".into(), messages.collect());
    tools(source, &mut body)?;
    sampling(source, &mut body)?;
    response_format(source, &mut body)?;
    if let Some(Value::String(user)) = source.get("user") {
        body.insert("metadata".into(), json!({ "user_id": user }));
    }
    if request.stream() {
        body.insert("stream".into(), true.into());
    }
    Ok(body)
}

fn refuse_unsupported(request: &ChatRequest) -> Result<(), RequestError> {
    let source = request.body();
    if request.n() > 1 {
        return Err(RequestError::unsupported(
            "n",
            "this provider gives one answer per request; send `n` = 1",
        ));
    }
    if source.get("logprobs") == Some(&Value::Bool(true)) {
        return Err(RequestError::unsupported("logprobs", "this provider reports no log probabilities"));
    }
    let wants_sound = source
        .get("modalities")
        .and_then(Value::as_array)
        .is_some_and(|modalities| modalities.iter().any(|modality| modality == "audio"));
    if wants_sound {
        return Err(RequestError::unsupported("modalities", "this provider answers in text only"));
    }
    if source.get("web_search_options").is_some_and(Value::is_object) {
        return Err(RequestError::unsupported(
            "web_search_options",
            "this provider is offered no web search",
        ));
    }
    Ok(())
}

fn sampling(source: &Object, body: &mut Object) -> Result<(), RequestError> {
    for (key, max) in [("temperature", 2.0), ("top_p", 1.0)] {
        match source.get(key) {
            None | Some(Value::Null) => {}
            Some(value) => match value.as_f64().filter(|number| (0.0..=max).contains(number)) {
                Some(number) if number > 1.0 => {
                    body.insert(key.into(), 1.into());
                }
                Some(_) => {
                    body.insert(key.into(), value.clone());
                }
                None => {
                    let expected =
                        if key == "top_p" { "a number from 0 to 1" } else { "a number from 0 to 2" };
                    let found = match value {
                        Value::Number(_) => "another number",
                        other => crate::error::type_name(other),
                    };
                    return Err(RequestError::InvalidField {
                        param: key.into(),
                        expected,
                        found: found.into(),
                    });
                }
            },
        }
    }
    let stops: Vec<Value> = match source.get("stop") {
        Some(Value::String(stop)) => vec![stop.as_str().into()],
        Some(Value::Array(stops)) => stops.clone(),
        _ => Vec::new(),
    };
    if !stops.is_empty() {
        body.insert("stop_sequences".into(), stops.into());
    }
    for key in ["top_k", "thinking", "output_config"] {
        if let Some(value) = source.get(key).filter(|value| !value.is_null()) {
            body.insert(key.into(), value.clone());
        }
    }
    Ok(())
}

fn response_format(source: &Object, body: &mut Object) -> Result<(), RequestError> {
    let format = match source.get("response_format") {
        None | Some(Value::Null) => return Ok(()),
        Some(format) => format,
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(()),
        Some("json_schema") => {
            let Some(schema @ Value::Object(_)) = format.pointer("/json_schema/schema") else {
                return Err(RequestError::MissingField {
                    param: "response_format.json_schema.schema".into(),
                    hint: "put a JSON schema there",
                });
            };
            let config = body.entry("output_config").or_insert_with(|| json!({}));
            if let Some(config) = config.as_object_mut() {
                config.insert("format".into(), json!({ "type": "json_schema", "schema": schema }));
            }
            Ok(())
        }
        _ => Err(RequestError::unsupported(
            "response_format",
            "this provider knows only `text` and `json_schema`; give a schema, or ask for JSON in a message",
        )),
    }
}

fn tools(source: &Object, body: &mut Object) -> Result<(), RequestError> {
    let mut tools = Vec::new();
    for (at, tool) in array(source.get("tools")).iter().enumerate() {
        let function = match (tool.get("type").and_then(Value::as_str), tool.get("function")) {
            (Some("function") | None, Some(Value::Object(function))) => function,
            _ => {
                return Err(RequestError::unsupported(
                    format!("tools[{at}].type"),
                    "this provider takes only tools of type `function`",
                ));
            }
        };
        tools.push(tool_definition(function, tool.get("cache_control"), || format!("tools[{at}].function"))?);
    }
    for (at, function) in array(source.get("functions")).iter().enumerate() {
        if let Value::Object(function) = function {
            tools.push(tool_definition(function, None, || format!("functions[{at}]"))?);
        }
    }
    if tools.is_empty() {
        return Ok(());
    }
    body.insert("tools".into(), tools.into());
    if let Some(choice) = tool_choice(source)? {
        body.insert("tool_choice".into(), choice);
    }
    Ok(())
}

fn tool_definition(
    function: &Object,
    cache_control: Option<&Value>,
    param: impl Fn() -> String,
) -> Result<Value, RequestError> {
    let Some(Value::String(name)) = function.get("name") else {
        return Err(RequestError::MissingField {
            param: format!("{}.name", param()),
            hint: "name the function",
        });
    };
    let mut tool = Object::new();
    tool.insert("name".into(), name.as_str().into());
    if let Some(Value::String(description)) = function.get("description") {
        tool.insert("description".into(), description.as_str().into());
    }
    let schema = match function.get("parameters") {
        Some(schema @ Value::Object(_)) => schema.clone(),
        _ => json!({ "type": "object", "properties": {} }),
    };
    tool.insert("input_schema".into(), schema);
    if let Some(control @ Value::Object(_)) = cache_control {
        tool.insert("cache_control".into(), control.clone());
    }
    Ok(Value::Object(tool))
}

fn tool_choice(source: &Object) -> Result<Option<Value>, RequestError> {
    let key = if source.get("tool_choice").is_some_and(|choice| !choice.is_null()) {
        "tool_choice"
    } else {
        "function_call"
    };
    let one_at_a_time = source.get("parallel_tool_calls") == Some(&Value::Bool(false));
    let mut choice = match source.get(key) {
        None | Some(Value::Null) if one_at_a_time => json!({ "type": "auto" }),
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "auto" => json!({ "type": "auto" }),
            "none" => json!({ "type": "none" }),
            "required" => json!({ "type": "any" }),
            _ => return Err(unknown_choice(key)),
        },
        Some(Value::Object(named)) => {
            let function = named.get("function").and_then(Value::as_object).unwrap_or(named);
            match function.get("name") {
                Some(Value::String(name)) => json!({ "type": "tool", "name": name }),
                _ => return Err(unknown_choice(key)),
            }
        }
        Some(_) => return Err(unknown_choice(key)),
    };
    let takes_flag = choice.get("type").is_some_and(|kind| kind != "none");
    if one_at_a_time
        && takes_flag
        && let Some(fields) = choice.as_object_mut()
    {
        fields.insert("disable_parallel_tool_use".into(), true.into());
    }
    Ok(Some(choice))
}

fn unknown_choice(key: &str) -> RequestError {
    RequestError::unsupported(
        key,
        "this provider takes `auto`, `none`, `required` or the name of one function",
    )
}

fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Consecutive messages of one role, joined.
struct Turn {
    role: &'static str,
    blocks: Vec<Value>,
}

#[derive(Default)]
struct Conversation {
    system: Vec<Value>,
    turns: Vec<Turn>,
    /// Id given to the last `function_call`, which has none, for its result.
    last_call: Option<String>,
}

impl Conversation {
    fn message(&mut self, at: usize, message: &Object) -> Result<(), RequestError> {
        match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => self.system_message(at, message),
            Some("user") => {
                let blocks = content(at, message)?;
                self.add("user", blocks);
                Ok(())
            }
            Some("assistant") => self.assistant(at, message),
            Some("tool") => {
                let Some(Value::String(id)) = message.get("tool_call_id") else {
                    return Err(RequestError::MissingField {
                        param: format!("messages[{at}].tool_call_id"),
                        hint: "name the tool call that this is the result of",
                    });
                };
                self.result(at, message, id)
            }
            Some("function") => {
                let Some(id) = self.last_call.take() else {
                    return Err(RequestError::unsupported(
                        format!("messages[{at}].role"),
                        "this provider takes a function's result only after the call",
                    ));
                };
                self.result(at, message, &id)
            }
            _ => Err(RequestError::unsupported(
                format!("messages[{at}].role"),
                "this provider takes the roles `system`, `developer`, `user`, `assistant` and `tool`",
            )),
        }
    }

    fn add(&mut self, role: &'static str, blocks: Vec<Value>) {
        if blocks.is_empty() {
            return;
        }
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.blocks.extend(blocks),
            _ => self.turns.push(Turn { role, blocks }),
        }
    }

    fn system_message(&mut self, at: usize, message: &Object) -> Result<(), RequestError> {
        for (part_at, block) in content(at, message)?.into_iter().enumerate() {
            if block.get("type").is_none_or(|kind| kind != "text") {
                return Err(RequestError::unsupported(
                    format!("messages[{at}].content[{part_at}]"),
                    "this provider takes only text in system messages",
                ));
            }
            self.system.push(block);
        }
        Ok(())
    }

    fn assistant(&mut self, at: usize, message: &Object) -> Result<(), RequestError> {
        let mut blocks = content(at, message)?;
        if let Some(Value::String(refusal)) = message.get("refusal") {
            blocks.extend(text_block(refusal, None));
        }
        for (call_at, call) in array(message.get("tool_calls")).iter().enumerate() {
            let param = || format!("messages[{at}].tool_calls[{call_at}]");
            let Some(Value::String(id)) = call.get("id") else {
                return Err(RequestError::MissingField {
                    param: format!("{}.id", param()),
                    hint: "its result refers to it",
                });
            };
            let Some(Value::Object(function)) = call.get("function") else {
                return Err(RequestError::unsupported(
                    param(),
                    "this provider takes only calls of functions",
                ));
            };
            blocks.push(tool_use(id, function, || format!("{}.function", param()))?);
        }
        if let Some(Value::Object(function)) = message.get("function_call") {
            let id = format!("call_{at}");
            blocks.push(tool_use(&id, function, || format!("messages[{at}].function_call"))?);
            self.last_call = Some(id);
        }
        self.add("assistant", blocks);
        Ok(())
    }

    fn result(&mut self, at: usize, message: &Object, id: &str) -> Result<(), RequestError> {
        let content = content(at, message)?;
        let mut block = json!({ "type": "tool_result", "tool_use_id": id });
        if !content.is_empty()
            && let Some(fields) = block.as_object_mut()
        {
            fields.insert("content".into(), content.into());
        }
        self.add("user", vec![block]);
        Ok(())
    }
}

fn tool_use(id: &str, function: &Object, param: impl Fn() -> String) -> Result<Value, RequestError> {
    let Some(Value::String(name)) = function.get("name") else {
        return Err(RequestError::MissingField {
            param: format!("{}.name", param()),
            hint: "name the function",
        });
    };
    let arguments = function.get("arguments").and_then(Value::as_str).unwrap_or_default();
    let input = if arguments.trim().is_empty() {
        json!({})
    } else {
        // The text was scanned raw or as this very document; with a duplicate key neither would hold.
        match crate::json::parse_text(arguments, crate::json::Duplicates::Refuse) {
            Ok(input @ Value::Object(_)) => input,
            _ => {
                return Err(RequestError::InvalidField {
                    param: format!("{}.arguments", param()),
                    expected: "an object in JSON, each of its fields named once",
                    found: "another text".into(),
                });
            }
        }
    };
    Ok(object([
        ("type", "tool_use".into()),
        ("id", id.into()),
        ("name", name.as_str().into()),
        ("input", input),
    ]))
}

/// A text block, unless the text is empty, which Anthropic refuses.
fn text_block(text: &str, cache_control: Option<&Value>) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    let mut block = json!({ "type": "text", "text": text });
    if let (Some(control @ Value::Object(_)), Some(fields)) = (cache_control, block.as_object_mut()) {
        fields.insert("cache_control".into(), control.clone());
    }
    Some(block)
}

fn content(at: usize, message: &Object) -> Result<Vec<Value>, RequestError> {
    match message.get("content") {
        Some(Value::String(text)) => Ok(text_block(text, None).into_iter().collect()),
        Some(Value::Array(parts)) => {
            let mut blocks = Vec::with_capacity(parts.len());
            for (part_at, part) in parts.iter().enumerate() {
                blocks.extend(part_block(part, || format!("messages[{at}].content[{part_at}]"))?);
            }
            Ok(blocks)
        }
        _ => Ok(Vec::new()),
    }
}

fn part_block(part: &Value, param: impl Fn() -> String) -> Result<Option<Value>, RequestError> {
    let text = |key: &str| part.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut block = match part.get("type").and_then(Value::as_str) {
        Some("text") => return Ok(text_block(text("text"), part.get("cache_control"))),
        Some("refusal") => return Ok(text_block(text("refusal"), None)),
        Some("image_url") => image(part, &param)?,
        Some("file") => file(part, &param)?,
        _ => {
            return Err(RequestError::unsupported(
                format!("{}.type", param()),
                "this provider takes parts of type `text`, `image_url` and `file`",
            ));
        }
    };
    if let (Some(control @ Value::Object(_)), Some(fields)) =
        (part.get("cache_control"), block.as_object_mut())
    {
        fields.insert("cache_control".into(), control.clone());
    }
    Ok(Some(block))
}

fn image(part: &Value, param: &impl Fn() -> String) -> Result<Value, RequestError> {
    let url = part
        .get("image_url")
        .and_then(|image| image.get("url").unwrap_or(image).as_str())
        .unwrap_or_default();
    if is_data_url(url) {
        let source = base64_source(url);
        let is_image = |source: &Value| {
            source.get("media_type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("image/"))
        };
        if let Some(source) = source.filter(is_image) {
            return Ok(object([("type", "image".into()), ("source", source)]));
        }
    } else if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(json!({ "type": "image", "source": { "type": "url", "url": url } }));
    }
    Err(RequestError::InvalidField {
        param: format!("{}.image_url.url", param()),
        expected: "an `https:` URL or a base64 `data:` URL of an image",
        found: "something else".into(),
    })
}

fn file(part: &Value, param: &impl Fn() -> String) -> Result<Value, RequestError> {
    let data = part.pointer("/file/file_data").and_then(Value::as_str).unwrap_or_default();
    let source = base64_source(data)
        .filter(|source| source.get("media_type").is_some_and(|kind| kind == "application/pdf"));
    let Some(source) = source else {
        return Err(RequestError::unsupported(
            format!("{}.file", param()),
            "this provider takes files only as PDF in a base64 `data:` URL in `file_data`",
        ));
    };
    let mut block = object([("type", "document".into()), ("source", source)]);
    let name = part.pointer("/file/filename").and_then(Value::as_str);
    if let (Some(name), Some(fields)) = (name, block.as_object_mut()) {
        fields.insert("title".into(), name.into());
    }
    Ok(block)
}

/// The source object for `data:image/png;base64,…`.
fn base64_source(url: &str) -> Option<Value> {
    let (head, data) = url.get(5..)?.split_once(',')?;
    let media_type = head.strip_suffix(";base64")?.split(';').next()?;
    Some(json!({ "type": "base64", "media_type": media_type, "data": data }))
}
