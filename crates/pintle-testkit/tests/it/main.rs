//! The test kit itself: a fake that lies must lie exactly as told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod dialects;
mod faults;
mod upstream;
