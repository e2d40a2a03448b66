//! A gateway on a port of its own, with a register, a ledger and placements at scripted providers.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{Router, body::Body};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use pintle_core::{Amount, Clock, DataClass, ManualClock, Name, Pricing, Stage, Timestamp, Zone};
use pintle_db::Database;
use pintle_gateway::{
    Gateway, GatewayParts, Limits, Settings, Unpriced, router,
    tuning::{self, TuningDesk},
};
use pintle_guard::{Dictionary, Guard, GuardConfig};
use pintle_ledger::{Ledger, LedgerSettings, RequestFilter, RequestRecord, Scope};
use pintle_policy::{PolicyEngine, default_sources};
use pintle_registry::{Organisation, Placement, Provider, Registry, Timeouts, UseCaseDraft};
use pintle_testkit::{Answer, FakeUpstream, RawClient};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_service::Service;

/// A German IBAN whose check digits are right: confidential.
pub(crate) const IBAN: &str = "DE89370400440532013000";
/// A card number that passes Luhn: restricted.
pub(crate) const CARD: &str = "4111 1111 1111 1111";

/// How the fixture's gateway is set up.
pub(crate) struct Setup {
    pub(crate) placements: Vec<Arc<Placement>>,
    pub(crate) limits: Limits,
    pub(crate) data_class: DataClass,
    pub(crate) transformations: Vec<&'static str>,
    pub(crate) stage: Stage,
    pub(crate) objective: &'static str,
    /// Serves files and tuning jobs too.
    pub(crate) desk: Option<Arc<dyn TuningDesk>>,
}

impl Setup {
    pub(crate) fn new(placements: Vec<Arc<Placement>>) -> Self {
        Setup {
            placements,
            limits: limits(),
            data_class: DataClass::Confidential,
            transformations: Vec::new(),
            stage: Stage::Production,
            objective: "cost",
            desk: None,
        }
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        body_mib: 32,
        request_deadline_s: 30,
        concurrent_per_key: 1_000,
        concurrent_total: 2_000,
        max_output_tokens: 100,
        retries: 2,
        unpriced: Unpriced::Refuse,
    }
}

/// A placement in the public cloud, cleared for internal content.
pub(crate) fn cloud(name: &str, upstream: &FakeUpstream) -> Placement {
    Placement {
        name: name.parse().unwrap(),
        provider: openai(&upstream.base_url()),
        model: "fake-1".parse().unwrap(),
        zone: Zone::PublicCloud,
        region: "eu".into(),
        clearance: DataClass::Internal,
        pricing: Pricing::Priced(serde_json::from_value(json!({ "input": "1", "output": "2" })).unwrap()),
        timeouts: Timeouts { connect_ms: 1_000, first_byte_ms: 5_000, idle_ms: 5_000 },
        source: "pintle.toml:1".into(),
    }
}

/// A placement on premises, cleared for everything, dearer.
pub(crate) fn on_premises(name: &str, upstream: &FakeUpstream) -> Placement {
    Placement {
        zone: Zone::OnPremises,
        clearance: DataClass::Restricted,
        pricing: Pricing::Priced(serde_json::from_value(json!({ "input": "5", "output": "9" })).unwrap()),
        ..cloud(name, upstream)
    }
}

pub(crate) fn openai(base_url: &str) -> Provider {
    Provider::OpenAi { base_url: base_url.parse().unwrap(), api_key: None }
}

pub(crate) struct Fixture {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: ManualClock,
    pub(crate) key: String,
    pub(crate) addr: SocketAddr,
    pub(crate) organisation: Organisation,
    _folder: tempfile::TempDir,
}

pub(crate) fn use_case() -> Name {
    "replies".parse().unwrap()
}

fn draft(setup: &Setup) -> UseCaseDraft {
    serde_json::from_value(json!({
        "name": "replies", "title": "Replies", "cost_centre": "4100", "data_class": setup.data_class,
        "business_owner": { "name": "Jana Novak", "email": "jana@example.com" },
        "it_owner": { "name": "Tomas Berg", "email": "tomas@example.com" },
        "transformations": setup.transformations, "objective": setup.objective,
    }))
    .unwrap()
}

