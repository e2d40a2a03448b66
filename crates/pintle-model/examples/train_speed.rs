//! Measures training: nanoGPT's configuration for characters (4 layers, 4 heads, width 128, 64 characters, 12 sequences a
//! step) on one text, nine tenths of it to learn from. Prints one line of JSON, as the programs of the other engines in
//! `docs/decisions/0001-training-engine` do.
//!
//! Arguments: `--data FILE`, and where they shall differ `--steps 2000`, `--threads 1`, `--seed 1`.

use std::{io::Write, path::PathBuf, sync::atomic::AtomicBool, time::Instant};

use pintle_model::{HeldOut, ModelConfig, OptimiserSettings, RunSettings, Source, pretrain};

type Failed = Box<dyn std::error::Error>;

const CONTEXT: usize = 64;
const SEQUENCES: usize = 12;
/// The last steps, whose mean is the training loss.
const LAST: usize = 50;

struct Options {
    data: PathBuf,
    steps: u64,
    threads: usize,
    seed: u64,
}

fn options() -> Result<Options, Failed> {
    let mut options = Options { data: PathBuf::new(), steps: 2000, threads: 1, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{name}` needs a value"))?;
        match name.as_str() {
            "--data" => options.data = value.into(),
            "--steps" => options.steps = value.parse()?,
            "--threads" => options.threads = value.parse()?,
            "--seed" => options.seed = value.parse()?,
            _ => return Err(format!("unknown option `{name}`").into()),
        }
    }
    Ok(options)
}

/// The text as characters of its own alphabet: how many there are, what is learnt from, what is held out.
fn load(options: &Options) -> Result<(usize, Vec<u32>, HeldOut), Failed> {
    let text: Vec<char> = std::fs::read_to_string(&options.data)?.chars().collect();
    let mut alphabet = text.clone();
    alphabet.sort_unstable();
    alphabet.dedup();
    let number = |char| Ok(u32::try_from(alphabet.partition_point(|other| other < char))?);
    let mut learnt = text.iter().map(number).collect::<Result<Vec<u32>, Failed>>()?;
    let tokens = learnt.split_off(text.len() * 9 / 10);
    // Counted in characters instead of bytes, so that what comes out is bits per character.
    let bytes = u64::try_from(tokens.len())? - 1;
    Ok((alphabet.len(), learnt, HeldOut { tokens, bytes }))
}

fn main() -> Result<(), Failed> {
    let options = options()?;
    let (alphabet, learnt, held_out) = load(&options)?;
    let config: ModelConfig = serde_json::from_value(serde_json::json!({
        "vocab_size": alphabet, "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
    }))?;
    let settings = RunSettings {
        seed: options.seed,
        steps: options.steps,
        sequence_length: CONTEXT,
        sequences: SEQUENCES,
        accumulate: 1,
        shards: options.threads,
        evaluate_every: options.steps,
        optimiser: OptimiserSettings::default(),
    };
    let folder = tempfile::tempdir()?;
    // The clock stops before the last step's look at the held-out part: the others measure steps alone.
    let (start, mut stopped) = (Instant::now(), None);
    let trained = pretrain(
        config,
        &Source::Stream(learnt),
        &held_out,
        &settings,
        folder.path(),
        &AtomicBool::new(false),
        &mut |progress| {
            if progress.point.step + 1 == options.steps {
                stopped = Some(start.elapsed());
            }
        },
    )?;
    let seconds = stopped.ok_or("at least two steps are needed")?.as_secs_f64();
    let tokens = (options.steps - 1) as f64 * (SEQUENCES * CONTEXT) as f64;
    let last = trained.curve.get(trained.curve.len().saturating_sub(LAST)..).unwrap_or_default();
    let bits = trained.curve.last().and_then(|point| point.held_out_bits_per_byte);
    let report = serde_json::json!({
        "engine": "pintle",
        "version": env!("CARGO_PKG_VERSION"),
        "steps": options.steps,
        "seconds": seconds,
        "tokens_per_s": (tokens / seconds).round(),
        "train_loss": last.iter().map(|point| point.loss).sum::<f64>() / last.len() as f64,
        "val_loss": bits.map(|bits| bits * std::f64::consts::LN_2),
        "peak_rss_mib": peak_rss_mib(),
        "threads": options.threads,
    });
    writeln!(std::io::stdout().lock(), "{report}")?;
    Ok(())
}

/// The most memory that this process had, in MiB, where the system tells it.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(kib.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}
