//! Checks, tests and benches of the workspace: `cargo xtask tidy|test|bench`.
//!
//! It stands outside the house: no crate of Pintle is linked here, so that it drives the built binary
//! only through the surface that its users have.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod bench;
mod stages;
mod tidy;
mod tools;

use std::process::ExitCode;

use tools::Outcome;

const HELP: &str = "\
cargo xtask COMMAND

  tidy                     the rules of the house, as a check
  test [--only STAGE]...   every check: format, lints, tidy, tests, official SDKs, browser
       [--list]            only names the stages
  bench gateway            upstream, bare proxy and Pintle side by side
       [--seconds N]       length of each measurement (default 3)
       [--json FILE]       writes every figure to FILE
  bench model              training beside PyTorch (about 3 GB are installed for it), and serving
       --text FILE         tinyshakespeare, to train on
       [--json FILE]       writes every figure to FILE
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"tidy", [])) => tidy::run(),
        Some((&"test", rest)) => stages::run(rest),
        Some((&"bench", ["gateway", rest @ ..])) => bench::run(rest),
        Some((&"bench", ["model", rest @ ..])) => bench::model::run(rest),
        // The bench starts itself again for the processes that it measures against.
        Some((&bench::UPSTREAM, [])) => bench::serve_upstream(),
        Some((&bench::PROXY, [upstream])) => bench::serve_proxy(upstream),
        None | Some((&"help" | &"--help" | &"-h", _)) => {
            print!("{HELP}");
            Ok(())
        }
        Some(_) => {
            Err(format!("cannot read `{}`\nhint: `cargo xtask help` names the commands", words.join(" "))
                .into())
        }
    }
}
