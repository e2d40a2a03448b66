//! Policy files as text: the ones shipped with Pintle, the split of a file into its policies, and the
//! way from a byte offset to a line. `compile.rs` gives the pieces to Cedar.

use std::ops::Range;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySource {
    /// The file's name, for messages.
    pub name: String,
    /// Its text, in Cedar's language.
    pub text: String,
}

/// The text of the schema that policies are checked against.
pub const SCHEMA: &str = include_str!("../schema.cedarschema");

/// The decision table that is shipped with the default policies. It shows how such tables are written.
pub const DEFAULT_TESTS: &str = include_str!("../policies/tests.toml");

/// The policies that Pintle is shipped with, in the order in which their reasons are given.
#[must_use]
pub fn default_sources() -> Vec<PolicySource> {
    [
        ("permits.cedar", include_str!("../policies/permits.cedar")),
        ("content.cedar", include_str!("../policies/content.cedar")),
        ("stages.cedar", include_str!("../policies/stages.cedar")),
        ("answers.cedar", include_str!("../policies/answers.cedar")),
    ]
    .map(|(name, text)| PolicySource { name: name.to_owned(), text: text.to_owned() })
    .to_vec()
}

/// The part of a file that holds one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// From the end of the policy before to the closing `;`, comments included.
    pub(crate) range: Range<usize>,
    /// Where its first word stands.
    pub(crate) first: usize,
    /// The line of its first word, from 1.
    pub(crate) line: usize,
    /// How deep its brackets nest.
    pub(crate) nesting: usize,
    /// At least as many as its operators: a chain of them nests as deep as it is long.
    pub(crate) operators: usize,
}

/// Splits a file at the semicolons that stand outside of strings and comments. Cedar then parses each
/// policy for itself, so that a mistake in one does not hide the mistakes in the next, and each keeps
/// its place in the file. A missing semicolon leaves two policies in one piece, which Cedar reports.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    #[derive(Clone, Copy, PartialEq)]
    enum In {
        Code,
        Comment,
        Text,
        Escape,
    }

    let mut found = Vec::new();
    let mut state = In::Code;
    let mut start = 0;
    let mut first = None;
    let mut line = 1;
    let mut depth = Depth::default();
    for (index, letter) in text.char_indices() {
        line += usize::from(letter == '\n');
        state = match (state, letter) {
            (In::Code, '/') if text.get(index..).is_some_and(|rest| rest.starts_with("//")) => In::Comment,
            (In::Comment, '\n') => In::Code,
            (In::Text, '\\') => In::Escape,
            (In::Escape, _) => In::Text,
            (In::Text, '"') => In::Code,
            (In::Code, '"') => In::Text,
            (same, _) => same,
        };
        let is_word = state == In::Text || (state == In::Code && !letter.is_whitespace());
        if is_word && first.is_none() {
            first = Some((index, line));
        }
        if state != In::Code {
            continue;
        }
        depth.count(text, index, letter);
        if letter == ';' {
            let (first_word, first_line) = first.take().unwrap_or((index, line));
            let Depth { nesting, operators, .. } = std::mem::take(&mut depth);
            let range = start..index + 1;
            found.push(Piece { range, first: first_word, line: first_line, nesting, operators });
            start = index + 1;
        }
    }
    if let Some((first, line)) = first {
        let Depth { nesting, operators, .. } = depth;
        found.push(Piece { range: start..text.len(), first, line, nesting, operators });
    }
    found
}

/// What bounds the depth of a policy's syntax tree, counted without parsing it.
#[derive(Default)]
struct Depth {
    open: usize,
    nesting: usize,
    operators: usize,
}

impl Depth {
    fn count(&mut self, text: &str, index: usize, letter: char) {
        match letter {
            '(' | '[' | '{' => {
                self.open += 1;
                self.nesting = self.nesting.max(self.open);
            }
            ')' | ']' | '}' => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        // Clauses (`{`) are joined by a hidden `&&`; `if` nests in its `else`.
        let is_operator = "&|+-*<>=!.{".contains(letter);
        let is_if = letter == 'i' && text.get(index..).is_some_and(|rest| rest.starts_with("if"));
        self.operators += usize::from(is_operator || is_if);
    }
}

/// Line and column (in characters) of a byte offset, both from 1. An offset beyond the text, or within a
/// character, counts up to there.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut line = 1;
    let mut column = 1;
    for (_, letter) in text.char_indices().take_while(|(index, _)| *index < offset) {
        if letter == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_splits_at_the_semicolons_of_its_code() {
        let text = "// one; two\n@id(\"a;\\\"b\")\npermit(principal, action, resource);\n\n  forbid // x;\n;";
        let found = pieces(text);
        let words: Vec<&str> = found.iter().map(|piece| &text[piece.first..piece.range.end]).collect();
        assert_eq!(words, ["@id(\"a;\\\"b\")\npermit(principal, action, resource);", "forbid // x;\n;"]);
        assert_eq!(found.iter().map(|piece| piece.line).collect::<Vec<usize>>(), [2, 5]);
        assert!(pieces("// nothing here\n").is_empty());
        assert_eq!(pieces("permit").len(), 1, "a missing semicolon leaves a piece for Cedar to report");
    }

    #[test]
    fn depth_is_counted_in_code_alone() {
        let found = pieces("permit (p) when { [1, (2)].contains(1) || !a }; // (((( ....\n\"((..\";");
        let depths: Vec<(usize, usize)> =
            found.iter().map(|piece| (piece.nesting, piece.operators)).collect();
        assert_eq!(depths, [(3, 5), (0, 0)]);
    }

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(position("ab\nüx", 0), (1, 1));
        assert_eq!(position("ab\nüx", "ab\nü".len()), (2, 2));
        assert_eq!(position("ab", 99), (1, 3));
    }
}
