//! The load: one task and one kept connection each, a request as soon as the last answer is complete.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

use crate::tools::Outcome;

/// What to send where, how hard and how long.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) addr: SocketAddr,
    pub(super) key: String,
    pub(super) connections: usize,
    pub(super) streamed: bool,
    pub(super) length: Duration,
}

/// What was seen; both lists sorted, in microseconds.
pub(super) struct Seen {
    pub(super) latencies_us: Vec<f64>,
    pub(super) first_bytes_us: Vec<f64>,
    pub(super) took: Duration,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The chat request that every connection sends: about 2 KiB, a prompt like those of an office.
pub(super) fn request_body(streamed: bool) -> String {
    let report = "The quarterly figures of the northern region are in. Sales of spare parts grew by four per cent, \
                  service contracts by nine, and the two late deliveries of last spring have been settled. The \
                  warehouse asks for a second shift until the new racks stand, and the workshop for a decision on \
                  the two lathes that are due for replacement. Questions go to operations@example.com. ";
    let prompt =
        format!("Summarise the following note in three sentences for the board. {}", report.repeat(5));
    let options = serde_json::json!({"include_usage": true});
    let mut body = serde_json::json!({
        "model": super::process::MODEL,
        "messages": [
            {"role": "system", "content": "You write for busy people. Plain words, no lists."},
            {"role": "user", "content": prompt},
        ],
        "max_tokens": 200,
        "temperature": 0.2,
    });
    if streamed && let Some(object) = body.as_object_mut() {
        object.insert("stream".to_owned(), true.into());
        object.insert("stream_options".to_owned(), options);
    }
    body.to_string()
}

/// Puts the load on. Any answer that is not a whole 200 fails the measurement: a fast refusal is no speed.
pub(super) async fn run(load: &Load) -> Outcome<Seen> {
    let body = Bytes::from(request_body(load.streamed));
    let begin = Instant::now();
    let until = begin + load.length;
    let mut tasks = JoinSet::new();
    for _ in 0..load.connections {
        tasks.spawn(connection(load.clone(), body.clone(), until));
    }
    let mut seen = Seen { latencies_us: Vec::new(), first_bytes_us: Vec::new(), took: Duration::ZERO };
    while let Some(done) = tasks.join_next().await {
        let (latencies, first_bytes) = done?.map_err(|error| format!("under load: {error}"))?;
        seen.latencies_us.extend(latencies);
        seen.first_bytes_us.extend(first_bytes);
    }
    seen.took = begin.elapsed();
    seen.latencies_us.sort_by(f64::total_cmp);
    seen.first_bytes_us.sort_by(f64::total_cmp);
    Ok(seen)
}

async fn connection(load: Load, body: Bytes, until: Instant) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let (mut latencies, mut first_bytes) = (Vec::new(), Vec::new());
    let mut client = Client::connect(load.addr, load.key).await?;
    while Instant::now() < until {
        let took = client.chat(body.clone()).await?;
        latencies.push(took.whole_us);
        first_bytes.push(took.first_byte_us);
    }
    Ok((latencies, first_bytes))
}

/// How long one answer took.
pub(super) struct Took {
    whole_us: f64,
    first_byte_us: f64,
}

/// One connection.
pub(super) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
    bearer: String,
    // Dropped with the client, which ends the connection.
    _driver: JoinSet<()>,
}

impl Client {
    pub(super) async fn connect(addr: SocketAddr, key: String) -> Result<Self, Failure> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // Its error reaches the request that is under way.
            let _ = connection.await;
        });
        Ok(Client { sender, host: addr.to_string(), bearer: format!("Bearer {key}"), _driver: driver })
    }

    /// One chat completion, read to its end.
    pub(super) async fn chat(&mut self, body: Bytes) -> Result<Took, Failure> {
        let request = Request::post("/v1/chat/completions")
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let begin = Instant::now();
        let answer = self.sender.send_request(request).await?;
        let (status, mut body) = (answer.status(), answer.into_body());
        if status != StatusCode::OK {
            let said = body.collect().await?.to_bytes();
            return Err(format!("answered {status}: {}", String::from_utf8_lossy(&said)).into());
        }
        let mut first_byte_us = None;
        while let Some(frame) = body.frame().await {
            let frame = frame?;
            if frame.data_ref().is_some_and(|data| !data.is_empty()) && first_byte_us.is_none() {
                first_byte_us = Some(micros(begin));
            }
        }
        let first_byte_us = first_byte_us.ok_or("answered 200 without a body")?;
        Ok(Took { whole_us: micros(begin), first_byte_us })
    }

    /// The status of a `GET`.
    pub(super) async fn get(&mut self, path: &str) -> Result<StatusCode, Failure> {
        let request = Request::get(path).header(header::HOST, &self.host).body(Full::default())?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        Ok(status)
    }
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
