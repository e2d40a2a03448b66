//! What a document's structure states: attributes of subjects, steps, lists and definitions.
//!
//! The title and the headings say what a table or a list is about. Nothing here knows any document in particular.

use super::markdown::{Block, plain};
use super::phrases::{PLAIN_HEADINGS, REMARKS, VALUE_HEADERS};

/// Longest subject, attribute and value, in characters: longer ones make no question that a person would ask.
const MOST_SUBJECT: usize = 80;
const MOST_ATTRIBUTE: usize = 60;
const MOST_VALUE: usize = 160;
/// Longest sentence or joined list that is an answer, in characters.
pub(crate) const MOST_ANSWER: usize = 280;
/// Facts that are read of a document.
const MOST_FACTS: usize = 5_000;
/// Steps of a procedure that are asked about one by one.
const MOST_STEPS: usize = 12;

/// One thing that a document states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) subject: String,
    /// The heading under which it stands; empty above the first.
    pub(crate) heading: String,
    pub(crate) statement: Statement,
}

/// What is stated of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Attribute { attribute: String, value: String },
    Steps { joined: String },
    FirstStep { step: String },
    NextStep { after: String, step: String },
    Items { joined: String },
    Definition { sentence: String },
}

/// The facts of a document in the order in which they stand.
pub(crate) fn facts(path: &str, blocks: &[Block]) -> Vec<Fact> {
    let mut found = Found { title: title(path, blocks), heading: String::new(), facts: Vec::new() };
    for block in blocks {
        if found.facts.len() >= MOST_FACTS {
            break;
        }
        match block {
            Block::Heading(_, text) => found.heading = plain(text),
            Block::Paragraph(lines) => found.paragraph(lines),
            Block::List { numbered: true, items } => found.steps(items),
            Block::List { numbered: false, items } => found.list(items),
            Block::Table { header, rows } => found.table(header, rows),
        }
    }
    found.facts.truncate(MOST_FACTS);
    found.facts
}

/// The first heading of the highest level, or the file's name with spaces.
fn title(path: &str, blocks: &[Block]) -> String {
    let first = |wanted: usize| {
        blocks.iter().find_map(|block| match block {
            Block::Heading(level, text) if *level <= wanted => {
                Some(plain(text)).filter(|text| !text.is_empty())
            }
            _ => None,
        })
    };
    first(1).or_else(|| first(2)).unwrap_or_else(|| {
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        plain(&stem.replace(['-', '_'], " "))
    })
}

struct Found {
    title: String,
    heading: String,
    facts: Vec<Fact>,
}

impl Found {
    /// What the attributes under the current heading belong to. A heading that asks something has none.
    fn subject(&self) -> String {
        if self.heading.ends_with('?') { self.title.clone() } else { self.topic() }
    }

    /// What the text under the current heading is about. One word alone says too little outside its document.
    fn topic(&self) -> String {
        let heading = self.heading.to_lowercase();
        if heading.is_empty() || PLAIN_HEADINGS.contains(&heading.as_str()) || self.heading == self.title {
            return self.title.clone();
        }
        if self.heading.contains(' ') || self.title.is_empty() {
            return self.heading.clone();
        }
        format!("{} of {}", self.heading, self.title)
    }

    fn push(&mut self, subject: String, statement: Statement) {
        if within(&subject, MOST_SUBJECT) && subject.chars().any(char::is_alphabetic) {
            self.facts.push(Fact { subject, heading: self.heading.clone(), statement });
        }
    }

    fn attribute(&mut self, subject: String, attribute: &str, value: &str) {
        let attribute = lower_first(attribute.trim_end_matches([':', '?', ' ']));
        let value = value.trim();
        let sound = within(&attribute, MOST_ATTRIBUTE) && attribute.chars().any(char::is_alphabetic);
        if sound
            && !is_template(value)
            && within(value, MOST_VALUE)
            && value.chars().any(char::is_alphanumeric)
        {
            self.push(subject, Statement::Attribute { attribute, value: value.to_owned() });
        }
    }

    /// Two columns whose second only says "value" hold attributes of the section's subject. In any other table
    /// the first column holds subjects, and the header the attributes.
    fn table(&mut self, header: &[String], rows: &[Vec<String>]) {
        let header: Vec<String> = header.iter().map(|cell| plain(cell)).collect();
        let of_section = matches!(header.as_slice(), [_, second]
            if VALUE_HEADERS.contains(&second.to_lowercase().as_str()));
        for row in rows {
            let mut cells = row.iter().map(|cell| plain(cell));
            let Some(first) = cells.next() else { continue };
            for (name, value) in header.iter().skip(1).zip(cells) {
                if of_section {
                    self.attribute(self.subject(), &first, &value);
                } else {
                    self.attribute(first.clone(), name, &value);
                }
            }
        }
    }

    fn list(&mut self, items: &[String]) {
        let mut others = Vec::new();
        for item in items.iter().filter(|item| !is_template(item)) {
            match key_value(item) {
                Some((key, value)) => self.attribute(self.subject(), &key, &value),
                None => others.push(plain(item)),
            }
        }
        if others.len() == items.len() && others.len() >= 2 {
            let joined = others.iter().map(|item| item.trim_end_matches(['.', ';', ','])).collect::<Vec<_>>();
            let joined = joined.join("; ");
            if within(&joined, MOST_ANSWER) {
                self.push(self.topic(), Statement::Items { joined });
            }
        }
    }

