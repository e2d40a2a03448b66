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
/// renaming another one over it. `start` is the configuration that runs now.
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
        on_change(reloaded);
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
    let state = std::fs::metadata(path)
        .ok()
        .and_then(|metadata| Some((metadata.len(), metadata.modified().ok()?)));
    (path.to_owned(), state)
}
