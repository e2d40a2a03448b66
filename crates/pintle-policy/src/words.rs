//! A check that Cedar cannot make: whether the words that a rule compares a fact with exist at all.
//!
//! Zones, stages and transformations are strings to Cedar, so `resource.zone == "public-cloud"` would
//! validate and then never match: a `forbid` that forbids nothing. This reads a policy's JSON form and
//! holds each literal against Pintle's vocabulary.

use pintle_core::{Stage, Transformation, Zone};
use serde_json::Value;

/// A literal that is no word of the vocabulary, and the words that are.
pub(crate) struct UnknownWord {
    pub(crate) word: String,
    pub(crate) attribute: &'static str,
    pub(crate) known: Vec<&'static str>,
}

const ATTRIBUTES: [&str; 4] = ["zone", "stage", "applied", "transformations"];

fn vocabulary(attribute: &str) -> Vec<&'static str> {
    match attribute {
        "zone" => Zone::ALL.iter().map(|zone| zone.as_str()).collect(),
        "stage" => Stage::ALL.iter().map(|stage| stage.as_str()).collect(),
        _ => Transformation::ALL.iter().map(|known| known.as_str()).collect(),
    }
}

/// Finds the literals that are compared with a fact but are no value it can have.
pub(crate) fn unknown_words(policy: &Value) -> Vec<UnknownWord> {
    let mut found = Vec::new();
    visit(policy, &mut found);
    found
}

fn visit(node: &Value, found: &mut Vec<UnknownWord>) {
    match node {
        Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
        Value::Object(fields) => {
            for operands in fields.values() {
                if let (Some(left), Some(right)) = (operands.get("left"), operands.get("right")) {
                    compare(left, right, found);
                    compare(right, left, found);
                }
                visit(operands, found);
            }
        }
        _ => {}
    }
}

/// Checks the literals of `other` when `fact` reads one of the attributes.
fn compare(fact: &Value, other: &Value, found: &mut Vec<UnknownWord>) {
    let name = fact.get(".").and_then(|access| access.get("attr")).and_then(Value::as_str);
    let Some(attribute) = ATTRIBUTES.into_iter().find(|known| Some(*known) == name) else { return };
    let known = vocabulary(attribute);
    let single = std::slice::from_ref(other);
    let literals = other.get("Set").and_then(Value::as_array).map_or(single, Vec::as_slice);
    for word in literals.iter().filter_map(|literal| literal.get("Value")?.as_str()) {
        if !known.contains(&word) {
            found.push(UnknownWord { word: word.to_owned(), attribute, known: known.clone() });
        }
    }
}
