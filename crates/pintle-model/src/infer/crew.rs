//! The threads of a computation: a leader and its helpers, who do the phases of a step together.
//!
//! A step of a small network has some forty phases of a few dozen microseconds, so waking a thread for each would cost
//! more than it brings. Helpers therefore watch for a short while after each phase, and sleep when nothing comes. A
//! phase is cut into parts that whoever is there takes: a helper that lost its processor to another program holds up
//! nobody, unless it lost it in the middle of a part.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

use crate::ModelError;

/// Looks at the counter before a helper goes to sleep: about 0.1 ms.
const LOOKS: u32 = 2_000;

/// What a phase does.
pub(super) trait Work: Send + Sync + 'static {
    /// Into how many parts a phase is cut; below [`PARTS_END`], and always the same.
    fn parts(&self) -> usize;

    /// Does one part of a phase.
    fn work(&self, phase: usize, part: usize);
}

/// The lower bits of a ticket are the part, the upper ones count the phases.
const PART_BITS: u32 = 16;
/// Parts and threads together stay below it.
const PARTS_END: u64 = 1 << PART_BITS;

#[derive(Debug)]
struct Signal {
    /// The next part to be taken, of the phase that is being done. Who takes a ticket that names a part may rely on
    /// `phase`: it does not change before that part is done.
    ticket: AtomicU64,
    phase: AtomicUsize,
    /// Parts that are done.
    done: AtomicUsize,
    /// Whether a helper died.
    broken: AtomicBool,
    leave: AtomicBool,
    asleep: Vec<AtomicBool>,
}

impl Signal {
    /// Takes and does parts until there are none. Gives the count of the phase that it saw.
    fn do_parts(&self, work: &impl Work) -> u64 {
        loop {
            let ticket = self.ticket.fetch_add(1, Ordering::SeqCst);
            let part = usize::try_from(ticket % PARTS_END).unwrap_or(usize::MAX);
            if part >= work.parts() {
                return ticket / PARTS_END;
            }
            let _done = Done(self);
            work.work(self.phase.load(Ordering::Acquire), part);
        }
    }
}

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
            // Nothing to take yet.
            ticket: AtomicU64::new(PARTS_END / 2),
            phase: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            leave: AtomicBool::new(false),
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
        self.signal.done.store(0, Ordering::Release);
        self.signal.phase.store(phase, Ordering::Release);
        let turn = self.signal.ticket.load(Ordering::SeqCst) / PARTS_END;
        self.signal.ticket.store((turn + 1) * PARTS_END, Ordering::SeqCst);
        self.wake();
        self.signal.do_parts(&*self.work);
        let mut looks = 0_u32;
        while self.signal.done.load(Ordering::Acquire) < self.work.parts() {
            looks += 1;
            // A helper that lost its processor to another program needs more than patience.
            if looks.is_multiple_of(LOOKS / 8) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        if self.signal.broken.load(Ordering::Acquire) { Err(ModelError::Worker) } else { Ok(()) }
    }

    fn wake(&self) {
        for (asleep, helper) in self.signal.asleep.iter().zip(&self.helpers) {
            if asleep.swap(false, Ordering::SeqCst) {
                helper.thread().unpark();
            }
        }
    }
}

impl<W> Drop for Crew<W> {
    fn drop(&mut self) {
        self.signal.leave.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // One that died has been reported by its phase.
            let _ = helper.join();
        }
    }
}

/// Counts a part as done, also when it ends in a panic: the leader must not wait forever.
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
    loop {
        let seen = signal.do_parts(work);
        let mut looks = 0;
        while signal.ticket.load(Ordering::SeqCst) / PARTS_END == seen {
            if signal.leave.load(Ordering::SeqCst) {
                return;
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            // The leader writes the ticket before it looks who sleeps, and this looks again before it sleeps: one of
            // the two notices the other.
            if let Some(asleep) = signal.asleep.get(index) {
                asleep.store(true, Ordering::SeqCst);
            }
            let is_new = signal.ticket.load(Ordering::SeqCst) / PARTS_END != seen;
            if !is_new && !signal.leave.load(Ordering::SeqCst) {
                std::thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Count(Vec<AtomicUsize>);

    impl Work for Count {
        fn parts(&self) -> usize {
            self.0.len()
        }

        fn work(&self, phase: usize, part: usize) {
            assert!(phase != 77, "a part's panic");
            self.0[part].fetch_add(phase, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_part_of_every_phase_is_done_once() {
        let work = Arc::new(Count((0..7).map(|_| AtomicUsize::new(0)).collect()));
        let crew = Crew::new(Arc::clone(&work), 3).unwrap();
        let mut sum = 0;
        for phase in (0..50).cycle().take(2_000) {
            crew.run(phase).unwrap();
            sum += phase;
            assert!(work.0.iter().all(|count| count.load(Ordering::Relaxed) == sum));
        }
    }

    #[test]
    fn the_death_of_a_helper_is_told() {
        // The leader takes part 0 and waits there until the helper has taken the other and died.
        struct Die(std::sync::Barrier);
        impl Work for Die {
            fn parts(&self) -> usize {
                2
            }
            fn work(&self, _: usize, _: usize) {
                self.0.wait();
                assert!(std::thread::current().name() != Some("model-1"), "a helper's panic");
            }
        }
        let crew = Crew::new(Arc::new(Die(std::sync::Barrier::new(2))), 2).unwrap();
        assert!(matches!(crew.run(0), Err(ModelError::Worker)));
        assert!(matches!(crew.run(0), Err(ModelError::Worker)));
    }
}
