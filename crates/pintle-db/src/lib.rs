//! Pools and migrations. Nothing else in the product sets up a database driver.
//!
//! SQLite in WAL mode, one connection that writes and a few that read: SQLite has one writer at a
//! time, and a pool of writers would only queue inside the database, where no deadline reaches.
//! The owners of the tables (`pintle-registry`, `pintle-ledger`) write their own queries.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    SqlSafeStr, SqlitePool,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// Forward-only. A migration that has been released is never edited: the checksum of what ran is kept.
const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "first", include_str!("../migrations/sqlite/0001_first.sql"))];

const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The data folder cannot be made or written to.
    #[error("cannot use the data folder `{folder}`: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process holds the data folder.
    #[error(
        "the data folder `{0}` is in use by another pintle process; hint: stop it, or choose another folder with --data"
    )]
    InUse(PathBuf),
    /// The database is newer than this program.
    #[error("the database in `{0}` was written by a newer pintle; hint: run that version or a later one")]
    Newer(PathBuf),
    /// Anything else the driver reports.
    #[error("the database failed")]
    Driver(#[from] sqlx::Error),
    /// A migration failed; the database is as it was.
    #[error("a migration of the database failed")]
    Migration(#[source] sqlx::migrate::MigrateError),
}

/// The database of one data folder, held by this process alone.
#[derive(Debug, Clone)]
pub struct Database {
    writer: SqlitePool,
    reader: SqlitePool,
    /// Kept open as long as any clone lives: the lock is the file descriptor's.
    _lock: Arc<File>,
}

impl Database {
    /// Opens `folder/pintle.db`, making folder and database as needed, takes the folder's lock and
    /// brings the tables up to date.
    ///
    /// # Errors
    /// See [`DbError`].
    pub async fn open(folder: &Path) -> Result<Database, DbError> {
        make_private_folder(folder)
            .map_err(|source| DbError::Folder { folder: folder.to_path_buf(), source })?;
        let lock = take_lock(folder)?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join("pintle.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit is on the disk when it returns. Only batches commit here, off the request's
            // path, and the journal forgets a record once its commit has returned.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        migrate(&writer, folder).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.read_only(true));
        Ok(Database { writer, reader, _lock: Arc::new(lock) })
    }

    /// The one connection that may write.
    #[must_use]
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// Connections for reading; a write through them fails.
    #[must_use]
    pub fn reader(&self) -> &SqlitePool {
        &self.reader
    }

    /// Closes both pools; pending statements end first.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// Makes the folder readable by its owner alone: it holds the organisation's records.
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn take_lock(folder: &Path) -> Result<File, DbError> {
    let path = folder.join("pintle.lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = open.map_err(|source| DbError::Folder { folder: folder.to_path_buf(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DbError::InUse(folder.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(DbError::Folder { folder: folder.to_path_buf(), source }),
    }
}

async fn migrate(writer: &SqlitePool, folder: &Path) -> Result<(), DbError> {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, sql)| {
            let sql = SqlSafeStr::into_sql_str(*sql);
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql, false)
        })
        .collect();
    Migrator::with_migrations(migrations).run(writer).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::VersionMissing(_) => DbError::Newer(folder.to_path_buf()),
        other => DbError::Migration(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_held_by_one_process_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Database::open(folder.path()).await.unwrap();
        let second = Database::open(folder.path()).await.unwrap_err();
        assert!(matches!(second, DbError::InUse(_)), "{second}");
        first.close().await;
        drop(first);
        let again = Database::open(folder.path()).await.unwrap();
        let tables: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'ledger_entries'",
        )
        .fetch_one(again.reader())
        .await
        .unwrap();
        assert_eq!(tables, 1);
    }

    #[tokio::test]
    async fn a_newer_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path()).await.unwrap();
        sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'later', 1, x'00', 0)")
            .execute(database.writer())
            .await
            .unwrap();
        database.close().await;
        drop(database);
        let error = Database::open(folder.path()).await.unwrap_err();
        assert!(matches!(error, DbError::Newer(_)), "{error}");
    }

    #[tokio::test]
    async fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path()).await.unwrap();
        let written = sqlx::query("INSERT INTO settings VALUES ('a', 'b')").execute(database.reader()).await;
        assert!(written.is_err());
    }
}
