//! From a row of logits to the next token, and to the log-probabilities that callers ask for.

use std::cmp::Ordering;

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::job::{Failure, Sampling, ScoredToken};
use crate::math::log_sum_exp;

/// One sequence's way of drawing tokens. It depends on the sequence's seed and logits only.
#[derive(Debug)]
pub(super) struct Sampler {
    settings: Sampling,
    random: ChaCha8Rng,
    /// Candidates with their weights, kept for their memory.
    candidates: Vec<Candidate>,
}

/// A weight and its token.
type Candidate = (f32, u32);

/// Candidates are sorted in parts of this many at first: a top-p of 0.95 seldom needs more.
const SORTED: usize = 64;

impl Sampler {
    pub(super) fn new(settings: Sampling) -> Self {
        let random = ChaCha8Rng::seed_from_u64(settings.seed);
        Sampler { settings, random, candidates: Vec::new() }
    }

    /// The next token.
    pub(super) fn draw(&mut self, logits: &[f32]) -> Result<u32, Failure> {
        let (most, likeliest) = likeliest(logits)?;
        // A top-k of one and a temperature of zero are the same question.
        if self.settings.temperature <= 0.0 || self.settings.top_k == 1 {
            return Ok(likeliest);
        }
        let temperature = f64::from(self.settings.temperature);
        self.candidates.clear();
        self.candidates.extend(logits.iter().zip(0..).map(|(logit, id)| {
            #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
            let weight = (f64::from(logit - most) / temperature).exp() as f32;
            (weight, id)
        }));
        let kept = usize::try_from(self.settings.top_k).unwrap_or(usize::MAX);
        if kept > 0 && kept < self.candidates.len() {
            self.candidates.select_nth_unstable_by(kept - 1, heavier);
            self.candidates.truncate(kept);
        }
        if self.settings.top_p < 1.0 {
            keep_nucleus(&mut self.candidates, f64::from(self.settings.top_p));
        } else {
            // Selection leaves an order that is nobody's business: drawing goes by the tokens' own.
            self.candidates.sort_unstable_by_key(|candidate| candidate.1);
        }
        let total: f64 = self.candidates.iter().map(|candidate| f64::from(candidate.0)).sum();
        let unit = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let mut left = unit * total;
        for (weight, id) in &self.candidates {
            left -= f64::from(*weight);
            if left < 0.0 {
                return Ok(*id);
            }
        }
        // Rounding can leave a little over.
        Ok(likeliest)
    }
}

/// The heavier first, among equals the smaller token: one order for all machines.
fn heavier(a: &Candidate, b: &Candidate) -> Ordering {
    b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
}

/// Keeps the heaviest that have the share `top_p` of all weight together, at least one, sorted.
fn keep_nucleus(candidates: &mut Vec<Candidate>, top_p: f64) {
    let wanted = candidates.iter().map(|candidate| f64::from(candidate.0)).sum::<f64>() * top_p;
    let (mut sorted, mut sum, mut part) = (0, 0.0, SORTED);
    while sorted < candidates.len() {
        let rest = candidates.get_mut(sorted..).unwrap_or_default();
        let part_len = part.min(rest.len());
        if part_len < rest.len() {
            rest.select_nth_unstable_by(part_len - 1, heavier);
        }
        let own = rest.get_mut(..part_len).unwrap_or_default();
        own.sort_unstable_by(heavier);
        for (weight, _) in own {
            sum += f64::from(*weight);
            sorted += 1;
            if sum >= wanted {
                candidates.truncate(sorted);
                return;
            }
        }
        part *= 4;
    }
}

/// The largest logit and its token, the first of equals.
fn likeliest(logits: &[f32]) -> Result<(f32, u32), Failure> {
    let mut found: Option<(f32, u32)> = None;
    for (logit, id) in logits.iter().zip(0..) {
        if !logit.is_finite() {
            return Err(Failure::NotANumber);
        }
        if found.is_none_or(|(most, _)| *logit > most) {
            found = Some((*logit, id));
        }
    }
    found.ok_or(Failure::NotANumber)
}

