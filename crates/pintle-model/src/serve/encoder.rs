//! An encoder behind the gateway. Requests are read and their texts encoded at once; the embeddings are computed by a
//! worker, in turns, and the body of the answer waits for them.

use std::{path::Path, sync::Arc};

use pintle_core::DataClass;
use pintle_llm::{Endpoint, LocalAnswer, LocalModel};
use serde_json::Value;

use super::{
    completions::Given,
    embeddings::{self, EmbeddingAsk, Form},
    fields::{Refusal, document},
    tokens::Desk,
    turns::{Full, Pick, Turns},
};
use crate::{ModelError, encode::EncoderModel};

/// The text of one request: so much is encoded before anything else goes on.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// A text with more bytes for each token that is read does not fit, or is no text. The tokeniser takes some hundred bytes of
/// memory for each.
const TOKEN_BYTES_MAX: usize = 128;
/// The tokens of one request, as OpenAI allows.
const TOKENS_MAX: usize = 300_000;
/// Nobody is sent away for longer.
const RETRY_AFTER_S_MAX: usize = 30;
/// About so many tokens a second are read by a small encoder on one processor.
const TOKENS_PER_SECOND: usize = 4096;

/// How an encoder is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Threads that compute; from 1 to 64.
    pub threads: usize,
    /// Requests that are on their way at once; one more is sent away. From 1 to 4,096.
    pub requests_max: usize,
}

impl Default for EncoderSettings {
    fn default() -> Self {
        EncoderSettings { threads: 1, requests_max: 64 }
    }
}

/// One encoder at work. Dropping it takes no more requests; those on their way come to their end.
pub struct ServedEncoder {
    model: Arc<EncoderModel>,
    turns: Arc<Turns>,
    desk: Desk,
    name: Arc<str>,
    class: DataClass,
}

impl std::fmt::Debug for ServedEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServedEncoder")
            .field("name", &self.name)
            .field("class", &self.class)
            .field("requests", &self.turns.len())
            .finish_non_exhaustive()
    }
}

impl ServedEncoder {
    /// Loads an encoder's folder and starts its worker. Reads all weights, so it takes a while. Answers call the model
    /// `name`; `class` is that of what it was trained on.
    ///
    /// # Errors
    /// Those of [`EncoderModel::load`], and settings out of their bounds.
    pub fn open(
        folder: &Path,
        name: &str,
        class: DataClass,
        settings: EncoderSettings,
    ) -> Result<Arc<Self>, ModelError> {
        let fail = |field: &'static str, why: &'static str| Err(ModelError::Config { field, why });
        if !(1..=64).contains(&settings.threads) {
            return fail("threads", "it must be between 1 and 64");
        }
        if !(1..=4096).contains(&settings.requests_max) {
            return fail("requests_max", "it must be between 1 and 4,096");
        }
        let model = Arc::new(EncoderModel::load(folder)?);
        let tokeniser = Arc::clone(model.tokeniser());
        let desk = Desk::new(&tokeniser, model.tokens_max(), model.config().vocab_size, tokeniser.bos())?;
        let turns = Arc::new(Turns::new(settings.requests_max));
        let name: Arc<str> = name.into();
        let worker = Worker {
            model: Arc::clone(&model),
            turns: Arc::clone(&turns),
            name: Arc::clone(&name),
            threads: settings.threads,
        };
        std::thread::Builder::new()
            .name("encoder".into())
            .spawn(move || worker.run())
            .map_err(|_| ModelError::Worker)?;
        Ok(Arc::new(ServedEncoder { model, turns, desk, name, class }))
    }

    fn embed(&self, body: &Value) -> Result<LocalAnswer, Refusal> {
        let EmbeddingAsk { inputs, is_base64 } = EmbeddingAsk::read(body, self.model.dimensions())?;
        let many = inputs.len() > 1;
        let param = |index: usize| if many { format!("input[{index}]") } else { "input".to_owned() };
        let (mut texts, mut bytes, mut tokens) = (Vec::with_capacity(inputs.len()), 0_usize, 0_usize);
        for (index, given) in inputs.into_iter().enumerate() {
            if let Given::Text(text) = &given {
                bytes = bytes.saturating_add(text.len());
            }
            if bytes > TEXT_BYTES_MAX {
                let message =
                    "`input`: a request may have at most 1 MiB of text; hint: send it in several requests";
                return Err(Refusal::overflow("input", message.to_owned()));
            }
            let text = self.tokens(given, &param(index))?;
            tokens += text.len();
            if tokens > TOKENS_MAX {
                let message = format!(
                    "`input`: a request may have at most {TOKENS_MAX} tokens; hint: send it in several requests"
                );
                return Err(Refusal::overflow("input", message));
            }
            texts.push(text);
        }
        let awaited = self.turns.push(texts, Form { is_base64, tokens }).map_err(refusal)?;
        Ok(LocalAnswer { status: 200, retry_after_s: None, body: Box::pin(awaited) })
    }

