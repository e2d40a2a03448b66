//! The one error of this crate's parsers.

/// Why a text is not a value of the type asked for. The message is a lowercase fragment with the
/// input in backticks; `hint` says what would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is not {wanted}; {hint}")]
pub struct ParseError {
    /// What was given, cut to 64 characters.
    pub input: String,
    /// What was wanted, with its article: "a data class".
    pub wanted: &'static str,
    /// What would be accepted: "use one of `public`, `internal`".
    pub hint: String,
}

impl ParseError {
    /// `input` is cut, because errors end in logs and on terminals.
    #[must_use]
    pub fn new(input: &str, wanted: &'static str, hint: impl Into<String>) -> Self {
        ParseError { input: input.chars().take(64).collect(), wanted, hint: hint.into() }
    }
}

/// Implements the text forms of a fieldless enum from one table of names, so that `FromStr`,
/// `Display` and serde cannot disagree.
macro_rules! text_enum {
    ($type:ty, $wanted:literal, [$(($name:literal, $variant:path)),+ $(,)?]) => {
        impl $type {
            /// Every value, in ascending order.
            pub const ALL: &'static [$type] = &[$($variant),+];

            /// The name that configuration, APIs and records use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($variant => $name),+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::ParseError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok($variant),)+
                    other => Err($crate::ParseError::new(
                        other,
                        $wanted,
                        concat!("use one of", $(" `", $name, "`"),+),
                    )),
                }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($name),+] })
            }
        }
    };
}
pub(crate) use text_enum;

/// Implements the text forms of a newtype over `Arc<str>`, whose `FromStr` is written by hand.
macro_rules! text_newtype {
    ($type:ident, $description:literal) => {
        impl $type {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}
pub(crate) use text_newtype;
