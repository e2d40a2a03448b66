//! Who may do what, whose it is and where it could run: people's use cases, their keys, bans, and the
//! placements that the configuration file names.
//!
//! Two masters, never both for one object: [`Placement`]s and the [`Organisation`] come from the
//! configuration file and are read-only here; use cases, keys and bans live in the database and are
//! changed through [`Registry`], each change with an entry in the record of administrative acts.
//! Requests read a [`Snapshot`], which is replaced as a whole after each change, so that the common
//! path takes no lock and waits for no database.

mod ban;
mod claim;
mod demo;
mod key;
mod placement;
mod registry;
mod rows;
mod session;
mod use_case;

pub use ban::{Ban, BanTarget, NewBan};
pub use claim::claim;
pub use demo::seed_demo;
pub use key::{ApiKey, KeyHash, KeyState, NewKey, PresentedKey};
pub use placement::{Organisation, Placement, Provider, Timeouts};
pub use registry::{AdminAct, Registry, RegistryError, Snapshot};
pub use session::{SESSION_HOURS, SETUP_LINK_MINUTES, Sessions, SignedIn};
pub use use_case::{Objective, Owner, RiskTier, UseCase, UseCaseDraft};
