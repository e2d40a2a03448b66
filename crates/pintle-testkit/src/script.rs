//! Scripts: what a fake provider does with one request, step by step.
//!
//! The constructors here are dialect-free; those of a dialect stand in `openai.rs` and `anthropic.rs`.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{Gate, wire::Received};

/// One step of a script.
#[derive(Debug, Clone)]
pub enum Step {
    /// Reads one whole request and records it.
    ReadRequest,
    /// Reads and records the head of a request, and leaves the body unread. The connection closes after.
    ReadHead,
    /// Sends these bytes as they are.
    Send(Bytes),
    /// Stands still until the test opens the gate, or the client goes away.
    Pause(Gate),
    /// Does nothing until the client goes away or the fake is dropped.
    Stall,
    /// Closes the connection in an orderly way; the script ends.
    Close,
    /// Resets the connection; the script ends. Bytes that the client has not read yet are lost to it.
    Reset,
    /// Goes on with the script that this function makes of the request read last.
    Respond(Responder),
}

/// A function from request to script. Made with [`Script::respond`].
#[derive(Clone)]
pub struct Responder(Arc<dyn Fn(&Received) -> Script + Send + Sync>);

impl Responder {
    pub(crate) fn to(&self, request: &Received) -> Script {
        (self.0)(request)
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder(..)")
    }
}

/// What a fake provider does with one request.
#[derive(Debug, Clone)]
pub struct Script(Vec<Step>);

/// The tokens that a fake provider reports.
///
/// `input` counts all input, cached and newly cached included, as OpenAI does; the Anthropic scripts
/// subtract, because there the three are reported apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: u64,
    /// All output tokens, reasoning included.
    pub output: u64,
    /// Input tokens that came from the provider's cache.
    pub cached_input: u64,
    /// Input tokens that were written to the provider's cache (Anthropic only).
    pub cache_write: u64,
    /// Output tokens that were reasoning (OpenAI only).
    pub reasoning: u64,
}

impl Usage {
    /// So many tokens in and out, none cached.
    #[must_use]
    pub fn new(input: u64, output: u64) -> Self {
        Usage { input, output, ..Usage::default() }
    }

    /// With so many of the input tokens read from the cache.
    #[must_use]
    pub fn cached(self, cached_input: u64) -> Self {
        Usage { cached_input, ..self }
    }

    /// With so many of the input tokens written to the cache.
    #[must_use]
    pub fn cache_write(self, cache_write: u64) -> Self {
        Usage { cache_write, ..self }
    }

    /// With so many of the output tokens spent on reasoning.
    #[must_use]
    pub fn reasoning(self, reasoning: u64) -> Self {
        Usage { reasoning, ..self }
    }
}

impl Script {
    /// A script of these steps.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Script(steps.into_iter().collect())
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// With one more step at the end.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }

    /// Reads the request and sends these bytes, which are the whole response: head, framing, body.
    #[must_use]
    pub fn raw(response: impl Into<Bytes>) -> Self {
        Script(vec![Step::ReadRequest, Step::Send(response.into())])
    }

    /// Reads the request, then plays the script that `respond` makes of it. That script must not begin
    /// with another read: see [`Script::answer_only`].
    #[must_use]
    pub fn respond(respond: impl Fn(&Received) -> Script + Send + Sync + 'static) -> Self {
        let respond = move |request: &Received| respond(request).answer_only();
        Script(vec![Step::ReadRequest, Step::Respond(Responder(Arc::new(respond)))])
    }

    /// Without the read at its beginning.
    #[must_use]
    pub fn answer_only(mut self) -> Self {
        if matches!(self.0.first(), Some(Step::ReadRequest | Step::ReadHead)) {
            self.0.remove(0);
        }
        self
    }

    /// A response with this status, these headers and this body; `content-length` is added and true.
    #[must_use]
    pub fn status(code: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut response = format!("HTTP/1.1 {code} {}\r\n", reason(code));
        for (name, value) in headers {
            response.push_str(&format!("{name}: {value}\r\n"));
        }
        response.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut response = response.into_bytes();
        response.extend_from_slice(body);
        Script::raw(response)
    }

