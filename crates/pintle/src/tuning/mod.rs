//! Tuning through OpenAI's interface: the desk behind `/v1/files` and `/v1/fine_tuning/jobs`.
//!
//! ```text
//! tuning/
//!   files/ID/   an uploaded file: file.json, content
//!   jobs/ID/    a job: job.json, events.jsonl; from its training process: meter.json, outcome.json, work/
//! ```
//!
//! These files are the master; what is in memory is read from them at the start. `order` takes jobs in, `dispatch` runs
//! them one at a time in a process of their own ([`worker`]), so that training neither slows the server down nor takes it
//! along when it dies, and `settle` writes down what a job came to.

mod dispatch;
mod files;
mod job;
pub(crate) mod meter;
mod order;
mod settle;
pub(crate) mod worker;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pintle_core::{Amount, Clock, FileId, Name, Timestamp, TuningJobId, Zone};
use pintle_gateway::tuning::{
    BaseView, DeskError, EventLevel, EventView, FileContent, FileView, JobChange, JobStatus, JobView, Piece,
    Soon, TuningDesk, TuningOrder, Upload,
};
use pintle_guard::Guard;
use pintle_ledger::{Hold, Ledger};
use pintle_model::{ModelError, ModelStore, VersionId};
use pintle_registry::{Placement, Provider};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::{ConfigSource, LoadedConfig};
use files::{Cabinet, FILES_MAX, Incoming, Meta, TOTAL_BYTES_MAX};
use job::{Job, JobFolder, Wanted};

/// So long a change of a job is waited for; it goes on when nobody waits.
const CHANGE_WAIT: Duration = Duration::from_secs(15);

/// What the configuration says of tuning; a reload replaces it.
#[derive(Clone)]
struct Settings {
    guard: Arc<Guard>,
    placements: Vec<Arc<Placement>>,
    price_per_hour: Option<Amount>,
    watts_per_core: f64,
    source: ConfigSource,
}

impl Settings {
    fn of(config: &LoadedConfig) -> Self {
        Settings {
            guard: Arc::clone(&config.scanner),
            placements: config.placements.clone(),
            price_per_hour: config.tuning.price_per_hour,
            watts_per_core: config.tuning.watts_per_core,
            source: config.source.clone(),
        }
    }

    fn embedded(&self) -> impl Iterator<Item = &Arc<Placement>> {
        self.placements.iter().filter(|placement| placement.provider == Provider::Embedded)
    }

    /// Where this machine stands: where the placements that it serves itself are said to be.
    fn zone(&self) -> Zone {
        self.embedded().next().map_or(Zone::OnPremises, |placement| placement.zone)
    }
}

/// What is known in memory.
#[derive(Default)]
struct State {
    files: BTreeMap<FileId, Meta>,
    /// Bytes of files that are on their way in.
    arriving: HashMap<Name, u64>,
    jobs: BTreeMap<TuningJobId, Job>,
    holds: HashMap<TuningJobId, Hold>,
    /// The job whose process runs, and what stops it.
    running: Option<(TuningJobId, CancellationToken)>,
    /// Jobs that are being settled.
    settling: HashSet<TuningJobId>,
    /// Jobs that were posted by this process and not written down as ended yet.
    posted: HashSet<TuningJobId>,
    estimated_finish: Option<Timestamp>,
}

/// The desk. Clones share it.
#[derive(Clone)]
pub(crate) struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    data: PathBuf,
    cabinet: Cabinet,
    jobs: PathBuf,
    store: ModelStore,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    tasks: TaskTracker,
    settings: Mutex<Settings>,
    /// Never held while the disk is waited for: whoever lists files and jobs waits for it.
    state: Mutex<State>,
    /// Held by whoever writes jobs and files down, so that they are written in the order of their changes.
    kept: Mutex<()>,
    /// There may be something to run.
    wake: Notify,
    /// A job has changed.
    changed: watch::Sender<u64>,
}

