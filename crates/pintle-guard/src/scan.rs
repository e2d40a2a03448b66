//! The scanner: one walk over a text from left to right, whole or as it arrives.
//!
//! [`Guard::sweep`] advances a [`Sweep`] over a [`Page`]. It stops where a detector needs bytes that have
//! not arrived and goes on there when there are more; everything that it remembers from before its
//! position is in the [`Sweep`], and is a function of the text alone. That makes streamed = whole (I5).
//!
//! Matches that overlap become one, so that a mask covers their union; the most severe class wins.

use std::{collections::HashMap, sync::Arc};

use pintle_core::DataClass;

use crate::{
    config::{GuardConfig, GuardError},
    detect::{self, BUILT_IN, CONFIDENCE_MIN, DetectorId, DetectorInfo, Hit, Tail, Word},
    dictionary::Lexicon,
    probe::{Page, Previous, Probe, REACH, is_unspaced, is_word_byte, is_word_char, starts_word},
    redact::{TOKEN_LEN_MAX, label, token_label},
};

/// Where a key of open length ends, at the latest.
const TOKEN_LEN_CAP: usize = 16 * 1024;

/// A sensitive value's place and type, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// `iban`, `credit_card`, `dictionary:clients`.
    pub kind: Arc<str>,
    /// How sensitive the value is.
    pub class: DataClass,
    /// In percent, 60 or more.
    pub confidence: u8,
    /// Where it begins in the text, in bytes, on a character boundary.
    pub start: usize,
    /// Where it ends, exclusive.
    pub end: usize,
}

/// The detectors of one configuration. Immutable; share it in an [`Arc`].
#[derive(Debug)]
pub struct Guard {
    detectors: Vec<DetectorInfo>,
    /// The labels that masks and pseudonyms of this guard carry. They are not scanned again.
    labels: HashMap<Box<str>, DetectorId>,
    lexicon: Option<Lexicon>,
}

/// Says how many entries there are, not which.
impl std::fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lexicon").finish_non_exhaustive()
    }
}

impl Guard {
    /// Builds the detectors and dictionaries.
    ///
    /// # Errors
    /// When a dictionary breaks its bounds, or the configuration names a kind that does not exist.
    pub fn new(config: &GuardConfig) -> Result<Guard, GuardError> {
        config.check_dictionaries()?;
        let built_in = BUILT_IN
            .iter()
            .map(|(_, kind, class, description)| ((*kind).into(), *class, (*description).into()));
        let own = config.dictionaries.iter().map(|dictionary| {
            let description = format!("the organisation's dictionary `{}`", dictionary.name);
            (Arc::<str>::from(dictionary.kind()), dictionary.class, Arc::<str>::from(description))
        });
        let mut detectors: Vec<DetectorInfo> = built_in
            .chain(own)
            .map(|(kind, class, description)| DetectorInfo {
                class: config.classes.get(&*kind).copied().unwrap_or(class),
                enabled: !config.disabled.contains(&*kind),
                kind,
                description,
            })
            .collect();
        // Ids are 16 bits; more dictionaries than that are no configuration that anybody wrote.
        detectors.truncate(usize::from(u16::MAX));
        for named in config.classes.keys().chain(&config.disabled) {
            if !detectors.iter().any(|detector| *detector.kind == **named) {
                return Err(unknown_kind(named, &detectors));
            }
        }
        let ids = || (0_u16..).map(DetectorId);
        let mut labels = HashMap::new();
        for (detector, id) in detectors.iter().zip(ids()) {
            labels.entry(label(&detector.kind).into_boxed_str()).or_insert(id);
        }
        let lexicon = Lexicon::new(config.dictionaries.iter().zip(ids().skip(BUILT_IN.len())));
        Ok(Guard { detectors, labels, lexicon })
    }

