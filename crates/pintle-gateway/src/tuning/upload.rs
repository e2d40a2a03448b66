//! `POST /v1/files`: a form with a file, handed on to the desk while it arrives.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{body::Body, extract::State, http::HeaderMap, response::Response};
use pintle_core::{DataClass, Finding, Origin, Place, RequestId};
use pintle_llm::RequestError;
use pintle_policy::Reason;
use tokio::sync::mpsc;

use super::{
    DeskError, FileView, Known, Piece, Refused, Soon, Tuning, Upload, multipart::Multipart, uploaded,
};
use crate::{
    error::Stop,
    guidance::{self, Refusal},
    routes::unadmitted,
    state::Loaded,
};

/// Pieces on their way to the disk; then the client waits.
const PIECES_MAX: usize = 8;
const FIELD_BYTES_MAX: usize = 1024;
const EXPIRES_S: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;
/// What a client may still send after its file was refused, so that it reads why instead of a broken connection.
const DRAIN_BYTES_MAX: u64 = 64 << 20;

pub(super) async fn create(State(tuning): State<Arc<Tuning>>, headers: HeaderMap, body: Body) -> Response {
    let since = Instant::now();
    let loaded = tuning.gateway.loaded();
    let (known, id) = match tuning.known(&loaded, &headers).and_then(|known| Ok((known, tuning.new_id()?))) {
        Ok(admitted) => admitted,
        Err(stop) => return unadmitted(&tuning.gateway, &stop),
    };
    let seconds = loaded.limits.request_deadline_s;
    let receive = receive(&tuning, &loaded, &known, id, &headers, body);
    let received = tokio::time::timeout(Duration::from_secs(seconds), receive).await;
    match received.unwrap_or(Err(Stop::SlowBody)) {
        Ok(file) => uploaded(&file, id),
        Err(stop) => tuning.refuse(&loaded, &known, &Refused { id, stop: &stop, model: "", since }),
    }
}

/// A file on its way to the desk.
struct Passing {
    pieces: mpsc::Sender<Piece>,
    kept: Soon<Result<FileView, DeskError>>,
}

/// What the form says beside the file.
#[derive(Default)]
struct Fields {
    purpose: Option<String>,
    anchor: Option<String>,
    seconds: Option<String>,
}

async fn receive(
    tuning: &Tuning,
    loaded: &Loaded,
    known: &Known,
    id: RequestId,
    headers: &HeaderMap,
    body: Body,
) -> Result<FileView, Stop> {
    tuning.may_write(loaded, known, id)?;
    let _transfer = tuning.transfer()?;
    let mut form = Multipart::new(headers, body)?;
    let (mut fields, mut passing) = (Fields::default(), None);
    // Some SDKs send the file before the fields that say what it is for.
    while let Some(part) = form.next_part().await? {
        match part.name.as_str() {
            "file" if passing.is_none() => {
                let filename = part.filename.filter(|name| !name.is_empty());
                let upload = Upload {
                    use_case: known.use_case.name().clone(),
                    accepts: known.use_case.draft.data_class,
                    filename: filename.unwrap_or_else(|| "upload.jsonl".to_owned()),
                };
                if let Some(purpose) = &fields.purpose {
                    check_purpose(purpose)?;
                }
                match pass_on(tuning, upload, &mut form).await {
                    Ok(begun) => passing = Some(begun),
                    Err(stop) => {
                        drain(&mut form).await;
                        return Err(explained(stop, known, id));
                    }
                }
            }
            "purpose" => fields.purpose = Some(form.text(FIELD_BYTES_MAX).await?),
            "expires_after[anchor]" => fields.anchor = Some(form.text(FIELD_BYTES_MAX).await?),
            "expires_after[seconds]" => fields.seconds = Some(form.text(FIELD_BYTES_MAX).await?),
            _ => return Err(Stop::Form("it has a field that is not known here, or two files")),
        }
    }
    let expires_after = fields.check()?;
    let missing = || RequestError::MissingField { param: "file".to_owned(), hint: "send the file itself" };
    let Passing { pieces, kept } = passing.ok_or_else(|| Stop::Request(missing()))?;
    // When the desk has given up already, its answer says why.
    drop(pieces.send(Piece::End { expires_after }).await);
    drop(pieces);
    kept.await.map_err(|error| explained(Stop::Desk(error), known, id))
}

