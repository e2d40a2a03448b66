//! A small reader of Markdown: headings, paragraphs, lists and tables, and nothing else.
//!
//! It reads for structure and never fails: what it does not know is a paragraph, code blocks and comments are left
//! out, and every size is bounded. `facts` makes sense of the blocks.

/// Bytes of a document that are read; the rest is left out.
const MOST_BYTES: usize = 4 << 20;
/// Blocks that are kept of a document.
const MOST_BLOCKS: usize = 20_000;
/// Items of a list, rows of a table, lines of a paragraph.
const MOST_ROWS: usize = 2_000;
/// Cells of a row.
const MOST_CELLS: usize = 16;
/// Characters of a line that are read.
const MOST_LINE: usize = 4_000;

/// A part of a document. All texts still carry their inline markup; [`plain`] takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Level 1 to 6, and its text.
    Heading(usize, String),
    /// The lines of a paragraph, apart, because `Key: value` lines are told by their line ends.
    Paragraph(Vec<String>),
    /// A list; nested items stand in their parent's text.
    List { numbered: bool, items: Vec<String> },
    /// A table with its header row.
    Table { header: Vec<String>, rows: Vec<Vec<String>> },
}

/// Reads the blocks of a document.
pub(crate) fn blocks(markdown: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    let text = cut(markdown, MOST_BYTES);
    let mut lines = body(text).lines().peekable();
    while let Some(line) = lines.next() {
        if reader.blocks.len() >= MOST_BLOCKS {
            break;
        }
        let next = lines.peek().copied().unwrap_or_default();
        reader.line(cut(line, MOST_LINE), next);
    }
    reader.flush();
    reader.blocks
}

/// The longest prefix of at most `most` bytes that ends at a character.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The document without its front matter.
fn body(text: &str) -> &str {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n")) else { return text };
    rest.find("\n---").and_then(|at| rest.get(at + 4..)).unwrap_or(text)
}

#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    paragraph: Vec<String>,
    list: Option<(bool, Vec<String>)>,
    table: Vec<Vec<String>>,
    /// The fence that closes the code block which is being left out.
    fence: Option<&'static str>,
    in_comment: bool,
}

impl Reader {
    fn line(&mut self, line: &str, next: &str) {
        let text = line.trim();
        if self.left_out(text) {
            return;
        }
        if text.is_empty() {
            self.end_paragraph();
            self.end_table();
            return;
        }
        if let Some((level, heading)) = heading(text) {
            self.flush();
            self.blocks.push(Block::Heading(level, heading.to_owned()));
            return;
        }
        if self.underline(text) {
            return;
        }
        let delimited = next.contains('|') && cells(next).iter().all(|cell| delimiter(cell));
        if text.contains('|') && (text.starts_with('|') || !self.table.is_empty() || delimited) {
            self.end_paragraph();
            self.end_list();
            if self.table.len() < MOST_ROWS {
                self.table.push(cells(text));
            }
            return;
        }
        self.end_table();
        let indented = line.starts_with("  ") || line.starts_with('\t');
        match (item(text), &mut self.list) {
            // A nested item, or the next line of one: it belongs to the item above.
            (nested, Some((_, items))) if indented => {
                if let Some(last) = items.last_mut().filter(|last| last.len() < MOST_LINE) {
                    last.push(' ');
                    last.push_str(nested.map_or(text, |(_, rest)| rest));
                }
            }
            (Some((numbered, rest)), _) => self.item(numbered, rest),
            (None, _) => {
                self.end_list();
                if self.paragraph.len() < MOST_ROWS {
                    self.paragraph.push(text.trim_start_matches(['>', ' ']).to_owned());
                }
            }
        }
    }

    /// Whether the line is inside a code block or a comment, or opens or closes one.
    fn left_out(&mut self, text: &str) -> bool {
        if let Some(fence) = self.fence {
            if text.starts_with(fence) {
                self.fence = None;
            }
            return true;
        }
        if self.in_comment {
            self.in_comment = !text.contains("-->");
            return true;
        }
        if let Some(fence) = ["```", "~~~"].into_iter().find(|fence| text.starts_with(fence)) {
            self.flush();
            self.fence = Some(fence);
            return true;
        }
        if text.starts_with("<!--") {
            self.in_comment = !text.contains("-->");
            return true;
        }
        false
    }

    /// A line of `=` or `-`: it makes the line above it a heading, or is a rule.
    fn underline(&mut self, text: &str) -> bool {
        let level = if text.len() >= 2 && text.bytes().all(|byte| byte == b'=') {
            1
        } else if text.len() >= 2 && text.bytes().all(|byte| byte == b'-') {
            2
        } else {
            return false;
        };
        match self.paragraph.pop() {
            Some(above) => {
                self.flush();
                self.blocks.push(Block::Heading(level, above));
            }
            None => self.flush(),
        }
        true
    }

    fn item(&mut self, numbered: bool, text: &str) {
        self.end_paragraph();
        if self.list.as_ref().is_some_and(|(kind, _)| *kind != numbered) {
            self.end_list();
        }
        let (_, items) = self.list.get_or_insert_with(|| (numbered, Vec::new()));
        if items.len() < MOST_ROWS {
            items.push(text.to_owned());
        }
    }

