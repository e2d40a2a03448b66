//! What a placement's tokens cost, and the one function that turns usage into money (I9).

use crate::{Amount, MoneyError, Price, TokenUsage};

/// Prices of a placement, per million tokens in the ledger's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceCard {
    /// Input tokens.
    pub input: Price,
    /// Output tokens, reasoning included.
    pub output: Price,
    /// Input tokens read from the provider's cache; as `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Price>,
    /// Input tokens written to the provider's cache; as `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Price>,
}

impl PriceCard {
    /// The cost of a call. The terms are added in `i128` and rounded up once.
    ///
    /// # Errors
    /// [`MoneyError`] when the cost leaves `i64`.
    pub fn cost(&self, usage: &TokenUsage) -> Result<Amount, MoneyError> {
        let terms = [
            self.input.times(usage.input),
            self.cached_input.unwrap_or(self.input).times(usage.cached_input),
            self.cache_write.unwrap_or(self.input).times(usage.cache_write),
            self.output.times(usage.output),
        ];
        let sum = terms.iter().try_fold(0_i128, |sum, term| sum.checked_add(*term)).ok_or(MoneyError)?;
        Price::round_up(sum)
    }

    /// The most that a call with so many input and output tokens can cost, whatever the provider's
    /// cache does: the dearest input rate for all of the input.
    ///
    /// # Errors
    /// [`MoneyError`] when the cost leaves `i64`.
    pub fn worst_case(&self, input_tokens: u64, output_tokens: u64) -> Result<Amount, MoneyError> {
        let dearest = [Some(self.input), self.cached_input, self.cache_write]
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(self.input);
        let sum = dearest.times(input_tokens).checked_add(self.output.times(output_tokens));
        Price::round_up(sum.ok_or(MoneyError)?)
    }
}

/// Whether a placement's price is known. Unpriced is a state, never zero (I4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pricing {
    /// The price is known.
    Priced(PriceCard),
    /// Nobody has said what it costs.
    Unpriced,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i9_cached_and_reasoning_tokens_are_billed_at_their_rates() {
        let card: PriceCard =
            serde_json::from_str(r#"{"input":"0.15","output":"0.60","cached_input":"0.075"}"#).unwrap();
        let usage =
            TokenUsage { input: 1_000, cached_input: 2_000, output: 500, reasoning: 400, cache_write: 0 };
        // 0.00015 + 0.00015 + 0.0003
        assert_eq!(card.cost(&usage).unwrap(), Amount::from_nanos(600_000));
        assert_eq!(card.worst_case(3_000, 500).unwrap(), Amount::from_nanos(750_000));
        assert!(card.cost(&TokenUsage { output: u64::MAX, ..usage }).is_err());
    }
}
