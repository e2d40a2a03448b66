//! The threads of a computation: a leader and its helpers, who do the phases of a step together.
//!
//! A step of a small network has some forty phases of a few dozen microseconds, so waking a thread for each would cost
//! more than it brings. Helpers therefore watch a counter for a short while after each phase, and sleep when nothing
//! comes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use crate::ModelError;

/// Looks at the counter before a helper goes to sleep: about 0.1 ms.
const LOOKS: u32 = 2_000;

/// What a phase does on each thread: `work(phase, thread)`.
pub(super) trait Work: Send + Sync + 'static {
    /// Does this thread's share of a phase.
    fn work(&self, phase: usize, thread: usize);
}

#[derive(Debug)]
struct Signal {
    /// Grows by one with each phase.
    turn: AtomicUsize,
    /// What is to be done in it.
    phase: AtomicUsize,
    /// Helpers that have done it.
    done: AtomicUsize,
    /// Whether a helper died.
    broken: AtomicBool,
    asleep: Vec<AtomicBool>,
}

/// The phase that ends a helper.
const LEAVE: usize = usize::MAX;

#[derive(Debug)]
pub(super) struct Crew<W> {
    work: Arc<W>,
    signal: Arc<Signal>,
    helpers: Vec<JoinHandle<()>>,
}

impl<W: Work> Crew<W> {
    /// Of so many threads, the calling one among them.
    pub(super) fn new(work: Arc<W>, threads: usize) -> Result<Self, ModelError> {
        let helpers = threads.saturating_sub(1);
        let signal = Arc::new(Signal {
            turn: AtomicUsize::new(0),
            phase: AtomicUsize::new(LEAVE),
            done: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            asleep: (0..helpers).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut crew = Crew { work, signal, helpers: Vec::new() };
        for index in 0..helpers {
            let (work, signal) = (Arc::clone(&crew.work), Arc::clone(&crew.signal));
            let name = format!("model-{}", index + 1);
            let helper = std::thread::Builder::new().name(name).spawn(move || help(&*work, &signal, index));
            crew.helpers.push(helper.map_err(|_| ModelError::Worker)?);
        }
        Ok(crew)
    }

    pub(super) fn work(&self) -> &W {
        &self.work
    }

    /// Does a phase on all threads, and comes back when all have done it.
    pub(super) fn run(&self, phase: usize) -> Result<(), ModelError> {
        if self.signal.broken.load(Ordering::Acquire) {
            return Err(ModelError::Worker);
        }
        self.call(phase);
        self.work.work(phase, 0);
        let mut looks = 0_u32;
        while self.signal.done.load(Ordering::Acquire) < self.helpers.len() {
            looks += 1;
            // A helper that lost its processor to another program needs more than patience.
            if looks.is_multiple_of(LOOKS) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        if self.signal.broken.load(Ordering::Acquire) { Err(ModelError::Worker) } else { Ok(()) }
    }

    fn call(&self, phase: usize) {
        self.signal.done.store(0, Ordering::Release);
        self.signal.phase.store(phase, Ordering::Release);
        self.signal.turn.fetch_add(1, Ordering::SeqCst);
        for (asleep, helper) in self.signal.asleep.iter().zip(&self.helpers) {
            if asleep.swap(false, Ordering::SeqCst) {
                helper.thread().unpark();
            }
        }
    }
}

impl<W> Drop for Crew<W> {
    fn drop(&mut self) {
        self.signal.phase.store(LEAVE, Ordering::Release);
        self.signal.turn.fetch_add(1, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // One that died has been reported by its phase.
            let _ = helper.join();
        }
    }
}

/// Counts a phase as done, also when it ends in a panic: the leader must not wait forever.
struct Done<'a>(&'a Signal);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Release);
        }
        self.0.done.fetch_add(1, Ordering::Release);
    }
}

fn help(work: &impl Work, signal: &Signal, index: usize) {
    let mut seen = 0;
    loop {
        let mut looks = 0;
        while signal.turn.load(Ordering::SeqCst) == seen {
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            // The leader counts on before it looks who sleeps, and this looks again before it sleeps: one of the two
            // notices the other.
            if let Some(asleep) = signal.asleep.get(index) {
                asleep.store(true, Ordering::SeqCst);
            }
            if signal.turn.load(Ordering::SeqCst) == seen {
                std::thread::park();
            }
        }
        seen = seen.wrapping_add(1);
        let phase = signal.phase.load(Ordering::Acquire);
        if phase == LEAVE {
            return;
        }
        let _done = Done(signal);
        work.work(phase, index + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(Vec<AtomicUsize>);

    impl Work for Count {
        fn work(&self, phase: usize, thread: usize) {
            assert!(phase != 77 || thread == 0, "a helper's panic");
            self.0[thread].fetch_add(phase, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_thread_does_every_phase_once_and_a_death_is_told() {
        let work = Arc::new(Count((0..3).map(|_| AtomicUsize::new(0)).collect()));
        let crew = Crew::new(Arc::clone(&work), 3).unwrap();
        for phase in 0..2_000 {
            crew.run(phase % 50).unwrap();
            let counts: Vec<usize> = work.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            assert_eq!(counts, vec![counts[0]; 3]);
        }
        assert!(matches!(crew.run(77), Err(ModelError::Worker)));
    }
}
