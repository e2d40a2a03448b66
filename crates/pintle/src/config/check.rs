//! From what the file says to what the server runs on: each value is checked for its meaning, every fault
//! is reported in one go, and only a configuration without errors comes out.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use pintle_core::Amount;
use pintle_policy::{PolicyEngine, PolicySource, default_sources};
use pintle_registry::Organisation;

use super::{
    ConfigSource, LoadedConfig, ServerConfig, TuningConfig, explain,
    files::{self, plain_reason},
    parse::{Parsed, cut},
    placements,
    problem::{Fault, Problem, Severity},
    schema::{DEFAULT_LISTEN, Limits},
    settings::{Inputs, LISTEN, Origin, PUBLIC_URL},
    source::{Place, join},
    words,
};

const POLICY_FILES_MAX: usize = 500;
const POLICY_FILE_MIB_MAX: u64 = 1;

/// Checks everything.
///
/// # Errors
/// All problems, warnings included, when at least one is an error.
pub(crate) fn check(
    mut parsed: Parsed,
    inputs: &Inputs,
    source: ConfigSource,
    folder: &Path,
) -> Result<LoadedConfig, Vec<Problem>> {
    let is_demo = source == ConfigSource::Demo;
    let organisation = organisation(&mut parsed, is_demo);
    let organisation_budget = budget(&mut parsed);
    let server = server(&mut parsed, inputs, is_demo);
    limits(&mut parsed);
    let tuning = tuning(&mut parsed);
    let (scanner, mut watched) = words::check(&mut parsed, folder);
    let policy = policy(&mut parsed, folder, &mut watched);
    let (placements, owns) = placements::check(&mut parsed, inputs, folder, &mut watched);
    let explained = explain::rows(&parsed, inputs, &source);
    if let ConfigSource::File(path) = &source {
        watched.push(path.clone());
    }
    let mut problems = parsed.problems;
    // The message too: policies are validated in no particular order, and errors should read the same twice.
    problems.sort_by(|a, b| {
        let key = |problem: &Problem| (problem.place.line, problem.place.column);
        (&a.place.file, key(a), &a.message).cmp(&(&b.place.file, key(b), &b.message))
    });
    // The second half follows from the first; were it not so, a placement would silently be missing.
    let is_sound = problems.iter().all(|problem| problem.severity == Severity::Warning)
        && placements.len() == parsed.config.placement.len();
    match (is_sound, organisation, server, scanner, policy) {
        (true, Some(organisation), Some(server), Some(scanner), Some(engine)) => Ok(LoadedConfig {
            tuning,
            organisation,
            organisation_budget,
            server,
            data_folder: inputs.data_folder().0,
            limits: parsed.config.limits,
            scanner: Arc::new(scanner),
            engine: Arc::new(engine),
            placements,
            owns,
            source,
            watched,
            warnings: problems,
            explained,
        }),
        _ => Err(problems),
    }
}

fn organisation(parsed: &mut Parsed, is_demo: bool) -> Option<Organisation> {
    let config = parsed.config.organisation.clone();
    let name = config.name.filter(|name| !name.trim().is_empty());
    if parsed.is_absent("organisation") {
        let hint =
            "write [organisation], and below it name = \"Example AG\" and currency = \"EUR\"".to_owned();
        let fault = Fault::Missing { key: "[organisation]".to_owned(), table: "this file".to_owned(), hint };
        parsed.error_at("organisation", &fault);
    } else {
        let keys = [("name", name.is_some()), ("currency", config.currency.is_some())];
        parsed.require("organisation", "organisation", &keys);
        if name.is_none()
            && parsed.map.has("organisation.name")
            && !parsed.rejected.contains("organisation.name")
        {
            let hint = "write name = \"Example AG\"".to_owned();
            parsed.error_at(
                "organisation.name",
                &Fault::BadValue { message: "the organisation's name is empty".to_owned(), hint },
            );
        }
    }
    let time_zone = match jiff::tz::TimeZone::get(&config.time_zone) {
        Ok(zone) => Some(zone),
        Err(_) => {
            parsed.error_at("organisation.time_zone", &Fault::TimeZone(cut(&config.time_zone)));
            None
        }
    };
    Some(Organisation { name: name?, currency: config.currency?, time_zone: time_zone?, is_demo })
}

