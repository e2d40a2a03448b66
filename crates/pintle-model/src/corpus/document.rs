//! What a corpus is made of. Built by `gather`, read by the tokeniser, training and evaluation.

use std::{fmt, str::FromStr};

use pintle_core::{DataClass, ParseError};
use sha2::{Digest, Sha256};

use super::report::CorpusReport;

/// The SHA-256 of a content: its name wherever a document or a corpus is referred to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash of a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        ContentHash(Sha256::digest(text.as_bytes()).into())
    }

    /// The hash of several contents together, whatever their order.
    #[must_use]
    pub fn of_all(contents: impl IntoIterator<Item = ContentHash>) -> Self {
        let mut all: Vec<ContentHash> = contents.into_iter().collect();
        all.sort_unstable();
        let mut hasher = Sha256::new();
        for content in all {
            hasher.update(content.0);
        }
        ContentHash(hasher.finalize().into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether a document of this content belongs to the held-out `percent`. A function of the content alone:
    /// documents that come and go move no other one to the other side.
    pub(super) fn is_held_out(&self, percent: u8) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 100 < u64::from(percent)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ContentHash {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseError::new(text, "a content hash", "it has 64 digits 0-9 and a-f");
        let plain = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !plain {
            return Err(refused());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            let digits = text.get(at..at + 2).ok_or_else(refused)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refused())?;
        }
        Ok(ContentHash(bytes))
    }
}

impl serde::Serialize for ContentHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ContentHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One document as a model may learn it. `Debug` leaves its text out.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// The hash of `text`, by which the document is named and the split decided.
    pub hash: ContentHash,
    /// Where it comes from: the source as the recipe writes it, and the way down from there, with `/`. Values
    /// that the guard finds in a path are masked, so it may not be a path that can be opened.
    pub path: String,
    /// The line in the file, from 1, for documents that share one (records of JSONL, rows of CSV).
    pub line: Option<u64>,
    /// After masking. Markdown, or plain text. Never empty.
    pub text: String,
    /// The highest class among what the guard still finds in `text`, and at least the recipe's floor.
    pub class: DataClass,
    /// Whether it is kept out of training, to measure with.
    pub held_out: bool,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("hash", &self.hash)
            .field("path", &self.path)
            .field("line", &self.line)
            .field("bytes", &self.text.len())
            .field("class", &self.class)
            .field("held_out", &self.held_out)
            .finish_non_exhaustive()
    }
}

/// Documents that were read, guarded and sorted out. Never empty, and never held out as a whole.
#[derive(Debug, Clone)]
pub struct Corpus {
    /// In the order of the sources, and within a source in the order of paths.
    pub documents: Vec<Document>,
    /// What came in, what left and why.
    pub report: CorpusReport,
    /// The highest class among the documents, which is the class of any model that learns from them.
    pub class: DataClass,
}

impl Corpus {
    /// The documents to learn from.
    pub fn training(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| !document.held_out)
    }

    /// The documents to measure with.
    pub fn held_out(&self) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(|document| document.held_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_round_trips_and_refuses_the_rest() {
        let hash = ContentHash::of("text");
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
        assert_eq!(hash.to_string().parse::<ContentHash>().unwrap(), hash);
        for wrong in ["", "ab", &"A".repeat(64), &"é".repeat(32)] {
            assert!(wrong.parse::<ContentHash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_split_takes_about_its_percentage() {
        let held = |percent| {
            (0..10_000).filter(|n| ContentHash::of(&format!("document {n}")).is_held_out(percent)).count()
        };
        assert_eq!(held(0), 0);
        assert!((900..1_100).contains(&held(10)), "{}", held(10));
        let order = [ContentHash::of("a"), ContentHash::of("b")];
        assert_eq!(ContentHash::of_all(order), ContentHash::of_all(order.into_iter().rev()));
    }
}
