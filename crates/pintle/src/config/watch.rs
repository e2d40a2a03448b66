//! Notices that the configuration changed, and reads it again: on SIGHUP, and when one of its files
//! changes. What to do with the result is the caller's: a bad file keeps the old configuration running.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::{ConfigError, Inputs, LoadedConfig, load};

/// Editors and orchestrators write in several steps; the file is read once they have been quiet for this long.
const QUIET: Duration = Duration::from_millis(200);
/// However busy the folder is, a change is read after this long: bans and policies must not wait.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// What came of reading the configuration again.
pub(crate) type Reloaded = Result<LoadedConfig, ConfigError>;

/// Reads the configuration again after each change and on each SIGHUP, and hands what came of it to
/// `on_change`. Runs until it is dropped. A change that leaves every watched file as it was is not
/// reported; SIGHUP always is.
///
/// The folders are watched rather than the files, because editors and Kubernetes replace a file by
/// renaming another one over it. `start` is the configuration that runs now; one that must not take its
/// place while the server runs is handed on as an error.
///
/// # Errors
/// When the operating system cannot watch or takes no signal handler.
pub(crate) async fn watch(
    inputs: &Inputs,
    start: &LoadedConfig,
    mut on_change: impl FnMut(Reloaded),
) -> Result<(), ConfigError> {
    let failed = |error: &dyn std::fmt::Display| ConfigError::Watch(error.to_string());
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| failed(&error))?;
    // One place is enough: "something changed" does not become truer by being said twice.
    let (sender, mut changes) = mpsc::channel::<()>(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_change = event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_)));
        if is_change {
            // Full means that a change is waiting already; closed means that nobody waits any more.
            let _ = sender.try_send(());
        }
    })
    .map_err(|error| failed(&error))?;
    let mut watched = start.watched.clone();
    let mut folders = BTreeSet::new();
    follow(&mut watcher, &watched, &mut folders).map_err(|error| failed(&error))?;
    let mut seen = fingerprint(&watched);
    loop {
        let is_forced = tokio::select! {
            biased;
            signalled = hangup.recv() => match signalled {
                Some(()) => true,
                None => return Err(ConfigError::Watch("the signal handler is gone".to_owned())),
            },
            change = changes.recv() => match change {
                Some(()) => false,
                None => return Err(ConfigError::Watch("the watcher is gone".to_owned())),
            },
        };
        if !is_forced {
            settle(&mut changes).await;
        }
        let now = fingerprint(&watched);
        if now == seen && !is_forced {
            continue;
        }
        // Taken before the files are read: what changes meanwhile is noticed as the next change.
        seen = now;
        let reloaded = reload(inputs).await?;
        if let Ok(config) = &reloaded
            && config.watched != watched
        {
            watched.clone_from(&config.watched);
            follow(&mut watcher, &watched, &mut folders).map_err(|error| failed(&error))?;
            seen = fingerprint(&watched);
        }
        on_change(reloaded.and_then(|config| config.may_replace(start).map(|()| config)));
    }
}

/// Reads on a thread that may block.
async fn reload(inputs: &Inputs) -> Result<Reloaded, ConfigError> {
    let inputs = inputs.clone();
    tokio::task::spawn_blocking(move || load(&inputs))
        .await
        .map_err(|error| ConfigError::Watch(format!("reading it again failed: {error}")))
}

/// Waits until no change came for a while.
async fn settle(changes: &mut mpsc::Receiver<()>) {
    let latest = Instant::now() + QUIET_MAX;
    loop {
        let until = (Instant::now() + QUIET).min(latest);
        match timeout_at(until, changes.recv()).await {
            Ok(Some(())) if until < latest => {}
            _ => return,
        }
    }
}

/// Watches the folders of the paths that are not watched yet. A folder that is gone is no error: its
/// parent's change has been noticed, and the next good configuration brings its paths again.
fn follow(
    watcher: &mut RecommendedWatcher,
    paths: &[PathBuf],
    folders: &mut BTreeSet<PathBuf>,
) -> notify::Result<()> {
    for path in paths {
        let parent = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => continue,
        };
        for folder in [Some(parent), path.is_dir().then_some(path.as_path())].into_iter().flatten() {
            if folder.is_dir() && folders.insert(folder.to_owned()) {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
        }
    }
    Ok(())
}

/// One file's path, length and time of change; a file that cannot be asked has neither.
type Trace = (PathBuf, Option<(u64, std::time::SystemTime)>);

/// What the watched files look like from outside. Reading their text as well would not tell more: whoever
/// changes a file and keeps length and time has SIGHUP.
fn fingerprint(paths: &[PathBuf]) -> Vec<Trace> {
    let mut traces = Vec::new();
    for path in paths {
        traces.push(trace(path));
        if path.is_dir() {
            traces.extend(super::cedar_files(path).unwrap_or_default().iter().map(|file| trace(file)));
        }
    }
    traces
}

