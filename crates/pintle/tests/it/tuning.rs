//! Tuning through OpenAI's interface from outside: files, a job, its candidate version, its cost and energy in the ledger;
//! ended, stopped and killed on the way; and what is refused.

use std::time::{Duration, Instant};

use pintle_core::{Clock, EnergyMethod, RequestId, SystemClock};
use pintle_db::Database;
use pintle_ledger::{EntryState, Ledger, LedgerSettings, Outcome, RequestRecord};
use pintle_testkit::{Answer, RawClient};
use serde_json::{Value, json};

use crate::{
    model::{recipe, train},
    server::{Server, pintle, start},
    support::Sandbox,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// A second of processor time costs a thousandth.
const PRICED: &str = "[models]\ntraining_price_per_hour = \"3.60\"\nwatts_per_core = 10\n";

/// A server with a model `places` in production, and a use case with a key.
struct House {
    sandbox: Sandbox,
    server: Option<Server>,
    key: String,
}

impl House {
    async fn new(models: &str) -> Self {
        let sandbox = Sandbox::new();
        recipe(&sandbox, 20, 1);
        assert!(train(&sandbox, "data").wait().unwrap().success());
        sandbox.write(
            "pintle.toml",
            &format!(
                "[organisation]\nname = \"Own\"\ncurrency = \"EUR\"\ntime_zone = \"UTC\"\n{models}[[placement]]\n\
                 name = \"own\"\nprovider = \"embedded\"\nmodel = \"places\"\nzone = \"private_cloud\"\n\
                 region = \"here\"\nclearance = \"restricted\"\nprice = {{ input = \"1\", output = \"2\" }}\n"
            ),
        );
        let mut house = House { sandbox, server: None, key: String::new() };
        house.start().await;
        house.pintle(&[
            "model",
            "promote",
            "places@1",
            "--reason",
            "to begin with",
            "--by",
            "test",
            "--json",
        ]);
        house.key = house.use_case("replies", "production", "internal");
        house
    }

    async fn start(&mut self) {
        let (data, config) = (self.sandbox.path("data"), self.sandbox.path("pintle.toml"));
        self.server = Some(start(&data, &config).await);
    }

    fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }

    fn pintle(&self, args: &[&str]) -> Value {
        pintle(&self.sandbox.path("data"), args)
    }

    fn use_case(&self, name: &str, stage: &str, class: &str) -> String {
        let owners =
            ["--business-owner", "Jana <jana@example.com>", "--it-owner", "Tomas <tomas@example.com>"];
        let mut create = vec!["usecase", "create", name, "--title", name, "--cost-centre", "1", "--json"];
        create.extend(owners);
        create.extend(["--data-class", class, "--stage", stage]);
        self.pintle(&create);
        let made = self.pintle(&["key", "create", "--use-case", name, "--json"]);
        made["key"].as_str().unwrap().to_owned()
    }

    async fn send(&self, key: &str, method: &str, path: &str, kind: &str, body: impl AsRef<[u8]>) -> Answer {
        let addr = self.server.as_ref().unwrap().addr.parse().unwrap();
        let mut client = RawClient::connect(addr).await;
        let bearer = format!("Bearer {key}");
        client.request(method, path, &[("authorization", &bearer), ("content-type", kind)], body).await;
        client.answer().await
    }

    async fn get(&self, path: &str) -> Value {
        self.send(&self.key, "GET", path, "application/json", b"").await.json()
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(&self.key, "POST", path, "application/json", body.to_string()).await
    }

    async fn upload(&self, text: &str) -> Answer {
        let form = format!(
            "--edge\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--edge\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"chats.jsonl\"\r\n\r\n{text}\r\n--edge--\r\n"
        );
        self.send(&self.key, "POST", "/v1/files", "multipart/form-data; boundary=edge", form).await
    }

    async fn file(&self, text: &str) -> String {
        let answer = self.upload(text).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn order(&self, file: &str, change: Value) -> Answer {
        let mut body = json!({ "model": "own", "training_file": file, "seed": 5 });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        self.post("/v1/fine_tuning/jobs", &body).await
    }

    /// Makes a job that goes on for a while, and gives its path.
    async fn long_job(&self, file: &str) -> String {
        let answer =
            self.order(file, json!({ "hyperparameters": { "n_epochs": 50, "batch_size": 1 } })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        format!("/v1/fine_tuning/jobs/{}", answer.json()["id"].as_str().unwrap())
    }

    /// Asks until the job is as wanted.
    async fn until(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let job = self.get(path).await;
            if is(&job) {
                return job;
            }
            let has_failed = job["status"] == "failed";
            assert!(!has_failed && begun.elapsed() < PATIENCE, "{job:#}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    async fn until_step(&self, path: &str, step: u64) {
        self.until(&format!("{path}/events?limit=1"), |events| {
            events["data"][0]["data"]["step"].as_u64().is_some_and(|at| at >= step)
        })
        .await;
    }

    /// The record of a job, once the server is gone.
    async fn record(&mut self, job: &Value) -> RequestRecord {
        if self.server.is_some() {
            self.kill();
        }
        let data = self.sandbox.path("data");
        let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock);
        let settings = LedgerSettings {
            currency: "EUR".parse().unwrap(),
            time_zone: jiff::tz::TimeZone::UTC,
            organisation_budget: None,
        };
        let database = Database::open(&data).await.unwrap();
        let (ledger, _) = Ledger::open(database.clone(), &data, settings, clock).await.unwrap();
        let id: RequestId = job["pintle"]["request_id"].as_str().unwrap().parse().unwrap();
        let record = ledger.request(id).await.unwrap().expect("the job has a record");
        database.close().await;
        record
    }

    fn version_file(&self, version: u32, name: &str) -> Vec<u8> {
        std::fs::read(self.sandbox.path(&format!("data/models/places/{version}/{name}"))).unwrap()
    }

    /// Held and posted of the use case, in nano-units.
    fn budget(&self) -> (i64, i64) {
        let rows = self.pintle(&["budget", "show", "--json"]);
        let row = rows.as_array().unwrap().iter().find(|row| row["scope"] == "use_case:replies").unwrap();
        (row["held"]["nanos"].as_i64().unwrap(), row["posted"]["nanos"].as_i64().unwrap())
    }
}

fn chat(question: &str, answer: &str) -> String {
    let turn = |role: &str, content: &str| json!({ "role": role, "content": content });
    json!({ "messages": [turn("user", question), turn("assistant", answer)] }).to_string() + "\n"
}

fn chats(count: usize) -> String {
    (0..count)
        .map(|n| chat(&format!("Which shelf holds box {n}?"), &format!("Shelf {}.", n * 7 % 40)))
        .collect()
}

fn is_over(job: &Value) -> bool {
    ["succeeded", "failed", "cancelled"].contains(&job["status"].as_str().unwrap_or_default())
}

fn kinds(events: &Value) -> Vec<&str> {
    events["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_goes_from_files_to_a_candidate_and_its_cost_and_energy_to_the_ledger() {
    let mut house = House::new(PRICED).await;
    let (training, validation) = (house.file(&chats(24)).await, house.file(&chats(4)).await);
    let wish = json!({ "validation_file": validation, "hyperparameters": { "n_epochs": 2 }, "metadata": { "a": "b" } });
    let answer = house.order(&training, wish).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let path = format!("/v1/fine_tuning/jobs/{}", answer.json()["id"].as_str().unwrap());
    let busy = house.send(&house.key, "DELETE", &format!("/v1/files/{training}"), "text/plain", b"").await;
    assert_eq!(busy.status, 409, "a file that is learnt from stays: {}", busy.text());
    let job = house.until(&path, is_over).await;
    assert_eq!(
        (&job["status"], &job["fine_tuned_model"]),
        (&json!("succeeded"), &json!("places@2")),
        "{job:#}"
    );
    assert_eq!((&job["metadata"]["a"], &job["pintle"]["class"]), (&json!("b"), &json!("internal")));
    assert!(job["trained_tokens"].as_u64().unwrap() > 500, "{job:#}");

    let manifest = house.pintle(&["model", "show", "places@2", "--json"]);
    assert_eq!((&manifest["base"], &manifest["class"]), (&json!("places@1"), &json!("internal")));
    assert_eq!(manifest["trained_tokens"], job["trained_tokens"]);
    assert_eq!(manifest["energy"]["method"], job["pintle"]["energy"]["method"]);
    assert!(
        manifest["data_sha256"]["training"].is_string() && manifest["data_sha256"]["validation"].is_string()
    );
    let listed = house.pintle(&["model", "list", "--json"]);
    assert_eq!((&listed[0]["state"], &listed[1]["state"]), (&json!("production"), &json!("candidate")));

    let events = house.get(&format!("{path}/events?limit=100")).await;
    assert!(kinds(&events).contains(&"metrics") && kinds(&events).contains(&"message"));
    let looks = events["data"].as_array().unwrap().iter().filter(|it| it["data"]["valid_loss"].is_number());
    assert_eq!(looks.count(), 2, "one after each epoch: {events:#}");
    let checkpoints = house.get(&format!("{path}/checkpoints")).await;
    assert_eq!(checkpoints["data"][0]["fine_tuned_model_checkpoint"], "places@2");
    let results = job["result_files"][0].as_str().unwrap();
    let csv = house.send(&house.key, "GET", &format!("/v1/files/{results}/content"), "text/plain", b"").await;
    assert!(csv.text().starts_with("step,train_loss,learning_rate,valid_loss\n1,"), "{}", csv.text());
    assert_eq!(csv.body, house.version_file(2, "metrics.csv"));

    let others = house.use_case("others", "production", "internal");
    for path in [path.clone(), format!("/v1/files/{training}"), format!("/v1/files/{results}/content")] {
        assert_eq!(house.send(&others, "GET", &path, "text/plain", b"").await.status, 404, "{path}");
    }
    let deleted = house.send(&house.key, "DELETE", &format!("/v1/files/{training}"), "text/plain", b"").await;
    assert_eq!(deleted.json()["deleted"], true);
    assert!(!house.sandbox.path(&format!("data/tuning/files/{training}")).exists(), "what it held is gone");

    let (held, posted) = house.budget();
    let record = house.record(&job).await;
    let entry = record.entry.unwrap();
    assert_eq!((record.outcome, entry.state), (Outcome::Answered, EntryState::Posted));
    let cost = entry.cost.unwrap();
    assert_eq!((held, posted), (0, cost.nanos()));
    assert_eq!(job["pintle"]["cost"], format!("{cost} EUR"));
    let milliseconds = job["pintle"]["processor_ms"].as_i64().unwrap();
    assert!((cost.nanos() / 1_000 - milliseconds).abs() <= 1, "{cost} for {milliseconds} ms");
    assert!(cost < entry.hold, "what was held is the most");
    assert_eq!(record.placement.unwrap().as_str(), "fine-tuning");
    assert_eq!(record.zone.unwrap().as_str(), "private_cloud", "where the placement of the model is");
    let energy = entry.energy.unwrap();
    if energy.method == EnergyMethod::Estimated {
        let expected = milliseconds.unsigned_abs() * 10 / 3_600;
        assert!(energy.milliwatt_hours.abs_diff(expected) <= 1, "{energy} for {milliseconds} ms");
    }
    assert_eq!(entry.usage.input, job["trained_tokens"].as_u64().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_server_killed_in_the_middle_of_a_job_ends_it_with_the_same_version_and_one_entry() {
    let mut house = House::new(PRICED).await;
    let file = house.file(&chats(40)).await;
    let wish =
        json!({ "hyperparameters": { "n_epochs": 20, "batch_size": 2 }, "pintle": { "tuning": "full" } });
    let path = {
        let answer = house.order(&file, wish.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        format!("/v1/fine_tuning/jobs/{}", answer.json()["id"].as_str().unwrap())
    };
    for step in [40, 150] {
        house.until_step(&path, step).await;
        house.kill();
        house.start().await;
        let (held, posted) = house.budget();
        assert!(held > 0 && posted == 0, "what it can cost is held again, and nothing is posted yet");
    }
    let killed = house.until(&path, is_over).await;
    assert_eq!(killed["status"], "succeeded", "{killed:#}");
    let answer = house.order(&file, wish).await.json();
    let path = format!("/v1/fine_tuning/jobs/{}", answer["id"].as_str().unwrap());
    let whole = house.until(&path, is_over).await;
    assert_eq!(
        (&killed["fine_tuned_model"], &whole["fine_tuned_model"]),
        (&json!("places@2"), &json!("places@3"))
    );
    for file in ["model.safetensors", "metrics.csv"] {
        assert!(house.version_file(2, file) == house.version_file(3, file), "{file}");
    }
    let steps = |events: &Value| -> Vec<u64> {
        let events = events["data"].as_array().unwrap();
        events.iter().filter_map(|event| event["data"]["step"].as_u64()).collect()
    };
    let told = steps(
        &house
            .get(&format!("/v1/fine_tuning/jobs/{}/events?limit=1000", killed["id"].as_str().unwrap()))
            .await,
    );
    assert!(told.windows(2).all(|pair| pair[0] > pair[1]), "no step is told twice: {told:?}");
    let (held, posted) = house.budget();
    let cost = |record: RequestRecord| record.entry.unwrap().cost.unwrap().nanos();
    let sum = cost(house.record(&killed).await) + cost(house.record(&whole).await);
    assert_eq!((held, posted), (0, sum), "each job is posted once");
}

/// The training process of this house.
fn worker(house: &House) -> Option<rustix::process::Pid> {
    let folder = house.sandbox.path("data").display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pid = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.contains("tune-worker") && line.contains(&folder)
    });
    pid.and_then(rustix::process::Pid::from_raw)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_process_that_dies_takes_neither_the_server_nor_the_job_along() {
    let house = House::new(PRICED).await;
    let file = house.file(&chats(40)).await;
    let wish = json!({ "hyperparameters": { "n_epochs": 20, "batch_size": 2 } });
    let job = house.order(&file, wish).await.json();
    let path = format!("/v1/fine_tuning/jobs/{}", job["id"].as_str().unwrap());
    house.until_step(&path, 20).await;
    let pid = worker(&house).expect("it runs");
    assert_eq!(rustix::process::getpriority_process(Some(pid)).unwrap(), 19, "serving goes first");
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap();
    assert!(environment.is_empty(), "it is told no secrets");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let job = house.until(&path, is_over).await;
    assert_eq!(
        (&job["status"], &job["fine_tuned_model"]),
        (&json!("succeeded"), &json!("places@2")),
        "{job:#}"
    );
    let events = house.get(&format!("{path}/events?limit=1000")).await;
    let is_told =
        |event: &Value| event["level"] == "warn" && event["message"].as_str().unwrap().contains("signal: 9");
    assert!(events["data"].as_array().unwrap().iter().any(is_told), "{events:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_cancelled_paused_and_gone_on_with() {
    let mut house = House::new(PRICED).await;
    let file = house.file(&chats(40)).await;
    let (first, second) = (house.long_job(&file).await, house.long_job(&file).await);
    assert_eq!(house.get(&second).await["status"], "queued", "one at a time");
    house.until_step(&first, 5).await;
    let begun = Instant::now();
    let ended = house.post(&format!("{first}/cancel"), &json!({})).await.json();
    assert_eq!(ended["status"], "cancelled", "{ended:#}");
    assert!(begun.elapsed() < Duration::from_secs(3), "it took {:?}", begun.elapsed());
    assert!(ended["fine_tuned_model"].is_null() && ended["pintle"]["processor_ms"].as_u64().unwrap() > 0);

    house.until_step(&second, 5).await;
    let third = house.long_job(&file).await;
    let never = house.post(&format!("{third}/cancel"), &json!({})).await.json();
    assert_eq!((&never["status"], &never["pintle"]["processor_ms"]), (&json!("cancelled"), &json!(0)));
    let paused = house.post(&format!("{second}/pause"), &json!({})).await.json();
    assert_eq!(paused["status"], "paused", "{paused:#}");
    let at = house.get(&format!("{second}/events?limit=3")).await;
    let at = at["data"].as_array().unwrap().iter().find_map(|event| event["data"]["step"].as_u64()).unwrap();
    let resumed = house.post(&format!("{second}/resume"), &json!({})).await.json();
    // It is the next one, so it may be on its way already.
    assert!(
        ["queued", "validating_files", "running"].contains(&resumed["status"].as_str().unwrap()),
        "{resumed:#}"
    );
    house.until_step(&second, at + 5).await;
    assert_eq!(house.post(&format!("{second}/cancel"), &json!({})).await.json()["status"], "cancelled");
    assert_eq!(house.post(&format!("{second}/resume"), &json!({})).await.status, 409);

    let (held, posted) = house.budget();
    let (ended, never) = (house.record(&ended).await, house.record(&never).await);
    assert_eq!(ended.outcome, Outcome::Cancelled);
    let cost = ended.entry.unwrap().cost.unwrap().nanos();
    assert!(cost > 0 && posted > cost, "what was computed is paid: {cost} of {posted}");
    assert_eq!(held, 0);
    assert!(never.entry.is_none(), "of what never began nothing is");
    assert!(!house.sandbox.path("data/models/places/2").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_tuned_is_refused_with_a_reason() {
    let house = House::new(PRICED).await;
    let says = async |answer: Answer, status: u16, code: &str, text: &str| {
        let error = &answer.json()["error"];
        assert_eq!((answer.status, error["code"].as_str().unwrap()), (status, code), "{}", answer.text());
        assert!(error["message"].as_str().unwrap().contains(text), "{}", answer.text());
    };
    let two = chats(2);
    says(house.upload("").await, 400, "invalid_training_file", "no conversations").await;
    says(house.upload(&format!("{two}{{}}\n")).await, 400, "invalid_training_file", "Line 3").await;
    let wizard = two.replacen("\"user\"", "\"wizard\"", 1);
    says(house.upload(&wizard).await, 400, "invalid_training_file", "`wizard`").await;
    let iban = chat("Pay DE89370400440532013000", "Done.");
    let refused = house.upload(&format!("{two}{iban}")).await;
    assert!(!refused.text().contains("DE8937"), "a value is never repeated");
    says(refused, 403, "policy_refused", "line 3").await;
    let folder = house.sandbox.path("data/tuning/files");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "nothing is kept of what was refused");

    let file = house.file(&two).await;
    says(house.order(&file, json!({ "model": "gpt-4o" })).await, 404, "model_not_found", "`gpt-4o`").await;
    let nowhere = json!({ "training_file": "file-0193a1b2c3d47e5f8a9b0c1d2e3f4a5b" });
    says(house.order(&file, nowhere).await, 400, "invalid_file", "training_file").await;
    says(
        house.order(&file, json!({ "validation_file": file })).await,
        400,
        "invalid_field",
        "validation_file",
    )
    .await;
    house.pintle(&["budget", "set", "use_case:replies", "0.01", "--json"]);
    let poor = house.order(&file, json!({})).await;
    assert_eq!(poor.json()["error"]["type"], "insufficient_quota");
    says(poor, 429, "budget_exceeded", "fewer epochs").await;
    house.pintle(&["budget", "set", "use_case:replies", "100", "--json"]);

    // Longer than the model reads: only the base's tokeniser knows.
    let long = house.file(&(two + &chat("Say it all.", &"many different words, ".repeat(200)))).await;
    let job = house.order(&long, json!({})).await.json();
    let path = format!("/v1/fine_tuning/jobs/{}", job["id"].as_str().unwrap());
    let begun = Instant::now();
    let failed = loop {
        let job = house.get(&path).await;
        if job["status"] == "failed" {
            break job;
        }
        assert!(begun.elapsed() < PATIENCE, "{job:#}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    let error = &failed["error"];
    assert_eq!((&error["code"], &error["param"]), (&json!("invalid_training_file"), &json!("training_file")));
    assert!(error["message"].as_str().unwrap().contains("line 3"), "{error}");
    assert_eq!(house.budget().0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_without_a_price_nothing_is_tuned_unless_unpriced_work_is_let_through() {
    let house = House::new("").await;
    let file = house.file(&chats(3)).await;
    let refused = house.order(&file, json!({})).await;
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (403, &json!("unpriced")),
        "{}",
        refused.text()
    );
    let mut house = House::new("[limits]\nunpriced = \"flag\"\n").await;
    let file = house.file(&chats(3)).await;
    let answer = house.order(&file, json!({ "suffix": "Box Room" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let path = format!("/v1/fine_tuning/jobs/{}", answer.json()["id"].as_str().unwrap());
    let job = house.until(&path, is_over).await;
    assert_eq!(
        (&job["pintle"]["cost"], &job["fine_tuned_model"]),
        (&json!("unpriced"), &json!("places-box-room@1"))
    );
    let failures = house.pintle(&["model", "show", "places-box-room@1", "--json"])["gate_failures"].clone();
    assert!(failures.to_string().contains("kept out of training"), "{failures}");
    assert_eq!(house.record(&job).await.entry.unwrap().cost, None, "unpriced is no zero");
}