/// Hands the file on, as fast as the desk takes it. An error is the desk's.
async fn pass_on(tuning: &Tuning, upload: Upload, form: &mut Multipart) -> Result<Passing, Stop> {
    let (pieces, inlet) = mpsc::channel(PIECES_MAX);
    let kept = tuning.desk.upload(upload, inlet);
    while let Some(data) = form.data().await? {
        if pieces.send(Piece::Data(data)).await.is_err() {
            return match kept.await {
                Err(error) => Err(Stop::Desk(error)),
                Ok(_) => Err(Stop::Internal("a file was kept before its end")),
            };
        }
    }
    Ok(Passing { pieces, kept })
}

async fn drain(form: &mut Multipart) {
    let mut left = DRAIN_BYTES_MAX;
    while let Ok(Some(data)) = form.data().await {
        match left.checked_sub(data.len() as u64) {
            Some(rest) => left = rest,
            None => return,
        }
    }
    // The fields after the file.
    while let Ok(Some(_)) = form.next_part().await {}
}

fn check_purpose(purpose: &str) -> Result<(), Stop> {
    if purpose == "fine-tune" {
        return Ok(());
    }
    let reason = "files are kept here for tuning only: use the purpose `fine-tune`";
    Err(Stop::Request(RequestError::Unsupported { param: "purpose".to_owned(), reason }))
}

impl Fields {
    /// When the file goes by itself.
    fn check(&self) -> Result<Option<Duration>, Stop> {
        let purpose = self.purpose.as_deref().ok_or_else(|| {
            let hint = "use the purpose `fine-tune`";
            Stop::Request(RequestError::MissingField { param: "purpose".to_owned(), hint })
        })?;
        check_purpose(purpose)?;
        let invalid = |param: &str, expected| {
            let found = "something else".to_owned();
            Stop::Request(RequestError::InvalidField { param: param.to_owned(), expected, found })
        };
        if self.anchor.as_deref().is_some_and(|anchor| anchor != "created_at") {
            return Err(invalid("expires_after.anchor", "`created_at`"));
        }
        let Some(seconds) = &self.seconds else { return Ok(None) };
        let seconds = seconds.parse().ok().filter(|seconds| EXPIRES_S.contains(seconds));
        let expected = "a whole number from 3600 (an hour) to 2592000 (30 days)";
        seconds
            .map(|seconds| Some(Duration::from_secs(seconds)))
            .ok_or_else(|| invalid("expires_after.seconds", expected))
    }
}

/// A file that holds too much is a refusal by rule: type, place and ways forward, never the value.
fn explained(stop: Stop, known: &Known, id: RequestId) -> Stop {
    let Stop::Desk(DeskError::AboveClass { line, kind, class }) = stop else { return stop };
    let finding = Finding {
        kind,
        class,
        confidence: 100,
        origin: Origin::Request,
        place: Place { message: None, path: format!("line {line}").into() },
        start: 0,
        end: 0,
    };
    let sightings = guidance::sightings(&[finding]);
    let reason = Reason {
        rule: "use-case-class".into(),
        title: None,
        guidance: format!(
            "This use case was not approved for {class} content, and a model tells what it learnt. Take such \
             conversations out and upload the file again, or ask its owners to have a higher data class approved."
        )
        .into(),
        owner: "the owners of the use case".into(),
    };
    let mut ways: Vec<_> = guidance::removals(&sightings).into_iter().collect();
    ways.extend(guidance::people(&known.use_case));
    Stop::Refused(Box::new(Refusal {
        code: "policy_refused",
        what: "Not kept",
        class: Some(class).filter(|class| *class > DataClass::Public),
        sightings,
        reasons: vec![reason],
        ways,
        id,
    }))
}
