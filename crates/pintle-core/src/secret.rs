//! Secrets that configuration brings in: provider keys. They do not print.

use std::sync::Arc;

/// A secret text. `Debug` shows stars, there is no `Display` and no `Serialize`; the one way to the
/// text is [`Secret::expose`], so that a search for it finds each use.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Takes the text as it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Secret(text.into())
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}