    /// A JSON response with this status.
    #[must_use]
    pub fn json(code: u16, body: &serde_json::Value) -> Self {
        Script::status(code, &[("content-type", "application/json")], body.to_string())
    }

    /// Reads the request and never answers.
    #[must_use]
    pub fn stall() -> Self {
        Script(vec![Step::ReadRequest, Step::Stall])
    }

    /// Reads the request and closes the connection without a word.
    #[must_use]
    pub fn close() -> Self {
        Script(vec![Step::ReadRequest, Step::Close])
    }

    /// Reads the request and resets the connection without a word.
    #[must_use]
    pub fn reset() -> Self {
        Script(vec![Step::ReadRequest, Step::Reset])
    }

    /// Says `content-length: declared` and sends `actual`, then closes.
    #[must_use]
    pub fn lies_about_length(declared: usize, actual: impl AsRef<[u8]>) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {declared}\r\n\r\n"
        );
        let mut response = head.into_bytes();
        response.extend_from_slice(actual.as_ref());
        Script::raw(response).then(Step::Close)
    }

    /// A response whose body never ends: `piece` again and again in chunks, until the client leaves.
    /// `pieces` bounds it, so that a client that never leaves ends the test instead of the machine.
    #[must_use]
    pub fn endless(content_type: &str, piece: &[u8], pieces: usize) -> Self {
        let mut script = Script::stream_head(content_type);
        script.0.extend(std::iter::repeat_n(Step::Send(chunk(piece)), pieces));
        script.then(Step::Stall)
    }

    /// Reads the request and sends the head of a chunked response.
    #[must_use]
    pub fn stream_head(content_type: &str) -> Self {
        Script::raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        ))
    }

    /// A server-sent event stream of exactly these blocks, one chunk each, ended properly. A block is
    /// sent as it is: the blank line after an event belongs to it.
    #[must_use]
    pub fn sse<B: AsRef<[u8]>>(blocks: impl IntoIterator<Item = B>) -> Self {
        let mut script = Script::stream_head("text/event-stream");
        script.0.extend(blocks.into_iter().map(|block| Step::Send(chunk(block.as_ref()))));
        script.then(Step::Send(Bytes::from_static(b"0\r\n\r\n")))
    }

    /// With a pause at `gate` before each send but the first (which is the head of a streamed response).
    #[must_use]
    pub fn gated(self, gate: &Gate) -> Self {
        let mut sends = 0;
        let mut steps = Vec::with_capacity(self.0.len() * 2);
        for step in self.0 {
            if matches!(step, Step::Send(_)) {
                if sends > 0 {
                    steps.push(Step::Pause(gate.clone()));
                }
                sends += 1;
            }
            steps.push(step);
        }
        Script(steps)
    }

    /// With each send cut into pieces of at most `bytes` bytes, each a write of its own: `in_pieces(1)`
    /// is the slowest possible server. Combine with [`Script::gated`] to stop between pieces.
    ///
    /// # Panics
    /// When `bytes` is 0.
    #[must_use]
    pub fn in_pieces(self, bytes: usize) -> Self {
        let steps = self.0.into_iter().flat_map(|step| match step {
            Step::Send(all) => {
                all.chunks(bytes).map(|piece| Step::Send(Bytes::copy_from_slice(piece))).collect()
            }
            other => vec![other],
        });
        Script(steps.collect())
    }

    /// Only the first `sends` sends (a streamed response's head counts as one), then `end`.
    #[must_use]
    pub fn cut_after(self, sends: usize, end: Step) -> Self {
        let mut seen = 0;
        let mut steps: Vec<Step> = self
            .0
            .into_iter()
            .take_while(|step| {
                seen += usize::from(matches!(step, Step::Send(_)));
                seen <= sends
            })
            .collect();
        steps.push(end);
        Script(steps)
    }
}

/// One chunk of the chunked transfer coding.
pub(crate) fn chunk(data: &[u8]) -> Bytes {
    let mut framed = format!("{:x}\r\n", data.len()).into_bytes();
    framed.extend_from_slice(data);
    framed.extend_from_slice(b"\r\n");
    framed.into()
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        529 => "Overloaded",
        _ => "Status",
    }
}
