//! The engine's proofs: gradients against finite differences, accumulation, learning.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    HeldOut, Point, RunSettings, Source,
    machine::{Batch, Machine, State},
    optimiser::{Moments, OptimiserSettings},
    run::Run,
};
use crate::{
    ModelConfig,
    math::IGNORE,
    network::{Pass, Shape, Task},
};

fn shape(tied: bool, shared: usize) -> Shape {
    let config = serde_json::json!({
        "vocab_size": 19, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": shared, "head_dim": 8, "max_position_embeddings": 16,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": tied,
    });
    Shape::new(serde_json::from_value::<ModelConfig>(config).unwrap()).unwrap()
}

/// Weights large enough for every path to matter, and an embedding long enough for its normalisation to be smooth.
fn weights(shape: &Shape) -> Vec<f32> {
    let embedding = shape.layout.embedding.clone();
    let grow = |i: usize| if embedding.contains(&i) { 40.0 } else { 6.0 };
    shape.first_weights(7).iter().enumerate().map(|(i, w)| w.min(0.3) * grow(i)).collect()
}

fn batch(sequences: usize, length: usize) -> Batch {
    let count = u32::try_from(sequences * length).unwrap();
    let tokens: Vec<u32> = (0..count).map(|i| (i * i + 5 * i) % 19).collect();
    let targets = (0..count).map(|i| if i % 5 == 4 { IGNORE } else { (i * 7 + 2) % 19 });
    Batch { targets: targets.collect(), tokens, length }
}

fn state(shape: &Shape) -> State {
    State { weights: weights(shape), moments: Moments::new(shape.layout.weights), step: 0 }
}

#[test]
fn gradients_of_every_tensor_are_those_of_finite_differences() {
    for (tied, shared) in [(true, 4), (false, 2), (false, 1)] {
        let shape = shape(tied, shared);
        let weights = weights(&shape);
        let batch = batch(3, 11);
        let task = Task { tokens: &batch.tokens, targets: &batch.targets, length: 11, scale: 1.0 };
        let mut pass = Pass::new(&shape);
        let mut gradients = vec![0.0; weights.len()];
        let loss = pass.learn(&weights, &mut gradients, task);
        assert!((loss - pass.loss(&weights, task)).abs() < 1e-3);
        for tensor in &shape.layout.tensors {
            let range = tensor.range.clone();
            let step = (range.len() / 23).max(1);
            let (mut difference, mut size) = (0.0_f64, 0.0_f64);
            for at in range.step_by(step) {
                let h = 1.5e-2;
                let side = |by: f32, pass: &mut Pass| {
                    let mut moved = weights.clone();
                    moved[at] += by;
                    pass.loss(&moved, task)
                };
                // Four points: the error falls with the fourth power of the step.
                let near = side(h, &mut pass) - side(-h, &mut pass);
                let far = side(2.0 * h, &mut pass) - side(-2.0 * h, &mut pass);
                let numeric = (8.0 * near - far) / (12.0 * f64::from(h));
                difference += (numeric - f64::from(gradients[at])).powi(2);
                size += numeric.powi(2).max(f64::from(gradients[at]).powi(2));
            }
            let relative = (difference / size.max(1e-12)).sqrt();
            assert!(size > 1e-6 && relative < 1e-3, "{}: {relative:e} of {size:e}", tensor.name);
        }
    }
}

#[test]
fn accumulating_eight_times_one_is_once_eight() {
    let shape = shape(true, 2);
    let whole = batch(8, 9);
    let parts: Vec<Batch> = (0..8)
        .map(|i| Batch {
            tokens: whole.tokens[i * 9..(i + 1) * 9].to_vec(),
            targets: whole.targets[i * 9..(i + 1) * 9].to_vec(),
            length: 9,
        })
        .collect();
    let settings = OptimiserSettings::default();
    let run = |batches: &[Batch], shards: usize| {
        let mut state = state(&shape);
        let stepped = Machine::new(&shape, shards).step(&mut state, batches, &settings, 1e-3).unwrap();
        (stepped, state)
    };
    let (one, first) = run(&[whole], 1);
    for shards in [1, 2, 3] {
        let (eight, second) = run(&parts, shards);
        assert!((one.loss - eight.loss).abs() < 1e-5 && (one.norm - eight.norm).abs() / one.norm < 1e-5);
        let moments = first.moments.first.iter().zip(&second.moments.first);
        let worst = moments.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{worst}");
    }
}

