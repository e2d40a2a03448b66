//! The one JSON parser: bounded in depth and in number of values, both checked while parsing, so that a
//! hostile body costs neither stack nor memory before it is refused.
//!
//! `serde_json`'s own limits do not suffice: a body of 32 MiB of `0,0,0,…` becomes a gigabyte of values.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Arrays and objects around a value, the outermost counted.
pub(crate) const MAX_DEPTH: usize = 64;

/// Values and keys in one document. One costs at most about 200 bytes, so a document at most 50 MB; the
/// largest honest requests (thousands of messages, hundreds of tools) stay below 100,000.
pub(crate) const MAX_VALUES: usize = 250_000;

/// What to do with an object that names one key twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    /// The last value wins, at the first one's position.
    LastWins,
    /// The document is not accepted.
    Refuse,
}

/// Why a text was not parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonError {
    InvalidUtf8 { offset: usize },
    Syntax { reason: &'static str, line: usize, column: usize },
    TooDeep,
    TooManyValues,
}

/// Parses one JSON document. Nothing may follow it but white space.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| JsonError::InvalidUtf8 { offset: error.valid_up_to() })?;
    parse_text(text, Duplicates::LastWins)
}

/// The document that a request's body is, within this crate's bounds: for bodies that are no chat requests.
///
/// # Errors
/// When the bytes are no JSON document within the bounds.
pub fn parse_body(bytes: &[u8]) -> Result<Value, crate::RequestError> {
    Ok(parse(bytes)?)
}

/// As [`parse`], for what is known to be UTF-8.
pub(crate) fn parse_text(text: &str, duplicates: Duplicates) -> Result<Value, JsonError> {
    let limits = Limits { left: Cell::new(MAX_VALUES), broken: Cell::new(None), duplicates };
    let mut parser = serde_json::Deserializer::from_str(text);
    let parsed = Seed { limits: &limits, depth: 0 }.deserialize(&mut parser).and_then(|value| {
        parser.end()?;
        Ok(value)
    });
    parsed.map_err(|error| {
        limits.broken.get().unwrap_or_else(|| JsonError::Syntax {
            reason: if error.is_eof() { "it ends too early" } else { "there is something unexpected" },
            line: error.line(),
            column: error.column(),
        })
    })
}

struct Limits {
    left: Cell<usize>,
    /// Set before the parser is stopped, because its own error carries only text.
    broken: Cell<Option<JsonError>>,
    duplicates: Duplicates,
}

impl Limits {
    fn take<E: serde::de::Error>(&self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.stop(JsonError::TooManyValues)),
        }
    }

    fn stop<E: serde::de::Error>(&self, why: JsonError) -> E {
        self.broken.set(Some(why));
        E::custom("limit")
    }
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    limits: &'a Limits,
    /// Containers around the value to come.
    depth: usize,
}

impl Seed<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.limits.stop(JsonError::TooDeep));
        }
        Ok(Seed { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.limits.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            self.limits.take()?;
            let value = access.next_value_seed(inner)?;
            if map.insert(key, value).is_some() && self.limits.duplicates == Duplicates::Refuse {
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_numbers_whatever_features_the_workspace_unifies() {
        // `arbitrary_precision` would hand numbers to `visit_map`; this test fails if anybody turns it on.
        assert_eq!(parse(b"[1,-2,0.5]").unwrap(), serde_json::json!([1, -2, 0.5]));
    }

    #[test]
    fn depth_is_counted_from_the_outermost_container() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(parse(nested(MAX_DEPTH + 1).as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn many_small_values_are_refused() {
        let body = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(parse(body.as_bytes()), Err(JsonError::TooManyValues));
    }

    #[test]
    fn of_a_duplicate_key_the_last_value_wins() {
        assert_eq!(parse(br#"{"a":1,"b":2,"a":3}"#).unwrap().to_string(), r#"{"a":3,"b":2}"#);
        assert!(parse_text(r#"{"a":1,"a":3}"#, Duplicates::Refuse).is_err());
    }
}