    fn steps(&mut self, items: &[String]) {
        let steps: Vec<String> =
            items.iter().map(|item| plain(item).trim_end_matches(['.', ';']).to_owned()).collect();
        if steps.len() < 2 || steps.iter().any(|step| step.is_empty() || is_template(step)) {
            return;
        }
        let numbered: Vec<String> =
            (1..).zip(&steps).map(|(number, step)| format!("{number}. {step}")).collect();
        let joined = numbered.join("; ");
        if within(&joined, MOST_ANSWER) {
            self.push(self.topic(), Statement::Steps { joined });
        }
        for (place, step) in steps.iter().enumerate().take(MOST_STEPS) {
            if !within(step, MOST_VALUE) {
                continue;
            }
            let statement = match place.checked_sub(1).and_then(|before| steps.get(before)) {
                None => Statement::FirstStep { step: step.clone() },
                Some(after) if within(after, MOST_ATTRIBUTE) => {
                    Statement::NextStep { after: after.clone(), step: step.clone() }
                }
                Some(_) => continue,
            };
            self.push(self.topic(), statement);
        }
    }

    fn paragraph(&mut self, lines: &[String]) {
        let keyed: Vec<_> = lines.iter().filter_map(|line| key_value(line)).collect();
        let marked = |line: &String| line.starts_with("**") && key_value(line).is_some();
        if (keyed.len() == lines.len() && lines.len() >= 2) || lines.iter().all(marked) {
            for (key, value) in keyed {
                self.attribute(self.subject(), &key, &value);
            }
            return;
        }
        let text = plain(&lines.join(" "));
        for sentence in sentences(&text) {
            if let Some(term) = self.defined(sentence) {
                self.push(term, Statement::Definition { sentence: sentence.to_owned() });
            }
        }
    }

    /// The term that a sentence defines: "A bonded warehouse is a …" under that title or heading, or "X means …"
    /// anywhere. Other sentences with "is" state all sorts of things and are left alone.
    fn defined(&self, sentence: &str) -> Option<String> {
        if !within(sentence, MOST_ANSWER) || is_template(sentence) {
            return None;
        }
        let verbs = [" means ", " refers to ", " stands for ", " is ", " are "];
        let (term, verb) = verbs
            .iter()
            .filter_map(|verb| sentence.split_once(verb).map(|(term, _)| (term, *verb)))
            .min_by_key(|(term, _)| term.len())?;
        let bare = ["The ", "A ", "An ", "the "]
            .iter()
            .find_map(|article| term.strip_prefix(article))
            .unwrap_or(term);
        let words = bare.split(' ').count();
        if bare.is_empty() || words > 6 || bare.contains([',', '.', ':', '"']) {
            return None;
        }
        let same = |other: &str| stem(bare) == stem(other);
        if verb.len() <= 5 {
            let rest = sentence.get(term.len() + verb.len()..)?;
            let class = ["a ", "an ", "the ", "our ", "any ", "where ", "when ", "what "];
            let says_what = class.iter().any(|word| rest.starts_with(word));
            return (says_what && (same(&self.title) || same(&self.heading))).then(|| bare.to_owned());
        }
        let pronouns = [
            "it", "this", "that", "these", "those", "which", "what", "he", "she", "they", "we", "you",
            "there",
        ];
        let first = bare.split(' ').next().unwrap_or_default().to_lowercase();
        (!pronouns.contains(&first.as_str())).then(|| bare.to_owned())
    }
}

/// Lower case, without an article and a plural's `s`, so that "Bonded warehouses" is "bonded warehouse".
fn stem(text: &str) -> String {
    let lower = text.to_lowercase();
    let lower = lower.strip_prefix("the ").unwrap_or(&lower);
    lower.trim_end_matches('s').to_owned()
}

/// Whether a text holds a site generator's tag, whose result is not known here.
fn is_template(text: &str) -> bool {
    text.contains("{%") || text.contains("{{")
}

/// Not empty, and at most so many characters.
fn within(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().nth(most).is_none()
}

/// `Key: value`, also with a bold key. The key is short, begins with a letter and is no remark like "Note".
fn key_value(line: &str) -> Option<(String, String)> {
    let line = plain(line);
    let (key, value) = line.split_once(": ")?;
    let (key, value) = (key.trim(), value.trim());
    let sound = within(key, MOST_ATTRIBUTE)
        && key.split(' ').count() <= 6
        && key.chars().next().is_some_and(char::is_alphabetic)
        && !key.contains(['.', ',', ';', '!', '"'])
        && !REMARKS.contains(&key.to_lowercase().as_str());
    (sound && within(value, MOST_VALUE)).then(|| (key.to_owned(), value.to_owned()))
}

/// The sentences of a text. A full stop ends one when a capital letter follows it; abbreviations such as "Dr."
/// split wrongly at times, which costs a definition and does no harm.
fn sentences(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(". ") {
        if text.get(at + 2..).is_some_and(|rest| rest.starts_with(char::is_uppercase)) {
            out.extend(text.get(start..=at));
            start = at + 2;
        }
    }
    out.extend(text.get(start..));
    out
}

/// The text with a small first letter, unless it has other capitals: "VAT number" and "Same-Day Courier" stay.
pub(crate) fn lower_first(text: &str) -> String {
    let mut rest = text.chars();
    let Some(first) = rest.next() else { return String::new() };
    let named = rest.clone().any(char::is_uppercase) || rest.clone().next().is_some_and(char::is_numeric);
    if named { text.to_owned() } else { first.to_lowercase().chain(rest).collect() }
}
