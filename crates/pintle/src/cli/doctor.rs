//! `pintle doctor`: what the server needs, checked one by one, each with a fix. Reads and asks only; the
//! one file that it writes, to see whether it can, it removes again.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use http::StatusCode;
use jiff::SignedDuration;
use pintle_core::{Clock, Pricing, SystemClock};
use pintle_registry::{Placement, Provider};
use serde::Serialize;

use crate::config::{Inputs, LoadedConfig, Severity, load, plain_reason};

use super::{
    client::AdminClient,
    exit::CliError,
    output::{Output, Paint},
    probe::{Probed, Prober, is_encrypted},
};

/// Before this, the program did not exist; so the clock is wrong.
const YEAR_MIN: i16 = 2026;
const YEAR_MAX: i16 = 2099;
/// Journal and database of a busy week.
const FREE_BYTES_WARN: u64 = 1024 * 1024 * 1024;
const FREE_BYTES_FAIL: u64 = 64 * 1024 * 1024;
/// Beyond this, expiry of keys and bans, and months, are visibly off.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(30);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Serialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: impl Into<String>, detail: impl Into<String>) {
        self.0.push(Finding { check: check.into(), verdict: Verdict::Ok, detail: detail.into(), fix: None });
    }

    fn add(
        &mut self,
        verdict: Verdict,
        check: impl Into<String>,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding { check: check.into(), verdict, detail: detail.into(), fix: Some(fix.into()) });
    }

    fn warn(&mut self, check: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) {
        self.add(Verdict::Warn, check, detail, fix);
    }

    fn fail(&mut self, check: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) {
        self.add(Verdict::Fail, check, detail, fix);
    }
}

/// Runs every check and prints them all.
///
/// # Errors
/// When one fails.
pub(crate) async fn run(inputs: &Inputs, output: &Output) -> Result<(), CliError> {
    let mut findings = Findings::default();
    let data = inputs.data_folder().0;
    data_folder(&data, &mut findings);
    disk_space(&data, &mut findings);
    clock(&mut findings);
    server(&data, &mut findings).await;
    match load(inputs) {
        Ok(config) => {
            configuration(&config, &mut findings);
            placements(&config, &mut findings).await;
        }
        Err(error) => {
            let problems = error.problems().iter().filter(|problem| problem.severity == Severity::Error);
            let detail = match (problems.clone().next(), problems.count()) {
                (Some(first), 1) => format!("{}: {}", first.place, first.message),
                (Some(first), more) => {
                    format!("{more} errors, the first: {}: {}", first.place, first.message)
                }
                (None, _) => error.to_string(),
            };
            findings.fail("configuration", detail, "run `pintle config check` and mend what it says");
        }
    }
    print(&findings.0, output)
}

