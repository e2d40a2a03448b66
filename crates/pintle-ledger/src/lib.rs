//! Holds, usage, prices, budgets, journal.
