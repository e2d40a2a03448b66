//! What a model says in the midst of its training, for people to look at.

use std::sync::Arc;

use super::{Prepared, subject::Asked};
use crate::{
    ModelError,
    artefact::{Generation, Model},
    evaluate::Question,
    infer::Sampling,
    network::Shape,
    tune::Adapter,
};

const TOKENS: u32 = 48;

/// What a sample in tuning is made with.
pub(super) struct Tried<'a> {
    pub(super) adapter: Option<(&'a Adapter, &'a Arc<Vec<f32>>)>,
    /// Each sample answers another one of them.
    pub(super) questions: &'a [Question],
}

/// The text of the sample with the given number: in tuning an answer to a question, before it the beginning of a page.
pub(super) fn sample(
    shape: &Shape,
    prepared: &Prepared,
    weights: &[f32],
    tried: Option<&Tried<'_>>,
    number: u64,
) -> Result<String, ModelError> {
    let mut merged = Vec::new();
    match tried.and_then(|tried| tried.adapter) {
        Some((adapter, base)) => adapter.merge(&mut merged, base, weights),
        None => merged.extend_from_slice(weights),
    }
    let generation = Generation::of(&prepared.tokeniser);
    let model =
        Model::new(shape.config.clone(), Arc::new(merged), Arc::clone(&prepared.tokeniser), generation)?;
    let asked = Asked::new(String::new(), model, 1)?;
    let question = tried.and_then(|tried| {
        #[expect(clippy::cast_possible_truncation, reason = "below the number of questions")]
        let at = (number % tried.questions.len().max(1) as u64) as usize;
        tried.questions.get(at)
    });
    match question {
        Some(Question { question, .. }) => {
            let answer = asked.say(&asked.chat_prompt(question)?, TOKENS, Sampling::GREEDY)?;
            Ok(format!("{question} → {answer}"))
        }
        None => {
            let sampling = Sampling { temperature: 0.8, top_p: 0.95, top_k: 0, seed: number };
            asked.say(&asked.page_prompt(), TOKENS, sampling)
        }
    }
}
