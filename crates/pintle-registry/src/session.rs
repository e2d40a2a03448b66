//! One-time set-up links and the sessions they open. Both are kept as hashes: whoever reads the
//! database can neither follow a link nor wear a session.

use std::sync::Arc;

use pintle_core::{Clock, Timestamp};
use pintle_db::Database;
use zeroize::Zeroizing;

use crate::{PresentedKey, Registry, RegistryError, rows};

/// How long a set-up link can be followed.
pub const SETUP_LINK_MINUTES: i64 = 15;
/// How long a session lasts.
pub const SESSION_HOURS: i64 = 12;

const MINUTE_MS: i64 = 60_000;

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who it is; acts are written down under this name.
    pub person: String,
    /// When the session ends.
    pub expires_at: Timestamp,
}

/// Set-up links and sessions.
#[derive(Debug, Clone)]
pub struct Sessions {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl Sessions {
    /// Sessions in the given database.
    #[must_use]
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Sessions { database, clock }
    }

    /// Makes a set-up link's secret. Links made before stop working: only the newest is good.
    ///
    /// # Errors
    /// When the database fails or there is no randomness.
    pub async fn new_setup_link(&self) -> Result<Zeroizing<String>, RegistryError> {
        let token = Registry::random_token("setup_")?;
        let expires_at = self.clock.now().as_millisecond().saturating_add(SETUP_LINK_MINUTES * MINUTE_MS);
        let mut transaction = self.database.writer().begin().await?;
        sqlx::query("DELETE FROM setup_links").execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO setup_links (hash, expires_at) VALUES (?, ?)")
            .bind(PresentedKey::hash(&token).as_bytes().as_slice())
            .bind(expires_at)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(token)
    }

    /// Follows a set-up link: once, in time. Gives the new session's secret, for the cookie.
    ///
    /// # Errors
    /// When the database fails or there is no randomness. A link that is not good gives `None`.
    pub async fn follow_setup_link(&self, token: &str) -> Result<Option<Zeroizing<String>>, RegistryError> {
        let now = self.clock.now().as_millisecond();
        let mut transaction = self.database.writer().begin().await?;
        // One statement checks and uses it up, so that two browsers cannot both follow it.
        let used = sqlx::query(
            "UPDATE setup_links SET used_at = ?1 WHERE hash = ?2 AND used_at IS NULL AND expires_at > ?1",
        )
        .bind(now)
        .bind(PresentedKey::hash(token).as_bytes().as_slice())
        .execute(&mut *transaction)
        .await?;
        if used.rows_affected() != 1 {
            return Ok(None);
        }
        let session = Registry::random_token("ses_")?;
        sqlx::query("INSERT INTO sessions (hash, person, created_at, expires_at) VALUES (?, ?, ?, ?)")
            .bind(PresentedKey::hash(&session).as_bytes().as_slice())
            .bind("administrator")
            .bind(now)
            .bind(now.saturating_add(SESSION_HOURS * 60 * MINUTE_MS))
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM sessions WHERE expires_at <= ?")
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(session))
    }

    /// Whose session the cookie names, if it is in time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, token: &str) -> Result<Option<SignedIn>, RegistryError> {
        let row: Option<(String, i64)> =
            sqlx::query_as("SELECT person, expires_at FROM sessions WHERE hash = ? AND expires_at > ?")
                .bind(PresentedKey::hash(token).as_bytes().as_slice())
                .bind(self.clock.now().as_millisecond())
                .fetch_optional(self.database.reader())
                .await?;
        row.map(|(person, ends)| Ok(SignedIn { person, expires_at: rows::time(ends)? })).transpose()
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&self, token: &str) -> Result<(), RegistryError> {
        sqlx::query("DELETE FROM sessions WHERE hash = ?")
            .bind(PresentedKey::hash(token).as_bytes().as_slice())
            .execute(self.database.writer())
            .await?;
        Ok(())
    }
}
