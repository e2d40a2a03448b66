//! Small things that several formats share: even line ends, blanks, and which characters stand for a word.

/// The text with `\n` as its only line end, without white space at the ends of lines, without byte order marks,
/// with at most one blank line between others and none around it.
pub(super) fn tidy(text: &str) -> String {
    let unified;
    let text = if memchr::memchr(b'\r', text.as_bytes()).is_some() {
        unified = text.replace("\r\n", "\n").replace('\r', "\n");
        &unified
    } else {
        text
    };
    let mut out = String::with_capacity(text.len());
    let mut is_blank_due = false;
    // Form feeds part the pages of texts that were once printed.
    for line in text.split(['\n', '\u{c}']) {
        let line = line.trim_end();
        if line.is_empty() {
            is_blank_due = !out.is_empty();
            continue;
        }
        if is_blank_due {
            out.push('\n');
            is_blank_due = false;
        }
        if line.contains('\u{FEFF}') {
            out.extend(line.chars().filter(|c| *c != '\u{FEFF}'));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out.pop();
    out
}

/// The words of `text` with single spaces between, added to `out`.
pub(super) fn push_flat(out: &mut String, text: &str) {
    let start = out.len();
    for word in text.split_whitespace() {
        if out.len() > start {
            out.push(' ');
        }
        out.push_str(word);
    }
}

/// Scripts that put no spaces between words: each of their characters counts as one.
pub(super) const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// A length as a count.
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_alike_and_blanks_are_single() {
        assert_eq!(tidy("a  \r\n\r\n\r\n  b\rc\u{c}d\n\n"), "a\n\n  b\nc\nd");
        assert_eq!(tidy("\n \n"), "");
        assert_eq!(tidy("x\u{FEFF}y"), "xy");
    }

    #[test]
    fn flat_text_has_single_spaces() {
        let mut out = "k: ".to_owned();
        push_flat(&mut out, " a\n\tb ");
        assert_eq!(out, "k: a b");
    }
}
