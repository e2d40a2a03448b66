//! engine-burn: trains the reference model of decision 0001 with burn's autodiff over its flex CPU back end,
//! and prints what it measured as one line of JSON.
//!
//! Threads share the work by batch rows: each runs forward and backward on its part with an autodiff graph of its
//! own, then each updates its part of the parameters. Flex's element-wise operations are single-threaded, so this
//! uses two cores better than its own parallel matrix products do.

mod model;
mod ops;

use std::process::ExitCode;
use std::time::Instant;

use burn_backend::ops::FloatTensorOps;
use burn_backend::{AutodiffBackend, Scalar, TensorMetadata};

use model::{CONTEXT, Constants, Rng};
use ops::{Flex, Graph, Plain};

const BATCH: usize = 12;
const WARM_UP: usize = 100;
const LR: f64 = 1e-3;
const LR_END: f64 = 1e-4;
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.99;
const EPSILON: f64 = 1e-8;
const WEIGHT_DECAY: f64 = 0.1;
const CLIP: f64 = 1.0;
const EVAL_BATCHES: usize = 200;
const EVAL_SEED: u64 = 1;

struct Parameter {
    value: Plain,
    mean: Plain,
    square: Plain,
}

fn scaled(tensor: Plain, factor: f64) -> Plain {
    Flex::float_mul_scalar(tensor, Scalar::Float(factor))
}

fn number(tensor: &Plain) -> f64 {
    f64::from(tensor.storage::<f32>()[0])
}

impl Parameter {
    fn new(value: Plain) -> Self {
        let zeros = || scaled(value.clone(), 0.0);
        Self { mean: zeros(), square: zeros(), value }
    }

    /// One AdamW step (`step` counts from 1) with a gradient still to be multiplied by `clip`. The moments are kept
    /// without their factors 1 - beta; these, the bias corrections and the rate are scalars and meet in `rate` and
    /// `epsilon`, which spares passes over memory. Takes the tensors out of `self`, as flex only works in place on
    /// tensors with a single owner.
    fn update(self, grad: Plain, clip: f64, step: usize, lr: f64) -> Self {
        let Self { value, mean, square } = self;
        let decay = if value.rank() == 2 { 1.0 - lr * WEIGHT_DECAY } else { 1.0 };
        let grad = if clip < 1.0 { scaled(grad, clip) } else { grad };
        let square = Flex::float_add(scaled(square, BETA2), Flex::float_mul(grad.clone(), grad.clone()));
        let mean = Flex::float_add(scaled(mean, BETA1), grad);
        let spread = ((1.0 - BETA2.powi(step as i32)) / (1.0 - BETA2)).sqrt();
        let rate = lr * spread * (1.0 - BETA1) / (1.0 - BETA1.powi(step as i32));
        let epsilon = Scalar::Float(EPSILON * spread);
        let root = Flex::float_add_scalar(Flex::float_sqrt(square.clone()), epsilon);
        let change = Flex::float_div(scaled(mean.clone(), rate), root);
        Self { value: Flex::float_sub(scaled(value, decay), change), mean, square }
    }
}

