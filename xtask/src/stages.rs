//! `cargo xtask test`: every check, one stage after the other, stopping at the first that fails.
//!
//! What a stage needs beyond the toolchain it installs under the target directory (`xtask/`), at the
//! versions that the requirement files of `tests/` pin; only the browser comes from the system. A stage
//! that cannot run is a failure, never a skip.

mod counts;
pub(crate) mod install;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use counts::Counts;

use crate::{
    tidy,
    tools::{self, Outcome},
};

/// A stage: its name, what it shows, and how it runs.
struct Stage {
    name: &'static str,
    about: &'static str,
    run: fn(&Place) -> Outcome<Counts>,
}

const STAGES: [Stage; 9] = [
    Stage { name: "format", about: "the code is formatted", run: format },
    Stage { name: "lints", about: "Clippy finds nothing", run: lints },
    Stage { name: "tidy", about: "the rules of the house", run: |_| tidy::run().map(|()| Counts::default()) },
    Stage { name: "rust", about: "unit, integration and documentation tests", run: rust },
    Stage { name: "build", about: "the release binary, which the next stages drive", run: build },
    Stage { name: "sdk-python", about: "the official OpenAI SDK for Python", run: sdk_python },
    Stage { name: "sdk-node", about: "the official OpenAI SDK for Node", run: sdk_node },
    Stage { name: "lm-eval", about: "the unmodified lm-eval against a served model", run: lm_eval },
    Stage { name: "browser", about: "the console in Chromium: links, policy, accessibility", run: browser },
];

/// Where things are.
struct Place {
    root: PathBuf,
    target: PathBuf,
}

impl Place {
    fn binary(&self) -> Outcome<PathBuf> {
        let binary = self.target.join("release").join("pintle");
        if binary.is_file() {
            return Ok(binary);
        }
        Err(format!("`{}` is missing\nhint: run the stage `build` first", binary.display()).into())
    }

    /// A file of the checkout that a stage is made of.
    fn file(&self, path: &str) -> Outcome<PathBuf> {
        let file = self.root.join(path);
        if file.is_file() {
            Ok(file)
        } else {
            Err(format!("`{path}` is missing: this stage cannot run").into())
        }
    }
}

pub(crate) fn run(arguments: &[&str]) -> Outcome<()> {
    let Some(chosen) = choose(arguments)? else {
        for stage in &STAGES {
            println!("{:<12} {}", stage.name, stage.about);
        }
        return Ok(());
    };
    let root = tools::root()?;
    let place = Place { target: tools::target_dir(&root)?, root };
    let begin = Instant::now();
    let mut total = Counts::default();
    for stage in chosen {
        println!("\n=== {}: {}", stage.name, stage.about);
        let stage_begin = Instant::now();
        let result = (stage.run)(&place);
        let took_s = stage_begin.elapsed().as_secs_f64();
        let failure = match result {
            Ok(counts) => {
                total.add(counts);
                (counts.failed > 0).then(|| format!("{} tests failed", counts.failed).into())
            }
            Err(error) => {
                // A stage without tests of its own counts as one when it fails.
                total.failed += 1;
                Some(error)
            }
        };
        if let Some(error) = failure {
            println!("\n{total}");
            return Err(format!("stage `{}` failed after {took_s:.1} s: {error}", stage.name).into());
        }
        println!("--- {}: ok in {took_s:.1} s", stage.name);
    }
    println!("\nall stages are through in {:.0} s", begin.elapsed().as_secs_f64());
    println!("{total}");
    Ok(())
}

/// The stages that the arguments name, in their own order; `None` when they ask for the list.
fn choose(arguments: &[&str]) -> Outcome<Option<Vec<&'static Stage>>> {
    let mut only = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match *argument {
            "--list" => return Ok(None),
            "--only" => {
                let name = rest.next().ok_or("`--only` needs the name of a stage")?;
                if !STAGES.iter().any(|stage| stage.name == *name) {
                    return Err(format!("there is no stage `{name}`\nhint: `cargo xtask test --list`").into());
                }
                only.push(*name);
            }
            other => return Err(format!("cannot read `{other}`\nhint: `cargo xtask help`").into()),
        }
    }
    let chosen = STAGES.iter().filter(|stage| only.is_empty() || only.contains(&stage.name));
    Ok(Some(chosen.collect()))
}

fn format(place: &Place) -> Outcome<Counts> {
    tools::show(tools::cargo(&place.root).args(["fmt", "--all", "--check"]))?;
    Ok(Counts::default())
}

