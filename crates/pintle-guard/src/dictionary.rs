//! The organisation's own words: one sorted list of folded entries, narrowed character by character.
//!
//! A bitmap over the first three folded bytes turns most words away; what passes is narrowed by binary
//! search, so that a list in which every entry begins with "Project" costs no more than any other.

use crate::{
    config::{Dictionary, entry_core},
    detect::DetectorId,
    probe::{Probe, REACH, is_unspaced},
};

const BITMAP_BITS: usize = 1 << 16;

/// All entries of all dictionaries.
pub(crate) struct Lexicon {
    /// Folded, sorted, distinct.
    entries: Vec<(Box<str>, DetectorId)>,
    bitmap: Box<[u64]>,
}

impl Lexicon {
    /// `dictionaries` with the detector ids that they got. An entry in two dictionaries goes to the one with
    /// the higher class, then the first. `None` if there are no entries.
    pub(crate) fn new<'a>(
        dictionaries: impl Iterator<Item = (&'a Dictionary, DetectorId)>,
    ) -> Option<Lexicon> {
        let mut entries = Vec::new();
        for (dictionary, id) in dictionaries {
            for entry in &dictionary.entries {
                entries.push((fold(entry_core(entry)).into_boxed_str(), dictionary.class, id));
            }
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        entries.dedup_by(|later, first| later.0 == first.0);
        if entries.is_empty() {
            return None;
        }
        let mut bitmap = vec![0_u64; BITMAP_BITS / 64].into_boxed_slice();
        for (entry, ..) in &entries {
            if let [a, b, c, ..] = entry.as_bytes() {
                let (word, bit) = bitmap_place([*a, *b, *c]);
                if let Some(word) = bitmap.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        Some(Lexicon { entries: entries.into_iter().map(|(entry, _, id)| (entry, id)).collect(), bitmap })
    }

    /// The longest entry that stands at `from` as whole words: its length in bytes of text.
    pub(crate) fn longest(&self, probe: &Probe<'_>, from: usize) -> Option<(usize, DetectorId)> {
        let mut folded = Folded::new(probe, from);
        let mut depth = 0;
        let mut range = self.entries.as_slice();
        let mut best = None;
        // INVARIANT: the entries in `range` agree with the text in their first `depth` bytes, and `depth`
        // only stops between characters.
        while let Some(step) = folded.next() {
            for byte in step.as_bytes() {
                let byte = *byte;
                let at = |entry: &(Box<str>, DetectorId)| entry.0.as_bytes().get(depth).copied();
                let low = range.partition_point(|entry| at(entry).is_none_or(|b| b < byte));
                range = range.get(low..).unwrap_or_default();
                let high = range.partition_point(|entry| at(entry) == Some(byte));
                range = range.get(..high).unwrap_or_default();
                depth += 1;
            }
            let Some((entry, id)) = range.first() else { break };
            if entry.len() == depth {
                if ends_words(probe, folded.offset, step.last) {
                    best = Some((folded.offset - from, *id));
                }
                if range.len() == 1 {
                    break;
                }
            }
        }
        best
    }

    /// A cheap "no" for most words. Text outside of ASCII is not judged here.
    pub(crate) fn may_begin_at(&self, text: &[u8], at: usize) -> bool {
        let Some([a, b, c]) = text.get(at..at + 3) else { return true };
        let key = [*a, *b, *c]
            .map(|byte| if byte.is_ascii_whitespace() { b' ' } else { byte.to_ascii_lowercase() });
        // Blanks fold to one, so the third byte may be another one than the entry's.
        if key.ends_with(b"  ") || !key.is_ascii() {
            return true;
        }
        let (word, bit) = bitmap_place(key);
        self.bitmap.get(word).is_none_or(|word| word & bit != 0)
    }
}

/// Whether an entry that ends in `last` may end before `offset`: the next character starts another word.
fn ends_words(probe: &Probe<'_>, offset: usize, last: char) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() && !is_unspaced(c);
    !goes_on(last) || !probe.char(offset).is_some_and(|(next, _)| goes_on(next))
}

fn bitmap_place(key: [u8; 3]) -> (usize, u64) {
    let [a, b, c] = key.map(u32::from);
    let hash = (a << 16 | b << 8 | c).wrapping_mul(0x9E37_79B1) >> 16;
    let hash = usize::try_from(hash).unwrap_or_default();
    (hash / 64, 1 << (hash % 64))
}

/// Lower case, with white space runs as one space.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_whitespace() {
            folded.extend(c.to_lowercase());
        } else if !folded.ends_with(' ') {
            folded.push(' ');
        }
    }
    folded
}

/// Text from one position on, folded like the entries, a character at a time.
struct Folded<'p, 't> {
    probe: &'p Probe<'t>,
    offset: usize,
}

/// One character of text after folding; lower case can be up to three characters.
struct Step {
    bytes: [u8; 12],
    len: usize,
    last: char,
}

impl Step {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<'p, 't> Folded<'p, 't> {
    fn new(probe: &'p Probe<'t>, from: usize) -> Self {
        Folded { probe, offset: from }
    }

    fn next(&mut self) -> Option<Step> {
        let (c, len) = self.probe.char(self.offset)?;
        if self.offset + len > REACH {
            return None;
        }
        self.offset += len;
        let mut step = Step { bytes: [0; 12], len: 0, last: c };
        if c.is_whitespace() {
            // An entry's words may be apart by up to four blanks or a line break with an indent.
            for _ in 0..3 {
                match self.probe.char(self.offset) {
                    Some((next, len)) if next.is_whitespace() => self.offset += len,
                    _ => break,
                }
            }
            step.bytes = *b" \0\0\0\0\0\0\0\0\0\0\0";
            step.len = 1;
            return Some(step);
        }
        for lower in c.to_lowercase() {
            let room = step.bytes.get_mut(step.len..)?;
            if room.len() < 4 {
                return None;
            }
            step.len += lower.encode_utf8(room).len();
        }
        Some(step)
    }
}