fn learning_rate(step: usize, steps: usize) -> f64 {
    if step < WARM_UP {
        return LR * (step + 1) as f64 / WARM_UP as f64;
    }
    let progress = (step - WARM_UP) as f64 / (steps - WARM_UP).max(1) as f64;
    LR_END + (LR - LR_END) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// Inputs and targets of some sequences, time-major.
fn sequences(tokens: &[i64], offsets: &[usize]) -> (Vec<i64>, Vec<i64>) {
    let column = |shift: usize| {
        (0..CONTEXT).flat_map(|t| offsets.iter().map(move |&start| tokens[start + t + shift])).collect()
    };
    (column(0), column(1))
}

fn offsets(rng: &mut Rng, tokens: &[i64]) -> Vec<usize> {
    (0..BATCH).map(|_| rng.below(tokens.len() - CONTEXT)).collect()
}

/// The part of the batch's mean loss that `offsets` contribute, and its gradients.
fn gradients(
    values: Vec<Plain>,
    constants: &Constants,
    tokens: &[i64],
    offsets: &[usize],
) -> (f64, Vec<Plain>) {
    let leaves: Vec<_> = values
        .into_iter()
        .map(|value| Graph::float_set_require_grad(Graph::from_inner(value), true))
        .collect();
    let (inputs, targets) = sequences(tokens, offsets);
    let loss = model::loss(&leaves, constants, inputs, targets, BATCH * CONTEXT);
    let value = number(loss.primitive());
    let mut grads = Graph::backward(loss);
    let grads = leaves
        .iter()
        .map(|leaf| Graph::grad_remove(leaf, &mut grads).expect("a gradient for every parameter"));
    (value, grads.collect())
}

/// Runs `work` on every item, the first on this thread, each other one on its own.
fn on_threads<I: Send, O: Send>(items: Vec<I>, work: impl Fn(I) -> O + Sync) -> Vec<O> {
    let (work, mut items) = (&work, items.into_iter());
    let first = items.next().expect("at least one item");
    std::thread::scope(|scope| {
        let others: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let mut results = vec![work(first)];
        results.extend(others.into_iter().map(|handle| handle.join().expect("a worker panicked")));
        results
    })
}

/// One training step; returns the loss before it.
fn train_step(
    all: &mut Vec<Parameter>,
    constants: &Constants,
    tokens: &[i64],
    offsets: &[usize],
    threads: usize,
    step: usize,
    lr: f64,
) -> f64 {
    let values = || all.iter().map(|parameter| parameter.value.clone()).collect::<Vec<_>>();
    let parts = offsets.chunks(BATCH.div_ceil(threads)).map(|part| (values(), part)).collect();
    let mut results =
        on_threads(parts, |(values, part)| gradients(values, constants, tokens, part)).into_iter();
    let (mut loss, mut grads) = results.next().expect("at least one part");
    for (part_loss, part_grads) in results {
        loss += part_loss;
        grads = grads.into_iter().zip(part_grads).map(|(a, b)| Flex::float_add(a, b)).collect();
    }
    let square = |grad: &Plain| number(&Flex::float_sum(Flex::float_mul(grad.clone(), grad.clone())));
    let norm = grads.iter().map(square).sum::<f64>().sqrt();
    let clip = (CLIP / (norm + 1e-6)).min(1.0);
    let mut pairs: Vec<_> = std::mem::take(all).into_iter().zip(grads).collect();
    let mut parts = Vec::new();
    while !pairs.is_empty() {
        let rest = pairs.split_off(pairs.len().min(pairs.len().div_ceil(threads - parts.len())));
        parts.push(std::mem::replace(&mut pairs, rest));
    }
    let update = |(parameter, grad): (Parameter, Plain)| parameter.update(grad, clip, step + 1, lr);
    let updated = on_threads(parts, |part: Vec<_>| part.into_iter().map(update).collect::<Vec<_>>());
    *all = updated.into_iter().flatten().collect();
    loss
}

fn evaluate(all: &[Parameter], constants: &Constants, tokens: &[i64]) -> f64 {
    let values: Vec<_> = all.iter().map(|parameter| Graph::from_inner(parameter.value.clone())).collect();
    let mut rng = Rng::new(EVAL_SEED);
    let total: f64 = (0..EVAL_BATCHES)
        .map(|_| {
            let (inputs, targets) = sequences(tokens, &offsets(&mut rng, tokens));
            number(model::loss(&values, constants, inputs, targets, BATCH * CONTEXT).primitive())
        })
        .sum();
    total / EVAL_BATCHES as f64
}

fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

/// Data file, steps, seed and threads.
fn arguments() -> Option<(String, usize, u64, usize)> {
    let number = |name| argument(name)?.parse::<usize>().ok();
    let threads = number("--threads")?.clamp(1, BATCH);
    Some((argument("--data")?, number("--steps")?, number("--seed")? as u64, threads))
}

fn peak_rss_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(f64::NAN, |kib| kib / 1024.0)
}

/// Makes the C library keep freed memory: tensors of every step are freed and allocated anew, and giving their
/// pages back in between costs page faults (about 2 % of the time with one thread, 5 % with two).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    unsafe extern "C" {
        safe fn mallopt(parameter: i32, value: i32) -> i32;
    }
    const M_TRIM_THRESHOLD: i32 = -1;
    const M_MMAP_THRESHOLD: i32 = -3;
    mallopt(M_TRIM_THRESHOLD, i32::MAX);
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}

fn main() -> ExitCode {
    keep_freed_memory();
    let Some((path, steps, seed, threads)) = arguments() else {
        eprintln!("usage: engine-burn --data FILE --steps N --seed N --threads N");
        return ExitCode::from(2);
    };
    let text: Vec<char> = std::fs::read_to_string(path).expect("a readable text file").chars().collect();
    let mut vocabulary = text.clone();
    vocabulary.sort_unstable();
    vocabulary.dedup();
    let token = |c: &char| vocabulary.binary_search(c).map_or(0, |index| index as i64);
    let tokens: Vec<i64> = text.iter().map(token).collect();
    let (train, validation) = tokens.split_at(tokens.len() * 9 / 10);

    let mut rng = Rng::new(seed);
    let mut all: Vec<_> =
        model::parameters(vocabulary.len(), &mut rng).into_iter().map(Parameter::new).collect();
    let constants = Constants::new();
    let mut losses = Vec::with_capacity(steps);
    let start = Instant::now();
    for step in 0..steps {
        let offsets = offsets(&mut rng, train);
        let lr = learning_rate(step, steps);
        losses.push(train_step(&mut all, &constants, train, &offsets, threads, step, lr));
        if (step + 1) % 200 == 0 {
            eprintln!("step {} loss {:.4} ({:.1} s)", step + 1, losses[step], start.elapsed().as_secs_f64());
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let last = &losses[losses.len().saturating_sub(50)..];
    let train_loss = last.iter().sum::<f64>() / last.len() as f64;
    let tokens_per_s = (steps * BATCH * CONTEXT) as f64 / seconds;
    let val_loss = evaluate(&all, &constants, validation);
    println!(
        r#"{{"engine": "burn", "version": "0.22.1", "steps": {steps}, "seconds": {seconds:.2}, "tokens_per_s": {tokens_per_s:.0}, "train_loss": {train_loss:.4}, "val_loss": {val_loss:.4}, "peak_rss_mib": {:.1}, "threads": {threads}}}"#,
        peak_rss_mib()
    );
    ExitCode::SUCCESS
}
