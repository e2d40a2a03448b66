//! Requests for embeddings take turns: a bounded list of them, and for each turn of the worker some texts of every one, so
//! that a long request does not hold up a short one.
//!
//! A request leaves the list with its last text or with its caller, and only then is it told: whoever hears the end of
//! one finds room for another.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use pintle_llm::{LocalBody, LocalBroken};

use super::embeddings::Form;
use crate::locks::lock;

/// Tokens of one turn.
const TURN_TOKENS: usize = 4096;

/// What a caller waits for.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<SlotState>,
    has_left: AtomicBool,
}

#[derive(Debug, Default)]
struct SlotState {
    answer: Option<Result<Bytes, LocalBroken>>,
    is_told: bool,
    reader: Option<Waker>,
}

/// A caller's end: the body of its answer. Dropping it gives up the request.
#[derive(Debug)]
pub(super) struct Awaited(Arc<Slot>);

impl LocalBody for Awaited {
    fn poll_data(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        let mut state = lock(&self.0.state);
        match state.answer.take() {
            Some(answer) => Poll::Ready(Some(answer)),
            None if state.is_told => Poll::Ready(None),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.has_left.store(true, Ordering::Release);
    }
}

/// The worker's end. Dropped before the answer was told, it tells that there is none: no caller waits for nothing.
#[derive(Debug)]
pub(super) struct Teller(Arc<Slot>);

impl Teller {
    fn pair() -> (Teller, Awaited) {
        let slot = Arc::new(Slot::default());
        (Teller(Arc::clone(&slot)), Awaited(slot))
    }

    pub(super) fn has_left(&self) -> bool {
        self.0.has_left.load(Ordering::Acquire)
    }

    pub(super) fn tell(&self, answer: Result<Bytes, LocalBroken>) {
        let mut state = lock(&self.0.state);
        if state.is_told {
            return;
        }
        state.is_told = true;
        state.answer = Some(answer);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(Err(LocalBroken));
    }
}

/// A request on its way.
#[derive(Debug)]
struct Entry {
    number: u64,
    /// Those whose turn has not come, with their places.
    texts: VecDeque<(usize, Vec<u32>)>,
    embeddings: Vec<Vec<f32>>,
    /// Texts without an embedding yet.
    missing: usize,
    form: Form,
    teller: Arc<Teller>,
}

/// A text whose turn it is.
#[derive(Debug)]
pub(super) struct Pick {
    number: u64,
    place: usize,
    pub(super) tokens: Vec<u32>,
    pub(super) teller: Arc<Teller>,
}

/// A request with all its embeddings.
#[derive(Debug)]
pub(super) struct Complete {
    pub(super) embeddings: Vec<Vec<f32>>,
    pub(super) form: Form,
    pub(super) teller: Arc<Teller>,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// So many are on their way, and as many tokens wait.
    Busy { requests: usize, tokens: usize },
    /// The worker is gone.
    Stopped,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    next: u64,
    is_closed: bool,
}

impl State {
    fn waiting_tokens(&self) -> usize {
        self.entries.iter().flat_map(|entry| &entry.texts).map(|(_, tokens)| tokens.len()).sum()
    }
}

/// All requests that are on their way.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
    arrived: Condvar,
    requests_max: usize,
}

impl Turns {
    pub(super) fn new(requests_max: usize) -> Self {
        Turns { state: Mutex::default(), arrived: Condvar::new(), requests_max }
    }

    /// Takes a request of at least one text, if there is room.
    pub(super) fn push(&self, texts: Vec<Vec<u32>>, form: Form) -> Result<Awaited, Full> {
        let mut state = lock(&self.state);
        if state.is_closed {
            return Err(Full::Stopped);
        }
        // Those whose callers have left hold no place.
        state.entries.retain(|entry| !entry.teller.has_left());
        if state.entries.len() >= self.requests_max {
            return Err(Full::Busy { requests: state.entries.len(), tokens: state.waiting_tokens() });
        }
        let (teller, awaited) = Teller::pair();
        let number = state.next;
        state.next += 1;
        state.entries.push_back(Entry {
            number,
            embeddings: vec![Vec::new(); texts.len()],
            missing: texts.len(),
            texts: texts.into_iter().enumerate().collect(),
            form,
            teller: Arc::new(teller),
        });
        drop(state);
        self.arrived.notify_one();
        Ok(awaited)
    }

