//! One answer's text as it grows: tokens in, whole characters out, nothing of a string that ends the answer.
//!
//! Text that may be the beginning of such a string is held back until it is known, and so are the log-probabilities of
//! its tokens: they spell the same text. What is given out depends on the text only, not on how tokens cut it.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    infer::ScoredToken,
    tokenise::{StreamDecoder, Tokeniser},
};

/// A token with the place of its first character in the text, in characters.
#[derive(Debug, Clone)]
pub(super) struct Spoken {
    pub(super) token: ScoredToken,
    pub(super) offset: usize,
}

/// What may be given out now.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) tokens: Vec<Spoken>,
}

impl Piece {
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.tokens.is_empty()
    }

    pub(super) fn append(&mut self, other: Piece) {
        self.text.push_str(&other.text);
        self.tokens.extend(other.tokens);
    }
}

struct Waiting {
    spoken: Spoken,
    /// How many bytes of the text have to be out before the token may be; `None` while a character of it is not whole.
    end: Option<usize>,
}

/// So many tokens before an answer decide how its first one is spelled.
const PRIMING: usize = 16;

pub(super) struct Writer {
    tokeniser: Arc<Tokeniser>,
    decoder: StreamDecoder,
    stops: Arc<[String]>,
    /// Whether tokens are given out beside the text.
    tells_tokens: bool,
    held: String,
    /// Bytes of the answer's text that were decoded, and that were given out.
    decoded: usize,
    given: usize,
    /// Characters of all text, an echoed prompt among it.
    chars: usize,
    /// The last bytes of the tokens: whether they end within a character.
    tail: Vec<u8>,
    waiting: VecDeque<Waiting>,
}

