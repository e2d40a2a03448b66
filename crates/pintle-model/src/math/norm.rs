//! Normalisation: by the root mean square, as in Llama, and of layers, as in BERT.

use super::{dot, sum, wide};

/// `(x - mean(x)) / deviation(x) · weight + bias`, row by row and in place.
pub(crate) fn layer_norm(x: &mut [f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let width = weight.len();
    debug_assert!(x.len().is_multiple_of(width) && bias.len() == width);
    wide(
        #[inline(always)]
        || {
            for row in x.chunks_exact_mut(width) {
                let mean = sum(row) / width as f32;
                for value in row.iter_mut() {
                    *value -= mean;
                }
                let scale = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
                for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
                    *value = *value * scale * weight + bias;
                }
            }
        },
    );
}

/// `to = x / rms(x) · weight`, row by row. Keeps `1 / rms` of each row in `inverse` for the way back.
pub(crate) fn rms_norm(to: &mut [f32], inverse: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    let width = weight.len();
    debug_assert!(to.len() == x.len() && x.len() == inverse.len() * width);
    wide(
        #[inline(always)]
        || {
            for ((to, x), inverse) in
                to.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(inverse.iter_mut())
            {
                let scale = 1.0 / (dot(x, x) / width as f32 + epsilon).sqrt();
                *inverse = scale;
                for ((to, x), weight) in to.iter_mut().zip(x).zip(weight) {
                    *to = x * scale * weight;
                }
            }
        },
    );
}

/// The way back: adds to `d_x` (where the residual's gradient already is) and to `d_weight`.
pub(crate) fn rms_norm_back(
    d_x: &mut [f32],
    d_weight: &mut [f32],
    d_to: &[f32],
    x: &[f32],
    inverse: &[f32],
    weight: &[f32],
) {
    let width = weight.len();
    debug_assert!(d_x.len() == x.len() && d_to.len() == x.len() && x.len() == inverse.len() * width);
    wide(
        #[inline(always)]
        || {
            let rows = d_x.chunks_exact_mut(width).zip(d_to.chunks_exact(width)).zip(x.chunks_exact(width));
            for (((d_x, d_to), x), scale) in rows.zip(inverse) {
                let scale = *scale;
                let along = dot3(d_to, weight, x) * scale * scale / width as f32;
                for ((((d_x, d_to), x), weight), d_weight) in
                    d_x.iter_mut().zip(d_to).zip(x).zip(weight).zip(d_weight.iter_mut())
                {
                    *d_weight += d_to * x * scale;
                    *d_x += scale * (d_to * weight - x * along);
                }
            }
        },
    );
}

#[inline(always)]
fn dot3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    const LANES: usize = super::LANES;
    let mut sums = [0.0_f32; LANES];
    let ((a_parts, a_rest), (b_parts, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let (c_parts, c_rest) = c.as_chunks::<LANES>();
    for ((a, b), c) in a_parts.iter().zip(b_parts).zip(c_parts) {
        for (((sum, a), b), c) in sums.iter_mut().zip(a).zip(b).zip(c) {
            *sum += a * b * c;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).zip(c_rest).map(|((a, b), c)| a * b * c).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_normalised_by_the_definition() {
        for width in [1, 5, 16, 37] {
            let value = |i: usize| ((i * 29 % 23) as f32 - 7.0) / 3.0;
            let x: Vec<f32> = (0..3 * width).map(value).collect();
            let weight: Vec<f32> = (0..width).map(|i| value(i + 3)).collect();
            let bias: Vec<f32> = (0..width).map(|i| value(i + 8)).collect();
            let mut got = x.clone();
            layer_norm(&mut got, &weight, &bias, 1e-5);
            for (got, x) in got.chunks(width).zip(x.chunks(width)) {
                let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / width as f64;
                let variance = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / width as f64;
                for (i, got) in got.iter().enumerate() {
                    let expected = (f64::from(x[i]) - mean) / (variance + 1e-5).sqrt() * f64::from(weight[i])
                        + f64::from(bias[i]);
                    assert!((f64::from(*got) - expected).abs() < 1e-5, "{got} {expected}");
                }
            }
        }
    }
}
