//! The fake provider: a listener on loopback that plays scripts.
//!
//! It runs on a thread and a runtime of its own, so that it answers whatever the test's own runtime does
//! (blocks, is dropped, is single-threaded), and it ends when the value is dropped.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinSet,
};

use crate::{
    PATIENCE,
    script::{Script, Step, Usage},
    wire::{Framing, Received, Wire, declared_framing, find},
};

/// A fake provider. Each request takes the next script of the queue, or the default script when the
/// queue is empty (at first a short OpenAI answer). Connections are kept alive between requests unless
/// the script closes them or the client asks for it.
#[derive(Debug)]
pub struct FakeUpstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Bumped at each change of `state`.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Script>,
    default: Script,
    received: Vec<Received>,
    finished: usize,
    dropped_by_client: usize,
    malformed: usize,
    connections: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let result = act(&mut self.lock());
        self.changed.send_replace(());
        result
    }
}

impl FakeUpstream {
    /// Starts a fake provider on a free loopback port. It accepts connections when this returns.
    ///
    /// # Panics
    /// When no port can be bound.
    #[expect(clippy::unused_async, reason = "callers need not know that starting never waits")]
    pub async fn start() -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                default: Script::openai_answer("Hello from the fake provider.", Usage::new(9, 7)),
                received: Vec::new(),
                finished: 0,
                dropped_by_client: 0,
                malformed: 0,
                connections: 0,
            }),
            changed: watch::Sender::new(()),
        });
        let (stop, stopped) = oneshot::channel();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener of this runtime");
                tokio::select! {
                    () = accept(listener, for_thread) => {}
                    _ = stopped => {}
                }
            });
        });
        FakeUpstream { addr, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its base URL as a placement names it: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// Appends a script to the queue.
    pub fn script(&self, script: Script) {
        self.shared.change(|state| state.queue.push_back(script));
    }

    /// Replaces the script that plays when the queue is empty.
    pub fn set_default(&self, script: Script) {
        self.shared.change(|state| state.default = script);
    }

    /// The requests so far, in order of arrival.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// How many scripts the client did not wait for: it closed or reset the connection first.
    #[must_use]
    pub fn dropped_by_client(&self) -> usize {
        self.shared.lock().dropped_by_client
    }

    /// How many scripts were played to their end.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.shared.lock().finished
    }

    /// How many requests were no HTTP/1.1. A correct client never raises this.
    #[must_use]
    pub fn malformed(&self) -> usize {
        self.shared.lock().malformed
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// How many scripts still wait in the queue.
    #[must_use]
    pub fn scripts_left(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Waits until at least `n` requests have been read, counted from the start.
    pub async fn wait_for_requests(&self, n: usize) {
        self.wait_until(|state| state.received.len() >= n, &format!("{n} requests")).await;
    }

    /// Waits until the client has left at least one script unfinished.
    pub async fn wait_for_client_drop(&self) {
        self.wait_for_client_drops(1).await;
    }

    /// Waits until the client has left at least `n` scripts unfinished, counted from the start.
    pub async fn wait_for_client_drops(&self, n: usize) {
        self.wait_until(|state| state.dropped_by_client >= n, &format!("{n} dropped connections")).await;
    }

    /// Waits until at least `n` scripts have been played to their end, counted from the start.
    pub async fn wait_for_finished(&self, n: usize) {
        self.wait_until(|state| state.finished >= n, &format!("{n} finished scripts")).await;
    }

    async fn wait_until(&self, done: impl Fn(&State) -> bool, what: &str) {
        let mut changes = self.shared.changed.subscribe();
        let wait = async {
            while !done(&self.shared.lock()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let seen = self.shared.lock();
            panic!(
                "waited {PATIENCE:?} for {what}; saw {} requests, {} finished, {} dropped, {} malformed",
                seen.received.len(),
                seen.finished,
                seen.dropped_by_client,
                seen.malformed
            );
        }
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the thread has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if ended.is_err() && !std::thread::panicking() {
                panic!("the fake provider's thread panicked");
            }
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    loop {
        // Finished connections are collected, so that the set does not grow with their number.
        while tasks.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            let number = shared.change(|state| {
                state.connections += 1;
                state.connections - 1
            });
            tasks.spawn(connection(stream, number, Arc::clone(&shared)));
        }
    }
}

/// Why a script ended before its last step.
enum Stop {
    ClientGone,
    Malformed,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::InvalidData { Stop::Malformed } else { Stop::ClientGone }
    }
}

async fn connection(stream: TcpStream, number: usize, shared: Arc<Shared>) {
    let Ok(mut wire) = Wire::new(stream) else { return };
    // A script is taken when the first byte of a request is there: idle pooled connections take none.
    while matches!(wire.has_input().await, Ok(true)) {
        let script =
            shared.change(|state| state.queue.pop_front()).unwrap_or_else(|| shared.lock().default.clone());
        let mut player = Player { wire: &mut wire, number, shared: &shared, keep_alive: true };
        let played = player.play(script.steps()).await;
        let keep_alive = player.keep_alive;
        shared.change(|state| match played {
            Ok(()) => state.finished += 1,
            Err(Stop::ClientGone) => state.dropped_by_client += 1,
            Err(Stop::Malformed) => state.malformed += 1,
        });
        if played.is_err() || !keep_alive {
            return;
        }
    }
}

struct Player<'c> {
    wire: &'c mut Wire,
    number: usize,
    shared: &'c Shared,
    keep_alive: bool,
}

impl Player<'_> {
    async fn play(&mut self, steps: &[Step]) -> Result<(), Stop> {
        for step in steps {
            match step {
                Step::ReadHead => self.read(false).await?,
                Step::ReadRequest => self.read(true).await?,
                Step::Send(bytes) => self.send(bytes).await?,
                Step::Pause(gate) => {
                    tokio::select! {
                        biased;
                        () = self.wire.gone() => return Err(Stop::ClientGone),
                        () = gate.pass() => {}
                    }
                }
                Step::Stall => {
                    self.wire.gone().await;
                    return Err(Stop::ClientGone);
                }
                Step::Close => {
                    self.keep_alive = false;
                    return Ok(());
                }
                Step::Reset => {
                    self.keep_alive = false;
                    return Ok(self.wire.reset_on_close()?);
                }
                Step::Respond(respond) => {
                    let last = self
                        .shared
                        .lock()
                        .received
                        .iter()
                        .rev()
                        .find(|r| r.connection == self.number)
                        .cloned();
                    let Some(request) = last else { return Err(Stop::Malformed) };
                    let script = respond.to(&request);
                    return Box::pin(self.play(script.steps())).await;
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        // Checked before: the kernel takes bytes for a client that has just gone, and says nothing.
        if self.wire.is_gone() {
            return Err(Stop::ClientGone);
        }
        self.wire.write_all(bytes).await?;
        Ok(())
    }

    async fn read(&mut self, with_body: bool) -> Result<(), Stop> {
        let head = self.wire.head().await?;
        let mut words = head.first_line.split(' ');
        let (Some(method), Some(path), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Stop::Malformed);
        };
        if find(&head.headers, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            || !with_body
        {
            self.keep_alive = false;
        }
        let (body, complete) = if with_body {
            self.wire.body(declared_framing(&head.headers)?.unwrap_or(Framing::Length(0))).await?
        } else {
            (Bytes::new(), true)
        };
        let received = Received {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: head.headers,
            body,
            connection: self.number,
        };
        if !complete {
            return Err(Stop::ClientGone);
        }
        self.shared.change(|state| state.received.push(received));
        Ok(())
    }
}
