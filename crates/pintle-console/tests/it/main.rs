//! The console from outside: its routes, its pages, its admin API.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod access;
mod admin_api;
mod client;
mod models;
mod models_seed;
mod pages;
mod seed;
mod sign_in;
mod support;
mod try_it;
