//! The two servers that Pintle is measured against: the fake upstream and the bare reverse proxy.
//!
//! Each runs in a process of its own, prints its address and ends when its standard input does, that is,
//! when the process that started it is gone.

use std::{
    convert::Infallible,
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    header,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};

use crate::tools::Outcome;

/// The hidden subcommand that becomes the fake upstream.
pub(crate) const UPSTREAM: &str = "__upstream";
/// The hidden subcommand that becomes the bare proxy.
pub(crate) const PROXY: &str = "__proxy";

const CHUNKS: usize = 20;

/// The fake upstream: a whole answer of about 600 bytes, or a stream of 20 content chunks.
pub(crate) fn serve_upstream() -> Outcome<()> {
    // It shares a core with the load, so one thread is all that it can use.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answers = Arc::new(Answers::new());
        serve(move |request| answer(Arc::clone(&answers), request)).await
    })
}

/// The bare proxy: a pooled client behind a server, bodies streamed through as they come.
pub(crate) fn serve_proxy(upstream: &str) -> Outcome<()> {
    // The same flavour as Pintle's: several threads, as many as there are cores to run on.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let upstream: SocketAddr = upstream.parse()?;
    runtime.block_on(async move {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        serve(move |request| forward(client.clone(), upstream, request)).await
    })
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn serve<F, R, B>(handle: F) -> Outcome<()>
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<B>, AnyError>> + Send,
    B: Body<Data = Bytes, Error: Into<AnyError>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let mut parent_gone = until_parent_gone();
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            _ = &mut parent_gone => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handle.clone()));
        tasks.spawn(async move {
            // A client that leaves is no event for a fake.
            let _ = connection.await;
        });
    }
}

/// Ends when standard input does. A thread, because reading it blocks.
fn until_parent_gone() -> oneshot::Receiver<()> {
    let (gone, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut buffer = [0_u8; 64];
        while input.read(&mut buffer).is_ok_and(|n| n > 0) {}
        // The receiver is gone only when the process is about to end anyway.
        let _ = gone.send(());
    });
    receiver
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, AnyError> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{upstream}{path}").parse()?;
    request.headers_mut().remove(header::HOST);
    Ok(client.request(request).await?)
}

/// What the fake upstream says, made once.
struct Answers {
    whole: Bytes,
    chunks: Vec<Bytes>,
}

impl Answers {
    fn new() -> Self {
        let usage = serde_json::json!({"prompt_tokens": 420, "completion_tokens": 60, "total_tokens": 480,
            "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}});
        let text = "Sales of spare parts rose by four per cent and service contracts by nine. The late deliveries of \
                    spring are settled. The warehouse wants a second shift for now, and the workshop needs a decision \
                    about its two lathes.";
        let whole = serde_json::json!({
            "id": "chatcmpl-bench", "object": "chat.completion", "created": 1_795_478_400, "model": "bench-model",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "logprobs": null,
                         "finish_reason": "stop"}],
            "usage": usage,
        });
        let event = |choices: serde_json::Value, usage: serde_json::Value| {
            let data = serde_json::json!({"id": "chatcmpl-bench", "object": "chat.completion.chunk",
                "created": 1_795_478_400, "model": "bench-model", "choices": choices, "usage": usage});
            format!("data: {data}\n\n")
        };
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let per_chunk = words.len().div_ceil(CHUNKS);
        let mut chunks: Vec<Bytes> = words
            .chunks(per_chunk)
            .map(|words| {
                let delta = serde_json::json!([{"index": 0, "delta": {"content": words.concat()}, "finish_reason": null}]);
                event(delta, serde_json::Value::Null).into()
            })
            .collect();
        let finish = event(
            serde_json::json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
            serde_json::Value::Null,
        );
        let last = event(serde_json::json!([]), usage);
        chunks.push(format!("{finish}{last}data: [DONE]\n\n").into());
        Answers { whole: whole.to_string().into(), chunks }
    }
}

async fn answer(
    answers: Arc<Answers>,
    request: Request<Incoming>,
) -> Result<Response<Either<Full<Bytes>, Chunks>>, AnyError> {
    let body = request.into_body().collect().await?.to_bytes();
    let wanted = b"\"stream\":true";
    let streamed = body.windows(wanted.len()).any(|window| window == wanted);
    let (kind, body) = if streamed {
        ("text/event-stream", Either::Right(Chunks { answers, next: 0, rested: false }))
    } else {
        ("application/json", Either::Left(Full::new(answers.whole.clone())))
    };
    Ok(Response::builder().header(header::CONTENT_TYPE, kind).body(body)?)
}

/// The chunks of a stream. Between two it gives way once, so that each is written by itself: a provider
/// sends a token when it has one, and a proxy that counted on bundles would be flattered.
struct Chunks {
    answers: Arc<Answers>,
    next: usize,
    rested: bool,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.next > 0 && !self.rested {
            self.rested = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let chunk = self.answers.chunks.get(self.next).cloned();
        self.rested = false;
        self.next += 1;
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_have_the_promised_size() {
        let answers = Answers::new();
        assert!((550..=650).contains(&answers.whole.len()), "{}", answers.whole.len());
        assert_eq!(answers.chunks.len(), CHUNKS + 1, "one more carries finish, usage and [DONE]");
        let request = super::super::load::request_body(true);
        assert!((1_900..=2_200).contains(&request.len()), "{}", request.len());
        assert!(request.contains("\"stream\":true"));
    }
}
