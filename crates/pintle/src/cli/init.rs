//! `pintle init`: a configuration to start from. Never overwrites without being told to.

use std::{fs::OpenOptions, io::Write};

use crate::config::{TEMPLATE, plain_reason};

use super::{args::InitArgs, exit::CliError, output::Output};

pub(crate) fn run(args: &InitArgs, output: &Output) -> Result<(), CliError> {
    let path = if args.path.is_dir() { args.path.join("pintle.toml") } else { args.path.clone() };
    let mut options = OpenOptions::new();
    if args.force {
        options.write(true).create(true).truncate(true);
    } else {
        // Refuses atomically, also when the file appears between a look and the write.
        options.write(true).create_new(true);
    }
    let written = options.open(&path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(CliError::WouldOverwrite(path));
        }
        Err(error) => return Err(CliError::File { path, verb: "written", reason: plain_reason(&error) }),
    }
    let shown = path.display();
    if output.json {
        return output.json(&serde_json::json!({ "written": shown.to_string() }));
    }
    output.line(&format!("wrote {shown}"))?;
    output.note(&format!(
        "It works as it stands, with simulated models. Edit it, then:\n  \
         pintle config check {shown}\n  pintle serve --config {shown}"
    ));
    Ok(())
}