impl Writer {
    pub(super) fn new(tokeniser: &Arc<Tokeniser>, stops: &Arc<[String]>, tells_tokens: bool) -> Self {
        Writer {
            tokeniser: Arc::clone(tokeniser),
            decoder: StreamDecoder::new(Arc::clone(tokeniser)),
            stops: Arc::clone(stops),
            tells_tokens,
            held: String::new(),
            decoded: 0,
            given: 0,
            chars: 0,
            tail: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Says what stands before the answer without giving it out.
    pub(super) fn prime(&mut self, prompt: &[u32]) {
        for id in prompt.get(prompt.len().saturating_sub(PRIMING)..).unwrap_or_default() {
            let _ = self.decoder.push(*id);
            self.note_tail(*id);
        }
    }

    /// Gives the prompt out. One that came as a text is that text; of one that came as tokens, control tokens are
    /// spelled out.
    pub(super) fn echo(&mut self, tokens: Vec<ScoredToken>, text: Option<&str>) -> Piece {
        let mut piece = Piece::default();
        for token in tokens {
            let offset = self.chars;
            let mut new = self.decoder.push(token.id);
            self.note_tail(token.id);
            if text.is_none() && self.tokeniser.is_control(token.id) {
                new.push_str(&self.tokeniser.decode_all(&[token.id]));
            }
            self.chars += new.chars().count();
            piece.text.push_str(&new);
            if self.tells_tokens {
                piece.tokens.push(Spoken { token, offset });
            }
        }
        if let Some(text) = text {
            text.clone_into(&mut piece.text);
            self.chars = text.chars().count();
        }
        piece
    }

    /// The next token of the answer, and whether its text ends it.
    pub(super) fn push(&mut self, token: ScoredToken) -> (Piece, bool) {
        let new = self.decoder.push(token.id);
        self.note_tail(token.id);
        let offset = self.chars;
        self.take(&new);
        if self.tells_tokens {
            // A token that gave no text is a part of what comes.
            let is_silent = new.is_empty() && !self.tokeniser.is_control(token.id);
            let is_open = is_silent || self.ends_within_character();
            let end = (!is_open).then_some(self.decoded);
            self.waiting.push_back(Waiting { spoken: Spoken { token, offset }, end });
        }
        self.settle(false)
    }

    /// The token that ended the answer, for those who count it in. It has no text.
    pub(super) fn push_end(&mut self, token: ScoredToken) {
        if self.tells_tokens {
            let spoken = Spoken { token, offset: self.chars };
            self.waiting.push_back(Waiting { spoken, end: Some(self.decoded) });
        }
    }

    /// The end of the answer: what is held back goes out.
    pub(super) fn finish(&mut self) -> Piece {
        let fresh = StreamDecoder::new(Arc::clone(&self.tokeniser));
        let rest = std::mem::replace(&mut self.decoder, fresh).finish();
        self.take(&rest);
        for waiting in &mut self.waiting {
            waiting.end.get_or_insert(self.decoded);
        }
        self.settle(true).0
    }

    fn take(&mut self, new: &str) {
        if new.is_empty() {
            return;
        }
        self.decoded += new.len();
        self.chars += new.chars().count();
        self.held.push_str(new);
        // The characters that were not whole are now.
        for waiting in &mut self.waiting {
            waiting.end.get_or_insert(self.decoded);
        }
    }

    /// Gives out what no string can end any more.
    fn settle(&mut self, is_last: bool) -> (Piece, bool) {
        let cut = stop_start(&self.stops, &self.held);
        let free = match cut {
            Some(start) => start,
            None if is_last => self.held.len(),
            None => held_from(&self.stops, &self.held),
        };
        let rest = self.held.split_off(free);
        let text = std::mem::replace(&mut self.held, rest);
        self.given += text.len();
        let mut tokens = Vec::new();
        while self.waiting.front().is_some_and(|first| first.end.is_some_and(|end| end <= self.given)) {
            tokens.extend(self.waiting.pop_front().map(|waiting| waiting.spoken));
        }
        if cut.is_some() {
            self.held.clear();
            self.waiting.clear();
        }
        (Piece { text, tokens }, cut.is_some())
    }

    fn note_tail(&mut self, id: u32) {
        if self.tokeniser.is_control(id) {
            return;
        }
        self.tail.extend(self.tokeniser.token_bytes(id).unwrap_or_default());
        // A character that is not whole has three bytes at most.
        let surplus = self.tail.len().saturating_sub(3);
        self.tail.drain(..surplus);
    }

    fn ends_within_character(&self) -> bool {
        let last = self.tail.utf8_chunks().last().map(|chunk| chunk.invalid()).unwrap_or_default();
        std::str::from_utf8(last).is_err_and(|error| error.error_len().is_none())
    }
}

/// Where the string begins that ends first: so it is found wherever tokens cut the text. Of two that end together, the
/// longer one.
fn stop_start(stops: &[String], text: &str) -> Option<usize> {
    let found = stops.iter().filter_map(|stop| text.find(stop).map(|start| (start + stop.len(), start)));
    found.min().map(|(_, start)| start)
}

/// From where a text may be the beginning of a string that ends it.
fn held_from(stops: &[String], text: &str) -> usize {
    let longest = stops.iter().map(String::len).max().unwrap_or(0);
    let starts = text.char_indices().map(|(start, _)| start);
    let mut starts = starts.filter(|start| text.len() - start < longest);
    let may_end = |start: &usize| {
        let rest = text.get(*start..).unwrap_or_default();
        stops.iter().any(|stop| stop.starts_with(rest))
    };
    starts.find(may_end).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives a text out in pieces, as [`Writer::settle`] does.
    fn given(stops: &[String], pieces: &[String]) -> (String, bool) {
        let (mut held, mut out) = (String::new(), String::new());
        for piece in pieces {
            held.push_str(piece);
            if let Some(start) = stop_start(stops, &held) {
                out.push_str(&held[..start]);
                return (out, true);
            }
            let free = held_from(stops, &held);
            let rest = held.split_off(free);
            out.push_str(&std::mem::replace(&mut held, rest));
        }
        (out + &held, false)
    }

    proptest! {
        #[test]
        fn any_cut_ends_at_the_same_place(
            stops in prop::collection::vec("[abé]{1,4}", 0..4),
            pieces in prop::collection::vec("[abcé]{0,4}", 0..12),
        ) {
            let letters: Vec<String> = pieces.concat().chars().map(String::from).collect();
            let (out, is_ended) = given(&stops, &pieces);
            prop_assert_eq!((out.clone(), is_ended), given(&stops, &letters));
            prop_assert_eq!(is_ended, stops.iter().any(|stop| pieces.concat().contains(stop)));
            prop_assert!(stops.iter().all(|stop| !out.contains(stop)));
        }
    }
}
