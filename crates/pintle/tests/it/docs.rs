//! Documentation that cannot go stale: each TOML example is a valid configuration, and the reference
//! names each setting and variable.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Sandbox;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<(String, String)> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain([root().join("README.md")])
        .filter(|path| path.extension().is_some_and(|extension| extension == "md") && path.exists())
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    pages.sort();
    pages
}

/// The fenced blocks of a language: `toml` is a part of a configuration; `toml case` and the like are not.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn each_toml_example_is_a_valid_configuration() {
    let mut count = 0;
    for (page, text) in pages() {
        for example in blocks(&text, "toml") {
            count += 1;
            // An example shows a part; what it leaves out is added, so that the whole can be checked.
            let mut toml = example.to_owned();
            if !example.contains("[organisation]") {
                toml.push_str("\n[organisation]\nname = \"Example AG\"\ncurrency = \"EUR\"\n");
            }
            let sandbox = Sandbox::with(&toml);
            sandbox.write("clients.txt", "Harbour Gold\n");
            sandbox.write("policies/own.cedar", "@id(\"all\")\npermit(principal, action, resource);\n");
            let run = sandbox.run(&["config", "check", "--skip-secrets"]);
            assert_eq!(run.code, 0, "{page}:\n{example}\n{}", run.shown());
        }
    }
    assert!(count >= 5, "found {count} examples");
}

#[test]
fn the_reference_names_each_setting() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let schema: Value = serde_json::from_str(&Sandbox::new().run(&["config", "schema"]).out).unwrap();
    let mut names = Vec::new();
    collect(&schema, &mut names);
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let is_there =
            ["`{}`", "[{}]", "`[{}"].iter().any(|shape| page.contains(&shape.replace("{}", &name)));
        assert!(is_there, "docs/configuration.md does not mention `{name}`");
    }
}

fn collect(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                names.extend(properties.keys().cloned());
            }
            fields.values().for_each(|field| collect(field, names));
        }
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, names)),
        _ => {}
    }
}

#[test]
fn the_reference_states_the_defaults_that_apply() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let sandbox = Sandbox::with("[organisation]\nname = \"A\"\ncurrency = \"EUR\"\n");
    let rows: Value = serde_json::from_str(&sandbox.run(&["config", "explain", "--json"]).out).unwrap();
    for row in rows.as_array().unwrap() {
        let (key, value) = (row["key"].as_str().unwrap(), row["value"].as_str().unwrap());
        let Some(name) = key.strip_prefix("limits.") else { continue };
        let line = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        assert!(
            line.contains(&format!("`{value}`")) || line.contains(&format!("`\"{value}\"`")),
            "{line}: {value}"
        );
    }
}

#[test]
fn help_and_reference_name_each_variable() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let help = Sandbox::new().run(&["--help"]).out;
    for variable in ["PINTLE_CONFIG", "PINTLE_DATA", "PINTLE_LISTEN", "PINTLE_PUBLIC_URL", "PINTLE_LOG"] {
        assert!(page.contains(variable) && help.contains(variable), "{variable}");
    }
}
