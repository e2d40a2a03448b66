//! Wires the crates below into a server.

use std::process::ExitCode;

use crate::{
    cli::{CliError, ServeOptions},
    config::{load, watch},
};

/// Runs the server until it is told to stop.
///
/// # Errors
/// When the configuration is wrong, or the operating system refuses what a server needs.
pub(crate) fn run(options: ServeOptions) -> Result<ExitCode, CliError> {
    let config = load(&options.inputs)?;
    let system = |error: std::io::Error| CliError::System { what: "serving", reason: error.to_string() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(system)?;
    runtime.block_on(async { watch(&options.inputs, &config, |_| {}).await })?;
    Ok(ExitCode::SUCCESS)
}
