//! Comparison program for decision 0001: the reference model trained with candle on the CPU.
//!
//! Each thread runs its own sequences of the batch forward and backward in a graph of its own, with
//! single-threaded matrix products; the gradients are added up before the update. At this size that
//! beats sharing each product between the threads, which would meet hundreds of times a step.

mod basic;
mod kernels;
mod model;
mod ops;

use std::time::Instant;

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::kernels::Step;
use crate::model::{Model, Random};
use crate::ops::AdamW;

const CONTEXT: usize = 64;
const DIM: usize = 128;
const LAYERS: usize = 4;
const HEADS: usize = 4;
const HEAD_DIM: usize = DIM / HEADS;
const HIDDEN: usize = 344;
const EPS: f32 = 1e-5;
const THETA: f64 = 10_000.0;

const BATCH: usize = 12;
const WARM_UP: usize = 100;
const RATE: f64 = 1e-3;
const RATE_END: f64 = 1e-4;
const BETAS: (f32, f32) = (0.9, 0.99);
const CLIP: f32 = 1.0;
const VAL_BATCHES: usize = 200;
const VAL_SEED: u64 = 20_000;

struct Options {
    data: String,
    steps: usize,
    seed: u64,
    threads: usize,
    /// candle's basic operations instead of our own.
    basic: bool,
}

fn options() -> Result<Options> {
    let mut options = Options { data: String::new(), steps: 2000, seed: 1, threads: 1, basic: false };
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--data" => options.data = value,
            "--steps" => options.steps = value.parse().map_err(candle_core::Error::wrap)?,
            "--seed" => options.seed = value.parse().map_err(candle_core::Error::wrap)?,
            "--ops" => options.basic = value == "basic",
            "--threads" => options.threads = value.parse().map_err(candle_core::Error::wrap)?,
            _ => bail!("unknown option `{name}`"),
        }
    }
    if options.data.is_empty() || !(1..=BATCH).contains(&options.threads) {
        bail!("usage: --data FILE [--steps N] [--seed N] [--threads 1..{BATCH}] [--ops own|basic]");
    }
    Ok(options)
}

/// Vocabulary size, training part and validation part of a text.
fn load(path: &str) -> Result<(usize, Vec<u32>, Vec<u32>)> {
    let text: Vec<char> = std::fs::read_to_string(path)?.chars().collect();
    let mut alphabet = text.clone();
    alphabet.sort_unstable();
    alphabet.dedup();
    let id = |char| alphabet.partition_point(|other| other < char) as u32;
    let mut train: Vec<u32> = text.iter().map(id).collect();
    let validation = train.split_off(text.len() * 9 / 10);
    Ok((alphabet.len(), train, validation))
}

fn draw<'a>(text: &'a [u32], random: &mut Random) -> Vec<&'a [u32]> {
    let window = CONTEXT + 1;
    let mut start = || random.below(text.len() - CONTEXT);
    (0..BATCH).map(|_| start()).map(|start| &text[start..start + window]).collect()
}

