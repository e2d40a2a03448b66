//! Files and tuning jobs at the gateway: shapes, pages, whose they are, and what is refused before the desk hears of it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pintle_core::{Amount, DataClass, FileId, Name, RequestId, Stage, Timestamp, TuningJobId};
use pintle_gateway::tuning::{
    BaseView, DeskError, EventLevel, EventView, FileContent, FilePurpose, FileView, JobChange, JobStatus,
    JobView, Metrics, Piece, Soon, TuningDesk, TuningOrder, Upload,
};
use pintle_ledger::Outcome;
use pintle_testkit::{Answer, RawClient};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::fixture::{Fixture, Setup, code, use_case};

/// Keeps what it is given, for the use case that gave it.
#[derive(Default)]
struct Desk {
    files: Mutex<Vec<(Name, FileView, Vec<u8>)>>,
    jobs: Mutex<Vec<JobView>>,
    orders: Mutex<Vec<TuningOrder>>,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_500_000 + seconds).unwrap()
}

fn ready<T: Send + 'static>(value: Result<T, DeskError>) -> Soon<Result<T, DeskError>> {
    Box::pin(async move { value })
}

impl Desk {
    /// A file whose text is `class` is above the class; one that is `wrong` is none.
    fn keep(&self, upload: Upload, bytes: Vec<u8>) -> Result<FileView, DeskError> {
        if bytes.starts_with(b"wrong") {
            let message = "Line 3 of the file is no conversation to learn from: it is not.".to_owned();
            return Err(DeskError::Invalid { param: "file", code: "invalid_training_file", message });
        }
        if bytes.starts_with(b"class") {
            let (kind, class) = ("credit_card".into(), DataClass::Restricted);
            return Err(DeskError::AboveClass { line: 7, kind, class });
        }
        let mut files = self.files.lock().unwrap();
        let view = FileView {
            id: FileId::new(at(i64::try_from(files.len()).unwrap())).unwrap(),
            bytes: bytes.len() as u64,
            created_at: at(0),
            expires_at: None,
            filename: upload.filename,
            purpose: FilePurpose::FineTune,
        };
        files.push((upload.use_case, view.clone(), bytes));
        Ok(view)
    }

    fn add(&self, use_case: &str, status: JobStatus) -> JobView {
        let mut jobs = self.jobs.lock().unwrap();
        let made_at = at(i64::try_from(jobs.len()).unwrap());
        let is_done = status == JobStatus::Succeeded;
        let job = JobView {
            id: TuningJobId::new(made_at).unwrap(),
            use_case: use_case.parse().unwrap(),
            created_at: made_at,
            finished_at: status.is_final().then_some(made_at),
            estimated_finish: None,
            status,
            base: "handbook@1".into(),
            fine_tuned_model: is_done.then(|| "handbook@2".into()),
            fault: None,
            n_epochs: 3,
            batch_size: 4,
            learning_rate_multiplier: 1.0,
            training_file: FileId::new(made_at).unwrap(),
            validation_file: None,
            result_file: None,
            trained_tokens: is_done.then_some(900),
            seed: 7,
            metadata: None,
            is_full: false,
            class: Some(DataClass::Internal),
            hold: Some(Amount::from_nanos(1_000_000)),
            cost: is_done.then_some(Amount::from_nanos(2_000)),
            processor_time: std::time::Duration::from_millis(1_500),
            energy: None,
            request: RequestId::new(made_at).unwrap(),
            checkpoint: is_done.then_some(Metrics {
                step: 30,
                total_steps: 30,
                train_loss: 0.5,
                valid_loss: Some(0.75),
            }),
        };
        jobs.push(job.clone());
        job
    }
}

/// The desk as the gateway holds it.
#[derive(Clone)]
struct Shared(Arc<Desk>);

impl TuningDesk for Shared {
    fn upload(&self, upload: Upload, mut pieces: mpsc::Receiver<Piece>) -> Soon<Result<FileView, DeskError>> {
        let desk = Arc::clone(&self.0);
        Box::pin(async move {
            let mut bytes = Vec::new();
            loop {
                match pieces.recv().await {
                    Some(Piece::Data(data)) => bytes.extend_from_slice(&data),
                    Some(Piece::End { .. }) => return desk.keep(upload, bytes),
                    None => return Err(DeskError::Broken("it broke off".into())),
                }
            }
        })
    }

