//! Server-sent events: an incremental decoder for any split of the bytes, and the encoder.
//!
//! The grammar is the one of the HTML standard: lines end in CR, LF or CRLF; a byte order mark may open the
//! stream; comments are dropped; several `data` lines make one event; an empty line ends it. `id` and `retry`
//! are read over, because no dialect here resumes a stream.

use bytes::{BufMut, Bytes, BytesMut};

/// One event. `data` shares memory with the decoder's buffer if it stood on one line.
#[derive(Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event` field, if it is there and UTF-8.
    pub event: Option<String>,
    /// The `data` fields, joined by line feeds. Not yet checked to be UTF-8.
    pub data: Bytes,
}

/// Shows no content.
impl std::fmt::Debug for SseEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SseEvent({} bytes)", self.data.len())
    }
}

/// Why a stream cannot be decoded further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event or line exceeds the bound. The decoder stays in this state.
    #[error("an event of the stream is longer than {limit_bytes} bytes")]
    TooLarge {
        /// The bound.
        limit_bytes: usize,
    },
}

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// Decodes one stream. Feed bytes with [`SseDecoder::push`], take events with [`SseDecoder::next_event`] until it
/// gives `None`, and at the stream's end call [`SseDecoder::finish`].
#[derive(Debug)]
pub struct SseDecoder {
    buffer: BytesMut,
    /// Bytes of `buffer` that are known to hold no line end.
    searched: usize,
    event: Option<String>,
    data: Data,
    limit_bytes: usize,
    at_start: bool,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    failed: bool,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Data::None => 0,
            Data::One(line) => line.len(),
            Data::Many(lines) => lines.len(),
        }
    }

    fn push(&mut self, line: Bytes) {
        *self = match std::mem::take(self) {
            Data::None => Data::One(line),
            Data::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 1);
                lines.put_slice(&first);
                lines.put_u8(b'\n');
                lines.put_slice(&line);
                Data::Many(lines)
            }
            Data::Many(mut lines) => {
                lines.put_u8(b'\n');
                lines.put_slice(&line);
                Data::Many(lines)
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        match std::mem::take(self) {
            Data::None => None,
            Data::One(line) => Some(line),
            Data::Many(lines) => Some(lines.freeze()),
        }
    }
}

impl SseDecoder {
    /// A decoder that refuses events, and lines, of more than `limit_bytes`.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        SseDecoder {
            buffer: BytesMut::new(),
            searched: 0,
            event: None,
            data: Data::None,
            limit_bytes,
            at_start: true,
            after_cr: false,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next complete event, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// When an event exceeds the bound; then always.
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, SseError> {
        if self.failed {
            return Err(self.too_large());
        }
        while let Some(line) = self.next_line() {
            if line.len() > self.limit_bytes {
                return Err(self.too_large());
            }
            if line.is_empty() {
                let event = self.event.take();
                if let Some(data) = self.data.take() {
                    return Ok(Some(SseEvent { event, data }));
                }
                continue;
            }
            self.field(&line);
            if self.data.len() > self.limit_bytes {
                return Err(self.too_large());
            }
        }
        if self.buffer.len() > self.limit_bytes {
            return Err(self.too_large());
        }
        Ok(None)
    }

    /// What the stream's end left: an event whose closing empty line is missing, and perhaps the end of its last
    /// line. The standard drops it; servers that forget the last line end are common, so it is given out. In a
    /// stream that was cut its data are cut too, and parsing them fails.
    ///
    /// # Errors
    /// When the event exceeds the bound.
    pub fn finish(mut self) -> Result<Option<SseEvent>, SseError> {
        // Two line ends close any line and any event; after a CR the first may be its LF.
        self.push(b"\n\n\n");
        self.next_event()
    }

    fn too_large(&mut self) -> SseError {
        self.failed = true;
        self.buffer = BytesMut::new();
        self.data = Data::None;
        SseError::TooLarge { limit_bytes: self.limit_bytes }
    }

