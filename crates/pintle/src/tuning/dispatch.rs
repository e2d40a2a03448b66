//! Runs jobs, the oldest first and one at a time, each in a process of its own: this very program, with the command
//! `tune-worker`. It hears what the process says, stops it when somebody wants that, and goes on with a job whose process
//! died.

use std::{process::Stdio, sync::Arc, time::Duration};

use pintle_core::TuningJobId;
use pintle_gateway::tuning::{EventLevel, JobStatus};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Inner,
    job::{Wanted, Word},
    settle::{End, fault},
};
use crate::config::ConfigSource;

/// How often files whose time is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// A process that was told to stop has so long to keep its checkpoint; a cancelled one needs none.
const STOP_GRACE: Duration = Duration::from_secs(20);
const CANCEL_GRACE: Duration = Duration::from_millis(700);
/// A job whose process died so often is given up.
const CRASHES_MAX: u32 = 3;
/// After a process that could not even be started.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How a process ended.
enum Ended {
    /// The server stops; the job goes on at its next start.
    ServerStops,
    /// By itself, or because somebody wanted it.
    Process(Option<std::process::ExitStatus>),
}

impl Inner {
    pub(super) async fn run(self: &Arc<Self>, stop: &CancellationToken) {
        loop {
            let next = {
                let state = self.state();
                let waiting = |job: &&super::Job| {
                    matches!(job.status, JobStatus::Queued | JobStatus::ValidatingFiles)
                        && job.wanted.is_none()
                        && !state.settling.contains(&job.id)
                };
                state.jobs.values().find(waiting).map(|job| job.id)
            };
            if stop.is_cancelled() {
                return;
            }
            match next {
                Some(id) => self.work(id, stop).await,
                None => tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(SWEEP_EVERY) => {
                        let inner = Arc::clone(self);
                        drop(tokio::task::spawn_blocking(move || inner.sweep()).await);
                    }
                },
            }
        }
    }

    async fn work(self: &Arc<Self>, id: TuningJobId, stop: &CancellationToken) {
        let asked = CancellationToken::new();
        self.state().running = Some((id, asked.clone()));
        let begun = self.change(id, |job| job.status = JobStatus::ValidatingFiles).await;
        let ended = match self.spawn(id) {
            Ok(child) if begun => self.attend(id, child, &asked, stop).await,
            Ok(_) => Ended::Process(None),
            Err(error) => {
                tracing::error!(%error, %id, "a training process cannot be started");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = asked.cancelled() => {}
                    () = tokio::time::sleep(RETRY_AFTER) => {}
                }
                Ended::Process(None)
            }
        };
        {
            let mut state = self.state();
            state.running = None;
            state.estimated_finish = None;
        }
        match ended {
            Ended::ServerStops => drop(self.change(id, |job| job.status = JobStatus::Queued).await),
            Ended::Process(status) => self.conclude(id, status).await,
        }
    }

    fn spawn(&self, id: TuningJobId) -> std::io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("tune-worker").arg(self.folder(id).0).arg("--data").arg(&self.data);
        match self.settings().source {
            ConfigSource::Demo => command.arg("--demo"),
            ConfigSource::File(path) => command.arg("--config").arg(path),
        };
        // Whatever secrets the environment holds are none of its business.
        command.env_clear().envs(std::env::var_os("PINTLE_LOG").map(|filter| ("PINTLE_LOG", filter)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()
    }

    /// Listens until the process ends. Its input is closed to make it stop: it notices that also when this server dies.
    async fn attend(
        self: &Arc<Self>,
        id: TuningJobId,
        mut child: Child,
        asked: &CancellationToken,
        stop: &CancellationToken,
    ) -> Ended {
        let Some(outlet) = child.stdout.take() else { return Ended::Process(None) };
        let mut lines = BufReader::new(outlet).lines();
        let mut until = None;
        let mut is_silent = false;
        let status = loop {
            let patience = until.unwrap_or_else(|| Instant::now() + STOP_GRACE);
            tokio::select! {
                line = lines.next_line(), if !is_silent => match line {
                    Ok(Some(line)) => self.hear(id, &line),
                    Ok(None) | Err(_) => is_silent = true,
                },
                status = child.wait(), if is_silent => break status.ok(),
                () = asked.cancelled(), if until.is_none() => {
                    let is_over = self.state().jobs.get(&id).and_then(|job| job.wanted) == Some(Wanted::Cancel);
                    until = Some(Instant::now() + if is_over { CANCEL_GRACE } else { STOP_GRACE });
                    drop(child.stdin.take());
                }
                () = stop.cancelled(), if until.is_none() => {
                    until = Some(Instant::now() + STOP_GRACE);
                    drop(child.stdin.take());
                }
                () = tokio::time::sleep_until(patience), if until.is_some() => {
                    // Its checkpoint is a moment old at the most.
                    drop(child.kill().await);
                    break None;
                }
            }
        };
        if stop.is_cancelled() && !asked.is_cancelled() { Ended::ServerStops } else { Ended::Process(status) }
    }

    /// One line of what the process says.
    fn hear(self: &Arc<Self>, id: TuningJobId, line: &str) {
        let Ok(word) = serde_json::from_str::<Word>(line) else { return };
        let now = self.clock.now();
        match word {
            Word::Checked { conversations, held_out, class, steps } => {
                let changed = self.update(id, |job| {
                    job.status = JobStatus::Running;
                    job.class = Some(class);
                });
                if let Err(error) = changed {
                    tracing::error!(%error, %id, "a tuning job cannot be kept");
                }
                let message = format!(
                    "The files are checked: {conversations} conversations to learn from in {steps} steps, {held_out} to \
                     measure with. What comes of it has the class {class}."
                );
                self.say(id, EventLevel::Info, message);
                if held_out == 0 {
                    let message = "No conversation is kept out of training, so the version cannot be promoted: give a \
                                   validation file, or twenty conversations or more.";
                    self.say(id, EventLevel::Warn, message);
                }
            }
            Word::Step { metrics, left_s, spent } => {
                let mut state = self.state();
                let left = jiff::SignedDuration::try_from_secs_f64(left_s.clamp(0.0, 1e9)).ok();
                state.estimated_finish = left.and_then(|left| now.checked_add(left).ok());
                let Some(job) = state.jobs.get_mut(&id) else { return };
                job.spent = spent;
                // Steps that are made again after a kill were told before.
                let is_new = job.metrics.is_none_or(|known| known.step < metrics.step);
                if is_new {
                    job.metrics = Some(metrics);
                }
                drop(state);
                if is_new {
                    let valid = metrics.valid_loss.map(|loss| format!(", validation loss={loss:.4}"));
                    let message = format!(
                        "Step {}/{}: training loss={:.4}{}",
                        metrics.step,
                        metrics.total_steps,
                        metrics.train_loss,
                        valid.unwrap_or_default()
                    );
                    self.folder(id).say(now, EventLevel::Info, message, Some(metrics));
                }
            }
            Word::Evaluating => {
                self.say(id, EventLevel::Info, "All steps are made; the version is measured.")
            }
        }
    }

    /// What is to be done about a process that ended.
    async fn conclude(self: &Arc<Self>, id: TuningJobId, status: Option<std::process::ExitStatus>) {
        let folder = self.folder(id);
        let wanted = self.state().jobs.get(&id).and_then(|job| job.wanted);
        match (folder.outcome(), wanted) {
            // It was quicker than whoever wanted it to stop.
            (Ok(Some(outcome)), _) => self.settle(id, outcome.into()).await,
            (_, Some(Wanted::Cancel)) => self.settle(id, End::Cancelled).await,
            (_, Some(Wanted::Pause)) => {
                let paused = self.change(id, |job| {
                    job.status = JobStatus::Paused;
                    job.wanted = None;
                    job.spent = folder.spent().unwrap_or(job.spent);
                });
                if paused.await {
                    self.say(id, EventLevel::Info, "The job is paused.");
                }
            }
            (outcome, None) => {
                if let Err(error) = outcome {
                    tracing::error!(%error, %id, "how a training process ended cannot be read");
                }
                self.crashed(id, status).await;
            }
        }
    }

    async fn crashed(self: &Arc<Self>, id: TuningJobId, status: Option<std::process::ExitStatus>) {
        let how = status.map_or_else(|| "it could not be started".to_owned(), |status| status.to_string());
        let mut crashes = 0;
        let kept = self.change(id, |job| {
            job.crashes += 1;
            job.status = JobStatus::Queued;
            crashes = job.crashes;
        });
        kept.await;
        tracing::warn!(%id, how, crashes, "a training process ended without a word");
        if crashes >= CRASHES_MAX {
            let message = format!(
                "The training process ended {crashes} times without a word ({how}). IT's log says more."
            );
            self.settle(id, End::Failed(fault("training_crashed", message, None))).await;
        } else {
            let message =
                format!("The training process ended unexpectedly ({how}); the job goes on where it was.");
            self.say(id, EventLevel::Warn, message);
        }
    }

    /// Changes a job on this thread: a small file is written. Says whether that went well.
    async fn change(&self, id: TuningJobId, change: impl FnOnce(&mut super::Job)) -> bool {
        match self.update(id, change) {
            Ok(job) => job.is_some(),
            Err(error) => {
                tracing::error!(%error, %id, "a tuning job cannot be kept");
                // Whatever goes on would go on at once; a full disk needs a moment.
                tokio::time::sleep(RETRY_AFTER).await;
                false
            }
        }
    }
}
