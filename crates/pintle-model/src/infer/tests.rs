//! The engine's proofs: the training pass's numbers, company without influence, bounds, and what callers hear.

use std::sync::Arc;

use super::{
    Engine, EngineModel, EngineSettings, Event, Failure, Handle, Job, Precision, Reason, Sampling,
    ScoredToken, SubmitError, Usage,
};
use crate::{
    ModelConfig,
    network::{Pass, Shape},
};

const VOCABULARY: u32 = 83;

fn config(shared: usize, tied: bool) -> ModelConfig {
    serde_json::from_value(serde_json::json!({
        "vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 72, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": shared, "head_dim": 40, "max_position_embeddings": 160,
        "tie_word_embeddings": tied,
    }))
    .unwrap()
}

/// Large enough for logits that differ.
fn weights(config: &ModelConfig) -> Vec<f32> {
    Shape::new(config.clone())
        .unwrap()
        .first_weights(11)
        .iter()
        .map(|w| if *w < 1.0 { w * 9.0 } else { *w })
        .collect()
}

fn model(shared: usize, tied: bool, precision: Precision) -> Arc<EngineModel> {
    let config = config(shared, tied);
    let weights = weights(&config);
    Arc::new(EngineModel::new(config, &weights, precision).unwrap())
}

fn settings() -> EngineSettings {
    EngineSettings {
        threads: 1,
        slots: 8,
        queue_max: 64,
        context_max: 160,
        cache_bytes_max: 1 << 28,
        prefill_rows: 7,
    }
}

fn engine(settings: EngineSettings) -> Engine {
    Engine::start(model(2, true, Precision::F32), settings).unwrap()
}

fn prompt(seed: u32, length: usize) -> Vec<u32> {
    (0..u32::try_from(length).unwrap()).map(|i| (i * i * 7 + i * seed + seed * 31) % VOCABULARY).collect()
}

fn job(prompt: Vec<u32>, tokens: u32) -> Job {
    Job {
        prompt,
        tokens_max: Some(tokens),
        sampling: Sampling::GREEDY,
        stop_tokens: Vec::new(),
        logprobs: None,
        prompt_logprobs: None,
    }
}

fn events(mut handle: Handle) -> Vec<Event> {
    std::iter::from_fn(|| handle.next_blocking()).collect()
}

fn tokens(events: &[Event]) -> Vec<u32> {
    events
        .iter()
        .filter_map(|event| if let Event::Token(token) = event { Some(token.id) } else { None })
        .collect()
}

/// Jobs of all kinds and lengths.
fn ragged(count: u32) -> Vec<Job> {
    (0..count)
        .map(|i| {
            let sampled = Sampling { temperature: 0.9, top_p: 0.95, top_k: 40, seed: u64::from(i) };
            Job {
                sampling: if i % 3 == 2 { sampled } else { Sampling::GREEDY },
                logprobs: (i % 2 == 0).then_some(3),
                prompt_logprobs: (i % 4 == 1).then_some(2),
                ..job(prompt(i, 1 + (i as usize * 29) % 101), 1 + (i * 17) % 50)
            }
        })
        .collect()
}

fn submit_all(engine: &Engine, jobs: &[Job]) -> Vec<Vec<Event>> {
    let handles: Vec<_> = jobs.iter().map(|job| engine.submit(job.clone()).unwrap()).collect();
    handles.into_iter().map(events).collect()
}

