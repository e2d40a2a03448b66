//! One answer in the making: the events of its job, and what of them its caller may read.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::writer::{Piece, Writer};
use crate::infer::{Event, Failure, Handle, Reason, ScoredToken};

/// Why an answer ended, in OpenAI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
}

impl Finish {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Finish::Stop => "stop",
            Finish::Length => "length",
        }
    }
}

/// A prompt, ready for the engine.
pub(super) struct Prompt {
    pub(super) tokens: Vec<u32>,
    /// What it was encoded from, where it came as a text.
    pub(super) text: Option<String>,
}

/// How an answer treats its prompt.
#[derive(Clone)]
pub(super) enum Opening {
    /// A conversation: the answer is a text of its own.
    Fresh,
    /// The answer goes on where the prompt ends.
    Continue(Arc<Prompt>),
    /// As `Continue`, and the prompt is given out first.
    Echo(Arc<Prompt>),
}

/// One answer.
pub(super) struct Choice {
    pub(super) index: usize,
    /// Dropped, and the job with it, when the answer is complete.
    handle: Option<Handle>,
    writer: Writer,
    /// Until the first event.
    opening: Option<Opening>,
    /// Tokens that end the answer, where the engine does not look out for them: what is counted in the
    /// log-probabilities has to come as a token.
    ends: Vec<u32>,
    /// Tokens that the answer took, with the one that ended it.
    pub(super) tokens: u64,
    pub(super) finish: Option<Finish>,
}

impl Choice {
    pub(super) fn new(
        index: usize,
        handle: Handle,
        writer: Writer,
        opening: Opening,
        ends: Vec<u32>,
    ) -> Self {
        Choice { index, handle: Some(handle), writer, opening: Some(opening), ends, tokens: 0, finish: None }
    }

    /// What comes next; often nothing, since text is held back. `finish` is set with the last piece.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        let Some(handle) = &mut self.handle else { return Poll::Ready(Ok(Piece::default())) };
        let event = ready!(handle.poll_next(context));
        Poll::Ready(self.hear(event.unwrap_or(Event::Failed(Failure::Stopped))))
    }

    fn hear(&mut self, event: Event) -> Result<Piece, Failure> {
        match event {
            Event::Prompt(scored) => Ok(self.open(Some(scored))),
            Event::Token(token) => {
                let mut piece = self.open(None);
                self.tokens += 1;
                if self.ends.contains(&token.id) {
                    self.writer.push_end(token);
                    piece.append(self.writer.finish());
                    self.end(Finish::Stop);
                } else {
                    let (more, is_stopped) = self.writer.push(token);
                    piece.append(more);
                    if is_stopped {
                        self.end(Finish::Stop);
                    }
                }
                Ok(piece)
            }
            Event::Done { reason, usage } => {
                let mut piece = self.open(None);
                piece.append(self.writer.finish());
                self.tokens = u64::from(usage.completion_tokens);
                self.end(match reason {
                    Reason::Stop(_) => Finish::Stop,
                    Reason::Length => Finish::Length,
                });
                Ok(piece)
            }
            Event::Failed(failure) => Err(failure),
        }
    }

    fn open(&mut self, scored: Option<Vec<ScoredToken>>) -> Piece {
        match self.opening.take() {
            None | Some(Opening::Fresh) => Piece::default(),
            Some(Opening::Continue(prompt)) => {
                self.writer.prime(&prompt.tokens);
                Piece::default()
            }
            Some(Opening::Echo(prompt)) => {
                let plain = |id: &u32| ScoredToken { id: *id, logprob: None, top: Vec::new() };
                let tokens = scored.unwrap_or_else(|| prompt.tokens.iter().map(plain).collect());
                self.writer.echo(tokens, prompt.text.as_deref())
            }
        }
    }

    fn end(&mut self, finish: Finish) {
        self.finish = Some(finish);
        self.handle = None;
    }
}
