//! The floors of the house: which crate may depend on which, and which stay free of I/O.

use serde_json::Value;

use super::{Complaint, File, array, string};
use crate::tools::Outcome;

/// The table of the design page. A new crate gets its floor here and there in the same commit.
const FLOORS: [(&str, u8); 14] = [
    ("pintle", 4),
    ("pintle-gateway", 3),
    ("pintle-console", 3),
    ("pintle-data", 3),
    ("pintle-model", 3),
    ("pintle-registry", 2),
    ("pintle-ledger", 2),
    ("pintle-llm", 1),
    ("pintle-guard", 1),
    ("pintle-policy", 1),
    ("pintle-energy", 1),
    ("pintle-db", 1),
    // Only ever a dev-dependency, so its floor limits what it may use itself.
    ("pintle-testkit", 1),
    ("pintle-core", 0),
];
const TESTKIT: &str = "pintle-testkit";
const OUTSIDE: &str = "xtask";

/// Crates that do no I/O, and what would bring it in.
const PURE: [&str; 4] = ["pintle-core", "pintle-guard", "pintle-llm", "pintle-policy"];
const IMPURE: [&str; 7] = ["axum", "hyper", "hyper-util", "rusqlite", "sqlx", "tokio", "tokio-util"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Build,
    Dev,
}

/// A crate of the workspace and the names of what it depends on directly.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) dependencies: Vec<(String, Kind)>,
}

