//! Rules about the text of files, each a function over one file.
//!
//! The words that may not stand in a file are put together from parts here, so that this file may.

use super::{Complaint, File};

const LINES_MAX: usize = 700;
const EXCUSE: &str = concat!("tidy: long", " file because");

/// Words that say that something is unfinished or switched off, and the files they matter in.
const UNFINISHED: [(&str, &[&str]); 9] = [
    (concat!("to", "do!("), &["rs"]),
    (concat!("unimple", "mented!("), &["rs"]),
    (concat!("#[ig", "nore"), &["rs"]),
    (concat!("FIX", "ME"), &[]),
    (concat!("TO", "DO"), &[]),
    (concat!("unittest", ".skip"), &["py"]),
    (concat!("raise Skip", "Test"), &["py"]),
    (concat!("test", ".skip"), &["mjs", "js"]),
    (concat!("test", ".only"), &["mjs", "js"]),
];

/// Folders that exist on one machine only.
const ABSOLUTE: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Every rule about text, over every file.
pub(super) fn rules(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files {
        third_party(file, &mut complaints);
        let Some(text) = &file.text else { continue };
        unfinished(&file.path, text, &mut complaints);
        absolute_paths(&file.path, text, &mut complaints);
        if is_rust(&file.path) {
            too_long(&file.path, text, &mut complaints);
            bare_attributes(&file.path, text, &mut complaints);
            floats_for_money(&file.path, text, &mut complaints);
            header(&file.path, text, &mut complaints);
        }
    }
    complaints
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn in_tests(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.contains("/fixtures/")
}

fn third_party(file: &File, complaints: &mut Vec<Complaint>) {
    let path = file.path.as_str();
    if path.contains("node_modules/") || path.ends_with(".min.js") || path.ends_with(".min.css") {
        complaints.push(Complaint::new(path, "no third-party script in the repository"));
    }
}

fn unfinished(path: &str, text: &str, complaints: &mut Vec<Complaint>) {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    for (index, line) in text.lines().enumerate() {
        for (word, extensions) in UNFINISHED {
            if (extensions.is_empty() || extensions.contains(&extension)) && line.contains(word) {
                let message = format!("`{word}` says that something is not done: do it, or file an issue");
                complaints.push(Complaint::at(path, index, message));
            }
        }
    }
}

fn absolute_paths(path: &str, text: &str, complaints: &mut Vec<Complaint>) {
    for (index, line) in text.lines().enumerate() {
        for folder in ABSOLUTE {
            let found = line.match_indices(folder).any(|(at, _)| {
                // `docs/work/x` and `https://host/home/` are relative or a URL's path, not this machine's.
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | '~'))
            });
            if found {
                complaints.push(Complaint::at(path, index, format!("`{folder}` exists on one machine only")));
            }
        }
    }
}

fn too_long(path: &str, text: &str, complaints: &mut Vec<Complaint>) {
    let lines = text.lines().count();
    let excused = text.lines().take(15).any(|line| line.contains(EXCUSE));
    if lines > LINES_MAX && !in_tests(path) && !excused {
        let message =
            format!("{lines} lines, the limit is {LINES_MAX}: split it, or say `{EXCUSE} …` at its top");
        complaints.push(Complaint::new(path, message));
    }
}

/// Lint exceptions without a reason. Clippy finds those that compile on this platform; this finds all.
fn bare_attributes(path: &str, text: &str, complaints: &mut Vec<Complaint>) {
    for opening in [
        concat!("#[al", "low("),
        concat!("#![al", "low("),
        concat!("#[ex", "pect("),
        concat!("#![ex", "pect("),
    ] {
        for (at, _) in text.match_indices(opening) {
            let (before, attribute) = text.split_at(at);
            let commented =
                before.rsplit('\n').next().is_some_and(|start| start.trim_start().starts_with("//"));
            let attribute = attribute.split_once(")]").map_or(attribute, |(inside, _)| inside);
            if !commented && !attribute.contains("reason") {
                let message = format!("`{opening}…` needs a `reason = \"…\"`");
                complaints.push(Complaint::at(path, before.matches('\n').count(), message));
            }
        }
    }
}

fn floats_for_money(path: &str, text: &str, complaints: &mut Vec<Complaint>) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let about_money = ["money", "price", "ledger"].iter().any(|word| name.contains(word))
        || path.starts_with("crates/pintle-ledger/src/");
    if !about_money {
        return;
    }
    for (index, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        // A deserialiser must name the type in order to refuse it.
        if code.contains("fn visit_f64") {
            continue;
        }
        let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        // Also as a suffix: `1_f64`.
        if words.any(|word| word.ends_with("f32") || word.ends_with("f64")) {
            complaints.push(Complaint::at(path, index, "money is checked integers, never a float"));
        }
    }
}

fn header(path: &str, text: &str, complaints: &mut Vec<Complaint>) {
    let ours = (path.starts_with("crates/") || path.starts_with("xtask/")) && path.contains("/src/");
    if ours && !text.starts_with("//!") {
        complaints.push(Complaint::at(
            path,
            0,
            "begin with a `//!` header: what this file is for, and its neighbours",
        ));
    }
}

