//! How much of a sample stands word for word in the training text.
//!
//! The samples are few and small, the training text is large. So the samples go into a suffix automaton (Blumer et
//! al., 1985), and the training text runs through it once: time is linear in both, and memory depends on the samples
//! alone, at most about 70 bytes per byte of them. The result is exact; nothing is hashed.

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// For each sample, how long the longest run is that ends at each of its bytes and stands in the training text.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    runs: Vec<Vec<u32>>,
}

impl Shared {
    /// Runs do not cross from one training text into the next.
    pub(super) fn new<'a>(samples: &[&str], training: impl Iterator<Item = &'a str>) -> Shared {
        let mut automaton = Automaton::new();
        for sample in samples {
            automaton.add(sample.as_bytes());
        }
        for text in training {
            automaton.read(text.as_bytes());
        }
        automaton.settle();
        Shared { runs: samples.iter().map(|sample| automaton.runs(sample.as_bytes())).collect() }
    }

    /// Whether the bytes from `start` to `end` of a sample stand in the training text.
    pub(super) fn holds(&self, sample: usize, start: usize, end: usize) -> bool {
        let run = end.checked_sub(1).and_then(|last| self.runs.get(sample)?.get(last)).copied().unwrap_or(0);
        end > start && run as usize >= end - start
    }

    /// The longest shared run of a sample, in characters.
    pub(super) fn longest_chars(&self, sample: usize, text: &str) -> usize {
        let Some(runs) = self.runs.get(sample) else { return 0 };
        // How many characters begin before each byte, so that a run's characters are a difference.
        let mut begun = Vec::with_capacity(text.len() + 1);
        let mut count = 0_usize;
        for index in 0..text.len() {
            begun.push(count);
            count += usize::from(text.is_char_boundary(index));
        }
        begun.push(count);
        let chars = |(last, run): (usize, &u32)| {
            let end = last + 1;
            let start = end.checked_sub(*run as usize)?;
            text.is_char_boundary(end).then_some(())?;
            Some(begun.get(end)?.saturating_sub(*begun.get(start)?))
        };
        runs.iter().enumerate().filter_map(chars).max().unwrap_or(0)
    }
}

/// A state stands for the substrings of the samples that end at the same places.
#[derive(Debug, Clone)]
struct State {
    /// The longest of them, in bytes.
    length: u32,
    /// The state of the longest suffix that ends at more places.
    link: u32,
    /// The first of its edges.
    edges: u32,
    /// The longest of them that was read in the training text; 0 for none.
    seen: u32,
}

#[derive(Debug, Clone)]
struct Edge {
    byte: u8,
    to: u32,
    /// The state's next edge.
    next: u32,
}

#[derive(Debug)]
struct Automaton {
    states: Vec<State>,
    edges: Vec<Edge>,
    /// The root has an edge for nearly every byte and is asked most: a table of its own.
    first: Vec<u32>,
}

impl Automaton {
    fn new() -> Automaton {
        let root = State { length: 0, link: NONE, edges: NONE, seen: 0 };
        Automaton { states: vec![root], edges: Vec::new(), first: vec![NONE; 256] }
    }

    fn state(&self, state: u32) -> Option<&State> {
        self.states.get(state as usize)
    }

    fn length(&self, state: u32) -> u32 {
        self.state(state).map_or(0, |state| state.length)
    }

    fn link(&self, state: u32) -> u32 {
        self.state(state).map_or(NONE, |state| state.link)
    }

    fn set_link(&mut self, state: u32, link: u32) {
        if let Some(state) = self.states.get_mut(state as usize) {
            state.link = link;
        }
    }

    fn edge(&self, state: u32, byte: u8) -> Option<u32> {
        if state == ROOT {
            return self.first.get(usize::from(byte)).copied().filter(|to| *to != NONE);
        }
        let mut at = self.state(state)?.edges;
        while let Some(edge) = self.edges.get(at as usize) {
            if edge.byte == byte {
                return Some(edge.to);
            }
            at = edge.next;
        }
        None
    }

    fn set_edge(&mut self, state: u32, byte: u8, to: u32) {
        if state == ROOT {
            if let Some(first) = self.first.get_mut(usize::from(byte)) {
                *first = to;
            }
            return;
        }
        let Some(head) = self.states.get(state as usize).map(|state| state.edges) else { return };
        let mut at = head;
        while let Some(edge) = self.edges.get_mut(at as usize) {
            if edge.byte == byte {
                edge.to = to;
                return;
            }
            at = edge.next;
        }
        let new = index(self.edges.len());
        self.edges.push(Edge { byte, to, next: head });
        if let Some(state) = self.states.get_mut(state as usize) {
            state.edges = new;
        }
    }

    fn push(&mut self, length: u32, link: u32) -> u32 {
        let new = index(self.states.len());
        self.states.push(State { length, link, edges: NONE, seen: 0 });
        new
    }

    fn add(&mut self, sample: &[u8]) {
        let mut last = ROOT;
        for byte in sample {
            last = self.extend(last, *byte);
        }
    }

