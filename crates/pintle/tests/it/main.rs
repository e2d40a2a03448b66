//! The binary from outside: configuration, command line, and what it says when something is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod admin;
mod config_errors;
mod config_use;
mod docs;
mod folders;
mod help;
mod hostile;
mod kill;
mod model;
mod policy;
mod server;
mod support;
mod tuning;
