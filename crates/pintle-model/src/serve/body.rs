//! The body of an answer, whole or streamed. It is polled and never waits; dropping it gives up the jobs behind it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use pintle_llm::{LocalBody, LocalBroken, SSE_DONE, encode_sse};
use serde_json::Value;

use super::{
    choice::Choice,
    wire::{Counts, Wire},
    writer::Piece,
};
use crate::infer::Failure;

/// About so many bytes go out at once where a reader is slow.
const PIECE_BYTES: usize = 64 * 1024;

/// How a body ends.
enum End {
    /// Not yet.
    Open,
    /// With the next piece.
    Broken,
    Over,
}

/// The answers to one request.
pub(super) struct Answer {
    pub(super) wire: Wire,
    pub(super) choices: Vec<Choice>,
    pub(super) counts: Counts,
    end: End,
}

impl Answer {
    /// `prompt_tokens` are those of all prompts.
    pub(super) fn new(wire: Wire, choices: Vec<Choice>, prompt_tokens: u64) -> Self {
        let counts = Counts { prompt: prompt_tokens, completion: 0 };
        Answer { wire, choices, counts, end: End::Open }
    }

    /// Takes what has come for every answer that is not complete. `told` gets each piece, and `true` with an answer's
    /// last one; it says whether there is room for more. Gives whether all answers are complete.
    fn gather(
        &mut self,
        context: &mut Context<'_>,
        mut told: impl FnMut(&Wire, &Choice, Piece) -> bool,
    ) -> Result<bool, Failure> {
        let Answer { wire, choices, counts, .. } = self;
        for choice in choices.iter_mut() {
            while choice.finish.is_none()
                && let Poll::Ready(piece) = choice.poll(context)
            {
                let has_room = told(wire, choice, piece?);
                if choice.finish.is_some() {
                    counts.completion += choice.tokens;
                }
                if !has_room {
                    return Ok(false);
                }
            }
        }
        Ok(choices.iter().all(|choice| choice.finish.is_some()))
    }

    /// The jobs are given up.
    fn fail(&mut self, failure: Failure) {
        tracing::error!(model = %self.wire.model, error = %failure, "an answer broke off");
        self.choices.clear();
        self.end = End::Broken;
    }
}

fn event(out: &mut BytesMut, chunk: &Value) {
    encode_sse(out, chunk.to_string().as_bytes());
}

/// A body in server-sent events.
pub(super) struct Streamed {
    answer: Answer,
    /// Whether the usage comes before the end.
    tells_usage: bool,
    /// By choice, whether it has begun.
    has_begun: Vec<bool>,
}

impl Streamed {
    pub(super) fn new(answer: Answer, tells_usage: bool) -> Self {
        let has_begun = vec![false; answer.choices.len()];
        Streamed { answer, tells_usage, has_begun }
    }

    fn gather(&mut self, out: &mut BytesMut, context: &mut Context<'_>) {
        let Streamed { answer, has_begun, .. } = self;
        let gathered = answer.gather(context, |wire, choice, piece| {
            let index = choice.index;
            let is_silent = piece.is_empty() && choice.finish.is_none();
            if let Some(begun) = has_begun.get_mut(index).filter(|begun| !**begun && !is_silent) {
                *begun = true;
                if let Some(first) = wire.first_chunk(index) {
                    event(out, &first);
                }
            }
            if !piece.is_empty() {
                event(out, &wire.piece_chunk(index, &piece));
            }
            if let Some(finish) = choice.finish {
                event(out, &wire.last_chunk(index, finish));
            }
            out.len() < PIECE_BYTES
        });
        match gathered {
            Ok(true) => {
                if self.tells_usage {
                    event(out, &self.answer.wire.usage_chunk(self.answer.counts));
                }
                out.extend_from_slice(SSE_DONE);
                self.answer.end = End::Over;
            }
            Ok(false) => {}
            Err(failure) => self.answer.fail(failure),
        }
    }
}

impl LocalBody for Streamed {
    fn poll_data(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        let this = self.get_mut();
        let mut out = BytesMut::new();
        if matches!(this.answer.end, End::Open) {
            this.gather(&mut out, context);
        }
        match this.answer.end {
            // What came before goes out first.
            _ if !out.is_empty() => Poll::Ready(Some(Ok(out.freeze()))),
            End::Open => Poll::Pending,
            End::Over => Poll::Ready(None),
            End::Broken => {
                this.answer.end = End::Over;
                // The gateway has an error of its own for an answer that broke off; an event in the stream would pass
                // for a provider's refusal.
                Poll::Ready(Some(Err(LocalBroken)))
            }
        }
    }
}

/// A body that is one document. Where the model breaks off, so does the body: before its first byte.
pub(super) struct Whole {
    answer: Answer,
    pieces: Vec<Piece>,
}

impl Whole {
    pub(super) fn new(answer: Answer) -> Self {
        let pieces = answer.choices.iter().map(|_| Piece::default()).collect();
        Whole { answer, pieces }
    }

    fn document(&mut self) -> Bytes {
        let Answer { wire, choices, counts, end } = &mut self.answer;
        let choices = choices.iter().zip(&self.pieces);
        let choices = choices.filter_map(|(choice, piece)| {
            choice.finish.map(|finish| wire.whole_choice(choice.index, piece, finish))
        });
        let document = wire.whole(choices.collect(), *counts);
        *end = End::Over;
        Bytes::from(document.to_string())
    }
}

impl LocalBody for Whole {
    fn poll_data(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        let this = self.get_mut();
        if !matches!(this.answer.end, End::Open) {
            return Poll::Ready(None);
        }
        let pieces = &mut this.pieces;
        let gathered = this.answer.gather(context, |_, choice, piece| {
            if let Some(whole) = pieces.get_mut(choice.index) {
                whole.append(piece);
            }
            true
        });
        match gathered {
            Ok(false) => Poll::Pending,
            Ok(true) => Poll::Ready(Some(Ok(this.document()))),
            Err(failure) => {
                this.answer.fail(failure);
                this.answer.end = End::Over;
                Poll::Ready(Some(Err(LocalBroken)))
            }
        }
    }
}
