//! Patterns for paths below a source: `*.md`, `drafts/`, `policies/**/final-?.txt`. Used by `walk`.

use std::{fmt, str::FromStr};

use pintle_core::ParseError;

const BYTES_MAX: usize = 256;

/// A pattern for paths below a source, in which `*` and `?` stand for characters of one name and `**` for any
/// folders. Without a `/` it is about names at any depth; with one at its end, about all in such a folder.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    /// `**`.
    Folders,
    /// A name with `*` and `?` in it.
    Name(Vec<char>),
}

impl FromStr for Pattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |hint: &str| Err(ParseError::new(text, "a pattern", hint));
        if text.is_empty() || text.len() > BYTES_MAX {
            return refuse("it has 1 to 256 bytes");
        }
        if text.contains(['[', ']', '{', '}', '\\']) {
            return refuse("it knows `*`, `?` and `**` only, and `/` between folders");
        }
        let (body, is_folder) = text.strip_suffix('/').map_or((text, false), |body| (body, true));
        let body = body.strip_prefix("./").unwrap_or(body);
        let mut parts = Vec::new();
        if !body.contains('/') {
            parts.push(Part::Folders);
        }
        for name in body.split('/') {
            match name {
                "" | "." | ".." => return refuse("it is relative to its source, without `..` and `//`"),
                "**" => parts.push(Part::Folders),
                _ => parts.push(Part::Name(name.chars().collect())),
            }
        }
        if is_folder {
            parts.push(Part::Folders);
        }
        Ok(Pattern { source: text.to_owned(), parts })
    }
}

impl Pattern {
    /// Whether the path is meant. `path` is relative, with `/` between its names.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let names: Vec<Vec<char>> = path.split('/').map(|name| name.chars().collect()).collect();
        wildcard(
            &self.parts,
            &names,
            |part| *part == Part::Folders,
            |part, name| match part {
                Part::Folders => true,
                Part::Name(pattern) => {
                    wildcard(pattern, name, |c| *c == '*', |wanted, c| *wanted == '?' || wanted == c)
                }
            },
        )
    }
}

/// Whether `items` match `pattern`, in which the element that `is_star` knows stands for any number of items.
/// Goes back to the last star only, which suffices, so the time is at most the product of the lengths.
fn wildcard<P, T>(
    pattern: &[P],
    items: &[T],
    is_star: impl Fn(&P) -> bool,
    is_match: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut p, mut i) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = items.get(i) {
        match pattern.get(p) {
            Some(wanted) if is_star(wanted) => {
                back = Some((p + 1, i));
                p += 1;
            }
            Some(wanted) if is_match(wanted, item) => {
                p += 1;
                i += 1;
            }
            _ => {
                let Some((after_star, taken)) = back else { return false };
                back = Some((after_star, taken + 1));
                p = after_star;
                i = taken + 1;
            }
        }
    }
    pattern.iter().skip(p).all(is_star)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.source)
    }
}

impl serde::Serialize for Pattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> serde::Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(path)
    }

    #[test]
    fn patterns_match_as_a_reader_expects() {
        for (pattern, yes, no) in [
            ("*.md", "a/b/read.md", "a/read.mdx"),
            ("drafts/", "x/drafts/y/z.md", "x/drafts.md"),
            ("policies/*.md", "policies/a.md", "policies/x/a.md"),
            ("policies/**/a?.md", "policies/x/y/ab.md", "policies/x/y/abc.md"),
            ("**/old/**", "a/old/b.md", "a/older/b.md"),
            ("*", "a/b", ""),
            ("./a/*b*c", "a/xbxbc", "a/xbxbcd"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(no.is_empty() || !matches(pattern, no), "{pattern} {no}");
        }
        assert!(matches("policies/**/a.md", "policies/a.md"), "`**` may stand for no folder");
    }

    #[test]
    fn a_hostile_pattern_takes_no_long_time() {
        assert!(!matches(&"*a".repeat(120), &"a".repeat(20_000)[..119]));
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(20_000)));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "/a", "a//b", "../a", "[ab]", "{a,b}", &"x".repeat(300)] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
