//! Scripted fake providers and fault scripts, for tests only.
//!
//! A [`FakeUpstream`] speaks raw bytes over loopback TCP, so that it can do what no HTTP library lets a
//! server do: lie about lengths, cut a chunk in half, stall, reset. What it does per request is a
//! [`Script`]; what it saw is a list of [`Received`]. [`RawClient`] is the same thing for the other side.
//! Nothing here sleeps: tests wait for events, and a wait that lasts longer than [`PATIENCE`] panics.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "whatever goes wrong in a test kit must fail the test"
)]

mod anthropic;
mod client;
mod gate;
mod openai;
mod ports;
mod script;
mod upstream;
mod wire;

use std::time::Duration;

pub use client::{Answer, RawClient};
pub use gate::Gate;
pub use ports::{RefusedAddr, connect_refused_addr, free_port};
pub use script::{Script, Step, Usage};
pub use upstream::FakeUpstream;
pub use wire::Received;

/// How long a test waits for something that must happen. Only a broken test ever waits this long.
pub const PATIENCE: Duration = Duration::from_secs(20);
