//! `cargo xtask bench model`: training beside PyTorch in one run, and what the serving engine does.
//!
//! Training is nanoGPT's configuration for characters on tinyshakespeare: a few hundred steps of each engine in turn, at
//! one thread and at all of them, then one whole run of ours. Serving is a network of ten million parameters with random
//! weights, on one thread.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::machine;
use crate::{
    stages::install,
    tools::{self, Outcome},
};

const ROUNDS: usize = 3;
const STEPS: u64 = 300;
/// The whole run of the configuration.
const STEPS_WHOLE: u64 = 2000;
const TEXT_SHA256: &str = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed";
const TEXT_HINT: &str =
    "hint: it is `data/tinyshakespeare/input.txt` of github.com/karpathy/char-rnn, 1,115,394 bytes";

/// Bars of the own engine.
const LOSS_MAX: f64 = 1.88;
const SECONDS_MAX: f64 = 180.0;
const OF_PYTORCH_MIN: f64 = 0.8;
const TOKENS_PER_S_MIN: f64 = 200.0;
const TOGETHER_MIN: f64 = 3.0;

struct Options {
    text: PathBuf,
    json: Option<PathBuf>,
}

fn options(arguments: &[&str]) -> Outcome<Options> {
    let (mut text, mut json) = (None, None);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("`{argument}` needs a value"))?;
        match *argument {
            "--text" => text = Some(std::path::absolute(value)?),
            "--json" => json = Some(std::path::absolute(value)?),
            other => return Err(format!("cannot read `{other}`\nhint: `cargo xtask help`").into()),
        }
    }
    let text = text.ok_or_else(|| format!("`--text FILE` names the text to train on\n{TEXT_HINT}"))?;
    let content =
        std::fs::read(&text).map_err(|error| format!("cannot read `{}`: {error}", text.display()))?;
    let hash: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    if hash != TEXT_SHA256 {
        return Err(format!("`{}` is not tinyshakespeare\n{TEXT_HINT}", text.display()).into());
    }
    Ok(Options { text, json })
}

/// One engine at one number of threads.
struct Trained {
    engine: &'static str,
    threads: usize,
    /// One for each round.
    tokens_per_s: Vec<f64>,
    loss: f64,
    memory_mib: f64,
}

/// Measures and prints.
pub(crate) fn run(arguments: &[&str]) -> Outcome<()> {
    let options = options(arguments)?;
    let root = tools::root()?;
    let target = tools::target_dir(&root)?;
    let torch = root.join("docs/decisions/0001-training-engine/torch");
    let python = install::python(&target, "pytorch", &torch.join("requirements.txt"))?;
    println!("building the measuring programs");
    let build = ["build", "--release", "--quiet", "--package", "pintle-model", "--examples"];
    tools::show(tools::cargo(&root).args(build))?;
    let examples = target.join("release").join("examples");

    let own = |steps: u64, threads: usize| {
        measured(Command::new(examples.join("train_speed")), &options.text, steps, threads)
    };
    let pytorch = |threads: usize| {
        let mut command = Command::new(&python);
        command.arg("-B").arg(torch.join("train.py"));
        measured(command, &options.text, STEPS, threads)
    };
    let cores = std::thread::available_parallelism()?.get();
    let mut trained = Vec::new();
    for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            println!("training on {threads} thread(s), round {round} of {ROUNDS}");
            ours.push(own(STEPS, threads)?);
            theirs.push(pytorch(threads)?);
        }
        trained.push(summed("Pintle", threads, &ours)?);
        trained.push(summed("PyTorch", threads, &theirs)?);
    }
    println!("training the whole configuration");
    let whole = own(STEPS_WHOLE, cores)?;
    println!("serving");
    let serving = ["--precision", "f32", "--threads", "1"];
    let serving = tools::output(Command::new(examples.join("serve_speed")).args(serving))?;
    let serving: Value = serde_json::from_str(&serving)?;

    println!("\n{}", markdown(&trained, &whole, &serving)?);
    if let Some(file) = &options.json {
        let rounds: Vec<Value> = trained
            .iter()
            .map(|it| json!({ "engine": it.engine, "threads": it.threads, "tokens_per_s": it.tokens_per_s }))
            .collect();
        let all = json!({ "training": rounds, "whole": whole, "serving": serving });
        std::fs::write(file, format!("{all:#}\n"))?;
        println!("every figure is in `{}`", file.display());
    }
    Ok(())
}

