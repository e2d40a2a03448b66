//! Use cases, keys, bans and sessions: what is changed acts at once and is there after a restart.

use std::sync::Arc;

use pintle_core::{DataClass, ManualClock, Name, PriceCard, Pricing, Stage, Timestamp, Zone};
use pintle_db::Database;
use pintle_registry::{
    KeyState, NewBan, Placement, PresentedKey, Provider, Registry, RegistryError, Sessions, Timeouts,
    UseCaseDraft, claim, seed_demo,
};

struct Fixture {
    registry: Registry,
    database: Database,
    clock: ManualClock,
    folder: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let clock = ManualClock::new("2026-11-24T08:00:00Z".parse().unwrap());
    let registry = Registry::open(database.clone(), Arc::new(clock.clone())).await.unwrap();
    Fixture { registry, database, clock, folder }
}

fn draft(name: &str) -> UseCaseDraft {
    serde_json::from_value(serde_json::json!({
        "name": name, "title": "Replies", "cost_centre": "4100", "data_class": "confidential",
        "business_owner": { "name": "Jana", "email": "jana@example.com" },
        "it_owner": { "name": "Tomas", "email": "tomas@example.com" },
        "transformations": ["pseudonymise"],
    }))
    .unwrap()
}

fn placement(name: &str) -> Placement {
    Placement {
        name: name.parse().unwrap(),
        provider: Provider::Simulated,
        model: "m-1".parse().unwrap(),
        zone: Zone::PublicCloud,
        region: "eu".into(),
        clearance: DataClass::Internal,
        pricing: Pricing::Priced(PriceCard {
            input: "1".parse().unwrap(),
            output: "2".parse().unwrap(),
            cached_input: None,
            cache_write: None,
        }),
        timeouts: Timeouts { connect_ms: 1, first_byte_ms: 1, idle_ms: 1 },
        source: "pintle.toml:1".into(),
    }
}

fn in_hours(clock: &ManualClock, hours: i64) -> Timestamp {
    use pintle_core::Clock;
    Timestamp::from_millisecond(clock.now().as_millisecond() + hours * 3_600_000).unwrap()
}

#[tokio::test]
async fn what_is_written_is_there_after_a_restart() {
    let it = fixture().await;
    it.registry.create_use_case("cli", draft("replies"), Stage::Pilot, false).await.unwrap();
    let name: Name = "replies".parse().unwrap();
    let made = it.registry.create_key("cli", &name, "laptop", None).await.unwrap();
    it.registry.set_stage("cli", &name, Stage::Production).await.unwrap();
    it.database.close().await;
    drop((it.registry, it.database));

    let database = Database::open(it.folder.path()).await.unwrap();
    let registry = Registry::open(database, Arc::new(it.clock)).await.unwrap();
    let snapshot = registry.snapshot();
    let use_case = snapshot.use_case(&name).unwrap();
    assert_eq!((use_case.stage, use_case.version), (Stage::Production, 2));
    assert_eq!(use_case.draft, draft("replies"));
    assert_eq!(snapshot.key(&PresentedKey::hash(&made.secret)).unwrap().id, made.key.id);
    assert!(snapshot.key(&PresentedKey::hash("pintle_wrong")).is_none());
    let acts: Vec<_> = registry.acts(None, 10).await.unwrap().into_iter().map(|act| act.action).collect();
    assert_eq!(acts, ["use_case.stage", "key.create", "use_case.create"]);
}

#[tokio::test]
async fn a_draft_with_one_owner_for_both_sides_is_refused() {
    let it = fixture().await;
    let mut same = draft("replies");
    same.it_owner = same.business_owner.clone();
    let error = it.registry.create_use_case("cli", same, Stage::Idea, false).await.unwrap_err();
    assert!(matches!(error, RegistryError::Invalid { field: "it_owner", .. }), "{error}");
    it.registry.create_use_case("cli", draft("replies"), Stage::Idea, false).await.unwrap();
    let again = it.registry.create_use_case("cli", draft("replies"), Stage::Idea, false).await.unwrap_err();
    assert!(matches!(again, RegistryError::Taken(_)), "{again}");
}

#[tokio::test]
async fn a_rotated_key_overlaps_and_a_revoked_one_stops_at_once() {
    let it = fixture().await;
    it.registry.create_use_case("cli", draft("replies"), Stage::Production, false).await.unwrap();
    let name: Name = "replies".parse().unwrap();
    let old = it.registry.create_key("cli", &name, "", None).await.unwrap();
    let new = it.registry.rotate_key("cli", old.key.id, in_hours(&it.clock, 24)).await.unwrap();
    let state = |secret: &str| {
        use pintle_core::Clock;
        it.registry.snapshot().key(&PresentedKey::hash(secret)).unwrap().state(it.clock.now())
    };
    assert_eq!((state(&old.secret), state(&new.secret)), (KeyState::Active, KeyState::Active));
    it.clock.advance_ms(24 * 3_600_000);
    assert_eq!((state(&old.secret), state(&new.secret)), (KeyState::Expired, KeyState::Active));
    it.registry.revoke_key("cli", new.key.id).await.unwrap();
    assert_eq!(state(&new.secret), KeyState::Revoked);
    assert!(it.registry.rotate_key("cli", new.key.id, in_hours(&it.clock, 1)).await.is_err());
}

