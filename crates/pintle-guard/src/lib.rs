//! Finds sensitive values in text and takes them out: detectors, validators, redaction, stream window.
//!
//! Pure: no I/O, no async runtime, no clock. The crate has one scanner, in `scan`, which walks a text once
//! from left to right and asks the detectors in `detect` at the few places where a value can begin.
//! [`Guard::scan`] gives it a whole text; [`AnswerWindow`] gives it a growing one. Both see the same
//! findings (I5), because a detector reads the text only through `probe::Probe`: once it asks for a byte
//! that has not arrived, its answer is thrown away and asked for again when there is more.
//!
//! A value that was found goes nowhere: [`Match`] has its place and type, and the only holder of values,
//! [`Pseudonyms`], belongs to one request, hides them from `Debug` and wipes them when dropped.

mod checks;
mod config;
mod context;
mod detect;
mod dictionary;
mod probe;
mod redact;
mod restore;
mod scan;
mod window;

pub use config::{Dictionary, GuardConfig, GuardError};
pub use detect::DetectorInfo;
pub use redact::{Pseudonyms, Treatment, Treatments, mask};
pub use restore::RestoreWindow;
pub use scan::{Guard, Match};
pub use window::AnswerWindow;

/// The most bytes that an [`AnswerWindow`] keeps back.
pub const HOLD_BACK_BYTES_MAX: usize = 2 * probe::REACH + 1;
