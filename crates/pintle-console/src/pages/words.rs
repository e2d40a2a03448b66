//! Plain words for what records hold as codes. Each function knows the whole list and still says
//! something sensible about what it does not know.

use pintle_core::{DataClass, Stage, Transformation, UsageSource, Zone};
use pintle_ledger::{EntryState, Outcome, ScanState};
use pintle_registry::{Objective, RiskTier};

use crate::TrainingStage;

pub(crate) const fn class(class: DataClass) -> &'static str {
    match class {
        DataClass::Public => "Public",
        DataClass::Internal => "Internal",
        DataClass::Confidential => "Confidential",
        DataClass::Restricted => "Restricted",
    }
}

pub(crate) const fn zone(zone: Zone) -> &'static str {
    match zone {
        Zone::OnPremises => "On premises",
        Zone::PrivateCloud => "Private cloud",
        Zone::PublicCloud => "Public cloud",
    }
}

pub(crate) const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Idea => "Idea",
        Stage::Pilot => "Pilot",
        Stage::Approved => "Approved",
        Stage::Production => "Production",
        Stage::Review => "In review",
        Stage::Retired => "Retired",
    }
}

/// What a stage means for the use case's calls.
pub(crate) const fn stage_means(stage: Stage) -> &'static str {
    match stage {
        Stage::Idea => "Written down; its keys do not call yet.",
        Stage::Pilot => "A trial, with a cap on its budget.",
        Stage::Approved => "Both owners' sides have agreed.",
        Stage::Production => "In everyday use.",
        Stage::Review => "In use while it is looked at again.",
        Stage::Retired => "Ended for good; its keys no longer work.",
    }
}

pub(crate) const fn risk(tier: RiskTier) -> &'static str {
    match tier {
        RiskTier::Minimal => "Minimal: a person reads each answer before anything comes of it",
        RiskTier::Limited => "Limited: answers reach others or are acted upon with little checking",
        RiskTier::High => "High: answers bear on people's rights, health or money",
    }
}

pub(crate) const fn objective(objective: Objective) -> &'static str {
    match objective {
        Objective::Cost => "Lowest price first",
        Objective::Latency => "Fastest first",
        Objective::OnPremises => "On premises first, then by price",
    }
}

/// What a training does.
pub(crate) const fn training_stage(stage: TrainingStage) -> &'static str {
    match stage {
        TrainingStage::Reading => "Reading the documents",
        TrainingStage::Tokeniser => "Building the vocabulary",
        TrainingStage::Base => "Learning from the documents",
        TrainingStage::Tune => "Learning to answer",
        TrainingStage::Evaluation => "Evaluation",
    }
}

/// What owners allow to be done to content.
pub(crate) const fn transformation(transformation: Transformation) -> &'static str {
    match transformation {
        Transformation::Pseudonymise => {
            "Sensitive values may be replaced by placeholders, which are turned back in the answer"
        }
        Transformation::Mask => "Sensitive values may be removed for good",
    }
}

/// What was done to content.
pub(crate) const fn applied(transformation: Transformation) -> &'static str {
    match transformation {
        Transformation::Pseudonymise => "sensitive values replaced by placeholders",
        Transformation::Mask => "sensitive values removed",
    }
}

pub(crate) const fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "Answered",
        Outcome::Refused => "Stopped",
        Outcome::Failed => "Failed",
        Outcome::Cancelled => "Cancelled",
        Outcome::InDoubt => "In doubt",
    }
}

pub(crate) const fn scan(state: ScanState) -> &'static str {
    match state {
        ScanState::NotRun => "not scanned",
        ScanState::Partial => "scanned in part",
        ScanState::Complete => "scanned completely",
    }
}

pub(crate) const fn usage_source(source: UsageSource) -> &'static str {
    match source {
        UsageSource::Provider => "reported by the provider",
        UsageSource::Estimated => "counted by Pintle (estimated)",
        UsageSource::Held => "not known; the whole hold counts",
        UsageSource::None => "nothing was sent",
    }
}

pub(crate) const fn entry_state(state: EntryState) -> &'static str {
    match state {
        EntryState::Posted => "Posted",
        EntryState::Voided => "Voided: the hold was released",
        EntryState::InDoubt => "In doubt: posted at the hold, because nobody knows what it cost",
    }
}

