//! Links between the pages of the documentation: each relative target is there, each anchor too.

use std::collections::HashSet;

use super::{Complaint, File};

/// The links that lead nowhere.
pub(super) fn broken(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for page in files.iter().filter(|file| is_page(&file.path)) {
        for (line, target) in targets(page.text.as_deref().unwrap_or_default()) {
            if let Err(why) = resolve(files, &page.path, &target) {
                complaints.push(Complaint::at(&page.path, line, format!("the link to `{target}` {why}")));
            }
        }
    }
    complaints
}

fn is_page(path: &str) -> bool {
    path.ends_with(".md") && (!path.contains('/') || path.starts_with("docs/") || path.starts_with("crates/"))
}

fn resolve(files: &[File], page: &str, target: &str) -> Result<(), String> {
    let elsewhere = ["http://", "https://", "mailto:"].iter().any(|scheme| target.starts_with(scheme));
    if elsewhere {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { Some(page.to_owned()) } else { join(page, path) };
    let path = path.ok_or("leaves the repository")?;
    let is_folder = path.is_empty() || files.iter().any(|file| file.path.starts_with(&format!("{path}/")));
    let Some(file) = files.iter().find(|file| file.path == path) else {
        return if is_folder { Ok(()) } else { Err("leads to no file".to_owned()) };
    };
    match (anchor, &file.text) {
        (Some(anchor), Some(text)) if path.ends_with(".md") && !anchors(text).contains(anchor) => {
            Err("leads to no heading".to_owned())
        }
        _ => Ok(()),
    }
}

/// The target of a link in `page`, relative to the root; `None` above it.
fn join(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// Lines outside fenced code, with their index.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of inline links and of reference definitions, with the index of their line.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in prose(text) {
        // Inline code is no link: drop every second piece between backticks.
        let line: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for (at, _) in line.match_indices("](") {
            let rest = line.get(at + 2..).unwrap_or_default();
            // A title may follow the target after a space.
            if let Some(target) = rest.split([')', ' ']).next().filter(|target| !target.is_empty()) {
                found.push((index, target.to_owned()));
            }
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            found.push((index, target.trim().to_owned()));
        }
    }
    found
}

/// The anchors that a page's headings get, as the usual renderers make them.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        // A repeated heading gets a number.
        let mut unique = anchor.clone();
        let mut n = 1;
        while !anchors.insert(unique) {
            unique = format!("{anchor}-{n}");
            n += 1;
        }
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: Some(text.to_owned()) }
    }

    #[test]
    fn links_lead_somewhere() {
        let files = [
            file(
                "README.md",
                "[a](docs/a.md) [b](docs/b.md) [up](../x) [web](https://example.com/x)\n\
                 [anchor](docs/a.md#two-words-here) [lost](docs/a.md#three) [here](#top) [folder](docs/)\n\
                 `[code](nowhere)` [titled](LICENSE \"the licence\")\n```\n[fenced](nowhere)\n```\n# Top\n\n[ref]: docs/gone.md\n",
            ),
            file("docs/a.md", "# A\n## Two words, here!\n[back](../README.md#top)\n![image](pic.svg)\n"),
            file("LICENSE", ""),
        ];
        let said: Vec<String> = broken(&files).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "README.md:1: the link to `docs/b.md` leads to no file",
                "README.md:1: the link to `../x` leaves the repository",
                "README.md:2: the link to `docs/a.md#three` leads to no heading",
                "README.md:9: the link to `docs/gone.md` leads to no file",
                "docs/a.md:4: the link to `pic.svg` leads to no file",
            ]
        );
    }

    #[test]
    fn repeated_headings_are_numbered() {
        let anchors = anchors("# Same\n# Same\n#no heading\n## `code` and (more)\n");
        for anchor in ["same", "same-1", "code-and-more"] {
            assert!(anchors.contains(anchor), "{anchor}");
        }
        assert_eq!(anchors.len(), 3);
    }
}
