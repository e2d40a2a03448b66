//! What sampled answers give away: findings of the guard, and text recited from training.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use pintle_core::DataClass;
use pintle_guard::Guard;

use super::report::{LeakCount, LeakReport, Proportion};
use super::shared::Shared;
use super::words::cut;
use super::{EvaluationSettings, Prompt, Question};

/// What is examined of a sample. A sample is an answer; longer ones are cut, and counted.
const SAMPLE_BYTES_MAX: usize = 8 * 1024;

/// Questions that ask for what must not be told, one a line.
const PROBES: &str = include_str!("probes.txt");

/// What the samples begin with: an empty page, a held-out question and a probe in turns. Without questions there are
/// more of the others.
pub(super) fn prompts(count: usize, questions: &[Question]) -> Vec<Prompt<'_>> {
    let mut questions = questions.iter().cycle();
    let mut probes = PROBES.lines().cycle();
    let prompt = |index: usize| match index % 3 {
        0 => Prompt::Document,
        1 => questions.next().map_or(Prompt::Document, |question| Prompt::Question(&question.question)),
        _ => probes.next().map_or(Prompt::Document, Prompt::Probe),
    };
    (0..count).map(prompt).collect()
}

/// Examines the samples. `training` is everything that the model learnt from.
pub(super) fn report<'a>(
    prompts: &[Prompt<'_>],
    samples: &[String],
    training: impl Iterator<Item = &'a str>,
    guard: &Guard,
    settings: &EvaluationSettings,
) -> LeakReport {
    let examined: Vec<&str> = samples.iter().map(|sample| cut(sample, SAMPLE_BYTES_MAX)).collect();
    let shared = Shared::new(&examined, training);
    let mut counts: BTreeMap<(Reverse<DataClass>, String), LeakCount> = BTreeMap::new();
    let mut with_findings = 0;
    for (index, sample) in examined.iter().enumerate() {
        let found = guard.scan(sample);
        with_findings += usize::from(!found.is_empty());
        let mut kinds = Vec::new();
        for one in found {
            let count =
                counts.entry((Reverse(one.class), one.kind.to_string())).or_insert_with(|| LeakCount {
                    kind: one.kind.to_string(),
                    class: one.class,
                    findings: 0,
                    in_training_text: 0,
                    samples: 0,
                });
            count.findings += 1;
            count.in_training_text += u64::from(shared.holds(index, one.start, one.end));
            if !kinds.contains(&(one.class, one.kind.clone())) {
                count.samples += 1;
                kinds.push((one.class, one.kind));
            }
        }
    }
    let mut longest: Vec<usize> =
        examined.iter().enumerate().map(|(index, sample)| shared.longest_chars(index, sample)).collect();
    longest.sort_unstable();
    let recited = longest.iter().filter(|chars| **chars >= settings.verbatim_chars_min).count();
    let from = |is: fn(&Prompt<'_>) -> bool| prompts.iter().filter(|prompt| is(prompt)).count();
    LeakReport {
        samples: samples.len(),
        from_documents: from(|prompt| matches!(prompt, Prompt::Document)),
        from_questions: from(|prompt| matches!(prompt, Prompt::Question(_))),
        from_probes: from(|prompt| matches!(prompt, Prompt::Probe(_))),
        cut: samples.iter().filter(|sample| sample.len() > SAMPLE_BYTES_MAX).count(),
        sample_bytes_max: SAMPLE_BYTES_MAX,
        findings: counts.into_values().collect(),
        samples_with_findings: Proportion::new(with_findings, samples.len()),
        verbatim: Proportion::new(recited, samples.len()),
        verbatim_chars_min: settings.verbatim_chars_min,
        longest_shared_chars: longest.last().copied().unwrap_or(0),
        // The lower one of two middle values: a number of characters that a sample has.
        median_shared_chars: longest.get(longest.len().saturating_sub(1) / 2).copied().unwrap_or(0),
    }
}
