//! Asks a placement's endpoint for its list of models: whether it can be reached, takes the key, and what
//! time it thinks it is. No content is sent.

use std::{error::Error, time::Duration};

use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;
use pintle_core::Secret;
use pintle_registry::{Placement, Provider};
use tokio::time::timeout;

/// Long enough for a slow office line, short enough to wait for.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Anthropic refuses requests that name no version.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Asks endpoints.
pub(crate) enum Prober {
    /// Also encrypted ones.
    Tls(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>),
    /// Own servers that speak plain HTTP: no certificate authorities are needed.
    Plain(Client<HttpConnector, Empty<Bytes>>),
}

/// What came of asking.
#[derive(Debug)]
pub(crate) enum Probed {
    /// There was an answer.
    Answered {
        /// Its status.
        status: StatusCode,
        /// The endpoint's time.
        date: Option<Timestamp>,
    },
    /// There was none: why.
    Failed(String),
}

impl Prober {
    /// For endpoints that are all plain HTTP.
    pub(crate) fn plain() -> Self {
        Prober::Plain(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Loads the certificate authorities that this machine trusts.
    ///
    /// # Errors
    /// When there are none: then no `https` endpoint can be called.
    pub(crate) fn with_tls() -> std::io::Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        Ok(Prober::Tls(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Asks a placement's endpoint. `None` for placements that have none.
    pub(crate) async fn ask(&self, placement: &Placement) -> Option<Probed> {
        let request = match request(&placement.provider)? {
            Ok(request) => request,
            Err(error) => return Some(Probed::Failed(format!("the address cannot be asked: {error}"))),
        };
        let answer = match self {
            Prober::Tls(client) => client.request(request),
            Prober::Plain(client) => client.request(request),
        };
        Some(match timeout(ANSWER_MAX, answer).await {
            Err(_) => Probed::Failed(format!("no answer within {} s", ANSWER_MAX.as_secs())),
            Ok(Err(error)) => Probed::Failed(innermost(&error)),
            Ok(Ok(response)) => Probed::Answered {
                status: response.status(),
                date: response.headers().get(header::DATE).and_then(|date| {
                    jiff::fmt::rfc2822::parse(date.to_str().ok()?).ok().map(|zoned| zoned.timestamp())
                }),
            },
        })
    }
}

/// Whether a placement's endpoint is spoken to with TLS.
pub(crate) fn is_encrypted(provider: &Provider) -> bool {
    match provider {
        Provider::OpenAi { base_url, .. }
        | Provider::AzureOpenAi { base_url, .. }
        | Provider::Anthropic { base_url, .. } => base_url.scheme_str() == Some("https"),
        Provider::Embedded | Provider::Simulated => false,
    }
}

fn request(provider: &Provider) -> Option<http::Result<Request<Empty<Bytes>>>> {
    let request = |uri: String| Request::get(uri).header(header::USER_AGENT, "pintle-doctor");
    let (builder, key) = match provider {
        Provider::Embedded | Provider::Simulated => return None,
        Provider::OpenAi { base_url, api_key } => {
            let value = api_key.as_ref().map(|key| format!("Bearer {}", key.expose()));
            (request(below(base_url, "models")), value.map(|value| (header::AUTHORIZATION, value)))
        }
        Provider::AzureOpenAi { base_url, api_key, api_version } => {
            let uri = below(base_url, &format!("openai/models?api-version={api_version}"));
            (request(uri), named("api-key", api_key.as_ref()))
        }
        Provider::Anthropic { base_url, api_key } => {
            let builder = request(below(base_url, "models")).header("anthropic-version", ANTHROPIC_VERSION);
            (builder, named("x-api-key", api_key.as_ref()))
        }
    };
    let builder = match key {
        None => builder,
        Some((name, value)) => match HeaderValue::from_str(&value) {
            Ok(mut value) => {
                value.set_sensitive(true);
                builder.header(name, value)
            }
            Err(error) => return Some(Err(error.into())),
        },
    };
    Some(builder.body(Empty::new()))
}

fn named(name: &'static str, key: Option<&Secret>) -> Option<(header::HeaderName, String)> {
    key.map(|key| (header::HeaderName::from_static(name), key.expose().to_owned()))
}

/// Base addresses may end with a slash or not.
fn below(base: &Uri, path: &str) -> String {
    format!("{}/{path}", base.to_string().trim_end_matches('/'))
}

/// The last cause is the one that says something: "connection refused", "invalid peer certificate".
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
