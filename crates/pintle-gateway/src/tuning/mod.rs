//! OpenAI's files and fine-tuning jobs: `/v1/files` and `/v1/fine_tuning/jobs`.
//!
//! Here stands who may: the key and its use case, the stage, bans and classes. What there is, and the work itself, is the
//! desk's ([`TuningDesk`]). `multipart` reads uploads, `wish` what a client wants of a job, `shapes` writes answers.
//!
//! A job's record and ledger entry are written when it ends, by the desk; what is refused here is recorded here.

mod desk;
mod multipart;
mod shapes;
mod upload;
mod wish;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;
use pintle_core::{FileId, KeyId, ModelName, RequestId, TuningJobId};
use pintle_ledger::{Dialect, RequestRecord};
use pintle_policy::Reason;
use pintle_registry::{Provider, UseCase};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use desk::{
    BaseView, DeskError, EventLevel, EventView, FileContent, FilePurpose, FileView, JobChange, JobFault,
    JobStatus, JobView, Metrics, Piece, Soon, TuningDesk, TuningOrder, TuningWish, Upload,
};

use crate::{
    body,
    error::Stop,
    guidance::{self, Refusal},
    life::{error_response, micros},
    phases::not_held,
    routes::{json, presented, unadmitted, wrong_method},
    state::{Busy, Gateway, Loaded},
};
use shapes::{Listing, Page};

/// A wish is small: names and numbers.
const WISH_MIB_MAX: u64 = 1;

/// Files on their way in or out: each keeps a thread that may wait for the disk, and others need those too.
const TRANSFERS_MAX: usize = 32;

/// What the routes work with.
struct Tuning {
    gateway: Arc<Gateway>,
    desk: Arc<dyn TuningDesk>,
    transfers: Arc<Semaphore>,
}

/// `/v1/files` and `/v1/fine_tuning/jobs`.
pub fn router(gateway: Arc<Gateway>, desk: Arc<dyn TuningDesk>) -> Router {
    Router::new()
        .route("/v1/files", post(upload::create).get(files).fallback(wrong_method))
        .route("/v1/files/{id}", get(file).delete(delete_file).fallback(wrong_method))
        .route("/v1/files/{id}/content", get(content).fallback(wrong_method))
        .route("/v1/fine_tuning/jobs", post(create).get(jobs).fallback(wrong_method))
        .route("/v1/fine_tuning/jobs/{id}", get(job).fallback(wrong_method))
        .route("/v1/fine_tuning/jobs/{id}/{what}", get(part).post(change).fallback(wrong_method))
        // Bodies have bounds of their own, which are larger for files and smaller for the rest.
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(Tuning { gateway, desk, transfers: Arc::new(Semaphore::new(TRANSFERS_MAX)) }))
}

/// Who asks, and the place that the request takes.
struct Known {
    use_case: Arc<UseCase>,
    key: KeyId,
    _busy: Busy,
    _place: OwnedSemaphorePermit,
}

impl Tuning {
    fn known(&self, loaded: &Loaded, headers: &HeaderMap) -> Result<Known, Stop> {
        let gateway = &self.gateway;
        if gateway.parts.ledger.is_overloaded() {
            return Err(Stop::Ledger("too many records wait"));
        }
        let snapshot = gateway.parts.registry.snapshot();
        let key = gateway.active_key(&snapshot, presented(headers), gateway.parts.clock.now())?;
        let use_case = Arc::clone(snapshot.use_case(&key.use_case).ok_or(Stop::NoUseCase)?);
        let most = loaded.limits.concurrent_per_key;
        let busy = gateway.enter(Some(key.id), most).ok_or(Stop::KeyBusy { most })?;
        let place = Arc::clone(&loaded.total).try_acquire_owned().map_err(|_| Stop::Overloaded)?;
        Ok(Known { use_case, key: key.id, _busy: busy, _place: place })
    }

    /// What writes asks the stage first: who may not call may not tune.
    fn may_write(&self, loaded: &Loaded, known: &Known, id: RequestId) -> Result<(), Stop> {
        let subject = self.gateway.subject(&known.use_case);
        loaded
            .policies
            .may_call(&subject)
            .map(drop)
            .map_err(|reasons| refused("stage_refused", "Not done", reasons, known, id))
    }

    /// A place among the files on their way.
    fn transfer(&self) -> Result<OwnedSemaphorePermit, Stop> {
        Arc::clone(&self.transfers).try_acquire_owned().map_err(|_| Stop::Overloaded)
    }

    fn new_id(&self) -> Result<RequestId, Stop> {
        RequestId::new(self.gateway.parts.clock.now()).map_err(|_| Stop::Internal("no randomness"))
    }

