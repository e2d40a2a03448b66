//! Connections to providers. [`send`] is the one way out of the process for content, and it takes only
//! [`Cleared`] content, to the placement that it was cleared for (I1).

mod dial;
mod simulated;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::Full;
use hyper::body::Incoming;
use pintle_core::{DataClass, Secret};
use pintle_llm::{
    AnyRequest, Endpoint, LocalAnswer, LocalBody, LocalBroken, LocalModel, PromptRequest, RequestError,
};
use pintle_registry::{Placement, Provider, Timeouts};
use tokio::time::Instant;

use crate::{content::Cleared, work::in_place};
pub(crate) use dial::Dialler;
use dial::HttpClient;
pub use dial::UpstreamError;

/// The version of Anthropic's API that requests are converted to.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// The form in which a placement answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    OpenAi,
    Anthropic,
}

/// How to reach one placement.
pub(crate) enum Connector {
    Http(Box<HttpTarget>),
    Local(Arc<dyn LocalModel>),
    Simulated,
}

/// A provider's endpoint, ready to be sent to.
pub(crate) struct HttpTarget {
    client: HttpClient,
    chat: Uri,
    /// Where its dialect has embeddings.
    embeddings: Option<Uri>,
    headers: HeaderMap,
    protocol: Protocol,
    timeouts: Timeouts,
}

impl Connector {
    /// `model` is the version in production, for a placement of an own model.
    pub(crate) fn new(
        dialler: &Dialler,
        placement: &Placement,
        model: Option<Arc<dyn LocalModel>>,
    ) -> Result<Self, UpstreamError> {
        let bad = || UpstreamError::Address { placement: placement.name.clone() };
        let (chat, embeddings, credentials, protocol) = match &placement.provider {
            Provider::Simulated => return Ok(Connector::Simulated),
            Provider::Embedded => {
                let name = || placement.name.clone();
                return model
                    .map(Connector::Local)
                    .ok_or_else(|| UpstreamError::NoModel { placement: name() });
            }
            Provider::OpenAi { base_url, api_key } => {
                let embeddings = Some(join(base_url, "/embeddings"));
                let chat = join(base_url, "/chat/completions");
                (chat, embeddings, bearer(api_key.as_ref()), Protocol::OpenAi)
            }
            Provider::AzureOpenAi { base_url, api_key, api_version } => {
                let at = |what: &str| {
                    let model = &placement.model;
                    let path = format!("/openai/deployments/{model}/{what}?api-version={api_version}");
                    join(base_url, &path)
                };
                let credentials = plain("api-key", api_key.as_ref());
                (at("chat/completions"), Some(at("embeddings")), credentials, Protocol::OpenAi)
            }
            Provider::Anthropic { base_url, api_key } => {
                let credentials = plain("x-api-key", api_key.as_ref());
                (join(base_url, "/messages"), None, credentials, Protocol::Anthropic)
            }
        };
        let chat: Uri = chat.parse().map_err(|_| bad())?;
        let embeddings = embeddings.map(|target| target.parse().map_err(|_| bad())).transpose()?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("pintle/", env!("CARGO_PKG_VERSION"))),
        );
        if protocol == Protocol::Anthropic {
            headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
        }
        if let Some((name, value)) = credentials {
            let mut value = HeaderValue::from_str(&value).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let client = dialler.client(&chat, &placement.timeouts)?;
        let timeouts = placement.timeouts;
        Ok(Connector::Http(Box::new(HttpTarget { client, chat, embeddings, headers, protocol, timeouts })))
    }

    /// Whether the placement can be asked for this.
    pub(crate) fn offers(&self, endpoint: Endpoint) -> bool {
        match (self, endpoint) {
            (Connector::Local(model), _) => model.offers(endpoint),
            (_, Endpoint::Chat) => true,
            (Connector::Http(http), Endpoint::Embeddings) => http.embeddings.is_some(),
            (Connector::Http(_) | Connector::Simulated, _) => false,
        }
    }

    /// The model within the process, if it is one.
    pub(crate) fn local(&self) -> Option<&dyn LocalModel> {
        match self {
            Connector::Local(model) => Some(model.as_ref()),
            Connector::Http(_) | Connector::Simulated => None,
        }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Connector::Http(http) => http.protocol,
            Connector::Local(_) | Connector::Simulated => Protocol::OpenAi,
        }
    }

    /// The longest pause between two pieces of an answer.
    pub(crate) fn idle(&self) -> Duration {
        match self {
            Connector::Http(http) => Duration::from_millis(http.timeouts.idle_ms),
            // A long prompt is read for a while before the first word.
            Connector::Local(_) => Duration::from_secs(120),
            Connector::Simulated => Duration::from_secs(5),
        }
    }

    /// The class of what the model was trained on, as far as it is one of ours.
    pub(crate) fn trained_on(&self) -> DataClass {
        match self {
            Connector::Local(model) => model.trained_on(),
            Connector::Http(_) | Connector::Simulated => DataClass::Public,
        }
    }

    /// Whether it is a model within this process.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Connector::Local(_))
    }

    /// Whether it serves this very version.
    pub(crate) fn serves(&self, model: Option<&Arc<dyn LocalModel>>) -> bool {
        match (self, model) {
            (Connector::Local(served), Some(model)) => Arc::ptr_eq(served, model),
            (Connector::Local(_), None) => false,
            (Connector::Http(_) | Connector::Simulated, _) => true,
        }
    }
}

fn join(base: &Uri, path: &str) -> String {
    format!("{}{path}", base.to_string().trim_end_matches('/'))
}

fn bearer(key: Option<&Secret>) -> Option<(HeaderName, String)> {
    key.map(|key| (header::AUTHORIZATION, format!("Bearer {}", key.expose())))
}

