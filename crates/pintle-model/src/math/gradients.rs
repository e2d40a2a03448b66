//! Each operation's way back against finite differences of its way there. The sum of the outputs, weighted with numbers
//! without a pattern, stands for the loss.

use super::*;

/// Numbers without a pattern between -1 and 1.
fn numbers(count: usize, mut state: u32) -> Vec<f32> {
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn weighted(values: &[f32], weights: &[f32]) -> f64 {
    values.iter().zip(weights).map(|(value, weight)| f64::from(*value) * f64::from(*weight)).sum()
}

/// Compares `gradient` with differences of `loss`, moving each of `values` by itself. Relative to the length of both.
fn compare(name: &str, values: &[f32], gradient: &[f32], loss: impl Fn(&[f32]) -> f64) {
    assert_eq!(values.len(), gradient.len(), "{name}");
    let h = 1e-2_f32;
    let (mut difference, mut size) = (0.0_f64, 0.0_f64);
    for at in 0..values.len() {
        let side = |by: f32| {
            let mut moved = values.to_vec();
            moved[at] += by;
            loss(&moved)
        };
        // Four points: the error falls with the fourth power of the step.
        let (near, far) = (side(h) - side(-h), side(2.0 * h) - side(-2.0 * h));
        let numeric = (8.0 * near - far) / (12.0 * f64::from(h));
        difference += (numeric - f64::from(gradient[at])).powi(2);
        size += numeric.powi(2).max(f64::from(gradient[at]).powi(2));
    }
    let relative = (difference / size).sqrt();
    assert!(size > 1e-3 && relative < 1e-3, "{name}: {relative:e} of {size:e}");
}

#[test]
fn rms_norm_has_the_gradient_of_finite_differences() {
    let (width, rows) = (24, 3);
    let (x, weight, d_to) = (numbers(width * rows, 1), numbers(width, 2), numbers(width * rows, 3));
    let run = |x: &[f32], weight: &[f32]| {
        let (mut to, mut inverse) = (vec![0.0; x.len()], vec![0.0; rows]);
        rms_norm(&mut to, &mut inverse, x, weight, 1e-5);
        (to, inverse)
    };
    let (mut d_x, mut d_weight) = (vec![0.0; x.len()], vec![0.0; width]);
    rms_norm_back(&mut d_x, &mut d_weight, &d_to, &x, &run(&x, &weight).1, &weight);
    compare("input", &x, &d_x, |x| weighted(&run(x, &weight).0, &d_to));
    compare("weight", &weight, &d_weight, |weight| weighted(&run(&x, weight).0, &d_to));
}

#[test]
fn the_gate_has_the_gradient_of_finite_differences() {
    let (width, rows) = (21, 3);
    let (gate_up, d_to) = (numbers(2 * width * rows, 4), numbers(width * rows, 5));
    let run = |gate_up: &[f32]| {
        let mut to = vec![0.0; width * rows];
        silu_gate(&mut to, gate_up, width);
        to
    };
    let mut d_gate_up = gate_up.clone();
    silu_gate_back(&mut d_gate_up, &d_to, width);
    compare("gate and up", &gate_up, &d_gate_up, |gate_up| weighted(&run(gate_up), &d_to));
}

#[test]
fn rotation_has_the_gradient_of_finite_differences() {
    let (dim, length, row) = (8, 5, 24);
    let rotation = Rotation::new(dim, 10_000.0, length);
    let (x, d_to) = (numbers(row * length, 6), numbers(row * length, 7));
    let run = |x: &[f32], turn: Turn| {
        let mut to = x.to_vec();
        rotation.turn(&mut to, row, 2 * dim, length, turn);
        to
    };
    let d_x = run(&d_to, Turn::Back);
    compare("heads", &x, &d_x, |x| weighted(&run(x, Turn::Forward), &d_to));
}

#[test]
fn attention_has_the_gradient_of_finite_differences() {
    for shared in [1, 2, 4] {
        let heads = Heads { queries: 4, shared, dim: 8 };
        let length = 6;
        let qkv = numbers(heads.row_width() * length, 8);
        let d_to = numbers(heads.query_width() * length, 9);
        let run = |qkv: &[f32]| {
            let mut to = vec![0.0; heads.query_width() * length];
            let mut probabilities = vec![0.0; heads.queries * length * length];
            attend(&mut to, &mut probabilities, qkv, length, heads);
            (to, probabilities)
        };
        let mut d_qkv = vec![0.0; qkv.len()];
        let mut scratch = vec![0.0; length * length];
        attend_back(&mut d_qkv, &mut scratch, &d_to, &run(&qkv).1, &qkv, length, heads);
        compare("queries, keys, values", &qkv, &d_qkv, |qkv| weighted(&run(qkv).0, &d_to));
    }
}

#[test]
fn cross_entropy_has_the_gradient_of_finite_differences() {
    let (vocabulary, targets) = (19, [3, IGNORE, 18, 0]);
    let logits = numbers(vocabulary * targets.len(), 10);
    let mut gradient = logits.clone();
    cross_entropy(&mut gradient, vocabulary, &targets, 1.0);
    compare("logits", &logits, &gradient, |logits| {
        cross_entropy(&mut logits.to_vec(), vocabulary, &targets, 1.0)
    });
}

#[test]
fn the_product_has_the_gradient_of_finite_differences() {
    let (rows, inner, columns) = (5, 7, 6);
    let (a, b, d_to) = (numbers(rows * inner, 11), numbers(inner * columns, 12), numbers(rows * columns, 13));
    let run = |a: &[f32], b: &[f32]| {
        let mut to = vec![0.0; rows * columns];
        let into = MatMut::new(&mut to, rows, columns);
        matmul(into, Mat::new(a, rows, inner), Mat::new(b, inner, columns), 1.0, Into::Replace);
        to
    };
    let d = Mat::new(&d_to, rows, columns);
    let (mut d_a, mut d_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
    matmul(MatMut::new(&mut d_a, rows, inner), d, Mat::new(&b, inner, columns).t(), 1.0, Into::Replace);
    matmul(MatMut::new(&mut d_b, inner, columns), Mat::new(&a, rows, inner).t(), d, 1.0, Into::Replace);
    compare("left", &a, &d_a, |a| weighted(&run(a, &b), &d_to));
    compare("right", &b, &d_b, |b| weighted(&run(&a, b), &d_to));
}
