//! Files into text: bounded, in the encodings that say what they are. `format` takes it from here.
//!
//! Reading stops at the recipe's bounds instead of finding out afterwards, so that a file of any size, or a
//! line of any length, takes a few hundred KiB of memory before it is refused.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use memchr::{memchr, memchr_iter};

use super::{
    error::CorpusError,
    recipe::CorpusLimits,
    report::{Left, Reason},
    text::count,
};

const CHUNK_BYTES: usize = 256 << 10;

/// Why there is no text, or no more of it.
#[derive(Debug)]
pub(super) enum Halt {
    /// The document leaves.
    Left(Left),
    /// There will be no corpus.
    Error(CorpusError),
}

impl Halt {
    pub(super) fn left(reason: Reason, because: impl Into<String>) -> Self {
        Halt::Left(Left::new(reason, because))
    }
}

impl From<io::Error> for Halt {
    /// The kind says enough; the message could repeat the path, which is masked elsewhere.
    fn from(error: io::Error) -> Self {
        Halt::left(Reason::Unreadable, format!("cannot be read: {}", error.kind()))
    }
}

/// What bounds reading, and what stops it.
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) limits: &'a CorpusLimits,
    pub(super) stop: &'a AtomicBool,
}

impl Bounds<'_> {
    fn check_stop(self) -> Result<(), Halt> {
        if self.stop.load(Ordering::Relaxed) { Err(Halt::Error(CorpusError::Stopped)) } else { Ok(()) }
    }

    pub(super) fn too_large(self) -> Left {
        let most = self.limits.file_bytes;
        Left::new(Reason::TooLarge, format!("has more than {most} bytes (`limits.file_bytes`)"))
    }

    fn long_line(self) -> Left {
        let most = self.limits.line_bytes;
        Left::new(Reason::LongLine, format!("has a line of more than {most} bytes (`limits.line_bytes`)"))
    }
}

/// The whole text of a file.
pub(super) fn whole(path: &Path, bounds: Bounds<'_>) -> Result<String, Halt> {
    let mut file = File::open(path)?;
    let limits = bounds.limits;
    let mut bytes = Vec::new();
    let mut line_start = 0_usize;
    loop {
        bounds.check_stop()?;
        let before = bytes.len();
        // Takes a chunk at a time, and one byte more than allowed at most.
        let rest = limits.file_bytes.saturating_add(1).saturating_sub(count(before));
        (&mut file).take(rest.min(count(CHUNK_BYTES))).read_to_end(&mut bytes)?;
        if bytes.len() == before {
            break;
        }
        if count(bytes.len()) > limits.file_bytes {
            return Err(Halt::Left(bounds.too_large()));
        }
        let fresh = bytes.get(before..).unwrap_or_default();
        for newline in memchr_iter(b'\n', fresh) {
            check_line(before + newline - line_start, bounds)?;
            line_start = before + newline + 1;
        }
        check_line(bytes.len() - line_start, bounds)?;
    }
    let text = decode(bytes)?;
    // In UTF-16 the bytes are other ones, so lines are counted again; also where `\r` alone ends them.
    for line in text.as_bytes().split(|byte| *byte == b'\n') {
        check_line(line.len(), bounds)?;
    }
    Ok(text)
}

fn check_line(bytes: usize, bounds: Bounds<'_>) -> Result<(), Halt> {
    if count(bytes) > bounds.limits.line_bytes { Err(Halt::Left(bounds.long_line())) } else { Ok(()) }
}

/// What `each_line` hands over: a line's text, or why there is none.
pub(super) type Line<'a> = Result<&'a str, Left>;

/// Calls `take` with the number and text of each line of a file, one in memory at a time. A line that cannot be
/// read is reported and skipped; its rest is passed over without being held.
pub(super) fn each_line(
    path: &Path,
    bounds: Bounds<'_>,
    take: &mut dyn FnMut(u64, Line<'_>) -> Result<(), Halt>,
) -> Result<(), Halt> {
    let file = File::open(path)?;
    let most = bounds.limits.file_bytes;
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, file.take(most.saturating_add(1)));
    let start = reader.fill_buf()?;
    if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
        let text = whole(path, bounds)?;
        for (number, line) in (1..).zip(text.lines()) {
            take(number, Ok(line))?;
        }
        return Ok(());
    }
    let mut line = Vec::new();
    let mut read = 0;
    for number in 1.. {
        line.clear();
        let got = bounded_line(&mut reader, &mut line, bounds)?;
        read += got.bytes;
        if got.bytes == 0 {
            break;
        }
        if read > most {
            return Err(Halt::Left(bounds.too_large()));
        }
        if got.is_long {
            take(number, Err(bounds.long_line()))?;
            continue;
        }
        let bytes = line.strip_suffix(b"\n").unwrap_or(&line);
        let bytes = if number == 1 { bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes) } else { bytes };
        match std::str::from_utf8(bytes) {
            Ok(text) => take(number, Ok(text))?,
            Err(_) => take(number, Err(not_utf8(bytes)))?,
        }
    }
    Ok(())
}