/// What the desk works with.
pub(crate) struct DeskParts {
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: TaskTracker,
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DeskError {
    DeskError::Broken(error.into())
}

const fn no_file() -> DeskError {
    DeskError::NotFound { what: "file" }
}

const fn no_job() -> DeskError {
    DeskError::NotFound { what: "fine-tuning job" }
}

impl Desk {
    /// Opens what is there, and holds again what unfinished jobs can cost. Call it before anybody else may hold.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(crate) async fn open(config: &LoadedConfig, parts: DeskParts) -> std::io::Result<Self> {
        let data = config.data_folder.clone();
        let (cabinet, files) = Cabinet::open(data.join("tuning").join("files"))?;
        let jobs_folder = data.join("tuning").join("jobs");
        pintle_db::make_private_folder(&jobs_folder)?;
        let mut jobs = BTreeMap::new();
        for entry in std::fs::read_dir(&jobs_folder)? {
            let folder = JobFolder(entry?.path());
            match folder.read() {
                Ok(Some(mut job)) => {
                    if !job.status.is_final() && job.status != JobStatus::Paused {
                        job.status = JobStatus::Queued;
                    }
                    jobs.insert(job.id, job);
                }
                Ok(None) => std::fs::remove_dir_all(&folder.0)?,
                Err(error) => {
                    tracing::error!(%error, path = %folder.0.display(), "a tuning job cannot be read")
                }
            }
        }
        let state = State {
            files: files.into_iter().map(|meta| (meta.id, meta)).collect(),
            jobs,
            ..State::default()
        };
        let desk = Desk {
            inner: Arc::new(Inner {
                store: ModelStore::new(&data),
                data,
                cabinet,
                jobs: jobs_folder,
                ledger: parts.ledger,
                clock: parts.clock,
                tasks: parts.tasks,
                settings: Mutex::new(Settings::of(config)),
                state: Mutex::new(state),
                kept: Mutex::new(()),
                wake: Notify::new(),
                changed: watch::Sender::new(0),
            }),
        };
        desk.inner.hold_again().await;
        Ok(desk)
    }

    /// Takes over what a newly read configuration says.
    pub(crate) fn configure(&self, config: &LoadedConfig) {
        *self.inner.settings.lock().unwrap_or_else(PoisonError::into_inner) = Settings::of(config);
    }

    /// The jobs of all use cases, oldest first.
    pub(crate) fn all(&self) -> Vec<JobView> {
        let state = self.inner.state();
        state.jobs.values().map(|job| job.view(state.estimated_finish)).collect()
    }

    /// Runs jobs, one after the other, until told to stop. Run it once, as a task.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        self.inner.run(&stop).await;
    }

    /// Does work on a thread that may wait for the disk; it goes on when nobody waits for it.
    fn soon<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, DeskError> + Send + 'static,
    ) -> Soon<Result<T, DeskError>> {
        let inner = Arc::clone(&self.inner);
        let working = tokio::task::spawn_blocking(move || work(&inner));
        Box::pin(async move { working.await.unwrap_or_else(|error| Err(broken(error))) })
    }
}