fn plain(name: &'static str, key: Option<&Secret>) -> Option<(HeaderName, String)> {
    key.map(|key| (HeaderName::from_static(name), key.expose().to_owned()))
}

/// Why a placement gave no answer's head.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No connection: nothing was sent.
    Connect,
    /// The connection was lost after something was sent.
    Lost,
    /// No head in time.
    Silent,
    /// The request's own time is over.
    Deadline,
    /// The provider's dialect cannot say what the request asks for: nothing was sent.
    Unsupported(RequestError),
}

/// A provider's answer: the head is here, the body on its way.
pub(crate) struct Upstream {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: UpstreamBody,
}

/// Sends cleared content to the placement that it was cleared for. Dropping the future, or the body,
/// closes the connection, and the provider stops.
pub(crate) async fn send(
    cleared: &Cleared,
    default_max_tokens: u64,
    deadline: Instant,
) -> Result<Upstream, SendError> {
    let station = cleared.station();
    // INVARIANT (I1), once more where the bytes leave: the type says so, and here it is looked at.
    if cleared.class() > station.placement().clearance {
        tracing::error!(placement = %station.name(), "content above a clearance reached the connector");
        return Err(SendError::Connect);
    }
    let model = station.placement().model.as_str();
    match (station.connector(), cleared.request()) {
        (Connector::Local(model), AnyRequest::Chat(chat)) => local_answer(model.chat(chat)),
        (Connector::Local(model), AnyRequest::Prompt(prompt)) => {
            // Its tokeniser reads the text at once.
            local_answer(in_place(prompt.received_bytes(), || ask(model.as_ref(), prompt)))
        }
        (Connector::Simulated, AnyRequest::Chat(chat)) => Ok(simulated::answer(chat, station.placement())),
        (Connector::Http(http), AnyRequest::Chat(chat)) => {
            let body = match http.protocol {
                Protocol::OpenAi => chat.to_openai_body(model, true),
                Protocol::Anthropic => {
                    chat.to_anthropic_body(model, default_max_tokens).map_err(SendError::Unsupported)?
                }
            };
            http.post(&http.chat, body, deadline).await
        }
        (Connector::Http(http), AnyRequest::Prompt(prompt)) => match &http.embeddings {
            Some(target) if prompt.endpoint() == Endpoint::Embeddings => {
                http.post(target, prompt.to_openai_body(model), deadline).await
            }
            _ => Err(not_offered()),
        },
        (Connector::Simulated, AnyRequest::Prompt(_)) => Err(not_offered()),
    }
}

/// [`Connector::offers`] keeps requests from coming here.
fn not_offered() -> SendError {
    let reason = "its provider does not serve this path; name another placement";
    SendError::Unsupported(RequestError::Unsupported { param: "model".to_owned(), reason })
}

fn ask(model: &dyn LocalModel, prompt: &PromptRequest) -> LocalAnswer {
    let body = prompt.body();
    match prompt.endpoint() {
        Endpoint::Completions => model.completions(body),
        Endpoint::Embeddings => model.embeddings(body),
        Endpoint::Tokenize => model.tokenize(body),
        Endpoint::Detokenize => model.detokenize(body),
        Endpoint::TokenizerInfo => model.tokenizer_info(),
        Endpoint::Chat => LocalAnswer::unsupported("chats that came as prompts"),
    }
}

/// What a model within the process answers, in the form of every other provider's answer.
fn local_answer(answer: LocalAnswer) -> Result<Upstream, SendError> {
    let status = StatusCode::from_u16(answer.status).map_err(|_| SendError::Connect)?;
    let mut headers = HeaderMap::new();
    if let Some(seconds) = answer.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(Upstream { status, headers, body: UpstreamBody::Local(answer.body) })
}

impl HttpTarget {
    async fn post(&self, target: &Uri, body: Bytes, deadline: Instant) -> Result<Upstream, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.clone();
        *request.headers_mut() = self.headers.clone();
        let silent_at = Instant::now() + Duration::from_millis(self.timeouts.first_byte_ms);
        let until = silent_at.min(deadline);
        match tokio::time::timeout_at(until, self.client.request(request)).await {
            Err(_) if silent_at > deadline => Err(SendError::Deadline),
            Err(_) => Err(SendError::Silent),
            Ok(Err(error)) if error.is_connect() => Err(SendError::Connect),
            Ok(Err(_)) => Err(SendError::Lost),
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                Ok(Upstream { status: head.status, headers: head.headers, body: UpstreamBody::Http(body) })
            }
        }
    }
}

/// The body of a provider's answer.
pub(crate) enum UpstreamBody {
    Http(Incoming),
    Local(Pin<Box<dyn LocalBody>>),
    Simulated(simulated::Paced),
}

/// The connection broke before the answer's end.
#[derive(Debug)]
pub(crate) struct Broken;

impl UpstreamBody {
    /// The next piece of data; `None` at the end.
    pub(crate) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            let frame = match self {
                UpstreamBody::Local(body) => {
                    let data = body.as_mut().poll_data(context);
                    return data.map(|data| data.map(|data| data.map_err(|LocalBroken| Broken)));
                }
                UpstreamBody::Simulated(paced) => return paced.poll_data(context).map(|data| data.map(Ok)),
                UpstreamBody::Http(body) => http_body::Body::poll_frame(Pin::new(body), context),
            };
            match frame {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(Broken))),
                // Trailers carry nothing of an answer.
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = Frame::into_data(frame) {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }

    pub(crate) async fn next_data(&mut self) -> Option<Result<Bytes, Broken>> {
        std::future::poll_fn(|context| self.poll_data(context)).await
    }
}