fn learning_rate(step: usize, steps: usize) -> f64 {
    if step < WARM_UP {
        return RATE * (step + 1) as f64 / WARM_UP as f64;
    }
    let progress = (step - WARM_UP) as f64 / (steps - WARM_UP).max(1) as f64;
    RATE_END + (RATE - RATE_END) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

/// The batch's loss and the gradient of each parameter.
fn gradients(model: &Model, batch: &[&[u32]], threads: usize) -> Result<(f32, Vec<Tensor>)> {
    let scale = 1.0 / (BATCH * CONTEXT) as f32;
    let shares: Vec<(f32, Vec<Tensor>)> = batch
        .par_chunks(BATCH.div_ceil(threads))
        .map(|share| {
            let loss = model.loss(share, scale)?;
            let mut grads = loss.backward()?;
            let mut take = |p| match grads.remove(p) {
                Some(grad) => Ok(grad),
                None => bail!("a parameter has no gradient"),
            };
            let grads = model.parameters().into_iter().map(|p| take(p.as_tensor()));
            Ok((loss.to_scalar()?, grads.collect::<Result<_>>()?))
        })
        .collect::<Result<_>>()?;
    let mut shares = shares.into_iter();
    let Some(mut total) = shares.next() else { bail!("the batch is empty") };
    for (loss, grads) in shares {
        total.0 += loss;
        let sums = total.1.par_iter().zip(&grads).map(|(a, b)| a.add(b));
        total.1 = sums.collect::<Result<_>>()?;
    }
    Ok(total)
}

fn train(model: &Model, text: &[u32], options: &Options) -> Result<Vec<f32>> {
    let parameters = model.parameters();
    let states: Vec<AdamW> = parameters.iter().map(|p| AdamW::new(p.elem_count())).collect();
    let mut random = Random::new(options.seed + 1);
    let mut losses = Vec::with_capacity(options.steps);
    for step in 0..options.steps {
        let (loss, grads) = gradients(model, &draw(text, &mut random), options.threads)?;
        let squares: Vec<f32> = grads.par_iter().map(ops::sum_of_squares).collect::<Result<_>>()?;
        let norm = squares.iter().sum::<f32>().sqrt();
        let updates = parameters.par_iter().zip(&states).zip(&grads);
        updates.try_for_each(|((parameter, state), grad)| {
            let factors = Step {
                clip: (CLIP / (norm + 1e-6)).min(1.0),
                rate: learning_rate(step, options.steps) as f32,
                decay: if parameter.rank() == 2 { 0.1 } else { 0.0 },
                beta1: BETAS.0,
                beta2: BETAS.1,
                eps: 1e-8,
                correction: (
                    1.0 / (1.0 - BETAS.0.powi(step as i32 + 1)),
                    1.0 / (1.0 - BETAS.1.powi(step as i32 + 1)),
                ),
            };
            state.update(parameter.as_tensor(), grad, &factors)
        })?;
        losses.push(loss);
        if (step + 1) % 200 == 0 {
            eprintln!("step {} loss {loss:.4}", step + 1);
        }
    }
    Ok(losses)
}

fn evaluate(model: &Model, text: &[u32]) -> Result<f64> {
    let mut random = Random::new(VAL_SEED);
    let batches: Vec<_> = (0..VAL_BATCHES).map(|_| draw(text, &mut random)).collect();
    let scale = 1.0 / (BATCH * CONTEXT) as f32;
    let losses: Vec<f32> =
        batches.par_iter().map(|batch| model.loss(batch, scale)?.to_scalar()).collect::<Result<_>>()?;
    Ok(losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / VAL_BATCHES as f64)
}

fn peak_rss_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0).ok_or_else(|| candle_core::Error::Msg("no VmHWM".into()))
}

/// Keeps freed memory in the process: by default each large tensor would be mapped anew, and its
/// pages faulted in again, at every step.
fn keep_freed_memory() {
    // SAFETY: `mallopt` only sets the allocator's thresholds, and no other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
    }
}

fn main() -> Result<()> {
    keep_freed_memory();
    // SAFETY: no other thread runs yet. candle reads this for the threads of a matrix product.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let options = options()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build();
    let pool = pool.map_err(candle_core::Error::wrap)?;

    let (vocab, train_text, validation_text) = load(&options.data)?;
    let model = Model::new(vocab, options.seed, options.basic)?;
    let start = Instant::now();
    let losses = pool.install(|| train(&model, &train_text, &options))?;
    let seconds = start.elapsed().as_secs_f64();
    let val_loss = pool.install(|| evaluate(&model, &validation_text))?;

    let last = &losses[losses.len().saturating_sub(50)..];
    println!(
        "{{\"engine\": \"candle\", \"ops\": \"{}\", \"version\": \"0.11.1\", \"steps\": {}, \"seconds\": {seconds:.3}, \
         \"tokens_per_s\": {:.0}, \"train_loss\": {:.4}, \"val_loss\": {val_loss:.4}, \
         \"peak_rss_mib\": {:.1}, \"threads\": {}}}",
        if options.basic { "basic" } else { "own" },
        options.steps,
        (options.steps * BATCH * CONTEXT) as f64 / seconds,
        last.iter().sum::<f32>() / last.len() as f32,
        peak_rss_mib()?,
        options.threads,
    );
    Ok(())
}