    fn files(&self, use_case: &Name) -> Vec<FileView> {
        let files = self.0.files.lock().unwrap();
        files.iter().filter(|(owner, ..)| owner == use_case).map(|(_, view, _)| view.clone()).collect()
    }

    fn content(&self, _: &Name, id: FileId) -> Soon<Result<FileContent, DeskError>> {
        let files = self.0.files.lock().unwrap();
        let bytes = files.iter().find(|(_, view, _)| view.id == id).unwrap().2.clone();
        let (outlet, pieces) = mpsc::channel(8);
        for part in bytes.chunks(5) {
            outlet.try_send(Ok(Bytes::copy_from_slice(part))).unwrap();
        }
        ready(Ok(FileContent { bytes: bytes.len() as u64, pieces }))
    }

    fn delete_file(&self, _: &Name, id: FileId) -> Soon<Result<(), DeskError>> {
        self.0.files.lock().unwrap().retain(|(_, view, _)| view.id != id);
        ready(Ok(()))
    }

    fn base(&self, model: &str) -> Soon<Result<BaseView, DeskError>> {
        let class = match model {
            "handbook" => DataClass::Internal,
            "secrets" => DataClass::Restricted,
            _ => return ready(Err(DeskError::NoModel { message: "There is no such model.".into() })),
        };
        ready(Ok(BaseView { id: format!("{model}@1"), model: model.parse().unwrap(), class }))
    }

    fn create(&self, order: TuningOrder) -> Soon<Result<JobView, DeskError>> {
        if order.wish.n_epochs == Some(50) {
            return ready(Err(DeskError::Unpriced));
        }
        let job = self.0.add(order.use_case.as_str(), JobStatus::Queued);
        self.0.orders.lock().unwrap().push(order);
        ready(Ok(job))
    }

    fn jobs(&self, use_case: &Name) -> Vec<JobView> {
        self.0.jobs.lock().unwrap().iter().filter(|job| job.use_case == *use_case).cloned().collect()
    }

    fn events(&self, _: &Name, _: TuningJobId) -> Soon<Result<Vec<EventView>, DeskError>> {
        let event = |n: u64| EventView {
            id: format!("ftevent-{n}"),
            at: at(0),
            level: EventLevel::Info,
            message: format!("Step {n}"),
            metrics: (n > 1).then_some(Metrics {
                step: n,
                total_steps: 3,
                train_loss: 1.5,
                valid_loss: None,
            }),
        };
        ready(Ok((1..=3).map(event).collect()))
    }

    fn change(&self, _: &Name, id: TuningJobId, change: JobChange) -> Soon<Result<JobView, DeskError>> {
        let mut jobs = self.0.jobs.lock().unwrap();
        let job = jobs.iter_mut().find(|job| job.id == id).unwrap();
        if job.status.is_final() {
            return ready(Err(DeskError::Conflict { message: "The job has ended already.".into() }));
        }
        job.status = match change {
            JobChange::Cancel => JobStatus::Cancelled,
            JobChange::Pause => JobStatus::Paused,
            JobChange::Resume => JobStatus::Queued,
        };
        ready(Ok(job.clone()))
    }
}

async fn fixture(change: impl FnOnce(&mut Setup)) -> (Fixture, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    let mut setup = Setup { desk: Some(Arc::new(Shared(Arc::clone(&desk)))), ..Setup::new(Vec::new()) };
    change(&mut setup);
    (Fixture::with(setup).await, desk)
}

async fn send(fixture: &Fixture, method: &str, path: &str, body: &str) -> Answer {
    let mut client = RawClient::connect(fixture.addr).await;
    let bearer = format!("Bearer {}", fixture.key);
    client.request(method, path, &[("authorization", &bearer)], body).await;
    client.answer().await
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        let file = if *name == "file" { "; filename=\"chats.jsonl\"" } else { "" };
        text.push_str(&format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{value}\r\n"
        ));
    }
    text + "--edge--\r\n"
}

async fn upload(fixture: &Fixture, fields: &[(&str, &str)]) -> Answer {
    fixture.clock.advance_ms(1);
    let mut client = RawClient::connect(fixture.addr).await;
    let bearer = format!("Bearer {}", fixture.key);
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "multipart/form-data; boundary=edge")];
    client.request("POST", "/v1/files", &headers, form(fields)).await;
    client.answer().await
}

