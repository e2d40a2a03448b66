//! The line that says where figures come from; without it they mean nothing.

use std::fs;

use super::command_line;
use crate::tools::Outcome;

/// Processor, cores, kernel, compiler, date, pinning.
pub(super) fn describe(pinned: bool) -> Outcome<String> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let memory_kib: u64 =
        memory.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
    let kernel = command_line("uname", &["-sr"])?;
    let compiler = command_line("rustc", &["--version"])?;
    let date = command_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?;
    let pinning = if pinned {
        "load and upstream pinned to core 0, the measured process to core 1"
    } else {
        "not pinned"
    };
    Ok(format!("{model}, {cores} cores, {} GiB, {kernel}, {compiler}; {pinning}; {date}", memory_kib >> 20))
}
