//! The logarithm of a sum of exponentials: what turns logits into log-probabilities.

use super::{exp::exp, wide};

/// Values per step: one wide register.
const LANES: usize = 16;

/// `ln Σ e^value`, and whether all values are numbers. Nothing is left to overflow: the largest is taken off first.
/// `None` where a value is not finite.
pub(crate) fn log_sum_exp(values: &[f32]) -> Option<f32> {
    wide(
        #[inline(always)]
        || {
            let (parts, rest) = values.as_chunks::<LANES>();
            let mut most = [f32::MIN; LANES];
            // Zero times a number is zero; times anything else it is not a number.
            let mut odd = [0.0_f32; LANES];
            for part in parts {
                for ((most, odd), value) in most.iter_mut().zip(&mut odd).zip(part) {
                    *most = if *value > *most { *value } else { *most };
                    *odd += value * 0.0;
                }
            }
            let most = most.iter().chain(rest).fold(f32::MIN, |a, b| if *b > a { *b } else { a });
            let odd = odd.iter().sum::<f32>() + rest.iter().map(|value| value * 0.0).sum::<f32>();
            if odd.is_nan() {
                return None;
            }
            let mut sums = [0.0_f32; LANES];
            for part in parts {
                for (sum, value) in sums.iter_mut().zip(part) {
                    *sum += exp(value - most);
                }
            }
            let rest: f64 = rest.iter().map(|value| f64::from(exp(value - most))).sum();
            let total = sums.iter().map(|sum| f64::from(*sum)).sum::<f64>() + rest;
            #[expect(clippy::cast_possible_truncation, reason = "logits are single precision")]
            let log = total.ln() as f32;
            Some(most + log)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definition_and_oddities_are_seen() {
        for len in [1, 15, 16, 17, 333] {
            let mut values: Vec<f32> = (0..len).map(|i| ((i * 31 % 17) as f32).sin() * 30.0).collect();
            let expected = values.iter().map(|v| f64::from(*v).exp()).sum::<f64>().ln();
            let got = log_sum_exp(&values).unwrap();
            assert!((f64::from(got) - expected).abs() < 1e-5, "{got} {expected}");
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let place = len / 2;
                values[place] = odd;
                assert!(log_sum_exp(&values).is_none(), "{odd}");
            }
        }
    }
}
