//! The training process: `pintle tune-worker JOB`, started by the server for each job. It has the lowest priority, says
//! what it does on its standard output, and stops when its standard input ends, which happens also when the server dies.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use pintle_core::{Clock, SystemClock};
use pintle_gateway::tuning::{JobFault, Metrics};
use pintle_model::{
    ModelError, ModelStore,
    pipeline::{FineTune, FineTuneNews, FineTuneOutcome},
};

use super::{
    job::{Job, JobFolder, METER, OUTCOME, Outcome, WORK, Word, private, write_json},
    meter::{Spent, Watched},
    settle::fault,
};
use crate::{
    cli::CliError,
    config::{self, Inputs, Secrets},
    serve::failed,
};

/// As low as there is.
const NICE: i32 = 19;
/// When memory runs out, the kernel takes this process and not the server.
const OOM_SCORE: &str = "800";
/// Steps of a whole tuning that are told.
const TOLD_MAX: u64 = 500;

/// Carries a job out, or goes on with it.
///
/// # Errors
/// When the job cannot be read or its end not be written. How the tuning itself ended stands in a file.
pub(crate) fn run(folder: &Path, inputs: &Inputs) -> Result<(), CliError> {
    be_modest();
    let folder = JobFolder(folder.to_path_buf());
    let broken = |what: &'static str| move |error: std::io::Error| failed(what, &error);
    // The process of a server that was killed may still be about to stop.
    let lock = private(std::fs::OpenOptions::new().create(true).truncate(false).write(true))
        .open(folder.0.join("worker.lock"))
        .map_err(broken("the job's folder cannot be used"))?;
    lock.lock().map_err(broken("the job's folder cannot be used"))?;
    if folder.outcome().map_err(broken("the job cannot be read"))?.is_some() {
        return Ok(());
    }
    let job = folder.read().map_err(broken("the job cannot be read"))?;
    let Some(job) = job else {
        return Err(CliError::Usage {
            message: format!("there is no job in `{}`", folder.0.display()),
            hint: "the server starts this command by itself".to_owned(),
        });
    };
    let config = config::load(&Inputs { secrets: Secrets::Skipped, ..inputs.clone() })?;
    let watch = Watch::start(&folder, &job)?;
    let outcome = tune(&folder, &job, &config, &watch);
    watch.meter.end();
    match outcome {
        Some(outcome) => {
            write_json(&folder.0.join(OUTCOME), &outcome).map_err(broken("the job's end cannot be written"))
        }
        None => Ok(()),
    }
}

/// Lowest priority, and first to go when memory runs out. Where the kernel does not let us, training is merely less
/// polite. Before any thread is started: threads inherit it.
fn be_modest() {
    let _ = rustix::process::nice(NICE);
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
}

/// What goes on beside the training: the meter, and the ear for the end of the input.
struct Watch {
    stop: Arc<AtomicBool>,
    is_over_limit: Arc<AtomicBool>,
    meter: Watched,
}

impl Watch {
    fn start(folder: &JobFolder, job: &Job) -> Result<Self, CliError> {
        let cannot =
            |error: std::io::Error| CliError::System { what: "starting a thread", reason: error.to_string() };
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        // Ends with the process: a read of the input cannot be called off.
        let ear = std::thread::Builder::new().name("pintle-ear".to_owned()).spawn(move || {
            let mut byte = [0];
            while matches!(std::io::stdin().lock().read(&mut byte), Ok(1)) {}
            told.store(true, Ordering::Relaxed);
        });
        drop(ear.map_err(cannot)?);
        let is_over_limit = Arc::new(AtomicBool::new(false));
        let most = job.processor_time_max();
        let (told, over_limit) = (Arc::clone(&stop), Arc::clone(&is_over_limit));
        let meter = Watched::start(folder.0.join(METER), move |spent, written| {
            if spent.processor() > most {
                over_limit.store(true, Ordering::Relaxed);
                told.store(true, Ordering::Relaxed);
            }
            // What is not written down is not paid: then nothing more is computed.
            if let Err(error) = written {
                tracing::error!(%error, "what training takes cannot be written down");
                told.store(true, Ordering::Relaxed);
            }
        });
        Ok(Watch { stop, is_over_limit, meter: meter.map_err(cannot)? })
    }