    /// The next line without its end.
    fn next_line(&mut self) -> Option<Bytes> {
        if self.at_start {
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return None;
            }
            if self.buffer.starts_with(BOM) {
                drop(self.buffer.split_to(BOM.len()));
            }
            self.at_start = false;
        }
        if self.after_cr && !self.buffer.is_empty() {
            if self.buffer.first() == Some(&b'\n') {
                drop(self.buffer.split_to(1));
            }
            self.after_cr = false;
        }
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(offset) = unsearched.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + offset;
        self.searched = 0;
        let mut line = self.buffer.split_to(end + 1).freeze();
        self.after_cr = line.last() == Some(&b'\r');
        line.truncate(end);
        Some(line)
    }

    fn field(&mut self, line: &Bytes) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name_len, mut value_at) = colon.map_or((line.len(), line.len()), |at| (at, at + 1));
        if line.get(value_at) == Some(&b' ') {
            value_at += 1;
        }
        match line.get(..name_len) {
            Some(b"data") => self.data.push(line.slice(value_at..)),
            Some(b"event") => {
                self.event =
                    line.get(value_at..).and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned);
            }
            // Comments (an empty name), `id`, `retry`, and what the standard may add.
            _ => {}
        }
    }
}

/// Appends one event without a name.
pub fn encode_sse(out: &mut BytesMut, data: &[u8]) {
    out.reserve(data.len() + 8);
    for line in lines(data) {
        out.put_slice(b"data: ");
        out.put_slice(line);
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
}

/// Appends one event with a name. A name that holds a line end would forge fields, so it ends there.
pub fn encode_event(out: &mut BytesMut, event: &str, data: &[u8]) {
    let name = event.split(['\n', '\r']).next().unwrap_or_default();
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_u8(b'\n');
    encode_sse(out, data);
}

/// Splits at LF, CR and CRLF. JSON has none of them, so this is one pass and one line.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            rest = None;
            return Some(bytes);
        };
        let width = if bytes.get(end..end + 2) == Some(b"\r\n") { 2 } else { 1 };
        rest = bytes.get(end + width..);
        bytes.get(..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<(Option<String>, String)> {
        let mut decoder = SseDecoder::new(1 << 20);
        decoder.push(bytes);
        let mut events = Vec::new();
        while let Some(event) = decoder.next_event().unwrap() {
            events.push((event.event, String::from_utf8(event.data.to_vec()).unwrap()));
        }
        events
    }

    fn data(text: &str) -> (Option<String>, String) {
        (None, text.to_owned())
    }

    #[test]
    fn the_grammar_of_the_standard() {
        assert_eq!(
            decode(b"\xEF\xBB\xBFdata: a\n\ndata:b\r\n\r\ndata:  c\r\r"),
            [data("a"), data("b"), data(" c")]
        );
        assert_eq!(decode(b": ping\n\nid: 7\nretry: 10\ndata: x\ndata\ndata: y\n\n"), [data("x\n\ny")]);
        assert_eq!(
            decode(b"event: error\ndata: {}\n\nevent: lost\n\ndata: z\n\n"),
            [(Some("error".to_owned()), "{}".to_owned()), data("z")]
        );
        assert_eq!(decode(b"data: unfinished\n"), []);
    }

    #[test]
    fn the_end_gives_what_lacks_its_empty_line() {
        for tail in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r", "data: [DONE]\r\n"] {
            let mut decoder = SseDecoder::new(1 << 20);
            decoder.push(tail.as_bytes());
            assert_eq!(decoder.next_event(), Ok(None));
            let event = decoder.finish().unwrap().unwrap();
            assert_eq!(&event.data[..], b"[DONE]", "{tail:?}");
        }
        assert_eq!(SseDecoder::new(9).finish(), Ok(None));
    }

    #[test]
    fn an_endless_event_is_refused_and_stays_refused() {
        let mut lines = SseDecoder::new(100);
        let mut one_line = SseDecoder::new(100);
        for _ in 0..20 {
            lines.push(b"data: 0123456789\n");
            one_line.push(b"0123456789");
        }
        for decoder in [&mut lines, &mut one_line] {
            assert_eq!(decoder.next_event(), Err(SseError::TooLarge { limit_bytes: 100 }));
            decoder.push(b"\n\ndata: x\n\n");
            assert!(decoder.next_event().is_err());
        }
    }

    #[test]
    fn what_is_encoded_decodes() {
        let mut out = BytesMut::new();
        encode_sse(&mut out, b"{\"a\":1}");
        encode_sse(&mut out, b"two\r\nlines\n");
        encode_event(&mut out, "err\nor", b"x");
        assert_eq!(
            decode(&out),
            [data("{\"a\":1}"), data("two\nlines\n"), (Some("err".to_owned()), "x".to_owned())]
        );
    }
}
