//! I3 from outside: the built binary is killed with `kill -9` at fifty random moments under load, and the
//! ledger must neither lose nor double anything.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::server::{make_key, start, write_config};
use pintle_core::{Clock, RequestId, SystemClock};
use pintle_db::Database;
use pintle_ledger::{EntryState, Ledger, LedgerSettings, Outcome, Scope, UsageBy};
use pintle_testkit::{FakeUpstream, PATIENCE, Script, Usage};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const ROUNDS: usize = 50;
const CLIENTS: usize = 8;

/// One request on a connection of its own. Gives the request's id when the answer arrived whole.
async fn ask(addr: &str, key: &str, streamed: bool) -> Option<RequestId> {
    let mut stream = TcpStream::connect(addr).await.ok()?;
    let body =
        json!({ "model": "far", "stream": streamed, "messages": [{ "role": "user", "content": "Hello" }] })
            .to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let is_whole = answer.starts_with("HTTP/1.1 200")
        && if streamed { answer.contains("data: [DONE]") } else { answer.trim_end().ends_with('}') };
    if !is_whole {
        return None;
    }
    let id = answer.lines().find_map(|line| line.strip_prefix("x-pintle-request-id: "))?;
    id.trim().parse().ok()
}

/// A sequence without a pattern, the same every time.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_killed_at_fifty_random_moments_it_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let upstream = FakeUpstream::start().await;
    upstream.set_default(Script::respond(|received| {
        if received.json()["stream"] == true {
            Script::openai_stream(&["Good ", "morning"], Usage::new(3, 2)).answer_only()
        } else {
            Script::openai_answer("Good morning", Usage::new(3, 2)).answer_only()
        }
    }));
    let config = write_config(folder.path(), &upstream);
    let mut server = start(&data, &config).await;
    let key = make_key(&data);

    let answered: Arc<Mutex<Vec<RequestId>>> = Arc::default();
    let sent = Arc::new(AtomicUsize::new(0));
    let mut moments = Moments(20_261_124);
    for round in 0..ROUNDS {
        let mut clients = JoinSet::new();
        let before = answered.lock().unwrap().len();
        for client in 0..CLIENTS {
            let (addr, key) = (server.addr.clone(), key.clone());
            let (answered, sent) = (Arc::clone(&answered), Arc::clone(&sent));
            clients.spawn(async move {
                loop {
                    sent.fetch_add(1, Ordering::SeqCst);
                    match ask(&addr, &key, client % 2 == 0).await {
                        Some(id) => answered.lock().unwrap().push(id),
                        None => return,
                    }
                }
            });
        }
        let (target, more) = (moments.next(40), moments.next(2_000));
        tokio::time::timeout(PATIENCE, async {
            while answered.lock().unwrap().len() < before + target {
                tokio::task::yield_now().await;
            }
            for _ in 0..more {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("round {round} answers"));
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        clients.join_all().await;
        server = start(&data, &config).await;
    }
    server.child.kill().unwrap();
    server.child.wait().unwrap();

    let answered = answered.lock().unwrap().clone();
    check(&data, &answered, sent.load(Ordering::SeqCst), upstream.received().len()).await;
}

async fn check(data: &Path, answered: &[RequestId], sent: usize, received: usize) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = LedgerSettings {
        currency: "EUR".parse().unwrap(),
        time_zone: jiff::tz::TimeZone::UTC,
        organisation_budget: None,
    };
    let database = Database::open(data).await.unwrap();
    let (ledger, recovery) = Ledger::open(database, data, settings, clock).await.unwrap();
    assert_eq!(recovery.damaged_lines, 0);
    assert!(answered.len() > ROUNDS, "the load was a load: {}", answered.len());
    for id in answered {
        let record =
            ledger.request(*id).await.unwrap().unwrap_or_else(|| panic!("{id} was answered and is lost"));
        assert_eq!(record.outcome, Outcome::Answered, "{id}");
        assert_eq!(record.entry.unwrap().state, EntryState::Posted, "{id}");
    }
    let rows = ledger.usage(UsageBy::UseCase, None, None, None).await.unwrap();
    let row = &rows[0];
    let entries = usize::try_from(row.requests).unwrap();
    // What the provider saw was dispatched, so it has an entry; what has an entry was sent by a client.
    assert!(received <= entries && entries <= sent, "{received} received, {entries} entries, {sent} sent");
    let states = ledger.budgets().unwrap();
    for scope in [Scope::Organisation, Scope::UseCase("replies".parse().unwrap())] {
        let state = states.iter().find(|state| state.scope == scope).unwrap();
        assert_eq!((state.posted.nanos(), state.held.nanos()), (row.cost_nanos, 0), "{scope}");
    }
}