#[test]
fn logprobs_are_those_of_the_training_pass() {
    for (shared, tied) in [(4, true), (2, false), (1, true)] {
        let config = config(shared, tied);
        let weights = weights(&config);
        let shape = Shape::new(config.clone()).unwrap();
        let engine = Engine::start(model(shared, tied, Precision::F32), settings()).unwrap();
        let prompt = prompt(5, 90);
        let asked = Job { prompt_logprobs: Some(4), logprobs: Some(4), ..job(prompt.clone(), 12) };
        let events = events(engine.submit(asked).unwrap());
        let Some(Event::Prompt(scored)) = events.first() else { panic!("{events:?}") };
        assert_eq!(scored.len(), 90);
        assert!(scored[0].logprob.is_none());
        let drawn: Vec<ScoredToken> = events
            .iter()
            .filter_map(|event| if let Event::Token(token) = event { Some(token.clone()) } else { None })
            .collect();
        let all: Vec<ScoredToken> = scored.iter().cloned().chain(drawn).collect();
        let ids: Vec<u32> = all.iter().map(|token| token.id).collect();
        assert_eq!(ids[..90], prompt);
        let logits = Pass::new(&shape).logits(&weights, &ids, ids.len());
        let mut spread = 0.0_f64;
        for (row, token) in logits.chunks(VOCABULARY as usize).zip(&all[1..]) {
            let log_sum = row.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
            let expected = |id: u32| f64::from(row[id as usize]) - log_sum;
            spread = spread.max(expected(token.top[0].0) - expected(token.top[3].0));
            for (id, got) in token.top.iter().copied().chain([(token.id, token.logprob.unwrap())]) {
                assert!((f64::from(got) - expected(id)).abs() < 1e-4, "{got} {}", expected(id));
            }
        }
        assert!(spread > 1.0, "the test's model has an opinion: {spread}");
        assert!(all[90..].iter().all(|token| token.id == token.top[0].0));
    }
}

#[test]
fn in_company_everyone_hears_what_it_hears_alone() {
    let jobs = ragged(20);
    let all: &[_] = &[(1, 8, 7), (2, 5, 16), (3, 20, 1), (2, 16, 48)];
    for (precision, settings_of) in
        [(Precision::F32, all), (Precision::Bf16, &all[1..2]), (Precision::Int8, &all[1..2])]
    {
        let model = model(2, true, precision);
        let start = |settings| Engine::start(Arc::clone(&model), settings).unwrap();
        let one = start(EngineSettings { prefill_rows: 4096, ..settings() });
        let alone: Vec<_> = jobs.iter().map(|job| events(one.submit(job.clone()).unwrap())).collect();
        assert!(alone.iter().any(|events| tokens(events).len() > 20));
        let distinct: std::collections::BTreeSet<u32> = alone.iter().flat_map(|e| tokens(e)).collect();
        assert!(distinct.len() > 20, "{distinct:?}");
        for (threads, slots, prefill_rows) in settings_of.iter().copied() {
            let engine = start(EngineSettings { threads, slots, prefill_rows, ..settings() });
            // Every other time from the last to the first, for other company.
            let mut order: Vec<usize> = (0..jobs.len()).collect();
            if slots % 2 == 0 {
                order.reverse();
            }
            let ordered: Vec<Job> = order.iter().map(|i| jobs[*i].clone()).collect();
            for (index, got) in order.iter().zip(submit_all(&engine, &ordered)) {
                // Events carry log-probabilities: equal to the last bit, not only the same tokens.
                assert_eq!(got, alone[*index], "{precision:?} {threads} {slots} {prefill_rows}");
            }
            engine.join().unwrap();
        }
    }
}

#[test]
fn lower_precision_stays_close() {
    let read = |precision| {
        let engine = Engine::start(model(2, true, precision), settings()).unwrap();
        let asked = Job { prompt_logprobs: Some(0), ..job(prompt(3, 100), 0) };
        let events = events(engine.submit(asked).unwrap());
        let [Event::Prompt(scored), Event::Done { reason: Reason::Length, usage }] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!(*usage, Usage { prompt_tokens: 100, completion_tokens: 0 });
        scored.iter().filter_map(|token| token.logprob).map(f64::from).collect::<Vec<_>>()
    };
    let exact = read(Precision::F32);
    for (precision, bound) in [(Precision::Bf16, 0.03), (Precision::Int8, 0.06)] {
        let got = read(precision);
        let mean = exact.iter().zip(&got).map(|(a, b)| (a - b).abs()).sum::<f64>() / exact.len() as f64;
        assert!(mean > 1e-6 && mean < bound, "{precision:?}: {mean}");
    }
}

