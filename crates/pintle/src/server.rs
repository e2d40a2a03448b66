//! The HTTP server: accepts connections, bounds what a client may take of them, and drains them at the
//! end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use pintle_registry::PresentedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service;

use crate::{cli::CliError, patient::Patient};

/// A client has so long to send a request's head; slower ones are let go.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that asks for nothing new for so long is ended once its requests are.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A client that takes nothing of its answer for so long is let go.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;
const STREAMS_PER_CONNECTION: u32 = 256;
/// Requests on their way have so long to end when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(30);
/// After an error of `accept` (no file descriptors left), the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const CONNECTIONS_MAX: usize = 16_384;

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = if error.kind() == std::io::ErrorKind::AddrInUse {
            "another program listens there; stop it, or choose another port with --listen"
        } else {
            "choose another address with --listen"
        };
        CliError::Usage { message: format!("cannot listen on `{address}`: {error}"), hint: hint.to_owned() }
    })
}

/// Where the command line on the same machine reaches a server that listens on one outside address
/// only: a port of its own on loopback.
pub(crate) async fn listen_for_admin(listen: SocketAddr) -> Result<Option<TcpListener>, CliError> {
    if listen.ip().is_loopback() || listen.ip().is_unspecified() {
        return Ok(None);
    }
    self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.map(Some)
}

/// Serves until a signal or `stop`, then lets requests on their way end.
pub(crate) async fn run(
    listeners: Vec<TcpListener>,
    app: Router,
    admin_token: &str,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) {
    let gate = Arc::new(Perimeter { admin: PresentedKey::hash(admin_token) });
    let doors = Doors {
        // Connections from the machine itself need no perimeter, and do not pay for it.
        guarded: app.clone().layer(middleware::from_fn_with_state(gate, perimeter)),
        open: app,
        places: Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX)),
        connections: TaskTracker::new(),
        stop: stop.clone(),
    };
    let draining = CancellationToken::new();
    tasks.spawn(watch_signals(stop.clone(), draining.clone()));
    let accepting = TaskTracker::new();
    for listener in listeners {
        accepting.spawn(accept(listener, doors.clone()));
    }
    accepting.close();
    accepting.wait().await;
    let connections = doors.connections;
    connections.close();
    if !connections.is_empty() {
        tracing::info!(connections = connections.len(), "stopping; requests on their way may end");
    }
    tokio::select! {
        () = connections.wait() => {}
        () = tokio::time::sleep(DRAIN) => tracing::warn!("some requests did not end in time and are cut off"),
        () = draining.cancelled() => tracing::warn!("told to stop a second time; requests are cut off"),
    }
    draining.cancel();
}

/// What a connection is let in through, and counted by.
#[derive(Clone)]
struct Doors {
    open: Router,
    guarded: Router,
    places: Arc<tokio::sync::Semaphore>,
    connections: TaskTracker,
    stop: CancellationToken,
}

async fn accept(listener: TcpListener, doors: Doors) {
    loop {
        let next = async {
            let place = Arc::clone(&doors.places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = doors.stop.cancelled() => return,
            next = next => next,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, peer))) => {
                let is_local = peer.ip().to_canonical().is_loopback();
                let app = if is_local { doors.open.clone() } else { doors.guarded.clone() };
                let connection = serve_connection(stream, peer, app, doors.stop.clone());
                doors.connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => return,
        }
    }
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, app: Router, stop: CancellationToken) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let asked = Arc::new(AtomicU64::new(0));
    let service = {
        let asked = Arc::clone(&asked);
        hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            asked.fetch_add(1, Ordering::Relaxed);
            let mut app = app.clone();
            app.call(request.map(Body::new))
        })
    };
    let stream = TokioIo::new(Patient::new(stream, WRITE_TIMEOUT));
    let builder = connection_builder();
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    let mut seen = 0;
    let mut wait = HEAD_TIMEOUT;
    let mut is_ending = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            () = stop.cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep(wait), if !is_ending => {
                let now = asked.load(Ordering::Relaxed);
                // hyper waits without limit for the bytes that tell one HTTP version from another.
                if now == 0 {
                    return;
                }
                // Nothing new for a while: requests on their way end, and then the connection does.
                if now == seen {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                seen = now;
                wait = IDLE_TIMEOUT;
            }
        }
    };
    if let Err(error) = ended {
        // Clients that go away are everyday life.
        tracing::debug!(error, %peer, "a connection ended early");
    }
}

fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .keep_alive_interval(Some(Duration::from_secs(30)));
    builder
}

/// The first signal stops in order, a second one at once.
async fn watch_signals(stop: CancellationToken, cut: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be caught; the server stops only when it is killed");
        return;
    };
    let mut wait = async || {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            () = cut.cancelled() => {}
        }
    };
    wait().await;
    stop.cancel();
    wait().await;
    cut.cancel();
}

/// What only this machine may reach, or only who holds the admin token.
struct Perimeter {
    admin: PresentedKey,
}

/// The set-up link and the admin token work on the machine itself; metrics name use cases, so from
/// elsewhere they need the admin token.
async fn perimeter(State(gate): State<Arc<Perimeter>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let is_admin = token.is_some_and(|token| PresentedKey::hash(token) == gate.admin);
    // However the credentials are spelt: reading them is the admin API's affair, not this one's.
    let has_credentials = request.headers().contains_key(header::AUTHORIZATION);
    let is_local_only =
        path.starts_with("/console/set-up") || (path.starts_with("/admin/") && has_credentials);
    let needs_admin = path == "/metrics";
    if is_local_only || (needs_admin && !is_admin) {
        return (StatusCode::FORBIDDEN, "This works on the server's own machine only.\n").into_response();
    }
    next.run(request).await
}
