//! The register's rows: the only SQL of this crate besides the sessions'.

use std::{collections::BTreeSet, str::FromStr, sync::Arc};

use pintle_core::{Name, Timestamp};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use crate::{
    AdminAct, ApiKey, Ban, BanTarget, Owner, RegistryError, UseCaseDraft,
    use_case::{SharedUseCase, UseCase},
};

/// Snapshots hold every row; this bounds them, far above what an organisation has.
const MOST_ROWS: i64 = 100_000;

pub(crate) fn time(ms: i64) -> Result<Timestamp, RegistryError> {
    Timestamp::from_millisecond(ms).map_err(|_| RegistryError::Corrupt(format!("the time {ms}")))
}

fn parsed<T: FromStr>(row: &SqliteRow, column: &'static str) -> Result<T, RegistryError> {
    let text: String = row.try_get(column)?;
    text.parse().map_err(|_| RegistryError::Corrupt(format!("column `{column}`")))
}

fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, RegistryError> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|_| RegistryError::Corrupt(format!("column `{column}`")))
}

fn optional_time(row: &SqliteRow, column: &'static str) -> Result<Option<Timestamp>, RegistryError> {
    row.try_get::<Option<i64>, _>(column)?.map(time).transpose()
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, RegistryError> {
    serde_json::to_string(value).map_err(|error| RegistryError::Corrupt(error.to_string()))
}

pub(crate) async fn use_cases(pool: &SqlitePool) -> Result<Vec<SharedUseCase>, RegistryError> {
    let query = sqlx::query("SELECT * FROM use_cases ORDER BY name LIMIT ?").bind(MOST_ROWS);
    query.fetch_all(pool).await?.iter().map(|row| use_case(row).map(Arc::new)).collect()
}

fn use_case(row: &SqliteRow) -> Result<UseCase, RegistryError> {
    let owner = |name: &'static str, email: &'static str| -> Result<Owner, RegistryError> {
        Ok(Owner { name: row.try_get(name)?, email: row.try_get(email)? })
    };
    let deputy_name: Option<String> = row.try_get("deputy_name")?;
    let draft = UseCaseDraft {
        name: parsed(row, "name")?,
        title: row.try_get("title")?,
        purpose: row.try_get("purpose")?,
        business_owner: owner("business_owner_name", "business_owner_email")?,
        it_owner: owner("it_owner_name", "it_owner_email")?,
        deputy: deputy_name.map(|_| owner("deputy_name", "deputy_email")).transpose()?,
        cost_centre: row.try_get("cost_centre")?,
        data_class: parsed(row, "data_class")?,
        risk_tier: parsed(row, "risk_tier")?,
        transformations: json(row, "transformations")?,
        objective: parsed(row, "objective")?,
        baseline: row.try_get("baseline")?,
        value_hypothesis: row.try_get("value_hypothesis")?,
        review_on: row.try_get("review_on")?,
        kill_criterion: row.try_get("kill_criterion")?,
    };
    Ok(UseCase {
        draft,
        stage: parsed(row, "stage")?,
        is_demo: row.try_get("is_demo")?,
        version: row.try_get("version")?,
        created_at: time(row.try_get("created_at")?)?,
        updated_at: time(row.try_get("updated_at")?)?,
    })
}

pub(crate) async fn put_use_case(
    connection: &mut SqliteConnection,
    use_case: &UseCase,
) -> Result<(), RegistryError> {
    let draft = &use_case.draft;
    sqlx::query(
        "INSERT INTO use_cases (name, title, purpose, business_owner_name, business_owner_email, \
         it_owner_name, it_owner_email, deputy_name, deputy_email, cost_centre, stage, data_class, risk_tier, \
         transformations, objective, baseline, value_hypothesis, review_on, kill_criterion, is_demo, version, \
         created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET title = excluded.title, purpose = excluded.purpose, \
         business_owner_name = excluded.business_owner_name, business_owner_email = excluded.business_owner_email, \
         it_owner_name = excluded.it_owner_name, it_owner_email = excluded.it_owner_email, \
         deputy_name = excluded.deputy_name, deputy_email = excluded.deputy_email, \
         cost_centre = excluded.cost_centre, stage = excluded.stage, data_class = excluded.data_class, \
         risk_tier = excluded.risk_tier, transformations = excluded.transformations, \
         objective = excluded.objective, baseline = excluded.baseline, \
         value_hypothesis = excluded.value_hypothesis, review_on = excluded.review_on, \
         kill_criterion = excluded.kill_criterion, version = excluded.version, updated_at = excluded.updated_at",
    )
    .bind(draft.name.as_str())
    .bind(&draft.title)
    .bind(&draft.purpose)
    .bind(&draft.business_owner.name)
    .bind(&draft.business_owner.email)
    .bind(&draft.it_owner.name)
    .bind(&draft.it_owner.email)
    .bind(draft.deputy.as_ref().map(|deputy| &deputy.name))
    .bind(draft.deputy.as_ref().map(|deputy| &deputy.email))
    .bind(&draft.cost_centre)
    .bind(use_case.stage.as_str())
    .bind(draft.data_class.as_str())
    .bind(draft.risk_tier.as_str())
    .bind(to_json(&draft.transformations)?)
    .bind(draft.objective.as_str())
    .bind(&draft.baseline)
    .bind(&draft.value_hypothesis)
    .bind(&draft.review_on)
    .bind(&draft.kill_criterion)
    .bind(use_case.is_demo)
    .bind(use_case.version)
    .bind(use_case.created_at.as_millisecond())
    .bind(use_case.updated_at.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn keys(pool: &SqlitePool) -> Result<Vec<Arc<ApiKey>>, RegistryError> {
    let query = sqlx::query("SELECT * FROM api_keys ORDER BY id LIMIT ?").bind(MOST_ROWS);
    query.fetch_all(pool).await?.iter().map(|row| key(row).map(Arc::new)).collect()
}

fn key(row: &SqliteRow) -> Result<ApiKey, RegistryError> {
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(ApiKey {
        id: parsed(row, "id")?,
        use_case: parsed(row, "use_case")?,
        label: row.try_get("label")?,
        prefix: row.try_get("prefix")?,
        hash: hash.try_into().map_err(|_| RegistryError::Corrupt("column `hash`".into()))?,
        created_at: time(row.try_get("created_at")?)?,
        expires_at: optional_time(row, "expires_at")?,
        revoked_at: optional_time(row, "revoked_at")?,
    })
}

pub(crate) async fn put_key(connection: &mut SqliteConnection, key: &ApiKey) -> Result<(), RegistryError> {
    sqlx::query(
        "INSERT INTO api_keys (id, use_case, label, prefix, hash, created_at, expires_at, revoked_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at, revoked_at = excluded.revoked_at",
    )
    .bind(key.id.to_string())
    .bind(key.use_case.as_str())
    .bind(&key.label)
    .bind(&key.prefix)
    .bind(key.hash.as_slice())
    .bind(key.created_at.as_millisecond())
    .bind(key.expires_at.map(|at| at.as_millisecond()))
    .bind(key.revoked_at.map(|at| at.as_millisecond()))
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn bans(pool: &SqlitePool) -> Result<Vec<Arc<Ban>>, RegistryError> {
    let query = sqlx::query("SELECT * FROM bans ORDER BY id DESC LIMIT ?").bind(MOST_ROWS);
    query.fetch_all(pool).await?.iter().map(|row| ban(row).map(Arc::new)).collect()
}

fn ban(row: &SqliteRow) -> Result<Ban, RegistryError> {
    let kind: String = row.try_get("target_kind")?;
    let target: String = row.try_get("target")?;
    let target: BanTarget =
        format!("{kind}:{target}").parse().map_err(|_| RegistryError::Corrupt("column `target`".into()))?;
    let use_case: Option<String> = row.try_get("use_case")?;
    let exceptions: BTreeSet<Name> = json(row, "exceptions")?;
    Ok(Ban {
        id: parsed(row, "id")?,
        target,
        use_case: use_case.map(|_| parsed(row, "use_case")).transpose()?,
        reason: row.try_get("reason")?,
        owner: row.try_get("owner")?,
        starts_at: time(row.try_get("starts_at")?)?,
        ends_at: time(row.try_get("ends_at")?)?,
        exceptions,
        lifted_at: optional_time(row, "lifted_at")?,
    })
}

pub(crate) async fn put_ban(
    connection: &mut SqliteConnection,
    ban: &Ban,
    now: Timestamp,
    lifted_by: Option<&str>,
) -> Result<(), RegistryError> {
    sqlx::query(
        "INSERT INTO bans (id, target_kind, target, use_case, reason, owner, starts_at, ends_at, exceptions, \
         lifted_at, lifted_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET lifted_at = excluded.lifted_at, lifted_by = excluded.lifted_by",
    )
    .bind(ban.id.to_string())
    .bind(ban.target.kind())
    .bind(ban.target.name())
    .bind(ban.use_case.as_ref().map(Name::as_str))
    .bind(&ban.reason)
    .bind(&ban.owner)
    .bind(ban.starts_at.as_millisecond())
    .bind(ban.ends_at.as_millisecond())
    .bind(to_json(&ban.exceptions)?)
    .bind(ban.lifted_at.map(|at| at.as_millisecond()))
    .bind(lifted_by)
    .bind(now.as_millisecond())
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn put_act(
    connection: &mut SqliteConnection,
    at: Timestamp,
    actor: &str,
    action: &str,
    target: &str,
    detail: serde_json::Value,
) -> Result<(), RegistryError> {
    sqlx::query("INSERT INTO admin_acts (at, actor, action, target, detail) VALUES (?, ?, ?, ?, ?)")
        .bind(at.as_millisecond())
        .bind(actor)
        .bind(action)
        .bind(target)
        .bind(detail.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn acts(
    pool: &SqlitePool,
    target: Option<&str>,
    limit: u32,
) -> Result<Vec<AdminAct>, RegistryError> {
    let query =
        sqlx::query("SELECT * FROM admin_acts WHERE ?1 IS NULL OR target = ?1 ORDER BY seq DESC LIMIT ?2")
            .bind(target)
            .bind(limit);
    let rows = query.fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            Ok(AdminAct {
                seq: row.try_get("seq")?,
                at: time(row.try_get("at")?)?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                target: row.try_get("target")?,
                detail: json(row, "detail")?,
            })
        })
        .collect()
}
