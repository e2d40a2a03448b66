//! What a job came to: its ledger entry, its file of results, its last words. And the holds of unfinished jobs after a
//! start.

use std::{sync::Arc, time::Duration};

use pintle_core::{FileId, Name, TuningJobId};
use pintle_gateway::tuning::{EventLevel, FilePurpose, JobFault, JobStatus};
use pintle_ledger::{Dialect, JobCost, Outcome as Ended, RequestRecord, ScanState};
use pintle_model::{VersionId, pipeline::METRICS_FILE};

use super::{
    Inner,
    files::Meta,
    job::{Job, Outcome, WORK, Wanted},
};

/// Where entries of jobs say that the work was done: no placement, this machine.
pub(super) const PLACE: &str = "fine-tuning";
/// A full disk needs a moment.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How a job ends.
#[derive(Debug, Clone)]
pub(super) enum End {
    Done {
        version: VersionId,
        trained_tokens: u64,
        class: pintle_core::DataClass,
        gate_failures: Vec<String>,
    },
    Failed(JobFault),
    Cancelled,
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { version, trained_tokens, class, gate_failures } => {
                End::Done { version, trained_tokens, class, gate_failures }
            }
            Outcome::Failed(fault) => End::Failed(fault),
        }
    }
}

pub(super) fn fault(code: &str, message: impl Into<String>, param: Option<&str>) -> JobFault {
    JobFault { code: code.to_owned(), message: message.into(), param: param.map(str::to_owned) }
}

impl Inner {
    /// Holds for unfinished jobs what they can cost, as before the start; what ended meanwhile is settled.
    pub(super) async fn hold_again(self: &Arc<Self>) {
        let unfinished: Vec<Job> =
            self.state().jobs.values().filter(|job| !job.status.is_final()).cloned().collect();
        for job in unfinished {
            let id = job.id;
            let folder = self.folder(id);
            let metrics = folder.events().unwrap_or_default().iter().rev().find_map(|event| event.metrics);
            if let Some(job) = self.state().jobs.get_mut(&id) {
                job.metrics = metrics;
            }
            match self.ledger.hold(&job.use_case, job.hold.unwrap_or_default()) {
                Ok(hold) => drop(self.state().holds.insert(id, hold)),
                Err(error) => {
                    tracing::warn!(%error, %id, "what a tuning job can cost cannot be held again; it ends");
                    let message = "After a start of the server the budget had no more room for this job, so it ended. \
                                   What was computed is paid. Ask the use case's owners for a larger budget.";
                    self.settle(id, End::Failed(fault("budget_exceeded", message, None))).await;
                    continue;
                }
            }
            match folder.outcome() {
                Ok(Some(outcome)) => self.settle(id, outcome.into()).await,
                Ok(None) if job.wanted == Some(Wanted::Cancel) => self.settle(id, End::Cancelled).await,
                Ok(None) => {}
                Err(error) => tracing::error!(%error, %id, "how a tuning job ended cannot be read"),
            }
        }
    }

    /// Settles a job that waits and is not wanted any more.
    pub(super) async fn settle_cancelled(self: &Arc<Self>, id: TuningJobId) {
        self.settle(id, End::Cancelled).await;
    }

