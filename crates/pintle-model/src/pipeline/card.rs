//! The model card: what a version is, was made of, and can do; `README.md` of its folder.

use crate::{Manifest, Recipe, corpus::CorpusReport, evaluate::EvaluationReport};

pub(super) fn text(
    recipe: &Recipe,
    manifest: &Manifest,
    corpus: &CorpusReport,
    evaluation: &EvaluationReport,
) -> String {
    let licences =
        if manifest.licences.is_empty() { "not stated".to_owned() } else { manifest.licences.join(", ") };
    let hashes: String = manifest
        .data_sha256
        .iter()
        .map(|(part, hash)| format!("| SHA-256 of the {part} | `{hash}` |\n"))
        .collect();
    let energy = manifest.energy.map_or_else(|| "unknown".to_owned(), |energy| energy.to_string());
    let description =
        if recipe.description.is_empty() { String::new() } else { format!("{}\n\n", recipe.description) };
    format!(
        "---\npipeline_tag: text-generation\nlibrary_name: transformers\ntags:\n  - pintle\n---\n\n\
         # {name}\n\n{description}\
         A small language model that was trained on this organisation's own text, from nothing, by Pintle {pintle}. It \
         knows what its documents say and little else; it makes mistakes, and it sounds just as sure when it does.\n\n\
         | | |\n|---|---|\n\
         | made | {made} |\n| parameters | {parameters} |\n| class of what it learnt | {class} |\n\
         | licences of what it learnt | {licences} |\n| seed | {seed} |\n| tokens read in training | {tokens} |\n\
         | computing time | {seconds:.0} s |\n| energy | {energy} |\n{hashes}\n\
         {corpus}\n{evaluation}\n## Recipe\n\n```toml\n{recipe_text}\n```\n",
        name = recipe.name,
        pintle = manifest.pintle,
        made = manifest.made_at,
        parameters = manifest.parameters,
        class = manifest.class,
        seed = manifest.seed,
        tokens = manifest.trained_tokens,
        seconds = manifest.training_s,
        corpus = corpus.to_markdown(),
        evaluation = evaluation.to_markdown(),
        recipe_text = manifest.recipe.trim(),
    )
}
