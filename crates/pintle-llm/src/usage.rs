//! Usage as providers report it, in the four kinds that do not overlap ([`TokenUsage`]).
//!
//! OpenAI counts cached tokens inside `prompt_tokens`; Anthropic counts them beside `input_tokens`. A report
//! that lacks a count it must have is no report: nothing is filled in with zero.

use pintle_core::TokenUsage;
use serde_json::{Map, Value, json};

/// More tokens than any call can have. A provider that reports more reports nonsense, which must neither use
/// up a budget nor break the sums of a month: it counts as no report.
const TOKENS_MAX: u64 = 1 << 30;

fn count(map: &Map<String, Value>, key: &str) -> Option<u64> {
    map.get(key).and_then(Value::as_u64).filter(|count| *count <= TOKENS_MAX)
}

/// The largest of the counts that are there. Servers report one quantity under several names.
fn largest(counts: impl IntoIterator<Item = Option<u64>>) -> u64 {
    counts.into_iter().flatten().max().unwrap_or_default()
}

/// Reads the `usage` object of a chat completion or of a stream's last chunk.
pub(crate) fn from_openai(usage: &Value) -> Option<TokenUsage> {
    let usage = usage.as_object()?;
    let prompt = count(usage, "prompt_tokens")?;
    let completion = count(usage, "completion_tokens")?;
    let nested = |outer: &str, inner: &str| {
        usage.get(outer).and_then(Value::as_object).and_then(|details| count(details, inner))
    };
    let cached = largest([
        nested("prompt_tokens_details", "cached_tokens"),
        count(usage, "prompt_cache_hit_tokens"),
        count(usage, "cache_read_input_tokens"),
    ]);
    let written = largest([
        nested("prompt_tokens_details", "cache_write_tokens"),
        nested("prompt_tokens_details", "cache_creation_tokens"),
        count(usage, "cache_creation_input_tokens"),
    ]);
    let reasoning = largest([nested("completion_tokens_details", "reasoning_tokens")]);
    // Where the parts exceed the whole, the server counts them beside it, as Anthropic does.
    let input = match cached.checked_add(written) {
        Some(parts) if parts <= prompt => prompt - parts,
        _ => prompt,
    };
    // Some servers leave reasoning out of `completion_tokens`; their total gives them away.
    let apart = prompt.saturating_add(completion).saturating_add(reasoning);
    let is_apart = reasoning > completion || count(usage, "total_tokens").is_some_and(|total| total == apart);
    let output = if is_apart { completion.saturating_add(reasoning) } else { completion };
    Some(TokenUsage { input, cached_input: cached, cache_write: written, output, reasoning })
}

/// What the provider of a call without output says that it read.
pub(crate) fn of_input(prompt_tokens: u64) -> Option<TokenUsage> {
    (prompt_tokens <= TOKENS_MAX).then(|| TokenUsage { input: prompt_tokens, ..TokenUsage::default() })
}

/// Anthropic's counts, which arrive in pieces over a stream: each is what was last said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AnthropicUsage {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
}

impl AnthropicUsage {
    /// Takes a `usage` object. Counts are cumulative, so a later one replaces an earlier one; a count that is
    /// missing or null leaves it.
    pub(crate) fn update(&mut self, usage: Option<&Value>) {
        let Some(usage) = usage.and_then(Value::as_object) else { return };
        self.input = count(usage, "input_tokens").or(self.input);
        self.cache_read = count(usage, "cache_read_input_tokens").or(self.cache_read);
        self.output = count(usage, "output_tokens").or(self.output);
        // Writes are also listed by lifetime. Servers that fill only one of the two forms exist.
        let by_lifetime = usage
            .get("cache_creation")
            .and_then(Value::as_object)
            .map(|lifetimes| lifetimes.values().filter_map(Value::as_u64).fold(0_u64, u64::saturating_add));
        let total = count(usage, "cache_creation_input_tokens");
        if total.is_some() || by_lifetime.is_some() {
            self.cache_write = Some(largest([total, by_lifetime]));
        }
    }

    /// The usage, once input and output are known. Reasoning is part of the output and not told apart.
    pub(crate) fn tokens(&self) -> Option<TokenUsage> {
        Some(TokenUsage {
            input: self.input?,
            cached_input: largest([self.cache_read]),
            cache_write: largest([self.cache_write]),
            output: self.output?,
            reasoning: 0,
        })
    }
}

/// A `usage` object in OpenAI's form. `cache_write_tokens` has no place there of OpenAI's own; it stands where
/// OpenRouter puts it, and [`from_openai`] reads it back.
pub(crate) fn to_openai(usage: &TokenUsage) -> Value {
    json!({
        "prompt_tokens": usage.total_input(),
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input,
            "cache_write_tokens": usage.cache_write,
        },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(report: &Value, expected: [u64; 5]) {
        let usage = from_openai(report).unwrap();
        let seen = [usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_kinds_do_not_overlap() {
        check(&json!({"prompt_tokens": 100, "completion_tokens": 9}), [100, 0, 0, 9, 0]);
        check(
            &json!({"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 64},
                    "completion_tokens_details": {"reasoning_tokens": 5}}),
            [36, 64, 0, 9, 5],
        );
        check(
            &json!({"prompt_tokens": 100, "completion_tokens": 9, "prompt_cache_hit_tokens": 90}),
            [10, 90, 0, 9, 0],
        );
    }

    #[test]
    fn reasoning_outside_of_the_completion_is_added() {
        check(
            &json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 65,
                    "completion_tokens_details": {"reasoning_tokens": 50}}),
            [10, 0, 0, 55, 50],
        );
    }

    #[test]
    fn a_report_with_a_missing_or_false_count_is_none() {
        for report in [
            json!(null),
            json!({}),
            json!({"prompt_tokens": 1}),
            json!({"prompt_tokens": -1, "completion_tokens": 1}),
            json!({"prompt_tokens": 1.5, "completion_tokens": 1}),
        ] {
            assert_eq!(from_openai(&report), None, "{report}");
        }
    }

    #[test]
    fn ours_reads_back() {
        let usage = TokenUsage { input: 5, cached_input: 70, cache_write: 20, output: 8, reasoning: 2 };
        assert_eq!(from_openai(&to_openai(&usage)), Some(usage));
    }

    #[test]
    fn cache_writes_by_lifetime_are_not_under_counted() {
        let mut usage = AnthropicUsage::default();
        usage.update(Some(&json!({"input_tokens": 3, "output_tokens": 4, "cache_creation_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 50}})));
        assert_eq!(usage.tokens().map(|tokens| tokens.cache_write), Some(150));
    }
}
