//! What is asked of a model beside chatting: completions, embeddings, and the work of its tokeniser. Parsed once,
//! scanned, rewritten, sent, as a chat is.
//!
//! Token ids may stand in place of a text. They are content like any other, but only the model that they are meant for
//! knows which: its reading ([`PromptRequest::read`]) is what the guard sees. Ids that nobody has read are unscannable.

use bytes::Bytes;
use pintle_core::Place;
use serde_json::Value;

use crate::{
    chat::{OpenAiBody, Unscannable, with_usage},
    endpoint::Endpoint,
    error::{RequestError, RewriteError},
    estimate::estimate_tokens,
    fault::to_bytes,
    json,
    validate::{self, Object},
    walk::{self, Rewriter, Side, Step, TextField},
};

/// As many as OpenAI takes at once.
const INPUTS_MAX: usize = 2_048;
/// What OpenAI's completions generate where the client names no bound.
pub(crate) const COMPLETION_TOKENS_MAX: u64 = 16;

/// The settings that the gateway acts on.
#[derive(Debug, Clone, Default)]
struct View {
    model: Option<Box<str>>,
    stream: bool,
    include_usage: bool,
    echo: bool,
    answers: u32,
    max_output: Option<u64>,
    /// Texts, or lists of ids in place of texts.
    inputs: u32,
}

/// A parsed and valid request other than a chat. It keeps the whole document; its `Debug` shows no content.
#[derive(Clone)]
pub struct PromptRequest {
    endpoint: Endpoint,
    /// INVARIANT: an object.
    body: Value,
    view: View,
    readings: Readings,
    received_bytes: usize,
}

/// What the token ids of a request mean to one model. Its `Debug` shows no content.
#[derive(Clone, Default, PartialEq)]
pub struct Readings(Vec<Reading>);

impl std::fmt::Debug for Readings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Readings({})", self.0.len())
    }
}

#[derive(Clone, PartialEq)]
struct Reading {
    /// The element of the input field; `None` where the field itself is the list of ids.
    at: Option<usize>,
    /// A string, so that it is walked as one that came as text.
    text: Value,
}

impl std::fmt::Debug for PromptRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PromptRequest")
            .field("endpoint", &self.endpoint)
            .field("stream", &self.stream())
            .field("inputs", &self.view.inputs)
            .field("readings", &self.readings)
            .field("received_bytes", &self.received_bytes)
            .finish_non_exhaustive()
    }
}

impl PromptRequest {
    pub(crate) fn parse(endpoint: Endpoint, bytes: &[u8]) -> Result<Self, RequestError> {
        let mut body = match json::parse(bytes)? {
            Value::Object(body) => body,
            other => return Err(RequestError::invalid("body", "an object", &other)),
        };
        let view = view(endpoint, &body)?;
        if view.stream {
            // The call has to be accounted for. What is added is a constant, so nothing is sent unscanned.
            let options = with_usage(body.get("stream_options").unwrap_or(&Value::Null));
            body.insert("stream_options".to_owned(), Value::Object(options));
        }
        let readings = Readings::default();
        let received_bytes = bytes.len();
        Ok(PromptRequest { endpoint, body: Value::Object(body), view, readings, received_bytes })
    }

    /// What it asks for.
    #[must_use]
    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The whole document, with streams asked for their usage. Always an object.
    #[must_use]
    pub const fn body(&self) -> &Value {
        &self.body
    }

    /// Length of the client's bytes.
    #[must_use]
    pub const fn received_bytes(&self) -> usize {
        self.received_bytes
    }

