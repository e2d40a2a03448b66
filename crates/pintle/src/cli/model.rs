//! `pintle model` and `pintle demo`: training on this machine, without a server, and what came of it.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pintle_core::{Clock, SystemClock};
use pintle_model::{
    Manifest, ModelError, ModelStore, Promotion, RECIPE_TEMPLATE, Recipe, VersionId,
    artefact::{self, GgufPrecision},
    demo,
    evaluate::EvaluationReport,
    pipeline::{Happening, Outcome, Pipeline, Stage},
};
use serde_json::json;

use super::{
    args::{DemoCommand, ModelCommand},
    exit::CliError,
    output::{Output, Paint, Table, figures, words},
};
use crate::{
    config::{self, Inputs, Secrets},
    models,
    tuning::meter::Watched,
};

pub(crate) fn run(command: ModelCommand, inputs: &Inputs, output: &Output) -> Result<(), CliError> {
    let store = ModelStore::new(&inputs.data_folder().0);
    match command {
        ModelCommand::Init { path } => init(&path, output),
        ModelCommand::Train { recipe, fresh } => {
            let (recipe, text) = Recipe::read(&recipe).map_err(failed)?;
            if fresh {
                let work = store.work_folder(&recipe.name).map_err(failed)?;
                std::fs::remove_dir_all(&work).map_err(|error| file(&work, "removed", &error))?;
            }
            train(&recipe, &text, inputs, &store, output).map(drop)
        }
        ModelCommand::List => list(&store, output),
        ModelCommand::Show { version } => show(&store, &version.parse().map_err(failed)?, output),
        ModelCommand::Promote { version, reason, by } => {
            let version = version.parse().map_err(failed)?;
            promote(&store, version, reason, by, output)
        }
        ModelCommand::Export { version, path, f16 } => {
            let version: VersionId = version.parse().map_err(failed)?;
            let manifest = store.manifest(&version).map_err(failed)?;
            let model = artefact::load(&store.path(&manifest.id)).map_err(failed)?;
            let precision = if f16 { GgufPrecision::F16 } else { GgufPrecision::F32 };
            artefact::export_gguf(&model, &path, precision).map_err(failed)?;
            output.line(&format!("{version} is in `{}`", path.display()))
        }
    }
}

pub(crate) fn run_demo(command: &DemoCommand, inputs: &Inputs, output: &Output) -> Result<(), CliError> {
    match command {
        DemoCommand::Handbook { folder } => {
            let handbook = demo::handbook(models::DEMO_SEED);
            demo::write(&handbook, folder).map_err(|error| file(folder, "written", &error))?;
            let (pages, questions) = (handbook.pages.len(), handbook.questions.len());
            output.line(&format!("{pages} pages and {questions} questions are in `{}`", folder.display()))
        }
        DemoCommand::Train => {
            let data = inputs.data_folder().0;
            let folder = data.join("demo");
            let handbook = demo::handbook(models::DEMO_SEED);
            demo::write(&handbook, &folder.join("handbook"))
                .map_err(|error| file(&folder, "written", &error))?;
            let text = models::DEMO_RECIPE;
            let recipe = Recipe::parse(text, &folder).map_err(|why| {
                failed(ModelError::Recipe { path: PathBuf::from("built-in demo recipe"), why })
            })?;
            let store = ModelStore::new(&data);
            let Some(manifest) = train(&recipe, text, inputs, &store, output)? else { return Ok(()) };
            let reason = "pintle demo train: it passed the gate of its recipe".to_owned();
            promote(&store, manifest.id, reason, None, output)
        }
    }
}

fn init(path: &Path, output: &Output) -> Result<(), CliError> {
    if path.exists() {
        return Err(CliError::WouldOverwrite(path.to_path_buf()));
    }
    std::fs::write(path, RECIPE_TEMPLATE).map_err(|error| file(path, "written", &error))?;
    output.line(&format!("a recipe is in `{}`; next: edit it, then `pintle model train`", path.display()))
}

