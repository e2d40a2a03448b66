//! A run of training: steps, the curve, checkpoints, and going on after the process was killed.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    OptimiserSettings, Source,
    checkpoint::{self, Resumed},
    data::Plan,
    machine::{Batch, Machine, State},
    optimiser::Moments,
};
use crate::ModelError;

/// How a run goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSettings {
    /// Decides the first weights and the order of the data.
    pub seed: u64,
    /// Steps in all.
    pub steps: u64,
    /// The longest sequence, in tokens.
    pub sequence_length: usize,
    /// Sequences of a micro-batch.
    pub sequences: usize,
    /// Micro-batches whose gradients make one step.
    pub accumulate: usize,
    /// Parts that a batch is cut into, each computed by a thread. It decides the order of sums: another number gives
    /// a curve that differs in the last digits.
    pub shards: usize,
    /// Steps between looks at the held-out part; the last step always has one.
    pub evaluate_every: u64,
    /// How the weights follow the gradients.
    pub optimiser: OptimiserSettings,
}

/// Text that is not trained on, as tokens and as bytes.
#[derive(Debug, Clone, Default)]
pub struct HeldOut {
    /// The documents, each ended by its end token.
    pub tokens: Vec<u32>,
    /// Bytes of their text.
    pub bytes: u64,
}

/// One point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The step, from 1.
    pub step: u64,
    /// Nats per token of the step's own batches.
    pub loss: f64,
    /// The learning rate.
    pub rate: f32,
    /// The length of the gradients before they were clipped.
    pub gradient_norm: f64,
    /// Bits per byte of the held-out part, where it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_bits_per_byte: Option<f64>,
}

/// How far a run is, after each step.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// This step's point.
    pub point: Point,
    /// Steps in all.
    pub steps: u64,
    /// Tokens per second, of this process.
    pub tokens_per_s: f64,
    /// What is left, at that speed.
    pub left: Duration,
    /// The weights after the step, to try the model with.
    pub weights: &'a [f32],
}

/// How a run ended.
#[derive(Debug)]
pub struct Trained {
    /// The weights.
    pub weights: Vec<f32>,
    /// Every step.
    pub curve: Vec<Point>,
    /// Computing time, over all processes that took part.
    pub seconds: f64,
    /// Whether all steps were made; else somebody stopped it, and the same call goes on.
    pub is_complete: bool,
}

/// Computing time between checkpoints is twenty times what the last one took, within these bounds: a kill costs little,
/// and so does being ready for it.
const CHECKPOINT_EVERY_MIN: Duration = Duration::from_millis(500);
const CHECKPOINT_EVERY_MAX: Duration = Duration::from_secs(60);
const CHECKPOINT_SHARE: u32 = 20;
const CHECKPOINT: &str = "checkpoint.bin";

/// What a run is about.
pub(crate) struct Run<'a> {
    /// A name for everything that decides the run: a checkpoint of another one is refused.
    pub(crate) identity: &'a str,
    /// The weights to begin with.
    pub(crate) first: Vec<f32>,
    pub(crate) source: &'a Source,
    pub(crate) held_out: &'a HeldOut,
    pub(crate) settings: &'a RunSettings,
    /// What is trained: all weights, or an adapter beside them; `first` is as long as that.
    pub(crate) machine: Machine,
}