    /// The tokens of one input. Tokens that were given are taken as they are: with nothing around them.
    fn tokens(&self, given: Given, param: &str) -> Result<Vec<u32>, Refusal> {
        let max = self.model.tokens_max();
        let tokens = match given {
            Given::Tokens(tokens) => {
                let vocabulary = self.model.config().vocab_size;
                if tokens.iter().any(|id| *id as usize >= vocabulary) {
                    return Err(Refusal::invalid(param, "ids of the model's vocabulary"));
                }
                tokens
            }
            Given::Text(text) if text.trim().is_empty() => {
                return Err(Refusal::invalid(param, "a text that is not empty"));
            }
            Given::Text(text) if text.len() > max.saturating_mul(TOKEN_BYTES_MAX) => {
                let message = format!(
                    "`{param}`: {} bytes are more than the {max} tokens that this model reads; hint: cut the text into parts",
                    text.len()
                );
                return Err(Refusal::overflow(param, message));
            }
            Given::Text(text) => {
                let tokens = self.model.tokeniser().encode_prompt(&text);
                tokens.map_err(|error| Refusal::text(param, &error))?
            }
        };
        if tokens.is_empty() {
            return Err(Refusal::invalid(param, "a text that is not empty"));
        }
        if tokens.len() > max {
            let message = format!(
                "`{param}`: {} tokens are more than the {max} that this model reads; hint: cut the text into parts",
                tokens.len()
            );
            return Err(Refusal::overflow(param, message));
        }
        Ok(tokens)
    }
}

impl Drop for ServedEncoder {
    fn drop(&mut self) {
        self.turns.close();
    }
}

fn refusal(full: Full) -> Refusal {
    match full {
        Full::Busy { requests, tokens } => {
            let message = format!(
                "the model is busy: {requests} requests are on their way; hint: try again in a moment"
            );
            let seconds = tokens.div_ceil(TOKENS_PER_SECOND).clamp(1, RETRY_AFTER_S_MAX);
            Refusal::busy(message, seconds as u64)
        }
        Full::Stopped => Refusal::server("engine_stopped", "the model's engine has stopped"),
    }
}

impl LocalModel for ServedEncoder {
    fn trained_on(&self) -> DataClass {
        self.class
    }

    fn offers(&self, endpoint: Endpoint) -> bool {
        !matches!(endpoint, Endpoint::Chat | Endpoint::Completions)
    }

    fn embeddings(&self, body: &Value) -> LocalAnswer {
        self.embed(body).unwrap_or_else(Refusal::into_answer)
    }

    fn tokenize(&self, body: &Value) -> LocalAnswer {
        self.desk.tokenise(body).map_or_else(Refusal::into_answer, |value| document(&value))
    }

    fn detokenize(&self, body: &Value) -> LocalAnswer {
        self.desk.detokenise(body).map_or_else(Refusal::into_answer, |value| document(&value))
    }

    fn tokenizer_info(&self) -> LocalAnswer {
        document(&self.desk.settings())
    }

    fn text_of(&self, tokens: &[u32]) -> Option<String> {
        let text = self.desk.text_of(tokens)?;
        // Pieces of words and marks have lost the spaces between them: an address would come out as `a @ b. com`, which
        // no scanner knows. So both forms are there to be scanned.
        let glued = glue(&text);
        Some(if glued == text { text } else { format!("{text}\n{glued}") })
    }
}

/// A text without the spaces beside its marks.
fn glue(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let mut out = String::with_capacity(text.len());
    for word in words {
        let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        if is_word(out.chars().next_back()) && is_word(word.chars().next()) {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// The thread that computes; it has helpers of its own within a turn.
struct Worker {
    model: Arc<EncoderModel>,
    turns: Arc<Turns>,
    name: Arc<str>,
    threads: usize,
}

/// Whatever ends the thread, nobody keeps waiting for it.
struct Abandon(Arc<Turns>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Worker {
    fn run(&self) {
        let _abandon = Abandon(Arc::clone(&self.turns));
        while let Some(picks) = self.turns.take() {
            self.turn(picks);
        }
    }

    fn turn(&self, picks: Vec<Pick>) {
        let texts: Vec<&[u32]> = picks.iter().map(|pick| pick.tokens.as_slice()).collect();
        let is_wanted = || picks.iter().any(|pick| !pick.teller.has_left());
        match self.model.encode_while(&texts, self.threads, &is_wanted) {
            Ok(Some(embeddings)) => {
                let complete = self.turns.put(picks.into_iter().zip(embeddings));
                for complete in complete.into_iter().filter(|complete| !complete.teller.has_left()) {
                    let answer = embeddings::document(&complete.embeddings, &complete.form, &self.name);
                    complete.teller.tell(answer);
                }
            }
            // All callers of this turn have left.
            Ok(None) => {}
            Err(error) => {
                tracing::error!(model = %self.name, %error, "embeddings could not be computed");
                self.turns.fail(&picks);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_come_together_again() {
        assert_eq!(glue("write to a @ b. com, iban de89 3704 0044"), "write to a@b.com,iban de89 3704 0044");
        assert_eq!(glue("a - b"), "a-b");
        assert_eq!(glue(" "), "");
    }
}
