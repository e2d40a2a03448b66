//! CSV: rows become `column: value` lines, so that each value stands next to what it means, for the model as
//! for the guard, whose detectors look at the words before a number.

use super::{
    super::{
        read::{Bounds, Halt},
        recipe::CsvDocuments,
        report::{Left, Reason},
        text::{count, push_flat, tidy},
    },
    Take,
};

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
const NAME_BYTES_MAX: usize = 200;

pub(super) fn documents(
    text: &str,
    delimiter: Option<u8>,
    unit: CsvDocuments,
    bounds: Bounds<'_>,
    take: &mut Take<'_>,
) -> Result<(), Halt> {
    let text = text.trim_start();
    if text.is_empty() {
        return Err(Halt::left(Reason::Empty, "has no rows"));
    }
    let delimiter = delimiter.unwrap_or_else(|| likely_delimiter(text));
    let mut reader = ::csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let names = column_names(reader.headers().map_err(|error| malformed(&error))?)?;
    let mut row = ::csv::StringRecord::new();
    let mut document = String::new();
    let mut rows = 0_u64;
    while reader.read_record(&mut row).map_err(|error| malformed(&error))? {
        rows += 1;
        push_row(&mut document, &names, &row);
        if unit == CsvDocuments::Row {
            let line = row.position().map(::csv::Position::line);
            take(line, Ok(tidy(&document)))?;
            document.clear();
        } else if count(document.len()) > bounds.limits.file_bytes {
            // Column names are repeated, so the text of a file may be many times as long as the file.
            return Err(Halt::Left(bounds.too_large()));
        }
    }
    match (rows, unit) {
        (0, _) => Err(Halt::left(Reason::Empty, "has a header and no rows")),
        (_, CsvDocuments::File) => take(None, Ok(tidy(&document))),
        (_, CsvDocuments::Row) => Ok(()),
    }
}

/// Adds a row as a paragraph. Values that are empty say nothing and are left out.
fn push_row(out: &mut String, names: &[String], row: &::csv::StringRecord) {
    for (name, value) in names.iter().zip(row) {
        if !value.trim().is_empty() {
            out.push_str(name);
            out.push_str(": ");
            push_flat(out, value);
            out.push('\n');
        }
    }
    out.push('\n');
}

/// The names of the columns, as words. A first row that holds data would turn values into names, so anything
/// that could be data is refused.
fn column_names(header: &::csv::StringRecord) -> Result<Vec<String>, Halt> {
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for field in header {
        let mut name = String::new();
        push_flat(&mut name, &field.replace('_', " "));
        if name.len() > NAME_BYTES_MAX || !name.contains(char::is_alphabetic) || names.contains(&name) {
            let because = "has no header: its first row must give each column a name of its own, in words";
            return Err(Halt::left(Reason::Malformed, because));
        }
        names.push(name);
        if names.len() > COLUMNS_MAX {
            return Err(Halt::left(Reason::Malformed, format!("has more than {COLUMNS_MAX} columns")));
        }
    }
    Ok(names)
}

const COLUMNS_MAX: usize = 1000;

/// The delimiter that stands most often in the first line, outside quotes.
fn likely_delimiter(text: &str) -> u8 {
    let mut counts = [0_u32; DELIMITERS.len()];
    let mut is_quoted = false;
    for byte in text.bytes() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            _ if is_quoted => {}
            _ => {
                let known = DELIMITERS.iter().zip(&mut counts).find(|(delimiter, _)| **delimiter == byte);
                if let Some((_, count)) = known {
                    *count += 1;
                }
            }
        }
    }
    // The first of equals wins, hence the reversal.
    let most = DELIMITERS.into_iter().zip(counts).rev().max_by_key(|(_, count)| *count);
    most.map_or(b',', |(delimiter, _)| delimiter)
}

fn malformed(error: &::csv::Error) -> Halt {
    let line = error.position().map(::csv::Position::line);
    let place = line.map(|line| format!(" in line {line}")).unwrap_or_default();
    let because = match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has a row{place} with {len} values for {expected_len} columns")
        }
        _ => format!("is not CSV{place}"),
    };
    Halt::Left(Left::new(Reason::Malformed, because))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::{super::super::recipe::CorpusLimits, *};

    fn read(text: &str, unit: CsvDocuments) -> Result<Vec<(Option<u64>, String)>, String> {
        let (limits, stop) =
            (CorpusLimits { file_bytes: 10_000, ..CorpusLimits::default() }, AtomicBool::new(false));
        let mut read = Vec::new();
        let result =
            documents(text, None, unit, Bounds { limits: &limits, stop: &stop }, &mut |line, text| {
                read.push((line, text.unwrap()));
                Ok(())
            });
        match result {
            Ok(()) => Ok(read),
            Err(Halt::Left(left)) => Err(left.because),
            Err(Halt::Error(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn rows_become_lines_of_column_and_value() {
        let text = "item_name,price,note\nDesk,200,\"tall,\nwide\"\nLamp,,x\n";
        let whole = "item name: Desk\nprice: 200\nnote: tall, wide\n\nitem name: Lamp\nnote: x";
        assert_eq!(read(text, CsvDocuments::File).unwrap(), [(None, whole.to_owned())]);
        let rows = read(text, CsvDocuments::Row).unwrap();
        assert_eq!(rows[1], (Some(4), "item name: Lamp\nnote: x".to_owned()));
        let german = read("Ort;Zahl\nKöln;1,5\n", CsvDocuments::File).unwrap();
        assert_eq!(german[0].1, "Ort: Köln\nZahl: 1,5");
    }

    #[test]
    fn what_is_no_table_is_said_and_not_quoted() {
        for (text, said) in [
            ("1,2\n3,4\n", "no header"),
            ("a,a\n3,4\n", "no header"),
            ("a,\n3,4\n", "no header"),
            ("a,b\n1,2,3\n", "in line 2 with 3 values for 2 columns"),
            ("a,b\n", "no rows"),
            (" ", "no rows"),
        ] {
            let because = read(text, CsvDocuments::File).unwrap_err();
            assert!(because.contains(said), "{text}: {because}");
        }
    }

    #[test]
    fn long_names_do_not_multiply_without_bound() {
        let text = format!("{}\n{}", "n".repeat(200), "1\n".repeat(5_000));
        assert!(read(&text, CsvDocuments::File).unwrap_err().contains("limits.file_bytes"));
        assert_eq!(read(&text, CsvDocuments::Row).unwrap().len(), 5_000);
    }
}
