//! Names that people choose: use cases, placements, units; and models' names as providers spell them.

use std::{str::FromStr, sync::Arc};

use crate::text::{ParseError, text_newtype};

/// The short name of a use case, placement, unit or dictionary: `support-assistant`. Lowercase ASCII
/// letters, digits, `-`, `_` and `.`, starting with a letter or digit, at most 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

text_newtype!(Name, "lowercase letters, digits, `-`, `_` and `.`; at most 64 characters");

impl FromStr for Name {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if starts_well && text.len() <= 64 && text.chars().all(is_plain) {
            Ok(Name(text.into()))
        } else {
            Err(ParseError::new(
                text,
                "a name",
                "use 1 to 64 lowercase letters, digits, `-`, `_` or `.`, starting with a letter or digit",
            ))
        }
    }
}

/// A model's name as its provider spells it: `gpt-4o-mini`, `meta-llama/Llama-3.1-8B-Instruct`. Visible
/// ASCII without quotes, at most 128 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelName(Arc<str>);

text_newtype!(ModelName, "visible ASCII without spaces or quotes; at most 128 characters");

impl FromStr for ModelName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let is_plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\'' && c != '`' && c != '\\';
        if !text.is_empty() && text.len() <= 128 && text.chars().all(is_plain) {
            Ok(ModelName(text.into()))
        } else {
            Err(ParseError::new(
                text,
                "a model name",
                "use 1 to 128 visible ASCII characters without quotes or spaces",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_also_when_deserialised() {
        assert!("support-assistant".parse::<Name>().is_ok());
        for bad in ["", "-x", "Upper", "with space", "ü", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
            assert!(serde_json::from_value::<Name>(bad.into()).is_err(), "{bad}");
        }
        assert!("meta-llama/Llama-3.1-8B:free".parse::<ModelName>().is_ok());
        assert!("a b".parse::<ModelName>().is_err());
    }
}