#[tokio::test]
async fn a_ban_acts_at_once_spares_exceptions_and_ends_by_itself() {
    use pintle_core::Clock;
    let it = fixture().await;
    for name in ["replies", "spared"] {
        it.registry.create_use_case("cli", draft(name), Stage::Production, false).await.unwrap();
    }
    let new = NewBan {
        target: "model:m-1".parse().unwrap(),
        use_case: None,
        reason: "The provider reported a breach.".into(),
        owner: "IT Security".into(),
        starts_at: None,
        ends_at: in_hours(&it.clock, 1),
        exceptions: ["spared".parse().unwrap()].into(),
    };
    let ban = it.registry.add_ban("cli", new.clone()).await.unwrap();
    let stopped = |use_case: &str| {
        let use_case = use_case.parse().unwrap();
        it.registry.snapshot().ban(&use_case, &placement("cloud"), it.clock.now()).is_some()
    };
    assert!(stopped("replies"));
    assert!(!stopped("spared"));
    it.clock.advance_ms(3_600_000);
    assert!(!stopped("replies"), "a ban ends by itself");
    it.clock.advance_ms(-1);
    assert!(stopped("replies"));
    it.registry.lift_ban("cli", ban.id).await.unwrap();
    assert!(!stopped("replies"));
    let past = NewBan { ends_at: in_hours(&it.clock, -1), ..new };
    assert!(it.registry.add_ban("cli", past).await.is_err());
}

#[tokio::test]
async fn a_setup_link_works_once_and_for_a_quarter_of_an_hour() {
    let it = fixture().await;
    let sessions = Sessions::new(it.database.clone(), Arc::new(it.clock.clone()));
    let link = sessions.new_setup_link().await.unwrap();
    assert!(sessions.follow_setup_link("setup_wrong").await.unwrap().is_none());
    let session = sessions.follow_setup_link(&link).await.unwrap().unwrap();
    assert!(sessions.follow_setup_link(&link).await.unwrap().is_none(), "once");
    assert_eq!(sessions.find(&session).await.unwrap().unwrap().person, "administrator");
    let late = sessions.new_setup_link().await.unwrap();
    it.clock.advance_ms(15 * 60_000);
    assert!(sessions.follow_setup_link(&late).await.unwrap().is_none(), "in time");
    sessions.end(&session).await.unwrap();
    assert!(sessions.find(&session).await.unwrap().is_none());
}

#[tokio::test]
async fn the_sample_organisation_is_labelled_and_seeded_once() {
    let it = fixture().await;
    let budgets = seed_demo(&it.registry).await.unwrap();
    assert_eq!(budgets.len(), 4);
    assert!(seed_demo(&it.registry).await.unwrap().is_empty());
    let snapshot = it.registry.snapshot();
    let stages: std::collections::BTreeSet<_> = snapshot.use_cases().map(|it| it.stage).collect();
    assert_eq!(stages.len(), 4);
    assert!(snapshot.use_cases().all(|it| it.is_demo));
}

#[tokio::test]
async fn a_data_folder_belongs_to_the_demonstration_or_to_an_organisation() {
    for is_demo in [true, false] {
        let it = fixture().await;
        claim(&it.database, is_demo).await.unwrap();
        claim(&it.database, is_demo).await.unwrap();
        let error = claim(&it.database, !is_demo).await.unwrap_err();
        let folder = it.folder.path().display().to_string();
        assert!(error.to_string().contains(&folder), "{error}");
        assert!(matches!(error, RegistryError::Conflict(_)), "{error}");
        assert_eq!(
            error.to_string().contains("delete"),
            is_demo,
            "nobody is told to delete own data: {error}"
        );
    }
}

#[tokio::test]
async fn a_folder_that_nobody_claimed_belongs_to_whoever_its_use_cases_belong_to() {
    let demo = fixture().await;
    seed_demo(&demo.registry).await.unwrap();
    demo.registry.create_use_case("cli", draft("tried-out"), Stage::Idea, false).await.unwrap();
    assert!(matches!(claim(&demo.database, false).await, Err(RegistryError::Conflict(_))));
    claim(&demo.database, true).await.unwrap();

    let own = fixture().await;
    own.registry.create_use_case("cli", draft("replies"), Stage::Idea, false).await.unwrap();
    assert!(matches!(claim(&own.database, true).await, Err(RegistryError::Conflict(_))));
    claim(&own.database, false).await.unwrap();
}
