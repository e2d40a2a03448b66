//! What the data plane needs of whoever keeps files and tunes models. That crate stands on the same floor, so the binary
//! fills this in; the data plane knows who asks, and this side knows what is there.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use pintle_core::{Amount, DataClass, Energy, FileId, KeyId, Name, RequestId, Timestamp, TuningJobId};
use pintle_ledger::ReserveError;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::Unpriced;

/// Work on its way; it was begun, and goes on if nobody waits for it.
pub type Soon<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Files and tuning jobs of use cases. Whatever belongs to another use case is not there.
pub trait TuningDesk: Send + Sync + 'static {
    /// Takes a file in, piece by piece, and checks it on the way. Without [`Piece::End`] nothing is kept.
    fn upload(&self, upload: Upload, pieces: mpsc::Receiver<Piece>) -> Soon<Result<FileView, DeskError>>;

    /// The files of a use case, oldest first.
    fn files(&self, use_case: &Name) -> Vec<FileView>;

    /// What a file holds.
    fn content(&self, use_case: &Name, id: FileId) -> Soon<Result<FileContent, DeskError>>;

    /// Removes a file and what it holds.
    fn delete_file(&self, use_case: &Name, id: FileId) -> Soon<Result<(), DeskError>>;

    /// The version that a job for this `model` would begin with: a model's name (its version in production), a version
    /// (`handbook@3`), or a placement that serves one.
    fn base(&self, model: &str) -> Soon<Result<BaseView, DeskError>>;

    /// Takes a job in: holds what it can cost at the most, and queues it.
    fn create(&self, order: TuningOrder) -> Soon<Result<JobView, DeskError>>;

    /// The jobs of a use case, oldest first.
    fn jobs(&self, use_case: &Name) -> Vec<JobView>;

    /// What happened to a job, oldest first.
    fn events(&self, use_case: &Name, id: TuningJobId) -> Soon<Result<Vec<EventView>, DeskError>>;

    /// Ends, stops for a while, or goes on with a job.
    fn change(&self, use_case: &Name, id: TuningJobId, change: JobChange)
    -> Soon<Result<JobView, DeskError>>;
}

/// What may be done to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobChange {
    /// It ends; what was computed is paid.
    Cancel,
    /// It stops, keeps its checkpoint, its place and its hold.
    Pause,
    /// It goes on.
    Resume,
}

/// A file that is about to come.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Whose.
    pub use_case: Name,
    /// The highest class that the use case may have to do with.
    pub accepts: DataClass,
    /// As the client calls it.
    pub filename: String,
}

/// A piece of a file.
#[derive(Debug)]
pub enum Piece {
    /// Its next bytes.
    Data(Bytes),
    /// It is whole.
    End {
        /// When it goes again by itself; never without.
        expires_after: Option<Duration>,
    },
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilePurpose {
    /// Conversations to learn from or to measure with.
    #[serde(rename = "fine-tune")]
    FineTune,
    /// The figures of a job's steps.
    #[serde(rename = "fine-tune-results")]
    FineTuneResults,
}

impl FilePurpose {
    /// OpenAI's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            FilePurpose::FineTune => "fine-tune",
            FilePurpose::FineTuneResults => "fine-tune-results",
        }
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileView {
    /// Its id.
    pub id: FileId,
    /// Its size.
    pub bytes: u64,
    /// When it came.
    pub created_at: Timestamp,
    /// When it goes by itself.
    pub expires_at: Option<Timestamp>,
    /// As the client calls it.
    pub filename: String,
    /// What it is for.
    pub purpose: FilePurpose,
}

/// What a file holds, in pieces. An error ends it before its time.
#[derive(Debug)]
pub struct FileContent {
    /// Its size.
    pub bytes: u64,
    /// Its bytes.
    pub pieces: mpsc::Receiver<std::io::Result<Bytes>>,
}

/// The version that a job begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseView {
    /// `handbook@3`.
    pub id: String,
    /// `handbook`.
    pub model: Name,
    /// The class of what it learnt.
    pub class: DataClass,
}

