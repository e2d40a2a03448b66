//! Placeholders back to values, in a whole text or in one that arrives in pieces.
//!
//! A placeholder is `<LABEL_N>`. Models change its case, and the formats they write in escape its brackets
//! (`&lt;`, `\u003c`); each of these is read. A streamed text is held back from a bracket on for as long as it
//! may still become a placeholder, and no further than the longest one.

use std::{fmt, sync::Arc};

use crate::redact::{LABEL_LEN_MAX, NUMBER_DIGITS_MAX, Pseudonyms};

/// The brackets' spellings. The escapes with a backslash occur in JSON, where the value must be escaped too.
const OPENING: &[(&str, bool)] = &[("<", false), ("&lt;", false), ("\\u003c", true)];
const CLOSING: &[&str] = &[">", "&gt;", "\\u003e"];

/// What stands at a position that may begin a placeholder.
enum Reading<'t> {
    /// Nothing of ours.
    None,
    /// It takes more text to tell.
    Unfinished,
    /// A placeholder's label as written, its number, its length, and whether it was escaped for JSON.
    Placeholder { label: &'t str, number: u32, len: usize, escaped: bool },
}

/// Reads what begins at the start of `text`.
fn read(text: &str, complete: bool) -> Reading<'_> {
    let unfinished = if complete { Reading::None } else { Reading::Unfinished };
    let opening = OPENING.iter().find(|(opening, _)| starts_with_any_case(text, opening));
    let Some((opening, escaped)) = opening else {
        let could = OPENING.iter().any(|(opening, _)| is_proper_prefix(text, opening));
        return if could { unfinished } else { Reading::None };
    };
    let inner_max = LABEL_LEN_MAX + 1 + NUMBER_DIGITS_MAX;
    let body = text.get(opening.len()..).unwrap_or_default();
    let len = body.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let (inner, rest) = body.split_at(len);
    if len > inner_max {
        return Reading::None;
    }
    let Some(closing) = CLOSING.iter().find(|closing| starts_with_any_case(rest, closing)) else {
        let could = CLOSING.iter().any(|closing| is_proper_prefix(rest, closing));
        return if could { unfinished } else { Reading::None };
    };
    let Some((label, digits)) = inner.rsplit_once('_') else { return Reading::None };
    // A leading zero is no number that this crate writes.
    let number =
        digits.parse().ok().filter(|_| digits.len() <= NUMBER_DIGITS_MAX && !digits.starts_with('0'));
    match number {
        Some(number) if !label.is_empty() => {
            let len = opening.len() + len + closing.len();
            Reading::Placeholder { label, number, len, escaped: *escaped }
        }
        _ => Reading::None,
    }
}

fn starts_with_any_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Whether `text` is all there is of a longer `word`.
fn is_proper_prefix(text: &str, word: &str) -> bool {
    text.len() < word.len() && word.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text))
}

/// Calls `each` with the label (in upper case) and number of each placeholder in `text`.
pub(crate) fn each_placeholder(text: &str, mut each: impl FnMut(&str, u32)) {
    let mut rest = text;
    while let Some(at) = memchr::memchr3(b'<', b'&', b'\\', rest.as_bytes()) {
        let here = rest.get(at..).unwrap_or_default();
        let step = match read(here, true) {
            Reading::Placeholder { label, number, len, .. } => {
                each(&label.to_ascii_uppercase(), number);
                len
            }
            _ => 1,
        };
        rest = here.get(step..).unwrap_or_default();
    }
}

/// Restores all of `text`.
pub(crate) fn restore(pseudonyms: &Pseudonyms, text: &str, json: bool) -> String {
    let mut out = String::with_capacity(text.len());
    restore_into(pseudonyms, text, json, true, &mut out);
    out
}

/// Writes the restored text to `out` and gives how many bytes of `text` that settled.
fn restore_into(pseudonyms: &Pseudonyms, text: &str, json: bool, complete: bool, out: &mut String) -> usize {
    let mut done = 0;
    if pseudonyms.is_empty() {
        out.push_str(text);
        return text.len();
    }
    loop {
        let rest = text.get(done..).unwrap_or_default();
        let Some(at) = memchr::memchr3(b'<', b'&', b'\\', rest.as_bytes()) else {
            out.push_str(rest);
            return text.len();
        };
        let (before, here) = rest.split_at(at);
        out.push_str(before);
        done += at;
        // In JSON, a backslash that is itself escaped begins no escape.
        let step = if json && here.starts_with("\\\\") {
            2
        } else {
            match read(here, complete) {
                Reading::Unfinished => return done,
                Reading::None => 1,
                Reading::Placeholder { label, number, len, escaped } => {
                    if let Some(value) = pseudonyms.value(&label.to_ascii_uppercase(), number) {
                        if json || escaped {
                            push_json_escaped(out, value)
                        } else {
                            out.push_str(value)
                        }
                        done += len;
                        continue;
                    }
                    len
                }
            }
        };
        out.push_str(here.get(..step).unwrap_or_default());
        done += step;
    }
}

/// Writes `value` as it stands inside a JSON string.
fn push_json_escaped(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                out.push_str("\\u00");
                for shift in [4, 0] {
                    out.push(char::from_digit(u32::from(c) >> shift & 0xF, 16).unwrap_or('0'));
                }
            }
            c => out.push(c),
        }
    }
}

/// Restores placeholders in a text that arrives in pieces, also where a piece ends inside one. What comes out
/// is what [`Pseudonyms::restore`] makes of the whole text.
pub struct RestoreWindow {
    pseudonyms: Arc<Pseudonyms>,
    json: bool,
    held: String,
}

/// Shows how much is held back, not what.
impl fmt::Debug for RestoreWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestoreWindow").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl RestoreWindow {
    /// For plain text.
    #[must_use]
    pub fn new(pseudonyms: Arc<Pseudonyms>) -> RestoreWindow {
        RestoreWindow { pseudonyms, json: false, held: String::new() }
    }

    /// For text that is itself JSON, such as a tool call's arguments: see [`Pseudonyms::restore_json`].
    #[must_use]
    pub fn new_json(pseudonyms: Arc<Pseudonyms>) -> RestoreWindow {
        RestoreWindow { pseudonyms, json: true, held: String::new() }
    }

    /// Takes the next piece and appends to `out` what is settled.
    pub fn push(&mut self, chunk: &str, out: &mut String) {
        if self.held.is_empty() {
            let done = restore_into(&self.pseudonyms, chunk, self.json, false, out);
            self.held.push_str(chunk.get(done..).unwrap_or_default());
        } else {
            self.held.push_str(chunk);
            let done = restore_into(&self.pseudonyms, &self.held, self.json, false, out);
            self.held.drain(..done);
        }
    }

    /// Ends the text and appends the rest to `out`.
    pub fn finish(&mut self, out: &mut String) {
        let held = std::mem::take(&mut self.held);
        restore_into(&self.pseudonyms, &held, self.json, true, out);
    }

    /// How many bytes are held back now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }
}
