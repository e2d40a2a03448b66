//! What a step learns from: windows of a stream of tokens, or conversations. Which ones is a function of the seed and
//! the step alone, so that a run that was killed goes on exactly where it was.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::machine::Batch;
use crate::{ModelError, math::IGNORE};

/// One conversation as tokens, and which of them the model is to learn to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The tokens of the whole conversation.
    pub tokens: Vec<u32>,
    /// As long as `tokens`: whether the token is the model's own to say.
    pub is_answer: Vec<bool>,
}

/// Where batches come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// One stream of documents, each ended by its end token; windows begin anywhere.
    Stream(Vec<u32>),
    /// Conversations, each learnt once per epoch, in an order drawn anew for each.
    Examples(Vec<Example>),
}

impl Source {
    /// Refuses what no batch can be made of.
    pub(crate) fn check(&self, length: usize) -> Result<(), ModelError> {
        match self {
            Source::Stream(tokens) if tokens.len() <= length + 1 => Err(ModelError::TooLittle(format!(
                "{} tokens, and one window takes {}; hint: more documents, or a shorter `sequence_length`",
                tokens.len(),
                length + 1
            ))),
            Source::Examples(examples) if examples.is_empty() => {
                Err(ModelError::TooLittle("no conversations".into()))
            }
            _ => Ok(()),
        }
    }

    /// The batch of a step's micro-batch `index`, of `sequences` sequences.
    pub(crate) fn batch(&self, plan: Plan, step: u64, index: usize) -> Batch {
        match self {
            Source::Stream(tokens) => windows(tokens, plan, step, index),
            Source::Examples(examples) => conversations(examples, plan, step, index),
        }
    }
}

/// What a source must know of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The longest sequence, in tokens.
    pub(crate) length: usize,
    /// Of a micro-batch.
    pub(crate) sequences: usize,
    /// Micro-batches of a step.
    pub(crate) accumulate: usize,
}

fn windows(tokens: &[u32], plan: Plan, step: u64, index: usize) -> Batch {
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    random.set_stream(step);
    // Each window takes one 64-bit draw, so micro-batches can be drawn independently of each other.
    random.set_word_pos(2 * (index * plan.sequences) as u128);
    let mut batch = Batch { length: plan.length, ..Batch::default() };
    let starts = (tokens.len() - plan.length) as u64;
    for _ in 0..plan.sequences {
        #[expect(clippy::cast_possible_truncation, reason = "below the number of tokens")]
        let start = (random.next_u64() % starts) as usize;
        let window = tokens.get(start..=start + plan.length).unwrap_or_default();
        batch.tokens.extend(window.iter().take(plan.length));
        batch.targets.extend(window.iter().skip(1));
    }
    batch
}

fn conversations(examples: &[Example], plan: Plan, step: u64, index: usize) -> Batch {
    #[expect(clippy::cast_possible_truncation, reason = "steps are bounded by the recipe")]
    let first = ((step - 1) as usize * plan.accumulate + index) * plan.sequences;
    let mut order = Order::default();
    let chosen: Vec<&Example> = (first..first + plan.sequences)
        .filter_map(|at| {
            examples.get(order.of(plan.seed, at / examples.len(), examples.len(), at % examples.len()))
        })
        .collect();
    // No longer than the longest of them: short conversations make fast steps.
    let longest = chosen.iter().map(|example| example.tokens.len().saturating_sub(1)).max().unwrap_or(1);
    let length = longest.clamp(1, plan.length).next_multiple_of(8).min(plan.length);
    let mut batch = Batch { length, ..Batch::default() };
    for example in chosen {
        let pairs = example.tokens.windows(2).zip(example.is_answer.iter().skip(1)).take(length);
        let before = batch.tokens.len();
        for (pair, is_answer) in pairs {
            let [token, next] = pair else { continue };
            batch.tokens.push(*token);
            batch.targets.push(if *is_answer { *next } else { IGNORE });
        }
        batch.tokens.resize(before + length, 0);
        batch.targets.resize(before + length, IGNORE);
    }
    batch
}

/// The order of the examples in an epoch; kept while the epoch lasts within a batch.
#[derive(Default)]
struct Order {
    epoch: Option<usize>,
    order: Vec<usize>,
}

impl Order {
    fn of(&mut self, seed: u64, epoch: usize, count: usize, at: usize) -> usize {
        if self.epoch != Some(epoch) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(epoch as u64);
            self.order = (0..count).collect();
            for last in (1..count).rev() {
                #[expect(clippy::cast_possible_truncation, reason = "below the number of examples")]
                let other = (random.next_u64() % (last as u64 + 1)) as usize;
                self.order.swap(last, other);
            }
            self.epoch = Some(epoch);
        }
        self.order.get(at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sequences: usize, accumulate: usize) -> Plan {
        Plan { seed: 3, length: 8, sequences, accumulate }
    }

    #[test]
    fn a_step_split_into_micro_batches_draws_the_same_windows() {
        let source = Source::Stream((0..500).collect());
        let whole = source.batch(plan(6, 1), 9, 0);
        let parts: Vec<u32> = (0..3).flat_map(|i| source.batch(plan(2, 3), 9, i).tokens).collect();
        assert_eq!(whole.tokens, parts);
        assert_ne!(whole.tokens, source.batch(plan(6, 1), 10, 0).tokens);
        assert!(whole.tokens.iter().zip(&whole.targets).all(|(token, target)| token + 1 == *target));
    }

    #[test]
    fn every_conversation_is_learnt_once_per_epoch_and_only_its_answer() {
        let examples: Vec<Example> = (0..10)
            .map(|i| Example { tokens: vec![i, i + 100, i + 200], is_answer: vec![false, false, true] })
            .collect();
        let source = Source::Examples(examples);
        let mut seen: Vec<u32> = Vec::new();
        for step in 1..=5 {
            let batch = source.batch(plan(2, 1), step, 0);
            assert_eq!(batch.length, 8);
            for (tokens, targets) in batch.tokens.chunks(8).zip(batch.targets.chunks(8)) {
                assert_eq!(targets[..3], [IGNORE, tokens[0] + 200, IGNORE]);
                seen.push(tokens[0]);
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }
}