impl Run<'_> {
    /// Trains in `folder`, where the checkpoint lies; goes on with the one that is there. `stop` asks for an end: the
    /// step that is on its way is finished and kept.
    pub(crate) fn train(
        self,
        folder: &Path,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Trained, ModelError> {
        let Run { identity, first, source, held_out, settings, mut machine } = self;
        source.check(settings.sequence_length)?;
        let path = folder.join(CHECKPOINT);
        let Resumed { mut state, mut curve, seconds } = checkpoint::load(&path, identity, first.len())?
            .unwrap_or_else(|| Resumed {
                state: State { moments: Moments::new(first.len()), weights: first, step: 0 },
                curve: Vec::new(),
                seconds: 0.0,
            });
        let plan = Plan {
            seed: settings.seed,
            length: settings.sequence_length,
            sequences: settings.sequences,
            accumulate: settings.accumulate,
        };
        let (begun, before) = (Instant::now(), state.step);
        let (mut kept_at, mut keep_every) = (begun, CHECKPOINT_EVERY_MIN);
        let mut tokens = 0;
        let kept_seconds = |begun: Instant| seconds + begun.elapsed().as_secs_f64();
        while state.step < settings.steps && !stop.load(Ordering::Relaxed) {
            let step = state.step + 1;
            let rate = settings.optimiser.rate(step, settings.steps);
            let batches: Vec<Batch> =
                (0..settings.accumulate).map(|index| source.batch(plan, step, index)).collect();
            tokens += batches.iter().map(|batch| batch.tokens.len()).sum::<usize>();
            let stepped = machine.step(&mut state, &batches, &settings.optimiser, rate)?;
            let is_look = step.is_multiple_of(settings.evaluate_every.max(1)) || step == settings.steps;
            let looked = is_look && !held_out.tokens.is_empty();
            let held_out_bits_per_byte = looked
                .then(|| bits_per_byte(&mut machine, &state.weights, held_out, settings.sequence_length))
                .transpose()?;
            let point =
                Point { step, loss: stepped.loss, rate, gradient_norm: stepped.norm, held_out_bits_per_byte };
            curve.push(point);
            let elapsed = begun.elapsed().as_secs_f64().max(1e-9);
            let left = elapsed / (step - before) as f64 * (settings.steps - step) as f64;
            progress(Progress {
                point,
                steps: settings.steps,
                tokens_per_s: tokens as f64 / elapsed,
                left: Duration::from_secs_f64(left.min(1e9)),
                weights: &state.weights,
            });
            if kept_at.elapsed() >= keep_every {
                let saving = Instant::now();
                checkpoint::save(&path, identity, &state, &curve, kept_seconds(begun))?;
                kept_at = Instant::now();
                keep_every = (kept_at.duration_since(saving) * CHECKPOINT_SHARE)
                    .clamp(CHECKPOINT_EVERY_MIN, CHECKPOINT_EVERY_MAX);
            }
        }
        let seconds = kept_seconds(begun);
        checkpoint::save(&path, identity, &state, &curve, seconds)?;
        let is_complete = state.step >= settings.steps;
        Ok(Trained { weights: state.weights, curve, seconds, is_complete })
    }
}

/// Windows of the held-out part that are looked at together.
const LOOK_SEQUENCES: usize = 8;

/// Bits per byte of held-out text, read in windows of `length` that do not overlap.
pub(crate) fn bits_per_byte(
    machine: &mut Machine,
    weights: &[f32],
    held_out: &HeldOut,
    length: usize,
) -> Result<f64, ModelError> {
    let inputs = held_out.tokens.len().saturating_sub(1);
    let whole = inputs / length * length;
    let targets = held_out.tokens.get(1..).unwrap_or_default();
    let mut nats = 0.0;
    let mut add = |from: usize, to: usize, length: usize| -> Result<(), ModelError> {
        let part = |tokens: &[u32]| tokens.get(from..to).unwrap_or_default().to_vec();
        let batch = Batch { tokens: part(&held_out.tokens), targets: part(targets), length };
        nats += machine.loss(weights, &batch)?;
        Ok(())
    };
    for from in (0..whole).step_by(LOOK_SEQUENCES * length) {
        add(from, (from + LOOK_SEQUENCES * length).min(whole), length)?;
    }
    if whole < inputs {
        add(whole, inputs, inputs - whole)?;
    }
    Ok(nats / std::f64::consts::LN_2 / held_out.bytes.max(1) as f64)
}