/// Rust files that no `mod` names: the compiler never sees them, so their tests never run.
pub(super) fn forgotten_modules(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| is_rust(&file.path)) {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let is_root = ["lib.rs", "main.rs", "build.rs"].contains(&name) || folder.ends_with("/bin");
        let source = ["/src/", "/tests/it/"].iter().any(|part| file.path.contains(part));
        if is_root || !source {
            continue;
        }
        let (module, owner_folder) = if name == "mod.rs" {
            let Some((parent, module)) = folder.rsplit_once('/') else { continue };
            (module, parent)
        } else {
            (name.trim_end_matches(".rs"), folder)
        };
        let owners = [
            format!("{owner_folder}/lib.rs"),
            format!("{owner_folder}/main.rs"),
            format!("{owner_folder}/mod.rs"),
            format!("{owner_folder}.rs"),
        ];
        let named = files.iter().filter(|other| owners.contains(&other.path)).any(|owner| {
            owner.text.as_deref().unwrap_or_default().lines().any(|line| {
                let line = line.trim().strip_suffix(';').unwrap_or_default();
                line.rsplit_once("mod ").is_some_and(|(_, last)| last == module)
            })
        });
        if !named {
            complaints.push(Complaint::new(&file.path, format!("no `mod {module};` names this file")));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: Some(text.to_owned()) }
    }

    fn said(path: &str, text: &str) -> Vec<String> {
        rules(&[file(path, text)]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unfinished_work_is_found() {
        let unfinished =
            format!("//! x\nfn a() {{ {}) }}\n// {}: later\n", concat!("to", "do!("), concat!("FIX", "ME"));
        let said = said("crates/a/src/lib.rs", &unfinished);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("crates/a/src/lib.rs:2: "));
        assert!(said[1].starts_with("crates/a/src/lib.rs:3: "));
        assert!(rules(&[file("docs/x.md", &format!("no `{}` here", concat!("to", "do!(")))]).is_empty());
    }

    #[test]
    fn exceptions_need_reasons() {
        let bare = format!("//! x\n{}dead_code)]\nfn a() {{}}\n", concat!("#[al", "low("));
        assert_eq!(said("crates/a/src/a.rs", &bare).len(), 1);
        let reasoned = "//! x\n#[expect(\n    dead_code,\n    reason = \"shown\"\n)]\nfn a() {}\n";
        assert!(said("crates/a/src/a.rs", reasoned).is_empty());
        let comment = format!("//! x\n// never write {}x)]\n", concat!("#[al", "low("));
        assert!(said("crates/a/src/a.rs", &comment).is_empty());
    }

    #[test]
    fn money_never_floats() {
        assert_eq!(
            said("crates/pintle-core/src/money.rs", "//! x\nlet a: f64 = 1.0;\nlet b = 1_f32;\n").len(),
            2
        );
        assert_eq!(said("crates/pintle-ledger/src/hold.rs", "//! x\nfn f(a: f32) {}\n").len(), 1);
        assert!(said("crates/pintle-core/src/money.rs", "//! x\n// not an f64\n").is_empty());
        assert!(said("crates/pintle-core/src/money.rs", "//! x\nfn visit_f64(self, _: f64) {}\n").is_empty());
        assert!(said("crates/pintle-energy/src/meter.rs", "//! x\nlet joules: f64 = 0.1;\n").is_empty());
    }

    #[test]
    fn long_files_need_an_excuse() {
        let long = format!("//! x\n{}", "// line\n".repeat(LINES_MAX));
        assert!(said("crates/a/src/a.rs", &long)[0].contains("701 lines, the limit is 700"));
        assert!(said("crates/a/tests/it/a.rs", &long).is_empty());
        assert!(said("crates/a/src/a.rs", &format!("//! {EXCUSE} of its table\n{long}")).is_empty());
    }

    #[test]
    fn files_begin_with_their_purpose() {
        assert_eq!(said("crates/a/src/a.rs", "use x;\n").len(), 1);
        assert!(said("crates/a/tests/it/a.rs", "use x;\n").is_empty());
    }

    #[test]
    fn machine_paths_are_found_and_relative_ones_are_not() {
        let path = concat!("/ho", "me/");
        assert_eq!(said("docs/a.md", &format!("see {path}me/x")).len(), 1);
        assert_eq!(said("docs/a.md", &format!("\"{path}me\"")).len(), 1);
        assert!(said("docs/a.md", &format!("https://example.com{path}x and docs{path}y")).is_empty());
    }

    #[test]
    fn third_party_scripts_stay_out() {
        assert_eq!(said("crates/a/assets/lib.min.js", "").len(), 1);
        assert_eq!(said("tests/node_modules/x/index.js", "").len(), 1);
    }

    #[test]
    fn forgotten_files_are_found() {
        let files = [
            file("crates/a/src/lib.rs", "//! x\npub(crate) mod named;\nmod deep;\n"),
            file("crates/a/src/named.rs", ""),
            file("crates/a/src/deep.rs", "mod inner;"),
            file("crates/a/src/deep/inner.rs", ""),
            file("crates/a/src/deep/lost.rs", ""),
            file("crates/a/tests/it/main.rs", "mod one;"),
            file("crates/a/tests/it/one.rs", ""),
            file("crates/a/tests/it/two.rs", ""),
        ];
        let places: Vec<String> =
            forgotten_modules(&files).into_iter().map(|complaint| complaint.place).collect();
        assert_eq!(places, ["crates/a/src/deep/lost.rs", "crates/a/tests/it/two.rs"]);
    }
}
