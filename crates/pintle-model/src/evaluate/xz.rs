//! What `xz` makes of the held-out text, alone and knowing the training text.
//!
//! The encoder is `lzma-rust2`: a port of the reference implementation to Rust, two small packages more than there
//! were, without C to build and, in the features taken here, without unsafe code. Its effort is that of `xz -9e`, and
//! its dictionary holds the whole text, so that everything can be referred to.

use std::io::{self, Write};

use lzma_rust2::{XzOptions, XzWriter};

const DICTIONARY_MIN: u64 = 1 << 16;
const DICTIONARY_MAX: u64 = 1 << 27;
/// The effort of `xz -9e`: the longest match that ends the search, and how far the search goes.
const NICE_LENGTH: u32 = 273;
const DEPTH: i32 = 512;

/// Bytes of one `.xz` file over the texts one after the other.
pub(super) fn compressed_bytes<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> io::Result<u64> {
    let bytes: u64 = texts.clone().map(|text| text.len() as u64).sum();
    let dictionary = bytes.next_power_of_two().clamp(DICTIONARY_MIN, DICTIONARY_MAX);
    let mut options = XzOptions::with_preset(9);
    options.lzma_options.dict_size = u32::try_from(dictionary).map_err(io::Error::other)?;
    options.lzma_options.nice_len = NICE_LENGTH;
    options.lzma_options.depth_limit = DEPTH;
    let mut writer = XzWriter::new(Counter(0), options)?;
    for text in texts {
        writer.write_all(text.as_bytes())?;
    }
    Ok(writer.finish()?.0)
}

/// Counts what is written and keeps nothing.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_before_costs_little() {
        let text: String = (0..2000_u32).map(|n| format!("{:x} ", n.wrapping_mul(2_654_435_761))).collect();
        let once = compressed_bytes([text.as_str()].into_iter()).unwrap();
        let twice = compressed_bytes([text.as_str(), text.as_str()].into_iter()).unwrap();
        assert!(once > 5_000, "{once}");
        assert!(twice - once < 100, "{}", twice - once);
        // An empty file has a header, an index and a footer.
        assert_eq!(compressed_bytes([""].into_iter()).unwrap(), 32);
    }
}
