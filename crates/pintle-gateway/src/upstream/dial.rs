//! Makes the pooled clients that connectors use: TLS with the system's certificates, TCP without delay.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use pintle_core::Name;
use pintle_registry::Timeouts;
use tower_service::Service;

pub(crate) type HttpClient = Client<Timed<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// A connector that has so long for the whole of a connection, TLS included: until then nothing was sent,
/// so that another placement may be tried and nothing is owed.
#[derive(Clone)]
pub(crate) struct Timed<C> {
    connector: C,
    within: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connection = tokio::time::timeout(self.within, self.connector.call(target));
        Box::pin(async move { connection.await.unwrap_or_else(|_| Err("no connection in time".into())) })
    }
}

/// A provider closes idle connections after a minute or more; ours go first.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// Why a placement cannot be connected.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The system has no certificates to check a provider's with.
    #[error(
        "the system has no root certificates, so no `https://` placement can be checked; hint: install the package `ca-certificates`"
    )]
    NoRoots,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// A placement of an own model of which no version is in production.
    #[error(
        "placement `{placement}` has no version in production; hint: see `pintle model list` and `pintle model promote`"
    )]
    NoModel {
        /// The placement.
        placement: Name,
    },
    /// Address, key or version of a placement do not make a request.
    #[error("the address or the key of placement `{placement}` cannot be used in a request")]
    Address {
        /// The placement.
        placement: Name,
    },
}

/// Makes clients; they share one TLS configuration, which is made when first needed.
#[derive(Default)]
pub(crate) struct Dialler {
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

impl Dialler {
    pub(crate) fn client(&self, target: &Uri, timeouts: &Timeouts) -> Result<HttpClient, UpstreamError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(Duration::from_millis(timeouts.connect_ms)));
        let tls = if target.scheme_str() == Some("https") { self.tls()? } else { without_roots()? };
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(rustls::ClientConfig::clone(&tls))
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(http);
        let timed = Timed { connector: https, within: Duration::from_millis(timeouts.connect_ms) };
        Ok(Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(timed))
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, UpstreamError> {
        if let Some(known) = self.tls.get() {
            return Ok(Arc::clone(known));
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(UpstreamError::NoRoots);
        }
        let made = Arc::new(config(roots)?);
        Ok(Arc::clone(self.tls.get_or_init(|| made)))
    }
}

/// For plain `http://` placements: the connector wants a configuration, which nothing then uses.
fn without_roots() -> Result<Arc<rustls::ClientConfig>, UpstreamError> {
    Ok(Arc::new(config(rustls::RootCertStore::empty())?))
}

fn config(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
