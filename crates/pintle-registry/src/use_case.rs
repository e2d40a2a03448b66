//! The unit of ownership: the use case, and the two owners that each has.

use std::{collections::BTreeSet, str::FromStr, sync::Arc};

use pintle_core::{DataClass, Name, ParseError, Stage, Timestamp, Transformation};
use serde::{Deserialize, Serialize};

/// A named person with an address to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// As people call them.
    pub name: String,
    /// Where to reach them.
    pub email: String,
}

impl FromStr for Owner {
    type Err = ParseError;

    /// `Jana Novak <jana.novak@example.com>`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = || ParseError::new(text, "an owner", "write `Name <address@example.com>`");
        let (name, rest) = text.trim().split_once('<').ok_or_else(bad)?;
        let email = rest.strip_suffix('>').ok_or_else(bad)?;
        let owner = Owner { name: name.trim().into(), email: email.trim().into() };
        owner.is_plausible().then_some(owner).ok_or_else(bad)
    }
}

impl Owner {
    pub(crate) fn is_plausible(&self) -> bool {
        let fits = |text: &str, most: usize| {
            !text.trim().is_empty() && text.len() <= most && !text.chars().any(char::is_control)
        };
        let address = self.email.split_once('@');
        fits(&self.name, 120)
            && fits(&self.email, 254)
            && !self.email.contains(char::is_whitespace)
            && address.is_some_and(|(local, domain)| !local.is_empty() && domain.contains('.'))
    }
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

/// What to look for first when several placements may take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The lowest price.
    #[default]
    Cost,
    /// The shortest time to the first byte that was seen lately.
    Latency,
    /// On premises first, then by price.
    OnPremises,
}

impl Objective {
    /// The name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Objective::Cost => "cost",
            Objective::Latency => "latency",
            Objective::OnPremises => "on_premises",
        }
    }
}

impl FromStr for Objective {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [Objective::Cost, Objective::Latency, Objective::OnPremises]
            .into_iter()
            .find(|objective| objective.as_str() == text)
            .ok_or_else(|| ParseError::new(text, "an objective", "use `cost`, `latency` or `on_premises`"))
    }
}

/// How much harm a wrong answer could do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RiskTier {
    /// A person reads each answer before anything comes of it.
    #[default]
    Minimal,
    /// Answers reach others, or are acted upon with little checking.
    Limited,
    /// Answers bear on people's rights, health or money.
    High,
}

impl RiskTier {
    /// The name that records use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            RiskTier::Minimal => "minimal",
            RiskTier::Limited => "limited",
            RiskTier::High => "high",
        }
    }
}

impl FromStr for RiskTier {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        [RiskTier::Minimal, RiskTier::Limited, RiskTier::High]
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or_else(|| ParseError::new(text, "a risk tier", "use `minimal`, `limited` or `high`"))
    }
}

/// What people state about a use case; the registry adds stage and dates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UseCaseDraft {
    /// The short name that keys, budgets and records refer to.
    pub name: Name,
    /// What pages call it.
    pub title: String,
    /// What it is for, in a sentence or three.
    #[serde(default)]
    pub purpose: String,
    /// Who in the business needs it and answers for its value.
    pub business_owner: Owner,
    /// Who in IT keeps it running and safe.
    pub it_owner: Owner,
    /// Who steps in when an owner is away.
    #[serde(default)]
    pub deputy: Option<Owner>,
    /// Who pays.
    pub cost_centre: String,
    /// The highest class that it is meant for.
    pub data_class: DataClass,
    /// How much harm a wrong answer could do.
    #[serde(default)]
    pub risk_tier: RiskTier,
    /// What its owners allow to be done to content, so that it can go further.
    #[serde(default)]
    pub transformations: BTreeSet<Transformation>,
    /// What to look for in a placement.
    #[serde(default)]
    pub objective: Objective,
    /// How the work was done, and how long it took, before.
    #[serde(default)]
    pub baseline: Option<String>,
    /// What it should be worth.
    #[serde(default)]
    pub value_hypothesis: Option<String>,
    /// When it is looked at again: `2027-03-31`.
    #[serde(default)]
    pub review_on: Option<String>,
    /// What would end it.
    #[serde(default)]
    pub kill_criterion: Option<String>,
}

impl UseCaseDraft {
    /// The first thing that is wrong with the draft: the field and what to do about it.
    ///
    /// # Errors
    /// `(field, message)`.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let line = |field: &'static str, text: &str, most: usize| {
            if text.trim().is_empty() {
                Err((field, "it must not be empty".to_owned()))
            } else if text.len() > most || text.chars().any(char::is_control) {
                Err((field, format!("use at most {most} characters on one line")))
            } else {
                Ok(())
            }
        };
        line("title", &self.title, 120)?;
        line("cost_centre", &self.cost_centre, 40)?;
        for (field, owner) in [
            ("business_owner", Some(&self.business_owner)),
            ("it_owner", Some(&self.it_owner)),
            ("deputy", self.deputy.as_ref()),
        ] {
            if owner.is_some_and(|owner| !owner.is_plausible()) {
                return Err((field, "give a name and an e-mail address".to_owned()));
            }
        }
        if self.business_owner.email.eq_ignore_ascii_case(&self.it_owner.email) {
            return Err((
                "it_owner",
                "name two different people: one from the business, one from IT".to_owned(),
            ));
        }
        for (field, text) in [
            ("purpose", Some(&self.purpose)),
            ("baseline", self.baseline.as_ref()),
            ("value_hypothesis", self.value_hypothesis.as_ref()),
            ("kill_criterion", self.kill_criterion.as_ref()),
        ] {
            if text.is_some_and(|text| text.len() > 2_000) {
                return Err((field, "use at most 2,000 characters".to_owned()));
            }
        }
        if self.review_on.as_ref().is_some_and(|date| date.parse::<jiff::civil::Date>().is_err()) {
            return Err(("review_on", "write the date as 2027-03-31".to_owned()));
        }
        Ok(())
    }
}

/// A use case as the register holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UseCase {
    /// What its owners state.
    #[serde(flatten)]
    pub draft: UseCaseDraft,
    /// Where it stands in its life.
    pub stage: Stage,
    /// Part of the labelled sample data.
    pub is_demo: bool,
    /// Counts the changes, from 1.
    pub version: i64,
    /// When it was written down.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl UseCase {
    /// Its short name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.draft.name
    }
}

/// Shared by the snapshot and by requests in flight.
pub(crate) type SharedUseCase = Arc<UseCase>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_people_with_addresses() {
        let owner: Owner = "Jana Novak <jana.novak@example.com>".parse().unwrap();
        assert_eq!(owner.to_string(), "Jana Novak <jana.novak@example.com>");
        for bad in ["Jana", "<a@b.c>", "Jana <jana>", "Jana <a b@example.com>", "Jana <@example.com>"] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }
}
