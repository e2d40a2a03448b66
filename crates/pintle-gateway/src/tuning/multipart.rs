//! `multipart/form-data` (RFC 7578), read as it comes: a part's bytes are handed on in pieces and never gathered, so that
//! a file of half a gigabyte takes as much memory as a small one.

use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use memchr::memmem;

use crate::error::Stop;

/// A client that sends nothing for so long has gone, or means harm.
const IDLE: Duration = Duration::from_secs(20);
const BOUNDARY_BYTES_MAX: usize = 70;
const HEAD_BYTES_MAX: usize = 8 * 1024;
const PARTS_MAX: usize = 16;
const FILENAME_CHARS_MAX: usize = 255;

/// A part's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) filename: Option<String>,
}

/// A form on its way in.
pub(super) struct Multipart {
    body: Body,
    buffer: BytesMut,
    /// Line end, two hyphens, boundary: what stands after each part.
    delimiter: Vec<u8>,
    is_in_part: bool,
    is_over: bool,
    parts: usize,
}

impl Multipart {
    /// A form, if the header says that it is one.
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Stop> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = boundary(kind).ok_or_else(|| {
            malformed("the content type must be `multipart/form-data` with a boundary, as SDKs send it")
        })?;
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        // The first delimiter has no line before it; this gives it the same form as the others.
        let buffer = BytesMut::from(&b"\r\n"[..]);
        Ok(Multipart { body, buffer, delimiter, is_in_part: false, is_over: false, parts: 0 })
    }

    /// Passes over what is left of this part and gives the next one's head; `None` at the end.
    pub(super) async fn next_part(&mut self) -> Result<Option<Part>, Stop> {
        if self.is_over {
            return Ok(None);
        }
        if self.parts == 0 {
            // What stands before the first delimiter is no part.
            self.is_in_part = true;
        }
        while self.data().await?.is_some() {}
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(malformed("it has more than 16 parts"));
        }
        while self.buffer.len() < 2 {
            self.more().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.is_over = true;
            return Ok(None);
        }
        let end = loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(malformed("the head of a part is too long"));
            }
            self.more().await?;
        };
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        self.is_in_part = true;
        let head = std::str::from_utf8(&head).map_err(|_| malformed("the head of a part is not UTF-8"))?;
        disposition(head).map(Some).ok_or_else(|| malformed("a part does not say its name"))
    }

    /// The next bytes of this part; `None` at its end.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Stop> {
        if !self.is_in_part {
            return Ok(None);
        }
        loop {
            if let Some(at) = memmem::find(&self.buffer, &self.delimiter) {
                if at > 0 {
                    return Ok(Some(self.buffer.split_to(at).freeze()));
                }
                self.buffer.advance(self.delimiter.len());
                self.is_in_part = false;
                return Ok(None);
            }
            // The end of what is there may be the beginning of a delimiter.
            let safe = self.buffer.len().saturating_sub(self.delimiter.len() - 1);
            if safe > 0 {
                return Ok(Some(self.buffer.split_to(safe).freeze()));
            }
            self.more().await?;
        }
    }

    /// The rest of this part, as a text of at most `most` bytes.
    pub(super) async fn text(&mut self, most: usize) -> Result<String, Stop> {
        let mut bytes = Vec::new();
        while let Some(data) = self.data().await? {
            if bytes.len() + data.len() > most {
                return Err(malformed("a field is too long"));
            }
            bytes.extend_from_slice(&data);
        }
        String::from_utf8(bytes).map_err(|_| malformed("a field is not UTF-8"))
    }

    async fn more(&mut self) -> Result<(), Stop> {
        loop {
            match tokio::time::timeout(IDLE, self.body.frame()).await {
                Err(_) => return Err(Stop::SlowBody),
                Ok(None) => return Err(malformed("it ends before its last boundary")),
                Ok(Some(Err(_))) => return Err(Stop::BrokenBody),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                        return Ok(());
                    }
                }
            }
        }
    }
}

fn malformed(why: &'static str) -> Stop {
    Stop::Form(why)
}

/// `multipart/form-data; boundary="x"` → `x`.
fn boundary(kind: &str) -> Option<&str> {
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (!value.is_empty() && value.len() <= BOUNDARY_BYTES_MAX && value.is_ascii()).then_some(value)
}