fn budget(parsed: &mut Parsed) -> Option<Amount> {
    let text = parsed.config.organisation.monthly_budget.clone()?;
    let path = "organisation.monthly_budget";
    match text.parse::<Amount>() {
        Ok(amount) if amount >= Amount::ZERO => Some(amount),
        Ok(_) => {
            let hint = "use an amount from 0 upwards, or remove the line".to_owned();
            parsed.error_at(path, &Fault::BadValue { message: format!("`{text}` is not a budget"), hint });
            None
        }
        Err(error) => {
            let message = format!("`{}` is not {}", error.input, error.wanted);
            parsed.error_at(path, &Fault::BadValue { message, hint: error.hint });
            None
        }
    }
}

fn server(parsed: &mut Parsed, inputs: &Inputs, is_demo: bool) -> Option<ServerConfig> {
    let in_file = parsed.config.server.clone();
    let from_file = parsed.map.has("server.listen").then(|| file_origin(parsed, "server.listen"));
    let (text, origin) = inputs
        .overriding(&LISTEN)
        .unwrap_or_else(|| (in_file.listen.clone(), from_file.unwrap_or(Origin::Default)));
    let listen = match text.parse::<SocketAddr>() {
        Ok(address) if is_demo && !address.ip().is_loopback() => {
            report(parsed, LISTEN.path, &origin, &Fault::DemoNotLoopback(cut(&text)));
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            report(parsed, LISTEN.path, &origin, &Fault::Listen(cut(&text)));
            None
        }
    };
    let stated = inputs.overriding(&PUBLIC_URL).or_else(|| {
        let origin = file_origin(parsed, PUBLIC_URL.path);
        in_file.public_url.clone().map(|url| (url, origin))
    });
    let public_url = match stated {
        None => listen.map(local_url),
        Some((text, origin)) => match placements::web_address(&text) {
            Ok(_) => Some(text.trim_end_matches('/').to_owned()),
            Err(fault) => {
                report(parsed, PUBLIC_URL.path, &origin, &fault);
                None
            }
        },
    };
    Some(ServerConfig { listen: listen?, public_url: public_url? })
}

/// The address that a browser on this machine uses.
pub(crate) fn local_url(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        format!("http://localhost:{}", listen.port())
    } else {
        format!("http://{listen}")
    }
}

fn file_origin(parsed: &Parsed, path: &str) -> Origin {
    let line = parsed.map.get(path).map_or(0, |mark| parsed.source.line(mark.key.start));
    Origin::File { file: parsed.source.name.clone(), line }
}

/// A fault of a value that a flag or a variable may have brought.
fn report(parsed: &mut Parsed, path: &str, origin: &Origin, fault: &Fault) {
    match origin {
        Origin::File { .. } => parsed.error_at(path, fault),
        Origin::Default => {
            let name = format!("the default of {path}, {DEFAULT_LISTEN}");
            parsed.error_elsewhere(Place::file(&name), fault);
        }
        Origin::Flag(_) | Origin::Environment(_) => {
            parsed.error_elsewhere(Place::file(&origin.place_name()), fault);
        }
    }
}

fn limits(parsed: &mut Parsed) {
    let Limits {
        body_mib,
        request_deadline_s,
        concurrent_per_key,
        concurrent_total,
        max_output_tokens,
        unpriced: _,
        retries,
    } = parsed.config.limits;
    let ranges = [
        ("body_mib", body_mib, 1, 1_024),
        ("request_deadline_s", request_deadline_s, 1, 86_400),
        ("concurrent_per_key", concurrent_per_key, 1, 100_000),
        ("concurrent_total", concurrent_total, 1, 100_000),
        ("max_output_tokens", max_output_tokens, 1, 10_000_000),
        ("retries", retries, 0, 10),
    ];
    for (key, value, least, most) in ranges {
        if value < least || value > most {
            let fault = Fault::OutOfRange {
                path: key.to_owned(),
                value: value.into(),
                least: least.into(),
                most: most.into(),
            };
            parsed.error_at(&join("limits", key), &fault);
        }
    }
}

