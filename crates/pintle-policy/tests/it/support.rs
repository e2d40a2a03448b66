//! Facts to ask with.

use std::collections::BTreeSet;

use pintle_core::{DataClass, Stage, Zone};
use pintle_policy::{
    Content, PlacementFacts, PolicyEngine, PolicySource, Subject, Transformation, default_sources,
};

pub(crate) fn default_engine() -> PolicyEngine {
    PolicyEngine::compile(&default_sources()).unwrap()
}

/// The default policies and one file more.
pub(crate) fn engine_with(text: &str) -> PolicyEngine {
    let mut sources = default_sources();
    sources.push(source("own.cedar", text));
    PolicyEngine::compile(&sources).unwrap()
}

pub(crate) fn source(name: &str, text: &str) -> PolicySource {
    PolicySource { name: name.to_owned(), text: text.to_owned() }
}

pub(crate) fn subject(data_class: DataClass, transformations: &[Transformation]) -> Subject {
    Subject {
        use_case: "claims".parse().unwrap(),
        stage: Stage::Production,
        data_class,
        transformations: transformations.iter().copied().collect(),
        cost_centre: "4711".to_owned(),
        budget: None,
    }
}

pub(crate) fn placement(zone: Zone, clearance: DataClass) -> PlacementFacts {
    PlacementFacts {
        name: "a-placement".parse().unwrap(),
        zone,
        clearance,
        provider: "openai".to_owned(),
        model: "gpt-4o-mini".parse().unwrap(),
        region: "eu".to_owned(),
        trained_on: DataClass::Public,
    }
}

pub(crate) fn content(class: DataClass) -> Content {
    Content { class, labels: BTreeSet::from(["iban".into()]), unscannable: false }
}

/// Every set of transformations that a use case can allow.
pub(crate) const TRANSFORMATIONS: [&[Transformation]; 4] = [
    &[],
    &[Transformation::Pseudonymise],
    &[Transformation::Mask],
    &[Transformation::Pseudonymise, Transformation::Mask],
];