/// What a client wants of a job. `None` leaves the choice to the desk.
#[derive(Debug, Clone, PartialEq)]
pub struct TuningWish {
    /// As the client wrote it.
    pub model: String,
    /// To learn from.
    pub training_file: FileId,
    /// To measure with.
    pub validation_file: Option<FileId>,
    /// How often each conversation is learnt.
    pub n_epochs: Option<u32>,
    /// Conversations of a step.
    pub batch_size: Option<u32>,
    /// Times the base's own learning rate.
    pub learning_rate_multiplier: Option<f64>,
    /// Decides whatever is drawn.
    pub seed: Option<u64>,
    /// Makes a new model's name of the base's.
    pub suffix: Option<String>,
    /// The client's own notes.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether all weights are trained, not an adapter.
    pub is_full: bool,
}

/// A job that was let in.
#[derive(Debug, Clone)]
pub struct TuningOrder {
    /// The request that made it, and the id of its ledger entry.
    pub request: RequestId,
    /// Whose.
    pub use_case: Name,
    /// With which key.
    pub key: KeyId,
    /// The highest class that the use case may have to do with.
    pub accepts: DataClass,
    /// The policies' version that let it in.
    pub policy_version: Arc<str>,
    /// What to do when nobody said what an hour costs.
    pub unpriced: Unpriced,
    /// The version that it begins with.
    pub base: BaseView,
    /// What is wanted.
    pub wish: TuningWish,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Its files are being checked.
    ValidatingFiles,
    /// Others are before it.
    Queued,
    /// It learns, or is measured.
    Running,
    /// Somebody stopped it for a while.
    Paused,
    /// There is a version.
    Succeeded,
    /// It cannot be done.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl JobStatus {
    /// Whether nothing more will come of it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, JobStatus::Succeeded | JobStatus::Failed | JobStatus::Cancelled)
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFault {
    /// Stable: `invalid_training_file` …
    pub code: String,
    /// For a person.
    pub message: String,
    /// The field of the wish that was wrong, where it was one.
    pub param: Option<String>,
}

/// How a model did at a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The step, from 1.
    pub step: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// Nats per token of the step's own answers.
    pub train_loss: f64,
    /// Nats per token of held-out answers, where it was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// Its id.
    pub id: TuningJobId,
    /// Whose.
    pub use_case: Name,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it will have ended, as far as anybody can tell.
    pub estimated_finish: Option<Timestamp>,
    /// Where it stands.
    pub status: JobStatus,
    /// The version that it began with: `handbook@1`.
    pub base: String,
    /// The candidate version that came of it.
    pub fine_tuned_model: Option<String>,
    /// Why it failed.
    pub fault: Option<JobFault>,
    /// How often each conversation is learnt.
    pub n_epochs: u32,
    /// Conversations of a step.
    pub batch_size: u32,
    /// Times the base's own learning rate.
    pub learning_rate_multiplier: f64,
    /// Learnt from.
    pub training_file: FileId,
    /// Measured with.
    pub validation_file: Option<FileId>,
    /// The figures of its steps.
    pub result_file: Option<FileId>,
    /// Tokens that were learnt from.
    pub trained_tokens: Option<u64>,
    /// Decided whatever was drawn.
    pub seed: u64,
    /// The client's own notes.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether all weights are trained.
    pub is_full: bool,
    /// The class of what came of it, once its files are checked.
    pub class: Option<DataClass>,
    /// What is held for it; `None` when nobody said what an hour costs.
    pub hold: Option<Amount>,
    /// What it cost, once it has ended; `None` before, and without a price.
    pub cost: Option<Amount>,
    /// Processor time so far.
    pub processor_time: Duration,
    /// What it took from the socket so far.
    pub energy: Option<Energy>,
    /// Its ledger entry.
    pub request: RequestId,
    /// How the finished version did at its last step.
    pub checkpoint: Option<Metrics>,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// `ftevent-…`.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// `info`, `warn` or `error`.
    pub level: EventLevel,
    /// For a person.
    pub message: String,
    /// The figures of a step; other events have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventLevel {
    /// As it should be.
    Info,
    /// Somebody should look at it.
    Warn,
    /// It did not work.
    Error,
}

