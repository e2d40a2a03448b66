//! Checks, tests and benches of the workspace.

fn main() {}
