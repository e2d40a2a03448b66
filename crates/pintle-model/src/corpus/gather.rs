//! Takes each document through its steps, in order: text, quality, guard, repeats, split.
//!
//! Whatever leaves, leaves through [`CorpusReport`]; nothing is dropped on the way. The order matters: the
//! guard comes before the search for repeats, so that the document which stays is one that may stay.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use pintle_guard::Guard;

use super::{
    document::{ContentHash, Corpus, Document},
    error::CorpusError,
    fingerprint::Fingerprint,
    format,
    near::{Earlier, Known},
    quality,
    read::{Bounds, Halt},
    recipe::CorpusRecipe,
    report::{CorpusReport, Left, Reason, place},
    screen::{Counts, Passed, Screen},
    text::count,
    walk,
};

/// How far [`gather`] is. Called after each file and every so many documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files done.
    pub files: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes of the files done.
    pub bytes: u64,
    /// Bytes of all files that are to be read.
    pub bytes_total: u64,
    /// Documents found so far.
    pub documents_in: u64,
    /// Of them, those kept.
    pub documents_kept: u64,
}

/// Documents between two calls for progress within one file.
const PROGRESS_DOCUMENTS: u64 = 256;

/// Reads a recipe's sources, and makes a corpus of what may be learned. Takes memory for the texts kept, one
/// file, and about 1 KiB per document. The same files give the same corpus.
///
/// # Errors
/// When the recipe cannot be meant, a source is missing, a limit on the whole is passed, nothing is left to
/// learn from, or `stop` was set. Documents that cannot be read or used are no errors; they leave, and the
/// report says why.
pub fn gather(
    recipe: &CorpusRecipe,
    guard: &Guard,
    progress: &mut dyn FnMut(Progress),
    stop: &AtomicBool,
) -> Result<Corpus, CorpusError> {
    recipe.check()?;
    let screen = Screen {
        guard,
        mask: recipe.masked_types(guard)?,
        accepts: recipe.accepts,
        class_at_least: recipe.class_at_least,
    };
    let listing = walk::list(recipe, stop)?;
    let mut report = CorpusReport::new(recipe.accepts, recipe.class_at_least);
    report.hidden = listing.hidden;
    report.excluded = listing.excluded;
    let at = Progress {
        files_total: count(listing.entries.len()),
        bytes_total: listing.bytes,
        ..Progress::default()
    };
    let mut gathering = Gathering {
        recipe,
        screen,
        known: Known::default(),
        documents: Vec::new(),
        report,
        at,
        progress,
        stop,
    };
    for entry in &listing.entries {
        gathering.entry(entry)?;
    }
    gathering.finish()
}

struct Gathering<'a> {
    recipe: &'a CorpusRecipe,
    screen: Screen<'a>,
    known: Known,
    documents: Vec<Document>,
    report: CorpusReport,
    at: Progress,
    progress: &'a mut dyn FnMut(Progress),
    stop: &'a AtomicBool,
}