fn lints(place: &Place) -> Outcome<Counts> {
    let arguments = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    tools::show(tools::cargo(&place.root).args(arguments))?;
    Ok(Counts::default())
}

fn rust(place: &Place) -> Outcome<Counts> {
    // All crates run, so that one report names every failure.
    let mut command = tools::cargo(&place.root);
    // A snapshot that differs is a failure here, and leaves no file behind.
    command.args(["test", "--workspace", "--no-fail-fast"]).env("INSTA_UPDATE", "no");
    counted(&mut command)
}

fn build(place: &Place) -> Outcome<Counts> {
    tools::show(tools::cargo(&place.root).args(["build", "--release", "--package", "pintle"]))?;
    place.binary()?;
    Ok(Counts::default())
}

fn sdk_python(place: &Place) -> Outcome<Counts> {
    let python = install::python(&place.target, "python", &place.file("tests/sdk/python/requirements.txt")?)?;
    let mut counts = Counts::default();
    for test in ["test_openai.py", "test_tuning.py"] {
        let test = place.file(&format!("tests/sdk/python/{test}"))?;
        counts.add(counted(&mut driver(place, &python, &test)?)?);
    }
    Ok(counts)
}

/// The harness reads from the demonstration's own model what our training engine computes.
fn lm_eval(place: &Place) -> Outcome<Counts> {
    let requirements = place.file("tests/models/requirements-lm-eval.txt")?;
    let script = place.file("tests/models/check_lm_eval.py")?;
    let build = ["build", "--release", "--quiet", "--package", "pintle-model", "--example", "artefact"];
    tools::show(tools::cargo(&place.root).args(build))?;
    let python = install::python(&place.target, "lm-eval", &requirements)?;
    let example = place.target.join("release").join("examples").join("artefact");
    let version = place.root.join("crates/pintle/demo_model");
    counted(driver(place, &python, &script)?.arg(place.binary()?).arg(example).arg(version))
}

fn sdk_node(place: &Place) -> Outcome<Counts> {
    let folder = install::node(
        &place.target,
        "sdk-node",
        &[
            place.file("tests/sdk/node/package.json")?,
            place.file("tests/sdk/node/openai.test.mjs")?,
            place.file("tests/sdk/node/harness.mjs")?,
        ],
    )?;
    counted(&mut driver(place, Path::new("node"), &folder.join("openai.test.mjs"))?)
}

fn browser(place: &Place) -> Outcome<Counts> {
    let folder = install::node(
        &place.target,
        "browser",
        &[
            place.file("tests/browser/package.json")?,
            place.file("tests/browser/run.mjs")?,
            place.file("tests/browser/support.mjs")?,
        ],
    )?;
    let browser = install::chromium()?;
    let mut command = driver(place, Path::new("node"), &folder.join("run.mjs"))?;
    command.env("PINTLE_CHROMIUM", browser.chromium).env("PINTLE_CHROMEDRIVER", browser.driver);
    if std::env::var_os("PINTLE_SHOTS").is_none() {
        command.env("PINTLE_SHOTS", place.target.join("xtask").join("screenshots"));
    }
    counted(&mut command)
}

/// A test program that drives the built binary.
fn driver(place: &Place, program: &Path, test: &Path) -> Outcome<Command> {
    let mut command = Command::new(program);
    command.arg(test).env("PINTLE_BIN", place.binary()?).current_dir(&place.root);
    // Nothing is written into the checkout.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Runs tests and counts them. A run that fails without a failed test (it did not even begin) is an
/// error, and so is one that reports no test at all.
fn counted(command: &mut Command) -> Outcome<Counts> {
    let mut counts = Counts::default();
    let succeeded = tools::show_lines(command, |line| counts.add(Counts::of_line(line)))?;
    match (succeeded, counts) {
        (false, Counts { failed: 0, .. }) => Err("the tests ended with an error, see above".into()),
        (true, Counts { passed: 0, failed: 0 }) => Err("no test ran".into()),
        _ => Ok(counts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Vec<&'static str> {
        choose(arguments).unwrap().unwrap().iter().map(|stage| stage.name).collect()
    }

    #[test]
    fn stages_are_chosen_in_their_own_order() {
        assert_eq!(names(&[]).len(), STAGES.len());
        assert_eq!(names(&["--only", "rust", "--only", "format"]), ["format", "rust"]);
        assert!(choose(&["--list"]).unwrap().is_none());
        assert!(choose(&["--only", "nothing"]).is_err());
        assert!(choose(&["--only"]).is_err());
        assert!(choose(&["rust"]).is_err());
    }
}
