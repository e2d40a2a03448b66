//! The data plane: what stands between an application and a model.
//!
//! [`phases`](phases) is the file to read first: the nine phases of a request stand there in their order.
//! What they need stands around it: the state they read ([`state`](state)), content and its clearance
//! (`content`), placements and their health (`fleet`), connections to providers (`upstream`), guarding of
//! answers (`screen`, `stream`, `whole`), and the one mapping from what went wrong to what the client reads
//! (`error`, `guidance`). `tuning` has files and tuning jobs.
//!
//! Absences: no request waits for a database; content reaches a connector only as `Cleared`, which
//! cannot be made above a placement's clearance (I1); no answer leaves except as `Recorded`.

mod body;
mod caller;
mod content;
mod error;
mod fleet;
mod guidance;
mod judge;
mod life;
mod metrics;
mod named;
mod phases;
mod routes;
mod screen;
mod state;
mod stream;
mod tries;
pub mod tuning;
mod upstream;
mod whole;
mod work;

pub use caller::Caller;
pub use fleet::Health;
pub use metrics::Metrics;
pub use routes::router;
pub use state::{Gateway, GatewayParts, Limits, PlacementStatus, Settings, Unpriced};
pub use upstream::UpstreamError;