#[test]
fn every_tensor_changes_at_step_one() {
    let shape = shape(false, 2);
    let mut state = state(&shape);
    let before = state.weights.clone();
    let settings = OptimiserSettings { weight_decay: 0.0, ..OptimiserSettings::default() };
    Machine::new(&shape, 2).step(&mut state, &[batch(4, 12)], &settings, 1e-3).unwrap();
    for tensor in &shape.layout.tensors {
        let moved =
            tensor.range.clone().filter(|i| before[*i].to_bits() != state.weights[*i].to_bits()).count();
        // Rows of the embedding whose tokens do not occur stay.
        assert!(moved * 2 > tensor.range.len(), "{}: {moved} of {}", tensor.name, tensor.range.len());
    }
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let shape = shape(true, 2);
    let mut state = State { weights: shape.first_weights(1), ..state(&shape) };
    let mut machine = Machine::new(&shape, 2);
    let settings = OptimiserSettings { weight_decay: 0.0, ..OptimiserSettings::default() };
    let batch = batch(4, 12);
    let mut loss = f64::MAX;
    for step in 1..=600 {
        let rate = 5.0 * settings.rate(step, 600);
        loss = machine.step(&mut state, std::slice::from_ref(&batch), &settings, rate).unwrap().loss;
    }
    assert!(loss < 0.02, "{loss}");
}

