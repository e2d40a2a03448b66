//! A console over a seeded register and ledger, a clock that stands still, and a process that answers
//! from a script.

use std::sync::Arc;

use axum::{Router, body::Body};
use bytes::Bytes;
use http::Response;
use jiff::tz::TimeZone;
use pintle_console::{
    Answer, ConsoleParts, ModelView, OwnModels, PlacementView, Process, ProcessView, RuleView, router,
};
use pintle_core::{DataClass, ManualClock, Name, PriceCard, Pricing, Secret, Zone};
use pintle_db::Database;
use pintle_ledger::{Ledger, LedgerSettings, Scope};
use pintle_registry::{Organisation, Placement, Provider, Registry, Sessions, Timeouts, seed_demo};

use crate::{client::TOKEN, models_seed, seed};

pub(crate) struct Fixture {
    pub(crate) router: Router,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ledger: Ledger,
    pub(crate) sessions: Sessions,
    pub(crate) clock: ManualClock,
    pub(crate) models: Arc<models_seed::Models>,
    /// A signed-in browser's cookie.
    pub(crate) session: String,
    _folder: tempfile::TempDir,
}

pub(crate) const NOW: &str = "2026-11-24T13:30:00Z";

fn prices(input: &str, output: &str) -> PriceCard {
    PriceCard {
        input: input.parse().unwrap(),
        output: output.parse().unwrap(),
        cached_input: None,
        cache_write: None,
    }
}

pub(crate) fn placements() -> Vec<PlacementView> {
    let make = |name: &str, model: &str, zone, region: &str, clearance, pricing, line| Placement {
        name: name.parse().unwrap(),
        provider: if model == "handbook" { Provider::Embedded } else { Provider::Simulated },
        model: model.parse().unwrap(),
        zone,
        region: region.into(),
        clearance,
        pricing,
        timeouts: Timeouts { connect_ms: 1, first_byte_ms: 1, idle_ms: 1 },
        source: format!("pintle.toml:{line}"),
    };
    let priced = |input, output| Pricing::Priced(prices(input, output));
    let (public, home) = (Zone::PublicCloud, Zone::OnPremises);
    let (internal, all) = (DataClass::Internal, DataClass::Restricted);
    [
        (
            make("cloud-mini", "sim-mini", public, "eu", internal, priced("0.15", "0.60"), 12),
            "€0.15 in, €0.60 out",
        ),
        (
            make("cloud-large", "sim-large", public, "eu", DataClass::Confidential, priced("2.50", "10"), 22),
            "€2.50 in, €10.00 out",
        ),
        (
            make("onprem-assistant", "sim-assistant", home, "Hamburg", all, priced("0.40", "1.20"), 32),
            "€0.40 in, €1.20 out",
        ),
        (
            make("onprem-handbook", "handbook", home, "Hamburg", DataClass::Internal, priced("0", "0"), 37),
            "€0.00 in, €0.00 out",
        ),
        (make("cloud-new", "sim-new", public, "us", internal, Pricing::Unpriced, 42), "unpriced"),
    ]
    .into_iter()
    .map(|(placement, price)| PlacementView {
        health: if placement.name.as_str() == "cloud-large" { "cooling down" } else { "healthy" }.into(),
        placement: Arc::new(placement),
        price: price.into(),
    })
    .collect()
}

fn rules() -> Vec<RuleView> {
    let rule = |id: &str, title: &str, effect: &str, guidance: Option<&str>, source: &str| RuleView {
        id: id.into(),
        title: Some(title.into()),
        effect: effect.into(),
        guidance: guidance.map(str::to_owned),
        owner: guidance.map(|_| "IT Security".to_owned()),
        source: source.into(),
    };
    vec![
        rule(
            "restricted-on-premises",
            "Restricted content stays on premises",
            "forbid",
            Some("Use a model on premises, or remove that part and send it again."),
            "content.cedar:34",
        ),
        rule(
            "use-case-class",
            "A use case handles only the content it was approved for",
            "forbid",
            Some(
                "Remove the sensitive parts and send it again, or ask its owners to have a higher class approved.",
            ),
            "content.cedar:45",
        ),
        rule(
            "clearance",
            "Content stays within a placement's clearance",
            "forbid",
            Some("Use a model with a higher clearance, or take the sensitive parts out and send it again."),
            "content.cedar:4",
        ),
        rule("base-send", "Content may be sent to a placement", "permit", None, "permits.cedar:12"),
    ]
}

/// Answers from a script: refuses private keys, streams when asked to.
pub(crate) struct Script {
    clock: ManualClock,
    config_error: Option<String>,
    models: Option<Arc<models_seed::Models>>,
}

impl Process for Script {
    fn view(&self) -> ProcessView {
        use pintle_core::Clock;
        ProcessView {
            organisation: Organisation {
                name: "Nordwind Logistics (sample)".into(),
                currency: "EUR".parse().unwrap(),
                time_zone: TimeZone::get("Europe/Berlin").unwrap(),
                is_demo: true,
            },
            version: "0.1.0".into(),
            started_at: self.clock.now(),
            listen: "127.0.0.1:7411".into(),
            data: "pintle-data".into(),
            policy_version: "p-4f1c".into(),
            rules: rules(),
            placements: placements(),
            config_source: "pintle.toml".into(),
            loaded_at: self.clock.now(),
            last_config_error: self.config_error.clone(),
        }
    }