    /// Keeps a record of what was refused, so that its reference leads somewhere, and gives the answer.
    fn refuse(&self, loaded: &Loaded, known: &Known, what: &Refused<'_>) -> Response {
        let Refused { id, stop, model, since } = *what;
        if let Stop::Desk(DeskError::Broken(cause)) = stop {
            tracing::error!(%id, error = &**cause as &dyn std::error::Error, "files or tuning jobs do not work");
        }
        let at_ms = self.gateway.parts.clock.now().as_millisecond();
        let name = known.use_case.name().clone();
        let mut record = RequestRecord::new(id, at_ms, name, Dialect::OpenAiTuning);
        record.key = Some(known.key);
        record.model = model.chars().take(128).collect::<String>().into();
        record.policy_version = loaded.policies.version().into();
        record.outcome = stop.outcome();
        record.status = stop.status().as_u16();
        record.code = Some(stop.code().into());
        record.duration_us = micros(since.elapsed());
        if let Stop::Refused(refusal) = stop {
            record.class = refusal.class;
            record.stopped_by = refusal.reasons.iter().map(|reason| Arc::clone(&reason.rule)).collect();
        }
        if let Err(error) = self.gateway.parts.ledger.record(&record) {
            tracing::error!(%id, error = &error as &dyn std::error::Error, "a record is not in the journal");
        }
        let mut response = error_response(stop, Some(id));
        mark(&mut response, id);
        response
    }

    fn shape(&self, loaded: &Loaded, job: &JobView) -> Value {
        shapes::job(job, &loaded.organisation.name, &self.gateway.parts.ledger)
    }
}

/// A request that was refused after its caller was known.
struct Refused<'a> {
    id: RequestId,
    stop: &'a Stop,
    model: &'a str,
    since: Instant,
}

fn mark(response: &mut Response, id: RequestId) {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(HeaderName::from_static("x-pintle-request-id"), value);
    }
}

fn refused(
    code: &'static str,
    what: &'static str,
    reasons: Vec<Reason>,
    known: &Known,
    id: RequestId,
) -> Stop {
    let ways = guidance::people(&known.use_case).into();
    Stop::Refused(Box::new(Refusal { code, what, class: None, sightings: Vec::new(), reasons, ways, id }))
}

/// An answer that is there, or the error, of a request that leaves no record.
fn answer(tuning: &Tuning, result: Result<Value, Stop>) -> Response {
    match result {
        Ok(value) => json(value.to_string().into()),
        Err(stop) => {
            if let Stop::Desk(DeskError::Broken(cause)) = &stop {
                tracing::error!(
                    error = &**cause as &dyn std::error::Error,
                    "files or tuning jobs do not work"
                );
            }
            unadmitted(&tuning.gateway, &stop)
        }
    }
}

fn no_file(_: impl std::error::Error) -> Stop {
    Stop::Desk(DeskError::NotFound { what: "file" })
}

fn no_job(_: impl std::error::Error) -> Stop {
    Stop::Desk(DeskError::NotFound { what: "fine-tuning job" })
}

// ── files ────────────────────────────────────────────────────────────────────────────────────────────

async fn files(State(tuning): State<Arc<Tuning>>, headers: HeaderMap, page: Query<Page>) -> Response {
    let list = || {
        let known = tuning.known(&tuning.gateway.loaded(), &headers)?;
        let mut files = tuning.desk.files(known.use_case.name());
        if !page.is_ascending().map_err(Stop::Request)? {
            files.reverse();
        }
        let wanted = page.purpose.as_deref();
        let shown = files.iter().filter(|file| wanted.is_none_or(|purpose| purpose == file.purpose.as_str()));
        page.cut(shown.map(shapes::file).collect(), Listing { limit: 10_000, limit_max: 10_000 })
            .map_err(Stop::Request)
    };
    answer(&tuning, list())
}

fn named_file(tuning: &Tuning, headers: &HeaderMap, id: &str) -> Result<(Known, FileView), Stop> {
    let known = tuning.known(&tuning.gateway.loaded(), headers)?;
    let id: FileId = id.parse().map_err(no_file)?;
    let file = tuning.desk.files(known.use_case.name()).into_iter().find(|file| file.id == id);
    Ok((known, file.ok_or(Stop::Desk(DeskError::NotFound { what: "file" }))?))
}

async fn file(State(tuning): State<Arc<Tuning>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let found = named_file(&tuning, &headers, &id).map(|(_, file)| shapes::file(&file));
    answer(&tuning, found)
}