/// One run of a training program, which prints JSON.
fn measured(mut command: Command, text: &Path, steps: u64, threads: usize) -> Outcome<Value> {
    command.arg("--data").arg(text);
    command.args(["--steps", &steps.to_string(), "--threads", &threads.to_string(), "--seed", "1"]);
    Ok(serde_json::from_str(&tools::output(&mut command)?)?)
}

fn number(value: &Value, path: &str) -> Outcome<f64> {
    let found = value.pointer(path).and_then(Value::as_f64);
    found.ok_or_else(|| format!("a measuring program gave no `{path}`").into())
}

fn summed(engine: &'static str, threads: usize, runs: &[Value]) -> Outcome<Trained> {
    let every = |path| runs.iter().map(|run| number(run, path)).collect::<Outcome<Vec<f64>>>();
    let last = runs.last().ok_or("there is a round")?;
    Ok(Trained {
        engine,
        threads,
        tokens_per_s: every("/tokens_per_s")?,
        loss: number(last, "/val_loss")?,
        memory_mib: every("/peak_rss_mib")?.into_iter().fold(0.0, f64::max),
    })
}

impl Trained {
    fn median(&self) -> f64 {
        let mut sorted = self.tokens_per_s.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

fn markdown(trained: &[Trained], whole: &Value, serving: &Value) -> Outcome<String> {
    let mut text = machine::describe(false)?;
    text.push_str(&format!(
        "\n\nTraining, {STEPS} steps, median of {ROUNDS} rounds in turn:\n\n\
         | engine | threads | tokens/s | of PyTorch | validation loss | peak memory, MiB |\n|---|--:|--:|--:|--:|--:|\n"
    ));
    for it in trained {
        let pytorch = trained.iter().find(|other| other.engine == "PyTorch" && other.threads == it.threads);
        let share = pytorch.map_or(f64::NAN, |pytorch| it.median() / pytorch.median());
        let (speed, loss, memory) = (it.median(), it.loss, it.memory_mib);
        text.push_str(&format!(
            "| {} | {} | {speed:.0} | {share:.2} | {loss:.3} | {memory:.0} |\n",
            it.engine, it.threads
        ));
    }
    let slowest = trained.iter().filter(|it| it.engine == "Pintle").filter_map(|it| {
        let pytorch =
            trained.iter().find(|other| other.engine == "PyTorch" && other.threads == it.threads)?;
        Some(it.median() / pytorch.median())
    });
    let slowest = slowest.fold(f64::INFINITY, f64::min);
    let (seconds, loss) = (number(whole, "/seconds")?, number(whole, "/val_loss")?);
    let figure = |what: &str| number(serving, &format!("/figures/0/{what}/tokens_per_second"));
    let (alone, together) = (figure("alone")?, figure("together")?);
    text.push_str(&format!(
        "\nThe whole configuration, {STEPS_WHOLE} steps: {seconds:.1} s, training loss {:.3}, validation loss {loss:.3}.\n\
         Serving {:.1} million parameters in f32 on one thread: {alone:.0} tokens/s alone, {together:.0} with 8 ragged \
         streams ({:.2} times).\n\n",
        number(whole, "/train_loss")?,
        number(serving, "/parameters")? / 1e6,
        together / alone,
    ));
    let bars = [
        (format!("validation loss at most {LOSS_MAX}"), loss <= LOSS_MAX),
        (format!("in at most {SECONDS_MAX} s"), seconds <= SECONDS_MAX),
        (format!("at least {OF_PYTORCH_MIN} times PyTorch's speed"), slowest >= OF_PYTORCH_MIN),
        (format!("at least {TOKENS_PER_S_MIN} tokens/s alone"), alone >= TOKENS_PER_S_MIN),
        (format!("8 streams at least {TOGETHER_MIN} times one"), together / alone >= TOGETHER_MIN),
    ];
    for (bar, met) in bars {
        text.push_str(&format!("- {bar}: {}\n", if met { "met" } else { "missed" }));
    }
    Ok(text)
}
