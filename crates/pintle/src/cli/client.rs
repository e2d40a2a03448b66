//! Talks to the running server through its admin API: plain HTTP/1.1 on loopback, with the token that the
//! server left in its data folder for whoever may read it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use super::{
    api::{AdminFile, ApiProblem},
    exit::CliError,
};

const CONNECT_MAX: Duration = Duration::from_secs(3);
const ANSWER_MAX: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A way to the running server.
pub(crate) struct AdminClient {
    address: SocketAddr,
    token: String,
    data: PathBuf,
}

impl AdminClient {
    /// Finds the server of a data folder.
    ///
    /// # Errors
    /// When none is running, or its file cannot be read.
    pub(crate) fn open(data: &Path) -> Result<Self, CliError> {
        let path = data.join("admin.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(CliError::NotRunning { data: data.to_owned() });
            }
            Err(error) => {
                let reason = crate::config::plain_reason(&error);
                return Err(CliError::AdminFile { path, reason });
            }
        };
        let unfit = |reason: &str| CliError::AdminFile { path: path.clone(), reason: reason.to_owned() };
        // The file holds a token, so the parser's own message, which may quote it, stays out.
        let file: AdminFile =
            serde_json::from_str(&text).map_err(|_| unfit("it is not what a server writes"))?;
        let address: SocketAddr = file
            .url
            .strip_prefix("http://")
            .and_then(|rest| rest.trim_end_matches('/').parse().ok())
            .ok_or_else(|| unfit("its `url` is not an address on this machine"))?;
        // The token must not leave this machine, whatever the file says.
        if !address.ip().is_loopback() {
            return Err(unfit("its `url` is not an address on this machine"));
        }
        Ok(AdminClient { address, token: file.token, data: data.to_owned() })
    }

    /// Asks for something.
    ///
    /// # Errors
    /// What the server says is wrong, or that it could not be asked.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.send(Method::GET, path, None).await
    }

    /// Asks for a change; `body` is JSON.
    ///
    /// # Errors
    /// What the server says is wrong, or that it could not be asked.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let (status, bytes) = self.exchange(method, path, body).await?;
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes)
                .map_err(|_| self.unreachable("gave an answer that is not JSON"));
        }
        let mut problem: ApiProblem = serde_json::from_slice(&bytes).unwrap_or_else(|_| ApiProblem {
            title: String::new(),
            status: status.as_u16(),
            detail: None,
            fix: None,
            errors: Vec::new(),
            request_id: None,
        });
        // The status line decides; a body that contradicts it does not.
        problem.status = status.as_u16();
        Err(CliError::Api(Box::new(problem)))
    }

    /// Like [`AdminClient::send`], for an answer of a known shape.
    ///
    /// # Errors
    /// Also when the answer has another shape.
    pub(crate) async fn send_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(T, Value), CliError> {
        let value = self.send(method, path, body).await?;
        let typed = serde_json::from_value(value.clone()).map_err(|_| {
            self.unreachable("gave an answer of another shape; are both of the same version?")
        })?;
        Ok((typed, value))
    }

    /// The address of one of the server's pages.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn unreachable(&self, reason: &str) -> CliError {
        CliError::Unreachable { url: format!("http://{}", self.address), reason: reason.to_owned() }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), CliError> {
        let stream = match timeout(CONNECT_MAX, TcpStream::connect(self.address)).await {
            Ok(Ok(stream)) => stream,
            // A server that was killed leaves its file behind.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(CliError::NotRunning { data: self.data.clone() });
            }
            Ok(Err(error)) => return Err(self.unreachable(&format!("cannot be reached: {error}"))),
            Err(_) => return Err(self.unreachable("did not take the connection within 3 s")),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| self.unreachable("does not speak HTTP"))?;
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|_| self.unreachable("cannot be asked this: the request is not valid HTTP"))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|_| "closed the connection")?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|_| "cut its answer short, or gave more than 16 MiB")?;
            Ok::<_, &str>((head.status, body.to_bytes()))
        };
        // The connection has to be driven while the answer is awaited; both end here.
        let driven = async {
            tokio::pin!(connection);
            tokio::pin!(answer);
            tokio::select! {
                answer = &mut answer => answer,
                _ = &mut connection => answer.await,
            }
        };
        match timeout(ANSWER_MAX, driven).await {
            Ok(answer) => answer.map_err(|reason| self.unreachable(reason)),
            Err(_) => Err(self.unreachable("did not answer within 30 s")),
        }
    }
}