/// How likely `id` was, and which `top` tokens were the likeliest, at temperature one among all tokens.
pub(super) fn score(logits: &[f32], id: u32, top: u8) -> Result<ScoredToken, Failure> {
    let log_sum = log_sum_exp(logits).ok_or(Failure::NotANumber)?;
    let own = logits.get(id as usize).map(|logit| logit - log_sum);
    let mut best: Vec<Candidate> = Vec::new();
    if top > 0 {
        best.extend(logits.iter().copied().zip(0..));
        let count = usize::from(top).min(best.len());
        if count < best.len() {
            best.select_nth_unstable_by(count.saturating_sub(1), heavier);
            best.truncate(count);
        }
        best.sort_unstable_by(heavier);
    }
    let top = best.into_iter().map(|(logit, id)| (id, logit - log_sum)).collect();
    Ok(ScoredToken { id, logprob: own, top })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits() -> Vec<f32> {
        (0..1000).map(|i| ((i * 37 % 101) as f32).sin() * 4.0).collect()
    }

    #[test]
    fn frequencies_are_those_of_the_distribution() {
        let logits = [1.0_f32, 2.0, 3.0, -1.0];
        let count = |settings: Sampling| {
            let mut sampler = Sampler::new(settings);
            let mut counts = [0.0_f64; 4];
            for _ in 0..20_000 {
                counts[sampler.draw(&logits).unwrap() as usize] += 1.0 / 20_000.0;
            }
            counts
        };
        let base = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, seed: 3 };
        let expect = |got: [f64; 4], weights: [f64; 4]| {
            let total: f64 = weights.iter().sum();
            for (got, weight) in got.iter().zip(weights) {
                assert!((got - weight / total).abs() < 0.015, "{got} {}", weight / total);
            }
        };
        let e = |x: f64| x.exp();
        expect(count(base), [e(1.0), e(2.0), e(3.0), e(-1.0)]);
        expect(count(Sampling { temperature: 0.5, ..base }), [e(2.0), e(4.0), e(6.0), e(-2.0)]);
        expect(count(Sampling { top_k: 2, ..base }), [0.0, e(2.0), e(3.0), 0.0]);
        expect(count(Sampling { top_p: 0.8, ..base }), [0.0, e(2.0), e(3.0), 0.0]);
        expect(count(Sampling { top_p: 0.01, ..base }), [0.0, 0.0, 1.0, 0.0]);
        expect(count(Sampling { temperature: 1e-30, ..base }), [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn the_nucleus_is_that_of_a_whole_sort() {
        for top_p in [0.0, 0.1, 0.5, 0.9, 0.999, 1.0] {
            let all: Vec<Candidate> = logits().iter().map(|l| l.exp()).zip(0..).collect();
            let mut sorted = all.clone();
            sorted.sort_by(heavier);
            let wanted = all.iter().map(|c| f64::from(c.0)).sum::<f64>() * top_p;
            let mut sum = 0.0;
            let count = sorted
                .iter()
                .take_while(|c| {
                    let more = sum < wanted;
                    sum += f64::from(c.0);
                    more
                })
                .count();
            let mut kept = all;
            keep_nucleus(&mut kept, top_p);
            assert_eq!(kept, sorted[..count.max(1)]);
        }
    }

    #[test]
    fn scores_come_sorted_and_sum_to_one() {
        let logits = logits();
        let scored = score(&logits, 17, 20).unwrap();
        assert_eq!(scored.top.len(), 20);
        assert!(scored.top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        let all: f64 =
            (0..1000).map(|id| f64::from(score(&logits, id, 0).unwrap().logprob.unwrap()).exp()).sum();
        assert!((all - 1.0).abs() < 1e-4, "{all}");
        assert_eq!(score(&[0.5], 0, 20).unwrap().top, vec![(0, 0.0)]);
    }

    #[test]
    fn what_is_not_a_number_is_a_failure() {
        let mut sampler = Sampler::new(Sampling { temperature: 0.7, ..Sampling::GREEDY });
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(sampler.draw(&[0.0, odd, 1.0]), Err(Failure::NotANumber));
            assert!(score(&[0.0, odd, 1.0], 0, 2).is_err());
        }
        assert_eq!(sampler.draw(&[]), Err(Failure::NotANumber));
    }
}
