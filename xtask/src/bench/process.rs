//! The processes under measurement: started, pinned, read through `/proc`, stopped.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use super::{Starts, load::Client};
use crate::tools::{self, Outcome, Stopped};

/// The placement's name in the generated configuration.
pub(super) const MODEL: &str = "bench";
const USE_CASE: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(20);

/// The program on one core, or where the system likes.
pub(super) fn pinned(program: &Path, core: Option<usize>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    // taskset becomes the program, so the child's id is the program's.
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

/// A running process.
pub(super) struct Measured {
    child: Stopped,
    pub(super) addr: SocketAddr,
}

impl Measured {
    /// One of the servers that this program contains; it prints the address it listens on.
    pub(super) fn start_self(name: &str, arguments: &[&str], core: Option<usize>) -> Outcome<Self> {
        let mut command = pinned(&std::env::current_exe()?, core);
        command.arg(name).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Stopped(command.spawn()?);
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().ok_or("a piped output is there")?).read_line(&mut line)?;
        let addr =
            line.trim().parse().map_err(|_| format!("`{name}` did not start: it said `{}`", line.trim()))?;
        Ok(Measured { child, addr })
    }

    /// CPU time since the process began, user and system, all threads, in microseconds.
    pub(super) fn cpu_us(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.0.id()))?;
        // The name in parentheses may contain spaces; the fields are counted behind it, from the third.
        let (_, fields) = stat.rsplit_once(") ").ok_or("/proc/PID/stat has a name")?;
        let mut times = fields.split(' ').skip(11).map(str::parse::<u64>);
        let (Some(Ok(user)), Some(Ok(system))) = (times.next(), times.next()) else {
            return Err("/proc/PID/stat has no times".into());
        };
        let ticks_per_s: f64 = super::command_line("getconf", &["CLK_TCK"])?.parse()?;
        Ok((user + system) as f64 / ticks_per_s * 1e6)
    }

    /// Resident memory in KiB.
    pub(super) fn memory_kib(&self) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.0.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .ok_or("/proc/PID/status has VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

/// Pintle, set up with one placement (the fake upstream), one use case and one key.
pub(super) struct Pintle {
    binary: PathBuf,
    home: PathBuf,
    addr: SocketAddr,
    core: Option<usize>,
    pub(super) key: String,
}

/// A running Pintle.
pub(super) struct Server {
    pub(super) process: Measured,
    pub(super) addr: SocketAddr,
}

impl Pintle {
    /// Writes the configuration, starts the server once and creates the key through its command line.
    pub(super) fn prepare(
        binary: &Path,
        home: &Path,
        upstream: SocketAddr,
        core: Option<usize>,
    ) -> Outcome<Self> {
        if home.exists() {
            fs::remove_dir_all(home)?;
        }
        fs::create_dir_all(home)?;
        let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        fs::write(home.join("pintle.toml"), configuration(addr, upstream))?;
        let mut pintle =
            Pintle { binary: binary.to_owned(), home: home.to_owned(), addr, core, key: String::new() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let server = pintle.start(&runtime)?;
        pintle.command(&[
            "usecase",
            "create",
            "--title",
            "Benchmark",
            "--business-owner",
            "Jana Novak <jana.novak@example.com>",
            "--it-owner",
            "Tom Weber <tom.weber@example.com>",
            "--cost-centre",
            "4711",
            "--data-class",
            "confidential",
            "--stage",
            "production",
            "--budget",
            "1000000",
            USE_CASE,
        ])?;
        let created = pintle.command(&["key", "create", "--use-case", USE_CASE, "--json"])?;
        let created: serde_json::Value = serde_json::from_str(&created)?;
        let key = created.get("key").and_then(serde_json::Value::as_str);
        pintle.key = key.ok_or("`pintle key create --json` gave no `key`")?.to_owned();
        server.stop()?;
        Ok(pintle)
    }

    fn command(&self, arguments: &[&str]) -> Outcome<String> {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.home).arg("--data").arg(self.home.join("data")).args(arguments);
        tools::output(&mut command)
    }

    /// Starts the server and waits until it is ready.
    pub(super) fn start(&self, runtime: &Runtime) -> Outcome<Server> {
        let mut server = self.spawn()?;
        self.wait_for(runtime, &mut server, "/readyz")?;
        Ok(server)
    }

    fn spawn(&self) -> Outcome<Server> {
        let mut command = pinned(&self.binary, self.core);
        command.current_dir(&self.home);
        command.arg("--config").arg(self.home.join("pintle.toml")).arg("--data").arg(self.home.join("data"));
        let log = fs::File::create(self.home.join("server.log"))?;
        command.arg("serve").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child =
            command.spawn().map_err(|error| format!("cannot start `{}`: {error}", self.binary.display()))?;
        Ok(Server { process: Measured { child: Stopped(child), addr: self.addr }, addr: self.addr })
    }

    /// Asks until the page answers 200.
    fn wait_for(&self, runtime: &Runtime, server: &mut Server, page: &str) -> Outcome<()> {
        let begin = Instant::now();
        loop {
            let status =
                runtime.block_on(async { Client::connect(self.addr, String::new()).await?.get(page).await });
            if status.is_ok_and(|status| status.is_success()) {
                return Ok(());
            }
            if server.process.child.0.try_wait()?.is_some() || begin.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.home.join("server.log")).unwrap_or_default();
                return Err(
                    format!("`pintle serve` never answered `{page}`; it said:\n{}", log.trim()).into()
                );
            }
            // Short, for it bounds how exactly a start is measured.
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Starts the server so many times on the data that is there: to the first healthy answer, and to the
    /// first chat completion.
    pub(super) fn measure_starts(&self, runtime: &Runtime, times: usize) -> Outcome<Starts> {
        let body = bytes::Bytes::from(super::load::request_body(false));
        let mut starts = Starts { healthy_ms: Vec::new(), served_ms: Vec::new() };
        for _ in 0..times {
            let begin = Instant::now();
            let mut server = self.spawn()?;
            self.wait_for(runtime, &mut server, "/healthz")?;
            starts.healthy_ms.push(begin.elapsed().as_secs_f64() * 1e3);
            // Healthy may come before ready.
            self.wait_for(runtime, &mut server, "/readyz")?;
            let served = runtime.block_on(async {
                Client::connect(self.addr, self.key.clone()).await?.chat(body.clone()).await
            });
            served.map_err(|error| format!("the first request after a start: {error}"))?;
            starts.served_ms.push(begin.elapsed().as_secs_f64() * 1e3);
            server.stop()?;
        }
        Ok(starts)
    }
}

impl Server {
    /// Asks it to stop and waits; one that does not is an error (and is killed).
    pub(super) fn stop(mut self) -> Outcome<()> {
        let child: &mut Child = &mut self.process.child.0;
        super::command_line("kill", &["-TERM", &child.id().to_string()])?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("`pintle serve` ended with {status}").into())
                };
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(format!("`pintle serve` did not stop within {PATIENCE:?}").into())
    }
}

fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"[organisation]
name = "Benchmark"
currency = "EUR"
time_zone = "Europe/Berlin"
monthly_budget = "10000000"

[server]
listen = "{listen}"

[limits]
concurrent_per_key = 512
concurrent_total = 1024

[[placement]]
name = "{MODEL}"
provider = "openai"
base_url = "http://{upstream}/v1"
model = "bench-model"
zone = "on_premises"
region = "eu"
clearance = "restricted"
price = {{ input = "0.15", output = "0.60", cached_input = "0.075" }}
"#
    )
}