    /// Finds the sensitive values in a text, in the order of their places, without overlaps. Takes time linear
    /// in the length of the text.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Match> {
        let mut found = Vec::new();
        let page = Page { text, base: 0, complete: true };
        self.sweep(&page, &mut Sweep::default(), &mut found);
        found
    }

    /// Every detector, switched on or not: for documentation and the console.
    pub fn detectors(&self) -> impl Iterator<Item = &DetectorInfo> {
        self.detectors.iter()
    }

    /// Walks as far as the page allows and adds what became final to `found`.
    pub(crate) fn sweep(&self, page: &Page<'_>, sweep: &mut Sweep, found: &mut Vec<Match>) {
        let end = page.base + page.text.len();
        loop {
            if sweep.swallow.is_some() && !self.swallow(page, sweep, found) {
                return;
            }
            let next = self.next_start(page.text, sweep.position - page.base, sweep.edge(page));
            sweep.position = page.base + next;
            if sweep.cluster.is_some_and(|cluster| cluster.end <= sweep.position) {
                self.close_cluster(sweep, found);
            }
            if sweep.position >= end {
                return;
            }
            match self.inspect(page, next, sweep, found) {
                Some(step) => sweep.position += step,
                None => return,
            }
        }
    }

    /// The next place from `at` where something can begin: an index into `text`, its length if none. A word
    /// begins at `edge`, the end of the last match, whatever stands before.
    fn next_start(&self, text: &str, mut at: usize, edge: Option<usize>) -> usize {
        let bytes = text.as_bytes();
        let begins_word = |at: usize| Some(at) == edge || starts_word(text, at);
        while let Some(byte) = bytes.get(at) {
            match class_of(*byte) {
                Class::Plain => at += 1,
                Class::Word => {
                    if begins_word(at) {
                        match self.plain_word_len(bytes, at) {
                            Some(len) => {
                                at += len;
                                continue;
                            }
                            None => return at,
                        }
                    }
                    at += 1;
                    while Some(at) != edge && bytes.get(at).is_some_and(|byte| is_word_byte(*byte)) {
                        at += 1;
                    }
                }
                Class::Sign => {
                    let may_begin = match (byte, bytes.get(at + 1)) {
                        // Whatever comes after the page may make it one.
                        (_, None) | (b'[' | b'<' | b'\\', _) => true,
                        (sign, Some(next)) => detect::may_begin_at_sign(*sign, *next),
                    };
                    if may_begin {
                        return at;
                    }
                    at += 1;
                }
                Class::High => {
                    let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) else {
                        return bytes.len();
                    };
                    let begins = if is_word_char(c) {
                        begins_word(at)
                    } else {
                        self.lexicon.is_some() && is_unspaced(c)
                    };
                    if begins {
                        return at;
                    }
                    at += c.len_utf8();
                }
            }
        }
        at
    }

    /// The length of a word that no detector looks at: the fast way over prose. `None` if in doubt.
    fn plain_word_len(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let (mut end, mut has_lower) = (at, false);
        let next = loop {
            let byte = *bytes.get(end)?;
            if !byte.is_ascii_alphabetic() {
                break byte;
            }
            has_lower |= byte.is_ascii_lowercase();
            end += 1;
        };
        // Long words may be keys; capitals may be codes; the signs left out here tie words together.
        let stands_alone = matches!(next, b' ' | b'\n' | b',' | b';' | b')' | b'!' | b'?' | b'"');
        let after_equals = at.checked_sub(1).and_then(|index| bytes.get(index)) == Some(&b'=');
        let is_plain = stands_alone && has_lower && !after_equals && end - at < 20;
        let is_entry = || self.lexicon.as_ref().is_some_and(|lexicon| lexicon.may_begin_at(bytes, at));
        (is_plain && (end - at != 2 || !bytes.get(at)?.is_ascii_uppercase()) && !is_entry())
            .then_some(end - at)
    }

    /// Asks the detectors about one place. Gives the length to move on by, `None` if bytes are missing.
    fn inspect(
        &self,
        page: &Page<'_>,
        at: usize,
        sweep: &mut Sweep,
        found: &mut Vec<Match>,
    ) -> Option<usize> {
        let probe = Probe::new(page, at, sweep.previous(page));
        sweep.hits.clear();
        let step = match probe.byte(0) {
            b'\\' => escape_len(&probe),
            b'[' | b'<' => {
                let token = self.own_token(&probe);
                if probe.is_starved() {
                    return None;
                }
                if let Some((len, detector)) = token {
                    sweep.barrier = Some(Barrier { end: sweep.position + len, detector });
                    return Some(len);
                }
                1
            }
            byte if byte < 0x80 && !is_word_byte(byte) => {
                detect::at_sign(&probe, &mut sweep.hits);
                1
            }
            _ => self.inspect_word(&probe, &mut sweep.hits),
        };
        if probe.is_starved() {
            return None;
        }
        self.take_hits(sweep, found);
        // A match that goes on is taken in from its own beginning.
        Some(if sweep.swallow.is_some() { 0 } else { step })
    }

    fn inspect_word(&self, probe: &Probe<'_>, hits: &mut Vec<Hit>) -> usize {
        let word = Word::read(probe);
        if word.len == 0 {
            // A character of a script without spaces: only dictionaries look here.
            let len = probe.char(0).map_or(1, |(c, _)| c.len_utf8());
            self.look_up(probe, 0, hits);
            return len;
        }
        detect::at_word(probe, &word, hits);
        if self.lexicon.is_some() && !word.is_cut() {
            self.look_up(probe, 0, hits);
            if word.has_underscore {
                // `falcon` is a word of its own in `project_falcon_db`.
                for from in 1..word.len {
                    if probe.byte(from - 1) == b'_' && probe.byte(from) != b'_' {
                        self.look_up(probe, from, hits);
                    }
                }
            }
        }
        word.len
    }

    fn look_up(&self, probe: &Probe<'_>, from: usize, hits: &mut Vec<Hit>) {
        let entry = self.lexicon.as_ref().and_then(|lexicon| lexicon.longest(probe, from));
        if let Some((len, detector)) = entry {
            hits.push(Hit { detector, confidence: 100, offset: from, len, tail: Tail::None });
        }
    }

    /// A mask or pseudonym of this guard at the probe's position: its length and kind. Only known labels count,
    /// so that nothing can hide in what merely looks like one.
    fn own_token(&self, probe: &Probe<'_>) -> Option<(usize, DetectorId)> {
        let len = probe.run(
            0,
            TOKEN_LEN_MAX,
            |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_' | b':' | b'[' | b'<'),
        );
        let text = std::str::from_utf8(probe.bytes(0, len + 1)).ok()?;
        let detector = self.labels.get(token_label(text)?)?;
        Some((len + 1, *detector))
    }

    /// Turns hits into matches: bounded ones join the cluster, an open one begins to swallow.
    fn take_hits(&self, sweep: &mut Sweep, found: &mut Vec<Match>) {
        let mut open: Option<Found> = None;
        for index in 0..sweep.hits.len() {
            let Some(hit) = sweep.hits.get(index).copied() else { break };
            let Some(info) = self.info(hit.detector) else { continue };
            if hit.confidence < CONFIDENCE_MIN || !info.enabled {
                continue;
            }
            let start = sweep.position + hit.offset;
            let (detector, class, confidence) = (hit.detector, info.class, hit.confidence);
            let seen = Found { start, end: start + hit.len, detector, class, confidence, tail: hit.tail };
            if seen.tail == Tail::None {
                self.join(sweep, seen, found);
            } else if open.is_none_or(|open| seen.beats(&open)) {
                open = Some(seen);
            }
        }
        if let Some(open) = open {
            self.begin_swallow(sweep, open, found);
        }
    }

    /// Adds a match to the cluster, or closes that and begins another.
    fn join(&self, sweep: &mut Sweep, mut seen: Found, found: &mut Vec<Match>) {
        if let Some(cluster) = sweep.cluster {
            if seen.start < cluster.end {
                let end = seen.end.max(cluster.end);
                if end == cluster.end || end - cluster.start <= REACH {
                    let winner = if seen.beats(&cluster) { seen } else { cluster };
                    sweep.cluster = Some(Found { start: cluster.start, end, ..winner });
                    return;
                }
                // A chain of overlaps must not be held back for ever: the rest becomes a match of its own.
                seen.start = cluster.end;
            }
            self.close_cluster(sweep, found);
        }
        sweep.cluster = Some(seen);
    }

    fn begin_swallow(&self, sweep: &mut Sweep, mut open: Found, found: &mut Vec<Match>) {
        if let Some(cluster) = sweep.cluster.take() {
            if cluster.end > open.start {
                open.class = open.class.max(cluster.class);
                open.end = open.end.max(cluster.end);
                let before = Found { end: open.start, ..cluster };
                if before.start < before.end {
                    self.close(before, sweep, found);
                }
            } else {
                self.close(cluster, sweep, found);
            }
        }
        // What it swallows is looked at byte by byte, from the end of what was recognised.
        sweep.position = open.start;
        sweep.swallow = Some(open);
    }

    /// Takes in the rest of an open match. True when it is complete.
    fn swallow(&self, page: &Page<'_>, sweep: &mut Sweep, found: &mut Vec<Match>) -> bool {
        let Some(open) = sweep.swallow else { return true };
        let from = sweep.position.max(open.end) - page.base;
        let cap = (open.start + TOKEN_LEN_CAP).saturating_sub(page.base);
        let (end, complete) = match open.tail {
            Tail::Pem => pem_end(page, from, cap),
            tail => token_end(page, from, cap, tail == Tail::Dotted),
        };
        sweep.position = page.base + end;
        if complete {
            sweep.swallow = None;
            self.close(Found { end: sweep.position, ..open }, sweep, found);
        }
        complete
    }

    fn close_cluster(&self, sweep: &mut Sweep, found: &mut Vec<Match>) {
        if let Some(cluster) = sweep.cluster.take() {
            self.close(cluster, sweep, found);
        }
    }

    fn close(&self, last: Found, sweep: &mut Sweep, found: &mut Vec<Match>) {
        sweep.barrier = Some(Barrier { end: last.end, detector: last.detector });
        found.extend(self.to_match(&last));
    }

    /// The match that is being taken in now: where it starts and its class.
    pub(crate) fn open_match(&self, sweep: &Sweep) -> Option<Match> {
        sweep.swallow.as_ref().and_then(|open| self.to_match(open))
    }

    fn to_match(&self, found: &Found) -> Option<Match> {
        let kind = Arc::clone(&self.info(found.detector)?.kind);
        let Found { start, end, class, confidence, .. } = *found;
        Some(Match { kind, class, confidence, start, end })
    }

    fn info(&self, id: DetectorId) -> Option<&DetectorInfo> {
        self.detectors.get(usize::from(id.0))
    }
}

