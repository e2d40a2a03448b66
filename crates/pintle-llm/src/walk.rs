//! The walk over every text of a document: string values, names of fields, long numbers. One set of rules
//! (`leaf`) decides for reading and for rewriting what is visited, so nothing can be seen but not changed.
//!
//! Paths are linked steps on the stack and become text only when asked for, because most texts have no findings.

use std::{fmt, sync::Arc};

use pintle_core::Place;
use serde_json::{Map, Number, Value};

use crate::{embedded, error::RewriteError, protocol};

/// Which document is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Answer,
}

/// What kind of leaf a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A string value.
    Value,
    /// The name of a field. Only inside tool arguments can it be rewritten.
    Key,
    /// A number of seven digits or more, in decimal. Rewriting makes it a string.
    Number,
}

/// One text of a request or an answer, where it stands.
#[derive(Clone, Copy)]
pub struct TextField<'a> {
    text: &'a str,
    kind: FieldKind,
    step: &'a Step<'a>,
}

impl<'a> TextField<'a> {
    /// The text, after JSON unescaping.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// What kind of leaf it is.
    #[must_use]
    pub const fn kind(&self) -> FieldKind {
        self.kind
    }

    /// The name of the field that the text stands in, elements of arrays included: context for detectors
    /// (`{"iban": "…"}`). It may be content itself; a key's own label is the field around its object.
    #[must_use]
    pub fn label(&self) -> Option<&'a str> {
        match self.kind {
            FieldKind::Key => self.step.parent.and_then(Step::label),
            FieldKind::Value | FieldKind::Number => self.step.label(),
        }
    }

    /// The index of the message (in an answer: of the choice) that the text stands in.
    #[must_use]
    pub fn message(&self) -> Option<u32> {
        self.step.message()
    }

    /// The path from the root: `messages[2].content[0].text`. Names of fields that are not the protocol's own
    /// may be content, so they appear as their position in their object: `metadata.#0`.
    #[must_use]
    pub fn path(&self) -> String {
        self.step.to_string()
    }

    /// The place, for a finding.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { message: self.message(), path: Arc::from(self.path()) }
    }
}

impl fmt::Debug for TextField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TextField({}, {:?}, {} bytes)", self.step, self.kind, self.text.len())
    }
}

#[derive(Debug, Clone, Copy)]
enum Segment<'a> {
    Root,
    Key { name: &'a str, at: usize },
    Index(usize),
}

/// What binary content the surrounding content part declares. It is counted as unscannable by
/// [`crate::ChatRequest::unscannable_parts`], which looks at the part's type alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blob {
    None,
    Image,
    Audio,
    File,
}

/// One step of a path, linked to the step before.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    parent: Option<&'a Step<'a>>,
    segment: Segment<'a>,
    blob: Blob,
    /// Inside of a JSON document that a string holds.
    embedded: bool,
}

impl<'a> Step<'a> {
    pub(crate) const fn root() -> Step<'static> {
        Step { parent: None, segment: Segment::Root, blob: Blob::None, embedded: false }
    }

    pub(crate) const fn key(&'a self, name: &'a str, at: usize) -> Step<'a> {
        Step { parent: Some(self), segment: Segment::Key { name, at }, ..*self }
    }

    pub(crate) const fn index(&'a self, index: usize) -> Step<'a> {
        Step { parent: Some(self), segment: Segment::Index(index), ..*self }
    }

    pub(crate) const fn into_embedded(self) -> Step<'a> {
        Step { embedded: true, ..self }
    }

    pub(crate) const fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// The nearest name of a field above.
    pub(crate) fn label(&self) -> Option<&'a str> {
        match self.segment {
            Segment::Key { name, .. } => Some(name),
            Segment::Index(_) => self.parent.and_then(Step::label),
            Segment::Root => None,
        }
    }

    fn message(&self) -> Option<u32> {
        if let Segment::Index(index) = self.segment
            && let Some(list) = self.parent
            && (list.is_root_key("messages") || list.is_root_key("choices"))
        {
            return u32::try_from(index).ok();
        }
        self.parent.and_then(Step::message)
    }

    fn is_root_key(&self, wanted: &str) -> bool {
        matches!(self.segment, Segment::Key { name, .. } if name == wanted)
            && self.parent.is_some_and(|parent| matches!(parent.segment, Segment::Root))
    }

    /// Whether this is `list[i]`, directly under the root.
    fn is_item_of(&self, list: &str) -> bool {
        matches!(self.segment, Segment::Index(_))
            && self.parent.is_some_and(|parent| parent.is_root_key(list))
    }

    /// Whether this is `messages[i].content[j]`.
    fn is_content_part(&self) -> bool {
        let content = match (self.segment, self.parent) {
            (Segment::Index(_), Some(content)) => content,
            _ => return false,
        };
        matches!(content.segment, Segment::Key { name: "content", .. })
            && content.parent.is_some_and(|message| message.is_item_of("messages"))
    }

    fn under_root_key(&self, wanted: &str) -> bool {
        self.is_root_key(wanted) || self.parent.is_some_and(|parent| parent.under_root_key(wanted))
    }

    /// This step, knowing what the content part that stands here declares.
    fn entering(self, map: &Map<String, Value>) -> Step<'a> {
        if !self.is_content_part() {
            return self;
        }
        let blob = match map.get("type").and_then(Value::as_str) {
            Some("image_url") => Blob::Image,
            Some("input_audio") => Blob::Audio,
            Some("file") => Blob::File,
            _ => Blob::None,
        };
        Step { blob, ..self }
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let dot = if self.parent.is_some_and(|parent| parent.parent.is_some()) { "." } else { "" };
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Index(index) => write!(f, "[{index}]"),
            Segment::Key { name, .. } if protocol::is_protocol_key(name) => write!(f, "{dot}{name}"),
            Segment::Key { at, .. } => write!(f, "{dot}#{at}"),
        }
    }
}