/// What tuning costs, and what a core takes.
fn tuning(parsed: &mut Parsed) -> TuningConfig {
    let section = parsed.config.models.clone();
    let path = "models.training_price_per_hour";
    let price_per_hour = match section.training_price_per_hour.as_deref() {
        None | Some("unpriced") => None,
        Some(text) => match text.parse::<Amount>() {
            Ok(amount) if amount >= Amount::ZERO => Some(amount),
            _ => {
                let message = format!("`{}` is not the price of an hour", cut(text));
                let hint =
                    "use a decimal from 0 upwards in quotes, such as \"0.04\", or \"unpriced\"".to_owned();
                parsed.error_at(path, &Fault::BadValue { message, hint });
                None
            }
        },
    };
    if !(0.1..=1_000.0).contains(&section.watts_per_core) {
        let message = format!("`{}` is not what a core takes", section.watts_per_core);
        let hint = "use watts from 0.1 to 1000".to_owned();
        parsed.error_at("models.watts_per_core", &Fault::BadValue { message, hint });
    }
    TuningConfig { price_per_hour, watts_per_core: section.watts_per_core }
}

/// The policies, compiled: the organisation's own, or the built-in ones.
fn policy(parsed: &mut Parsed, folder: &Path, watched: &mut Vec<PathBuf>) -> Option<PolicyEngine> {
    let sources = match parsed.config.policy.folder.clone() {
        None => default_sources(),
        Some(name) => {
            let path = folder.join(&name);
            watched.push(path.clone());
            policy_files(parsed, &name, &path)?
        }
    };
    match PolicyEngine::compile(&sources) {
        Ok(engine) => Some(engine),
        Err(error) => {
            if error.problems().is_empty() {
                let fault = Fault::Policy { message: error.to_string(), hint: String::new() };
                parsed.error_at("policy", &fault);
            }
            for problem in error.problems() {
                let place =
                    Place { line: problem.line, column: problem.column, ..Place::file(&problem.file) };
                let fault = Fault::Policy { message: problem.message.clone(), hint: problem.hint.clone() };
                parsed.error_elsewhere(place, &fault);
            }
            None
        }
    }
}

fn policy_files(parsed: &mut Parsed, name: &str, folder: &Path) -> Option<Vec<PolicySource>> {
    let key = "policy.folder";
    let files = match cedar_files(folder) {
        Ok(files) => files,
        Err(error) => {
            let fault = Fault::Unreadable {
                what: "policy folder",
                path: name.to_owned(),
                reason: plain_reason(&error),
            };
            parsed.error_at(key, &fault);
            return None;
        }
    };
    if files.is_empty() {
        parsed.error_at(key, &Fault::NoPolicies(name.to_owned()));
        return None;
    }
    if files.len() > POLICY_FILES_MAX {
        parsed.error_at(key, &Fault::TooMany { path: "policy.folder", most: POLICY_FILES_MAX });
        return None;
    }
    let mut sources = Vec::with_capacity(files.len());
    for path in files {
        let shown = path.display().to_string();
        match files::read_text(&path, POLICY_FILE_MIB_MAX) {
            Ok(text) => sources.push(PolicySource { name: shown, text }),
            Err(error) => {
                let fault = Fault::Unreadable { what: "policy file", path: shown, reason: error.to_string() };
                parsed.error_at(key, &fault);
                return None;
            }
        }
    }
    Some(sources)
}

/// The `*.cedar` files of a folder by name, so that reasons are given in a stable order.
pub(crate) fn cedar_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cedar") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