const PURPOSE: (&str, &str) = ("purpose", "fine-tune");

#[tokio::test]
async fn a_file_comes_in_is_listed_read_and_deleted() {
    let (fixture, _) = fixture(|_| {}).await;
    let first = upload(&fixture, &[PURPOSE, ("file", "one line\r\nand another")]).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let file = first.json();
    assert_eq!((&file["object"], &file["bytes"]), (&json!("file"), &json!(21)));
    assert_eq!((&file["purpose"], &file["status"]), (&json!("fine-tune"), &json!("processed")));
    assert_eq!(file["filename"], "chats.jsonl");
    // The file before the purpose, as one of the SDKs sends it.
    let second = upload(
        &fixture,
        &[
            ("file", "x"),
            PURPOSE,
            ("expires_after[anchor]", "created_at"),
            ("expires_after[seconds]", "3600"),
        ],
    )
    .await;
    assert_eq!(second.status, 200, "{}", second.text());
    let list = send(&fixture, "GET", "/v1/files?limit=1&order=asc&purpose=fine-tune", "").await.json();
    assert_eq!((&list["data"][0]["id"], &list["has_more"]), (&file["id"], &json!(true)));
    let path = format!("/v1/files/{}", file["id"].as_str().unwrap());
    assert_eq!(send(&fixture, "GET", &path, "").await.json(), file);
    let content = send(&fixture, "GET", &format!("{path}/content"), "").await;
    assert_eq!(
        (content.text().as_str(), content.header("content-length")),
        ("one line\r\nand another", Some("21"))
    );
    let deleted = send(&fixture, "DELETE", &path, "").await;
    assert_eq!(deleted.json(), json!({ "id": file["id"], "object": "file", "deleted": true }));
    let gone = send(&fixture, "GET", &path, "").await;
    assert_eq!((gone.status, code(&gone).as_str()), (404, "not_found"));
}

#[tokio::test]
async fn an_upload_that_is_none_says_what_is_wrong() {
    let (fixture, desk) = fixture(|_| {}).await;
    for (fields, status, expected) in [
        (vec![("purpose", "assistants"), ("file", "x")], 400, "unsupported"),
        (vec![("file", "x"), ("purpose", "batch")], 400, "unsupported"),
        (vec![("file", "x")], 400, "missing_field"),
        (vec![PURPOSE], 400, "missing_field"),
        (vec![PURPOSE, ("file", "x"), ("file", "y")], 400, "invalid_form"),
        (vec![PURPOSE, ("file", "x"), ("expires_after[seconds]", "60")], 400, "invalid_field"),
        (vec![PURPOSE, ("file", "wrong")], 400, "invalid_training_file"),
    ] {
        let answer = upload(&fixture, &fields).await;
        assert_eq!((answer.status, code(&answer).as_str()), (status, expected), "{fields:?}");
    }
    let plain = send(&fixture, "POST", "/v1/files", "{}").await;
    assert_eq!((plain.status, code(&plain).as_str()), (400, "invalid_form"));
    assert!(desk.files.lock().unwrap().is_empty());
}

#[tokio::test]
async fn i7_a_file_above_the_class_is_refused_with_its_place_and_a_way() {
    let (fixture, _) = fixture(|_| {}).await;
    let answer = upload(&fixture, &[PURPOSE, ("file", "class")]).await;
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["code"]), (403, &json!("policy_refused")));
    assert_eq!(error["findings"][0]["place"], "line 7");
    assert_eq!(error["rules"][0]["rule"], "use-case-class");
    assert_eq!(error["ways_forward"][0]["action"], "remove_values");
    let record = fixture.record().await;
    assert_eq!((record.outcome, record.code.as_deref()), (Outcome::Refused, Some("policy_refused")));
    assert_eq!(answer.header("x-pintle-request-id"), Some(record.id.to_string().as_str()));
}

fn wish() -> Value {
    json!({ "model": "handbook", "training_file": "file-0193a1b2c3d47e5f8a9b0c1d2e3f4a5b" })
}