/// What becomes of one string value.
enum Leaf {
    Skip,
    Text,
    /// The string holds a JSON document with escapes, which is walked instead.
    Document(Value),
}

fn leaf(side: Side, step: &Step<'_>, text: &str) -> Leaf {
    if text.is_empty() || is_blob(step, text) {
        return Leaf::Skip;
    }
    if let Some(label) = step.label()
        && (protocol::is_protocol_value(label, text) || step.is_root_key("model"))
    {
        return Leaf::Skip;
    }
    embedded::document(side, step, text).map_or(Leaf::Text, Leaf::Document)
}

fn is_blob(step: &Step<'_>, text: &str) -> bool {
    let label = step.label();
    match step.blob {
        Blob::None => false,
        Blob::Image => matches!(label, Some("url" | "image_url")) && is_data_url(text),
        Blob::Audio => label == Some("data"),
        Blob::File => label == Some("file_data"),
    }
}

/// Whether a URL carries its content in itself.
pub(crate) fn is_data_url(text: &str) -> bool {
    text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// Whether a field's name is to be visited.
fn visits_key(step: &Step<'_>, key: &str) -> bool {
    let is_token_id = || key.len() <= 7 && key.bytes().all(|b| b.is_ascii_digit());
    !(key.is_empty() || protocol::is_protocol_key(key) || (step.is_root_key("logit_bias") && is_token_id()))
}

/// The decimal form of a number that may be content; see [`protocol::is_protocol_number`]. In answers only
/// choices are looked at: servers put timings in nanoseconds next to them.
fn number_text(side: Side, step: &Step<'_>, number: &Number) -> Option<String> {
    const SEVEN_DIGITS: f64 = 1_000_000.0;
    let is_long = match (number.as_u64(), number.as_i64()) {
        (Some(n), _) => n >= 1_000_000,
        (None, Some(n)) => n.unsigned_abs() >= 1_000_000,
        (None, None) => number.as_f64().is_some_and(|n| n.abs() >= SEVEN_DIGITS),
    };
    if !is_long || step.label().is_some_and(protocol::is_protocol_number) {
        return None;
    }
    if side == Side::Answer && !step.under_root_key("choices") {
        return None;
    }
    let text = number.to_string();
    Some(text.strip_suffix(".0").map(str::to_owned).unwrap_or(text))
}

/// Log probabilities repeat the content token by token. They are not visited; whoever rewrites a choice's
/// texts removes them, see [`crate::ChatAnswer::strip_logprobs`].
fn skips_subtree(side: Side, step: &Step<'_>, key: &str) -> bool {
    side == Side::Answer && key == "logprobs" && step.is_item_of("choices")
}

/// Visits every text under `value`, in the document's order, a field's name before its value.
pub(crate) fn visit(side: Side, value: &Value, step: &Step<'_>, f: &mut dyn FnMut(&TextField<'_>)) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            if let Some(text) = number_text(side, step, number) {
                f(&TextField { text: &text, kind: FieldKind::Number, step });
            }
        }
        Value::String(text) => match leaf(side, step, text) {
            Leaf::Skip => {}
            Leaf::Text => f(&TextField { text, kind: FieldKind::Value, step }),
            Leaf::Document(document) => visit(side, &document, &step.into_embedded(), f),
        },
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                visit(side, value, &step.index(at), f);
            }
        }
        Value::Object(map) => visit_map(side, map, step, f),
    }
}

