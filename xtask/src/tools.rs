//! What every command needs: where things are, and programs run so that a failure says which one.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Errors of this tool are sentences for the person at the terminal; nobody matches on them.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// How long a child may take to stop when it is asked to.
const TIME_TO_STOP: Duration = Duration::from_secs(25);

/// The root of the checkout: the nearest folder upwards whose manifest declares a workspace.
pub(crate) fn root() -> Outcome<PathBuf> {
    let here = std::env::current_dir()?;
    here.ancestors()
        .find(|folder| {
            std::fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("[workspace]"))
        })
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("no workspace at or above `{}`", here.display()).into())
}

/// Cargo, as it was called.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// `cargo metadata`: offline when the packages are here already, else with the network.
pub(crate) fn metadata(root: &Path, with_dependencies: bool) -> Outcome<Value> {
    let host = if with_dependencies { Some(host_triple()?) } else { None };
    let run = |offline: bool| {
        let mut command = cargo(root);
        command.args(["metadata", "--format-version", "1"]);
        match &host {
            // Only this platform's packages: the others need not be downloaded to be judged.
            Some(host) => command.args(["--filter-platform", host]),
            None => command.arg("--no-deps"),
        };
        if offline {
            command.arg("--offline");
        }
        output(&mut command)
    };
    let text = run(true).or_else(|_| run(false))?;
    Ok(serde_json::from_str(&text)?)
}

fn host_triple() -> Outcome<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("`rustc -vV` names no host")?.to_owned())
}

/// Where Cargo builds: the flag, the environment and the configuration are Cargo's to weigh.
pub(crate) fn target_dir(root: &Path) -> Outcome<PathBuf> {
    let metadata = metadata(root, false)?;
    Ok(metadata
        .get("target_directory")
        .and_then(Value::as_str)
        .ok_or("cargo names no target directory")?
        .into())
}

/// Whether a program of this name is on the path.
pub(crate) fn on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

/// Runs a program and gives its standard output; its standard error is shown only when it fails.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("`{}` failed ({})\n{}", shown(command), done.status, said.trim()).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// Runs a program with its output shown.
pub(crate) fn show(command: &mut Command) -> Outcome<()> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", shown(command)).into()) }
}

/// Runs a program with its output shown, and gives each line of its standard output to `line` as well.
/// The result says whether it succeeded.
pub(crate) fn show_lines(command: &mut Command, mut line: impl FnMut(&str)) -> Outcome<bool> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = Stopped(child.map_err(|error| cannot_start(command, &error))?);
    let stdout = child.0.stdout.take().ok_or("a piped output is there")?;
    for text in BufReader::new(stdout).split(b'\n') {
        let text = text?;
        let text = String::from_utf8_lossy(&text);
        println!("{text}");
        line(&text);
    }
    Ok(child.0.wait()?.success())
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}", command.get_program().to_string_lossy())
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A child process that does not outlive this value. It is asked first, so that it can stop what it
/// started itself, and killed when it does not listen.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
            let until = Instant::now() + TIME_TO_STOP;
            while asked.is_ok() && Instant::now() < until && matches!(self.0.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        // An error means that it has ended already, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
