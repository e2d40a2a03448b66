//! The vocabulary that every other crate speaks.
//!
//! Each type parses once, in `FromStr`, and `Deserialize` goes through that parser, so that a value
//! which exists is valid. Nothing here does I/O: no async runtime, no SQL, no clock other than the
//! injected [`Clock`].

mod class;
mod energy;
mod finding;
mod id;
mod money;
mod name;
mod price;
mod secret;
mod text;
mod time;
mod tokens;

pub use class::{DataClass, Stage, Transformation, Zone};
pub use energy::{Energy, EnergyMethod};
pub use finding::{Finding, Origin, Place};
pub use id::{BanId, FileId, Id, IdKind, KeyId, RequestId, SessionId, TuningJobId};
pub use money::{Amount, Currency, MoneyError, Price};
pub use name::{ModelName, Name};
pub use price::{PriceCard, Pricing};
pub use secret::Secret;
pub use text::ParseError;
pub use time::{Clock, ManualClock, SystemClock, Timestamp, month_bounds};
pub use tokens::{TokenUsage, UsageSource};