    /// The model that the client asks for; not yet checked against anything.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.view.model.as_deref()
    }

    /// Whether the answer is to be streamed.
    #[must_use]
    pub const fn stream(&self) -> bool {
        self.view.stream
    }

    /// Whether the client asked for a usage chunk at the stream's end.
    #[must_use]
    pub const fn wants_usage_chunk(&self) -> bool {
        self.view.include_usage
    }

    /// How many choices the answer has, over all prompts.
    #[must_use]
    pub const fn choices(&self) -> u32 {
        self.view.inputs.saturating_mul(self.view.answers)
    }

    /// The client's bound on each choice.
    #[must_use]
    pub const fn max_output_tokens(&self) -> Option<u64> {
        self.view.max_output
    }

    /// The name of the field that holds texts, or token ids in place of texts; empty where there is none.
    #[must_use]
    pub fn input_field(&self) -> &'static str {
        self.endpoint.input_field().unwrap_or_default()
    }

    fn fields(&self) -> Option<&Object> {
        self.body.as_object()
    }

    fn input(&self) -> Option<&Value> {
        self.body.get(self.endpoint.input_field()?)
    }

    /// The lists of token ids, each with its place in the input field.
    fn token_lists(&self) -> Vec<(Option<usize>, &[Value])> {
        let Some(Value::Array(list)) = self.input() else { return Vec::new() };
        if self.endpoint == Endpoint::Detokenize || list.first().is_some_and(Value::is_number) {
            return vec![(None, list)];
        }
        let lists = list.iter().enumerate();
        lists.filter_map(|(at, item)| Some((Some(at), item.as_array()?.as_slice()))).collect()
    }

    /// Whether token ids stand in place of a text.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        !self.token_lists().is_empty()
    }

    /// What the ids mean to the model whose `text_of` is given; `None` if it does not know one of them.
    #[must_use]
    pub fn read(&self, text_of: &dyn Fn(&[u32]) -> Option<String>) -> Option<Readings> {
        let reading = |(at, list): (Option<usize>, &[Value])| {
            let ids: Option<Vec<u32>> = list.iter().map(id).collect();
            Some(Reading { at, text: Value::String(text_of(&ids?)?) })
        };
        self.token_lists().into_iter().map(reading).collect::<Option<_>>().map(Readings)
    }

    /// Takes a reading over: from now on it is among the texts.
    pub fn set_readings(&mut self, readings: Readings) {
        self.readings = readings;
    }

    /// Lists of token ids that nobody has read.
    #[must_use]
    pub fn unscannable_parts(&self) -> Vec<Unscannable> {
        let is_read = |at: &Option<usize>| self.readings.0.iter().any(|reading| reading.at == *at);
        let lists = self.token_lists().into_iter().map(|(at, _)| at);
        let path = |at| at_input(self.endpoint, at, |step| step.to_string());
        lists
            .filter(|at| !is_read(at))
            .map(|at| Unscannable { place: Place { message: None, path: path(at).into() }, what: "tokens" })
            .collect()
    }

    /// Visits every text of the document, and what its token ids mean; see [`crate::ChatRequest::for_each_text`].
    pub fn for_each_text(&self, f: &mut dyn FnMut(&TextField<'_>)) {
        if let Some(fields) = self.fields() {
            walk::visit_map(Side::Request, fields, &Step::root(), f);
        }
        for Reading { at, text } in &self.readings.0 {
            at_input(self.endpoint, *at, |step| walk::visit(Side::Request, text, step, f));
        }
    }

    /// Rewrites texts: `f` gives the new text or `None`. Where the meaning of token ids changes, the new text takes their
    /// place. Gives the number of texts changed.
    ///
    /// # Errors
    /// When the name of a field would have to change. The request is then half rewritten and must not be sent.
    pub fn map_texts(
        &mut self,
        f: &mut dyn FnMut(&TextField<'_>) -> Option<String>,
    ) -> Result<usize, RewriteError> {
        let mut rewriter = Rewriter { side: Side::Request, f, changed: 0 };
        rewriter.value(&mut self.body, &Step::root())?;
        let mut kept = Vec::new();
        for mut reading in std::mem::take(&mut self.readings.0) {
            let before = rewriter.changed;
            at_input(self.endpoint, reading.at, |step| rewriter.value(&mut reading.text, step))?;
            if rewriter.changed == before {
                kept.push(reading);
            } else if let Some(slot) = self.slot(reading.at) {
                *slot = reading.text;
            }
        }
        self.readings.0 = kept;
        Ok(rewriter.changed)
    }

    /// Where a list of ids stands.
    fn slot(&mut self, at: Option<usize>) -> Option<&mut Value> {
        let input = self.body.get_mut(self.endpoint.input_field()?)?;
        match at {
            None => Some(input),
            Some(at) => input.get_mut(at),
        }
    }

    /// Guesses the input tokens, upwards; token ids are counted.
    #[must_use]
    pub fn estimate_input_tokens(&self) -> u64 {
        if self.endpoint.is_tokenisers() {
            return 0;
        }
        match self.input() {
            Some(Value::Array(list)) if list.first().is_some_and(Value::is_number) => list.len() as u64,
            Some(Value::Array(list)) => list.iter().map(input_tokens).sum(),
            Some(one) => input_tokens(one),
            None => 0,
        }
    }

    /// Guesses how many tokens of the prompts the answer repeats: all of them in each choice, with `echo`.
    #[must_use]
    pub fn estimate_echoed_tokens(&self) -> u64 {
        let prompts = if self.view.echo { self.estimate_input_tokens() } else { 0 };
        prompts.saturating_mul(u64::from(self.view.answers))
    }

    /// The body to send to an OpenAI-compatible provider: this document with `model` set.
    #[must_use]
    pub fn to_openai_body(&self, model: &str) -> Bytes {
        let Some(body) = self.fields() else { return Bytes::new() };
        to_bytes(&OpenAiBody { body, model, force_usage: false }, self.received_bytes + 64)
    }
}

/// The steps to an element of the input field, or to the field itself.
fn at_input<T>(endpoint: Endpoint, at: Option<usize>, run: impl FnOnce(&Step<'_>) -> T) -> T {
    let root = Step::root();
    let field = root.key(endpoint.input_field().unwrap_or_default(), 0);
    match at {
        None => run(&field),
        Some(at) => run(&field.index(at)),
    }
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn input_tokens(input: &Value) -> u64 {
    match input {
        Value::String(text) => estimate_tokens(text),
        Value::Array(ids) => ids.len() as u64,
        _ => 0,
    }
}

/// Checks the document and reads its settings.
fn view(endpoint: Endpoint, body: &Object) -> Result<View, RequestError> {
    let view = View { answers: 1, inputs: 1, ..View::default() };
    match endpoint {
        Endpoint::Completions => Ok(View {
            model: Some(validate::model(body)?.into()),
            stream: validate::boolean(body.get("stream"), "stream")?,
            include_usage: validate::include_usage(body)?,
            echo: validate::boolean(body.get("echo"), "echo")?,
            answers: validate::answers(body.get("n"))?,
            max_output: max_output(body)?,
            inputs: inputs(body, "prompt")?,
        }),
        Endpoint::Embeddings => {
            Ok(View { model: Some(validate::model(body)?.into()), inputs: inputs(body, "input")?, ..view })
        }
        Endpoint::Tokenize => {
            tokenised(body)?;
            Ok(View { model: optional_model(body)?, ..view })
        }
        Endpoint::Detokenize => {
            ids(body)?;
            Ok(View { model: optional_model(body)?, ..view })
        }
        Endpoint::TokenizerInfo | Endpoint::Chat => Ok(View { model: optional_model(body)?, ..view }),
    }
}

fn optional_model(body: &Object) -> Result<Option<Box<str>>, RequestError> {
    match body.get("model") {
        None | Some(Value::Null) => Ok(None),
        Some(_) => validate::model(body).map(|model| Some(model.into())),
    }
}

/// OpenAI allows none at all, for the log-probabilities of the prompt alone.
fn max_output(body: &Object) -> Result<Option<u64>, RequestError> {
    match body.get("max_tokens") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| RequestError::InvalidField {
            param: "max_tokens".into(),
            expected: "a whole number",
            found: validate::number_found(value),
        }),
    }
}

/// How many inputs there are: a text, a list of token ids, or a list of either.
fn inputs(body: &Object, field: &'static str) -> Result<u32, RequestError> {
    const EXPECTED: &str = "a string, an array of token ids, or an array of 1 to 2048 of either";
    const ELEMENT: &str = "a string, or an array of token ids";
    let list = match body.get(field) {
        None | Some(Value::Null) => {
            let hint = "send a text, token ids, or an array of either";
            return Err(RequestError::MissingField { param: field.into(), hint });
        }
        Some(Value::String(_)) => return Ok(1),
        Some(Value::Array(list)) => list,
        Some(other) => return Err(RequestError::invalid(field, EXPECTED, other)),
    };
    if list.first().is_some_and(Value::is_number) {
        return check_ids(list, || field.to_owned()).map(|()| 1);
    }
    if list.is_empty() || list.len() > INPUTS_MAX {
        return Err(validate::too_many(field, EXPECTED, list.len()));
    }
    for (at, item) in list.iter().enumerate() {
        let param = || format!("{field}[{at}]");
        match item {
            Value::String(_) => {}
            Value::Array(ids) if !ids.is_empty() => check_ids(ids, param)?,
            other => return Err(RequestError::invalid(param(), ELEMENT, other)),
        }
    }
    u32::try_from(list.len()).map_err(|_| validate::too_many(field, EXPECTED, list.len()))
}

fn check_ids(list: &[Value], param: impl Fn() -> String) -> Result<(), RequestError> {
    match list.iter().enumerate().find(|(_, value)| id(value).is_none()) {
        None => Ok(()),
        Some((at, other)) => Err(RequestError::InvalidField {
            param: format!("{}[{at}]", param()),
            expected: "a token's id",
            found: validate::number_found(other),
        }),
    }
}

/// What `POST /detokenize` reads.
fn ids(body: &Object) -> Result<(), RequestError> {
    match body.get("tokens") {
        None | Some(Value::Null) => {
            let hint = "send an array of token ids";
            Err(RequestError::MissingField { param: "tokens".into(), hint })
        }
        Some(Value::Array(list)) => check_ids(list, || "tokens".to_owned()),
        Some(other) => Err(RequestError::invalid("tokens", "an array of token ids", other)),
    }
}

/// What `POST /tokenize` reads: a text, or messages. The rest is the model's to judge, but nothing that the guard does
/// not read as a text may reach its tokeniser.
fn tokenised(body: &Object) -> Result<(), RequestError> {
    let there = |field: &str| body.get(field).filter(|value| !value.is_null());
    match (there("prompt"), there("messages")) {
        (Some(Value::String(_)), None) | (None, Some(Value::Array(_))) => Ok(()),
        (None, None) => {
            let hint = "send a text, or `messages` in place of it";
            Err(RequestError::MissingField { param: "prompt".into(), hint })
        }
        (None, Some(other)) => Err(RequestError::invalid("messages", "an array of messages", other)),
        (Some(other), _) => {
            Err(RequestError::invalid("prompt", "a string, or `messages` in place of it", other))
        }
    }
}