#[test]
fn seeds_decide() {
    let engine = engine(settings());
    let draw = |seed| {
        let sampling = Sampling { temperature: 1.0, top_p: 1.0, top_k: 0, seed };
        tokens(&events(engine.submit(Job { sampling, ..job(prompt(1, 9), 40) }).unwrap()))
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn stop_tokens_end_a_sequence_unsaid() {
    let engine = engine(settings());
    let free = tokens(&events(engine.submit(job(prompt(2, 20), 30)).unwrap()));
    let stop = free[11];
    let first = free.iter().position(|token| *token == stop).unwrap();
    let stopped = events(engine.submit(Job { stop_tokens: vec![stop], ..job(prompt(2, 20), 30) }).unwrap());
    assert_eq!(tokens(&stopped), free[..first]);
    let usage = Usage { prompt_tokens: 20, completion_tokens: u32::try_from(first).unwrap() + 1 };
    assert_eq!(stopped.last(), Some(&Event::Done { reason: Reason::Stop(stop), usage }));
    let whole = events(engine.submit(Job { tokens_max: None, ..job(prompt(2, 20), 0) }).unwrap());
    assert_eq!(tokens(&whole).len(), 140);
}

#[test]
fn what_does_not_fit_is_refused() {
    let engine = engine(settings());
    let refused = |job: Job| engine.submit(job).unwrap_err();
    assert_eq!(
        refused(job(prompt(1, 100), 61)),
        SubmitError::ContextOverflow { prompt: 100, asked: 61, max: 160 }
    );
    let open = Job { tokens_max: None, ..job(prompt(1, 160), 0) };
    assert_eq!(refused(open), SubmitError::ContextOverflow { prompt: 160, asked: 1, max: 160 });
    assert_eq!(tokens(&events(engine.submit(job(prompt(1, 100), 60)).unwrap())).len(), 60);
    let good = job(prompt(1, 3), 2);
    let sampled = |sampling| Job { sampling, ..good.clone() };
    let cases = [
        ("prompt", Job { prompt: Vec::new(), ..good.clone() }),
        ("prompt", Job { prompt: vec![1, VOCABULARY], ..good.clone() }),
        ("temperature", sampled(Sampling { temperature: f32::NAN, ..Sampling::GREEDY })),
        ("temperature", sampled(Sampling { temperature: -0.1, ..Sampling::GREEDY })),
        ("top_p", sampled(Sampling { top_p: 1.1, ..Sampling::GREEDY })),
        ("stop_tokens", Job { stop_tokens: vec![1; 65], ..good.clone() }),
        ("logprobs", Job { prompt_logprobs: Some(21), ..good.clone() }),
    ];
    for (expected, job) in cases {
        let SubmitError::Invalid { field, .. } = refused(job) else { panic!("{expected}") };
        assert_eq!(field, expected);
    }
}

/// A job that runs until it is cancelled, as far as a test is concerned.
fn long(engine: &Engine) -> Handle {
    let mut handle = engine.submit(Job { tokens_max: None, ..job(prompt(4, 2), 0) }).unwrap();
    assert!(matches!(handle.next_blocking(), Some(Event::Token(_))));
    handle
}

/// An engine whose context is so long that a job without a bound does not end while a test runs.
fn patient(settings: EngineSettings) -> Engine {
    let config = ModelConfig { max_position_embeddings: 1 << 16, ..config(2, true) };
    let weights = weights(&config);
    let model = Arc::new(EngineModel::new(config, &weights, Precision::F32).unwrap());
    Engine::start(model, EngineSettings { context_max: 1 << 16, cache_bytes_max: 1 << 30, ..settings })
        .unwrap()
}

#[test]
fn the_queue_is_bounded_and_leaving_makes_room() {
    let engine = patient(EngineSettings { slots: 1, queue_max: 2, ..settings() });
    let running = long(&engine);
    let first = engine.submit(job(prompt(1, 5), 3)).unwrap();
    let second = engine.submit(job(prompt(2, 5), 3)).unwrap();
    let refused = engine.submit(job(prompt(3, 5), 3)).unwrap_err();
    assert_eq!(refused, SubmitError::QueueFull { waiting: 2 });
    // One that waits and leaves makes room at once.
    drop(second);
    let third = engine.submit(job(prompt(3, 5), 3)).unwrap();
    assert_eq!(engine.status().running, 1);
    // The one that runs gives up its slot.
    drop(running);
    assert_eq!(tokens(&events(first)).len(), 3);
    assert_eq!(tokens(&events(third)).len(), 3);
    engine.join().unwrap();
}

#[test]
fn a_job_waits_for_memory_and_finds_it_clean() {
    // Four blocks of 32 positions.
    let block = 3 * 2 * (40 + 64) * 128;
    let settings = EngineSettings { cache_bytes_max: 4 * block, ..settings() };
    let engine = engine(settings);
    assert_eq!(engine.context_max(), 128);
    let jobs: Vec<Job> = (0..12).map(|i| job(prompt(i, 40 + i as usize), 40)).collect();
    let fresh: Vec<_> = jobs
        .iter()
        .map(|job| {
            let engine = Engine::start(model(2, true, Precision::F32), settings).unwrap();
            events(engine.submit(job.clone()).unwrap())
        })
        .collect();
    assert_eq!(submit_all(&engine, &jobs), fresh);
    engine.join().unwrap();
}

#[test]
fn a_dropped_engine_finishes_what_it_took() {
    let engine = engine(settings());
    let handles: Vec<_> = (0..20).map(|i| engine.submit(job(prompt(i, 30), 20)).unwrap()).collect();
    drop(engine);
    for handle in handles {
        assert_eq!(tokens(&events(handle)).len(), 20);
    }
}

#[test]
fn broken_weights_fail_their_job_and_nobody_waits() {
    let config = config(2, false);
    let shape = Shape::new(config.clone()).unwrap();
    let mut weights = weights(&config);
    // Only the token 7 is poisoned: others run beside it unharmed.
    let row = shape.layout.embedding.start + 7 * 48;
    weights[row] = f32::NAN;
    let model = Arc::new(EngineModel::new(config, &weights, Precision::F32).unwrap());
    let engine = Engine::start(model, settings()).unwrap();
    let healthy = engine.submit(job(vec![1, 2, 3], 1)).unwrap();
    for asked in [job(vec![1, 7, 2], 5), Job { prompt_logprobs: Some(0), ..job(vec![7, 2, 3], 0) }] {
        let heard = events(engine.submit(asked).unwrap());
        assert_eq!(heard, vec![Event::Failed(Failure::NotANumber)]);
    }
    assert_eq!(events(healthy).len(), 2);
    // The blocks that held what is not a number serve others.
    for i in 0..10 {
        assert_eq!(events(engine.submit(job(vec![1, 2, 3 + i % 3], 1)).unwrap()).len(), 2);
    }
}

#[test]
fn an_async_reader_is_woken() {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Wake, Waker},
        thread::Thread,
    };
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let engine = engine(settings());
    let mut handle = engine.submit(job(prompt(1, 30), 25)).unwrap();
    let mut read = pin!(async move {
        let mut count = 0;
        while let Some(event) = handle.next().await {
            count += usize::from(matches!(event, Event::Token(_)));
        }
        count
    });
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let count = loop {
        match read.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(count) => break count,
            Poll::Pending => std::thread::park(),
        }
    };
    assert_eq!(count, 25);
}

#[test]
fn settings_and_weights_that_do_not_fit_are_refused() {
    let model = model(2, true, Precision::F32);
    for settings in [
        EngineSettings { threads: 0, ..settings() },
        EngineSettings { slots: 0, ..settings() },
        EngineSettings { prefill_rows: 0, ..settings() },
        EngineSettings { cache_bytes_max: 1000, ..settings() },
    ] {
        assert!(Engine::start(Arc::clone(&model), settings).is_err(), "{settings:?}");
    }
    let config = config(2, true);
    let weights = weights(&config);
    assert!(EngineModel::new(config, &weights[..weights.len() - 1], Precision::F32).is_err());
}
