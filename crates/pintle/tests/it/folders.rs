//! The demonstration and an organisation's own configuration never meet in one data folder.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::support::Sandbox;

const OWN: &str = "[organisation]\nname = \"Example AG\"\ncurrency = \"EUR\"\n[[placement]]\nname = \"x\"\n\
    provider = \"simulated\"\nmodel = \"m\"\nzone = \"on_premises\"\nclearance = \"internal\"\n\
    price = { input = \"1\", output = \"1\" }\n";

/// Serves until it says that it is ready, then ends at once, as if the machine had.
fn serve_once(sandbox: &Sandbox, args: &[&str]) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_pintle"))
        .args(["serve", "--listen", "127.0.0.1:0", "--json"])
        .args(args)
        .env_clear()
        .current_dir(sandbox.path("."))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(line.contains("\"url\""), "it did not start: {line}");
}

#[test]
fn own_data_and_the_demonstrations_do_not_mix() {
    let sandbox = Sandbox::with(OWN);
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let demo = [&serve[..], &["--demo", "--data", "own"]].concat();
    let own = [&serve[..], &["--data", "sample"]].concat();

    serve_once(&sandbox, &["--demo", "--data", "sample"]);
    serve_once(&sandbox, &["--data", "own"]);
    insta::assert_snapshot!("own_on_the_demonstrations_data", sandbox.run(&own).shown());
    insta::assert_snapshot!("demonstration_on_own_data", sandbox.run(&demo).shown());

    // Each goes on in its own.
    serve_once(&sandbox, &["--demo", "--data", "sample"]);
    serve_once(&sandbox, &["--data", "own"]);
}