impl Inner {
    /// A thread that died while it held the lock has left complete values behind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> Settings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn folder(&self, id: TuningJobId) -> JobFolder {
        JobFolder(self.jobs.join(id.to_string()))
    }

    fn say(&self, id: TuningJobId, level: EventLevel, message: impl Into<String>) {
        self.folder(id).say(self.clock.now(), level, message.into(), None);
    }

    fn keeping(&self) -> MutexGuard<'_, ()> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a job, in memory and then on the disk.
    fn update(&self, id: TuningJobId, change: impl FnOnce(&mut Job)) -> std::io::Result<Option<Job>> {
        let in_order = self.keeping();
        let job = {
            let mut state = self.state();
            let Some(job) = state.jobs.get_mut(&id) else { return Ok(None) };
            change(job);
            job.clone()
        };
        let written = self.folder(id).write(&job);
        drop(in_order);
        self.changed.send_modify(|count| *count += 1);
        written.map(|()| Some(job))
    }

    fn take_in(&self, upload: Upload, pieces: mpsc::Receiver<Piece>) -> Result<FileView, DeskError> {
        let now = self.clock.now();
        let id = FileId::new(now).map_err(broken)?;
        let use_case = upload.use_case.clone();
        let mut taken = 0;
        let mut room = |bytes: u64| {
            let mut state = self.state();
            let kept: u64 = files_of(&state, &use_case).map(|meta| meta.bytes).sum();
            let count = files_of(&state, &use_case).count();
            let arriving = state.arriving.entry(use_case.clone()).or_default();
            let full = |bound: String| DeskError::Full {
                message: format!(
                    "This use case's files take all the room that it has here ({bound}). Delete files that are no \
                     longer needed, and upload again."
                ),
            };
            if count >= FILES_MAX {
                return Err(full(format!("{FILES_MAX} files")));
            }
            if kept + *arriving + bytes > TOTAL_BYTES_MAX {
                return Err(full(format!("{} GiB", TOTAL_BYTES_MAX >> 30)));
            }
            *arriving += bytes;
            taken += bytes;
            Ok(())
        };
        let guard = self.settings().guard;
        let incoming = Incoming { id, upload, guard, now, room: &mut room };
        let received = self.cabinet.take_in(incoming, pieces);
        let mut state = self.state();
        if let Some(arriving) = state.arriving.get_mut(&use_case) {
            *arriving = arriving.saturating_sub(taken);
            if *arriving == 0 {
                state.arriving.remove(&use_case);
            }
        }
        let meta = received?;
        let view = meta.view();
        state.files.insert(id, meta);
        Ok(view)
    }

    fn file_of(&self, use_case: &Name, id: FileId) -> Result<Meta, DeskError> {
        let now = self.clock.now();
        let state = self.state();
        let meta = state.files.get(&id).filter(|meta| meta.use_case == *use_case && !meta.is_expired(now));
        meta.cloned().ok_or_else(no_file)
    }

    fn delete_file(&self, use_case: &Name, id: FileId) -> Result<(), DeskError> {
        let _one_at_a_time = self.keeping();
        {
            let state = self.state();
            state.files.get(&id).filter(|meta| meta.use_case == *use_case).ok_or_else(no_file)?;
            if let Some(job) = state.jobs.values().find(|job| !job.status.is_final() && job.uses(id)) {
                let message = format!(
                    "The fine-tuning job `{}` needs this file. Wait for its end, or cancel it, and delete the file then.",
                    job.id
                );
                return Err(DeskError::Conflict { message });
            }
        }
        self.cabinet.remove(id).map_err(broken)?;
        self.state().files.remove(&id);
        Ok(())
    }

    /// Files whose time is over go, but for those that a job still needs.
    fn sweep(&self) {
        let _one_at_a_time = self.keeping();
        let now = self.clock.now();
        let over: Vec<FileId> = {
            let state = self.state();
            let is_needed =
                |id: FileId| state.jobs.values().any(|job| !job.status.is_final() && job.uses(id));
            let files = state.files.values();
            files.filter(|meta| meta.is_expired(now) && !is_needed(meta.id)).map(|meta| meta.id).collect()
        };
        for id in over {
            match self.cabinet.remove(id) {
                Ok(()) => drop(self.state().files.remove(&id)),
                Err(error) => tracing::error!(%error, %id, "a file whose time is over cannot be removed"),
            }
        }
    }

    fn base(&self, model: &str) -> Result<BaseView, DeskError> {
        let unknown = || DeskError::NoModel {
            message: format!(
                "There is no own model `{}` here that can be tuned. Name one that `pintle model list` shows, one of \
                 its versions such as `handbook@1`, or a placement that serves one.",
                model.chars().take(64).filter(|c| !c.is_control()).collect::<String>()
            ),
        };
        let id = match model.parse::<VersionId>() {
            Ok(id) => id,
            Err(_) => {
                let settings = self.settings();
                let mut placements = settings.embedded();
                let served = placements.find(|placement| placement.name.as_str() == model);
                let name = served.map_or(model, |placement| placement.model.as_str());
                let name: Name = name.parse().map_err(|_| unknown())?;
                let production = self.store.production(&name).map_err(broken)?;
                production.map(|promotion| promotion.version).ok_or_else(unknown)?
            }
        };
        match self.store.manifest(&id) {
            Ok(manifest) => Ok(BaseView { id: id.to_string(), model: id.model, class: manifest.class }),
            Err(ModelError::NoVersion(_)) => Err(unknown()),
            Err(error) => Err(broken(error)),
        }
    }

    fn job_of(&self, use_case: &Name, id: TuningJobId) -> Result<Job, DeskError> {
        let state = self.state();
        state.jobs.get(&id).filter(|job| job.use_case == *use_case).cloned().ok_or_else(no_job)
    }

    /// Notes what is wanted; what runs is stopped by who runs it. Gives the state to wait for.
    fn want(&self, use_case: &Name, id: TuningJobId, change: JobChange) -> Result<Next, DeskError> {
        let job = self.job_of(use_case, id)?;
        let conflict = |message: String| Err(DeskError::Conflict { message });
        if job.status.is_final() || job.wanted == Some(Wanted::Cancel) {
            return match change {
                // Asked twice, it is cancelled all the same.
                JobChange::Cancel if job.status == JobStatus::Cancelled => Ok(Next::Nothing),
                JobChange::Cancel if !job.status.is_final() => {
                    let state = self.state();
                    let is_running = state.running.as_ref().is_some_and(|(running, _)| *running == id);
                    // A settlement that failed is tried again.
                    Ok(if is_running { Next::Wait(JobStatus::Cancelled) } else { Next::Settle })
                }
                _ => conflict("The job has ended already.".to_owned()),
            };
        }
        let is_running = {
            let state = self.state();
            let running = state.running.as_ref().filter(|(running, _)| *running == id);
            running.map(|(_, stop)| stop.clone())
        };
        let wanted = match change {
            JobChange::Cancel => Some(Wanted::Cancel),
            JobChange::Pause if job.status == JobStatus::Paused => return Ok(Next::Nothing),
            JobChange::Pause if is_running.is_some() => Some(Wanted::Pause),
            JobChange::Pause => None,
            JobChange::Resume if job.status == JobStatus::Paused => None,
            JobChange::Resume => return conflict("The job is not paused.".to_owned()),
        };
        let next = match (change, is_running.is_some()) {
            (JobChange::Cancel, true) => Next::Wait(JobStatus::Cancelled),
            (JobChange::Cancel, false) => Next::Settle,
            (JobChange::Pause, true) => Next::Wait(JobStatus::Paused),
            (JobChange::Pause | JobChange::Resume, _) => Next::Nothing,
        };
        self.update(id, |job| {
            job.wanted = wanted;
            match (change, &is_running) {
                (JobChange::Pause, None) => job.status = JobStatus::Paused,
                (JobChange::Resume, _) => job.status = JobStatus::Queued,
                _ => {}
            }
        })
        .map_err(broken)?;
        match (change, is_running) {
            (JobChange::Pause, None) => self.say(id, EventLevel::Info, "The job is paused."),
            (JobChange::Resume, _) => self.say(id, EventLevel::Info, "The job goes on."),
            (_, Some(stop)) => stop.cancel(),
            _ => {}
        }
        self.wake.notify_one();
        Ok(next)
    }

    async fn wait_for(&self, id: TuningJobId, status: JobStatus) {
        let mut changed = self.changed.subscribe();
        let reached = async {
            loop {
                let now = self.state().jobs.get(&id).map(|job| job.status);
                if now.is_none_or(|now| now == status || now.is_final()) || changed.changed().await.is_err() {
                    return;
                }
            }
        };
        drop(tokio::time::timeout(CHANGE_WAIT, reached).await);
    }
}

