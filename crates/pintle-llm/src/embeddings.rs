//! The answer to `POST /v1/embeddings`. Vectors are not texts, and there may be millions of numbers, so they are neither
//! parsed nor scanned: it is checked that they are numbers (or Base64) and nothing else, and whatever else the provider
//! wrote is left out.

use std::borrow::Cow;

use bytes::Bytes;
use pintle_core::TokenUsage;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    error::AnswerError,
    fault::{ProviderFault, to_bytes},
    usage,
};

/// A longer name is none.
const MODEL_BYTES_MAX: usize = 256;

/// Embeddings, checked and written anew. Its `Debug` shows no vector.
pub struct EmbeddingsAnswer {
    body: Bytes,
    vectors: usize,
    usage: Option<TokenUsage>,
}

impl std::fmt::Debug for EmbeddingsAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddingsAnswer")
            .field("vectors", &self.vectors)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What is read of a provider's answer.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<Vec<ReceivedVector<'a>>>,
    usage: Option<ReceivedUsage>,
}

#[derive(Deserialize)]
struct ReceivedVector<'a> {
    index: Option<u32>,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

#[derive(Deserialize)]
struct ReceivedUsage {
    prompt_tokens: Option<u64>,
}

#[derive(Serialize)]
struct Given<'a> {
    object: &'static str,
    data: Vec<GivenVector<'a>>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<GivenUsage>,
}

#[derive(Serialize)]
struct GivenVector<'a> {
    object: &'static str,
    index: u32,
    embedding: &'a RawValue,
}

#[derive(Serialize)]
struct GivenUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

impl EmbeddingsAnswer {
    /// Reads the body of a provider's answer.
    ///
    /// # Errors
    /// When it is not such an answer, reports an error, or holds anything but numbers or Base64 for a vector.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| AnswerError::InvalidJson { reason: "it is not UTF-8" })?;
        let received: Received<'_> = serde_json::from_str(text)
            .map_err(|_| AnswerError::InvalidJson { reason: "it is not an answer with embeddings" })?;
        let Some(data) = received.data else {
            let fault = ProviderFault::parse(bytes);
            if fault != ProviderFault::default() {
                return Err(AnswerError::Provider(fault));
            }
            return Err(AnswerError::Shape { path: "data", expected: "an array of embeddings" });
        };
        let model = received.model.unwrap_or_default();
        let is_name = model.len() <= MODEL_BYTES_MAX && !model.chars().any(char::is_control);
        let mut vectors = Vec::with_capacity(data.len());
        for (at, vector) in data.iter().enumerate() {
            if !is_vector(vector.embedding.get()) {
                return Err(AnswerError::Shape { path: "data[].embedding", expected: "numbers or Base64" });
            }
            let index = vector.index.unwrap_or_else(|| u32::try_from(at).unwrap_or(u32::MAX));
            vectors.push(GivenVector { object: "embedding", index, embedding: vector.embedding });
        }
        let usage = received.usage.and_then(|usage| usage.prompt_tokens).and_then(usage::of_input);
        let given = Given {
            object: "list",
            data: vectors,
            model: if is_name { &model } else { "" },
            usage: usage.map(|usage| GivenUsage { prompt_tokens: usage.input, total_tokens: usage.input }),
        };
        let body = to_bytes(&given, bytes.len() + 128);
        Ok(EmbeddingsAnswer { body, vectors: given.data.len(), usage })
    }

    /// How many vectors there are.
    #[must_use]
    pub const fn vectors(&self) -> usize {
        self.vectors
    }

    /// What the provider says the call used; `None` if it says nothing usable.
    #[must_use]
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// The body to give back.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.body
    }
}

/// Whether a JSON value is a flat array of numbers, or a string of Base64.
fn is_vector(json: &str) -> bool {
    let is_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE, \t\r\n".contains(&byte);
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte);
    // It is JSON already, so what stands between numbers is what separates them.
    let within = |open, close| json.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    within('[', ']').is_some_and(|inner| inner.bytes().all(is_number))
        || within('"', '"').is_some_and(|inner| inner.bytes().all(is_base64))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn vectors_pass_to_the_last_digit_and_nothing_beside_them() {
        let text = r#"{"id":"e","note":"call +49 30 1234567","model":"m-1","data":[
            {"object":"embedding","embedding":[-0.006929283495992422, 1e-7,0],"index":0,"x":"text"},
            {"index":1,"embedding":"AAAA/+="}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#;
        let answer = EmbeddingsAnswer::parse(text.as_bytes()).unwrap();
        assert_eq!((answer.vectors(), answer.usage().unwrap().input), (2, 5));
        let body = answer.into_bytes();
        assert!(std::str::from_utf8(&body).unwrap().contains("[-0.006929283495992422, 1e-7,0]"));
        let expected = json!({ "object": "list", "model": "m-1", "usage": { "prompt_tokens": 5, "total_tokens": 5 },
            "data": [{ "object": "embedding", "index": 0, "embedding": [-0.006_929_283_495_992_422, 1e-7, 0] },
                     { "object": "embedding", "index": 1, "embedding": "AAAA/+=" }] });
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }

    #[test]
    fn anything_else_in_a_vectors_place_is_refused() {
        for vector in [r#"["x"]"#, "[[1]]", "{}", "null", "true", r#""two words""#, r#""\u0041""#, "[null]"] {
            let body = format!(r#"{{"data":[{{"embedding":{vector}}}]}}"#);
            assert!(EmbeddingsAnswer::parse(body.as_bytes()).is_err(), "{vector}");
        }
        let fault = br#"{"error":{"message":"x","type":"server_error","code":"busy"}}"#;
        assert!(matches!(EmbeddingsAnswer::parse(fault), Err(AnswerError::Provider(_))));
        assert!(matches!(EmbeddingsAnswer::parse(b"{}"), Err(AnswerError::Shape { .. })));
    }
}
