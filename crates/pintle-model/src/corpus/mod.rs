//! From files to a corpus: read, guard, sort out, split, report.
//!
//! [`gather()`] is the one way in. `walk` lists the files, `read` loads them within bounds, `format` makes text
//! of them, `quality` refuses what no model should learn, `screen` asks the guard for the text's class and
//! masks, `near` finds what was there before, and `report` writes down what became of each document.
//!
//! INVARIANT: a document reaches [`Corpus`] only through `screen`, so its text was scanned in the very form in
//! which it is learned, and its class is known. What the guard found stays in the text or is masked; reports,
//! errors and `Debug` name its type and never the value.

mod document;
mod error;
mod fingerprint;
mod format;
mod gather;
mod glob;
mod near;
mod quality;
mod read;
mod recipe;
mod report;
mod screen;
mod text;
mod walk;

pub use document::{ContentHash, Corpus, Document};
pub use error::CorpusError;
pub use gather::{Progress, gather};
pub use glob::Pattern;
pub use recipe::{CorpusLimits, CorpusRecipe, CsvDocuments};
pub use report::{CorpusReport, LeftDocument, LeftOut, Reason};