fn trace(path: &Path) -> Trace {
    let state =
        std::fs::metadata(path).ok().and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
    (path.to_owned(), state)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Flags, Secrets};

    const GOOD: &str = "[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n[policy]\nfolder = \"policies\"\n";
    const PERMIT: &str = "@id(\"all\")\npermit(principal, action, resource);\n";
    /// SIGHUP reaches the whole process, so these tests take turns.
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    /// Only a broken test waits this long.
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Watched {
        folder: tempfile::TempDir,
        inputs: Inputs,
        start: LoadedConfig,
    }

    fn watched() -> Watched {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        std::fs::write(folder.path().join("policies/own.cedar"), PERMIT).unwrap();
        let file = folder.path().join("pintle.toml");
        std::fs::write(&file, GOOD).unwrap();
        let flags = Flags { config: Some(file), ..Flags::default() };
        let inputs = Inputs { flags, environment: Arc::new(|_| None), secrets: Secrets::Required };
        let start = load(&inputs).unwrap();
        Watched { folder, inputs, start }
    }

    /// Watches while `change` is made, and hands back the first thing that is noticed.
    async fn noticed(watched: &Watched, change: impl FnOnce(&Path)) -> Reloaded {
        let (sender, mut receiver) = mpsc::channel(8);
        let watching = watch(&watched.inputs, &watched.start, |reloaded| sender.try_send(reloaded).unwrap());
        tokio::pin!(watching);
        // The first turn sets the watcher up; after it, nothing is missed.
        let set_up = std::future::poll_fn(|context| {
            std::task::Poll::Ready(watching.as_mut().poll(context).is_pending())
        });
        assert!(set_up.await);
        change(watched.folder.path());
        tokio::select! {
            ended = &mut watching => panic!("it ended: {ended:?}"),
            reloaded = tokio::time::timeout(PATIENCE, receiver.recv()) => reloaded.unwrap().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again() {
        let _turn = TURN.lock().await;
        let watched = watched();
        let reloaded = noticed(&watched, |folder| {
            // As editors do: a new file, renamed over the old one.
            std::fs::write(folder.join("new"), GOOD.replace("\"A\"", "\"Another\"")).unwrap();
            std::fs::rename(folder.join("new"), folder.join("pintle.toml")).unwrap();
        });
        assert_eq!(reloaded.await.unwrap().organisation.name, "Another");
    }

    #[tokio::test]
    async fn a_bad_file_is_reported_and_a_changed_policy_is_noticed() {
        let _turn = TURN.lock().await;
        let watched = watched();
        let bad =
            noticed(&watched, |folder| std::fs::write(folder.join("pintle.toml"), "nonsense").unwrap()).await;
        let error = bad.err().unwrap();
        assert!(error.to_string().contains("pintle.toml:1:"), "{error}");
        std::fs::write(watched.folder.path().join("pintle.toml"), GOOD).unwrap();

        let reloaded = noticed(&watched, |folder| {
            std::fs::write(folder.join("policies/more.cedar"), PERMIT.replace("all", "more")).unwrap();
        });
        let rules = |config: &LoadedConfig| config.engine.rules().len();
        assert_eq!(rules(&reloaded.await.unwrap()), rules(&watched.start) + 1);
    }

    #[tokio::test]
    async fn what_needs_a_restart_is_named() {
        let _turn = TURN.lock().await;
        let watched = watched();
        let reloaded = noticed(&watched, |folder| {
            let text = GOOD.replace("[policy]", "time_zone = \"Europe/Berlin\"\n[policy]")
                + "[server]\nlisten = \"127.0.0.1:1\"\n";
            std::fs::write(folder.join("pintle.toml"), text).unwrap();
        });
        let needs = reloaded.await.unwrap().needs_restart(&watched.start);
        assert_eq!(
            needs,
            [
                "`server.listen` changed from `127.0.0.1:7411` to `127.0.0.1:1`: this needs a restart",
                "`organisation.time_zone` changed from `UTC` to `Europe/Berlin`: this needs a restart",
            ]
        );
        assert!(watched.start.needs_restart(&watched.start).is_empty());
    }

    #[tokio::test]
    async fn i9_another_currency_does_not_meet_the_running_ledger() {
        let _turn = TURN.lock().await;
        let watched = watched();
        let reloaded = noticed(&watched, |folder| {
            std::fs::write(folder.join("pintle.toml"), GOOD.replace("EUR", "CHF")).unwrap();
        });
        let error = reloaded.await.err().unwrap();
        assert_eq!(
            error.to_string(),
            "`organisation.currency` changed from `EUR` to `CHF`, and the ledger is in `EUR`"
        );
    }

    #[tokio::test]
    async fn sighup_reads_it_again_also_without_a_change() {
        let _turn = TURN.lock().await;
        let watched = watched();
        let reloaded = noticed(&watched, |_| {
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        });
        assert_eq!(reloaded.await.unwrap().organisation.name, "A");
    }
}