impl Gathering<'_> {
    fn entry(&mut self, entry: &walk::Entry) -> Result<(), CorpusError> {
        let path = self.screen.path(&entry.shown);
        match &entry.content {
            Err(left) => self.report.leaves(&path, None, left.clone()),
            Ok(listed) => {
                let recipe = self.recipe;
                let bounds = Bounds { limits: &recipe.limits, stop: self.stop };
                let mut take = |line, text| self.document(&path, line, text);
                let read = format::documents(&entry.path, listed.format, recipe.csv, bounds, &mut take);
                match read {
                    Ok(()) => {}
                    Err(Halt::Left(left)) => self.report.leaves(&path, None, left),
                    Err(Halt::Error(error)) => return Err(error),
                }
                self.at.bytes = self.at.bytes.saturating_add(listed.bytes);
            }
        }
        self.at.files += 1;
        self.tell();
        Ok(())
    }

    fn document(&mut self, path: &str, line: Option<u64>, text: Result<String, Left>) -> Result<(), Halt> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Halt::Error(CorpusError::Stopped));
        }
        let most = self.recipe.limits.documents;
        if self.report.documents_in >= most {
            let what = format!("the sources hold at least {} documents", self.report.documents_in + 1);
            return Err(Halt::Error(CorpusError::TooMuch { what, limit: "documents", most }));
        }
        if let Err(left) = text.and_then(|text| self.judge(path, line, text)) {
            self.report.leaves(path, line, left);
        }
        let most = self.recipe.limits.total_bytes;
        if self.report.bytes > most {
            let what = format!("the texts kept have at least {} bytes", self.report.bytes);
            return Err(Halt::Error(CorpusError::TooMuch { what, limit: "total_bytes", most }));
        }
        if self.report.documents_in.is_multiple_of(PROGRESS_DOCUMENTS) {
            self.tell();
        }
        Ok(())
    }

    /// Keeps a document, or says why not.
    fn judge(&mut self, path: &str, line: Option<u64>, text: String) -> Result<(), Left> {
        let chars = quality::judge(&text, self.recipe.minimum_chars)?;
        let bytes_in = text.len();
        let screened = self.screen.pass(text);
        *self.report.classes_found.entry(screened.class_found).or_default() += 1;
        add(&mut self.report.findings, &screened.found);
        let passed = screened.outcome?;
        // Masks have another length than what they stand for.
        let chars = if passed.text.len() == bytes_in { chars } else { count(passed.text.chars().count()) };
        let words = Fingerprint::of(&passed.text);
        // INVARIANT: `limits.documents` fits 32 bits, and there are no more documents than that.
        let number = u32::try_from(self.documents.len()).unwrap_or(u32::MAX);
        let near = u32::from(self.recipe.near_duplicate_percent);
        if let Some(earlier) = self.known.find_or_add(&words, number, near) {
            return Err(self.repeat(earlier));
        }
        self.keep(path, line, passed, chars, words.words);
        Ok(())
    }

    fn repeat(&self, earlier: Earlier) -> Left {
        let name = |document: u32| {
            let document = usize::try_from(document).ok().and_then(|at| self.documents.get(at));
            document.map(|document| place(&document.path, document.line)).unwrap_or_default()
        };
        match earlier {
            Earlier::Same(document) => {
                Left::new(Reason::Duplicate, format!("has the same words as `{}`", name(document)))
            }
            Earlier::Near { document, percent } => {
                Left::new(Reason::NearDuplicate, format!("is {percent}% like `{}`", name(document)))
            }
        }
    }

    fn keep(&mut self, path: &str, line: Option<u64>, passed: Passed, chars: u64, words: u64) {
        let hash = ContentHash::of(&passed.text);
        let held_out = hash.is_held_out(self.recipe.held_out_percent);
        let report = &mut self.report;
        report.documents_in += 1;
        report.documents_kept += 1;
        report.documents_held_out += u64::from(held_out);
        report.bytes = report.bytes.saturating_add(count(passed.text.len()));
        report.characters += chars;
        report.words += words;
        report.class = report.class.max(passed.class);
        *report.classes_kept.entry(passed.class).or_default() += 1;
        add(&mut report.masked, &passed.masked);
        add(&mut report.findings_kept, &passed.kept);
        let Passed { text, class, .. } = passed;
        self.documents.push(Document { hash, path: path.to_owned(), line, text, class, held_out });
    }

    fn tell(&mut self) {
        self.at.documents_in = self.report.documents_in;
        self.at.documents_kept = self.report.documents_kept;
        (self.progress)(self.at);
    }

    fn finish(mut self) -> Result<Corpus, CorpusError> {
        if self.documents.is_empty() {
            let summary = self.report.summary();
            return Err(CorpusError::Empty { summary, report: Box::new(self.report) });
        }
        if self.documents.iter().all(|document| document.held_out) {
            return Err(CorpusError::AllHeldOut { documents: self.report.documents_kept });
        }
        self.report.hash = ContentHash::of_all(self.documents.iter().map(|document| document.hash));
        let class = self.report.class;
        Ok(Corpus { documents: self.documents, report: self.report, class })
    }
}

fn add(sums: &mut BTreeMap<String, u64>, counts: &Counts) {
    for (kind, count) in counts {
        match sums.get_mut(&**kind) {
            Some(sum) => *sum += count,
            None => {
                sums.insert(Arc::clone(kind).to_string(), *count);
            }
        }
    }
}
