//! `pintle config`: check, explain, schema.

use std::path::PathBuf;

use serde_json::json;

use crate::config::{ConfigError, Inputs, LoadedConfig, Secrets, Severity, json_schema, load};

use super::{
    args::ConfigCommand,
    exit::CliError,
    output::{Output, Table, words},
};

pub(crate) fn run(command: ConfigCommand, inputs: Inputs, output: &Output) -> Result<(), CliError> {
    match command {
        ConfigCommand::Check { file, skip_secrets } => {
            let mut inputs = with_file(inputs, file);
            if skip_secrets {
                inputs.secrets = Secrets::Skipped;
            }
            check(&inputs, output)
        }
        ConfigCommand::Explain { file } => {
            let mut inputs = with_file(inputs, file);
            // Explaining tells where secrets are and whether they are there; it reads none.
            inputs.secrets = Secrets::Skipped;
            explain(&load(&inputs)?, output)
        }
        ConfigCommand::Schema => output.json(&json_schema()),
    }
}

/// A file on the command line is as good as `--config`.
fn with_file(mut inputs: Inputs, file: Option<PathBuf>) -> Inputs {
    if file.is_some() {
        inputs.flags.config = file;
    }
    inputs
}

fn check(inputs: &Inputs, output: &Output) -> Result<(), CliError> {
    let loaded = load(inputs);
    if output.json {
        if let Err(ConfigError::Invalid(problems)) = &loaded {
            output.json(&json!({ "ok": false, "problems": problems }))?;
        }
        if let Ok(config) = &loaded {
            output.json(&json!({
                "ok": true,
                "source": config.source.to_string(),
                "problems": config.warnings,
                "placements": config.placements.len(),
                "policies": config.engine.rules().len(),
            }))?;
        }
    }
    let config = loaded?;
    for warning in &config.warnings {
        output.note(&format!("{warning}\n"));
    }
    if !output.json {
        output.line(&summary(&config))?;
    }
    Ok(())
}

/// One line that shows that the file says what was meant.
fn summary(config: &LoadedConfig) -> String {
    let organisation = &config.organisation;
    let budget = match config.organisation_budget {
        Some(budget) => format!("{} a month", budget.display(&organisation.currency)),
        None => "no budget".to_owned(),
    };
    let placements: Vec<&str> = config.placements.iter().map(|placement| placement.name.as_str()).collect();
    let placements = match placements.len() {
        0 => "no placements".to_owned(),
        1 => format!("1 placement ({})", placements.join(", ")),
        more => format!("{more} placements ({})", placements.join(", ")),
    };
    let warnings = config.warnings.iter().filter(|problem| problem.severity == Severity::Warning).count();
    let warnings = match warnings {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        more => format!(", {more} warnings"),
    };
    format!("{}: ok: {}, {budget}, {placements}{warnings}", config.source, organisation.name)
}

fn explain(config: &LoadedConfig, output: &Output) -> Result<(), CliError> {
    if output.json {
        return output.json(&config.explained);
    }
    let mut table = Table::new(&[words("SETTING"), words("VALUE"), words("SOURCE")]);
    for row in &config.explained {
        table.row([row.key.clone(), row.value.clone(), row.source.to_string()]);
    }
    output.table(&table, "nothing is set")
}
