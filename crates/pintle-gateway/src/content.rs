//! Content and its class, whatever is asked for. A [`Scanned`] request can be made only by scanning it; [`Cleared`] content can
//! be made only of a scanned request whose class its placement may see (I1); and a connector takes
//! nothing else.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pintle_core::{DataClass, Finding, Origin, Transformation};
use pintle_guard::{Guard, Match, Pseudonyms};
use pintle_llm::{AnyRequest, TextField};
use pintle_policy::Content;

use crate::fleet::Station;

/// A request whose every text has been scanned, with the class that came of it.
#[derive(Debug)]
pub(crate) struct Scanned {
    request: AnyRequest,
    facts: Content,
    findings: Vec<Finding>,
}

impl Scanned {
    /// Scans every text of the request. Text without findings is internal; parts that cannot be scanned
    /// make the whole restricted.
    pub(crate) fn new(request: AnyRequest, guard: &Guard) -> Self {
        let mut findings = Vec::new();
        request.for_each_text(&mut |field| {
            let matches = scan_field(guard, field);
            if matches.is_empty() {
                return;
            }
            let place = field.place();
            findings.extend(matches.into_iter().map(|found| Finding {
                kind: found.kind,
                class: found.class,
                confidence: found.confidence,
                origin: Origin::Request,
                place: place.clone(),
                start: found.start,
                end: found.end,
            }));
        });
        let unscannable = request.unscannable_parts();
        findings.extend(unscannable.iter().map(|part| Finding {
            kind: format!("unscannable:{}", part.what).into(),
            class: DataClass::Restricted,
            confidence: 100,
            origin: Origin::Request,
            place: part.place.clone(),
            start: 0,
            end: 0,
        }));
        let class = findings.iter().map(|finding| finding.class).max().unwrap_or_default();
        let facts = Content {
            class: class.max(DataClass::default()),
            labels: findings.iter().map(|finding| Arc::clone(&finding.kind)).collect::<BTreeSet<_>>(),
            unscannable: !unscannable.is_empty(),
        };
        Scanned { request, facts, findings }
    }

    pub(crate) fn class(&self) -> DataClass {
        self.facts.class
    }

    pub(crate) fn facts(&self) -> &Content {
        &self.facts
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub(crate) fn request(&self) -> &AnyRequest {
        &self.request
    }
}

/// Labelled texts longer than this bring their context with them.
const LABELLED_BYTES_MAX: usize = 256;
/// Names of the protocol's own fields, which say nothing about what stands in them.
const PLAIN_LABELS: [&str; 10] = [
    "content",
    "text",
    "arguments",
    "input",
    "description",
    "name",
    "refusal",
    "reasoning_content",
    "prompt",
    "tokens",
];

/// Scans one text. The name of the field that it stands in counts as the word before it, so that
/// `{"ssn": "078051120"}` is seen for what it is.
pub(crate) fn scan_field(guard: &Guard, field: &TextField<'_>) -> Vec<Match> {
    let text = field.text();
    let label = field.label().filter(|label| {
        text.len() <= LABELLED_BYTES_MAX && label.len() <= 64 && !PLAIN_LABELS.contains(label)
    });
    let Some(label) = label.filter(|_| text.bytes().any(|byte| byte.is_ascii_digit())) else {
        return guard.scan(text);
    };
    let words: String = label.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let before = words.len() + 2;
    let mut found = guard.scan(&format!("{words}: {text}"));
    found.retain(|found| found.start >= before);
    for found in &mut found {
        found.start -= before;
        found.end -= before;
    }
    found
}

/// The forms that one request may leave in: as it is, and transformed, each made when first asked for and
/// scanned again, so that what a transformation leaves is seen and not assumed.
pub(crate) struct Forms {
    raw: Arc<Scanned>,
    guard: Arc<Guard>,
    transformed: RefCell<BTreeMap<Transformation, Option<Form>>>,
}

/// One form of the request.
#[derive(Clone)]
pub(crate) struct Form {
    pub(crate) scanned: Arc<Scanned>,
    /// What turns placeholders in the answer back; empty unless pseudonymised.
    pub(crate) pseudonyms: Arc<Pseudonyms>,
}

impl Forms {
    pub(crate) fn new(raw: Arc<Scanned>, guard: Arc<Guard>) -> Self {
        Forms { raw, guard, transformed: RefCell::default() }
    }

    pub(crate) fn raw(&self) -> &Arc<Scanned> {
        &self.raw
    }

    /// The form after `applied`; `None` when it cannot be made (a value stands in the name of a field).
    pub(crate) fn get(&self, applied: Option<Transformation>) -> Option<Form> {
        let Some(transformation) = applied else {
            let pseudonyms = Arc::new(Pseudonyms::new());
            return Some(Form { scanned: Arc::clone(&self.raw), pseudonyms });
        };
        let mut made = self.transformed.borrow_mut();
        made.entry(transformation).or_insert_with(|| self.transform(transformation)).clone()
    }

    /// The class of the form after `transformation`: restricted when it cannot be made.
    pub(crate) fn residual(&self, transformation: Transformation) -> DataClass {
        self.get(Some(transformation)).map_or(DataClass::Restricted, |form| form.scanned.class())
    }

    fn transform(&self, transformation: Transformation) -> Option<Form> {
        let mut request = self.raw.request().clone();
        let mut pseudonyms = Pseudonyms::new();
        if transformation == Transformation::Pseudonymise {
            request.for_each_text(&mut |field| pseudonyms.reserve_from(field.text()));
        }
        let is_sensitive = |found: &Match| found.class > DataClass::default();
        request
            .map_texts(&mut |field| {
                let matches = scan_field(&self.guard, field);
                if !matches.iter().any(is_sensitive) {
                    return None;
                }
                Some(match transformation {
                    Transformation::Pseudonymise => pseudonyms.replace(field.text(), &matches, is_sensitive),
                    Transformation::Mask => pintle_guard::mask(field.text(), &matches, is_sensitive),
                })
            })
            .ok()?;
        let scanned = Arc::new(Scanned::new(request, &self.guard));
        Some(Form { scanned, pseudonyms: Arc::new(pseudonyms) })
    }
}

/// Content that may go to one placement: the only thing that a connector sends.
pub(crate) struct Cleared {
    form: Form,
    station: Arc<Station>,
}

impl Cleared {
    /// INVARIANT (I1): the class of the content is at most the placement's clearance, whatever any policy
    /// said. `None` otherwise.
    pub(crate) fn new(form: Form, station: Arc<Station>) -> Option<Self> {
        let class = form.scanned.class();
        (class <= station.placement().clearance).then_some(Cleared { form, station })
    }

    pub(crate) fn station(&self) -> &Arc<Station> {
        &self.station
    }

    pub(crate) fn class(&self) -> DataClass {
        self.form.scanned.class()
    }

    pub(crate) fn request(&self) -> &AnyRequest {
        self.form.scanned.request()
    }

    pub(crate) fn pseudonyms(&self) -> &Arc<Pseudonyms> {
        &self.form.pseudonyms
    }
}