/// What follows a wish.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Nothing,
    Wait(JobStatus),
    Settle,
}

fn files_of<'a>(state: &'a State, use_case: &'a Name) -> impl Iterator<Item = &'a Meta> {
    state.files.values().filter(move |meta| meta.use_case == *use_case)
}

impl TuningDesk for Desk {
    fn upload(&self, upload: Upload, pieces: mpsc::Receiver<Piece>) -> Soon<Result<FileView, DeskError>> {
        self.soon(move |inner| inner.take_in(upload, pieces))
    }

    fn files(&self, use_case: &Name) -> Vec<FileView> {
        let now = self.inner.clock.now();
        let state = self.inner.state();
        files_of(&state, use_case).filter(|meta| !meta.is_expired(now)).map(Meta::view).collect()
    }

    fn content(&self, use_case: &Name, id: FileId) -> Soon<Result<FileContent, DeskError>> {
        let use_case = use_case.clone();
        self.soon(move |inner| {
            let meta = inner.file_of(&use_case, id)?;
            inner.cabinet.content(&meta).map_err(broken)
        })
    }

    fn delete_file(&self, use_case: &Name, id: FileId) -> Soon<Result<(), DeskError>> {
        let use_case = use_case.clone();
        self.soon(move |inner| inner.delete_file(&use_case, id))
    }

    fn base(&self, model: &str) -> Soon<Result<BaseView, DeskError>> {
        let model = model.to_owned();
        self.soon(move |inner| inner.base(&model))
    }

    fn create(&self, order: TuningOrder) -> Soon<Result<JobView, DeskError>> {
        self.soon(move |inner| inner.create(&order))
    }

    fn jobs(&self, use_case: &Name) -> Vec<JobView> {
        let state = self.inner.state();
        let own = state.jobs.values().filter(|job| job.use_case == *use_case);
        own.map(|job| job.view(state.estimated_finish)).collect()
    }

    fn events(&self, use_case: &Name, id: TuningJobId) -> Soon<Result<Vec<EventView>, DeskError>> {
        let use_case = use_case.clone();
        self.soon(move |inner| {
            let job = inner.job_of(&use_case, id)?;
            inner.folder(job.id).events().map_err(broken)
        })
    }

    fn change(
        &self,
        use_case: &Name,
        id: TuningJobId,
        change: JobChange,
    ) -> Soon<Result<JobView, DeskError>> {
        let (desk, use_case) = (self.clone(), use_case.clone());
        let work = async move {
            let wanted = use_case.clone();
            match desk.soon(move |inner| inner.want(&wanted, id, change)).await? {
                Next::Nothing => {}
                Next::Wait(status) => desk.inner.wait_for(id, status).await,
                Next::Settle => desk.inner.settle_cancelled(id).await,
            }
            let job = desk.inner.job_of(&use_case, id)?;
            let estimated = desk.inner.state().estimated_finish;
            Ok(job.view(estimated))
        };
        let working = self.inner.tasks.spawn(work);
        Box::pin(async move { working.await.unwrap_or_else(|error| Err(broken(error))) })
    }
}
