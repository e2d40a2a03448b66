//! Markdown stays as it is, but for what is not part of the text: front matter and comments.

use std::borrow::Cow;

/// Front matter longer than this is text.
const FRONT_MATTER_LINES_MAX: usize = 200;

/// The text without front matter and comments. A title in the front matter becomes the first heading where the
/// text has none of the first level: many sites show it as such.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let (front, body) = split_front_matter(text);
    let body = if body.contains("<!--") { Cow::from(without_comments(body)) } else { Cow::from(body) };
    let title = front.and_then(title).filter(|_| !body.lines().any(|line| line.starts_with("# ")));
    match title {
        Some(title) => Cow::from(format!("# {title}\n\n{body}")),
        None => body,
    }
}

/// The lines between a first line `---` and the next one, and what follows.
fn split_front_matter(text: &str) -> (Option<&str>, &str) {
    let mut lines = text.split_inclusive('\n');
    let Some(first) = lines.next().filter(|line| line.trim_end() == "---") else { return (None, text) };
    let mut at = first.len();
    for line in lines.take(FRONT_MATTER_LINES_MAX) {
        if matches!(line.trim_end(), "---" | "...") {
            let front = text.get(first.len()..at).unwrap_or_default();
            // A thematic break at the top of a text looks alike, but has no keys below it.
            let has_keys = front.lines().any(|line| line.contains(':'));
            let body = text.get(at + line.len()..).unwrap_or_default();
            return if has_keys { (Some(front), body) } else { (None, text) };
        }
        at += line.len();
    }
    (None, text)
}

/// The value of the key `title`, without its quotes.
fn title(front: &str) -> Option<&str> {
    let value = front.lines().find_map(|line| line.strip_prefix("title:"))?.trim();
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let title = unquoted.unwrap_or(value).trim();
    // A block scalar has its text on the lines below; its sign is no title.
    (!title.is_empty() && !title.starts_with(['>', '|'])).then_some(title)
}

/// The text without `<!-- … -->`, save in fenced code and after an open backtick on the same line.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut fence: Option<&str> = None;
    let mut has_closings = true;
    while let Some(end) = line_end(rest) {
        let line = rest.get(..end).unwrap_or_default();
        let marks = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| marks.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        let comment = line.find("<!--").filter(|at| {
            let ticks = line.get(..*at).unwrap_or_default().bytes().filter(|b| *b == b'`').count();
            fence.is_none() && has_closings && ticks % 2 == 0
        });
        let closing = comment.and_then(|at| {
            let after = rest.get(at..)?.find("-->");
            has_closings = after.is_some();
            Some((at, at + after? + "-->".len()))
        });
        let (kept, next) = closing.unwrap_or((end, end));
        out.push_str(rest.get(..kept).unwrap_or_default());
        rest = rest.get(next..).unwrap_or_default();
    }
    out
}

/// Where the first line ends, its line end included; `None` when there is nothing left.
fn line_end(text: &str) -> Option<usize> {
    if text.is_empty() { None } else { Some(text.find('\n').map_or(text.len(), |at| at + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_gives_a_title_and_leaves() {
        assert_eq!(clean("---\ntitle: \"Leave\"\ntags: [a]\n---\nText.\n"), "# Leave\n\nText.\n");
        assert_eq!(clean("---\ntitle: Leave\n---\n# Own\n"), "# Own\n");
        assert_eq!(clean("---\ntags: [a]\n---\nText\n"), "Text\n");
        assert_eq!(clean("---\ntitle: >\n  long\n---\nText\n"), "Text\n");
    }

    #[test]
    fn a_thematic_break_is_no_front_matter() {
        for text in ["---\nText\n---\nMore\n", "---\ntitle: x\n", "a\n---\n"] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn comments_leave_but_not_from_code() {
        assert_eq!(clean("a <!-- x\ny --> b\n"), "a  b\n");
        let code = "```html\n<!-- shown -->\n```\n`<!-- shown -->`\n";
        assert_eq!(clean(code), code);
        assert_eq!(clean("a <!-- open\nb\n"), "a <!-- open\nb\n");
        assert_eq!(clean(&"<!--".repeat(50_000)).len(), 200_000);
    }
}
