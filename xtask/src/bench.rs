//! `cargo xtask bench gateway`: what Pintle adds, measured beside a bare proxy in one run.
//!
//! Three targets get the same load: the fake upstream itself (`direct`), a bare hyper reverse proxy
//! before it (`proxy`), and Pintle before it with everything on (`pintle`): key, guard, policy, hold,
//! journal, audit. Rounds alternate between the targets, and every figure is the median of its rounds,
//! so that a machine that grows warm or busy bends all three alike.
//!
//! Where `taskset` is there, load and upstream share core 0 and the measured process has core 1 for
//! itself. Direct runs use core 0 only; the proxy is therefore the fair comparison for throughput.

mod load;
mod machine;
pub(crate) mod model;
mod process;
mod report;
mod servers;

use std::{path::PathBuf, process::Command, time::Duration};

use load::Load;
use process::{Measured, Pintle};
pub(crate) use servers::{PROXY, UPSTREAM, serve_proxy, serve_upstream};

use crate::tools::{self, Outcome};

const ROUNDS: usize = 3;
const STARTS: usize = 5;
const CONNECTIONS: [usize; 3] = [1, 32, 128];
/// Set by the first of the two processes that a bench needs, for the second.
const AGAIN: &str = "PINTLE_BENCH_PINNED";

struct Options {
    length: Duration,
    json: Option<PathBuf>,
}

fn options(arguments: &[&str]) -> Outcome<Options> {
    let mut options = Options { length: Duration::from_secs(3), json: None };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("`{argument}` needs a value"))?;
        match *argument {
            "--seconds" => {
                let seconds: u64 = value.parse().map_err(|_| format!("`{value}` is no number of seconds"))?;
                if !(1..=600).contains(&seconds) {
                    return Err("`--seconds` is between 1 and 600".into());
                }
                options.length = Duration::from_secs(seconds);
            }
            "--json" => options.json = Some(std::path::absolute(value)?),
            other => return Err(format!("cannot read `{other}`\nhint: `cargo xtask help`").into()),
        }
    }
    Ok(options)
}

/// Builds what is measured, then measures in an optimised, pinned copy of this program.
pub(crate) fn run(arguments: &[&str]) -> Outcome<()> {
    let options = options(arguments)?;
    match std::env::var(AGAIN) {
        Ok(pinned) => measure(&options, pinned == "yes"),
        Err(_) => start_again(arguments),
    }
}

fn start_again(arguments: &[&str]) -> Outcome<()> {
    let root = tools::root()?;
    let release = tools::target_dir(&root)?.join("release");
    println!("building the release binaries");
    tools::show(tools::cargo(&root).args([
        "build",
        "--release",
        "--quiet",
        "--package",
        "pintle",
        "--package",
        "xtask",
    ]))?;
    let cores = std::thread::available_parallelism()?.get();
    let pinned = cores > 1 && tools::on_path("taskset");
    let mut command = process::pinned(&release.join("xtask"), pinned.then_some(0));
    command.args(["bench", "gateway"]).args(arguments).env(AGAIN, if pinned { "yes" } else { "no" });
    tools::show(command.current_dir(&root))
}

/// One target under one load, in one round.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) requests_per_s: f64,
    pub(crate) latency_p50_us: f64,
    pub(crate) latency_p99_us: f64,
    pub(crate) first_byte_p50_us: f64,
    pub(crate) first_byte_p99_us: f64,
    /// CPU time of the measured process. Nothing for `direct`.
    pub(crate) cpu_us_per_request: Option<f64>,
    /// Share of one core that the measured process used.
    pub(crate) cpu_share: Option<f64>,
}

/// A load and the samples of each target, by round.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) connections: usize,
    pub(crate) streamed: bool,
    pub(crate) direct: Vec<Sample>,
    pub(crate) proxy: Vec<Sample>,
    pub(crate) pintle: Vec<Sample>,
}

/// Memory of a process, in KiB, as `VmRSS` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) idle_kib: u64,
    pub(crate) after_kib: u64,
}

/// How long Pintle takes from `exec` to its first answers, in milliseconds, by start.
#[derive(Debug)]
pub(crate) struct Starts {
    pub(crate) healthy_ms: Vec<f64>,
    pub(crate) served_ms: Vec<f64>,
}

