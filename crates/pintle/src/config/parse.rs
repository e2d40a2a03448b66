//! From text to [`Config`], with every mistake at once. serde stops at its first error, so the way is:
//! syntax; then a walk along the JSON Schema that finds all unknown settings; then serde, and each value
//! that it does not like is reported, taken out, and serde tries again with the rest.

use std::{collections::BTreeSet, ops::Range};

use serde::Deserialize;
use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    problem::{Fault, Problem, Severity, missing_hint},
    schema::{self, Config},
    source::{Place, SourceMap, SourceText, join},
    suggest,
};

/// One more than anybody reads; a bound on the work that a hostile file causes.
const PROBLEMS_MAX: usize = 50;

/// What the file says, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) source: SourceText,
    pub(crate) config: Config,
    pub(crate) map: SourceMap,
    /// What was wrong so far.
    pub(crate) problems: Vec<Problem>,
    /// The paths of values that were taken out, because they were wrong: not missing, and not default.
    pub(crate) rejected: BTreeSet<String>,
}

/// Reads the text. With syntax errors nothing else is examined, because what a broken table was meant to
/// contain is anybody's guess.
///
/// # Errors
/// The syntax errors.
pub(crate) fn parse(source: &SourceText) -> Result<Parsed, Vec<Problem>> {
    let (mut document, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(syntax_problems(source, &errors));
    }
    let mut parsed = Parsed {
        source: source.clone(),
        config: Config::default(),
        map: SourceMap::of(document.get_ref()),
        problems: Vec::new(),
        rejected: BTreeSet::new(),
    };
    let schema = schema::json_schema();
    parsed.remove_unknown(&schema, &schema, "", document.get_mut());
    if parsed.has_room_for(Severity::Error) {
        parsed.read(document);
    }
    Ok(parsed)
}

fn syntax_problems(source: &SourceText, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for error in errors.iter().take(PROBLEMS_MAX) {
        let place = source.place(&error.span().unwrap_or(0..0));
        // One slip makes the parser stumble several times on its line; the first stumble is the slip.
        if seen.insert(place.line) {
            problems.push(Problem::error(place, &Fault::Syntax(error.message().to_owned())));
        }
    }
    problems
}

impl Parsed {
    /// Reports the fault at the path's value, or at the nearest key above.
    pub(crate) fn error_at(&mut self, path: &str, fault: &Fault) {
        if self.has_room_for(Severity::Error) {
            self.problems.push(Problem::error(self.place(path), fault));
        }
    }

    /// As [`Parsed::error_at`], without stopping the start.
    pub(crate) fn warn_at(&mut self, path: &str, fault: &Fault) {
        if self.has_room_for(Severity::Warning) {
            self.problems.push(Problem::warning(self.place(path), fault));
        }
    }

    /// Reports an error at a place outside of this file.
    pub(crate) fn error_elsewhere(&mut self, place: Place, fault: &Fault) {
        if self.has_room_for(Severity::Error) {
            self.problems.push(Problem::error(place, fault));
        }
    }

    // INVARIANT: each severity has its own bound, so that no number of warnings pushes out an error.
    fn has_room_for(&self, severity: Severity) -> bool {
        self.problems.iter().filter(|problem| problem.severity == severity).count() < PROBLEMS_MAX
    }

    fn place(&self, path: &str) -> Place {
        match (self.map.get(path), self.map.nearest(path)) {
            (Some(mark), _) => self.source.place(&mark.value),
            (None, Some(above)) => self.source.place(&above.key),
            (None, None) => Place::file(&self.source.name),
        }
    }

    /// Whether a value that should be there is missing, and was not just rejected.
    pub(crate) fn is_absent(&self, path: &str) -> bool {
        !self.map.has(path) && !self.rejected.contains(path)
    }

    /// Reports each required key that is not there.
    pub(crate) fn require(&mut self, path: &str, table: &str, keys: &[(&str, bool)]) {
        for (key, is_there) in keys {
            let whole = join(path, key);
            if *is_there || !self.is_absent(&whole) {
                continue;
            }
            let fault = Fault::Missing {
                key: (*key).to_owned(),
                table: table_name(path),
                hint: missing_hint(table, key),
            };
            self.error_at(&whole, &fault);
        }
    }

