//! `pintle completions`.

use clap::CommandFactory;

use super::{args::Cli, exit::CliError, output::Output};

pub(crate) fn run(shell: clap_complete::Shell, output: &Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pintle", &mut script);
    output.raw(&script)
}
