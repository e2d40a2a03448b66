//! Between callers and the engine's thread: the bounded queue of jobs, and each job's own line of events.
//!
//! Events wait in a list that holds at most as many as the job can have: a caller that reads slowly costs some memory,
//! bounded by the context, and never a step of anyone's. A line can be read from a thread and from any async runtime.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::job::{Event, Failure, Job, SubmitError};
use crate::locks::lock;

#[derive(Debug, Default)]
struct Line {
    events: Mutex<Events>,
    arrived: Condvar,
    cancelled: AtomicBool,
}

#[derive(Debug, Default)]
struct Events {
    waiting: VecDeque<Event>,
    ended: bool,
    reader: Option<Waker>,
}

/// A caller's end of a job. Dropping it cancels the job, which then leaves the engine before the next step.
#[derive(Debug)]
pub struct Handle {
    line: Arc<Line>,
}

impl Handle {
    /// The next event, for use in async code; `None` after the last one.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event, in the form that streams are made of.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut events = lock(&self.line.events);
        match events.waiting.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if events.ended => Poll::Ready(None),
            None => {
                events.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next event, waiting for it on this thread; `None` after the last one.
    pub fn next_blocking(&mut self) -> Option<Event> {
        let mut events = lock(&self.line.events);
        loop {
            if let Some(event) = events.waiting.pop_front() {
                return Some(event);
            }
            if events.ended {
                return None;
            }
            events = self.line.arrived.wait(events).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.line.cancelled.store(true, Ordering::Release);
    }
}

/// The engine's end of a job. Dropped before an end was told, it tells a failure: no caller waits for nothing.
#[derive(Debug)]
pub(super) struct Teller {
    line: Arc<Line>,
}

impl Teller {
    pub(super) fn pair() -> (Teller, Handle) {
        let line = Arc::new(Line::default());
        (Teller { line: Arc::clone(&line) }, Handle { line })
    }

    /// Whether nobody listens any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.line.cancelled.load(Ordering::Acquire)
    }

    pub(super) fn tell(&self, event: Event) {
        let mut events = lock(&self.line.events);
        if events.ended {
            return;
        }
        events.ended = matches!(event, Event::Done { .. } | Event::Failed(_));
        events.waiting.push_back(event);
        let reader = events.reader.take();
        drop(events);
        self.line.arrived.notify_one();
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(Event::Failed(Failure::Stopped));
    }
}

/// A job that was taken, and whom to tell.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) job: Job,
    pub(super) teller: Teller,
    /// Positions that it may come to: its prompt and what may be added.
    pub(super) positions: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Taken>,
    /// Jobs that have a slot.
    running: usize,
    closed: bool,
}

/// Jobs on their way in.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    slots: usize,
    waiting_max: usize,
}

impl Queue {
    pub(super) fn new(slots: usize, waiting_max: usize) -> Self {
        Queue { state: Mutex::default(), arrived: Condvar::new(), slots, waiting_max }
    }

    /// Takes a job where there is a free slot or a place to wait.
    pub(super) fn push(&self, taken: Taken) -> Result<(), SubmitError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(SubmitError::Stopped);
        }
        // Those whose callers have left hold no place.
        state.waiting.retain(|taken| !taken.teller.is_cancelled());
        if state.waiting.len() + state.running >= self.slots.saturating_add(self.waiting_max) {
            return Err(SubmitError::QueueFull { waiting: state.waiting.len() });
        }
        state.waiting.push_back(taken);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// For the engine's thread: waits until there is something to do, where nothing runs, and takes the jobs that fit, in
    /// their order. `false` when there is nothing left to do and never will be.
    pub(super) fn admit(&self, running: usize, mut fits: impl FnMut(Taken) -> Result<(), Taken>) -> bool {
        let mut state = lock(&self.state);
        state.running = running;
        while running == 0 && state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        while state.running < self.slots
            && let Some(taken) = state.waiting.pop_front()
        {
            if taken.teller.is_cancelled() {
                continue;
            }
            // The first one that does not fit waits, and all behind it: a long job is not overtaken forever.
            if let Err(taken) = fits(taken) {
                state.waiting.push_front(taken);
                break;
            }
            state.running += 1;
        }
        true
    }

    /// So many jobs have come to their end: there is room for others. Called before their callers are told, who may send
    /// the next one at once.
    pub(super) fn release(&self, count: usize) {
        let mut state = lock(&self.state);
        state.running = state.running.saturating_sub(count);
    }

    /// Takes no more jobs. Those that wait or run still come to their end.
    pub(super) fn close(&self) {
        lock(&self.state).closed = true;
        self.arrived.notify_one();
    }

    /// Lets go of everything, since nobody will come for it.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.running = 0;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    /// Jobs that wait, and jobs that have a slot.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.waiting.len(), state.running)
    }
}
