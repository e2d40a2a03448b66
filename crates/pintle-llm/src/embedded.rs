//! JSON documents inside of strings: the arguments of tool calls, and in requests any string that is one.
//!
//! Their escapes hide values from a scan of the raw string: in `{"note":"a\nDE89…"}` the letter `n` touches the
//! IBAN, and Python writes `Müller` as `M\u00fcller`. So a document with a backslash in it is parsed and its texts
//! are visited one by one. Without a backslash the raw string shows the same characters and more context, so it is
//! visited as it is. A document inside of a document inside of a string is visited raw.
//!
//! Only a document without duplicate keys is parsed: otherwise the value that the parser drops would be sent
//! unscanned.

use serde_json::Value;

use crate::{
    error::RewriteError,
    fault::to_bytes,
    json::{self, Duplicates},
    walk::{self, FieldKind, Rewriter, Side, Step, TextField},
};

/// The document to walk instead of `text`, if there is one.
pub(crate) fn document(side: Side, step: &Step<'_>, text: &str) -> Option<Value> {
    if step.is_embedded() || (side == Side::Answer && step.label() != Some("arguments")) {
        return None;
    }
    if !text.contains('\\') {
        return None;
    }
    parse(text)
}

fn parse(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    json::parse_text(text, Duplicates::Refuse).ok()
}

impl Rewriter<'_> {
    /// Rewrites a parsed document; `None` if nothing changed, so that the string keeps its spelling.
    pub(crate) fn document(
        &mut self,
        mut document: Value,
        step: &Step<'_>,
    ) -> Result<Option<String>, RewriteError> {
        let before = self.changed;
        self.value(&mut document, &step.into_embedded())?;
        Ok((self.changed != before).then(|| document.to_string()))
    }

    /// Rewrites tool arguments that hold no escape. They are visited raw; if the new text would break the JSON
    /// (a masked number loses its form, a restored value brings quotes), the values are rewritten one by one.
    pub(crate) fn plain_arguments(
        &mut self,
        text: &str,
        step: &Step<'_>,
    ) -> Result<Option<String>, RewriteError> {
        let Some(raw) = self.text(text, FieldKind::Value, step) else { return Ok(None) };
        let Some(document) = parse(text).filter(|_| !keeps_structure(text, &raw)) else {
            return Ok(Some(raw));
        };
        let Some(careful) = self.document(document, step)? else {
            // Seen only with the context around it: removing it goes before well-formedness.
            return Ok(Some(raw));
        };
        if careful.contains('\\') {
            return Ok(Some(careful));
        }
        // Likewise for what the values one by one did not show.
        Ok(Some(self.text(&careful, FieldKind::Value, step).unwrap_or(careful)))
    }
}

/// Whether the new text is still JSON and brings nothing that could end a string early.
fn keeps_structure(old: &str, new: &str) -> bool {
    let quotes = |text: &str| text.bytes().filter(|b| *b == b'"').count();
    !new.contains('\\') && quotes(old) == quotes(new) && parse(new).is_some()
}

/// The steps to `choices[choice].message.tool_calls[tool].function.arguments`, or, without a tool, to
/// `choices[choice].message.function_call.arguments`.
fn at_arguments<T>(choice: u32, tool: Option<u32>, run: impl FnOnce(&Step<'_>) -> T) -> T {
    let index = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let root = Step::root();
    let choices = root.key("choices", 0);
    let choice = choices.index(index(choice));
    let message = choice.key("message", 0);
    let Some(tool) = tool else {
        let call = message.key("function_call", 0);
        return run(&call.key("arguments", 0));
    };
    let calls = message.key("tool_calls", 0);
    let call = calls.index(index(tool));
    let function = call.key("function", 0);
    run(&function.key("arguments", 0))
}

/// Visits the complete arguments of a tool call that arrived as a stream, exactly as
/// [`crate::ChatAnswer::for_each_text`] visits them in a whole answer. `tool` is the call's index; `None` means the
/// older `function_call`.
pub fn for_each_argument_text(
    arguments: &str,
    choice: u32,
    tool: Option<u32>,
    f: &mut dyn FnMut(&TextField<'_>),
) {
    // A `Value` is needed to walk; arguments are at most one SSE event budget long.
    let value = Value::String(arguments.to_owned());
    at_arguments(choice, tool, |step| walk::visit(Side::Answer, &value, step, f));
}

/// Rewrites the complete arguments of a tool call, exactly as [`crate::ChatAnswer::map_texts`] does in a whole
/// answer. `None` if nothing changed.
///
/// # Errors
/// When two fields would get one name.
pub fn map_argument_texts(
    arguments: &str,
    choice: u32,
    tool: Option<u32>,
    f: &mut dyn FnMut(&TextField<'_>) -> Option<String>,
) -> Result<Option<String>, RewriteError> {
    let mut value = Value::String(arguments.to_owned());
    let mut rewriter = Rewriter { side: Side::Answer, f, changed: 0 };
    at_arguments(choice, tool, |step| rewriter.value(&mut value, step))?;
    match value {
        Value::String(new) if rewriter.changed > 0 => Ok(Some(new)),
        _ => Ok(None),
    }
}

/// The text of a JSON value, for arguments that a provider sends as an object.
pub(crate) fn to_text(value: &Value) -> String {
    String::from_utf8_lossy(&to_bytes(value, 128)).into_owned()
}
