//! A job as it is kept: `DATA/tuning/jobs/ID/job.json`, its events beside it, and what the training process writes there.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use pintle_core::{Amount, DataClass, Energy, FileId, KeyId, Name, RequestId, Timestamp, TuningJobId, Zone};
use pintle_gateway::tuning::{EventLevel, EventView, JobFault, JobStatus, JobView, Metrics};
use pintle_model::{TuneMethod, VersionId, pipeline::FineTunePlan};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::meter::Spent;

const JOB: &str = "job.json";
const EVENTS: &str = "events.jsonl";
/// Written by the training process: what it has taken so far.
pub(super) const METER: &str = "meter.json";
/// Written by the training process, once: how it ended.
pub(super) const OUTCOME: &str = "outcome.json";
/// The training process's own folder.
pub(super) const WORK: &str = "work";
const SMALL_FILE_BYTES_MAX: u64 = 16 << 20;
const EVENTS_MAX: usize = 4_000;

/// What somebody wants of a job that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    /// It shall end.
    Cancel,
    /// It shall stop for a while.
    Pause,
}

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: TuningJobId,
    pub(super) request: RequestId,
    pub(super) use_case: Name,
    pub(super) key: KeyId,
    pub(super) policy_version: String,
    pub(super) created_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) status: JobStatus,
    pub(super) wanted: Option<Wanted>,
    pub(super) plan: FineTunePlan,
    pub(super) training_file: FileId,
    pub(super) validation_file: Option<FileId>,
    pub(super) result_file: Option<FileId>,
    pub(super) metadata: Option<BTreeMap<String, String>>,
    /// Of a processor hour; `None` when nobody said (I4).
    pub(super) price_per_hour: Option<Amount>,
    /// The most that it can cost.
    pub(super) hold: Option<Amount>,
    /// The most processor time that it may take.
    pub(super) processor_ms_max: u64,
    pub(super) watts_per_core: f64,
    /// Where this machine stands.
    pub(super) zone: Zone,
    /// Training processes that ended without a word.
    pub(super) crashes: u32,
    pub(super) spent: Spent,
    pub(super) class: Option<DataClass>,
    pub(super) fault: Option<JobFault>,
    pub(super) fine_tuned_model: Option<VersionId>,
    pub(super) trained_tokens: Option<u64>,
    pub(super) cost: Option<Amount>,
    /// Of the newest step.
    pub(super) metrics: Option<Metrics>,
}

/// How a training process ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// There is a version.
    Done {
        version: VersionId,
        trained_tokens: u64,
        class: DataClass,
        /// Why it may not be promoted.
        gate_failures: Vec<String>,
    },
    /// There will be none.
    Failed(JobFault),
}

/// What a training process says on its way, a line of JSON each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// The files are as they should be.
    Checked { conversations: usize, held_out: usize, class: DataClass, steps: u64 },
    /// A step.
    Step { metrics: Metrics, left_s: f64, spent: Spent },
    /// It is being measured.
    Evaluating,
}

impl Job {
    pub(super) fn energy(&self) -> Option<Energy> {
        self.spent.energy(self.watts_per_core)
    }

    pub(super) fn view(&self, estimated_finish: Option<Timestamp>) -> JobView {
        JobView {
            id: self.id,
            use_case: self.use_case.clone(),
            created_at: self.created_at,
            finished_at: self.finished_at,
            estimated_finish: estimated_finish.filter(|_| self.status == JobStatus::Running),
            status: self.status,
            base: self.plan.base.to_string(),
            fine_tuned_model: self.fine_tuned_model.as_ref().map(ToString::to_string),
            fault: self.fault.clone(),
            n_epochs: self.plan.epochs,
            batch_size: self.plan.batch_size,
            learning_rate_multiplier: self.plan.learning_rate_multiplier,
            training_file: self.training_file,
            validation_file: self.validation_file,
            result_file: self.result_file,
            trained_tokens: self.trained_tokens,
            seed: self.plan.seed,
            metadata: self.metadata.clone(),
            is_full: self.plan.method == TuneMethod::Full,
            class: self.class,
            hold: self.hold,
            cost: self.cost,
            processor_time: self.spent.processor(),
            energy: self.energy(),
            request: self.request,
            checkpoint: self.metrics,
        }
    }

    /// Whether it reads this file.
    pub(super) fn uses(&self, file: FileId) -> bool {
        self.training_file == file || self.validation_file == Some(file)
    }

    /// The most processor time that it may take.
    pub(super) fn processor_time_max(&self) -> Duration {
        Duration::from_millis(self.processor_ms_max)
    }
}

/// The folder of one job.
#[derive(Debug, Clone)]
pub(super) struct JobFolder(pub(super) PathBuf);

impl JobFolder {
    pub(super) fn read(&self) -> std::io::Result<Option<Job>> {
        read_json(&self.0.join(JOB))
    }

    pub(super) fn write(&self, job: &Job) -> std::io::Result<()> {
        write_json(&self.0.join(JOB), job)
    }

    pub(super) fn spent(&self) -> std::io::Result<Spent> {
        Ok(read_json(&self.0.join(METER))?.unwrap_or_default())
    }

    pub(super) fn outcome(&self) -> std::io::Result<Option<Outcome>> {
        read_json(&self.0.join(OUTCOME))
    }

    /// Adds an event. The list is for people: an event that cannot be written is not worth the job.
    pub(super) fn say(&self, at: Timestamp, level: EventLevel, message: String, metrics: Option<Metrics>) {
        let id = RequestId::new(at).map(|id| format!("ftevent-{}", id.as_uuid().simple()));
        let event = EventView { id: id.unwrap_or_default(), at, level, message, metrics };
        let written = serde_json::to_vec(&event).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            private(OpenOptions::new().create(true).append(true)).open(self.0.join(EVENTS))?.write_all(&line)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "an event of a tuning job is not kept");
        }
    }

    pub(super) fn events(&self) -> std::io::Result<Vec<EventView>> {
        let file = match File::open(self.0.join(EVENTS)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut events = Vec::new();
        for line in BufReader::new(file.take(SMALL_FILE_BYTES_MAX)).lines().take(EVENTS_MAX) {
            // A torn last line was never said.
            events.extend(serde_json::from_str::<EventView>(&line?).ok());
        }
        Ok(events)
    }
}

/// A file that only its owner reads.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> std::io::Result<Option<T>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(serde_json::from_reader(BufReader::new(file.take(SMALL_FILE_BYTES_MAX)))?))
}

/// Writes a small file beside its place and puts it there: after a kill there is the old one or the new one.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    let bytes = serde_json::to_vec_pretty(value)?;
    let beside = path.with_extension("json.new");
    let mut file = private(OpenOptions::new().create(true).truncate(true).write(true)).open(&beside)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
