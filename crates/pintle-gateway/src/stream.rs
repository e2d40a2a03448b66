//! A streamed answer on its way: provider's bytes → events → chunks → screen → the client's bytes. It is
//! a body that is polled; when it ends, breaks, or is dropped because the client went away, the request is
//! settled and recorded.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame;
use pintle_core::{Name, TokenUsage, UsageSource};
use pintle_ledger::ScanState;
use pintle_llm::{
    AnthropicStream, Channel, ChatChunk, ChunkHead, HeldLogprobs, SSE_DONE, SseDecoder, SseEvent, StreamItem,
    TokenEstimator, parse_stream_data,
};
use tokio::time::{Instant, Sleep};

use crate::{
    error::Stop,
    life::{Life, micros},
    phases::{Measured, settle},
    screen::{Held, Screen, TextWindow},
    upstream::{Protocol, UpstreamBody},
};

/// One event of a stream is at most so long.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// So long a provider may take to end its framing after the last event.
const END_PATIENCE: Duration = Duration::from_millis(50);

/// What the stream needs to know of its request.
pub(crate) struct StreamFacts {
    pub(crate) placement: Name,
    pub(crate) wants_usage: bool,
    pub(crate) choices: u32,
    pub(crate) input_estimate: u64,
    /// How many tokens of the request the answer's texts repeat.
    pub(crate) echo_estimate: u64,
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
    pub(crate) deadline_s: u64,
    pub(crate) dispatched: std::time::Instant,
}

/// The body that the client reads.
pub(crate) struct AnswerStream {
    life: Option<Life>,
    upstream: UpstreamBody,
    sse: SseDecoder,
    anthropic: Option<AnthropicStream>,
    screen: Screen,
    windows: HashMap<(u32, Channel), Window>,
    /// Windows in the order in which they were opened, so that what was held back comes out in it.
    order: Vec<(u32, Channel)>,
    /// By choice, until its text has passed.
    logprobs: HashMap<u32, HeldLogprobs>,
    head: ChunkHead,
    facts: StreamFacts,
    usage: Option<TokenUsage>,
    output: TokenEstimator,
    /// Choices that have said they are complete: what follows for one of them would come to a window without
    /// memory, so nothing may.
    finished: HashSet<u32>,
    chunks: u64,
    out: BytesMut,
    timer: Pin<Box<Sleep>>,
    /// The client has the stream's last event; the provider's framing is read to its end.
    is_complete: bool,
    /// Bytes of tool arguments that were held so far.
    held_bytes: usize,
    /// Pieces that came after the last event.
    after_end: u32,
}

enum Window {
    Text(Box<TextWindow>),
    Json(Held),
}

impl AnswerStream {
    pub(crate) fn new(
        life: Life,
        upstream: UpstreamBody,
        protocol: Protocol,
        screen: Screen,
        facts: StreamFacts,
    ) -> Self {
        let created_s = life.gateway().parts.clock.now().as_second();
        let timer = Box::pin(tokio::time::sleep_until((Instant::now() + facts.idle).min(facts.deadline)));
        AnswerStream {
            life: Some(life),
            upstream,
            sse: SseDecoder::new(EVENT_BYTES_MAX),
            anthropic: (protocol == Protocol::Anthropic).then(|| AnthropicStream::new(created_s)),
            screen,
            windows: HashMap::new(),
            order: Vec::new(),
            logprobs: HashMap::new(),
            head: ChunkHead::default(),
            facts,
            usage: None,
            output: TokenEstimator::default(),
            finished: HashSet::new(),
            chunks: 0,
            out: BytesMut::new(),
            timer,
            is_complete: false,
            held_bytes: 0,
            after_end: 0,
        }
    }

    pub(crate) fn into_body(self) -> Body {
        Body::new(self)
    }

    fn broken(&self) -> Stop {
        Stop::ProviderBroken { placement: self.facts.placement.to_string() }
    }