impl Fixture {
    pub(crate) async fn new(placements: Vec<Placement>) -> Self {
        Self::with(Setup::new(placements.into_iter().map(Arc::new).collect())).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path()).await.unwrap();
        let clock = ManualClock::new("2026-11-24T08:00:00Z".parse::<Timestamp>().unwrap());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let organisation = Organisation {
            name: "Test".into(),
            currency: "EUR".parse().unwrap(),
            time_zone: jiff::tz::TimeZone::UTC,
            is_demo: false,
        };
        let settings = LedgerSettings {
            currency: organisation.currency.clone(),
            time_zone: organisation.time_zone.clone(),
            organisation_budget: None,
        };
        let (ledger, _) =
            Ledger::open(database.clone(), folder.path(), settings, Arc::clone(&shared)).await.unwrap();
        let registry = Arc::new(Registry::open(database, Arc::clone(&shared)).await.unwrap());
        registry.create_use_case("test", draft(&setup), setup.stage, false).await.unwrap();
        let key = registry.create_key("test", &use_case(), "test", None).await.unwrap();
        let parts = GatewayParts { registry: Arc::clone(&registry), ledger: ledger.clone(), clock: shared };
        let gateway =
            Gateway::new(parts, gateway_settings(&organisation, setup.placements, setup.limits)).unwrap();
        let mut app = router(Arc::clone(&gateway));
        if let Some(desk) = setup.desk {
            app = app.merge(tuning::router(Arc::clone(&gateway), desk));
        }
        let addr = serve(app).await;
        Fixture {
            gateway,
            registry,
            ledger,
            clock,
            key: key.secret.to_string(),
            addr,
            organisation,
            _folder: folder,
        }
    }

    /// Sends a chat request and reads the whole answer.
    pub(crate) async fn chat(&self, body: Value) -> Answer {
        self.post("/v1/chat/completions", body).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        // Ids of one millisecond have no order among themselves.
        self.clock.advance_ms(1);
        let mut client = self.client().await;
        client.post_json(path, &self.key, &body).await;
        client.answer().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let mut client = self.client().await;
        let bearer = format!("Bearer {}", self.key);
        client.request("GET", path, &[("authorization", &bearer)], b"").await;
        client.answer().await
    }

    pub(crate) async fn client(&self) -> RawClient {
        RawClient::connect(self.addr).await
    }

    /// Sets the use case's monthly budget, as a decimal.
    pub(crate) async fn budget(&self, monthly: &str) {
        let limit: Amount = monthly.parse().unwrap();
        self.ledger.set_budget(Scope::UseCase(use_case()), Some(limit)).await.unwrap();
    }

    /// Posted and held, in nano-units.
    pub(crate) fn spent(&self) -> (i64, i64) {
        let states = self.ledger.budgets().unwrap();
        let state = states.iter().find(|state| state.scope == Scope::UseCase(use_case())).unwrap();
        (state.posted.nanos(), state.held.nanos())
    }

    /// Every record so far, newest first.
    pub(crate) async fn records(&self) -> Vec<RequestRecord> {
        self.ledger.flush().await.unwrap();
        let filter = RequestFilter { limit: 1_000, ..RequestFilter::default() };
        let mut records = Vec::new();
        for row in self.ledger.requests(&filter).await.unwrap() {
            records.push(self.ledger.request(row.id).await.unwrap().unwrap());
        }
        records
    }

    /// The only record there is.
    pub(crate) async fn record(&self) -> RequestRecord {
        let mut records = self.records().await;
        assert_eq!(records.len(), 1, "exactly one record");
        records.remove(0)
    }

    /// Waits until the number of records in the ledger is `count`: endings that no answer announces.
    pub(crate) async fn wait_for_records(&self, count: usize) -> Vec<RequestRecord> {
        tokio::time::timeout(pintle_testkit::PATIENCE, async {
            loop {
                let records = self.records().await;
                if records.len() >= count {
                    return records;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the records come")
    }
}

pub(crate) fn gateway_settings(
    organisation: &Organisation,
    placements: Vec<Arc<Placement>>,
    limits: Limits,
) -> Settings {
    let names =
        Dictionary::parse("code-names".parse().unwrap(), DataClass::Restricted, "Blue Falcon\n").unwrap();
    let guard = GuardConfig { dictionaries: vec![names], ..GuardConfig::default() };
    Settings {
        organisation: organisation.clone(),
        placements,
        models: HashMap::new(),
        policies: Arc::new(PolicyEngine::compile(&default_sources()).unwrap()),
        guard: Arc::new(Guard::new(&guard).unwrap()),
        limits,
    }
}

/// Serves as the binary does.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    let accept = async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let app = app.clone();
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut app = app.clone();
                async move { app.call(request.map(Body::new)).await }
            });
            tasks.spawn(async move {
                let mut builder = Builder::new(TokioExecutor::new());
                builder.http1().timer(TokioTimer::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the test's runtime ends this task")]
    tokio::spawn(accept);
    addr
}

/// A request with one user message.
pub(crate) fn ask(model: &str, content: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": content }] })
}

pub(crate) fn ask_streamed(model: &str, content: &str) -> Value {
    let mut body = ask(model, content);
    body["stream"] = true.into();
    body
}

/// The error's code.
pub(crate) fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn content(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

/// The texts of a stream's deltas, joined.
pub(crate) fn streamed_content(answer: &Answer) -> String {
    answer
        .sse_data()
        .iter()
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}