    /// Writes down how a job ended. The ledger first: after a kill in between, the entry is found there and not posted
    /// again.
    pub(super) async fn settle(self: &Arc<Self>, id: TuningJobId, end: End) {
        let job = {
            let mut state = self.state();
            let job = state.jobs.get(&id).filter(|job| !job.status.is_final()).cloned();
            match job.filter(|_| state.settling.insert(id)) {
                Some(job) => job,
                None => return,
            }
        };
        let posted = self.ledger.request(job.request).await.map(|record| record.is_some());
        let is_posted = self.state().posted.contains(&id)
            || posted.unwrap_or_else(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, %id, "the ledger cannot be read");
                false
            });
        let inner = Arc::clone(self);
        let settled = tokio::task::spawn_blocking(move || inner.write_down(job, end, is_posted)).await;
        match settled {
            Ok(Ok(())) => drop(self.state().posted.remove(&id)),
            Ok(Err(error)) => self.not_settled(id, &error).await,
            Err(error) => self.not_settled(id, &error).await,
        }
        self.state().settling.remove(&id);
    }

    /// The job stays as it is and is tried again: its process ends at once where its end is known.
    async fn not_settled(&self, id: TuningJobId, error: &(dyn std::error::Error + Sync)) {
        tracing::error!(%error, %id, "a tuning job cannot be settled");
        tokio::time::sleep(AGAIN_AFTER).await;
        if let Some(job) = self.state().jobs.get_mut(&id).filter(|job| !job.status.is_final()) {
            job.status = if job.wanted.is_some() { job.status } else { JobStatus::Queued };
        }
    }

    fn write_down(&self, mut job: Job, end: End, is_posted: bool) -> std::io::Result<()> {
        let folder = self.folder(job.id);
        let now = self.clock.now();
        job.spent = folder.spent()?;
        job.finished_at = Some(now);
        job.wanted = None;
        let (level, last_words) = match end {
            End::Done { version, trained_tokens, class, gate_failures } => {
                let results = self.keep_results(&job, &version)?;
                job.status = JobStatus::Succeeded;
                job.class = Some(class);
                job.trained_tokens = Some(trained_tokens);
                job.result_file = Some(results);
                let words = done(&version, &gate_failures);
                job.fine_tuned_model = Some(version);
                words
            }
            End::Failed(fault) => {
                job.status = JobStatus::Failed;
                let message = fault.message.clone();
                job.fault = Some(fault);
                (EventLevel::Error, message)
            }
            End::Cancelled => {
                job.status = JobStatus::Cancelled;
                (EventLevel::Info, "The job was cancelled; what was computed is paid.".to_owned())
            }
        };
        let cost = job.price_per_hour.map(|price| price.for_time(job.spent.processor())).transpose();
        job.cost = cost.map_err(|error| std::io::Error::other(error.to_string()))?;
        if is_posted {
            self.state().holds.remove(&job.id);
        } else {
            self.post(&job);
            self.state().posted.insert(job.id);
        }
        folder.say(now, level, last_words, None);
        if let Some(cost) = job.cost {
            let energy = job.energy().map(|energy| format!(", {energy}")).unwrap_or_default();
            let seconds = job.spent.processor().as_secs_f64();
            let message = format!(
                "It took {seconds:.1} s of processor time and cost {}{energy}.",
                self.ledger.show(cost)
            );
            folder.say(now, EventLevel::Info, message, None);
        }
        let id = job.id;
        self.update(id, |kept| *kept = job)?;
        match std::fs::remove_dir_all(folder.0.join(WORK)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The entry of what was computed; a job of which nothing was computed has a record and no entry.
    fn post(&self, job: &Job) {
        let hold = self.state().holds.remove(&job.id);
        let mut record = Box::new(record(job));
        let kept = if job.spent.processor() == Duration::ZERO {
            self.ledger.record(&record)
        } else {
            record.placement = PLACE.parse::<Name>().ok();
            record.zone = Some(job.zone);
            let cost =
                JobCost { cost: job.cost, tokens: job.trained_tokens.unwrap_or(0), energy: job.energy() };
            match hold.map_or_else(|| self.ledger.hold_nothing(&job.use_case), Ok) {
                Ok(hold) => hold.post(record, cost),
                Err(error) => {
                    tracing::error!(%error, id = %job.id, "what a tuning job cost cannot be posted");
                    return;
                }
            }
        };
        if let Err(error) = kept {
            // The record waits in memory for the database; only a kill within the next moments loses it.
            tracing::error!(error = &error as &dyn std::error::Error, id = %job.id, "a record is not in the journal");
        }
    }

    /// The figures of the version's steps as a file of the use case's own.
    fn keep_results(&self, job: &Job, version: &VersionId) -> std::io::Result<FileId> {
        let path = self.store.path(version).join(METRICS_FILE);
        let now = self.clock.now();
        // After a kill in between it is the same file again: its id is the job's.
        let id = FileId::from_uuid(*job.id.as_uuid());
        let meta = Meta {
            id,
            use_case: job.use_case.clone(),
            filename: format!("{}-metrics.csv", job.id),
            purpose: FilePurpose::FineTuneResults,
            bytes: std::fs::metadata(&path)?.len(),
            created_at: now,
            expires_at: None,
            conversations: 0,
            longest_tokens: 0,
            class: job.class.unwrap_or_default(),
        };
        self.cabinet.keep(&meta, &path)?;
        self.state().files.insert(id, meta);
        Ok(id)
    }
}

fn done(version: &VersionId, gate_failures: &[String]) -> (EventLevel, String) {
    if gate_failures.is_empty() {
        let message = format!(
            "`{version}` is there, a candidate: it serves once a person promotes it, with a reason \
             (`pintle model promote {version}`, or on the console)."
        );
        return (EventLevel::Info, message);
    }
    let message = format!(
        "`{version}` is there, and its gate keeps it from being promoted: {}",
        gate_failures.join(" ")
    );
    (EventLevel::Warn, message)
}

fn record(job: &Job) -> RequestRecord {
    let at_ms = job.created_at.as_millisecond();
    let mut record = RequestRecord::new(job.request, at_ms, job.use_case.clone(), Dialect::OpenAiTuning);
    record.key = Some(job.key);
    record.model = job.plan.base.to_string().into();
    record.policy_version = job.policy_version.as_str().into();
    record.class = job.class;
    record.request_scan = if job.class.is_some() { ScanState::Complete } else { ScanState::NotRun };
    let (outcome, status) = match job.status {
        JobStatus::Succeeded => (Ended::Answered, 200),
        JobStatus::Cancelled => (Ended::Cancelled, 499),
        _ => (Ended::Failed, 500),
    };
    record.outcome = outcome;
    record.status = status;
    record.code = job.fault.as_ref().map(|fault| fault.code.clone().into());
    let ended_at = job.finished_at.unwrap_or(job.created_at);
    let took_us = ended_at.as_microsecond().saturating_sub(job.created_at.as_microsecond());
    record.duration_us = u64::try_from(took_us).unwrap_or(0);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_may_not_be_promoted_says_why() {
        let version: VersionId = "handbook@2".parse().unwrap();
        assert_eq!(done(&version, &[]).0, EventLevel::Info);
        let (level, words) = done(&version, &["It is wrong.".to_owned()]);
        assert!(level == EventLevel::Warn && words.ends_with("It is wrong."), "{words}");
    }
}
