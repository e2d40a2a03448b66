//! The exponential function in a form that the compiler turns into vectors, and what is made of it.

/// Values per step of the loops below: one wide register.
const LANES: usize = 16;

/// `e^x` to about 2 units in the last place, for `x` within ±87; beyond it, the value at the bound. The exponent's integral
/// part goes into the float's exponent bits, the rest through a polynomial (coefficients: Cephes' `expf`).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it leaves an integer in the lowest bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = x - whole * LN2_HIGH - whole * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let tail = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()) << 23;
    f32::from_bits(tail.to_bits().wrapping_add(exponent))
}

/// Turns values into probabilities, in place. Gives the logarithm of the sum that they were divided by.
#[inline(always)]
pub(super) fn softmax_inline(values: &mut [f32]) -> f32 {
    let most = largest(values);
    let mut sums = [0.0_f32; LANES];
    let (parts, rest) = values.as_chunks_mut::<LANES>();
    for part in parts {
        let mut powers = *part;
        for (power, sum) in powers.iter_mut().zip(&mut sums) {
            *power = exp(*power - most);
            *sum += *power;
        }
        *part = powers;
    }
    let mut total: f32 = sums.iter().sum();
    for value in rest {
        *value = exp(*value - most);
        total += *value;
    }
    let scale = 1.0 / total;
    for value in values {
        *value *= scale;
    }
    most + total.ln()
}

#[inline(always)]
fn largest(values: &[f32]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    let (parts, rest) = values.as_chunks::<LANES>();
    for part in parts {
        for (most, value) in most.iter_mut().zip(part) {
            *most = larger(*most, *value);
        }
    }
    most.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| larger(a, *b))
}

/// One instruction, where `f32::max` takes four for the sake of what is not a number.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        let mut worst = 0.0_f64;
        for i in -870_000..=870_000 {
            let x = i as f32 / 10_000.0;
            let (got, expected) = (f64::from(exp(x)), f64::from(x).exp());
            worst = worst.max((got / expected - 1.0).abs());
        }
        assert!(worst < 3e-7, "{worst}");
        assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn probabilities_sum_to_one() {
        for len in [1, 7, 32, 65, 333] {
            let mut values: Vec<f32> = (0..len).map(|i| ((i * 31 % 17) as f32).sin() * 20.0).collect();
            let expected: f64 = values.iter().map(|v| f64::from(*v).exp()).sum::<f64>().ln();
            let log_sum = softmax_inline(&mut values);
            assert!((f64::from(log_sum) - expected).abs() < 1e-4);
            assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}
