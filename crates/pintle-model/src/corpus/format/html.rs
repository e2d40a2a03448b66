//! HTML to Markdown, from the tokens alone: headings, paragraphs, lists, tables and code.
//!
//! There is no tree: tags only say where a block begins, so what browsers repair by rules (unclosed tags,
//! misplaced ones) comes out as text in its order. What is not content is skipped: scripts, styles,
//! navigation, controls, and what is hidden.

use std::borrow::Cow;

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

use super::super::text::push_flat;

/// Lists deeper than this are not indented further: indentation would grow with the square of the depth.
const INDENT_MAX: usize = 8;

/// Skipped with all that is in them.
const SKIPPED: [&str; 15] = [
    "script", "style", "nav", "noscript", "template", "svg", "math", "iframe", "object", "select",
    "textarea", "button", "canvas", "audio", "video",
];
/// Skipped when their attributes say that they are navigation or hidden. Only elements whose end tags are
/// required, so that one that was never closed cannot swallow the page.
const SKIPPED_BY_ATTRIBUTE: [&str; 10] =
    ["div", "section", "ul", "ol", "aside", "header", "footer", "span", "table", "form"];

/// The document's text as Markdown.
pub(super) fn to_markdown(html: &str) -> String {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut page = Page::default();
    // Reading from a string cannot fail, and tokens of errors carry no text.
    for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
        match token {
            Token::StartTag(tag) => page.start(&tag),
            Token::EndTag(tag) => page.end(&String::from_utf8_lossy(&tag.name)),
            Token::String(text) => page.text(&String::from_utf8_lossy(&text)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    page.finish()
}

/// The page so far.
#[derive(Default)]
struct Page {
    out: String,
    /// Line ends to write before the next text.
    breaks: usize,
    /// What to write right before the next text: a list item's or heading's sign.
    prefix: String,
    is_heading: bool,
    has_first_heading: bool,
    is_pre: bool,
    /// The counters of the lists that are open; `None` for bullets.
    lists: Vec<Option<u32>>,
    table: Option<Table>,
    /// The element that is skipped, and how many of its name are open.
    skip: Option<(String, usize)>,
    is_title: bool,
    title: String,
}

/// The outermost table that is open. Tables in it are text in a cell.
#[derive(Default)]
struct Table {
    depth: usize,
    cells: Vec<String>,
    is_cell: bool,
    has_header: bool,
}

impl Page {
    fn start(&mut self, tag: &StartTag<()>) {
        let name = String::from_utf8_lossy(&tag.name);
        if let Some((skipped, depth)) = &mut self.skip {
            *depth += usize::from(*skipped == *name && !tag.self_closing);
            return;
        }
        if !tag.self_closing && is_skipped(&name, tag) {
            self.skip = Some((name.into_owned(), 1));
            return;
        }
        match &*name {
            "title" => self.is_title = true,
            "table" => self.start_table(),
            "tr" => self.end_row(),
            "td" | "th" => self.start_cell(),
            "ul" | "ol" => {
                self.end_heading();
                self.block(self.gap());
                self.lists.push((*name == *"ol").then_some(0));
            }
            "li" => self.start_item(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.start_heading(&name),
            "pre" if !self.is_cell() => {
                self.end_heading();
                self.block(2);
                self.piece("```\n");
                self.is_pre = true;
            }
            "br" => self.block(1),
            "p" | "div" => self.block(self.gap()),
            _ if is_block(&name) => {
                self.end_heading();
                self.block(if is_line(&name) { 1 } else { 2 });
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((skipped, depth)) = &mut self.skip {
            *depth -= usize::from(skipped == name);
            if *depth == 0 {
                self.skip = None;
            }
            return;
        }
        match name {
            "title" => self.is_title = false,
            "table" => self.end_table(),
            "tr" => self.end_row(),
            "td" | "th" => {
                if let Some(table) = self.table.as_mut().filter(|table| table.depth == 1) {
                    table.is_cell = false;
                }
            }
            "ul" | "ol" => {
                self.lists.pop();
                self.block(self.gap());
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.end_heading();
                self.block(2);
            }
            "pre" if self.is_pre => {
                self.is_pre = false;
                if !self.out.ends_with('\n') {
                    self.out.push('\n');
                }
                self.out.push_str("```");
                self.block(2);
            }
            "p" | "div" => self.block(self.gap()),
            // Items of a list follow each other without a gap; the next one's start begins a line.
            "li" => self.block(1),
            _ if is_line(name) => self.block(1),
            _ if is_block(name) => self.block(2),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.skip.is_some() {
            return;
        }
        if self.is_title {
            push_flat(&mut self.title, text);
            return;
        }
        if let Some(table) = self.table.as_mut().filter(|table| table.is_cell) {
            if let Some(cell) = table.cells.last_mut() {
                // A bar would end the cell.
                let text = if text.contains('|') { Cow::from(text.replace('|', "\\|")) } else { text.into() };
                push_words(cell, &text);
            }
            return;
        }
        if self.is_pre {
            self.out.push_str(text);
            return;
        }
        let is_fresh = self.breaks > 0 || !self.prefix.is_empty();
        if is_fresh {
            let text = text.trim_start();
            if !text.is_empty() {
                self.piece("");
                push_words(&mut self.out, text);
            }
        } else {
            push_words(&mut self.out, text);
        }
    }

    /// Writes what is due, then `piece`.
    fn piece(&mut self, piece: &str) {
        if !self.out.is_empty() {
            self.out.extend(std::iter::repeat_n('\n', self.breaks));
        }
        self.breaks = 0;
        self.out.push_str(&self.prefix);
        self.prefix.clear();
        self.out.push_str(piece);
    }

    /// A block begins or ends here: the next text comes after so many line ends. Not right after a list item's
    /// sign, and where a line cannot end, in cells and headings, it is a space.
    fn block(&mut self, breaks: usize) {
        if let Some(table) = self.table.as_mut().filter(|table| table.is_cell) {
            if let Some(cell) = table.cells.last_mut() {
                push_words(cell, " ");
            }
        } else if self.is_pre {
            self.out.push('\n');
        } else if self.is_heading {
            if self.prefix.is_empty() {
                push_words(&mut self.out, " ");
            }
        } else if self.prefix.is_empty() {
            self.breaks = self.breaks.max(breaks);
        }
    }

    /// The line ends between two paragraphs. In a list, items stand close to each other.
    fn gap(&self) -> usize {
        if self.lists.is_empty() { 2 } else { 1 }
    }

    fn is_cell(&self) -> bool {
        self.table.as_ref().is_some_and(|table| table.is_cell)
    }

    fn start_heading(&mut self, name: &str) {
        self.end_heading();
        self.prefix.clear();
        self.block(2);
        if self.is_cell() || self.is_pre {
            return;
        }
        let level = name.as_bytes().get(1).map_or(1, |digit| usize::from(digit.saturating_sub(b'0')));
        self.has_first_heading |= level == 1;
        self.prefix = format!("{} ", "#".repeat(level));
        self.is_heading = true;
    }

    fn end_heading(&mut self) {
        if self.is_heading {
            self.is_heading = false;
            // A heading without text has no sign either.
            self.prefix.clear();
            self.breaks = self.breaks.max(2);
        }
    }

    fn start_item(&mut self) {
        self.end_heading();
        self.prefix.clear();
        self.block(1);
        if self.is_cell() || self.is_pre {
            return;
        }
        let depth = self.lists.len().saturating_sub(1).min(INDENT_MAX);
        let sign = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number = number.saturating_add(1);
                format!("{number}. ")
            }
            _ => "- ".to_owned(),
        };
        self.prefix = format!("{}{sign}", "  ".repeat(depth));
    }

    fn start_table(&mut self) {
        self.end_heading();
        self.block(2);
        self.table.get_or_insert_default().depth += 1;
    }

    fn start_cell(&mut self) {
        self.end_heading();
        match &mut self.table {
            Some(table) if table.depth == 1 => {
                table.cells.push(String::new());
                table.is_cell = true;
            }
            _ => self.block(1),
        }
    }

    fn end_row(&mut self) {
        let Some(table) = self.table.as_mut() else { return self.block(1) };
        if table.depth > 1 {
            return self.block(1);
        }
        table.is_cell = false;
        let cells = std::mem::take(&mut table.cells);
        let has_header = table.has_header;
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return;
        }
        self.is_pre = false;
        self.prefix.clear();
        if let [only] = cells.as_slice() {
            // A table of one column arranges text and tabulates nothing.
            self.block(2);
            self.piece(only.trim());
            self.block(2);
            return;
        }
        self.block(if has_header { 1 } else { 2 });
        self.piece("|");
        for cell in &cells {
            self.out.push(' ');
            self.out.push_str(cell.trim());
            self.out.push_str(" |");
        }
        self.block(1);
        if !has_header {
            self.piece("|");
            self.out.push_str(&" --- |".repeat(cells.len()));
            self.block(1);
        }
        if let Some(table) = &mut self.table {
            table.has_header = true;
        }
    }

    fn end_table(&mut self) {
        let Some(table) = &mut self.table else { return };
        if table.depth == 1 {
            self.end_row();
            self.table = None;
        } else {
            table.depth -= 1;
        }
        self.block(2);
    }

    fn finish(mut self) -> String {
        self.end_table();
        let title = self.title.trim();
        if self.has_first_heading || title.is_empty() {
            self.out
        } else {
            format!("# {title}\n\n{}", self.out)
        }
    }
}

/// Adds text with its white space reduced to single spaces, at its ends too.
fn push_words(out: &mut String, text: &str) {
    let space = |out: &mut String| {
        if !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    };
    if text.starts_with(char::is_whitespace) {
        space(out);
    }
    let mut is_first = true;
    for word in text.split_whitespace() {
        if !is_first {
            out.push(' ');
        }
        is_first = false;
        out.push_str(word);
    }
    if text.ends_with(char::is_whitespace) {
        space(out);
    }
}

fn is_skipped(name: &str, tag: &StartTag<()>) -> bool {
    if SKIPPED.contains(&name) {
        return true;
    }
    let attribute = |name: &str| tag.attributes.get(name.as_bytes()).map(|value| &value.value.0[..]);
    SKIPPED_BY_ATTRIBUTE.contains(&name)
        && (attribute("role") == Some(b"navigation")
            || attribute("aria-hidden") == Some(b"true")
            || attribute("hidden").is_some())
}

/// Blocks that follow each other without a gap.
fn is_line(name: &str) -> bool {
    matches!(name, "dd" | "dt" | "tbody" | "tfoot" | "thead")
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "dd"
            | "details"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "head"
            | "header"
            | "hr"
            | "html"
            | "legend"
            | "main"
            | "section"
            | "summary"
            | "tbody"
            | "tfoot"
            | "thead"
    )
}

#[cfg(test)]
mod tests {
    use super::{super::super::text::tidy, *};

    fn markdown(html: &str) -> String {
        tidy(&to_markdown(html))
    }

    #[test]
    fn a_page_becomes_markdown() {
        let html = "<!doctype html><html><head><title>T</title><style>p{}</style></head><body>
            <nav><ul><li>Home</ul></nav><h1>Leave &amp;\n rest</h1><p>You <b>may</b>\n take&nbsp;5
            days.<p>More.<script>if (a < b) { x('</p>') }</script>
            <ul><li>one<li><p>two</p><ol><li>a</li><li>b</li></ol></li></ul>
            <pre>x = 1\n  y</pre><div hidden>no</div><!-- no --><h2>Next</h2>end</body></html>";
        let wanted = "# Leave & rest\n\nYou may take 5 days.\n\nMore.\n\n- one\n- two\n  1. a\n  2. b\n\n\
            ```\nx = 1\n  y\n```\n\n## Next\n\nend";
        assert_eq!(markdown(html), wanted);
    }

    #[test]
    fn tables_become_rows_with_bars() {
        let html = "<table><caption>Rates</caption><thead><tr><th>Band<th>Rate</tr></thead>
            <tr><td>A</td><td><p>1</p><p>a|b</p></td></tr><tr><td></td><td> </td></tr></table>x";
        let wanted = "Rates\n\n| Band | Rate |\n| --- | --- |\n| A | 1 a\\|b |\n\nx";
        assert_eq!(markdown(html), wanted);
        assert_eq!(markdown("<table><tr><td>Only<tr><td>column</table>"), "Only\n\ncolumn");
        let nested = "<table><tr><td>a<table><tr><td>b<td>c</table></td><td>d</table>";
        assert_eq!(markdown(nested), "| a b c | d |\n| --- | --- |");
    }

    #[test]
    fn a_title_stands_in_for_a_missing_first_heading() {
        assert_eq!(markdown("<title>A &lt; B</title><p>x"), "# A < B\n\nx");
        assert_eq!(markdown("<title>A</title><h1>B</h1>x"), "# B\n\nx");
    }

    #[test]
    fn soup_keeps_its_text() {
        assert_eq!(markdown("a</div></table></li><b>c"), "a\n\nc");
        assert_eq!(markdown("<h2>never closed<ul><li>x"), "## never closed\n\n- x");
        assert_eq!(markdown("<p hidden>kept<p>y"), "kept\n\ny");
        assert_eq!(markdown("<h1></h1><p>x"), "x");
        let deep = format!("{}x", "<ul><li>".repeat(20_000));
        assert_eq!(markdown(&deep).trim(), "- x");
        assert!(markdown(&"<table><tr><td>".repeat(20_000)).is_empty());
    }
}