/// Name and file name of a part's head.
fn disposition(head: &str) -> Option<Part> {
    let value = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let mut part = Part { name: String::new(), filename: None };
    for (name, value) in parameters(value) {
        match name.as_str() {
            "name" => part.name = value,
            "filename" if part.filename.is_none() => part.filename = Some(file_name(&value)),
            // RFC 5987: it says more than `filename`, and wins.
            "filename*" => {
                let (_, encoded) = value.split_once("''")?;
                part.filename = Some(file_name(&percent_decoded(encoded)?));
            }
            _ => {}
        }
    }
    (!part.name.is_empty()).then_some(part)
}

/// `form-data; name="a\"b"; x=y` → `(name, a"b)`, `(x, y)`.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim().to_ascii_lowercase();
        let mut text = String::new();
        let after = after.trim_start();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut letters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, letter)) = letters.next() {
                match letter {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => text.extend(letters.next().map(|(_, letter)| letter)),
                    letter => text.push(letter),
                }
            }
            rest = quoted.get(end..).unwrap_or_default();
        } else {
            let end = after.find(';').unwrap_or(after.len());
            text.push_str(after.get(..end).unwrap_or_default().trim());
            rest = after.get(end..).unwrap_or_default();
        }
        rest = rest.trim_start().trim_start_matches(';');
        found.push((name, text));
    }
    found
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) =
                (char::from(rest.next()?).to_digit(16)?, char::from(rest.next()?).to_digit(16)?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The name alone, without folders and without what no name holds: it is shown, and never a path here.
fn file_name(text: &str) -> String {
    let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).take(FILENAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FORM: &str = "before\r\n--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--x\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"C:\\\\a \\\"b\\\".jsonl\"\r\nContent-Type: text/plain\r\n\
        \r\nline\r\n--y\r\n-\r\n--x--\r\nafter";

    struct Pieces(std::vec::IntoIter<Vec<u8>>);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(self.0.next().map(|piece| Ok(http_body::Frame::data(piece.into()))))
        }
    }

    fn form(pieces: Vec<Vec<u8>>) -> Multipart {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("multipart/form-data; boundary=\"x\""));
        Multipart::new(&headers, Body::new(Pieces(pieces.into_iter()))).ok().unwrap()
    }

    async fn read(mut form: Multipart) -> Result<Vec<(String, Option<String>, String)>, Stop> {
        let mut parts = Vec::new();
        while let Some(part) = form.next_part().await? {
            let text = form.text(1_000).await?;
            parts.push((part.name, part.filename, text));
        }
        Ok(parts)
    }

    #[tokio::test]
    async fn every_split_of_the_bytes_gives_the_same_parts() {
        let expected = vec![
            ("purpose".to_owned(), None, "fine-tune".to_owned()),
            ("file".to_owned(), Some("a \"b\".jsonl".to_owned()), "line\r\n--y\r\n-".to_owned()),
        ];
        let bytes = FORM.as_bytes();
        for at in 0..bytes.len() {
            let (one, other) = bytes.split_at(at);
            assert_eq!(read(form(vec![one.to_vec(), other.to_vec()])).await.unwrap(), expected, "at {at}");
        }
        let single = bytes.iter().map(|byte| vec![*byte]).collect();
        assert_eq!(read(form(single)).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_or_goes_on_is_refused() {
        for text in [
            "",
            "--x",
            "--x\r\n",
            "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x",
            "--x\r\n\r\nno name\r\n--x--",
            &format!("--x\r\n{}", "h".repeat(10_000)),
        ] {
            assert!(read(form(vec![text.as_bytes().to_vec()])).await.is_err(), "{text}");
        }
        let many = "\r\n--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n".repeat(50);
        assert!(read(form(vec![many.into_bytes()])).await.is_err());
    }

    #[test]
    fn names_of_files_are_names() {
        let part =
            disposition("Content-Disposition: form-data; name=file; filename*=UTF-8''%C3%BC/%E2%82%AC.jsonl");
        assert_eq!(part.unwrap(), Part { name: "file".into(), filename: Some("€.jsonl".into()) });
        assert_eq!(file_name("../../etc/passwd"), "passwd");
        assert_eq!(boundary("multipart/form-data; charset=utf-8; boundary=abc"), Some("abc"));
        assert_eq!(boundary("application/json"), None);
    }
}
