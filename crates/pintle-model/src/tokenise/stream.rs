//! Tokens back to text: the bytes behind each token, and an answer given out token by token.
//!
//! A byte-level vocabulary cuts characters in the middle. What is given out is always whole characters, and all of
//! it together is what decoding the answer at once gives.

use std::{collections::HashMap, sync::Arc};

use tokenizers::{DecoderWrapper, Tokenizer};

use super::Tokeniser;

/// The bytes of each token, one after the other.
#[derive(Debug)]
pub(super) struct ByteTable {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ByteTable {
    /// Nothing for an id outside the vocabulary.
    pub(super) fn get(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(id).and_then(|end| self.bytes.get(start..*end)).unwrap_or(&[])
    }
}

/// How tokens become text.
#[derive(Debug)]
pub(super) enum Vocabulary {
    /// Each token is some bytes, wherever it stands.
    Bytes(ByteTable),
    /// The text of a token depends on its neighbours (SentencePiece): the library knows.
    Library,
}

impl Vocabulary {
    pub(super) fn of(library: &Tokenizer, vocab_size: usize) -> Self {
        if !matches!(library.get_decoder(), Some(DecoderWrapper::ByteLevel(_)))
            || library.get_normalizer().is_some()
        {
            return Vocabulary::Library;
        }
        let letters = letters();
        let added = library.get_added_tokens_decoder();
        let mut table = ByteTable { bytes: Vec::new(), ends: Vec::with_capacity(vocab_size) };
        for id in 0..u32::try_from(vocab_size).unwrap_or(u32::MAX) {
            let spelled = library.id_to_token(id).unwrap_or_default();
            let mapped: Option<Vec<u8>> =
                spelled.chars().map(|letter| letters.get(&letter).copied()).collect();
            match mapped {
                Some(bytes) if !added.contains_key(&id) => table.bytes.extend(bytes),
                _ => table.bytes.extend(spelled.bytes()),
            }
            table.ends.push(table.bytes.len());
        }
        Vocabulary::Bytes(table)
    }

    pub(super) fn is_bytes(&self) -> bool {
        matches!(self, Vocabulary::Bytes(_))
    }
}

/// GPT-2's letters for bytes: those that print stand for themselves, the others for letters from U+0100 on.
fn letters() -> HashMap<char, u8> {
    let mut next = 0x100;
    (0..=u8::MAX)
        .filter_map(|byte| {
            let prints = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let letter = if prints {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1)?
            };
            Some((letter, byte))
        })
        .collect()
}

/// A SentencePiece answer that stays half a character for so many tokens is given out as it is.
const PENDING_MAX: usize = 16;

/// Gives an answer out while it is made; control tokens are left out.
#[derive(Debug)]
pub struct StreamDecoder {
    tokeniser: Arc<Tokeniser>,
    /// The beginning of a character: three bytes at most.
    bytes: Vec<u8>,
    /// For the library: tokens already given out that the next ones depend on, then those that wait.
    tokens: Vec<u32>,
    given: usize,
}

impl StreamDecoder {
    /// A decoder at the beginning of an answer.
    #[must_use]
    pub fn new(tokeniser: Arc<Tokeniser>) -> Self {
        StreamDecoder { tokeniser, bytes: Vec::new(), tokens: Vec::new(), given: 0 }
    }

    /// Takes the next token and gives out the characters that are whole now, often none or one word.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokeniser.is_control(id) {
            return String::new();
        }
        match &self.tokeniser.vocabulary {
            Vocabulary::Bytes(table) => {
                self.bytes.extend_from_slice(table.get(id));
                whole_characters(&mut self.bytes)
            }
            Vocabulary::Library => {
                self.tokens.push(id);
                self.settle_library(false)
            }
        }
    }

    /// Ends the answer; half a character is given out as U+FFFD.
    #[must_use]
    pub fn finish(mut self) -> String {
        if self.tokens.is_empty() {
            String::from_utf8_lossy(&self.bytes).into_owned()
        } else {
            self.settle_library(true)
        }
    }

    /// Decodes what was given out last together with what waits: only so are spaces between them right.
    fn settle_library(&mut self, at_end: bool) -> String {
        let before = self.tokeniser.decode(self.tokens.get(..self.given).unwrap_or(&[]));
        let now = self.tokeniser.decode(&self.tokens);
        let waits = now.ends_with('\u{FFFD}') && self.tokens.len() - self.given < PENDING_MAX;
        if waits && !at_end {
            return String::new();
        }
        let Some(new) = now.strip_prefix(&before) else { return String::new() };
        let new = new.to_owned();
        if !new.is_empty() {
            self.tokens.drain(..self.given);
            self.given = self.tokens.len();
        }
        new
    }
}

/// Takes the whole characters out; wrong bytes become U+FFFD as in [`String::from_utf8_lossy`], the beginning of a
/// character stays.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut taken = 0;
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        taken += chunk.valid().len();
        let wrong = chunk.invalid();
        let may_go_on = chunks.peek().is_none()
            && std::str::from_utf8(wrong).is_err_and(|error| error.error_len().is_none());
        if !wrong.is_empty() && !may_go_on {
            text.push('\u{FFFD}');
            taken += wrong.len();
        }
    }
    bytes.drain(..taken);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_split_gives_the_text_of_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..20),
            text in any::<String>(),
            at in 0_usize..64,
        ) {
            let mut pieces = pieces;
            let (first, second) = text.as_bytes().split_at(at.min(text.len()));
            pieces.push(first.to_vec());
            pieces.push(second.to_vec());
            let whole = pieces.concat();
            let (mut held, mut given) = (Vec::new(), String::new());
            for piece in &pieces {
                held.extend_from_slice(piece);
                given.push_str(&whole_characters(&mut held));
                prop_assert!(held.len() <= 3);
            }
            given.push_str(&String::from_utf8_lossy(&held));
            prop_assert_eq!(given, String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn letters_are_those_of_the_library() {
        let letters = letters();
        let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        assert_eq!(letters.len(), 256);
        assert!(alphabet.iter().all(|letter| letters.contains_key(letter)));
        assert_eq!(letters[&'Ġ'], b' ');
        assert_eq!(letters[&'Ċ'], b'\n');
    }
}
