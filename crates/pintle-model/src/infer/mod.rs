//! Serving: an engine that continues the token sequences of many callers at once.
//!
//! [`Engine::start`] takes a packed model (`weights`) and works on threads of its own. `queue` lets a bounded number
//! of jobs wait, `engine` gives each a slot and blocks of the `cache`, and makes steps: every running sequence gets one
//! token per step, and a part of a waiting prompt goes along. `forward` takes such a mixed batch through the network
//! with the `crew` of threads; `sample` draws the tokens. A sequence's tokens do not depend on who runs beside it.
//!
//! Text is another module's business: jobs come as token ids and events go out as token ids.

mod cache;
mod crew;
mod engine;
mod forward;
mod job;
mod queue;
mod sample;
#[cfg(test)]
mod tests;
mod weights;

pub use engine::{Engine, EngineSettings, EngineStatus};
pub use job::{Event, Failure, Job, Reason, Sampling, ScoredToken, SubmitError, Usage};
pub use queue::Handle;
pub use weights::{EngineModel, Precision};