/// Why the desk does not do what it was asked. The sentences go to the client.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// It is not there, or belongs to another use case.
    #[error("There is no {what} with this id here.")]
    NotFound {
        /// `file` or `fine-tuning job`.
        what: &'static str,
    },
    /// No own model has this name, or none of its versions can be tuned.
    #[error("{message}")]
    NoModel {
        /// What there is instead.
        message: String,
    },
    /// A field, or a line of a file, is wrong.
    #[error("{message}")]
    Invalid {
        /// The field.
        param: &'static str,
        /// The stable code.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// A file is larger than it may be.
    #[error("The file is larger than {most_mib} MiB, which is the most that is taken here.")]
    TooLarge {
        /// In MiB.
        most_mib: u64,
    },
    /// The use case's files take all the room that it has.
    #[error("{message}")]
    Full {
        /// Which bound, and what to do.
        message: String,
    },
    /// A line of a file holds more than the use case may have to do with.
    #[error("Line {line} of the file holds {class} content.")]
    AboveClass {
        /// From 1.
        line: u64,
        /// What was found, never the value.
        kind: Arc<str>,
        /// Its class.
        class: DataClass,
    },
    /// As many jobs wait as may.
    #[error("{most} tuning jobs wait already, which is as many as may. Try again when one has ended.")]
    Busy {
        /// How many.
        most: usize,
    },
    /// It does not fit where the job or file stands.
    #[error("{message}")]
    Conflict {
        /// Why, and what to do.
        message: String,
    },
    /// Nobody said what an hour of tuning costs, and nothing is done that has no price.
    #[error("Nobody has said what tuning costs here.")]
    Unpriced,
    /// A budget has no room for the most that it can cost, or the ledger does not work.
    #[error("the money cannot be held")]
    Money(#[from] ReserveError),
    /// The files do not work. The cause goes to the log only.
    #[error("Files and tuning jobs cannot be used just now. Try again soon.")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DeskError {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            DeskError::NotFound { .. } => "not_found",
            DeskError::NoModel { .. } => "model_not_found",
            DeskError::Invalid { code, .. } => code,
            DeskError::TooLarge { .. } => "request_too_large",
            DeskError::Full { .. } => "storage_full",
            DeskError::AboveClass { .. } => "policy_refused",
            DeskError::Busy { .. } => "tuning_queue_full",
            DeskError::Conflict { .. } => "conflict",
            DeskError::Unpriced => "unpriced",
            DeskError::Money(_) => "ledger_unavailable",
            DeskError::Broken(_) => "tuning_unavailable",
        }
    }

    /// The status.
    pub(crate) fn status(&self) -> http::StatusCode {
        use http::StatusCode;
        match self {
            DeskError::NotFound { .. } | DeskError::NoModel { .. } => StatusCode::NOT_FOUND,
            DeskError::Invalid { .. } => StatusCode::BAD_REQUEST,
            DeskError::TooLarge { .. } | DeskError::Full { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            DeskError::AboveClass { .. } | DeskError::Unpriced => StatusCode::FORBIDDEN,
            DeskError::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            DeskError::Conflict { .. } => StatusCode::CONFLICT,
            DeskError::Money(_) | DeskError::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The field at fault.
    pub(crate) fn param(&self) -> Option<&'static str> {
        match self {
            DeskError::Invalid { param, .. } => Some(param),
            DeskError::NoModel { .. } => Some("model"),
            _ => None,
        }
    }
}