#[test]
fn the_number_of_threads_does_not_change_a_run() {
    let shape = shape(true, 4);
    let run = || {
        let mut state = state(&shape);
        let mut machine = Machine::new(&shape, 3);
        for _ in 0..3 {
            machine.step(&mut state, &[batch(7, 12)], &OptimiserSettings::default(), 1e-3).unwrap();
        }
        state.weights.iter().map(|w| w.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn the_learning_rate_climbs_and_falls() {
    let settings = OptimiserSettings::default();
    assert!((settings.rate(1, 2000) - 1e-5).abs() < 1e-9);
    assert!((settings.rate(100, 2000) - 1e-3).abs() < 1e-9);
    assert!((settings.rate(2000, 2000) - 1e-4).abs() < 1e-9);
    assert!(settings.rate(1050, 2000) < 6e-4);
}

fn run_settings() -> RunSettings {
    RunSettings {
        seed: 5,
        steps: 24,
        sequence_length: 12,
        sequences: 3,
        accumulate: 2,
        shards: 2,
        evaluate_every: 5,
        optimiser: OptimiserSettings { warm_up_steps: 4, ..OptimiserSettings::default() },
    }
}

/// Trains in `folder`, stopping after each of the steps of `stops` as if the process had been asked to end.
fn train(folder: &std::path::Path, stops: &[u64]) -> (Vec<Point>, Vec<u32>) {
    let shape = shape(true, 2);
    let tokens: Vec<u32> = (0..400_u32).map(|i| i * i % 17).collect();
    let held_out = HeldOut { bytes: 90, tokens: tokens[..50].to_vec() };
    let source = Source::Stream(tokens);
    let settings = run_settings();
    let mut stops = stops.iter().copied();
    loop {
        let stop = AtomicBool::new(false);
        let until = stops.next();
        let run = Run {
            machine: Machine::new(&shape, settings.shards),
            identity: "this",
            first: shape.first_weights(settings.seed),
            source: &source,
            held_out: &held_out,
            settings: &settings,
        };
        let mut watch = |progress: super::Progress<'_>| {
            stop.store(Some(progress.point.step) == until, Ordering::Relaxed);
        };
        let trained = run.train(folder, &stop, &mut watch).unwrap();
        if trained.is_complete {
            return (trained.curve, trained.weights.iter().map(|w| w.to_bits()).collect());
        }
    }
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (curve, weights) = train(whole.path(), &[]);
    let (other_curve, other_weights) = train(stopped.path(), &[1, 2, 9, 17, 23]);
    assert_eq!(curve, other_curve);
    assert_eq!(weights, other_weights);
    assert_eq!(curve.len(), 24);
    assert_eq!(curve.iter().filter(|point| point.held_out_bits_per_byte.is_some()).count(), 5);
}

#[test]
fn checkpoints_that_are_not_whole_or_not_ours_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.bin");
    train(folder.path(), &[3]);
    let whole = std::fs::read(&path).unwrap();
    let shape = shape(true, 2);
    let load = |run: &str| super::checkpoint::load(&path, run, shape.layout.weights);
    assert!(load("this").unwrap().is_some());
    assert!(load("another").unwrap_err().to_string().contains("another run"));
    for cut in [0, 7, 20, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(load("this").unwrap_err().to_string().contains("not complete"), "cut at {cut}");
    }
    for at in [0, 30, whole.len() / 3, whole.len() - 2] {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        std::fs::write(&path, &changed).unwrap();
        assert!(load("this").is_err(), "changed at {at}");
    }
}

#[test]
fn an_adapter_learns_by_its_exact_gradient_and_leaves_the_base_alone() {
    let shape = shape(true, 2);
    let base = std::sync::Arc::new(weights(&shape));
    let settings = crate::LoraSettings { rank: 3, alpha: 6.0, ..crate::LoraSettings::default() };
    let adapter = crate::tune::Adapter::new(&shape.layout, &settings).unwrap();
    let mut first = adapter.first_weights(1);
    // `B` begins at zero; the gradient of `A` shows only when it is not.
    first.iter_mut().enumerate().for_each(|(i, w)| *w += (i as f32).sin() * 0.1);
    let batch = batch(3, 11);
    let mut machine = Machine::adapting(&shape, 1, adapter.clone(), std::sync::Arc::clone(&base));
    // With a mean that forgets at once, the first moment is the gradient.
    let frozen =
        OptimiserSettings { beta1: 0.0, clip: 0.0, weight_decay: 0.0, ..OptimiserSettings::default() };
    let mut state = State { weights: first.clone(), moments: Moments::new(adapter.weights), step: 0 };
    machine.step(&mut state, std::slice::from_ref(&batch), &frozen, 0.0).unwrap();
    let asked = batch.asked() as f64;
    for pair in [&adapter.pairs[0], &adapter.pairs[4], &adapter.pairs[13]] {
        for at in [pair.a.start + 1, pair.a.end - 2, pair.b.start, pair.b.end - 1] {
            let mut side = |by: f32| {
                let mut moved = first.clone();
                moved[at] += by;
                machine.loss(&moved, &batch).unwrap() / asked
            };
            let numeric = (side(2e-2) - side(-2e-2)) / 4e-2;
            let exact = f64::from(state.moments.first[at]);
            assert!(
                (numeric - exact).abs() < 2e-3 * numeric.abs().max(0.05),
                "{}: {numeric} {exact}",
                pair.name
            );
        }
    }
    let before = machine.loss(&state.weights, &batch).unwrap();
    for _ in 0..100 {
        machine.step(&mut state, std::slice::from_ref(&batch), &OptimiserSettings::default(), 1e-2).unwrap();
    }
    assert!(machine.loss(&state.weights, &batch).unwrap() < 0.5 * before);
}

/// The formulas of `tests/models/torch_curve.py`, which made `torch_curve.json` with PyTorch.
mod pytorch {
    use super::*;

    const VOCAB: u32 = 64;
    const STEPS: u64 = 100;
    const SEQUENCES: u32 = 6;
    const LENGTH: usize = 32;

    fn next(state: u32) -> u32 {
        state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
    }

    fn weights(shape: &Shape) -> Vec<f32> {
        let mut weights = vec![0.0; shape.layout.weights];
        for tensor in &shape.layout.tensors {
            let mut state = crc32fast::hash(tensor.name.as_bytes());
            let around = if tensor.is_matrix() { 0.0 } else { 1.0 };
            for weight in &mut weights[tensor.range.clone()] {
                state = next(state);
                *weight = (state >> 8) as f32 / (1 << 24) as f32 * 0.2 - 0.1 + around;
            }
        }
        weights
    }

    fn batch(step: u64) -> Batch {
        let mut batch = Batch { length: LENGTH, ..Batch::default() };
        for sequence in 0..SEQUENCES {
            let mut state = u32::try_from(step).unwrap() * 1000 + sequence;
            let mut token = state % VOCAB;
            for _ in 0..LENGTH {
                batch.tokens.push(token);
                state = next(state);
                token = (token * 5 + 1 + (state >> 30)) % VOCAB;
                batch.targets.push(token);
            }
        }
        batch
    }

    #[test]
    fn the_loss_curve_is_that_of_pytorch_over_100_steps() {
        let expected: Vec<f64> = serde_json::from_str(include_str!("torch_curve.json")).unwrap();
        let config = serde_json::json!({
            "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 80, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": LENGTH,
            "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        let shape = Shape::new(serde_json::from_value::<ModelConfig>(config).unwrap()).unwrap();
        let settings = OptimiserSettings {
            learning_rate: 3e-3,
            learning_rate_min: 3e-4,
            warm_up_steps: 10,
            ..OptimiserSettings::default()
        };
        let moments = Moments::new(shape.layout.weights);
        let mut state = State { weights: weights(&shape), moments, step: 0 };
        let mut machine = Machine::new(&shape, 2);
        assert_eq!(expected.len() as u64, STEPS);
        for (step, expected) in (1..=STEPS).zip(expected) {
            let rate = settings.rate(step, STEPS);
            let loss = machine.step(&mut state, &[batch(step)], &settings, rate).unwrap().loss;
            assert!((loss - expected).abs() < 1e-3, "step {step}: {loss} and not {expected}");
        }
    }
}