    fn feed(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.chunks == 0
            && let Some(life) = &mut self.life
        {
            let first_byte_us = micros(self.facts.dispatched.elapsed());
            life.note(|record| record.first_byte_us = record.first_byte_us.or(Some(first_byte_us)));
        }
        self.sse.push(bytes);
        while let Some(event) = self.sse.next_event().map_err(|_| self.broken())? {
            self.event(&event)?;
            if self.life.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &SseEvent) -> Result<(), Stop> {
        let mut items = Vec::new();
        match &mut self.anthropic {
            Some(converter) => converter.push(event, &mut items).map_err(|_| self.broken())?,
            None => items.push(parse_stream_data(&event.data).map_err(|_| self.broken())?),
        }
        for item in items {
            match item {
                StreamItem::Chunk(chunk) => self.chunk(chunk)?,
                StreamItem::Fault(fault) => {
                    let placement = self.facts.placement.to_string();
                    return Err(match fault.is_transient() {
                        true => Stop::ProviderBusy { placement, retry_after_s: None },
                        false => Stop::ProviderRefused { placement, status: 200, fault },
                    });
                }
                StreamItem::Done => {
                    self.complete()?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn chunk(&mut self, mut chunk: ChatChunk) -> Result<(), Stop> {
        if self.chunks == 0 {
            self.head = chunk.head();
        }
        self.chunks += 1;
        let usage = chunk.usage();
        self.usage = usage.or(self.usage);
        if !self.facts.wants_usage {
            chunk.remove_usage();
            if usage.is_some() && chunk.is_bare() {
                return Ok(());
            }
        }
        let finished: Vec<u32> = chunk.finished().collect();
        let is_idle_text = self.screen_chunk(&mut chunk, &finished)?;
        for choice in &finished {
            self.finished.insert(*choice);
            self.release(Some(*choice))?;
            // The whole text of the choice has passed by now; if it passed as it was, so may they.
            let held = self.logprobs.remove(choice).and_then(HeldLogprobs::release);
            if let Some(logprobs) = held.filter(|_| !self.screen.has_changed(*choice)) {
                chunk.put_logprobs(*choice, logprobs);
            }
        }
        // A chunk whose whole text is held back says nothing, and the client need not be woken for it.
        if !(is_idle_text && finished.is_empty() && self.chunks > 1 && usage.is_none()) {
            chunk.encode(&mut self.out);
        }
        Ok(())
    }

    /// Guards the chunk's texts in place. Says whether it had text and none of it may go on yet.
    fn screen_chunk(&mut self, chunk: &mut ChatChunk, finished: &[u32]) -> Result<bool, Stop> {
        if !self.screen.is_transparent() {
            for (choice, logprobs) in chunk.take_logprobs() {
                self.logprobs.entry(choice).or_default().absorb(logprobs);
            }
        }
        let (mut had_text, mut has_text, mut is_broken) = (false, false, false);
        let AnswerStream { screen, windows, order, output, finished: ended, held_bytes, .. } = self;
        chunk.for_each_text(&mut |delta| {
            had_text |= !delta.text.is_empty();
            output.feed(delta.text);
            if ended.contains(&delta.choice) && !delta.text.is_empty() {
                is_broken = true;
                delta.text.clear();
                return;
            }
            let key = (delta.choice, delta.channel);
            if !key.1.is_incremental() {
                // A text at an unknown place may be a part of a longer one, which nobody can look across.
                if matches!(key.1, Channel::Unknown(_)) && !screen.is_transparent() {
                    delta.text.clear();
                } else {
                    screen.piece(delta.text, || key.1.place(key.0));
                }
                has_text |= !delta.text.is_empty();
                return;
            }
            if delta.text.is_empty() {
                return;
            }
            let window = windows.entry(key.clone()).or_insert_with(|| {
                order.push(key.clone());
                if key.1.is_json() {
                    Window::Json(Held::default())
                } else {
                    Window::Text(Box::new(screen.window()))
                }
            });
            let piece = std::mem::take(delta.text);
            match window {
                Window::Json(held) => is_broken |= !held.push(&piece, held_bytes),
                Window::Text(window) => {
                    window.push(&piece, delta.text);
                    if finished.contains(&key.0) {
                        // Its end must come out before this chunk, which says that the choice is complete:
                        // so must its beginning.
                        window.finish(delta.text);
                    }
                    screen.take_findings(window, || key.1.place(key.0));
                }
            }
            has_text |= !delta.text.is_empty();
        });
        if is_broken {
            return Err(self.broken());
        }
        self.check_stop()?;
        Ok(had_text && !has_text)
    }

    fn check_stop(&self) -> Result<(), Stop> {
        match (&self.screen.seen.stopped, &self.life) {
            (Some(class), Some(life)) => Err(crate::phases::answer_refused(life, *class, &self.screen.seen)),
            _ => Ok(()),
        }
    }

    /// Lets go of what is held back for one choice, or for all.
    fn release(&mut self, choice: Option<u32>) -> Result<(), Stop> {
        let keys: Vec<_> =
            self.order.iter().filter(|key| choice.is_none_or(|choice| key.0 == choice)).cloned().collect();
        for key in keys {
            let Some(window) = self.windows.remove(&key) else { continue };
            let text = match window {
                Window::Text(mut window) => {
                    let mut text = String::new();
                    window.finish(&mut text);
                    self.screen.take_findings(&mut window, || key.1.place(key.0));
                    text
                }
                Window::Json(mut held) => {
                    let arguments = held.take();
                    let tool = match &key.1 {
                        Channel::ToolArguments(call) => Some(*call),
                        _ => None,
                    };
                    let guarded = self.screen.arguments(&arguments, key.0, tool);
                    guarded.map_err(|_| self.broken())?.unwrap_or(arguments)
                }
            };
            self.check_stop()?;
            if text.is_empty() {
                continue;
            }
            if let Some(chunk) = self.head.text_chunk(key.0, &key.1, &text) {
                chunk.encode(&mut self.out);
            }
        }
        self.order.retain(|key| choice.is_some_and(|choice| key.0 != choice));
        Ok(())
    }

    /// The provider is done: everything is let go of, and the request is settled before the client reads
    /// that the stream is complete.
    fn complete(&mut self) -> Result<(), Stop> {
        self.release(None)?;
        let Some(mut life) = self.life.take() else { return Ok(()) };
        let measured = self.measured();
        if self.facts.wants_usage && self.usage.is_none() {
            self.head.usage_chunk(&measured.usage).encode(&mut self.out);
        }
        self.note_screen(&mut life, ScanState::Complete);
        settle(&mut life, measured);
        if let Some(cost) = life.cost_text() {
            // A comment: SDKs pass over it, people with curl see it.
            self.out.put_slice(format!(": x-pintle-cost: {cost}\n\n").as_bytes());
        }
        life.end_streamed(Ok(()));
        self.out.put_slice(SSE_DONE);
        self.timer.as_mut().reset(Instant::now() + END_PATIENCE);
        self.is_complete = true;
        Ok(())
    }

    /// After the stream's last event the provider still has to end its framing; a connection that was read
    /// to its end can be used again. The client has everything by then, so this waits for a moment only.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.is_complete {
            match self.upstream.poll_data(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => self.is_complete = false,
                Poll::Pending => return self.timer.as_mut().poll(context),
            }
            // A provider that goes on talking after its last event is not listened to for long.
            self.after_end = self.after_end.saturating_add(1);
            self.is_complete &= self.after_end < 64;
        }
        Poll::Ready(())
    }

    /// The stream cannot go on: the client is told in its own dialect, and what was used is paid.
    fn fail(&mut self, stop: &Stop) {
        if self.screen.seen.stopped.is_none() {
            // What has passed the guard by now may still go out; a second stop changes nothing.
            let _ = self.release(None);
        }
        let Some(mut life) = self.life.take() else { return };
        self.note_screen(&mut life, ScanState::Partial);
        settle(&mut life, self.measured());
        self.out.put_slice(&stop.body(Some(life.id())).to_sse());
        life.end_streamed(Err(stop));
    }

    /// What the call used: the provider's own figures if they came, else what was counted here.
    fn measured(&self) -> Measured {
        if let Some(usage) = self.usage {
            return Measured { usage, source: UsageSource::Provider };
        }
        let output = self.output.tokens().saturating_sub(self.facts.echo_estimate);
        let cut = self.anthropic.as_ref().and_then(|converter| converter.usage_when_cut(output));
        let counted = TokenUsage { input: self.facts.input_estimate, output, ..TokenUsage::default() };
        Measured { usage: cut.unwrap_or(counted), source: UsageSource::Estimated }
    }

    fn note_screen(&mut self, life: &mut Life, state: ScanState) {
        let seen = std::mem::take(&mut self.screen.seen);
        life.note(|record| {
            record.answer_scan = state;
            record.answer_class = seen.class;
            record.answer_masked = seen.masked;
            record.add_findings(seen.findings, seen.total);
        });
    }

    /// The provider closed the connection.
    fn end_of_upstream(&mut self) {
        // A last event may lack the blank line behind it.
        let decoder = std::mem::replace(&mut self.sse, SseDecoder::new(EVENT_BYTES_MAX));
        if let Ok(Some(event)) = decoder.finish()
            && let Err(stop) = self.event(&event)
        {
            self.fail(&stop);
        }
        if self.life.is_none() {
            return;
        }
        // Some servers leave out the last event; what counts is that each choice has said it is complete.
        let is_whole = self.anthropic.is_none()
            && u32::try_from(self.finished.len()).is_ok_and(|count| count >= self.facts.choices);
        let result = if is_whole { self.complete() } else { Err(self.broken()) };
        if let Err(stop) = result {
            self.fail(&stop);
        }
    }

    fn poll_upstream(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.upstream.poll_data(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                self.timer.as_mut().reset((Instant::now() + self.facts.idle).min(self.facts.deadline));
                if let Err(stop) = self.feed(&bytes) {
                    self.fail(&stop);
                }
                Poll::Ready(())
            }
            Poll::Ready(Some(Err(_))) => {
                let stop = self.broken();
                self.fail(&stop);
                Poll::Ready(())
            }
            Poll::Ready(None) => {
                self.end_of_upstream();
                Poll::Ready(())
            }
            Poll::Pending if self.timer.as_mut().poll(context).is_ready() => {
                let stop = if Instant::now() >= self.facts.deadline {
                    Stop::Deadline { seconds: self.facts.deadline_s }
                } else {
                    Stop::ProviderSilent { placement: self.facts.placement.to_string() }
                };
                self.fail(&stop);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl http_body::Body for AnswerStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            if !this.out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(this.out.split().freeze()))));
            }
            if this.life.is_none() {
                return this.poll_end(context).map(|()| None);
            }
            if this.poll_upstream(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for AnswerStream {
    /// The client went away: the connection to the provider closes with this body, and what was used up
    /// to here is paid.
    fn drop(&mut self) {
        let Some(mut life) = self.life.take() else { return };
        self.note_screen(&mut life, ScanState::Partial);
        settle(&mut life, self.measured());
        drop(life);
    }
}