    /// The texts of the next turn: one of each request, and again, while there is room. Waits for some; `None` when there
    /// are none and never will be.
    pub(super) fn take(&self) -> Option<Vec<Pick>> {
        let mut state = lock(&self.state);
        loop {
            state.entries.retain(|entry| !entry.teller.has_left());
            let picks = pick(&mut state.entries);
            if !picks.is_empty() {
                return Some(picks);
            }
            if state.is_closed {
                return None;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Brings the embeddings of a turn, and takes out the requests that are complete.
    pub(super) fn put(&self, done: impl Iterator<Item = (Pick, Vec<f32>)>) -> Vec<Complete> {
        let mut state = lock(&self.state);
        let mut complete = Vec::new();
        for (pick, embedding) in done {
            // It may have been given up.
            let Some(at) = state.entries.iter().position(|entry| entry.number == pick.number) else {
                continue;
            };
            let Some(entry) = state.entries.get_mut(at) else { continue };
            if let Some(to) = entry.embeddings.get_mut(pick.place) {
                *to = embedding;
            }
            entry.missing = entry.missing.saturating_sub(1);
            if entry.missing == 0 {
                complete.extend(state.entries.remove(at));
            }
        }
        complete
            .into_iter()
            .map(|entry| Complete { embeddings: entry.embeddings, form: entry.form, teller: entry.teller })
            .collect()
    }

    /// Lets go of the requests of a turn that failed.
    pub(super) fn fail(&self, picks: &[Pick]) {
        let mut state = lock(&self.state);
        state.entries.retain(|entry| !picks.iter().any(|pick| pick.number == entry.number));
    }

    /// Takes no more requests. Those that it has still come to their end.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.arrived.notify_one();
    }

    /// Lets go of everything, since nobody will come for it.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        let entries = std::mem::take(&mut state.entries);
        drop(state);
        drop(entries);
    }

    /// How many requests are on their way.
    pub(super) fn len(&self) -> usize {
        lock(&self.state).entries.len()
    }
}

fn pick(entries: &mut VecDeque<Entry>) -> Vec<Pick> {
    let (mut picks, mut tokens) = (Vec::new(), 0);
    while tokens < TURN_TOKENS {
        let before = picks.len();
        for entry in entries.iter_mut() {
            if tokens >= TURN_TOKENS {
                break;
            }
            let Some((place, text)) = entry.texts.pop_front() else { continue };
            tokens += text.len();
            let teller = Arc::clone(&entry.teller);
            picks.push(Pick { number: entry.number, place, tokens: text, teller });
        }
        if picks.len() == before {
            break;
        }
    }
    // Whoever came first is not always the first: the turns go round.
    if !entries.is_empty() {
        entries.rotate_left(1);
    }
    picks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        Form { is_base64: false, tokens: 0 }
    }

    fn texts(count: usize, length: usize) -> Vec<Vec<u32>> {
        vec![vec![7; length]; count]
    }

    fn poll(awaited: &mut Awaited) -> Poll<Option<Result<Bytes, LocalBroken>>> {
        Pin::new(awaited).poll_data(&mut Context::from_waker(Waker::noop()))
    }

    /// Brings every text of a turn the number of its place.
    fn answer(turns: &Turns, picks: Vec<Pick>) -> Vec<Complete> {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let done: Vec<_> = picks.into_iter().map(|pick| (vec![pick.place as f32], pick)).collect();
        turns.put(done.into_iter().map(|(embedding, pick)| (pick, embedding)))
    }

    #[test]
    fn requests_are_bounded_and_leaving_makes_room() {
        let turns = Turns::new(2);
        let first = turns.push(texts(1, 10), form()).unwrap();
        let mut second = turns.push(texts(2, 10), form()).unwrap();
        assert_eq!(turns.push(texts(1, 1), form()).unwrap_err(), Full::Busy { requests: 2, tokens: 30 });
        drop(first);
        let third = turns.push(texts(1, 1), form()).unwrap();
        let picks = turns.take().unwrap();
        assert_eq!(picks.len(), 3);
        // One that leaves while it is computed gets no answer, and hinders nobody.
        drop(third);
        assert!(poll(&mut second).is_pending());
        let complete = answer(&turns, picks);
        assert_eq!(complete.iter().map(|one| one.embeddings.len()).collect::<Vec<_>>(), [1, 2]);
        // There is room before anybody is told.
        assert_eq!(turns.len(), 0);
        complete[1].teller.tell(Ok(Bytes::from_static(b"done")));
        assert_eq!(poll(&mut second), Poll::Ready(Some(Ok(Bytes::from_static(b"done")))));
        assert_eq!(poll(&mut second), Poll::Ready(None));
    }

    #[test]
    fn a_long_request_does_not_hold_up_a_short_one() {
        let turns = Turns::new(8);
        let _long = turns.push(texts(1000, 256), form()).unwrap();
        assert_eq!(answer(&turns, turns.take().unwrap()).len(), 0);
        let _short = turns.push(texts(2, 256), form()).unwrap();
        let picks = turns.take().unwrap();
        assert_eq!(picks.iter().map(|pick| pick.tokens.len()).sum::<usize>(), TURN_TOKENS);
        assert_eq!(answer(&turns, picks).len(), 1);
        let mut turns_taken = 2;
        while turns.len() > 0 {
            let complete = answer(&turns, turns.take().unwrap());
            turns_taken += 1;
            for one in complete {
                // Each embedding stands at its place.
                for (place, embedding) in (0_u16..).zip(&one.embeddings) {
                    assert_eq!(embedding[0].to_bits(), f32::from(place).to_bits());
                }
            }
        }
        assert_eq!(turns_taken, 63);
    }

    #[test]
    fn nobody_waits_for_a_worker_that_is_gone() {
        let turns = Turns::new(8);
        let mut broken = turns.push(texts(1, 1), form()).unwrap();
        let picks = turns.take().unwrap();
        turns.fail(&picks);
        drop(picks);
        assert_eq!(poll(&mut broken), Poll::Ready(Some(Err(LocalBroken))));
        let mut left = turns.push(texts(1, 1), form()).unwrap();
        turns.abandon();
        assert_eq!(poll(&mut left), Poll::Ready(Some(Err(LocalBroken))));
        assert_eq!(turns.push(texts(1, 1), form()).unwrap_err(), Full::Stopped);
        assert!(turns.take().is_none());
    }

    #[test]
    fn what_was_taken_comes_to_its_end_after_closing() {
        let turns = Turns::new(8);
        let _taken = turns.push(texts(1, 1), form()).unwrap();
        turns.close();
        assert_eq!(answer(&turns, turns.take().unwrap()).len(), 1);
        assert!(turns.take().is_none());
    }
}
