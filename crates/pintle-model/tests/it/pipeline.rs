//! From documents to a version, stopped and gone on with, refused and registered.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use pintle_guard::{Guard, GuardConfig};
use pintle_model::{
    Manifest, ModelError, ModelStore, Recipe, artefact,
    pipeline::{Curves, Happening, Outcome, Pipeline, Stage},
};

const RECIPE: &str = r#"
name = "small-talk"
seed = 3
licences = ["own text"]
[corpus]
sources = ["documents"]
held_out_percent = 20
[tokeniser]
vocab_size = 320
[network]
hidden_size = 32
intermediate_size = 48
layers = 2
heads = 4
key_value_heads = 2
context = 256
[base]
steps = 12
sequence_length = 48
sequences = 4
threads = 2
warm_up_steps = 4
evaluate_every = 5
[tune]
epochs = 1
sequences = 8
threads = 2
METHOD
[tune.generate]
variants = 2
[evaluation]
samples = 3
[evaluation.gate]
contaminated_share_max = 1.0
CORRECT
[output]
weights = "bf16"
"#;

pub(crate) fn recipe(folder: &Path, method: &str, gate: &str) -> (Recipe, String) {
    let documents = folder.join("documents");
    std::fs::create_dir_all(&documents).unwrap();
    for (index, name) in ["Harbour", "Bridge", "Garden", "Library", "Station", "Market"].iter().enumerate() {
        let text = format!(
            "# {name}\n\nThe {name} opens early and is kept by number {index}. People like it in summer and in winter, \
             and many of them come back with friends for the view.\n\n| Item | Value |\n|---|---|\n| Opening hours | {}:00 to 18:00 |\n| Floor | {index} |\n",
            6 + index
        );
        std::fs::write(documents.join(format!("{name}.md")), text).unwrap();
    }
    let text = RECIPE.replace("METHOD", method).replace("CORRECT", gate);
    (Recipe::parse(&text, folder).unwrap(), text)
}

/// Runs until it ends by itself, asking it to stop after each of the steps of `stops`.
pub(crate) fn run(
    folder: &Path,
    recipe: &(Recipe, String),
    stops: &[(Stage, u64)],
) -> Result<Manifest, ModelError> {
    let guard = Guard::new(&GuardConfig::default()).unwrap();
    let store = ModelStore::new(folder);
    let now = || "2026-11-24T08:00:00Z".parse().unwrap();
    let pipeline = Pipeline {
        recipe: &recipe.0,
        recipe_text: &recipe.1,
        guard: &guard,
        store: &store,
        pintle: "0.0.0",
        now: &now,
        energy: &|| None,
    };
    let mut stops = stops.iter();
    loop {
        let stop = AtomicBool::new(false);
        let until = stops.next();
        let mut watch = |happening: Happening<'_>| {
            if let Happening::Step { stage, progress } = happening
                && until == Some(&(stage, progress.point.step))
            {
                stop.store(true, Ordering::Relaxed);
            }
        };
        match pipeline.run(&stop, &mut watch)? {
            Outcome::Version(manifest, _) => return Ok(*manifest),
            Outcome::Stopped => assert!(until.is_some(), "it stopped by itself"),
        }
    }
}

#[test]
fn a_run_that_was_stopped_anywhere_gives_the_same_version() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = run(one.path(), &recipe(one.path(), "", ""), &[]).unwrap();
    let stops = [(Stage::Base, 1), (Stage::Base, 7), (Stage::Tune, 1), (Stage::Tune, 2)];
    let second = run(other.path(), &recipe(other.path(), "", ""), &stops).unwrap();
    assert_eq!(first.id.to_string(), "small-talk@1");
    assert_eq!(first.files_sha256["model.safetensors"], second.files_sha256["model.safetensors"]);
    let store = ModelStore::new(one.path());
    let folder = store.path(&first.id);
    let curves: Curves =
        serde_json::from_slice(&std::fs::read(folder.join("training.json")).unwrap()).unwrap();
    assert_eq!(curves.base.len(), 12);
    assert!(curves.base.last().unwrap().held_out_bits_per_byte.is_some());
    assert!(artefact::load(&folder).is_ok());
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(card.contains("small-talk") && card.contains("sources = [\"documents\"]"));
    assert!(store.verify(&first).is_ok());
    let again = run(one.path(), &recipe(one.path(), "", ""), &[]).unwrap();
    assert_eq!(
        (again.id.version, &again.files_sha256["model.safetensors"]),
        (2, &first.files_sha256["model.safetensors"])
    );
}

#[test]
fn an_adapter_is_kept_beside_the_version_that_has_it_merged() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = run(folder.path(), &recipe(folder.path(), "method = \"lora\"", ""), &[]).unwrap();
    for file in ["adapter/adapter_config.json", "adapter/adapter_model.safetensors", "base/model.safetensors"]
    {
        assert!(manifest.files_sha256.contains_key(file), "{file}");
    }
    let path = ModelStore::new(folder.path()).path(&manifest.id);
    let merged = artefact::load(&path).unwrap();
    let base = artefact::load(&path.join("base")).unwrap();
    assert_ne!(merged.weights, base.weights);
}

#[test]
fn a_gate_that_fails_makes_a_version_that_cannot_be_promoted() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = run(folder.path(), &recipe(folder.path(), "", "bits_per_byte_max = 0.1"), &[]).unwrap();
    assert_eq!(manifest.gate_failures.len(), 1);
    assert!(manifest.gate_failures[0].contains("bits per byte"), "{:?}", manifest.gate_failures);
}

#[test]
fn an_empty_corpus_registers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), "", "");
    std::fs::remove_dir_all(folder.path().join("documents")).unwrap();
    std::fs::create_dir(folder.path().join("documents")).unwrap();
    let error = run(folder.path(), &recipe, &[]).unwrap_err();
    assert!(matches!(error, ModelError::Corpus(_)), "{error}");
    assert!(ModelStore::new(folder.path()).versions(&recipe.0.name).unwrap().is_empty());
}

#[test]
fn two_runs_of_one_recipe_do_not_meet() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), "", "");
    let model = folder.path().join("models").join(recipe.0.name.as_str());
    std::fs::create_dir_all(&model).unwrap();
    let held = std::fs::File::create(model.join(".lock")).unwrap();
    held.lock().unwrap();
    let error = run(folder.path(), &recipe, &[]).unwrap_err();
    assert!(matches!(error, ModelError::Busy(_)), "{error}");
    drop(held);
    assert!(run(folder.path(), &recipe, &[]).is_ok());
}
