//! What the demo trains on: the handbook of its sample organisation, and questions about it.
//!
//! The handbook of "Nordwind Logistics" is invented and written by a generator: the text stands in `text`, a seed
//! chooses values and sentences. The same seed gives the same bytes on every platform. Questions are held out: they
//! are asked in words that the pages do not use and that `pairs` does not make, so that a model which answers them has
//! learnt facts and not sentences.

mod page;
mod text;
mod values;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::pairs::Dice;
use page::Links;
use text::{CATEGORIES, Category, Item};
use values::{Kind, Value, Values};

/// Held-out questions, at most. Each fact that is asked about has one, and some have two.
const QUESTIONS: usize = 300;
/// Facts that held-out questions ask about.
const ASKED_FACTS: usize = 270;

/// The handbook and what is asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handbook {
    /// Markdown pages; each path once.
    pub pages: Vec<Page>,
    /// Held-out questions. They are for evaluation and must never be trained on.
    pub questions: Vec<Question>,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Relative, with `/`: `departments/customs-desk.md`.
    pub path: String,
    /// Markdown, ending with a line end.
    pub text: String,
}

/// A held-out question about one fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// As a colleague would ask.
    pub question: String,
    /// The value as the pages state it, such as "36 months". A right answer contains it, or one of `accepted`.
    pub answer: String,
    /// Other spellings that count.
    pub accepted: Vec<String>,
    /// Path of the page that states it.
    pub page: String,
    /// Subject and attribute, as in "Customs Desk / Head".
    pub fact: String,
}

impl Question {
    /// Whether a text answers the question: it holds the answer or an accepted spelling, as whole words and
    /// numbers, in any case of letters. "850 kg" is not in "1,850 kg", nor "7 euros" in "17 euros".
    #[must_use]
    pub fn is_answered_by(&self, text: &str) -> bool {
        std::iter::once(&self.answer).chain(&self.accepted).any(|value| holds(text, value))
    }
}

/// Whether a text holds a value that is no part of a longer word or number.
fn holds(text: &str, value: &str) -> bool {
    let (text, value) = (text.to_lowercase(), value.to_lowercase());
    let joins = |near: Option<char>, far: Option<char>| match near {
        Some(near) if near.is_alphanumeric() => true,
        Some(',' | '.' | ':' | '-') => far.is_some_and(|far| far.is_ascii_digit()),
        _ => false,
    };
    !value.is_empty()
        && text.match_indices(&value).any(|(at, found)| {
            let mut before = text.get(..at).unwrap_or_default().chars().rev();
            let mut after = text.get(at + found.len()..).unwrap_or_default().chars();
            !joins(before.next(), before.next()) && !joins(after.next(), after.next())
        })
}

/// A fact with its value.
#[derive(Clone, Debug)]
struct Stated {
    label: &'static str,
    is_person: bool,
    value: Value,
}

/// A category's items with their facts.
type Chapter = (&'static Category, Vec<(&'static Item, [Stated; 2])>);

/// Writes the handbook for a seed. Values and sentences differ between seeds; subjects do not.
#[must_use]
pub fn handbook(seed: u64) -> Handbook {
    let mut values = Values::new(seed);
    let stated: Vec<Chapter> =
        CATEGORIES.iter().map(|category| (*category, state(category, &mut values))).collect();
    let links = links(&stated);
    let mut pages = page::about();
    pages.extend(page::glossary(seed));
    for (category, items) in &stated {
        pages.push(page::overview(category, items));
        pages.extend(items.iter().map(|(item, facts)| page::subject(seed, category, item, facts, &links)));
    }
    Handbook { pages, questions: questions(seed, &stated) }
}

/// Writes the pages below `folder`, and `questions.jsonl` into it, one question a line.
///
/// # Errors
/// When a folder or a file cannot be written. What was written before stays.
pub fn write(handbook: &Handbook, folder: &Path) -> io::Result<()> {
    for page in &handbook.pages {
        let path = folder.join(&page.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, &page.text)?;
    }
    let mut lines = Vec::new();
    for question in &handbook.questions {
        serde_json::to_writer(&mut lines, question)?;
        lines.write_all(b"\n")?;
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("questions.jsonl"), lines)
}

/// Draws the values of a category's items.
fn state(category: &'static Category, values: &mut Values) -> Vec<(&'static Item, [Stated; 2])> {
    let fact = |values: &mut Values, item, words: &text::FactText| Stated {
        label: words.label,
        is_person: words.kind == Kind::Person,
        value: values.draw(words.kind, item, words.label),
    };
    let [first, second] = &category.facts;
    category
        .items
        .iter()
        .map(|item| (item, [fact(values, item, first), fact(values, item, second)]))
        .collect()
}

/// Departments with their extensions, and sites.
fn links(stated: &[Chapter]) -> Links {
    let mut links = Links { departments: Vec::new(), sites: Vec::new() };
    for (category, items) in stated {
        for (item, facts) in items {
            match category.folder {
                "departments" => links.departments.extend(
                    facts
                        .iter()
                        .filter(|fact| fact.label == "Extension")
                        .map(|fact| (item.name.to_owned(), fact.value.text.clone())),
                ),
                "sites" => links.sites.push(item.name.to_owned()),
                _ => {}
            }
        }
    }
    links
}

/// Chooses facts, and asks about each in words that are used for no other subject's same fact until all have been.
fn questions(seed: u64, stated: &[Chapter]) -> Vec<Question> {
    let mut dice = Dice::new(seed, &["questions"]);
    let mut all = Vec::new();
    for (category, items) in stated {
        for (place, words) in category.facts.iter().enumerate() {
            let mut frames = words.asked.to_vec();
            dice.shuffle(&mut frames);
            for (turn, (item, facts)) in items.iter().enumerate() {
                let Some(fact) = facts.get(place) else { continue };
                let asks = (0..2).filter_map(|more| frames.get((turn + more) % frames.len().max(1)));
                let asks: Vec<Question> = asks.map(|frame| question(category, item, fact, frame)).collect();
                all.push(asks);
            }
        }
    }
    dice.shuffle(&mut all);
    all.truncate(ASKED_FACTS);
    let firsts: Vec<Question> = all.iter().filter_map(|asks| asks.first()).cloned().collect();
    let seconds = all.iter().filter_map(|asks| asks.get(1)).cloned();
    firsts.into_iter().chain(seconds).take(QUESTIONS).collect()
}

fn question(category: &Category, item: &Item, fact: &Stated, frame: &str) -> Question {
    let filled = frame.replace("{s}", &page::mention(category, item.name));
    let mut rest = filled.chars();
    let question = rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default();
    Question {
        question,
        answer: fact.value.text.clone(),
        accepted: fact.value.accepted.clone(),
        page: page::path(category.folder, item.name),
        fact: format!("{} / {}", item.name, fact.label),
    }
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn a_value_is_found_as_a_whole() {
        for (text, value) in [("It is 7 Euros.", "7 euros"), ("F-214, please", "f-214"), ("(4107)", "4107")] {
            assert!(holds(text, value), "{text}");
        }
        for (text, value) in [
            ("17 euros", "7 euros"),
            ("1,850 kg", "850 kg"),
            ("from 16:30 on", "6:30"),
            ("18:00 to 22:00", "8:00 to 22:00"),
            ("41070", "4107"),
            ("12:30:15", "12:30"),
            ("anything", ""),
        ] {
            assert!(!holds(text, value), "{text}");
        }
    }
}