    fn spent(&self) -> Spent {
        self.meter.spent()
    }
}

/// `None` when it was stopped: the next process goes on.
fn tune(folder: &JobFolder, job: &Job, config: &config::LoadedConfig, watch: &Watch) -> Option<Outcome> {
    let files = config.data_folder.join("tuning").join("files");
    let content = |id: pintle_core::FileId| -> PathBuf { files.join(id.to_string()).join("content") };
    let training = content(job.training_file);
    let validation = job.validation_file.map(content);
    let store = ModelStore::new(&config.data_folder);
    let tuning = FineTune {
        plan: &job.plan,
        training: &training,
        validation: validation.as_deref(),
        work: &folder.0.join(WORK),
        guard: &config.scanner,
        store: &store,
        pintle: env!("CARGO_PKG_VERSION"),
        now: &|| SystemClock.now(),
        energy: &|| watch.spent().energy(job.watts_per_core),
    };
    let mut is_evaluating = false;
    let tuned = tuning.run(&watch.stop, &mut |news| {
        let word = match news {
            FineTuneNews::Checked { conversations, held_out, class, steps, .. } => {
                Word::Checked { conversations, held_out, class, steps }
            }
            FineTuneNews::Step { progress, valid_loss } => {
                let (step, total_steps) = (progress.point.step, progress.steps);
                let is_told = step.is_multiple_of(total_steps.div_ceil(TOLD_MAX).max(1));
                if !is_told && valid_loss.is_none() && step != total_steps {
                    return;
                }
                let metrics = Metrics { step, total_steps, train_loss: progress.point.loss, valid_loss };
                Word::Step { metrics, left_s: progress.left.as_secs_f64(), spent: watch.spent() }
            }
            FineTuneNews::Evaluating(_) if is_evaluating => return,
            FineTuneNews::Evaluating(_) => {
                is_evaluating = true;
                Word::Evaluating
            }
        };
        if say(&word).is_err() {
            // Nobody listens any more.
            watch.stop.store(true, Ordering::Relaxed);
        }
    });
    match tuned {
        Ok(FineTuneOutcome::Version(manifest)) => Some(Outcome::Done {
            version: manifest.id,
            trained_tokens: manifest.trained_tokens,
            class: manifest.class,
            gate_failures: manifest.gate_failures,
        }),
        Ok(FineTuneOutcome::Stopped) if watch.is_over_limit.load(Ordering::Relaxed) => {
            let seconds = job.processor_time_max().as_secs();
            let message = format!(
                "The job took more than {seconds} s of processor time, which is what was held for it, and was ended. \
                 Tune with fewer conversations or epochs."
            );
            Some(Outcome::Failed(fault("cost_limit", message, None)))
        }
        Ok(FineTuneOutcome::Stopped) => None,
        Err(error) => Some(Outcome::Failed(fault_of(&error))),
    }
}

fn say(word: &Word) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// What the client reads. Where files lie, and what the operating system says, is for the log.
fn fault_of(error: &ModelError) -> JobFault {
    let field = |part: &str| if part.starts_with("validation") { "validation_file" } else { "training_file" };
    let sentence = |text: String| {
        let mut letters = text.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        format!("{first}{}.", letters.as_str())
    };
    match error {
        ModelError::Chats { part, .. } => {
            fault(&format!("invalid_{}", field(part)), sentence(error.to_string()), Some(field(part)))
        }
        ModelError::ChatsAboveClass { part, .. } => {
            fault("policy_refused", sentence(error.to_string()), Some(field(part)))
        }
        ModelError::Diverged { .. } => {
            fault("training_diverged", sentence(error.to_string()), Some("learning_rate_multiplier"))
        }
        other => {
            tracing::error!(error = other as &dyn std::error::Error, "a tuning failed");
            fault("training_failed", "The tuning failed on the server. IT's log says why.", None)
        }
    }
}
