//! Embeddings in OpenAI's form: what was asked for, and the document that answers it.

use bytes::Bytes;
use pintle_llm::LocalBroken;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::{
    completions::{Given, texts},
    fields::{Fields, Refusal},
};

/// As OpenAI allows.
const INPUTS_MAX: usize = 2048;
const FIELDS: [&str; 3] = ["input", "encoding_format", "dimensions"];

/// How numbers are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// Whether each embedding is one base64 text: its numbers in single precision, little-endian.
    pub(super) is_base64: bool,
    /// Tokens of all texts.
    pub(super) tokens: usize,
}

/// What is asked for.
pub(super) struct EmbeddingAsk {
    pub(super) inputs: Vec<Given>,
    pub(super) is_base64: bool,
}

impl EmbeddingAsk {
    /// `dimensions` is how many numbers the model gives.
    pub(super) fn read(body: &Value, dimensions: usize) -> Result<Self, Refusal> {
        let fields = Fields::of(body)?;
        fields.refuse_others(&FIELDS)?;
        let is_base64 = match fields.get("encoding_format").map(Value::as_str) {
            None | Some(Some("float")) => false,
            Some(Some("base64")) => true,
            Some(_) => return Err(Refusal::invalid("encoding_format", "`float` or `base64`")),
        };
        // Only models that were trained for it give good embeddings when they are cut.
        let asked = fields.whole("dimensions", 1..=u32::MAX)?;
        if asked.is_some_and(|asked| asked as usize != dimensions) {
            let why = format!(
                "this model gives {dimensions} numbers, and fewer of them would not be as good; hint: leave it out"
            );
            return Err(Refusal::unsupported("dimensions", &why));
        }
        Ok(EmbeddingAsk { inputs: texts(fields, "input", INPUTS_MAX)?, is_base64 })
    }
}

#[derive(Serialize)]
struct Document<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Entry<'a> {
    object: &'static str,
    index: usize,
    embedding: Numbers<'a>,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

struct Numbers<'a> {
    values: &'a [f32],
    is_base64: bool,
}

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_base64 {
            let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            serializer.serialize_str(&base64(&bytes))
        } else {
            self.values.serialize(serializer)
        }
    }
}

/// The answer's document; none where the network gave something else than numbers.
pub(super) fn document(embeddings: &[Vec<f32>], form: &Form, model: &str) -> Result<Bytes, LocalBroken> {
    if !embeddings.iter().flatten().all(|value| value.is_finite()) {
        tracing::error!(model, "an embedding is not made of numbers: the model's weights are broken");
        return Err(LocalBroken);
    }
    let data = embeddings.iter().enumerate().map(|(index, values)| Entry {
        object: "embedding",
        index,
        embedding: Numbers { values, is_base64: form.is_base64 },
    });
    let usage = Usage { prompt_tokens: form.tokens, total_tokens: form.tokens };
    let document = Document { object: "list", data: data.collect(), model, usage };
    serde_json::to_vec(&document).map(Bytes::from).map_err(|_| LocalBroken)
}

/// RFC 4648's base64, filled up.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4_usize {
            let index = bits >> (18 - 6 * letter) & 0x3F;
            let shown = LETTERS.get(index as usize).filter(|_| letter <= group.len());
            text.push(shown.map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let expected = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(texts.map(|text| base64(text.as_bytes())), expected);
        assert_eq!(base64(&[0xFF, 0xEF, 0xBE]), "/+++");
    }
}
