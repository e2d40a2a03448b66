//! The ledger over a real database and a real journal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may stop where they stand"
)]

mod ledger;
