//! The control plane between a business and every generative-AI model: one binary that serves, and that
//! speaks to the one that serves.
//!
//! `config` reads `pintle.toml`, `cli` parses the command line and runs commands, `serve` wires the crates
//! below into a server. No other file knows them all.

mod cli;
mod config;
mod demo_model;
mod greeting;
mod models;
mod own_models;
mod patient;
mod process;
mod serve;
mod server;
mod tuning;

/// A request makes and frees a few hundred small objects across threads; the system's allocator spends a
/// tenth of the whole time on that, this one a third of it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
