//! The real data plane against scripted providers: what the client reads, what the provider saw, and what
//! the ledger says, each time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop where they stand"
)]

mod admission;
mod answers;
mod budget;
mod clearance;
mod clearance_prompts;
mod completions;
mod embeddings;
mod failure;
mod fixture;
mod hostile;
mod local;
mod own_models;
mod refusal;
mod streams;
mod tokeniser;
mod tuning;