pub(super) fn members(metadata: &Value) -> Outcome<Vec<Member>> {
    let ids = array(metadata, "workspace_members")?;
    let packages = array(metadata, "packages")?
        .iter()
        .filter(|package| package.get("id").is_some_and(|id| ids.contains(id)));
    packages
        .map(|package| {
            let dependencies = array(package, "dependencies")?.iter().map(|dependency| {
                let kind = match dependency.get("kind").and_then(Value::as_str) {
                    Some("dev") => Kind::Dev,
                    Some("build") => Kind::Build,
                    _ => Kind::Normal,
                };
                Ok((string(dependency, "name")?.to_owned(), kind))
            });
            let dependencies = dependencies.collect::<Outcome<_>>()?;
            Ok(Member { name: string(package, "name")?.to_owned(), dependencies })
        })
        .collect()
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

/// The arrows that do not go down.
pub(super) fn arrows(members: &[Member]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for member in members {
        let from = member.name.as_str();
        if from != OUTSIDE && floor(from).is_none() {
            let message =
                "has no floor; give it one in xtask/src/tidy/floors.rs and in the table of ARCHITECTURE.md";
            complaints.push(Complaint::new(from, message));
            continue;
        }
        for (to, kind) in &member.dependencies {
            if members.iter().any(|other| other.name == *to)
                && let Some(why) = forbidden(from, to, *kind)
            {
                complaints.push(Complaint::new(format!("{from} -> {to}"), why));
            }
        }
    }
    complaints
}

fn forbidden(from: &str, to: &str, kind: Kind) -> Option<String> {
    if from == OUTSIDE || to == OUTSIDE {
        return Some(
            "xtask stands outside the house; it neither links its crates nor is linked by them".to_owned(),
        );
    }
    if to == TESTKIT {
        let why = "the test kit is a dev-dependency only; move it to [dev-dependencies]";
        return (kind != Kind::Dev).then(|| why.to_owned());
    }
    let (from_floor, to_floor) = (floor(from)?, floor(to)?);
    if to_floor < from_floor {
        return None;
    }
    let direction = if to_floor == from_floor { "sideways" } else { "up" };
    Some(format!(
        "this arrow goes {direction} (floor {from_floor} to floor {to_floor}); arrows go down only, so move what \
         both need to a lower floor, or let the caller above pass it in"
    ))
}

/// Pure crates that depend on something that does I/O.
pub(super) fn purity(members: &[Member]) -> Vec<Complaint> {
    let pure = members.iter().filter(|member| PURE.contains(&member.name.as_str()));
    pure.flat_map(|member| {
        let impure = member
            .dependencies
            .iter()
            .filter(|(to, kind)| *kind != Kind::Dev && IMPURE.contains(&to.as_str()));
        impure.map(|(to, _)| {
            Complaint::new(
                format!("{} -> {to}", member.name),
                "this crate does no I/O: leave that to the floors above",
            )
        })
    })
    .collect()
}

/// Manifests of crates that do not take the workspace's lints.
pub(super) fn manifests(files: &[File]) -> Vec<Complaint> {
    // Below `docs` stand programs that a decision was measured with: no part of the workspace.
    let is_ours = |path: &str| path.ends_with("/Cargo.toml") && !path.starts_with("docs/");
    let manifests = files.iter().filter(|file| is_ours(&file.path));
    let without = manifests.filter(|file| !file.text.as_deref().is_some_and(takes_workspace_lints));
    without.map(|file| Complaint::new(&file.path, "add `[lints]` with `workspace = true`")).collect()
}

fn takes_workspace_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, dependencies: &[(&str, Kind)]) -> Member {
        let dependencies = dependencies.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Member { name: name.to_owned(), dependencies }
    }

    fn complaints(members: &[Member]) -> Vec<String> {
        arrows(members).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_go_down_only() {
        let house = [
            member("pintle-core", &[]),
            member("pintle-ledger", &[("pintle-core", Kind::Normal), ("serde", Kind::Normal)]),
            member("pintle-registry", &[("pintle-ledger", Kind::Normal)]),
            member("pintle-console", &[("pintle-registry", Kind::Normal)]),
            member("pintle-gateway", &[("pintle-ledger", Kind::Normal), ("pintle-core", Kind::Dev)]),
        ];
        let said = complaints(&house);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with(
                "pintle-registry -> pintle-ledger: this arrow goes sideways (floor 2 to floor 2)"
            )
        );

        let said = complaints(&[
            member("pintle-core", &[("pintle-gateway", Kind::Build)]),
            member("pintle-gateway", &[]),
        ]);
        assert!(said[0].contains("goes up (floor 0 to floor 3)"), "{said:?}");
    }

    #[test]
    fn dev_arrows_go_down_too_except_to_the_test_kit() {
        let house = [
            member("pintle-core", &[("pintle-testkit", Kind::Dev), ("pintle-db", Kind::Dev)]),
            member("pintle-db", &[]),
            member("pintle-testkit", &[("pintle-core", Kind::Normal)]),
            member("pintle-ledger", &[("pintle-testkit", Kind::Normal)]),
        ];
        let said = complaints(&house);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("pintle-core -> pintle-db: this arrow goes up"));
        assert!(
            said[1].starts_with("pintle-ledger -> pintle-testkit: the test kit is a dev-dependency only")
        );
    }

    #[test]
    fn new_crates_need_a_floor_and_xtask_stays_outside() {
        let said = complaints(&[
            member("pintle-attic", &[]),
            member("xtask", &[("pintle-core", Kind::Normal)]),
            member("pintle-core", &[]),
        ]);
        assert!(said[0].starts_with("pintle-attic: has no floor"), "{said:?}");
        assert!(said[1].starts_with("xtask -> pintle-core: xtask stands outside"), "{said:?}");
    }

    #[test]
    fn pure_crates_stay_pure() {
        let house = [
            member("pintle-llm", &[("bytes", Kind::Normal), ("tokio", Kind::Dev)]),
            member("pintle-guard", &[("tokio", Kind::Normal)]),
            member("pintle-gateway", &[("tokio", Kind::Normal)]),
        ];
        let said: Vec<String> = purity(&house).iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("pintle-guard -> tokio"));
    }

    #[test]
    fn each_crate_takes_the_lints_of_the_workspace() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: Some(text.to_owned()) };
        let files = [
            file("Cargo.toml", "[workspace]"),
            file("crates/a/Cargo.toml", "[package]\n[lints]\nworkspace = true\n[dependencies]"),
            file("crates/b/Cargo.toml", "[package]\n[lints]\n[dependencies]\nworkspace = true"),
            file("crates/c/Cargo.toml", "[package]"),
        ];
        let places: Vec<String> = manifests(&files).into_iter().map(|complaint| complaint.place).collect();
        assert_eq!(places, ["crates/b/Cargo.toml", "crates/c/Cargo.toml"]);
    }
}
