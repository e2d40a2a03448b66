//! Measures the serving engine and prints JSON: tokens per second of one stream and of several ragged ones, and of reading
//! a prompt, for each precision and number of threads. The weights are random: speed does not depend on them.
//!
//! Arguments, all optional: `hidden inner layers heads kv_heads vocabulary`, and `--tokens N` for each stream.

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
    let mut arguments = std::env::args().skip(1);
    let mut place = sizes.iter_mut();
    while let Some(argument) = arguments.next() {
        if argument == "--tokens" {
            tokens = arguments.next().ok_or("`--tokens` needs a number")?.parse()?;
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
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let model = Arc::new(EngineModel::new(config.clone(), &weights, precision)?);
        for threads in [1, 2] {
            figures.push(measure(&model, precision, threads, tokens)?);
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
    let alone = best(|| run(&engine, &[24], tokens))?;
    let lengths: Vec<usize> = (0..STREAMS).map(|i| 8 + 13 * i).collect();
    let together = best(|| run(&engine, &lengths, tokens))?;
    let reading = best(|| run(&engine, &[1024], 1))?;
    engine.join()?;
    Ok(serde_json::json!({
        "precision": format!("{precision:?}").to_lowercase(),
        "threads": threads,
        "weights_bytes": model.bytes(),
        "alone_tokens_per_second": (f64::from(tokens) / alone).round(),
        "together_tokens_per_second": (f64::from(tokens) * STREAMS as f64 / together).round(),
        "prompt_tokens_per_second": (1024.0 / reading).round(),
    }))
}

/// The shortest of a few runs, in seconds: other programs on the machine only ever make a run longer.
fn best(mut run: impl FnMut() -> Result<f64, Failed>) -> Result<f64, Failed> {
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        best = best.min(run()?);
    }
    Ok(best)
}

/// Seconds until prompts of these lengths have all been continued by `tokens`.
fn run(engine: &Engine, lengths: &[usize], tokens: u32) -> Result<f64, Failed> {
    let start = Instant::now();
    let mut handles = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        let first = u32::try_from(index)?;
        handles.push(engine.submit(Job {
            prompt: (first..).take(*length).collect(),
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
