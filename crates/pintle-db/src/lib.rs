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
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/sqlite/0001_first.sql")),
    (2, "energy", include_str!("../migrations/sqlite/0002_energy.sql")),
];

const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// As the kernel knows it: at most 15 bytes.
const WRITER_THREAD: &str = "pintle-writer";
/// The writer gives way to threads that serve requests, but keeps about a quarter of a busy core, so that
/// it never falls behind for good.
const WRITER_NICE: i32 = 5;

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
    folder: Arc<Path>,
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
        let file = folder.join("pintle.db");
        make_private_file(&file)
            .map_err(|source| DbError::Folder { folder: folder.to_path_buf(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL: a commit is on the disk when it returns. Only batches commit here, off the request's
            // path, and the journal forgets a record once its commit has returned.
            .synchronous(SqliteSynchronous::Full)
            // Pages of one checkpoint: 32 MiB. The default of 4 MiB writes the same pages over and over under load.
            .pragma("wal_autocheckpoint", "8000")
            .thread_name(|_| WRITER_THREAD.to_owned())
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
            .connect_lazy_with(options.thread_name(|id| format!("pintle-reader-{id}")).read_only(true));
        give_way();
        Ok(Database { folder: folder.into(), writer, reader, _lock: Arc::new(lock) })
    }

    /// The data folder that it lies in, as it was given.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
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

/// Lowers the priority of the thread that writes: a batch of records takes milliseconds, for which no
/// request should wait when there are fewer cores than threads. Where the kernel does not let us, the
/// batches are merely less polite.
fn give_way() {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return };
    for task in tasks.flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id =
            task.file_name().to_str().and_then(|id| id.parse().ok()).and_then(rustix::process::Pid::from_raw);
        if let (WRITER_THREAD, Some(id)) = (name.trim_end(), id) {
            let _ = rustix::process::setpriority_process(Some(id), WRITER_NICE);
        }
    }
}

/// Makes the folder, readable by its owner alone: it holds the organisation's records. One that is there
/// already stays as it is.
///
/// # Errors
/// What the operating system says.
pub fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes the database, empty, where there is none: left to itself, SQLite makes one that everybody may read
/// as far as the folder lets them. Its `-wal` and `-shm` files take over the mode. The mode of a file that
/// is there already is its owner's affair.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
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

    /// A folder of the owner's own making may be open to others; what Pintle writes into it is not.
    #[cfg(unix)]
    #[tokio::test]
    async fn the_database_is_its_owners_alone_also_in_an_open_folder() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let database = Database::open(folder.path()).await.unwrap();
        sqlx::query("INSERT INTO settings VALUES ('a', 'b')").execute(database.writer()).await.unwrap();
        sqlx::query("SELECT * FROM settings").fetch_all(database.reader()).await.unwrap();
        for name in ["pintle.db", "pintle.db-wal", "pintle.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name} has mode {mode:o}");
        }
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
