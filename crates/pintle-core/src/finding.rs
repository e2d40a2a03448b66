//! What a detector saw. Never the value itself.

use std::sync::Arc;

use crate::{DataClass, text::text_enum};

/// Which side of the call a text belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// What the application sent.
    Request,
    /// What the model answered.
    Answer,
}

text_enum!(Origin, "an origin", [("request", Origin::Request), ("answer", Origin::Answer)]);

/// Where in a request or answer a text stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The message's index from 0 in a request, the choice's in an answer; `None` outside of messages
    /// (tool definitions, the user field, a response format).
    pub message: Option<u32>,
    /// The field's path from the root of the JSON document: `messages[2].content[0].text`.
    pub path: Arc<str>,
}

/// One sighting: type, place, confidence and class. The value goes nowhere.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// The detector's type: `iban`, `credit_card`, `dictionary:clients`, `unscannable`.
    pub kind: Arc<str>,
    /// The class that this finding gives to its content.
    pub class: DataClass,
    /// How sure the detector is, in percent.
    pub confidence: u8,
    /// Request or answer.
    pub origin: Origin,
    /// Where it stands.
    pub place: Place,
    /// Byte range within the field's text (UTF-8, after JSON unescaping), start inclusive.
    pub start: usize,
    /// End of the byte range, exclusive.
    pub end: usize,
}
