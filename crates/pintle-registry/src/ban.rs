//! Dated bans: on a placement, a model or a provider, for all or for one use case.

use std::{collections::BTreeSet, str::FromStr};

use pintle_core::{BanId, ModelName, Name, ParseError, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Placement;

/// What is banned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BanTarget {
    /// One placement.
    Placement(Name),
    /// A model, wherever it runs.
    Model(ModelName),
    /// Each placement of a kind of provider: `openai`, `anthropic`.
    Provider(Name),
}

impl BanTarget {
    /// `placement`, `model` or `provider`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            BanTarget::Placement(_) => "placement",
            BanTarget::Model(_) => "model",
            BanTarget::Provider(_) => "provider",
        }
    }

    /// The name of what is banned.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            BanTarget::Placement(name) | BanTarget::Provider(name) => name.as_str(),
            BanTarget::Model(name) => name.as_str(),
        }
    }

    /// Whether the ban's target includes the placement.
    #[must_use]
    pub fn covers(&self, placement: &Placement) -> bool {
        match self {
            BanTarget::Placement(name) => *name == placement.name,
            BanTarget::Model(name) => *name == placement.model,
            BanTarget::Provider(name) => name.as_str() == placement.provider.name(),
        }
    }
}

impl std::fmt::Display for BanTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

impl FromStr for BanTarget {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |hint: String| ParseError::new(text, "something to ban", hint);
        let shape = "write `placement:NAME`, `model:NAME` or `provider:NAME`";
        let (kind, name) = text.split_once(':').ok_or_else(|| bad(shape.into()))?;
        match kind {
            "placement" => name.parse().map(BanTarget::Placement).map_err(|e: ParseError| bad(e.hint)),
            "model" => name.parse().map(BanTarget::Model).map_err(|e: ParseError| bad(e.hint)),
            "provider" => name.parse().map(BanTarget::Provider).map_err(|e: ParseError| bad(e.hint)),
            _ => Err(bad(shape.into())),
        }
    }
}

impl Serialize for BanTarget {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BanTarget {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an administrator states about a ban.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBan {
    /// What is banned.
    pub target: BanTarget,
    /// For this use case only; for all when absent.
    #[serde(default)]
    pub use_case: Option<Name>,
    /// Why; people who are stopped read it.
    pub reason: String,
    /// Whom to ask.
    pub owner: String,
    /// From when; now when absent.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// Until when. Each ban ends by itself.
    pub ends_at: Timestamp,
    /// Use cases that it spares.
    #[serde(default)]
    pub exceptions: BTreeSet<Name>,
}

/// A ban as the register holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ban {
    /// Its id.
    pub id: BanId,
    /// What is banned.
    pub target: BanTarget,
    /// For this use case only; for all when absent.
    pub use_case: Option<Name>,
    /// Why.
    pub reason: String,
    /// Whom to ask.
    pub owner: String,
    /// From when.
    pub starts_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// Use cases that it spares.
    pub exceptions: BTreeSet<Name>,
    /// When it was lifted before its end.
    pub lifted_at: Option<Timestamp>,
}

impl Ban {
    /// Whether the ban is in force at the given time.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.lifted_at.is_none() && self.starts_at <= now && now < self.ends_at
    }

    /// Whether it stops this use case at this placement at the given time.
    #[must_use]
    pub fn stops(&self, use_case: &Name, placement: &Placement, now: Timestamp) -> bool {
        self.is_active(now)
            && self.use_case.as_ref().is_none_or(|only| only == use_case)
            && !self.exceptions.contains(use_case)
            && self.target.covers(placement)
    }
}
