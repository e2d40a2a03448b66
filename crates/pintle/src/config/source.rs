//! Where each value of a configuration file stands: from a dotted path or a byte offset to file, line,
//! column and the line's text. Lines that may hold a secret are covered before anyone sees them.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// What a covered part of a line reads as.
const COVER: &str = "…";

/// A file's text under the name that messages use for it.
#[derive(Debug, Clone)]
pub(crate) struct SourceText {
    /// The path as it was given: `pintle.toml`.
    pub(crate) name: String,
    /// The whole text.
    pub(crate) text: String,
}

/// A place in a file, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Place {
    /// The file's name.
    pub(crate) file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub(crate) line: usize,
    /// The column in characters, from 1.
    pub(crate) column: usize,
    /// The line's text, with secrets covered; empty when the file as a whole is meant.
    pub(crate) excerpt: String,
    /// How many characters from `column` on are meant.
    pub(crate) width: usize,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn file(name: &str) -> Self {
        Place { file: name.to_owned(), line: 0, column: 0, excerpt: String::new(), width: 0 }
    }
}

impl Place {
    /// The same place with everything behind the line's first `=` covered.
    pub(crate) fn covered(self) -> Self {
        let excerpt = cover(&self.excerpt);
        let width = self.width.min(excerpt.chars().count().saturating_sub(self.column - 1)).max(1);
        Place { excerpt, width, ..self }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

impl SourceText {
    /// The place of a byte range. A range over several lines is shown up to the end of its first.
    pub(crate) fn place(&self, range: &Range<usize>) -> Place {
        let start = floor_boundary(&self.text, range.start);
        let before = self.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_text = self.text.get(line_start..).unwrap_or_default();
        let line_text = line_text.lines().next().unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let lead = self.text.get(line_start..start).unwrap_or_default().chars().count();
        let end = floor_boundary(&self.text, range.end.max(start));
        let meant = self.text.get(start..end).unwrap_or_default().lines().next().unwrap_or_default();
        let excerpt = if self.may_hold_a_secret(line_start, line_text) {
            cover(line_text)
        } else {
            line_text.trim_end().to_owned()
        };
        let shown = excerpt.chars().count();
        let column = lead + 1;
        let width = meant.chars().count().min(shown.saturating_sub(lead)).max(1);
        Place { file: self.name.clone(), line, column, excerpt, width }
    }

    /// The line of a byte offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        let start = floor_boundary(&self.text, offset);
        self.text.get(..start).unwrap_or_default().matches('\n').count() + 1
    }

    /// A line about an `api_key`, or below a table header that names one. Syntax errors have no path, so
    /// the text itself must tell.
    fn may_hold_a_secret(&self, line_start: usize, line: &str) -> bool {
        let header = self
            .text
            .get(..line_start)
            .unwrap_or_default()
            .lines()
            .rev()
            .find(|line| line.trim_start().starts_with('['));
        line.contains("api_key") || header.is_some_and(|header| header.contains("api_key"))
    }
}

/// Everything after the first `=` that follows `api_key`, or after the first `=` at all, becomes `…`. A
/// line without one is covered whole.
fn cover(line: &str) -> String {
    let from = line.find("api_key").unwrap_or(0);
    let equals = line.get(from..).and_then(|rest| rest.find('=')).map(|at| from + at + 1);
    match equals.and_then(|at| line.get(..at)) {
        Some(kept) => format!("{kept} {COVER}"),
        None if line.trim_start().starts_with('[') => line.trim_end().to_owned(),
        None => COVER.to_owned(),
    }
}

fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Where a key and its value stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The key, or the array's element.
    pub(crate) key: Range<usize>,
    /// The value.
    pub(crate) value: Range<usize>,
}

/// From dotted paths, `placement[0].price.input`, to places.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceMap {
    marks: BTreeMap<String, Mark>,
}

impl SourceMap {
    /// Maps every key of the document.
    pub(crate) fn of(table: &DeTable<'_>) -> Self {
        let mut map = SourceMap::default();
        map.add_table("", table);
        map
    }

    fn add_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(path, key.get_ref());
            self.add(&path, key.span(), value);
        }
    }

    fn add(&mut self, path: &str, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        self.marks.insert(path.to_owned(), Mark { key, value: value.span() });
        match value.get_ref() {
            DeValue::Table(table) => self.add_table(path, table),
            DeValue::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.add(&format!("{path}[{index}]"), element.span(), element);
                }
            }
            _ => {}
        }
    }

    /// Where the key stands, if it does.
    pub(crate) fn get(&self, path: &str) -> Option<&Mark> {
        self.marks.get(path)
    }

    /// Whether the file names the key.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.marks.contains_key(path)
    }

    /// The nearest key at or above the path that the file names.
    pub(crate) fn nearest(&self, path: &str) -> Option<&Mark> {
        let mut path = path;
        loop {
            if let Some(mark) = self.marks.get(path) {
                return Some(mark);
            }
            let cut = path.rfind(['.', '['])?;
            path = path.get(..cut)?;
        }
    }
}

/// A key below a path; the root's path is empty.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceText {
        SourceText { name: "pintle.toml".into(), text: text.into() }
    }

    #[test]
    fn places_count_characters_and_show_their_line() {
        let text = "a = 1\nüü = \"x\"\n";
        let source = source(text);
        let at = text.find("\"x\"").unwrap();
        let place = source.place(&(at..at + 3));
        assert_eq!((place.line, place.column, place.width), (2, 6, 3));
        assert_eq!(place.excerpt, "üü = \"x\"");
        let end = source.place(&(text.len()..text.len() + 9));
        assert_eq!((end.line, end.excerpt.as_str()), (3, ""));
    }

    #[test]
    fn lines_that_may_hold_a_secret_are_covered() {
        for text in [
            "api_key = \"sk-abc",
            "  api_key = sk-abc",
            "[placement.api_key]\nenv = \"sk-abc\"",
            "[placement.api_key]\n\"sk-abc\"",
            "p = [{ api_key = { env = \"sk-abc\" } }]",
        ] {
            let place = source(text).place(&(text.len() - 2..text.len()));
            assert!(!place.excerpt.contains("sk-abc"), "{}", place.excerpt);
        }
    }

    #[test]
    fn paths_lead_to_their_marks() {
        let text = "[[placement]]\nname = \"a\"\nprice = { input = \"1\" }\n";
        let table = DeTable::parse(text).unwrap();
        let map = SourceMap::of(table.get_ref());
        let mark = map.get("placement[0].price.input").unwrap();
        assert_eq!(&text[mark.value.clone()], "\"1\"");
        assert_eq!(map.nearest("placement[0].zone"), map.get("placement[0]"));
        assert!(map.nearest("server").is_none());
    }
}