async fn delete_file(
    State(tuning): State<Arc<Tuning>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let delete = async {
        let (known, file) = named_file(&tuning, &headers, &id)?;
        tuning.desk.delete_file(known.use_case.name(), file.id).await.map_err(Stop::Desk)?;
        Ok(json!({ "id": file.id, "object": "file", "deleted": true }))
    };
    let done = delete.await;
    answer(&tuning, done)
}

async fn content(State(tuning): State<Arc<Tuning>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let open = async {
        let (known, file) = named_file(&tuning, &headers, &id)?;
        let transfer = tuning.transfer()?;
        let content = tuning.desk.content(known.use_case.name(), file.id).await.map_err(Stop::Desk)?;
        Ok((known, transfer, content))
    };
    match open.await {
        Err(stop) => answer(&tuning, Err(stop)),
        Ok((known, transfer, content)) => {
            let length = HeaderValue::from(content.bytes);
            let kind = HeaderValue::from_static("application/octet-stream");
            let body = Body::new(Download { pieces: content.pieces, _known: known, _transfer: transfer });
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_LENGTH, length)], body).into_response()
        }
    }
}

/// A file on its way out; it keeps its place among the requests until its end.
struct Download {
    pieces: tokio::sync::mpsc::Receiver<std::io::Result<Bytes>>,
    _known: Known,
    _transfer: OwnedSemaphorePermit,
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

// ── jobs ─────────────────────────────────────────────────────────────────────────────────────────────

async fn create(State(tuning): State<Arc<Tuning>>, headers: HeaderMap, body: Body) -> Response {
    let since = Instant::now();
    let loaded = tuning.gateway.loaded();
    let known = match tuning.known(&loaded, &headers) {
        Ok(known) => known,
        Err(stop) => return unadmitted(&tuning.gateway, &stop),
    };
    let id = match tuning.new_id() {
        Ok(id) => id,
        Err(stop) => return unadmitted(&tuning.gateway, &stop),
    };
    let mut model = String::new();
    match order(&tuning, &loaded, &known, id, body, &mut model).await {
        Ok(job) => {
            let mut response = json(tuning.shape(&loaded, &job).to_string().into());
            mark(&mut response, id);
            response
        }
        Err(stop) => tuning.refuse(&loaded, &known, &Refused { id, stop: &stop, model: &model, since }),
    }
}

/// Stage, wish, base, bans, classes; then the desk holds the money and takes the job in.
async fn order(
    tuning: &Tuning,
    loaded: &Loaded,
    known: &Known,
    id: RequestId,
    body: Body,
    model: &mut String,
) -> Result<JobView, Stop> {
    tuning.may_write(loaded, known, id)?;
    let received = body::read(body, WISH_MIB_MAX, &tuning.gateway.body_memory).await?;
    let document = pintle_llm::parse_body(&received.bytes).map_err(Stop::Request)?;
    let wish = wish::parse(&document).map_err(Stop::Request)?;
    model.clone_from(&wish.model);
    let base = tuning.desk.base(&wish.model).await.map_err(Stop::Desk)?;
    may_use(tuning, loaded, known, id, &base)?;
    let order = TuningOrder {
        request: id,
        use_case: known.use_case.name().clone(),
        key: known.key,
        accepts: known.use_case.draft.data_class,
        policy_version: loaded.policies.version().into(),
        unpriced: loaded.limits.unpriced,
        base,
        wish,
    };
    tuning.desk.create(order).await.map_err(|error| match error {
        DeskError::Money(error) => not_held(&tuning.gateway.parts.ledger, loaded, error),
        DeskError::Unpriced => {
            let reason = Reason {
                rule: "unpriced".into(),
                title: None,
                guidance:
                    "Nobody has said what an hour of tuning costs, so nothing is tuned. Ask IT for a price \
                           (`models.training_price_per_hour` in the configuration)."
                        .into(),
                owner: "IT".into(),
            };
            refused("unpriced", "Not tuned", vec![reason], known, id)
        }
        other => Stop::Desk(other),
    })
}

/// Whether the use case may have to do with the base at all: no ban on whoever serves it, and no class above its own.
fn may_use(
    tuning: &Tuning,
    loaded: &Loaded,
    known: &Known,
    id: RequestId,
    base: &BaseView,
) -> Result<(), Stop> {
    let snapshot = tuning.gateway.parts.registry.snapshot();
    let now = tuning.gateway.parts.clock.now();
    let serves = |model: &ModelName| model.as_str() == base.model.as_str();
    for station in &loaded.stations {
        let placement = station.placement();
        if placement.provider != Provider::Embedded || !serves(&placement.model) {
            continue;
        }
        if let Some(ban) = snapshot.ban(known.use_case.name(), placement, now) {
            let until = ban.ends_at.to_zoned_datetime(loaded.organisation.time_zone.clone());
            let until = until.strftime("%-d %B %Y %H:%M %Z");
            let reason = Reason {
                rule: format!("ban:{}", ban.id.short()).into(),
                title: None,
                guidance: format!("`{}` is banned until {until}: {}", ban.target.name(), ban.reason).into(),
                owner: ban.owner.as_str().into(),
            };
            return Err(refused("banned", "Not tuned", vec![reason], known, id));
        }
    }
    if base.class > known.use_case.draft.data_class {
        let reason = Reason {
            rule: "own-model-class".into(),
            title: None,
            guidance: "This model was trained on content above the class of your use case, and what is tuned from it \
                       may tell it. Tune another model, or ask the owners of your use case to have a higher data \
                       class approved."
                .into(),
            owner: "the owner of the model".into(),
        };
        return Err(refused("policy_refused", "Not tuned", vec![reason], known, id));
    }
    Ok(())
}

async fn jobs(State(tuning): State<Arc<Tuning>>, headers: HeaderMap, page: Query<Page>) -> Response {
    let list = || {
        let loaded = tuning.gateway.loaded();
        let known = tuning.known(&loaded, &headers)?;
        let jobs = tuning.desk.jobs(known.use_case.name());
        let shown = jobs.iter().rev().map(|job| tuning.shape(&loaded, job)).collect();
        page.cut(shown, Listing { limit: 20, limit_max: 1_000 }).map_err(Stop::Request)
    };
    answer(&tuning, list())
}

fn named_job(
    tuning: &Tuning,
    loaded: &Loaded,
    headers: &HeaderMap,
    id: &str,
) -> Result<(Known, JobView), Stop> {
    let known = tuning.known(loaded, headers)?;
    let id: TuningJobId = id.parse().map_err(no_job)?;
    let job = tuning.desk.jobs(known.use_case.name()).into_iter().find(|job| job.id == id);
    Ok((known, job.ok_or(Stop::Desk(DeskError::NotFound { what: "fine-tuning job" }))?))
}

async fn job(State(tuning): State<Arc<Tuning>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let loaded = tuning.gateway.loaded();
    let found = named_job(&tuning, &loaded, &headers, &id).map(|(_, job)| tuning.shape(&loaded, &job));
    answer(&tuning, found)
}

/// `…/events` and `…/checkpoints`.
async fn part(
    State(tuning): State<Arc<Tuning>>,
    Path((id, what)): Path<(String, String)>,
    headers: HeaderMap,
    page: Query<Page>,
) -> Response {
    let loaded = tuning.gateway.loaded();
    let read = async {
        let (known, job) = named_job(&tuning, &loaded, &headers, &id)?;
        let (all, limit) = match what.as_str() {
            "events" => {
                let events = tuning.desk.events(known.use_case.name(), job.id).await.map_err(Stop::Desk)?;
                (events.iter().rev().map(shapes::event).collect(), 20)
            }
            "checkpoints" => (shapes::checkpoints(&job), 10),
            _ => return Err(Stop::Desk(DeskError::NotFound { what: "part of a fine-tuning job" })),
        };
        page.cut(all, Listing { limit, limit_max: 1_000 }).map_err(Stop::Request)
    };
    let done = read.await;
    answer(&tuning, done)
}

/// `…/cancel`, `…/pause` and `…/resume`.
async fn change(
    State(tuning): State<Arc<Tuning>>,
    Path((id, what)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let loaded = tuning.gateway.loaded();
    let act = async {
        let (known, job) = named_job(&tuning, &loaded, &headers, &id)?;
        let change = match what.as_str() {
            "cancel" => JobChange::Cancel,
            "pause" => JobChange::Pause,
            "resume" => JobChange::Resume,
            _ => return Err(Stop::Desk(DeskError::NotFound { what: "part of a fine-tuning job" })),
        };
        let name = known.use_case.name();
        if change == JobChange::Resume {
            tuning.may_write(&loaded, &known, tuning.new_id()?)?;
        }
        let job = tuning.desk.change(name, job.id, change).await.map_err(Stop::Desk)?;
        Ok(tuning.shape(&loaded, &job))
    };
    let done = act.await;
    answer(&tuning, done)
}

/// For [`upload`]: 200 with a file.
fn uploaded(file: &FileView, id: RequestId) -> Response {
    let mut response = (StatusCode::OK, json(shapes::file(file).to_string().into())).into_response();
    mark(&mut response, id);
    response
}
