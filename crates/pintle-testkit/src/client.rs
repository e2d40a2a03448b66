//! A client that can misbehave: sends any bytes, reads as much as it likes, leaves when it likes.

use std::{future::Future, net::SocketAddr};

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::{
    PATIENCE,
    wire::{Framing, Wire, declared_framing, find},
};

/// A raw HTTP/1.1 client on one connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct RawClient {
    wire: Wire,
    addr: SocketAddr,
}

/// A response as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body, transfer coding removed. Empty when only the head was read.
    pub body: Bytes,
    /// Whether the body ended as its framing promised.
    pub complete: bool,
}

impl Answer {
    /// The first header of that (lower-case) name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body of the answer is JSON")
    }

    /// The `data:` payloads of a server-sent event stream, in order, `[DONE]` included.
    #[must_use]
    pub fn sse_data(&self) -> Vec<String> {
        let text = self.text();
        text.lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| data.trim().to_owned())
            .collect()
    }
}

impl RawClient {
    /// Connects.
    ///
    /// # Panics
    /// When nobody accepts.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = patiently("a connection", TcpStream::connect(addr)).await.expect("the server accepts");
        RawClient { wire: Wire::new(stream).expect("TCP_NODELAY can be set"), addr }
    }

    /// Sends bytes as they are. Fails when the server has closed.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        patiently("a send", self.wire.write_all(bytes.as_ref())).await
    }

    /// Sends a request with a true `content-length`, and a JSON content type unless `headers` has one.
    ///
    /// # Panics
    /// When the server has closed.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) {
        let body = body.as_ref();
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.addr);
        for (name, value) in headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) && !body.is_empty() {
            bytes.push_str("content-type: application/json\r\n");
        }
        bytes.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes).await.expect("the server reads the request");
    }

    /// Posts JSON with a bearer key.
    pub async fn post_json(&mut self, path: &str, key: &str, body: &serde_json::Value) {
        let bearer = format!("Bearer {key}");
        self.request("POST", path, &[("authorization", &bearer)], body.to_string()).await;
    }

    /// Reads one whole response.
    ///
    /// # Panics
    /// When there is none, or it is no HTTP.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if answer.status == 204 || answer.status == 304 {
            return answer;
        }
        let framing = declared_framing(&answer.headers).expect("the declared length is a number");
        let framing = framing.unwrap_or(Framing::UntilClose);
        let body = patiently("the body of the answer", self.wire.body(framing)).await;
        (answer.body, answer.complete) = body.expect("the framing of the body is valid");
        answer
    }

    /// Reads the head of a response and leaves the body unread.
    ///
    /// # Panics
    /// When there is none, or it is no HTTP.
    pub async fn head(&mut self) -> Answer {
        let head = patiently("an answer", self.wire.head()).await.expect("the server answers");
        let mut words = head.first_line.split(' ');
        assert_eq!(words.next(), Some("HTTP/1.1"), "the answer begins with its version");
        let status = words.next().and_then(|word| word.parse().ok()).expect("the answer has a status");
        Answer { status, headers: head.headers, body: Bytes::new(), complete: true }
    }

    /// Reads raw bytes (framing included) up to and including `end`.
    ///
    /// # Panics
    /// When the server closes before.
    pub async fn read_until(&mut self, end: impl AsRef<[u8]>) -> Bytes {
        let end = end.as_ref();
        let read = patiently("expected bytes", self.wire.take_until(end, 64 * 1024 * 1024)).await;
        read.expect("the connection holds").expect("the bytes come before the connection ends")
    }

    /// Reads until the server closes; gives what came before.
    pub async fn closed(&mut self) -> Bytes {
        patiently("the server to close", self.wire.gone()).await;
        self.wire.take_inbox().freeze()
    }
}

async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(value) => value,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}