    fn flush(&mut self) {
        self.end_paragraph();
        self.end_list();
        self.end_table();
    }

    fn end_paragraph(&mut self) {
        if !self.paragraph.is_empty() {
            self.blocks.push(Block::Paragraph(std::mem::take(&mut self.paragraph)));
        }
    }

    fn end_list(&mut self) {
        if let Some((numbered, items)) = self.list.take() {
            self.blocks.push(Block::List { numbered, items });
        }
    }

    /// Rows without a delimiter row under the first are no table; they are left out.
    fn end_table(&mut self) {
        let mut rows = std::mem::take(&mut self.table).into_iter();
        let (Some(header), Some(second)) = (rows.next(), rows.next()) else { return };
        if second.iter().all(|cell| delimiter(cell)) {
            self.blocks.push(Block::Table { header, rows: rows.collect() });
        }
    }
}

/// `## Heading ##` gives its level and text.
fn heading(text: &str) -> Option<(usize, &str)> {
    let rest = text.trim_start_matches('#');
    let level = text.len() - rest.len();
    let heading = rest.strip_prefix([' ', '\t'])?.trim().trim_end_matches('#').trim();
    ((1..=6).contains(&level) && !heading.is_empty()).then_some((level, heading))
}

/// `- item`, `* item`, `3. item` or `3) item` gives whether it is numbered, and its text.
fn item(text: &str) -> Option<(bool, &str)> {
    for marker in ["- ", "* ", "+ "] {
        if let Some(rest) = text.strip_prefix(marker) {
            return Some((false, rest.trim()));
        }
    }
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.len() - rest.len();
    let rest = rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))?;
    (1..=4).contains(&digits).then_some((true, rest.trim()))
}

/// The cells of a table's row. `\|` is a character of its cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = if line.ends_with("\\|") { line } else { line.strip_suffix('|').unwrap_or(line) };
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for character in line.chars() {
        match character {
            '|' if !escaped => {
                if cells.len() >= MOST_CELLS {
                    break;
                }
                cells.push(String::new());
                continue;
            }
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ => {}
        }
        if let Some(cell) = cells.last_mut() {
            if escaped && character != '|' {
                cell.push('\\');
            }
            cell.push(character);
        }
        escaped = false;
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// `---`, `:--`, `--:` or `:-:`.
fn delimiter(cell: &str) -> bool {
    let dashes = cell.trim().trim_start_matches(':').trim_end_matches(':');
    !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-')
}

/// A text without inline markup: emphasis, code ticks, links' targets, images, tags and control characters go,
/// white space collapses.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = match character {
            '*' | '`' => after,
            '\\' if after.starts_with(|c: char| c.is_ascii_punctuation()) => {
                out.extend(after.chars().next());
                after.get(1..).unwrap_or_default()
            }
            '_' if rest.starts_with("__") => after,
            '!' if after.starts_with('[') => link(after).map_or(after, |(_, end)| end),
            '[' => match link(rest) {
                Some((label, end)) => {
                    out.push_str(&label.replace(['*', '`'], ""));
                    end
                }
                None => {
                    out.push(character);
                    after
                }
            },
            '<' if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') => {
                match split_near(after, b'>', 200) {
                    Some((_, end)) => {
                        out.push(' ');
                        end
                    }
                    _ => {
                        out.push(character);
                        after
                    }
                }
            }
            _ => {
                out.push(if character.is_control() { ' ' } else { character });
                after
            }
        };
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `[label](target)` at the start gives its label and what follows. Both are looked for within a bound: a line of
/// brackets must not be searched to its end from each of them.
fn link(text: &str) -> Option<(&str, &str)> {
    let (label, rest) = split_near(text.strip_prefix('[')?, b']', 300)?;
    let (_, end) = split_near(rest.strip_prefix('(')?, b')', 2_000)?;
    (!label.contains('[')).then_some((label, end))
}

/// Splits at the first such byte, an ASCII character, when it stands within the first `most` bytes.
fn split_near(text: &str, at: u8, most: usize) -> Option<(&str, &str)> {
    let place = text.bytes().take(most).position(|byte| byte == at)?;
    Some((text.get(..place)?, text.get(place + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::{Block, blocks, plain};

    #[test]
    fn inline_markup_goes() {
        assert_eq!(plain("see **the [list](a.md)**, `now` <br/>![x](y.png) a_b"), "see the list, now a_b");
        assert_eq!(plain("a [ b < c \\* d\\"), "a [ b < c * d\\");
    }

    #[test]
    fn blocks_are_told_apart() {
        let text = "---\ntitle: x\n---\n# One\n\ntext\nmore\n\n1. first\n   still\n2. second\n\n```\n# no\n```\n\
                    Two\n---\n| a | b |\n|---|:-:|\n| c \\| d | e |\n<!-- no\n no -->\n";
        let expected = vec![
            Block::Heading(1, "One".into()),
            Block::Paragraph(vec!["text".into(), "more".into()]),
            Block::List { numbered: true, items: vec!["first still".into(), "second".into()] },
            Block::Heading(2, "Two".into()),
            Block::Table {
                header: vec!["a".into(), "b".into()],
                rows: vec![vec!["c | d".into(), "e".into()]],
            },
        ];
        assert_eq!(blocks(text), expected);
    }
}
