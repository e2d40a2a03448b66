//! One module per format: from a file's bytes to the texts of its documents. `gather` judges the texts.
//!
//! What comes out is Markdown wherever the format has structure, because that is what the generator of
//! questions reads and what people write: headings with `#`, lists, tables.

mod csv;
mod html;
mod jsonl;
mod markdown;

use std::path::Path;

use super::{
    read::{self, Bounds, Halt},
    recipe::CsvDocuments,
    report::Left,
    text::tidy,
};

/// The formats that are read, told by a file's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Markdown,
    Text,
    Html,
    Jsonl,
    /// With the delimiter, where the extension says it.
    Csv(Option<u8>),
}

impl Format {
    /// What [`Format::of`] knows, for messages.
    pub(super) const NAMES: &'static str = ".md .txt .html .jsonl .csv .tsv";

    /// The format of a file; `None` if it is not read.
    pub(super) fn of(path: &Path) -> Option<Format> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "md" | "markdown" => Format::Markdown,
            "txt" | "text" => Format::Text,
            "html" | "htm" | "xhtml" => Format::Html,
            "jsonl" | "ndjson" => Format::Jsonl,
            "csv" => Format::Csv(None),
            "tsv" => Format::Csv(Some(b'\t')),
            _ => return None,
        })
    }
}

/// Takes a document's line, if it shares its file with others, and its text or why there is none.
pub(super) type Take<'a> = dyn FnMut(Option<u64>, Result<String, Left>) -> Result<(), Halt> + 'a;

/// Hands each document of a file to `take`, in order.
pub(super) fn documents(
    path: &Path,
    format: Format,
    csv_documents: CsvDocuments,
    bounds: Bounds<'_>,
    take: &mut Take<'_>,
) -> Result<(), Halt> {
    match format {
        Format::Markdown => take(None, Ok(tidy(&markdown::clean(&read::whole(path, bounds)?)))),
        Format::Text => take(None, Ok(tidy(&read::whole(path, bounds)?))),
        Format::Html => take(None, Ok(tidy(&html::to_markdown(&read::whole(path, bounds)?)))),
        Format::Jsonl => jsonl::documents(path, bounds, take),
        Format::Csv(delimiter) => {
            let text = read::whole(path, bounds)?;
            csv::documents(&text, delimiter, csv_documents, bounds, take)
        }
    }
}