    /// The state of a sample's beginning, one byte longer.
    fn extend(&mut self, last: u32, byte: u8) -> u32 {
        let length = self.length(last) + 1;
        if let Some(to) = self.edge(last, byte) {
            // Another sample begins alike, or holds it.
            return if self.length(to) == length { to } else { self.split(last, byte, to) };
        }
        let new = self.push(length, ROOT);
        let mut at = last;
        while at != NONE {
            if let Some(to) = self.edge(at, byte) {
                let link = if self.length(to) == self.length(at) + 1 { to } else { self.split(at, byte, to) };
                self.set_link(new, link);
                break;
            }
            self.set_edge(at, byte, new);
            at = self.link(at);
        }
        new
    }

    /// Takes the shorter substrings of `to`, those that `from` leads to, into a state of their own.
    fn split(&mut self, from: u32, byte: u8, to: u32) -> u32 {
        let part = self.push(self.length(from) + 1, self.link(to));
        let mut at = self.state(to).map_or(NONE, |state| state.edges);
        while let Some(edge) = self.edges.get(at as usize).cloned() {
            self.set_edge(part, edge.byte, edge.to);
            at = edge.next;
        }
        self.set_link(to, part);
        let mut at = from;
        while at != NONE && self.edge(at, byte) == Some(to) {
            self.set_edge(at, byte, part);
            at = self.link(at);
        }
        part
    }

    fn read(&mut self, text: &[u8]) {
        let (mut at, mut run) = (ROOT, 0_u32);
        for byte in text {
            loop {
                if let Some(to) = self.edge(at, *byte) {
                    at = to;
                    run += 1;
                    break;
                }
                if at == ROOT {
                    run = 0;
                    break;
                }
                at = self.link(at);
                run = self.length(at);
            }
            if let Some(state) = self.states.get_mut(at as usize) {
                state.seen = state.seen.max(run);
            }
        }
    }

    /// Hands on what was read: to the suffixes of what was seen, and from them to what was not.
    fn settle(&mut self) {
        let mut order: Vec<u32> = (0..self.states.len()).map(index).collect();
        order.sort_unstable_by_key(|state| self.length(*state));
        for state in order.iter().rev() {
            if self.state(*state).is_some_and(|state| state.seen > 0) {
                let link = self.link(*state) as usize;
                if let Some(link) = self.states.get_mut(link) {
                    link.seen = link.length;
                }
            }
        }
        for at in order {
            let from_link = self.state(self.link(at)).map_or(0, |state| state.seen);
            if let Some(state) = self.states.get_mut(at as usize).filter(|state| state.seen == 0) {
                state.seen = from_link;
            }
        }
    }

    fn runs(&self, sample: &[u8]) -> Vec<u32> {
        let mut at = ROOT;
        let step = |byte: &u8| {
            at = self.edge(at, *byte).unwrap_or(ROOT);
            self.state(at).map_or(0, |state| state.seen)
        };
        sample.iter().map(step).collect()
    }
}

/// Samples are bounded far below what this index can count.
fn index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by trying everything.
    fn slow(sample: &str, training: &[&str]) -> Vec<u32> {
        let bytes = sample.as_bytes();
        let holds =
            |part: &[u8]| training.iter().any(|text| text.as_bytes().windows(part.len()).any(|w| w == part));
        (1..=bytes.len())
            .map(|end| (1..=end).rev().find(|run| holds(&bytes[end - run..end])).map_or(0, index))
            .collect()
    }

    #[test]
    fn runs_equal_those_found_by_trying() {
        let mut state = 7_u32;
        let mut word = |length: u32| -> String {
            (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    ['a', 'b', 'ü'][(state >> 24) as usize % 3]
                })
                .collect()
        };
        for round in 0..60 {
            let samples: Vec<String> = (0..4).map(|n| word(n * 7 + round % 5)).collect();
            let training: Vec<String> = (0..3).map(|_| word(20)).collect();
            let samples: Vec<&str> = samples.iter().map(String::as_str).collect();
            let training: Vec<&str> = training.iter().map(String::as_str).collect();
            let shared = Shared::new(&samples, training.iter().copied());
            for (sample, runs) in samples.iter().zip(&shared.runs) {
                assert_eq!(*runs, slow(sample, &training), "{sample:?} in {training:?}");
            }
        }
    }

    #[test]
    fn characters_are_counted_whole_and_texts_stay_apart() {
        let sample = "xx größe yy";
        let shared = Shared::new(&[sample, ""], ["die größe 3", "xx", " y"].into_iter());
        // ` größe ` has seven characters, nine bytes.
        assert_eq!(shared.longest_chars(0, sample), 7);
        assert_eq!(shared.longest_chars(1, ""), 0);
        assert!(shared.holds(0, 0, 2) && !shared.holds(0, 0, 3) && !shared.holds(0, 2, 2));
        // `ä` and `ö` share their first byte only: no character.
        assert_eq!(Shared::new(&["ä"], ["ö"].into_iter()).longest_chars(0, "ä"), 0);
    }
}
