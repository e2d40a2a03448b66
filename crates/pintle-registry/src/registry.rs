//! The register itself: changes go to the database and into a fresh [`Snapshot`]; requests read only
//! the snapshot.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use pintle_core::{BanId, Clock, KeyId, Name, Stage, Timestamp};
use pintle_db::Database;
use serde::Serialize;
use sqlx::SqliteConnection;
use zeroize::Zeroizing;

use crate::{
    ApiKey, Ban, NewBan, NewKey, Placement, PresentedKey, UseCaseDraft,
    key::KeyHash,
    rows,
    use_case::{SharedUseCase, UseCase},
};

/// Why the register did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such thing.
    #[error("there is no {what} `{name}`")]
    NotFound {
        /// "use case", "key", "ban".
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("there is a use case `{0}` already; hint: choose another name, or edit the existing one")]
    Taken(Name),
    /// A field holds what it must not.
    #[error("`{field}`: {message}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// The change does not fit the state of things.
    #[error("{0}")]
    Conflict(String),
    /// The database failed.
    #[error("the register's database failed")]
    Database(#[from] sqlx::Error),
    /// A row does not parse: somebody edited the database by hand.
    #[error("the register holds a value that cannot be read: {0}")]
    Corrupt(String),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random,
}

impl From<getrandom::Error> for RegistryError {
    fn from(_: getrandom::Error) -> Self {
        RegistryError::Random
    }
}

/// Everything a request needs to know of the register, as of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    use_cases: BTreeMap<Name, SharedUseCase>,
    keys: HashMap<KeyHash, Arc<ApiKey>>,
    bans: Vec<Arc<Ban>>,
}

impl Snapshot {
    /// The key that was presented, whatever its state.
    #[must_use]
    pub fn key(&self, presented: &PresentedKey) -> Option<&Arc<ApiKey>> {
        self.keys.get(presented.as_bytes())
    }

    /// A use case by name.
    #[must_use]
    pub fn use_case(&self, name: &Name) -> Option<&Arc<UseCase>> {
        self.use_cases.get(name)
    }

    /// All use cases, by name.
    pub fn use_cases(&self) -> impl ExactSizeIterator<Item = &Arc<UseCase>> {
        self.use_cases.values()
    }

    /// All keys, newest first.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<ApiKey>> {
        let mut keys: Vec<_> = self.keys.values().cloned().collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.id));
        keys
    }

    /// All bans, past and future ones too, newest first.
    #[must_use]
    pub fn bans(&self) -> &[Arc<Ban>] {
        &self.bans
    }

    /// The ban that stops this use case at this placement now, if any.
    #[must_use]
    pub fn ban(&self, use_case: &Name, placement: &Placement, now: Timestamp) -> Option<&Arc<Ban>> {
        self.bans.iter().find(|ban| ban.stops(use_case, placement, now))
    }
}

/// One administrative act.
#[derive(Debug, Clone, Serialize)]
pub struct AdminAct {
    /// Counts from 1.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who: a person, `cli` or `demo`.
    pub actor: String,
    /// What: `use_case.create`.
    pub action: String,
    /// To what.
    pub target: String,
    /// Before and after, as JSON.
    pub detail: serde_json::Value,
}

/// The register.
#[derive(Debug)]
pub struct Registry {
    database: Database,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwap<Snapshot>,
    /// One change at a time, so that snapshots follow one another in the order of the changes.
    change: tokio::sync::Mutex<()>,
}

impl Registry {
    /// Reads the register from the database.
    ///
    /// # Errors
    /// When the database fails or holds what cannot be read.
    pub async fn open(database: Database, clock: Arc<dyn Clock>) -> Result<Self, RegistryError> {
        let registry =
            Registry { database, clock, snapshot: ArcSwap::default(), change: tokio::sync::Mutex::new(()) };
        registry.refresh().await?;
        Ok(registry)
    }