fn unknown_kind(named: &str, detectors: &[DetectorInfo]) -> GuardError {
    let kind: String = named.chars().take(64).collect();
    let near: Vec<&str> = detectors
        .iter()
        .map(|detector| &*detector.kind)
        .filter(|known| known.contains(&*kind) || kind.contains(known) || known.get(..3) == kind.get(..3))
        .collect();
    let all = || detectors.iter().map(|detector| &*detector.kind).collect::<Vec<_>>().join("`, `");
    let hint = if near.is_empty() { all() } else { near.join("`, `") };
    GuardError::UnknownKind { kind, hint: format!("use one of `{hint}`") }
}

/// The state of a walk.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Everything before it is decided. In bytes of the whole text.
    position: usize,
    /// Matches that overlap each other and may still grow.
    cluster: Option<Found>,
    /// An open match that is being taken in.
    swallow: Option<Found>,
    /// Where the last match, mask or pseudonym ended: context does not reach back over it.
    barrier: Option<Barrier>,
    /// Scratch.
    hits: Vec<Hit>,
}

impl Sweep {
    /// Where the walk stands.
    pub(crate) const fn position(&self) -> usize {
        self.position
    }

    /// Everything before it is final and may be passed on.
    pub(crate) fn settled(&self) -> usize {
        self.cluster.map_or(self.position, |cluster| cluster.start.min(self.position))
    }

