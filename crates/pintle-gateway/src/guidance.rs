//! Refusals that help (I7): what was stopped, where, by which rule, what to do now, whom to ask. Never
//! the value.

use std::{collections::BTreeMap, sync::Arc};

use pintle_core::{DataClass, Finding, Name, RequestId};
use pintle_policy::Reason;
use pintle_registry::UseCase;
use serde_json::{Value, json};

/// At most so many places are told one by one.
const MOST_PLACES: usize = 8;

/// A refusal by rule, ready to be read.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The stable code: `policy_refused`, `banned`, `stage_refused`, `unpriced`, `answer_refused`.
    pub(crate) code: &'static str,
    /// What was not done: "Not sent", "Not given".
    pub(crate) what: &'static str,
    /// The class of the content, where content is the reason.
    pub(crate) class: Option<DataClass>,
    /// What was found, by type and place.
    pub(crate) sightings: Vec<Sighting>,
    /// The rules that refused, each once.
    pub(crate) reasons: Vec<Reason>,
    /// What the person can do now, best first.
    pub(crate) ways: Vec<Way>,
    /// The reference to give when asking.
    pub(crate) id: RequestId,
}

/// Findings of one type at one place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    kind: Arc<str>,
    place: Arc<str>,
    class: DataClass,
    count: usize,
}

/// One way forward.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Send it to another placement, which may take it as it is.
    UsePlacement { placement: Name, is_transformed: bool },
    /// Take these out and send it again.
    Remove { what: &'static str },
    /// The owners can allow a transformation that would make it pass.
    AllowTransformation { transformation: &'static str, placement: Name },
    /// Ask these people.
    Ask { name: String, email: String, role: &'static str },
    /// Say that this is a mistake.
    Report { name: String, email: String },
}

impl Way {
    fn action(&self) -> &'static str {
        match self {
            Way::UsePlacement { .. } => "use_placement",
            Way::Remove { .. } => "remove_values",
            Way::AllowTransformation { .. } => "allow_transformation",
            Way::Ask { .. } => "ask",
            Way::Report { .. } => "report_mistake",
        }
    }

    fn sentence(&self) -> String {
        match self {
            Way::UsePlacement { placement, is_transformed: false } => {
                format!("use `{placement}` (or `auto`), which may take this as it is")
            }
            Way::UsePlacement { placement, is_transformed: true } => {
                format!("use `{placement}` (or `auto`), where the values are replaced before it is sent")
            }
            Way::Remove { what } => format!("take the {what} out and send it again"),
            Way::AllowTransformation { transformation, placement } => format!(
                "ask the use case's owners to allow `{transformation}`, with which `{placement}` may take this"
            ),
            Way::Ask { name, email, role } => format!("ask {name} ({role}) at {email}"),
            Way::Report { name, email } => format!("report a mistake to {name} at {email}"),
        }
    }

    fn to_json(&self) -> Value {
        let mut way = json!({ "action": self.action(), "description": self.sentence() });
        let detail = match self {
            Way::UsePlacement { placement, .. } => Some(("model", placement.to_string())),
            Way::AllowTransformation { transformation, .. } => {
                Some(("transformation", (*transformation).to_owned()))
            }
            Way::Ask { email, .. } | Way::Report { email, .. } => Some(("contact", email.clone())),
            Way::Remove { .. } => None,
        };
        if let (Some((key, value)), Some(way)) = (detail, way.as_object_mut()) {
            way.insert(key.to_owned(), value.into());
        }
        way
    }
}

/// Findings above what any text may hold, gathered by type and place, most severe first.
pub(crate) fn sightings(findings: &[Finding]) -> Vec<Sighting> {
    let mut counts: BTreeMap<(Arc<str>, Arc<str>), (DataClass, usize)> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.class > DataClass::Internal) {
        let key = (Arc::clone(&finding.place.path), Arc::clone(&finding.kind));
        let count = counts.entry(key).or_insert((finding.class, 0));
        count.1 += 1;
    }
    let mut sightings: Vec<_> = counts
        .into_iter()
        .map(|((place, kind), (class, count))| Sighting { kind, place, class, count })
        .collect();
    sightings.sort_by_key(|sighting| std::cmp::Reverse(sighting.class));
    sightings.truncate(MOST_PLACES);
    sightings
}

/// What to take out: values that were found, parts that cannot be scanned.
pub(crate) fn removals(sightings: &[Sighting]) -> Option<Way> {
    let (parts, values): (Vec<_>, Vec<_>) =
        sightings.iter().partition(|sighting| sighting.kind.starts_with("unscannable:"));
    let what = match (values.is_empty(), parts.is_empty()) {
        (true, true) => return None,
        (false, true) => "values",
        (true, false) => "parts that cannot be scanned",
        (false, false) => "values and the parts that cannot be scanned",
    };
    Some(Way::Remove { what })
}

/// Whom to ask, and whom to tell of a mistake: the use case's own people.
pub(crate) fn people(use_case: &UseCase) -> [Way; 2] {
    let business = &use_case.draft.business_owner;
    let it = &use_case.draft.it_owner;
    [
        Way::Ask { name: business.name.clone(), email: business.email.clone(), role: "business owner" },
        Way::Report { name: it.name.clone(), email: it.email.clone() },
    ]
}

impl Refusal {
    /// The whole of it in a few sentences.
    pub(crate) fn message(&self) -> String {
        let mut text = format!("{}.", self.what);
        if !self.sightings.is_empty() {
            let list: Vec<String> = self.sightings.iter().map(Sighting::words).collect();
            text.push_str(&format!(" {}", list.join("; ")));
            if let Some(class) = self.class {
                text.push_str(&format!(" (class: {class})"));
            }
            text.push('.');
        }
        if let Some(reason) = self.reasons.first() {
            text.push_str(&format!(" Rule `{}` ({}): {}", reason.rule, reason.owner, reason.guidance));
            if !text.ends_with('.') {
                text.push('.');
            }
        }
        let ways: Vec<String> = self.ways.iter().map(Way::sentence).collect();
        if !ways.is_empty() {
            text.push_str(&format!(" You can: {}.", ways.join(" · ")));
        }
        text.push_str(&format!(" Ref {}.", self.id.short()));
        text
    }

    /// The machine-readable part of the error.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "class": self.class,
            "findings": self.sightings.iter().map(Sighting::to_json).collect::<Vec<_>>(),
            "rules": self.reasons,
            "ways_forward": self.ways.iter().map(Way::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Sighting {
    fn words(&self) -> String {
        let kind = kind_words(&self.kind);
        match self.count {
            1 => format!("`{}` contains one {kind}", self.place),
            count => format!("`{}` contains {count} × {kind}", self.place),
        }
    }

    fn to_json(&self) -> Value {
        json!({ "type": &*self.kind, "place": &*self.place, "class": self.class, "count": self.count })
    }
}

/// A detector's type as people say it: `us_ssn` → "US SSN".
fn kind_words(kind: &str) -> String {
    if let Some(dictionary) = kind.strip_prefix("dictionary:") {
        return format!("word of the list `{dictionary}`");
    }
    if let Some(what) = kind.strip_prefix("unscannable:") {
        return format!("{} that cannot be scanned", what.replace('_', " "));
    }
    const SHORT: [&str; 15] = [
        "iban", "swift", "bic", "ip", "url", "us", "ssn", "uk", "nino", "nhs", "au", "tfn", "abn", "de",
        "jwt",
    ];
    let word = |part: &str| if SHORT.contains(&part) { part.to_uppercase() } else { part.to_owned() };
    kind.split('_').map(word).collect::<Vec<_>>().join(" ")
}