    fn remove_unknown(&mut self, root: &Value, schema: &Value, path: &str, table: &mut DeTable<'_>) {
        let schema = resolve(root, schema);
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
        let known: Vec<String> = properties.keys().cloned().collect();
        let mut unknown = Vec::new();
        for (key, value) in table.iter_mut() {
            match properties.get(key.get_ref().as_ref()) {
                Some(property) => {
                    self.descend(root, property, &join(path, key.get_ref()), value);
                }
                None => unknown.push((key.get_ref().to_string(), key.span())),
            }
        }
        for (key, span) in unknown {
            if !self.has_room_for(Severity::Error) {
                return;
            }
            table.remove(key.as_str());
            if let Some(meant) = suggest::nearest(&key, known.iter().map(String::as_str)) {
                // The misspelt setting is there, so it is not reported as missing as well.
                self.rejected.insert(join(path, meant));
            }
            let fault = if path.ends_with("api_key") {
                // A pasted secret may stand here, so it is not repeated.
                Fault::UnknownSecretKey
            } else {
                let hint = suggest::hint(&key, known.iter().map(String::as_str));
                Fault::UnknownKey { key: cut(&key), table: table_name(path), hint }
            };
            self.report(&span, &fault);
            self.rejected.insert(join(path, &key));
        }
    }

    fn descend(&mut self, root: &Value, schema: &Value, path: &str, value: &mut Spanned<DeValue<'_>>) {
        let schema = resolve(root, schema);
        let span = value.span();
        match (value.get_mut(), schema.get("items")) {
            (DeValue::Table(_), Some(_)) => {
                self.report(&span, &Fault::NotAList { path: path.to_owned() });
                self.rejected.insert(path.to_owned());
                *value.get_mut() = DeValue::Array(toml::de::DeArray::default());
            }
            (DeValue::Table(table), None) => self.remove_unknown(root, schema, path, table),
            (DeValue::Array(elements), Some(items)) => {
                for (index, element) in elements.iter_mut().enumerate() {
                    self.descend(root, items, &format!("{path}[{index}]"), element);
                }
            }
            _ => {}
        }
    }

    fn report(&mut self, span: &Range<usize>, fault: &Fault) {
        if self.has_room_for(Severity::Error) {
            self.problems.push(Problem::error(self.source.place(span), fault));
        }
    }

    fn read(&mut self, mut document: Spanned<DeTable<'_>>) {
        for _ in 0..PROBLEMS_MAX {
            let error = match Config::deserialize(toml::de::Deserializer::from(document.clone())) {
                Ok(config) => {
                    self.config = config;
                    return;
                }
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..0);
            let Some(path) = take_out(document.get_mut(), "", &span) else {
                self.report(&span, &value_fault("", error.message()));
                return;
            };
            // What is missing in a table may be what was just taken out of it: that has been reported.
            let is_sequel = self.rejected.iter().any(|other| is_below(other, &path));
            if !is_sequel {
                self.report(&span, &value_fault(&path, error.message()));
            }
            self.rejected.insert(path);
        }
    }
}

/// Removes the innermost key whose value contains the place, and says which it was.
fn take_out(table: &mut DeTable<'_>, path: &str, span: &Range<usize>) -> Option<String> {
    let holds =
        |range: &Range<usize>| range.start <= span.start && span.start < range.end.max(range.start + 1);
    for (key, value) in table.iter_mut() {
        let path = join(path, key.get_ref());
        let inner = match value.get_mut() {
            DeValue::Table(table) => take_out(table, &path, span),
            DeValue::Array(elements) => elements.iter_mut().enumerate().find_map(|(index, element)| {
                let path = format!("{path}[{index}]");
                match element.get_mut() {
                    DeValue::Table(table) => take_out(table, &path, span),
                    _ => None,
                }
            }),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
    }
    let key =
        table.iter().find(|(_, value)| holds(&value.span())).map(|(key, _)| key.get_ref().to_string())?;
    table.remove(key.as_str());
    Some(join(path, &key))
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'))
}

/// serde's message in plain words: without Rust's names for types, and with the hint apart.
fn value_fault(path: &str, message: &str) -> Fault {
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let table = without_indices(path);
        return Fault::Missing {
            key: key.to_owned(),
            table: table_name(path),
            hint: missing_hint(&table, key),
        };
    }
    if let Some((found, wanted)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        let last = path.rsplit('.').next().unwrap_or(path);
        return Fault::BadValue {
            message: format!("`{last}` cannot be {}", found_words(found)),
            hint: format!("write {}", wanted_words(wanted)),
        };
    }
    if let Some((unknown, choices)) =
        message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        let last = path.rsplit('.').next().unwrap_or(path);
        let choices = choices.strip_prefix("one of ").unwrap_or(choices);
        return Fault::BadValue {
            message: format!("`{}` is not a choice for `{last}`", cut(unknown)),
            hint: format!("use {choices}"),
        };
    }
    let from = message.find("` is not ").unwrap_or(0);
    let split = message.get(from..).and_then(|rest| rest.find("; ")).map(|at| from + at);
    match split.and_then(|at| Some((message.get(..at)?, message.get(at + 2..)?))) {
        Some((message, hint)) => Fault::BadValue { message: message.to_owned(), hint: hint.to_owned() },
        None => Fault::BadValue { message: message.to_owned(), hint: String::new() },
    }
}