struct Got {
    bytes: u64,
    is_long: bool,
}

/// Reads to the next line end. Keeps at most `limits.line_bytes` and passes over the rest.
fn bounded_line(reader: &mut impl BufRead, line: &mut Vec<u8>, bounds: Bounds<'_>) -> Result<Got, Halt> {
    let mut got = Got { bytes: 0, is_long: false };
    loop {
        bounds.check_stop()?;
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if buffer.is_empty() {
            return Ok(got);
        }
        let end = memchr(b'\n', buffer);
        let taken = end.map_or(buffer.len(), |end| end + 1);
        let content = taken - usize::from(end.is_some());
        got.is_long |= count(line.len() + content) > bounds.limits.line_bytes;
        if !got.is_long {
            line.extend_from_slice(buffer.get(..taken).unwrap_or_default());
        }
        reader.consume(taken);
        got.bytes += count(taken);
        if end.is_some() {
            return Ok(got);
        }
    }
}

const UTF8_MARK: &[u8] = &[0xEF, 0xBB, 0xBF];

/// UTF-8 with or without a byte order mark, and UTF-16 with one.
fn decode(mut bytes: Vec<u8>) -> Result<String, Halt> {
    let utf32 = bytes.starts_with(&[0xFF, 0xFE, 0, 0]) || bytes.starts_with(&[0, 0, 0xFE, 0xFF]);
    if utf32 {
        return Err(Halt::left(Reason::Encoding, "is in UTF-32; save it as UTF-8"));
    }
    if bytes.starts_with(UTF8_MARK) {
        bytes.drain(..UTF8_MARK.len());
    }
    let text = match bytes.as_slice() {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        _ => String::from_utf8(bytes).map_err(|error| Halt::Left(not_utf8(error.as_bytes())))?,
    };
    if memchr(0, text.as_bytes()).is_some() {
        let because = "has bytes of value 0: it is no text, or UTF-16 without its byte order mark";
        return Err(Halt::left(Reason::Encoding, because));
    }
    Ok(text)
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Halt> {
    let broken = || Halt::left(Reason::Encoding, "is broken UTF-16");
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(broken());
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<Result<String, _>>()
        .map_err(|_| broken())
}

/// Bytes that are not UTF-8. Decoding them by a guess would put wrong letters into a model, so a person decides.
fn not_utf8(bytes: &[u8]) -> Left {
    let is_text = !bytes.iter().any(|byte| matches!(byte, 0..=8 | 14..=26 | 28..=31));
    let because = if is_text {
        "is not UTF-8, but perhaps Latin-1 or Windows-1252; save it as UTF-8"
    } else {
        "is not UTF-8, and looks like no text"
    };
    Left::new(Reason::Encoding, because)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String, String> {
        decode(bytes.to_vec()).map_err(|halt| match halt {
            Halt::Left(left) => left.because,
            Halt::Error(error) => error.to_string(),
        })
    }

    #[test]
    fn encodings_that_say_what_they_are_are_read() {
        assert_eq!(decoded(b"\xEF\xBB\xBFa\xC3\xA4").unwrap(), "aä");
        assert_eq!(decoded(b"\xFF\xFEa\0\xE4\0").unwrap(), "aä");
        assert_eq!(decoded(b"\xFE\xFF\0a\xD8\x3D\xDE\x00").unwrap(), "a😀");
        assert_eq!(decoded(b"").unwrap(), "");
    }

    #[test]
    fn the_others_are_named() {
        for (bytes, said) in [
            (&b"Gr\xFC\xDFe"[..], "Latin-1"),
            (b"\x89PNG\x1A\0", "no text"),
            (b"a\0b\0", "value 0"),
            (b"\xFF\xFEa", "broken UTF-16"),
            (b"\xFF\xFE\0\xD8", "broken UTF-16"),
            (b"\xFF\xFE\0\0a\0\0\0", "UTF-32"),
        ] {
            let because = decoded(bytes).unwrap_err();
            assert!(because.contains(said), "{because}");
        }
    }
}
