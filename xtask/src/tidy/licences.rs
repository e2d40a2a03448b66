//! What the product may be built from: licences, and crates that would be a second way to do something.

use std::collections::HashSet;

use serde_json::Value;

use super::{Complaint, array, string};
use crate::tools::Outcome;

/// Licences that would bind the whole binary, or the people who run it.
const REFUSED_LICENCES: [&str; 6] = ["AGPL-", "BUSL-", "Elastic-", "GPL-", "LGPL-", "SSPL-"];

/// Crates that would bring a second TLS stack or a second HTTP client.
const REFUSED_CRATES: [&str; 5] = ["isahc", "native-tls", "openssl", "openssl-sys", "reqwest"];

/// A package of the dependency tree.
#[derive(Debug)]
pub(super) struct Dependency {
    name: String,
    version: String,
    licence: Option<String>,
}

/// The packages that this platform's build really uses.
pub(super) fn dependencies(metadata: &Value) -> Outcome<Vec<Dependency>> {
    let resolve = metadata.get("resolve").ok_or("cargo metadata: `resolve` is missing")?;
    let used: HashSet<&str> =
        array(resolve, "nodes")?.iter().map(|node| string(node, "id")).collect::<Outcome<_>>()?;
    array(metadata, "packages")?
        .iter()
        .filter(|package| string(package, "id").is_ok_and(|id| used.contains(id)))
        .map(|package| {
            Ok(Dependency {
                name: string(package, "name")?.to_owned(),
                version: string(package, "version")?.to_owned(),
                licence: package.get("license").and_then(Value::as_str).map(str::to_owned),
            })
        })
        .collect()
}

/// The dependencies that may not be used.
pub(super) fn refused(dependencies: &[Dependency]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for Dependency { name, version, licence } in dependencies {
        let place = format!("{name} {version}");
        if REFUSED_CRATES.contains(&name.as_str()) {
            complaints.push(Complaint::new(
                &place,
                "one TLS stack (rustls) and one HTTP client (hyper) are enough",
            ));
        }
        match licence {
            None => complaints.push(Complaint::new(place, "states no licence, so nobody may ship it")),
            Some(licence) if !acceptable(licence) => {
                complaints.push(Complaint::new(
                    place,
                    format!("its licence `{licence}` cannot be part of this product"),
                ));
            }
            Some(_) => {}
        }
    }
    complaints
}

/// Whether an SPDX expression leaves a choice without refused licences. What cannot be read is refused.
fn acceptable(expression: &str) -> bool {
    // Before SPDX expressions, a slash meant "or".
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let verdict = any_of(&mut rest);
    rest.is_empty() && verdict == Some(true)
}

fn any_of(words: &mut &[&str]) -> Option<bool> {
    let mut verdict = all_of(words)?;
    while let Some((&"OR", rest)) = words.split_first() {
        *words = rest;
        verdict |= all_of(words)?;
    }
    Some(verdict)
}

fn all_of(words: &mut &[&str]) -> Option<bool> {
    let mut verdict = one(words)?;
    while let Some((&"AND", rest)) = words.split_first() {
        *words = rest;
        verdict &= one(words)?;
    }
    Some(verdict)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    if *first == "(" {
        let verdict = any_of(words)?;
        let (close, rest) = words.split_first()?;
        *words = rest;
        return (*close == ")").then_some(verdict);
    }
    if let ["WITH", _exception, rest @ ..] = words {
        *words = rest;
    }
    let word = !matches!(*first, ")" | "OR" | "AND" | "WITH");
    word.then(|| !REFUSED_LICENCES.iter().any(|refused| first.starts_with(refused)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_weighed() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "Apache-2.0 AND ISC",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-2.0-only OR (MIT AND BSD-3-Clause)",
        ] {
            assert!(acceptable(good), "{good}");
        }
        for bad in [
            "GPL-3.0-or-later",
            "MIT AND AGPL-3.0",
            "(GPL-2.0 OR LGPL-3.0)",
            "MIT OR",
            "",
            "MIT Apache-2.0",
            "(MIT",
        ] {
            assert!(!acceptable(bad), "{bad}");
        }
    }

    #[test]
    fn refusals_name_the_package() {
        let dependency = |name: &str, licence: Option<&str>| Dependency {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            licence: licence.map(str::to_owned),
        };
        let said: Vec<String> = refused(&[
            dependency("hyper", Some("MIT")),
            dependency("openssl", Some("Apache-2.0")),
            dependency("viral", Some("AGPL-3.0-only")),
            dependency("mute", None),
        ])
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].starts_with("openssl 1.2.3: one TLS stack"));
        assert!(said[1].contains("`AGPL-3.0-only`"));
        assert!(said[2].starts_with("mute 1.2.3: states no licence"));
    }
}
