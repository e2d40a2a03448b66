//! The admin API: JSON for the command line and for scripts. One file for each kind of thing.
//!
//! Money is `{"nanos", "currency"}`, times are RFC 3339, lists are arrays. Each change is written down as
//! an administrative act under the caller's name.

pub(crate) mod bans;
pub(crate) mod budgets;
pub(crate) mod keys;
pub(crate) mod models;
pub(crate) mod reads;
pub(crate) mod status;
pub(crate) mod use_cases;

use std::str::FromStr;

use pintle_core::{Amount, Currency};
use serde::Serialize;

use crate::problem::Problem;

/// Money on the wire.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Money {
    nanos: i64,
    currency: Currency,
}

impl Money {
    pub(crate) fn new(amount: Amount, currency: &Currency) -> Self {
        Money { nanos: amount.nanos(), currency: currency.clone() }
    }
}

/// An id in a path. What is no id names nothing, so the answer is "not found".
fn id<T: FromStr>(what: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what, text))
}
