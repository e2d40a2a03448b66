//! Cross-entropy over the vocabulary.

use super::{exp::softmax_inline, wide};

/// A target that asks for nothing: padding, or a token that the model is not to learn to say.
pub(crate) const IGNORE: u32 = u32::MAX;

/// The loss of rows of logits against their targets, summed, in nats; the rows become their gradients times `scale`.
/// Rows whose target is [`IGNORE`] cost nothing and get a gradient of zero. Targets lie within the vocabulary.
pub(crate) fn cross_entropy(logits: &mut [f32], vocabulary: usize, targets: &[u32], scale: f32) -> f64 {
    let mut total = 0.0_f64;
    wide(
        #[inline(always)]
        || {
            for (row, target) in logits.chunks_exact_mut(vocabulary).zip(targets) {
                let Some(said) = (*target != IGNORE).then(|| row.get(*target as usize).copied()).flatten()
                else {
                    row.fill(0.0);
                    continue;
                };
                let log_sum = softmax_inline(row);
                total += f64::from(log_sum - said);
                if let Some(value) = row.get_mut(*target as usize) {
                    *value -= 1.0;
                }
                for value in row {
                    *value *= scale;
                }
            }
        },
    );
    total
}