/// Why a request ended without an answer, by the stable code of its error.
pub(crate) fn code(code: &str) -> String {
    let known = match code {
        "policy_refused" => "Stopped by a rule",
        "banned" => "Banned for now",
        "stage_refused" => "The stage allows no calls",
        "unpriced" => "No known price",
        "answer_refused" => "The answer was held back by a rule",
        "budget_exceeded" => "Budget used up",
        "model_not_found" => "No such model or placement",
        "missing_api_key" => "No key was sent",
        "invalid_api_key" => "Unknown key",
        "expired_api_key" => "Expired key",
        "revoked_api_key" => "Revoked key",
        "too_many_concurrent_requests" => "Too many requests at once",
        "request_too_large" => "Request too large",
        "provider_unavailable" => "Provider could not be reached",
        "provider_rate_limited" => "Provider is busy",
        "provider_refused" => "Provider refused the request",
        "provider_misconfigured" => "Provider set up wrongly",
        "provider_broken_answer" => "Provider's answer broke off",
        "provider_timeout" => "Provider did not answer in time",
        "deadline_exceeded" => "Took longer than it may",
        "context_length_exceeded" => "Longer than the model can read",
        "ledger_unavailable" => "Ledger not available",
        "internal_error" => "Pintle itself failed",
        "client_gone" => "The client went away",
        other => return capital(&other.replace('_', " ")),
    };
    known.to_owned()
}

/// Title and guidance of a rule that stands in no policy file: the gateway's and the engine's own.
pub(crate) fn own_rule(rule: &str) -> Option<(&'static str, &'static str)> {
    Some(match rule {
        "unpriced" => (
            "The placement has no known price",
            "Nobody has said what it costs, so nothing is sent there. Ask IT for a price.",
        ),
        "answer" => (
            "The answer may not be given",
            "It holds content that this use case may not receive, masked or not.",
        ),
        "clearance-floor" => (
            "Nothing above a placement's clearance leaves",
            "Use a model with a higher clearance, or take the sensitive parts out and send it again.",
        ),
        "policy-error" => (
            "A rule that fails refuses",
            "A rule could not be evaluated, so nothing was let through. The content is not at fault.",
        ),
        "no-permit" => (
            "What no rule permits is refused",
            "No rule forbids it, but none permits it either. Ask for a rule that does.",
        ),
        _ => return None,
    })
}

/// A detector's type: `us_ssn` → "US SSN".
pub(crate) fn kind(kind: &str) -> String {
    if let Some(list) = kind.strip_prefix("dictionary:") {
        return format!("word of the list “{list}”");
    }
    if let Some(what) = kind.strip_prefix("unscannable") {
        let what = what.trim_start_matches(':').replace('_', " ");
        return if what.is_empty() {
            "content that cannot be scanned".to_owned()
        } else {
            format!("{what} that cannot be scanned")
        };
    }
    const ACRONYMS: [&str; 17] = [
        "iban", "swift", "bic", "ip", "url", "us", "ssn", "uk", "nino", "nhs", "au", "tfn", "abn", "de",
        "jwt", "api", "aws",
    ];
    let word = |part: &str| if ACRONYMS.contains(&part) { part.to_uppercase() } else { part.to_owned() };
    match kind {
        "email" => "e-mail address".to_owned(),
        "phone" => "phone number".to_owned(),
        "credit_card" => "payment card".to_owned(),
        "url_credentials" => "password in a URL".to_owned(),
        "de_tax_id" => "German tax id".to_owned(),
        kind => kind.split('_').map(word).collect::<Vec<_>>().join(" "),
    }
}

/// An administrative act in words: what was done, without by whom.
pub(crate) fn act(action: &str) -> String {
    let known = match action {
        "use_case.create" => "wrote down the use case",
        "use_case.edit" => "changed the use case",
        "use_case.stage" => "moved the use case to another stage",
        "key.create" => "made a key",
        "key.rotate" => "rotated a key",
        "key.revoke" => "revoked a key",
        "budget.set" => "changed the budget",
        "ban.add" => "added a ban",
        "ban.lift" => "lifted a ban",
        "model.promote" => "put a version into production",
        other => return other.replace(['.', '_'], " "),
    };
    known.to_owned()
}

/// The first letter as a capital.
pub(crate) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detectors_read_well() {
        let said: Vec<_> = ["iban", "us_ssn", "github_token", "dictionary:clients", "unscannable:image"]
            .into_iter()
            .map(kind)
            .collect();
        assert_eq!(
            said,
            ["IBAN", "US SSN", "github token", "word of the list “clients”", "image that cannot be scanned"]
        );
    }

    #[test]
    fn an_unknown_code_still_reads() {
        assert_eq!(code("quota_of_moon"), "Quota of moon");
    }
}
