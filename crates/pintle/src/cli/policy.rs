//! `pintle policy`: test, list and export, without a server.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use pintle_policy::{DEFAULT_TESTS, SCHEMA, TestReport, default_sources, run_tests, untested_in_all};
use serde_json::json;

use crate::config::{Inputs, LoadedConfig, Secrets, load, plain_reason, read_text};

use super::{
    args::PolicyCommand,
    exit::CliError,
    output::{Output, Table, words},
};

const TABLE_MIB_MAX: u64 = 4;

pub(crate) fn run(command: PolicyCommand, inputs: Inputs, output: &Output) -> Result<(), CliError> {
    // Policies are tested in pipelines, which have no business with providers' keys.
    let inputs = Inputs { secrets: Secrets::Skipped, ..inputs };
    match command {
        PolicyCommand::List => list(&load(&inputs)?, output),
        PolicyCommand::Test { files } => {
            let config = load(&inputs)?;
            let mut reports = Vec::new();
            for (name, text) in tables(files)? {
                reports.push(run_tests(&config.engine, &text, &name).map_err(CliError::Table)?);
            }
            print(&reports, output)
        }
        PolicyCommand::Export { folder, force } => export(&folder, force, output),
    }
}

fn list(config: &LoadedConfig, output: &Output) -> Result<(), CliError> {
    let rules = config.engine.rules();
    if output.json {
        return output.json(&rules);
    }
    let mut table =
        Table::new(&[words("RULE"), words("EFFECT"), words("OWNER"), words("PLACE"), words("TITLE")]);
    for rule in rules {
        let place =
            if rule.line == 0 { rule.file.to_string() } else { format!("{}:{}", rule.file, rule.line) };
        table.row([
            rule.id.to_string(),
            rule.effect.to_string(),
            rule.owner.as_deref().unwrap_or("-").to_owned(),
            place,
            rule.title.as_deref().unwrap_or("-").to_owned(),
        ]);
    }
    output.table(&table, "no rules")
}

/// Writes what is built in. Looks at all files before it writes the first: half of the policies among files of
/// somebody's own would be taken for the whole.
fn export(folder: &Path, force: bool, output: &Output) -> Result<(), CliError> {
    let fail = |path: &Path, error: &std::io::Error| CliError::File {
        path: path.to_owned(),
        verb: "written",
        reason: plain_reason(error),
    };
    let beside = [("schema.cedarschema", SCHEMA), ("tests.toml", DEFAULT_TESTS)];
    let files: Vec<(PathBuf, String)> = default_sources()
        .into_iter()
        .map(|source| (source.name, source.text))
        .chain(beside.map(|(name, text)| (name.to_owned(), text.to_owned())))
        .map(|(name, text)| (folder.join(name), text))
        .collect();
    if let Some((path, _)) = files.iter().find(|(path, _)| !force && path.exists()) {
        return Err(CliError::WouldOverwrite(path.clone()));
    }
    std::fs::create_dir_all(folder).map_err(|error| fail(folder, &error))?;
    for (path, text) in &files {
        let mut options = OpenOptions::new();
        options.write(true).create(force).truncate(force).create_new(!force);
        let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| fail(path, &error))?;
    }
    let paths: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    if output.json {
        return output.json(&json!({ "written": paths }));
    }
    for path in &paths {
        output.line(&format!("wrote {path}"))?;
    }
    output.note(&format!(
        "They are in force once `folder` in `[policy]` of pintle.toml names this folder, in place of the built-in \
         ones.\nTest what you change:\n  pintle policy test {}",
        folder.join("tests.toml").display()
    ));
    Ok(())
}

fn tables(files: Vec<PathBuf>) -> Result<Vec<(String, String)>, CliError> {
    if files.is_empty() {
        return Ok(vec![("built-in tests.toml".to_owned(), DEFAULT_TESTS.to_owned())]);
    }
    let mut tables = Vec::new();
    for path in files {
        match read_text(&path, TABLE_MIB_MAX) {
            Ok(text) => tables.push((path.display().to_string(), text)),
            Err(error) => return Err(CliError::File { path, verb: "read", reason: error.to_string() }),
        }
    }
    Ok(tables)
}

fn print(reports: &[TestReport], output: &Output) -> Result<(), CliError> {
    let failed: usize = reports.iter().map(TestReport::failed).sum();
    let untested = untested_in_all(reports);
    if output.json {
        let files: Vec<_> = reports
            .iter()
            .map(|report| {
                let cases: Vec<_> = report
                    .cases
                    .iter()
                    .map(|case| json!({ "name": case.name, "line": case.line, "failure": case.failure }))
                    .collect();
                json!({ "file": report.file, "cases": cases })
            })
            .collect();
        output.json(&json!({ "ok": failed == 0, "files": files, "untested": untested }))?;
    } else {
        for report in reports {
            output.line(&report.to_string())?;
        }
        if !untested.is_empty() {
            output.line(&format!("no case names these rules: {}", untested.join(", ")))?;
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(CliError::ChecksFailed("1 case came out otherwise than expected".to_owned())),
        more => Err(CliError::ChecksFailed(format!("{more} cases came out otherwise than expected"))),
    }
}
