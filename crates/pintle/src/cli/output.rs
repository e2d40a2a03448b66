//! What people and scripts read: tables, JSON, colours. Data goes to stdout, all else to stderr. The only
//! file of the command line that writes to either.

use std::io::{self, IsTerminal, Write};

use pintle_core::{Amount, Currency, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::exit::CliError;

/// Where output goes, and in which form.
pub(crate) struct Output {
    /// JSON instead of tables.
    pub(crate) json: bool,
    colour_out: bool,
    colour_err: bool,
}

/// Colours, used only next to words that say the same.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    /// Something is right.
    Green,
    /// Something should be looked at.
    Yellow,
    /// Something is wrong.
    Red,
    /// Something helps.
    Cyan,
    /// A heading.
    Bold,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Red => "1;31",
            Paint::Cyan => "36",
            Paint::Bold => "1",
        }
    }
}

fn paint(text: &str, colour: Paint, enabled: bool) -> String {
    if enabled { format!("\u{1b}[{}m{text}\u{1b}[0m", colour.code()) } else { text.to_owned() }
}

impl Output {
    /// Colours on terminals, unless NO_COLOR is set.
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Output {
            json,
            colour_out: wanted && io::stdout().is_terminal(),
            colour_err: wanted && io::stderr().is_terminal(),
        }
    }

    /// Text in a colour, for [`Output::line`].
    pub(crate) fn paint(&self, text: &str, colour: Paint) -> String {
        paint(text, colour, self.colour_out)
    }

    /// A line of data.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        write_out(format!("{text}\n").as_bytes())
    }

    /// Text as it is.
    pub(crate) fn raw(&self, text: &[u8]) -> Result<(), CliError> {
        write_out(text)
    }

    /// A value as JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| CliError::System { what: "writing JSON", reason: error.to_string() })?;
        self.line(&text)
    }

    /// A remark to the person at the terminal.
    pub(crate) fn note(&self, text: &str) {
        write_err(text);
    }

    /// A line that the next one of its kind replaces, on a terminal; elsewhere it is not shown.
    pub(crate) fn passing(&self, text: &str) {
        if io::stderr().is_terminal() {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\u{1b}[K{text}");
            let _ = err.flush();
        }
    }

    /// Ends a passing line, so that what follows stands on its own.
    pub(crate) fn passed(&self) {
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
        }
    }

    /// An error with its hint.
    pub(crate) fn error(&self, error: &CliError) {
        if matches!(error, CliError::OutputClosed) {
            return;
        }
        // Problems in a file bring their own labels.
        let text = error.to_string();
        let is_report = matches!(error, CliError::Config(config) if !config.problems().is_empty());
        let label = paint("error:", Paint::Red, self.colour_err);
        write_err(&if is_report { text } else { format!("{label} {text}") });
        if let Some(hint) = error.hint() {
            write_err(&format!("{} {hint}", paint("hint:", Paint::Cyan, self.colour_err)));
        }
    }

    /// A table, or a sentence when it has no rows.
    pub(crate) fn table(&self, table: &Table, when_empty: &str) -> Result<(), CliError> {
        if table.rows.is_empty() {
            self.note(when_empty);
            return Ok(());
        }
        let widths: Vec<usize> = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = table.rows.iter().filter_map(|row| row.get(index));
                cells.map(|cell| width(cell)).chain([width(column.title)]).max().unwrap_or(0)
            })
            .collect();
        let titles: Vec<String> = table.columns.iter().map(|column| column.title.to_owned()).collect();
        self.line(&self.paint(&align(&titles, &widths, &table.columns), Paint::Bold))?;
        for row in &table.rows {
            self.line(&align(row, &widths, &table.columns))?;
        }
        Ok(())
    }
}

fn write_out(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::System { what: "writing to stdout", reason: error.to_string() },
    })
}

fn write_err(text: &str) {
    // When stderr is gone, there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A column's title, and whether its cells are figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    is_figure: bool,
}

/// A column of words.
pub(crate) const fn words(title: &'static str) -> Column {
    Column { title, is_figure: false }
}

/// A column of figures, aligned to the right.
pub(crate) const fn figures(title: &'static str) -> Column {
    Column { title, is_figure: true }
}

/// Rows under titles.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Control characters are left out: a cell must not move the cursor.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let clean = |cell: String| cell.chars().filter(|letter| !letter.is_control()).collect();
        self.rows.push(cells.into_iter().map(clean).collect());
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn align(cells: &[String], widths: &[usize], columns: &[Column]) -> String {
    let mut line = String::new();
    for ((cell, full), column) in cells.iter().zip(widths).zip(columns) {
        if !line.is_empty() {
            line.push_str("  ");
        }
        let gap = " ".repeat(full.saturating_sub(width(cell)));
        if column.is_figure {
            line.push_str(&gap);
            line.push_str(cell);
        } else {
            line.push_str(cell);
            line.push_str(&gap);
        }
    }
    line.trim_end().to_owned()
}

/// A field as text: `-` when it is not there.
pub(crate) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(elements)) => {
            let words: Vec<&str> = elements.iter().filter_map(Value::as_str).collect();
            if words.is_empty() { "-".to_owned() } else { words.join(", ") }
        }
        Some(other) => other.to_string(),
    }
}

/// A field that is a count, with thousands apart: `12,345`.
pub(crate) fn count(value: &Value, field: &str) -> String {
    let Some(number) = value.get(field).and_then(Value::as_u64) else { return "-".to_owned() };
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A field that is a time, to the minute, in UTC.
pub(crate) fn time(value: &Value, field: &str) -> String {
    let parsed = value.get(field).and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    match parsed {
        Some(at) => at.strftime("%Y-%m-%d %H:%M").to_string(),
        None => "-".to_owned(),
    }
}

/// An amount `{"nanos": …, "currency": …}`.
pub(crate) fn amount(value: &Value) -> Option<(Amount, Currency)> {
    let nanos = value.get("nanos")?.as_i64()?;
    let currency = value.get("currency")?.as_str()?.parse().ok()?;
    Some((Amount::from_nanos(nanos), currency))
}

/// A field that is an amount, as people write it.
pub(crate) fn money(value: &Value, field: &str) -> String {
    match value.get(field).and_then(amount) {
        Some((amount, currency)) => amount.display(&currency),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_cannot_move_the_cursor() {
        let mut table = Table::new(&[words("NAME"), figures("COST")]);
        table.row(["ü\u{1b}[2J".into(), "€1.00".into()]);
        table.row(["longer".into(), "€1,000.00".into()]);
        let widths = [6, 9];
        let lines: Vec<String> = table.rows.iter().map(|row| align(row, &widths, &table.columns)).collect();
        assert_eq!(lines, ["ü[2J        €1.00", "longer  €1,000.00"]);
    }

    #[test]
    fn fields_read_well() {
        let value = serde_json::json!({
            "n": 1_234_567, "at": "2026-11-24T07:11:29Z", "m": {"nanos": 412_000_000_000_i64, "currency": "EUR"},
            "none": null, "list": ["a", "b"],
        });
        assert_eq!(count(&value, "n"), "1,234,567");
        assert_eq!(time(&value, "at"), "2026-11-24 07:11");
        assert_eq!(money(&value, "m"), "€412.00");
        assert_eq!(
            (text(&value, "none"), text(&value, "gone"), text(&value, "list")),
            ("-".into(), "-".into(), "a, b".into())
        );
    }
}
