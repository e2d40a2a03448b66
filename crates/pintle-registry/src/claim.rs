//! Whose a data folder is. The demonstration and an organisation's own configuration have the same default
//! folder; they must never meet in it, or sample use cases and a printed key would work beside real ones.

use pintle_db::Database;

use crate::RegistryError;

const DEMO: &str = "demo";
const OWN: &str = "own";

/// Takes a data folder for the demonstration or for an organisation's own configuration. The first opening
/// decides for good. A folder that nobody has claimed yet, but that holds use cases, belongs to whoever they
/// belong to.
///
/// # Errors
/// A conflict, worded for whoever starts the server, when it belongs to the other one, or the database fails.
pub async fn claim(database: &Database, is_demo: bool) -> Result<(), RegistryError> {
    let asked = if is_demo { DEMO } else { OWN };
    sqlx::query(
        "INSERT INTO settings (name, value) SELECT 'kind', CASE \
         WHEN EXISTS (SELECT 1 FROM use_cases WHERE is_demo <> 0) THEN ?1 \
         WHEN EXISTS (SELECT 1 FROM use_cases) THEN ?2 ELSE ?3 END \
         WHERE true ON CONFLICT (name) DO NOTHING",
    )
    .bind(DEMO)
    .bind(OWN)
    .bind(asked)
    .execute(database.writer())
    .await?;
    let kept: String = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'kind'")
        .fetch_one(database.writer())
        .await?;
    let folder = database.folder().display();
    match (kept.as_str(), is_demo) {
        (DEMO, true) | (OWN, false) => Ok(()),
        (DEMO, false) => Err(RegistryError::Conflict(format!(
            "the data folder `{folder}` belongs to the demonstration; hint: choose another with --data, or delete it"
        ))),
        // No word of deleting here: this is somebody's ledger.
        (OWN, true) => Err(RegistryError::Conflict(format!(
            "the data folder `{folder}` belongs to an organisation's own configuration, not to the demonstration; \
             hint: choose another with --data"
        ))),
        (other, _) => Err(RegistryError::Corrupt(format!("the setting `kind` is `{other}`"))),
    }
}