/// Trains, and says what happens. `None` when it was stopped.
fn train(
    recipe: &Recipe,
    text: &str,
    inputs: &Inputs,
    store: &ModelStore,
    output: &Output,
) -> Result<Option<Manifest>, CliError> {
    // The organisation's own dictionaries count in what is sensitive; its secrets are not needed here.
    let config = config::load(&Inputs { secrets: Secrets::Skipped, ..inputs.clone() })?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signal(&stop)?;
    let path = store.work_folder(&recipe.name).map_err(failed)?.join("meter.json");
    // The figure is for the card: training goes on when it cannot be kept.
    let meter = Watched::start(path, |_, _| {});
    let watts_per_core = config.tuning.watts_per_core;
    let pipeline = Pipeline {
        recipe,
        recipe_text: text,
        guard: &config.scanner,
        store,
        pintle: env!("CARGO_PKG_VERSION"),
        now: &|| SystemClock.now(),
        energy: &|| meter.as_ref().ok()?.spent().energy(watts_per_core),
    };
    let mut teller = Teller { output, parameters: 0 };
    let outcome = pipeline.run(&stop, &mut |happening| teller.tell(&happening));
    output.passed();
    match outcome.map_err(failed)? {
        Outcome::Stopped => {
            output.note("stopped and kept; the same command goes on");
            Ok(None)
        }
        Outcome::Version(manifest, report) => {
            say_version(&manifest, &report, output)?;
            Ok(Some(*manifest))
        }
    }
}

fn stop_on_signal(stop: &Arc<AtomicBool>) -> Result<(), CliError> {
    let stop = Arc::clone(stop);
    let wait = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    };
    std::thread::Builder::new()
        .name("pintle-signal".into())
        .spawn(wait)
        .map(drop)
        .map_err(|error| CliError::System { what: "starting a thread", reason: error.to_string() })
}

/// Turns what happens into lines.
struct Teller<'a> {
    output: &'a Output,
    parameters: usize,
}

impl Teller<'_> {
    fn tell(&mut self, happening: &Happening<'_>) {
        match happening {
            Happening::Reading(progress) => self.output.passing(&format!(
                "reading {} of {} files, {} documents kept",
                progress.files, progress.files_total, progress.documents_kept
            )),
            Happening::Corpus(report) => self.say(&format!("documents  {}", report.summary())),
            Happening::Tokeniser { entries, bytes_per_token, tokens } => self.say(&format!(
                "tokeniser  {entries} entries, {bytes_per_token:.2} bytes a token, {tokens} tokens to learn from"
            )),
            Happening::Begins { stage, parameters, settings, conversations } => {
                self.parameters = *parameters;
                let what = match stage {
                    Stage::Base => String::new(),
                    Stage::Tune => format!(", {conversations} conversations"),
                };
                self.say(&format!(
                    "{}  {parameters} parameters, {} steps of {} × {} tokens{what}",
                    name(*stage),
                    settings.steps,
                    settings.sequences * settings.accumulate,
                    settings.sequence_length
                ));
            }
            Happening::Step { stage, progress } => {
                let point = &progress.point;
                let held_out = point
                    .held_out_bits_per_byte
                    .map(|bits| format!(", held out {bits:.3} bits a byte"))
                    .unwrap_or_default();
                let text = format!(
                    "{}  step {} of {}, loss {:.3}{held_out}, {:.0} tokens/s, {} left",
                    name(*stage),
                    point.step,
                    progress.steps,
                    point.loss,
                    progress.tokens_per_s,
                    duration(progress.left)
                );
                if point.held_out_bits_per_byte.is_some() || point.step == progress.steps {
                    self.say(&text);
                } else {
                    let bar = bar(point.step, progress.steps);
                    self.output.passing(&format!("{bar} {text}"));
                }
            }
            Happening::Sample { text, .. } => {
                let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
                self.say(&format!("  “{}”", line.chars().take(160).collect::<String>()));
            }
            Happening::Evaluating(progress) => self.output.passing(&format!(
                "evaluating: {:?}, {} of {}",
                progress.phase, progress.done, progress.total
            )),
            Happening::Evaluated(_) => {}
        }
    }

    fn say(&self, text: &str) {
        self.output.passed();
        self.output.note(text);
    }
}

const fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Base => "base     ",
        Stage::Tune => "tuning   ",
    }
}

fn bar(done: u64, all: u64) -> String {
    const WIDTH: u64 = 20;
    let full = done.saturating_mul(WIDTH).checked_div(all).unwrap_or(0).min(WIDTH);
    (0..WIDTH).map(|place| if place < full { '█' } else { '░' }).collect()
}

fn duration(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

fn say_version(manifest: &Manifest, report: &EvaluationReport, output: &Output) -> Result<(), CliError> {
    if output.json {
        return output.json(&json!({ "version": manifest, "evaluation": report }));
    }
    output.line(&format!("{} is there, a candidate of class {}", manifest.id, manifest.class))?;
    for criterion in &report.gate.criteria {
        let mark = if criterion.passed {
            output.paint("passed", Paint::Green)
        } else {
            output.paint("failed", Paint::Red)
        };
        output.line(&format!("  {mark}  {}", criterion.sentence))?;
    }
    output.note(&if manifest.gate_failures.is_empty() {
        format!("next: `pintle model promote {} --reason …`", manifest.id)
    } else {
        "it cannot be promoted: see what failed, change the recipe or its documents, and train again"
            .to_owned()
    });
    Ok(())
}

fn list(store: &ModelStore, output: &Output) -> Result<(), CliError> {
    let mut table = Table::new(&[
        words("VERSION"),
        words("STATE"),
        words("MADE (UTC)"),
        figures("PARAMETERS"),
        words("CLASS"),
        words("GATE"),
    ]);
    let mut all = Vec::new();
    for model in store.models().map_err(failed)? {
        let production = store.production(&model).map_err(failed)?;
        for id in store.versions(&model).map_err(failed)? {
            let manifest = store.manifest(&id).map_err(failed)?;
            let is_in_production = production.as_ref().is_some_and(|promotion| promotion.version == id);
            let state = if is_in_production { "production" } else { "candidate" };
            let gate = if manifest.gate_failures.is_empty() { "passed" } else { "failed" };
            table.row([
                id.to_string(),
                state.to_owned(),
                manifest.made_at.strftime("%Y-%m-%d %H:%M").to_string(),
                manifest.parameters.to_string(),
                manifest.class.to_string(),
                gate.to_owned(),
            ]);
            all.push(json!({ "version": id, "state": state, "made_at": manifest.made_at,
                "parameters": manifest.parameters, "class": manifest.class, "gate": gate }));
        }
    }
    if output.json {
        output.json(&all)
    } else {
        output.table(&table, "no models yet; `pintle model init` writes a recipe")
    }
}

fn show(store: &ModelStore, id: &VersionId, output: &Output) -> Result<(), CliError> {
    let manifest = store.manifest(id).map_err(failed)?;
    if output.json {
        return output.json(&manifest);
    }
    let path = store.path(id).join("README.md");
    let card = std::fs::read_to_string(&path).map_err(|error| file(&path, "read", &error))?;
    output.line(&card)
}

fn promote(
    store: &ModelStore,
    version: VersionId,
    reason: String,
    by: Option<String>,
    output: &Output,
) -> Result<(), CliError> {
    let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    let by = by.or_else(user).unwrap_or_else(|| "unknown".to_owned());
    let promotion = Promotion { version, at: SystemClock.now(), by, reason };
    store.promote(&promotion).map_err(failed)?;
    if output.json {
        return output.json(&promotion);
    }
    output.line(&format!("{} is in production", promotion.version))
}

fn failed(error: ModelError) -> CliError {
    match error {
        ModelError::NoVersion(_) => CliError::NotFound {
            message: error.to_string(),
            hint: "`pintle model list` shows which there are".to_owned(),
        },
        error => CliError::Model(Box::new(error)),
    }
}

fn file(path: &Path, verb: &'static str, error: &std::io::Error) -> CliError {
    CliError::File { path: path.to_path_buf(), verb, reason: config::plain_reason(error) }
}
