//! What a call consumed.

use crate::text::text_enum;

/// Tokens of one call. The four kinds do not overlap: `input` leaves out what was cached, and
/// `output` contains the reasoning tokens, which providers bill as output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// Input tokens billed at the full rate.
    pub input: u64,
    /// Input tokens read from the provider's prompt cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cached_input: u64,
    /// Input tokens written to the provider's prompt cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Of `output`: the tokens that the model spent on reasoning.
    #[serde(skip_serializing_if = "is_zero")]
    pub reasoning: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TokenUsage {
    /// Every input token, however it is billed. Saturates: a provider's nonsense must not stop the count.
    #[must_use]
    pub const fn total_input(&self) -> u64 {
        self.input.saturating_add(self.cached_input).saturating_add(self.cache_write)
    }

    /// Input and output together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total_input().saturating_add(self.output)
    }
}

/// Where the figures of a [`TokenUsage`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageSource {
    /// The provider said so.
    Provider,
    /// Pintle counted, because the provider was silent or the stream was cut.
    Estimated,
    /// Nobody knows; the whole hold was posted.
    Held,
    /// Nothing was sent.
    None,
}

text_enum!(
    UsageSource,
    "a usage source",
    [
        ("provider", UsageSource::Provider),
        ("estimated", UsageSource::Estimated),
        ("held", UsageSource::Held),
        ("none", UsageSource::None),
    ]
);
