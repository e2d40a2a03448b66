//! The model card of a tuned version.

use super::FineTunePlan;
use crate::{Manifest, evaluate::EvaluationReport};

pub(super) fn text(plan: &FineTunePlan, manifest: &Manifest, evaluation: &EvaluationReport) -> String {
    let licences =
        if manifest.licences.is_empty() { "not stated".to_owned() } else { manifest.licences.join(", ") };
    let hashes: String = manifest
        .data_sha256
        .iter()
        .map(|(part, hash)| format!("| SHA-256 of the {part} file | `{hash}` |\n"))
        .collect();
    let energy = manifest.energy.map_or_else(|| "unknown".to_owned(), |energy| energy.to_string());
    format!(
        "---\npipeline_tag: text-generation\nlibrary_name: transformers\ntags:\n  - pintle\n---\n\n\
         # {name}\n\n\
         `{base}`, tuned on conversations that the use case `{use_case}` uploaded, by Pintle {pintle} (job `{job}`). It \
         knows what its base knew and what the conversations added, and little else; it makes mistakes, and it sounds just \
         as sure when it does.\n\n\
         | | |\n|---|---|\n\
         | made | {made} |\n| tuned from | `{base}` |\n| parameters | {parameters} |\n\
         | class of what it learnt, its base included | {class} |\n\
         | licences of what its base learnt | {licences} |\n| seed | {seed} |\n| tokens read in tuning | {tokens} |\n\
         | computing time | {seconds:.0} s |\n| energy | {energy} |\n{hashes}\n\
         {evaluation}\n## Recipe\n\n```toml\n{recipe}\n```\n",
        name = plan.name,
        base = plan.base,
        use_case = plan.use_case,
        pintle = manifest.pintle,
        job = plan.job,
        made = manifest.made_at,
        parameters = manifest.parameters,
        class = manifest.class,
        seed = manifest.seed,
        tokens = manifest.trained_tokens,
        seconds = manifest.training_s,
        evaluation = evaluation.to_markdown(),
        recipe = manifest.recipe.trim(),
    )
}
