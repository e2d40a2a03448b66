//! `pintle policy`: test and list, without a server.

use std::path::PathBuf;

use pintle_policy::{DEFAULT_TESTS, PolicyError, TestReport, run_tests};
use serde_json::json;

use crate::config::{Inputs, Secrets, load, read_text};

use super::{
    args::PolicyCommand,
    exit::CliError,
    output::{Output, Table, words},
};

const TABLE_MIB_MAX: u64 = 4;

pub(crate) fn run(command: PolicyCommand, inputs: Inputs, output: &Output) -> Result<(), CliError> {
    // Policies are tested in pipelines, which have no business with providers' keys.
    let inputs = Inputs { secrets: Secrets::Skipped, ..inputs };
    let config = load(&inputs)?;
    match command {
        PolicyCommand::List => {
            let rules = config.engine.rules();
            if output.json {
                return output.json(&rules);
            }
            let mut table =
                Table::new(&[words("RULE"), words("EFFECT"), words("OWNER"), words("PLACE"), words("TITLE")]);
            for rule in rules {
                let place = if rule.line == 0 {
                    rule.file.to_string()
                } else {
                    format!("{}:{}", rule.file, rule.line)
                };
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
        PolicyCommand::Test { files } => {
            let mut reports = Vec::new();
            for (name, text) in tables(files)? {
                let report = run_tests(&config.engine, &text, &name).map_err(|error| unreadable(&error))?;
                reports.push(report);
            }
            print(&reports, output)
        }
    }
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

fn unreadable(error: &PolicyError) -> CliError {
    CliError::Usage {
        message: error.to_string(),
        hint: "docs/policy.md shows how a decision table is written".to_owned(),
    }
}

fn print(reports: &[TestReport], output: &Output) -> Result<(), CliError> {
    let failed: usize = reports.iter().map(TestReport::failed).sum();
    if output.json {
        let files: Vec<_> = reports
            .iter()
            .map(|report| {
                let cases: Vec<_> = report
                    .cases
                    .iter()
                    .map(|case| json!({ "name": case.name, "line": case.line, "failure": case.failure }))
                    .collect();
                json!({ "file": report.file, "cases": cases, "untested": report.untested })
            })
            .collect();
        output.json(&json!({ "ok": failed == 0, "files": files }))?;
    } else {
        for report in reports {
            output.line(&format!("{}: {report}", report.file))?;
        }
    }
    match failed {
        0 => Ok(()),
        1 => Err(CliError::ChecksFailed("1 case came out otherwise than expected".to_owned())),
        more => Err(CliError::ChecksFailed(format!("{more} cases came out otherwise than expected"))),
    }
}