fn measure(options: &Options, pinned: bool) -> Outcome<()> {
    let root = tools::root()?;
    let target = tools::target_dir(&root)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let core = |core: usize| pinned.then_some(core);

    let upstream = Measured::start_self(UPSTREAM, &[], core(0))?;
    let upstream_at = upstream.addr.to_string();
    let proxy = Measured::start_self(PROXY, &[&upstream_at], core(1))?;
    let home = target.join("xtask").join("bench");
    let pintle = Pintle::prepare(&target.join("release").join("pintle"), &home, upstream.addr, core(1))?;

    println!("measuring {STARTS} starts");
    let starts = pintle.measure_starts(&runtime, STARTS)?;
    let server = pintle.start(&runtime)?;
    let idle = (proxy.memory_kib()?, server.process.memory_kib()?);

    let length = options.length;
    let mut cells = Vec::new();
    for streamed in [false, true] {
        for connections in CONNECTIONS {
            println!("measuring {connections} connections, {}", if streamed { "streamed" } else { "whole" });
            let load = |addr, key: &str| Load { addr, key: key.to_owned(), connections, streamed, length };
            let direct = load(upstream.addr, "none");
            let through_proxy = load(proxy.addr, "none");
            let through_pintle = load(server.addr, &pintle.key);
            let mut cell = Cell { connections, streamed, direct: vec![], proxy: vec![], pintle: vec![] };
            for round in 0..ROUNDS {
                cell.direct.push(sample(&runtime, &direct, None)?);
                // Alternate, so that neither always runs first.
                if round % 2 == 0 {
                    cell.proxy.push(sample(&runtime, &through_proxy, Some(&proxy))?);
                    cell.pintle.push(sample(&runtime, &through_pintle, Some(&server.process))?);
                } else {
                    cell.pintle.push(sample(&runtime, &through_pintle, Some(&server.process))?);
                    cell.proxy.push(sample(&runtime, &through_proxy, Some(&proxy))?);
                }
            }
            cells.push(cell);
        }
    }
    let memory_of = |idle_kib, process: &Measured| {
        Ok::<_, Box<dyn std::error::Error>>(Memory { idle_kib, after_kib: process.memory_kib()? })
    };
    let report = report::Report {
        machine: machine::describe(pinned)?,
        length_s: length.as_secs(),
        rounds: ROUNDS,
        cells,
        proxy_memory: memory_of(idle.0, &proxy)?,
        pintle_memory: memory_of(idle.1, &server.process)?,
        starts,
    };
    server.stop()?;
    println!("\n{}", report.markdown());
    if let Some(file) = &options.json {
        std::fs::write(file, format!("{:#}\n", report.json()))?;
        println!("every figure is in `{}`", file.display());
    }
    Ok(())
}

fn sample(runtime: &tokio::runtime::Runtime, load: &Load, process: Option<&Measured>) -> Outcome<Sample> {
    // Connections are made and caches filled before anything is counted.
    runtime.block_on(load::run(&Load { length: load.length / 6, ..load.clone() }))?;
    let before = process.map(Measured::cpu_us).transpose()?;
    let seen = runtime.block_on(load::run(load))?;
    let after = process.map(Measured::cpu_us).transpose()?;
    let cpu_us = before.zip(after).map(|(before, after)| after - before);
    let requests = seen.latencies_us.len() as f64;
    Ok(Sample {
        requests_per_s: requests / seen.took.as_secs_f64(),
        latency_p50_us: report::percentile(&seen.latencies_us, 50),
        latency_p99_us: report::percentile(&seen.latencies_us, 99),
        first_byte_p50_us: report::percentile(&seen.first_bytes_us, 50),
        first_byte_p99_us: report::percentile(&seen.first_bytes_us, 99),
        cpu_us_per_request: cpu_us.map(|cpu_us| cpu_us / requests),
        cpu_share: cpu_us.map(|cpu_us| cpu_us / 1e6 / seen.took.as_secs_f64()),
    })
}

pub(crate) fn command_line(command: &str, arguments: &[&str]) -> Outcome<String> {
    Ok(tools::output(Command::new(command).args(arguments))?.trim().to_owned())
}