fn print(findings: &[Finding], output: &Output) -> Result<(), CliError> {
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    if output.json {
        output.json(&serde_json::json!({ "ok": failed == 0, "checks": findings }))?;
    } else {
        for finding in findings {
            let label = match finding.verdict {
                Verdict::Ok => output.paint("ok  ", Paint::Green),
                Verdict::Warn => output.paint("warn", Paint::Yellow),
                Verdict::Fail => output.paint("fail", Paint::Red),
            };
            output.line(&format!("{label}  {}: {}", finding.check, finding.detail))?;
            if let Some(fix) = &finding.fix {
                output.line(&format!("      {} {fix}", output.paint("fix:", Paint::Cyan)))?;
            }
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(CliError::ChecksFailed("1 check failed".to_owned())),
        more => Err(CliError::ChecksFailed(format!("{more} checks failed"))),
    }
}

fn data_folder(data: &Path, findings: &mut Findings) {
    let check = "data folder";
    let shown = data.display();
    let folder = if data.exists() { data.to_owned() } else { existing_parent(data) };
    if !folder.is_dir() {
        let detail = format!("`{}` is not a folder", folder.display());
        findings.fail(check, detail, "name another one with `--data DIR` or PINTLE_DATA");
        return;
    }
    // Permissions say little about read-only mounts and quotas: trying is the check.
    let probe = folder.join(format!(".pintle-doctor-{}", std::process::id()));
    let tried = std::fs::OpenOptions::new().write(true).create_new(true).open(&probe);
    match tried {
        Ok(_) => {
            // What cannot be removed again was still written.
            let _ = std::fs::remove_file(&probe);
            if data.exists() {
                findings.ok(check, format!("`{shown}` is writable"));
            } else {
                findings.ok(check, format!("`{shown}` is not there yet and can be created"));
            }
        }
        Err(error) => {
            let detail = format!("`{}` is not writable: {}", folder.display(), plain_reason(&error));
            findings.fail(
                check,
                detail,
                format!("give this user write access to it, or use another `--data`; now `{shown}`"),
            );
        }
    }
}

/// The nearest folder above that exists.
fn existing_parent(path: &Path) -> PathBuf {
    let parents = path.ancestors().skip(1);
    let found = parents.map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    found.into_iter().find(|parent| parent.exists()).unwrap_or(Path::new(".")).to_owned()
}

fn disk_space(data: &Path, findings: &mut Findings) {
    let check = "disk space";
    let folder = if data.exists() { data.to_owned() } else { existing_parent(data) };
    let state = match rustix::fs::statvfs(&folder) {
        Ok(state) => state,
        Err(error) => {
            let detail = format!("`{}` cannot be asked: {error}", folder.display());
            findings.warn(check, detail, "look with `df`");
            return;
        }
    };
    let free_bytes = state.f_bavail.saturating_mul(state.f_frsize);
    let detail = format!("{} MiB free at `{}`", free_bytes / (1024 * 1024), folder.display());
    let fix = "free some space, or move the data folder: when the disk is full, requests are refused";
    if free_bytes < FREE_BYTES_FAIL {
        findings.fail(check, detail, fix);
    } else if free_bytes < FREE_BYTES_WARN {
        findings.warn(check, detail, fix);
    } else {
        findings.ok(check, detail);
    }
}

fn clock(findings: &mut Findings) {
    let check = "clock";
    let fix = "set the clock, and keep it right with NTP (`timedatectl set-ntp true`)";
    let (before, began) = (SystemClock.now(), Instant::now());
    let year = before.to_zoned_datetime(jiff::tz::TimeZone::UTC).year();
    if !(YEAR_MIN..=YEAR_MAX).contains(&year) {
        findings.fail(check, format!("it says the year is {year}"), fix);
        return;
    }
    // Two looks: a clock that runs backwards or leaps between them is being set right now.
    let (after, passed) = (SystemClock.now(), began.elapsed());
    let drift = after.duration_since(before).as_millis() - i128::try_from(passed.as_millis()).unwrap_or(0);
    if after < before || drift.abs() > 1_000 {
        findings.warn(check, "it leapt while it was looked at", fix);
    } else {
        findings.ok(check, format!("{} UTC", before.strftime("%Y-%m-%d %H:%M")));
    }
}

async fn server(data: &Path, findings: &mut Findings) {
    let check = "server";
    let asked = match AdminClient::open(data) {
        Ok(client) => client.get("/admin/api/status").await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(status) => {
            let version = status.get("version").and_then(serde_json::Value::as_str).unwrap_or("unknown");
            findings.ok(check, format!("running, version {version}"));
            let error = status.pointer("/config/last_error").and_then(serde_json::Value::as_str);
            if error.is_some() {
                findings.warn(
                    "running configuration",
                    "the file was changed and is wrong; the server still runs on the one before",
                    "run `pintle config check` and mend what it says",
                );
            }
        }
        Err(CliError::NotRunning { .. }) => findings.ok(check, "not running"),
        Err(error) => {
            let fix = error.hint().unwrap_or_else(|| "restart the server".to_owned());
            findings.warn(check, error.to_string(), fix);
        }
    }
}

fn configuration(config: &LoadedConfig, findings: &mut Findings) {
    let check = "configuration";
    for warning in &config.warnings {
        findings.warn(check, format!("{}: {}", warning.place, warning.message), warning.hint.clone());
    }
    findings.ok(check, format!("{} is valid, {} policy rules", config.source, config.engine.rules().len()));
    for placement in &config.placements {
        if placement.pricing == Pricing::Unpriced {
            findings.warn(
                format!("price of {}", placement.name),
                format!("unknown ({}): budgets cannot hold for it", placement.source),
                "write its price into the configuration",
            );
        }
    }
}

async fn placements(config: &LoadedConfig, findings: &mut Findings) {
    let is_remote = |placement: &&std::sync::Arc<Placement>| {
        !matches!(placement.provider, Provider::Embedded | Provider::Simulated)
    };
    if !config.placements.iter().any(|placement| is_remote(&placement)) {
        findings.ok("endpoints", "all placements answer from within Pintle, nothing is called");
        return;
    }
    let needs_tls = config.placements.iter().any(|placement| is_encrypted(&placement.provider));
    let prober = match needs_tls.then(Prober::with_tls) {
        None => Prober::plain(),
        Some(Ok(prober)) => {
            findings.ok("TLS", "certificate authorities of this machine are loaded");
            prober
        }
        Some(Err(_)) => {
            findings.fail(
                "TLS",
                "this machine trusts no certificate authority, so no https endpoint can be called",
                "install them (`apt install ca-certificates`), or set SSL_CERT_FILE",
            );
            Prober::plain()
        }
    };
    let mut skew = None;
    for placement in config.placements.iter().filter(is_remote) {
        let Some(probed) = prober.ask(placement).await else { continue };
        if let Probed::Answered { date: Some(date), .. } = &probed {
            skew = Some(SystemClock.now().duration_since(*date));
        }
        endpoint(placement, &probed, findings);
    }
    if let Some(skew) = skew {
        remote_clock(skew, findings);
    }
}

fn endpoint(placement: &Placement, probed: &Probed, findings: &mut Findings) {
    let check = format!("endpoint of {}", placement.name);
    let source = &placement.source;
    match probed {
        Probed::Failed(reason) => findings.fail(
            check,
            reason.clone(),
            format!(
                "check `base_url` ({source}), the name's DNS entry and firewalls; is the server running?"
            ),
        ),
        Probed::Answered { status, .. }
            if matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
        {
            findings.fail(
                check,
                format!("reachable, but it does not accept the key ({status})"),
                format!("check `api_key` ({source}): is it this provider's, and still valid?"),
            );
        }
        Probed::Answered { status, .. } if status.is_server_error() => findings.warn(
            check,
            format!("reachable, but unwell ({status})"),
            "look at the provider's status page, or the server's log",
        ),
        Probed::Answered { status, .. } if *status == StatusCode::NOT_FOUND => findings.warn(
            check,
            "reachable, but it has no list of models at this address",
            format!("check that `base_url` ({source}) ends as the provider says, mostly with `/v1`"),
        ),
        Probed::Answered { .. } => findings.ok(check, "reachable"),
    }
}

fn remote_clock(skew: SignedDuration, findings: &mut Findings) {
    let seconds = skew.as_secs();
    if skew.abs() <= SKEW_MAX {
        return findings.ok("clock against endpoints", format!("{} s apart", seconds.abs()));
    }
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    findings.warn(
        "clock against endpoints",
        format!("this machine is {} s {direction} the last endpoint", seconds.abs()),
        "set the clock, and keep it right with NTP",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(findings: &Findings) -> Vec<Verdict> {
        findings.0.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_missing_data_folder_is_judged_by_its_nearest_parent() {
        let temp = tempfile::tempdir().unwrap();
        let mut findings = Findings::default();
        data_folder(&temp.path().join("a/b"), &mut findings);
        let file = temp.path().join("file");
        std::fs::write(&file, "").unwrap();
        data_folder(&file, &mut findings);
        assert_eq!(verdicts(&findings), [Verdict::Ok, Verdict::Fail]);
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 1, "the probe is gone again");
    }

    #[test]
    fn a_skewed_clock_is_noticed_in_both_directions() {
        let mut findings = Findings::default();
        for seconds in [-5, 5, 90, -90] {
            remote_clock(SignedDuration::from_secs(seconds), &mut findings);
        }
        assert_eq!(verdicts(&findings), [Verdict::Ok, Verdict::Ok, Verdict::Warn, Verdict::Warn]);
        assert!(findings.0[2].detail.contains("ahead of") && findings.0[3].detail.contains("behind"));
    }
}