/// `string "x"`, `integer `5``, `floating point `1.5`` and so on, as people say it.
fn found_words(found: &str) -> String {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    let value = cut(value.trim_start_matches("point ").trim_matches(['`', '"']));
    match kind {
        "string" => format!("the text `{value}`"),
        "integer" => format!("the number `{value}`"),
        "floating" => format!("the number `{value}`"),
        "boolean" => format!("`{value}`"),
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        _ => found.to_owned(),
    }
}

fn wanted_words(wanted: &str) -> String {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => {
            "a whole number, not negative and without quotes".to_owned()
        }
        "f64" => "a number, without quotes".to_owned(),
        "a string" | "a borrowed string" | "string or table" => "a text in quotes".to_owned(),
        "a sequence" => "a list in brackets: [ … ]".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table with its own settings".to_owned(),
        other => other.to_owned(),
    }
}

/// Follows `$ref`, and takes the table among alternatives.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    // Our schema is two references deep; the bound keeps a mistake in it from turning in circles.
    for _ in 0..8 {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            match target.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
                Some(found) => schema = found,
                None => return schema,
            }
        } else if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            match choices
                .iter()
                .map(|choice| resolve(root, choice))
                .find(|choice| choice.get("properties").is_some())
            {
                Some(found) => schema = found,
                None => return schema,
            }
        } else {
            return schema;
        }
    }
    schema
}

/// `[server]`, `[[placement]]`, or the file itself.
fn table_name(path: &str) -> String {
    let plain = without_indices(path);
    match plain.as_str() {
        "" => "this file".to_owned(),
        "placement" => "`[[placement]]`".to_owned(),
        "guard.dictionaries" => "`guard.dictionaries`".to_owned(),
        inner if inner.starts_with("placement.") => {
            format!("`{}`", inner.trim_start_matches("placement."))
        }
        other => format!("`[{other}]`"),
    }
}

/// `placement[3].price` → `placement.price`.
pub(crate) fn without_indices(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut is_index = false;
    for letter in path.chars() {
        match letter {
            '[' => is_index = true,
            ']' => is_index = false,
            _ if !is_index => plain.push(letter),
            _ => {}
        }
    }
    plain
}

/// Input in a message is cut to what fits a line.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let source = SourceText { name: "t".into(), text: text.into() };
        let problems = match parse(&source) {
            Ok(parsed) => parsed.problems,
            Err(problems) => problems,
        };
        problems.into_iter().map(|problem| format!("{}: {}", problem.place.line, problem.message)).collect()
    }

    #[test]
    fn every_mistake_is_found_in_one_go() {
        let text = "currency = 1\n[limits]\nbody_mib = \"x\"\nretries = -1\n[[placement]]\nzone = \"moon\"\n\
                    price = { input = \"a\", output = \"b\" }\n[guard]\ndisabled = [1]\n";
        let found = messages(text);
        let lines: Vec<&str> = found.iter().filter_map(|message| message.split(':').next()).collect();
        assert_eq!(lines, ["1", "3", "4", "6", "7", "7", "9"], "{found:#?}");
    }

    #[test]
    fn a_hostile_file_costs_a_bounded_amount_of_work() {
        let unknown: String = (0..60_000).map(|n| format!("k{n} = 1\n")).collect();
        assert_eq!(messages(&unknown).len(), PROBLEMS_MAX);
        let broken = "a = \n".repeat(60_000);
        assert!(messages(&broken).len() <= PROBLEMS_MAX);
        let deep = format!("a = {}", "[".repeat(100_000));
        assert!(!messages(&deep).is_empty());
    }

    #[test]
    fn a_pasted_secret_is_not_repeated() {
        for value in ["\"sk-abc\"", "{ key = \"sk-abc\" }", "{ \"sk-abc\" = 1 }", "{ env = [\"sk-abc\"] }"] {
            let text = format!("[[placement]]\napi_key = {value}\n");
            let source = SourceText { name: "t".into(), text };
            let parsed = parse(&source).unwrap();
            assert_eq!(parsed.problems.len(), 1, "{value}");
            let shown = parsed.problems[0].to_string();
            assert!(!shown.contains("sk-abc"), "{shown}");
        }
    }
}
