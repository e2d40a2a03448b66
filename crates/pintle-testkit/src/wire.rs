//! Raw HTTP/1.1 over one TCP connection: just enough parsing for a fake server and a fake client.
//!
//! Written by hand because both sides must be able to misbehave, and to notice at once that the other
//! side has gone away, also while they themselves have nothing to read.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

const HEAD_BYTES_MAX: usize = 256 * 1024;
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What is kept of bytes that arrive while nobody reads them.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// One request as a fake upstream saw it.
#[derive(Debug, Clone)]
pub struct Received {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path with its query, as sent.
    pub path: String,
    /// Names in lower case, values as sent (bytes beyond UTF-8 replaced), in their order.
    pub headers: Vec<(String, String)>,
    /// The body, transfer coding removed. Empty when the script read only the head.
    pub body: Bytes,
    /// Which connection it came on, counted from 0: equal numbers mean a connection was reused.
    pub connection: usize,
}

impl Received {
    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body of the received request is JSON")
    }
}

pub(crate) fn find<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// First line and headers of a message.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first_line: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// One connection and what was read of it but not yet used.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    inbox: BytesMut,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Wire { stream, inbox: BytesMut::new() })
    }

    /// Reads what is there into the inbox; waits for at least one byte. `false` at the end of the stream.
    pub(crate) async fn fill(&mut self) -> io::Result<bool> {
        loop {
            self.stream.readable().await?;
            match self.try_fill() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    fn try_fill(&mut self) -> io::Result<bool> {
        let mut buffer = [0_u8; 16 * 1024];
        let n = self.stream.try_read(&mut buffer)?;
        self.inbox.extend_from_slice(buffer.get(..n).unwrap_or_default());
        Ok(n > 0)
    }

    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether at least one byte waits to be used; waits for it. `false` at the end of the stream.
    pub(crate) async fn has_input(&mut self) -> io::Result<bool> {
        if self.inbox.is_empty() { self.fill().await } else { Ok(true) }
    }

    /// Ends when the other side has closed or reset the connection. Bytes that arrive meanwhile are kept.
    pub(crate) async fn gone(&mut self) {
        while self.inbox.len() < AHEAD_BYTES_MAX {
            if !matches!(self.fill().await, Ok(true)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Whether the other side is known to have gone, without waiting.
    pub(crate) fn is_gone(&mut self) -> bool {
        if self.inbox.len() >= AHEAD_BYTES_MAX {
            return false;
        }
        match self.try_fill() {
            Ok(more) => !more,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Makes the coming close a reset instead of an orderly end.
    pub(crate) fn reset_on_close(&self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Everything that was read and not used.
    pub(crate) fn take_inbox(&mut self) -> BytesMut {
        self.inbox.split()
    }

    /// The bytes up to and including `end`. `None` when the stream ends, or `max` is passed, before it.
    pub(crate) async fn take_until(&mut self, end: &[u8], max: usize) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(at) = self.inbox.windows(end.len()).position(|window| window == end) {
                return Ok(Some(self.inbox.split_to(at + end.len()).freeze()));
            }
            if self.inbox.len() > max || !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Exactly `n` bytes. `None` when the stream ends before.
    async fn take(&mut self, n: usize) -> io::Result<Option<Bytes>> {
        while self.inbox.len() < n {
            if !self.fill().await? {
                return Ok(None);
            }
        }
        Ok(Some(self.inbox.split_to(n).freeze()))
    }

    pub(crate) async fn head(&mut self) -> io::Result<Head> {
        let raw = self.take_until(b"\r\n\r\n", HEAD_BYTES_MAX).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let text = String::from_utf8_lossy(&raw);
        let mut lines = text.trim_end().split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
                Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Head { first_line, headers })
    }

    /// The body, and whether it was complete: a stream that ends too early gives what there was.
    pub(crate) async fn body(&mut self, framing: Framing) -> io::Result<(Bytes, bool)> {
        match framing {
            Framing::Length(length) => match self.take(length).await {
                Ok(Some(body)) => Ok((body, true)),
                Ok(None) | Err(_) => Ok((self.take_inbox().freeze(), false)),
            },
            Framing::Chunked => self.chunked_body().await,
            Framing::UntilClose => {
                let clean = loop {
                    match self.fill().await {
                        Ok(true) => {}
                        Ok(false) => break true,
                        Err(_) => break false,
                    }
                };
                Ok((self.take_inbox().freeze(), clean))
            }
        }
    }

    async fn chunked_body(&mut self) -> io::Result<(Bytes, bool)> {
        let mut body = BytesMut::new();
        loop {
            let Ok(Some(line)) = self.take_until(b"\r\n", HEAD_BYTES_MAX).await else {
                return Ok((body.freeze(), false));
            };
            let size = chunk_size(&line).ok_or(io::ErrorKind::InvalidData)?;
            if body.len() + size > BODY_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let Ok(Some(data)) = self.take(size).await else {
                body.extend_from_slice(&self.take_inbox());
                return Ok((body.freeze(), false));
            };
            body.extend_from_slice(&data);
            // After the last chunk come trailers, if any, and an empty line; after others just the latter.
            loop {
                match self.take_until(b"\r\n", HEAD_BYTES_MAX).await {
                    Ok(Some(line)) if line.len() > 2 && size == 0 => {}
                    Ok(Some(line)) if line.len() == 2 => break,
                    Ok(Some(_)) => return Err(io::ErrorKind::InvalidData.into()),
                    Ok(None) | Err(_) => return Ok((body.freeze(), false)),
                }
            }
            if size == 0 {
                return Ok((body.freeze(), true));
            }
        }
    }
}

/// The size that begins a chunk, extensions ignored.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    usize::from_str_radix(text.trim().split(';').next()?.trim(), 16).ok()
}

/// The framing that the headers declare; `None` when they declare none.
pub(crate) fn declared_framing(headers: &[(String, String)]) -> io::Result<Option<Framing>> {
    if find(headers, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok(Some(Framing::Chunked));
    }
    let Some(length) = find(headers, "content-length") else { return Ok(None) };
    let length: usize = length.parse().map_err(|_| io::ErrorKind::InvalidData)?;
    if length > BODY_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some(Framing::Length(length)))
}