#[tokio::test]
async fn a_job_is_ordered_shown_and_changed() {
    let (fixture, desk) = fixture(|_| {}).await;
    let mut body = wish();
    body["method"] = json!({ "type": "supervised", "supervised": { "hyperparameters": { "n_epochs": 2 } } });
    let answer = fixture.post("/v1/fine_tuning/jobs", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let job = answer.json();
    {
        let orders = desk.orders.lock().unwrap();
        let order = &orders[0];
        assert_eq!((order.wish.n_epochs, order.base.id.as_str()), (Some(2), "handbook@1"));
        assert_eq!((&order.use_case, order.accepts), (&use_case(), DataClass::Confidential));
        assert_eq!(answer.header("x-pintle-request-id"), Some(order.request.to_string().as_str()));
    }
    for (field, value) in [
        ("object", json!("fine_tuning.job")),
        ("status", json!("queued")),
        ("model", json!("handbook@1")),
        ("fine_tuned_model", Value::Null),
        ("error", Value::Null),
        ("hyperparameters", json!({ "n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.0 })),
        ("result_files", json!([])),
        ("organization_id", json!("Test")),
    ] {
        assert_eq!(job[field], value, "{field}");
    }
    assert_eq!((&job["pintle"]["held"], &job["pintle"]["cost"]), (&json!("0.001 EUR"), &Value::Null));
    let path = format!("/v1/fine_tuning/jobs/{}", job["id"].as_str().unwrap());
    assert_eq!(send(&fixture, "GET", &path, "").await.json()["id"], job["id"]);
    for (what, status) in [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")] {
        assert_eq!(send(&fixture, "POST", &format!("{path}/{what}"), "").await.json()["status"], status);
    }
    let again = send(&fixture, "POST", &format!("{path}/cancel"), "").await;
    assert_eq!((again.status, code(&again).as_str()), (409, "conflict"));
    assert_eq!(send(&fixture, "POST", &format!("{path}/explode"), "").await.status, 404);
    assert!(fixture.records().await.is_empty(), "the desk records a job at its end");
}

#[tokio::test]
async fn jobs_events_and_checkpoints_come_in_pages_newest_first() {
    let (fixture, desk) = fixture(|_| {}).await;
    let done = desk.add("replies", JobStatus::Succeeded);
    let queued = desk.add("replies", JobStatus::Queued);
    let list = send(&fixture, "GET", "/v1/fine_tuning/jobs?limit=1", "").await.json();
    assert_eq!((&list["data"][0]["id"], &list["has_more"]), (&json!(queued.id), &json!(true)));
    let next = send(&fixture, "GET", &format!("/v1/fine_tuning/jobs?after={}", queued.id), "").await.json();
    assert_eq!((&next["data"][0]["id"], &next["has_more"]), (&json!(done.id), &json!(false)));
    assert_eq!(next["data"][0]["pintle"]["cost"], "0.000002 EUR");
    let path = format!("/v1/fine_tuning/jobs/{}", done.id);
    let events = send(&fixture, "GET", &format!("{path}/events?limit=2"), "").await.json();
    assert_eq!((&events["data"][0]["message"], &events["has_more"]), (&json!("Step 3"), &json!(true)));
    assert_eq!(
        (&events["data"][0]["type"], &events["data"][0]["data"]["train_loss"]),
        (&json!("metrics"), &json!(1.5))
    );
    let checkpoints = send(&fixture, "GET", &format!("{path}/checkpoints"), "").await.json();
    let checkpoint = &checkpoints["data"][0];
    assert_eq!(
        (&checkpoint["step_number"], &checkpoint["metrics"]["full_valid_loss"]),
        (&json!(30), &json!(0.75))
    );
    assert_eq!(checkpoint["fine_tuned_model_checkpoint"], "handbook@2");
    let none =
        send(&fixture, "GET", &format!("/v1/fine_tuning/jobs/{}/checkpoints", queued.id), "").await.json();
    assert_eq!(none["data"], json!([]));
    for path in ["/v1/fine_tuning/jobs?limit=0", "/v1/fine_tuning/jobs?after=x", "/v1/files?order=up"] {
        assert_eq!(send(&fixture, "GET", path, "").await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn what_belongs_to_another_use_case_is_not_there() {
    let (fixture, desk) = fixture(|_| {}).await;
    let job = desk.add("others", JobStatus::Queued);
    let upload = Upload {
        use_case: "others".parse().unwrap(),
        accepts: DataClass::Internal,
        filename: "theirs.jsonl".into(),
    };
    let file = desk.keep(upload, b"x".to_vec()).unwrap();
    let (job, file) = (format!("/v1/fine_tuning/jobs/{}", job.id), format!("/v1/files/{}", file.id));
    for (method, path) in [
        ("GET", job.clone()),
        ("GET", format!("{job}/events")),
        ("GET", format!("{job}/checkpoints")),
        ("POST", format!("{job}/cancel")),
        ("GET", file.clone()),
        ("GET", format!("{file}/content")),
        ("DELETE", file),
        ("GET", "/v1/files/file-1".to_owned()),
    ] {
        let answer = send(&fixture, method, &path, "").await;
        assert_eq!((answer.status, code(&answer).as_str()), (404, "not_found"), "{method} {path}");
    }
    for path in ["/v1/files", "/v1/fine_tuning/jobs"] {
        assert_eq!(send(&fixture, "GET", path, "").await.json()["data"], json!([]), "{path}");
    }
    assert_eq!(desk.jobs.lock().unwrap()[0].status, JobStatus::Queued);
    assert_eq!(desk.files.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_comes_in_without_a_key() {
    let (mut fixture, _) = fixture(|_| {}).await;
    fixture.key = "pintle_nobody".into();
    let id = "/v1/fine_tuning/jobs/ftjob-0193a1b2c3d47e5f8a9b0c1d2e3f4a5b";
    for (method, path) in [
        ("GET", "/v1/files".to_owned()),
        ("POST", "/v1/files".to_owned()),
        ("GET", "/v1/files/x".to_owned()),
        ("DELETE", "/v1/files/x".to_owned()),
        ("GET", "/v1/files/x/content".to_owned()),
        ("GET", "/v1/fine_tuning/jobs".to_owned()),
        ("POST", "/v1/fine_tuning/jobs".to_owned()),
        ("GET", id.to_owned()),
        ("GET", format!("{id}/events")),
        ("POST", format!("{id}/cancel")),
    ] {
        assert_eq!(send(&fixture, method, &path, "").await.status, 401, "{method} {path}");
    }
    assert_eq!(send(&fixture, "PUT", "/v1/files", "").await.status, 405);
}

#[tokio::test]
async fn i7_a_job_that_may_not_be_is_refused_by_rule_and_recorded() {
    let (fixture, desk) = fixture(|_| {}).await;
    let refuse = async |change: Value| {
        let mut body = wish();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = fixture.post("/v1/fine_tuning/jobs", body).await;
        (
            answer.status,
            code(&answer),
            answer.json()["error"]["rules"][0]["rule"].as_str().unwrap_or("").to_owned(),
        )
    };
    let own = |code: &str, rule: &str| (403, code.to_owned(), rule.to_owned());
    assert_eq!(refuse(json!({ "model": "secrets" })).await, own("policy_refused", "own-model-class"));
    assert_eq!(refuse(json!({ "hyperparameters": { "n_epochs": 50 } })).await, own("unpriced", "unpriced"));
    assert_eq!(refuse(json!({ "model": "gpt-4o" })).await, (404, "model_not_found".into(), String::new()));
    assert_eq!(refuse(json!({ "typo": 1 })).await, (400, "unsupported".into(), String::new()));
    assert!(desk.orders.lock().unwrap().is_empty());
    let records = fixture.records().await;
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record.outcome == Outcome::Refused && record.entry.is_none()));
    assert_eq!(records[3].stopped_by[0].as_ref(), "own-model-class");
}

#[tokio::test]
async fn who_may_not_call_may_not_tune() {
    let (fixture, _) = fixture(|setup| setup.stage = Stage::Idea).await;
    let answer = upload(&fixture, &[PURPOSE, ("file", "x")]).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "stage_refused"));
    let answer = fixture.post("/v1/fine_tuning/jobs", wish()).await;
    assert_eq!((answer.status, code(&answer).as_str()), (403, "stage_refused"));
    assert_eq!(
        send(&fixture, "GET", "/v1/files", "").await.status,
        200,
        "what there is may be read and deleted"
    );
}