    fn try_it(&self, person: &str, use_case: &Name, body: Bytes) -> Answer {
        assert_eq!((person, use_case.as_str()), ("administrator", "customer-replies"));
        let text = String::from_utf8(body.to_vec()).unwrap();
        let response = Response::builder()
            .header("x-pintle-request-id", seed::id(seed::ANSWERED).to_string())
            .header("x-pintle-placement", "cloud-mini")
            .header("x-internal", "stays inside");
        let response = if text.contains("PRIVATE KEY") {
            response.status(403).header("content-type", "application/json").body(Body::from(REFUSAL))
        } else if text.contains(r#""stream":true"#) {
            response.header("content-type", "text/event-stream").body(Body::from(STREAM))
        } else {
            response.header("content-type", "application/json").body(Body::from(WHOLE))
        };
        Box::pin(async move { response.unwrap() })
    }

    fn own_models(&self) -> Option<Arc<dyn OwnModels>> {
        self.models.clone().map(|models| models as Arc<dyn OwnModels>)
    }
}

const STREAM: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"Your parcel \"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"arrives <today>.\"}}]}\n\n",
    "data: [DONE]\n\n"
);
const WHOLE: &str =
    r#"{"choices":[{"message":{"role":"assistant","content":"Your parcel arrives <today>."}}]}"#;
const REFUSAL: &str = r#"{"error":{"message":"Not sent. `messages[0].content` contains one private key (class: restricted). Ref 8F2C1A9B.",
 "type":"permission_error","param":null,"code":"policy_refused","class":"restricted",
 "findings":[{"type":"private_key","place":"messages[0].content","class":"restricted","count":1}],
 "rules":[{"rule":"use-case-class","title":"A use case handles only the content it was approved for","guidance":"Remove the sensitive parts and send it again.","owner":"the owners of the use case"}],
 "ways_forward":[{"action":"remove_values","description":"take the values out and send it again"},
  {"action":"ask","description":"ask Jana Novak (business owner) at jana.novak@nordwind.example.com","contact":"jana.novak@nordwind.example.com"}],
 "request_id":"req_00000000000070008000000000000001","reference":"8F2C1A9B"}}"#;

/// A console whose register and ledger hold nothing.
pub(crate) async fn empty() -> Fixture {
    make(None, Vec::new(), |_| {}).await
}

/// A console over the sample organisation, with three weeks of requests.
pub(crate) async fn seeded() -> Fixture {
    let it = make(None, models_seed::models(), |_| {}).await;
    let budgets = seed_demo(&it.registry).await.unwrap();
    for (name, monthly) in budgets {
        it.ledger.set_budget(Scope::UseCase(name), Some(monthly.parse().unwrap())).await.unwrap();
    }
    seed::fill(&it).await;
    it
}

/// A console whose newest configuration was not taken.
pub(crate) async fn with_config_error() -> Fixture {
    make(Some("pintle.toml:14: unknown field `clearence`"), Vec::new(), |_| {}).await
}

async fn make(
    config_error: Option<&str>,
    models: Vec<ModelView>,
    change: impl FnOnce(&mut ConsoleParts),
) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let clock = ManualClock::new(NOW.parse().unwrap());
    let registry = Arc::new(Registry::open(database.clone(), Arc::new(clock.clone())).await.unwrap());
    let settings = LedgerSettings {
        currency: "EUR".parse().unwrap(),
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        organisation_budget: Some(("2000".parse().unwrap(), "pintle.toml:6".into())),
    };
    let (ledger, _) =
        Ledger::open(database.clone(), folder.path(), settings, Arc::new(clock.clone())).await.unwrap();
    let sessions = Sessions::new(database, Arc::new(clock.clone()));
    let link = sessions.new_setup_link().await.unwrap();
    let session = sessions.follow_setup_link(&link).await.unwrap().unwrap().to_string();
    let models = models_seed::Models::new(models);
    let mut parts = ConsoleParts {
        registry: Arc::clone(&registry),
        ledger: ledger.clone(),
        sessions: sessions.clone(),
        process: Arc::new(Script {
            clock: clock.clone(),
            config_error: config_error.map(str::to_owned),
            models: Some(Arc::clone(&models)),
        }),
        clock: Arc::new(clock.clone()),
        admin_token: Secret::new(TOKEN),
        public_url: "http://127.0.0.1:7411".into(),
    };
    change(&mut parts);
    Fixture { router: router(parts), registry, ledger, sessions, clock, models, session, _folder: folder }
}

/// A console whose admin token is empty.
pub(crate) async fn without_token() -> Fixture {
    make(None, Vec::new(), |parts| parts.admin_token = Secret::new("")).await
}

/// A console of a process that keeps no own models.
pub(crate) async fn without_models() -> Fixture {
    make(None, Vec::new(), |parts| {
        let clock = ManualClock::new(NOW.parse().unwrap());
        parts.process = Arc::new(Script { clock, config_error: None, models: None });
    })
    .await
}