    /// The register as it is now. Cheap; never waits.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    async fn refresh(&self) -> Result<(), RegistryError> {
        let reader = self.database.writer();
        let snapshot = Snapshot {
            use_cases: rows::use_cases(reader).await?.into_iter().map(|it| (it.name().clone(), it)).collect(),
            keys: rows::keys(reader).await?.into_iter().map(|key| (key.hash, key)).collect(),
            bans: rows::bans(reader).await?,
        };
        self.snapshot.store(Arc::new(snapshot));
        Ok(())
    }

    /// Writes down a new use case. It starts as an idea unless a stage is given.
    ///
    /// # Errors
    /// When a field is wrong, the name is taken or the database fails.
    pub async fn create_use_case(
        &self,
        actor: &str,
        draft: UseCaseDraft,
        stage: Stage,
        is_demo: bool,
    ) -> Result<Arc<UseCase>, RegistryError> {
        draft.check().map_err(|(field, message)| RegistryError::Invalid { field, message })?;
        let _one_at_a_time = self.change.lock().await;
        if self.snapshot.load().use_case(&draft.name).is_some() {
            return Err(RegistryError::Taken(draft.name));
        }
        let now = self.clock.now();
        let use_case =
            Arc::new(UseCase { draft, stage, is_demo, version: 1, created_at: now, updated_at: now });
        let mut transaction = self.database.writer().begin().await?;
        rows::put_use_case(&mut transaction, &use_case).await?;
        let detail = serde_json::json!({ "after": &*use_case });
        rows::put_act(&mut transaction, now, actor, "use_case.create", use_case.name().as_str(), detail)
            .await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(use_case)
    }

    /// Replaces what the owners state about a use case. Its name stays.
    ///
    /// # Errors
    /// When there is no such use case, a field is wrong or the database fails.
    pub async fn edit_use_case(
        &self,
        actor: &str,
        draft: UseCaseDraft,
    ) -> Result<Arc<UseCase>, RegistryError> {
        draft.check().map_err(|(field, message)| RegistryError::Invalid { field, message })?;
        self.change_use_case(actor, "use_case.edit", &draft.name.clone(), |use_case| use_case.draft = draft)
            .await
    }

    /// Moves a use case to another stage; its keys and models depend on it at once.
    ///
    /// # Errors
    /// When there is no such use case, or it is retired: that is for good.
    pub async fn set_stage(
        &self,
        actor: &str,
        name: &Name,
        stage: Stage,
    ) -> Result<Arc<UseCase>, RegistryError> {
        if self.find(name)?.stage == Stage::Retired && stage != Stage::Retired {
            return Err(RegistryError::Conflict(format!(
                "`{name}` is retired, and retiring is for good; hint: write down a new use case"
            )));
        }
        self.change_use_case(actor, "use_case.stage", name, |use_case| use_case.stage = stage).await
    }

    async fn change_use_case(
        &self,
        actor: &str,
        action: &str,
        name: &Name,
        change: impl FnOnce(&mut UseCase) + Send,
    ) -> Result<Arc<UseCase>, RegistryError> {
        let _one_at_a_time = self.change.lock().await;
        let before = self.find(name)?;
        let now = self.clock.now();
        let mut after = UseCase::clone(&before);
        change(&mut after);
        after.version = before.version.saturating_add(1);
        after.updated_at = now;
        let mut transaction = self.database.writer().begin().await?;
        rows::put_use_case(&mut transaction, &after).await?;
        let detail = serde_json::json!({ "before": &*before, "after": &after });
        rows::put_act(&mut transaction, now, actor, action, name.as_str(), detail).await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(Arc::new(after))
    }

    fn find(&self, name: &Name) -> Result<Arc<UseCase>, RegistryError> {
        let found = self.snapshot.load().use_case(name).cloned();
        found.ok_or_else(|| RegistryError::NotFound { what: "use case", name: name.to_string() })
    }

    /// Makes a key for a use case. The secret is in the result and nowhere else.
    ///
    /// # Errors
    /// When there is no such use case, it is retired, the end lies in the past, or the database fails.
    pub async fn create_key(
        &self,
        actor: &str,
        use_case: &Name,
        label: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<NewKey, RegistryError> {
        let _one_at_a_time = self.change.lock().await;
        let made = self.generate_key(use_case, label, expires_at)?;
        let mut transaction = self.database.writer().begin().await?;
        self.put_new_key(&mut transaction, actor, "key.create", &made.key).await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(made)
    }

    fn generate_key(
        &self,
        use_case: &Name,
        label: &str,
        expires_at: Option<Timestamp>,
    ) -> Result<NewKey, RegistryError> {
        let now = self.clock.now();
        if self.find(use_case)?.stage == Stage::Retired {
            return Err(RegistryError::Conflict(format!("`{use_case}` is retired; it gets no keys")));
        }
        if label.len() > 80 || label.chars().any(char::is_control) {
            let message = "use at most 80 characters on one line".to_owned();
            return Err(RegistryError::Invalid { field: "label", message });
        }
        if expires_at.is_some_and(|end| end <= now) {
            let message = "the end must lie in the future".to_owned();
            return Err(RegistryError::Invalid { field: "expires_at", message });
        }
        Ok(ApiKey::generate(use_case.clone(), label.to_owned(), now, expires_at)?)
    }

    async fn put_new_key(
        &self,
        connection: &mut SqliteConnection,
        actor: &str,
        action: &str,
        key: &ApiKey,
    ) -> Result<(), RegistryError> {
        rows::put_key(connection, key).await?;
        let detail = serde_json::json!({ "after": key });
        rows::put_act(connection, self.clock.now(), actor, action, &key.id.to_string(), detail).await
    }

    /// Makes a successor for a key; the old one works until `old_ends_at`.
    ///
    /// # Errors
    /// When there is no such key, it no longer works, or the database fails.
    pub async fn rotate_key(
        &self,
        actor: &str,
        id: KeyId,
        old_ends_at: Timestamp,
    ) -> Result<NewKey, RegistryError> {
        let _one_at_a_time = self.change.lock().await;
        let old = self.find_key(id)?;
        if old.state(self.clock.now()) != crate::KeyState::Active {
            return Err(RegistryError::Conflict(format!(
                "`{id}` no longer works; hint: make a new key with `pintle key create`"
            )));
        }
        let made = self.generate_key(&old.use_case, &old.label, old.expires_at)?;
        let mut ending = ApiKey::clone(&old);
        ending.expires_at = Some(old.expires_at.map_or(old_ends_at, |end| end.min(old_ends_at)));
        let mut transaction = self.database.writer().begin().await?;
        rows::put_key(&mut transaction, &ending).await?;
        self.put_new_key(&mut transaction, actor, "key.rotate", &made.key).await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(made)
    }

    /// Ends a key at once. Revoking it again changes nothing.
    ///
    /// # Errors
    /// When there is no such key or the database fails.
    pub async fn revoke_key(&self, actor: &str, id: KeyId) -> Result<Arc<ApiKey>, RegistryError> {
        let _one_at_a_time = self.change.lock().await;
        let before = self.find_key(id)?;
        if before.revoked_at.is_some() {
            return Ok(before);
        }
        let now = self.clock.now();
        let mut after = ApiKey::clone(&before);
        after.revoked_at = Some(now);
        let mut transaction = self.database.writer().begin().await?;
        rows::put_key(&mut transaction, &after).await?;
        let detail = serde_json::json!({ "before": &*before, "after": &after });
        rows::put_act(&mut transaction, now, actor, "key.revoke", &id.to_string(), detail).await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(Arc::new(after))
    }

    fn find_key(&self, id: KeyId) -> Result<Arc<ApiKey>, RegistryError> {
        let snapshot = self.snapshot.load();
        let found = snapshot.keys.values().find(|key| key.id == id).cloned();
        found.ok_or_else(|| RegistryError::NotFound { what: "key", name: id.to_string() })
    }

    /// Bans a placement, model or provider for a time. It acts at once.
    ///
    /// # Errors
    /// When a field is wrong, a use case is unknown or the database fails.
    pub async fn add_ban(&self, actor: &str, new: NewBan) -> Result<Arc<Ban>, RegistryError> {
        let _one_at_a_time = self.change.lock().await;
        let now = self.clock.now();
        let starts_at = new.starts_at.unwrap_or(now);
        let invalid = |field, message: &str| RegistryError::Invalid { field, message: message.to_owned() };
        for (field, text) in [("reason", &new.reason), ("owner", &new.owner)] {
            if text.trim().is_empty() || text.len() > 500 || text.chars().any(char::is_control) {
                return Err(invalid(
                    field,
                    "use 1 to 500 characters on one line; people who are stopped read it",
                ));
            }
        }
        if new.ends_at <= starts_at || new.ends_at <= now {
            return Err(invalid("ends_at", "the end must lie in the future and after the start"));
        }
        for name in new.use_case.iter().chain(&new.exceptions) {
            self.find(name)?;
        }
        let ban = Arc::new(Ban {
            id: BanId::new(now)?,
            target: new.target,
            use_case: new.use_case,
            reason: new.reason,
            owner: new.owner,
            starts_at,
            ends_at: new.ends_at,
            exceptions: new.exceptions,
            lifted_at: None,
        });
        let mut transaction = self.database.writer().begin().await?;
        rows::put_ban(&mut transaction, &ban, now, None).await?;
        let detail = serde_json::json!({ "after": &*ban });
        rows::put_act(&mut transaction, now, actor, "ban.add", &ban.id.to_string(), detail).await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(ban)
    }

    /// Lifts a ban before its end. Lifting it again changes nothing.
    ///
    /// # Errors
    /// When there is no such ban or the database fails.
    pub async fn lift_ban(&self, actor: &str, id: BanId) -> Result<Arc<Ban>, RegistryError> {
        let _one_at_a_time = self.change.lock().await;
        let found = self.snapshot.load().bans.iter().find(|ban| ban.id == id).cloned();
        let before = found.ok_or_else(|| RegistryError::NotFound { what: "ban", name: id.to_string() })?;
        if before.lifted_at.is_some() {
            return Ok(before);
        }
        let now = self.clock.now();
        let mut after = Ban::clone(&before);
        after.lifted_at = Some(now);
        let mut transaction = self.database.writer().begin().await?;
        rows::put_ban(&mut transaction, &after, now, Some(actor)).await?;
        let detail = serde_json::json!({ "before": &*before, "after": &after });
        rows::put_act(&mut transaction, now, actor, "ban.lift", &id.to_string(), detail).await?;
        transaction.commit().await?;
        self.refresh().await?;
        Ok(Arc::new(after))
    }

    /// Writes down an act on something that the register does not hold itself, such as a budget.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_act(
        &self,
        actor: &str,
        action: &str,
        target: &str,
        detail: serde_json::Value,
    ) -> Result<(), RegistryError> {
        let mut connection = self.database.writer().acquire().await?;
        rows::put_act(&mut connection, self.clock.now(), actor, action, target, detail).await
    }

    /// The latest acts that touched `target`, or any, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn acts(&self, target: Option<&str>, limit: u32) -> Result<Vec<AdminAct>, RegistryError> {
        rows::acts(self.database.reader(), target, limit).await
    }

    /// Fresh random text for links and cookies: `label` and 256 bits.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random_token(label: &str) -> Result<Zeroizing<String>, RegistryError> {
        Ok(crate::key::random_text(label, 43)?)
    }
}
