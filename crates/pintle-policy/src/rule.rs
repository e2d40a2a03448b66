//! Rules as people see them: the annotations of a policy, and the three rules that are built in beneath
//! all policies.

use std::{fmt, sync::Arc};

/// Whether a rule allows or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Allows what no rule forbids.
    Permit,
    /// Refuses, whatever is permitted.
    Forbid,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        })
    }
}

/// A rule's id, as it stands in its `@id` annotation and in audit records.
pub type RuleRef = Arc<str>;

/// One policy, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rule {
    /// Its `@id`: unique over all files.
    pub id: RuleRef,
    /// Its `@title`: one line.
    pub title: Option<Arc<str>>,
    /// Permit or forbid.
    pub effect: Effect,
    /// Its `@guidance`: what a person can do now. Every forbidding rule has one.
    pub guidance: Option<Arc<str>>,
    /// Its `@owner`: whom to ask. Every forbidding rule has one.
    pub owner: Option<Arc<str>>,
    /// The file it stands in; `built in` for the rules of the engine itself.
    pub file: Arc<str>,
    /// The line it begins at, from 1; 0 for built-in rules.
    pub line: usize,
}

/// Why something was refused, in words for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// The id of the rule that refused, or one of [`CLEARANCE_FLOOR`], [`POLICY_ERROR`], [`NO_PERMIT`].
    pub rule: RuleRef,
    /// The rule's title, where it has one.
    pub title: Option<Arc<str>>,
    /// What the person can do now.
    pub guidance: Arc<str>,
    /// Whom to ask.
    pub owner: Arc<str>,
}

/// The floor beneath the policies (I1): content above a placement's clearance is never sent to it, also
/// where no policy says so.
pub const CLEARANCE_FLOOR: &str = "clearance-floor";

/// A policy could not be evaluated, so the answer is no (I6).
pub const POLICY_ERROR: &str = "policy-error";

/// No policy forbids it, but none permits it either.
pub const NO_PERMIT: &str = "no-permit";

/// Whom to ask about a rule that names nobody.
pub(crate) const DEFAULT_OWNER: &str = "IT Security";

/// The engine's own rules. Their ids are taken: no policy may use them.
pub(crate) fn built_in() -> [Rule; 3] {
    [
        (
            CLEARANCE_FLOOR,
            "Nothing above a placement's clearance leaves",
            "This model is not cleared for content of this class. Use a model with a higher clearance, or \
             take the sensitive parts out and send it again.",
        ),
        (
            POLICY_ERROR,
            "A rule that fails refuses",
            "A rule could not be evaluated, so nothing was let through. Your content is not at fault: \
             report this to the owner of the rules, with the reference of this request.",
        ),
        (
            NO_PERMIT,
            "What no rule permits is refused",
            "No rule permits this for your use case. Ask the owner of the rules whether it should be \
             permitted.",
        ),
    ]
    .map(|(id, title, guidance)| Rule {
        id: id.into(),
        title: Some(title.into()),
        effect: Effect::Forbid,
        guidance: Some(guidance.into()),
        owner: Some(DEFAULT_OWNER.into()),
        file: "built in".into(),
        line: 0,
    })
}
