//! Measures the serving engine and prints JSON: tokens per second of one stream and of several ragged ones, and of reading
//! a prompt, for each precision and number of threads. The weights are random: speed does not depend on them.
//!
//! Beside the time on the clock stands that of the processor, where the system tells it: on a machine that others use
//! too, it is the one that says what the engine takes.
//!
//! Arguments, all optional: `hidden inner layers heads kv_heads vocabulary`, `--tokens N` for each stream, and
//! `--precision f32|bf16|int8` and `--threads N` for one figure instead of all.

use std::{io::Write, sync::Arc, time::Instant};

use pintle_model::{
    Layout, ModelConfig,
    infer::{Engine, EngineModel, EngineSettings, Event, Handle, Job, Precision, Sampling},
};

type Failed = Box<dyn std::error::Error>;

/// Streams that run at once in the second measurement.
const STREAMS: usize = 8;

fn main() -> Result<(), Failed> {
    let mut sizes = vec![320, 864, 8, 10, 5, 4096];
    let mut tokens = 192;
    let mut precisions = vec![Precision::F32, Precision::Bf16, Precision::Int8];
    let mut threads = vec![1, 2];
    let mut arguments = std::env::args().skip(1);
    let mut place = sizes.iter_mut();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("an option needs a value");
        if argument == "--tokens" {
            tokens = value()?.parse()?;
        } else if argument == "--threads" {
            threads = vec![value()?.parse()?];
        } else if argument == "--precision" {
            let name = value()?;
            precisions.retain(|precision| name_of(*precision) == name);
        } else if let Some(size) = place.next() {
            *size = argument.parse()?;
        }
    }
    let &[hidden, inner, layers, heads, shared, vocabulary] = sizes.as_slice() else {
        return Err("six sizes are needed".into());
    };
    let config: ModelConfig = serde_json::from_value(serde_json::json!({
        "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": shared, "max_position_embeddings": 2048,
        "tie_word_embeddings": true,
    }))?;
    config.check()?;
    let weights = weights(Layout::new(&config).weights);
    let mut figures = Vec::new();
    for precision in precisions {
        let model = Arc::new(EngineModel::new(config.clone(), &weights, precision)?);
        for threads in &threads {
            figures.push(measure(&model, precision, *threads, tokens)?);
        }
    }
    let report = serde_json::json!({ "parameters": weights.len(), "streams": STREAMS, "figures": figures });
    writeln!(std::io::stdout().lock(), "{report:#}")?;
    Ok(())
}

/// Numbers without a pattern, of a trained network's size.
fn weights(count: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / (1 << 24) as f32 - 0.5) * 0.1
    };
    (0..count).map(|_| next()).collect()
}

fn measure(
    model: &Arc<EngineModel>,
    precision: Precision,
    threads: usize,
    tokens: u32,
) -> Result<serde_json::Value, Failed> {
    let settings = EngineSettings { threads, ..EngineSettings::default() };
    let engine = Engine::start(Arc::clone(model), settings)?;
    run(&engine, &[24], 16)?;
    let alone = best(tokens, || run(&engine, &[24], tokens))?;
    let lengths: Vec<usize> = (0..STREAMS).map(|i| 8 + 13 * i).collect();
    let together = best(tokens * u32::try_from(STREAMS)?, || run(&engine, &lengths, tokens))?;
    let reading = best(1024, || run(&engine, &[1024], 1))?;
    engine.join()?;
    Ok(serde_json::json!({
        "precision": name_of(precision), "threads": threads, "weights_bytes": model.bytes(),
        "alone": alone, "together": together, "reading": reading,
    }))
}

fn name_of(precision: Precision) -> String {
    format!("{precision:?}").to_lowercase()
}

/// Tokens per second on the clock in the fastest of a few runs (other programs only ever make a run slower), and per
/// second of the processor in all of them.
fn best(tokens: u32, mut run: impl FnMut() -> Result<f64, Failed>) -> Result<serde_json::Value, Failed> {
    const RUNS: u32 = 5;
    let (mut best, before) = (f64::INFINITY, processor_seconds());
    for _ in 0..RUNS {
        best = best.min(run()?);
    }
    let spent = before.zip(processor_seconds()).map(|(before, after)| after - before);
    let tokens = f64::from(tokens);
    Ok(serde_json::json!({
        "tokens_per_second": (tokens / best).round(),
        "tokens_per_processor_second": spent.map(|spent| (f64::from(RUNS) * tokens / spent).round()),
    }))
}

/// What all threads of this process have taken, in Linux's hundredths of a second.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name before may hold anything; after its bracket the fields are counted from the third.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / 100.0)
}

/// Seconds until prompts of these lengths have all been continued by `tokens`.
fn run(engine: &Engine, lengths: &[usize], tokens: u32) -> Result<f64, Failed> {
    let start = Instant::now();
    let mut handles = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        let first = u32::try_from(index)?;
        let vocabulary = u32::try_from(engine.model().config().vocab_size)?;
        handles.push(engine.submit(Job {
            prompt: (first..).take(*length).map(|token| token % vocabulary).collect(),
            tokens_max: Some(tokens),
            sampling: Sampling::GREEDY,
            stop_tokens: Vec::new(),
            logprobs: None,
            prompt_logprobs: None,
        })?);
    }
    handles.iter_mut().try_for_each(finish)?;
    Ok(start.elapsed().as_secs_f64())
}

fn finish(handle: &mut Handle) -> Result<(), Failed> {
    while let Some(event) = handle.next_blocking() {
        if let Event::Failed(failure) = event {
            return Err(failure.into());
        }
    }
    Ok(())
}
