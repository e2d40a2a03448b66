//! The command line: parses, runs one command, and turns what came of it into an exit code.
//!
//! `args.rs` is the command line as a type, one file per noun does the work, `client.rs` talks to the
//! running server, `output.rs` writes, `exit.rs` has the errors and codes. Only `serve`, `init`, `config`,
//! `policy`, `model`, `demo`, `doctor` and `completions` work without a server.

mod api;
mod args;
mod ban;
mod budget;
mod client;
mod completions;
mod config;
mod doctor;
mod exit;
mod init;
mod key;
mod model;
mod output;
mod policy;
mod probe;
mod setup_link;
mod status;
mod usage;
mod usecase;
mod values;

use std::{path::Path, process::ExitCode};

use clap::Parser;

use crate::config::{Flags, Inputs};

use self::{
    args::{Cli, Command, GlobalArgs, ServeArgs},
    client::AdminClient,
    exit::Exit,
    output::Output,
};
pub(crate) use exit::CliError;

/// What `serve` is asked to do.
pub(crate) struct ServeOptions {
    /// Where its configuration comes from.
    pub(crate) inputs: Inputs,
    /// Say in JSON what is said at the start.
    pub(crate) json: bool,
}

/// Parses the process's arguments and runs the command.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and versions to stdout, mistakes to stderr.
            let printed = error.print();
            let is_mistake = error.use_stderr();
            return if is_mistake || printed.is_err() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    let output = Output::new(cli.global.json);
    match run(cli, &output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            error.exit().into()
        }
    }
}

fn run(cli: Cli, output: &Output) -> Result<ExitCode, CliError> {
    let Cli { global, serve: before, command } = cli;
    let command = command.unwrap_or_else(|| Command::Serve(ServeArgs::default()));
    let is_serve = matches!(command, Command::Serve(_));
    if !is_serve && (before.listen.is_some() || before.demo) {
        return Err(CliError::Usage {
            message: "`--listen` and `--demo` are for `pintle serve`".to_owned(),
            hint: "leave them out here".to_owned(),
        });
    }
    let mut inputs = inputs(&global);
    let data = inputs.data_folder().0;
    match command {
        Command::Serve(after) => {
            inputs.flags.listen = after.listen.or(before.listen);
            inputs.flags.demo = after.demo || before.demo;
            return crate::serve::run(&ServeOptions { inputs, json: global.json });
        }
        Command::Init(args) => init::run(&args, output)?,
        Command::Config(command) => config::run(command, inputs, output)?,
        Command::Policy(command) => policy::run(command, inputs, output)?,
        Command::Model(command) => model::run(command, &inputs, output)?,
        Command::Demo(command) => model::run_demo(&command, &inputs, output)?,
        Command::TuneWorker { job, demo } => {
            inputs.flags.demo = demo;
            crate::serve::start_log();
            crate::tuning::worker::run(&job, &inputs)?;
        }
        Command::Completions { shell } => completions::run(shell, output)?,
        Command::Doctor => block_on(doctor::run(&inputs, output))?,
        Command::Status => block_on(status::run(&client(&data)?, output))?,
        Command::SetupLink => block_on(setup_link::run(&client(&data)?, output))?,
        Command::Usecase(command) => block_on(usecase::run(command, &client(&data)?, output))?,
        Command::Key(command) => block_on(key::run(command, &client(&data)?, output))?,
        Command::Budget(command) => block_on(budget::run(command, &client(&data)?, output))?,
        Command::Ban(command) => block_on(ban::run(command, &client(&data)?, output))?,
        Command::Usage(args) => block_on(usage::run(&args, &client(&data)?, output))?,
    }
    Ok(Exit::Ok.into())
}

fn client(data: &Path) -> Result<AdminClient, CliError> {
    AdminClient::open(data)
}

fn inputs(global: &GlobalArgs) -> Inputs {
    Inputs::of(Flags { config: global.config.clone(), data: global.data.clone(), listen: None, demo: false })
}

/// Runs a command that talks over the network, on this thread.
fn block_on(command: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::System { what: "starting the runtime", reason: error.to_string() })?;
    runtime.block_on(command)
}