/// As [`visit`], for an object.
pub(crate) fn visit_map(
    side: Side,
    map: &Map<String, Value>,
    step: &Step<'_>,
    f: &mut dyn FnMut(&TextField<'_>),
) {
    let step = step.entering(map);
    for (at, (key, value)) in map.iter().enumerate() {
        if skips_subtree(side, &step, key) {
            continue;
        }
        let inner = step.key(key, at);
        if visits_key(&step, key) {
            f(&TextField { text: key, kind: FieldKind::Key, step: &inner });
        }
        visit(side, value, &inner, f);
    }
}

/// A rewriting of every text: `f` gives the new text, or `None` to keep the old one.
pub(crate) struct Rewriter<'f> {
    pub(crate) side: Side,
    pub(crate) f: &'f mut dyn FnMut(&TextField<'_>) -> Option<String>,
    /// Texts changed so far.
    pub(crate) changed: usize,
}

impl Rewriter<'_> {
    /// Rewrites the texts under `value`; see [`visit`] for the order.
    pub(crate) fn value(&mut self, value: &mut Value, step: &Step<'_>) -> Result<(), RewriteError> {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                if let Some(text) = number_text(self.side, step, number)
                    && let Some(new) = self.text(&text, FieldKind::Number, step)
                {
                    *value = Value::String(new);
                }
            }
            Value::String(text) => {
                let new = match leaf(self.side, step, text) {
                    Leaf::Skip => None,
                    Leaf::Text if step.label() == Some("arguments") => self.plain_arguments(text, step)?,
                    Leaf::Text => self.text(text, FieldKind::Value, step),
                    Leaf::Document(document) => self.document(document, step)?,
                };
                if let Some(new) = new {
                    *text = new;
                }
            }
            Value::Array(values) => {
                for (at, value) in values.iter_mut().enumerate() {
                    self.value(value, &step.index(at))?;
                }
            }
            Value::Object(map) => self.map(map, step)?,
        }
        Ok(())
    }

    /// As [`Rewriter::value`], for an object.
    pub(crate) fn map(&mut self, map: &mut Map<String, Value>, step: &Step<'_>) -> Result<(), RewriteError> {
        let step = step.entering(map);
        let mut renamed: Vec<(usize, String)> = Vec::new();
        for (at, (key, value)) in map.iter_mut().enumerate() {
            if skips_subtree(self.side, &step, key) {
                continue;
            }
            let inner = step.key(key, at);
            if visits_key(&step, key)
                && let Some(new) = self.text(key, FieldKind::Key, &inner)
            {
                if !step.is_embedded() {
                    return Err(RewriteError { path: inner.to_string() });
                }
                renamed.push((at, new));
            }
            self.value(value, &inner)?;
        }
        if renamed.is_empty() { Ok(()) } else { rename(map, renamed, &step) }
    }

    /// Asks for one text; a new text equal to the old one is no change.
    pub(crate) fn text(&mut self, text: &str, kind: FieldKind, step: &Step<'_>) -> Option<String> {
        let new = (self.f)(&TextField { text, kind, step }).filter(|new| new != text)?;
        self.changed += 1;
        Some(new)
    }
}

/// Gives fields new names at their old positions.
fn rename(
    map: &mut Map<String, Value>,
    renamed: Vec<(usize, String)>,
    step: &Step<'_>,
) -> Result<(), RewriteError> {
    let mut names = renamed.into_iter().peekable();
    let mut rebuilt = Map::with_capacity(map.len());
    for (at, (key, value)) in std::mem::take(map).into_iter().enumerate() {
        let key = names.next_if(|(place, _)| *place == at).map_or(key, |(_, name)| name);
        if rebuilt.insert(key, value).is_some() {
            // Two fields would get one name, and one value would be lost.
            return Err(RewriteError { path: step.key("", at).to_string() });
        }
    }
    *map = rebuilt;
    Ok(())
}
