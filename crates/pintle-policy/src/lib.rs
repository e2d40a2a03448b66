//! May this go there? Cedar policies, checked once at compile time and asked per request.
//!
//! Facts come in as plain values ([`Subject`], [`PlacementFacts`], [`Content`]); a [`Decision`] goes out, in
//! words for the person who asked. Obligations are facts: when a rule refuses content as it is, the engine
//! proposes a transformation that the use case allows (`applied.contains("mask")`) and asks again.
//!
//! What holds whatever the policies say: content above a placement's clearance is never allowed to it
//! (I1), a policy that cannot be evaluated refuses (I6), what cannot be scanned counts as restricted, and
//! each refusal has a rule, guidance and an owner (I7). Nothing here does I/O: no files, no clock, no
//! async runtime. Who loads the files and when they are reloaded is the caller's affair.

mod compile;
mod engine;
mod error;
mod facts;
mod memo;
mod request;
mod rule;
mod source;
mod table;
mod words;

pub use engine::{AnswerRule, AnswerTable, Decision, PolicyEngine, Verdict};
pub use error::{PolicyError, Problem};
pub use facts::{Content, Exchange, PlacementFacts, Question, Subject};
pub use pintle_core::Transformation;
pub use rule::{CLEARANCE_FLOOR, Effect, NO_PERMIT, POLICY_ERROR, Reason, Rule, RuleRef};
pub use source::{DEFAULT_TESTS, PolicySource, SCHEMA, default_sources};
pub use table::{CaseResult, TestReport, run_tests, untested_in_all};