    /// The last match as seen from the page. `None` if it ended before the page, out of everyone's sight.
    fn previous(&self, page: &Page<'_>) -> Option<Previous> {
        let Barrier { end, detector } = self.barrier?;
        Some(Previous { end: end.checked_sub(page.base)?, detector })
    }

    /// Where on the page the last match ends, closed or not.
    fn edge(&self, page: &Page<'_>) -> Option<usize> {
        let end = self.cluster.map(|cluster| cluster.end).or(self.barrier.map(|barrier| barrier.end));
        end?.checked_sub(page.base)
    }
}

#[derive(Debug, Clone, Copy)]
struct Barrier {
    end: usize,
    detector: DetectorId,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    start: usize,
    end: usize,
    detector: DetectorId,
    class: DataClass,
    confidence: u8,
    tail: Tail,
}

impl Found {
    /// Which of two overlapping matches gives its kind: the more severe, the surer, the more specific.
    fn beats(&self, other: &Found) -> bool {
        let rank = |found: &Found| (found.class, found.confidence, std::cmp::Reverse(found.detector));
        rank(self) > rank(other)
    }
}

/// What the walk does at a byte.
#[derive(Clone, Copy)]
enum Class {
    Plain,
    Word,
    Sign,
    High,
}

const fn class_of(byte: u8) -> Class {
    match byte {
        b'+' | b'(' | b':' | b'-' | b'[' | b'<' | b'\\' => Class::Sign,
        0x80.. => Class::High,
        byte if is_word_byte(byte) => Class::Word,
        _ => Class::Plain,
    }
}

