//! The policies as a whole: decision tables, floors, messages, memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod compile_errors;
mod decisions;
mod floors;
mod memory;
mod shipped;
mod support;
mod tables;
