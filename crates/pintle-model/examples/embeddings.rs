//! Computes embeddings, so that `tests/models/check_embeddings.py` can compare them with the reference implementation, and
//! measures how fast.
//!
//! `embeddings compute FOLDER TASK OUT`: TASK is a JSON list of texts; OUT gets their tokens and embeddings.
//! `embeddings speed FOLDER TASK THREADS`: tokens per second, in the fastest of a few runs.

use std::{error::Error, fs, io::Write, path::Path, time::Instant};

use pintle_model::encode::EncoderModel;
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [mode, folder, task, last] = arguments.as_slice() else {
        return Err("use: embeddings compute FOLDER TASK OUT | embeddings speed FOLDER TASK THREADS".into());
    };
    let model = EncoderModel::load(Path::new(folder))?;
    let texts: Vec<String> = serde_json::from_str(&fs::read_to_string(task)?)?;
    let tokens = texts.iter().map(|text| model.tokeniser().encode_prompt(text));
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    match *mode {
        "compute" => {
            let embeddings = model.encode(&tokens, 2)?;
            let rows = tokens.iter().zip(&embeddings);
            let rows = rows.map(|(tokens, embedding)| json!({ "tokens": tokens, "embedding": embedding }));
            let report = json!({ "tokens_max": model.tokens_max(), "texts": rows.collect::<Vec<_>>() });
            fs::write(last, report.to_string())?;
        }
        "speed" => {
            let threads = last.parse()?;
            let count: usize = tokens.iter().map(Vec::len).sum();
            let mut best = f64::INFINITY;
            for _ in 0..5 {
                let start = Instant::now();
                model.encode(&tokens, threads)?;
                best = best.min(start.elapsed().as_secs_f64());
            }
            let report = json!({ "texts": tokens.len(), "tokens": count, "threads": threads,
                "tokens_per_second": (count as f64 / best).round() });
            writeln!(std::io::stdout().lock(), "{report}")?;
        }
        _ => return Err("the first argument is `compute` or `speed`".into()),
    }
    Ok(())
}