/// The length of a JSON escape, so that a value right after `\n` begins a word.
fn escape_len(probe: &Probe<'_>) -> usize {
    match probe.byte(1) {
        b'n' | b'r' | b't' | b'b' | b'f' | b'\\' => 2,
        b'u' if (2..6).all(|offset| probe.byte(offset).is_ascii_hexdigit()) => 6,
        _ => 1,
    }
}

/// Where a key that goes on at `from` ends, and whether that is known. Indices into the page.
fn token_end(page: &Page<'_>, from: usize, cap: usize, dotted: bool) -> (usize, bool) {
    let bytes = page.text.as_bytes();
    let class = |byte: u8| is_word_byte(byte) || byte == b'-';
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        if at >= cap {
            return (at, true);
        }
        if class(*byte) {
            at += 1;
            continue;
        }
        if !dotted || *byte != b'.' {
            return (at, true);
        }
        match bytes.get(at + 1) {
            Some(next) if class(*next) => at += 2,
            None if !page.complete => return (at, false),
            _ => return (at, true),
        }
    }
    (at.min(bytes.len()), page.complete)
}

/// Where a PEM block that goes on at `from` ends: after its `-----END …-----`, or at the cap.
fn pem_end(page: &Page<'_>, from: usize, cap: usize) -> (usize, bool) {
    const END: &[u8] = b"-----END ";
    const LABEL_MAX: usize = 48;
    let bytes = page.text.as_bytes();
    let rest = bytes.get(from..).unwrap_or_default();
    let marker = memchr::memmem::find(rest, END).map(|index| from + index).filter(|at| *at < cap);
    if let Some(at) = marker {
        let label = at + END.len();
        let window = bytes.get(label..bytes.len().min(label + LABEL_MAX)).unwrap_or_default();
        if let Some(index) = memchr::memmem::find(window, b"-----") {
            return (label + index + 5, true);
        }
        if !page.complete && window.len() < LABEL_MAX {
            return (at, false);
        }
        return (page.text.ceil_char_boundary(label), true);
    }
    if bytes.len() >= cap + END.len() || page.complete {
        return (page.text.ceil_char_boundary(cap.max(from)), true);
    }
    // The marker may have begun at the end of the page.
    let keep = bytes.len().saturating_sub(END.len() - 1).max(from);
    (page.text.floor_char_boundary(keep).max(from), false)
}
