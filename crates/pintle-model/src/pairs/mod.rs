//! Questions and answers from the structure of documents: headings, lists and tables.
//!
//! This is a set of rules, not knowledge. A table's row or a `Key: value` line is turned into an answer that repeats
//! its value word for word, and into many questions from fixed frames and a small table of synonyms. Nothing is
//! understood, checked or added: what a document states wrongly, the pairs state wrongly, and what it tells in
//! prose alone is not asked at all (but for sentences that define a term). The pairs serve to start tuning where an
//! organisation has documents and no questions; questions that people really asked are better, where they exist.
//!
//! `markdown` reads the blocks, `facts` finds what they state, `phrases` holds the frames.

mod dice;
mod facts;
mod markdown;
mod phrases;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

pub(crate) use dice::Dice;
use facts::{Fact, MOST_ANSWER, Statement, facts};

/// Questions about a step or a list: fewer than about a fact, because their answers are long.
const VARIANTS_OF_A_LIST: usize = 2;
/// The part of an attribute's questions, in percent, that may come from its synonyms' own frames, and those
/// that may ask for its value's unit.
const SHARE_OF_ASKS: usize = 45;
const SHARE_OF_UNITS: usize = 10;
/// Questions, in percent, before which something else is said.
const SHARE_OF_LEADS: usize = 12;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// What a person might ask.
    pub question: String,
    /// A sentence or phrase that holds the stated value verbatim; at most about 400 characters.
    pub answer: String,
    /// Where it is stated: `path#heading`, or the path alone above the first heading.
    pub source: String,
    /// From which kind of structure it was made.
    pub kind: PairKind,
}

/// The structure that a pair was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairKind {
    /// A cell of a table, or a `Key: value` line.
    Attribute,
    /// A numbered list: all steps, the first, or the one after another.
    Steps,
    /// A list of points.
    Items,
    /// A sentence that says what a term is.
    Definition,
}

/// How many pairs are made, and with which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairSettings {
    /// The same seed and document give the same pairs, on every platform.
    pub seed: u64,
    /// Questions per fact of a table or a `Key: value` line, at most; about 25 differ enough to be worth it.
    pub variants: usize,
    /// Pairs per document, at most. All facts lose variants together before any fact is left out.
    pub most_per_document: usize,
}

impl Default for PairSettings {
    fn default() -> Self {
        Self { seed: 0, variants: 20, most_per_document: 600 }
    }
}

/// Writes the pairs of one document. Any text is accepted; one without structure gives none.
///
/// A question that two facts of the document would answer differently is left out.
#[must_use]
pub fn pairs(path: &str, markdown: &str, settings: &PairSettings) -> Vec<Pair> {
    let facts = facts(path, &markdown::blocks(markdown));
    let mut queues: Vec<_> = facts.iter().map(|fact| asked(path, fact, settings).into_iter()).collect();
    let mut pairs = Vec::new();
    // In rounds, one question of each fact: a bound then takes variants, not the last facts.
    while pairs.len() < settings.most_per_document {
        let before = pairs.len();
        for (fact, queue) in facts.iter().zip(&mut queues) {
            if let Some(question) = queue.next().filter(|_| pairs.len() < settings.most_per_document) {
                pairs.push(Pair {
                    question,
                    answer: answer(fact),
                    source: source(path, fact),
                    kind: kind(fact),
                });
            }
        }
        if pairs.len() == before {
            break;
        }
    }
    without_ambiguous(pairs)
}

/// Writes pairs as chat JSONL in OpenAI's form: one object a line, `messages` with a user's and an assistant's turn.
///
/// # Errors
/// When the writer fails.
pub fn write_jsonl<W: Write>(pairs: &[Pair], out: &mut W) -> io::Result<()> {
    for pair in pairs {
        let line = serde_json::json!({"messages": [
            {"role": "user", "content": pair.question},
            {"role": "assistant", "content": pair.answer},
        ]});
        serde_json::to_writer(&mut *out, &line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// A question in the form in which two are compared: lower case, words and numbers only, one space between them.
#[must_use]
pub fn normalised(question: &str) -> String {
    let lower = question.to_lowercase();
    let words = lower.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Keeps the first of equal questions, and none of those that have different answers.
fn without_ambiguous(pairs: Vec<Pair>) -> Vec<Pair> {
    let mut answers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pair in &pairs {
        answers.entry(pair.question.to_lowercase()).or_default().insert(pair.answer.clone());
    }
    let mut seen = BTreeSet::new();
    let keep = |pair: &Pair| {
        answers.get(&pair.question.to_lowercase()).is_some_and(|answers| answers.len() == 1)
            && seen.insert(pair.question.clone())
    };
    let mut keep = keep;
    pairs.into_iter().filter(|pair| keep(pair)).collect()
}

fn source(path: &str, fact: &Fact) -> String {
    if fact.heading.is_empty() { path.to_owned() } else { format!("{path}#{}", fact.heading) }
}

fn kind(fact: &Fact) -> PairKind {
    match fact.statement {
        Statement::Attribute { .. } => PairKind::Attribute,
        Statement::Steps { .. } | Statement::FirstStep { .. } | Statement::NextStep { .. } => PairKind::Steps,
        Statement::Items { .. } => PairKind::Items,
        Statement::Definition { .. } => PairKind::Definition,
    }
}

/// The answer to all questions about a fact. It is always the same, so that a model learns one way to say it.
fn answer(fact: &Fact) -> String {
    let subject = &fact.subject;
    let text = match &fact.statement {
        Statement::Attribute { attribute, value } if is_noun(attribute) => {
            let verb = if is_plural(attribute) { "are" } else { "is" };
            format!("The {attribute} of {subject} {verb} {value}")
        }
        Statement::Attribute { attribute, value } => format!("{subject}, {attribute}: {value}"),
        Statement::Steps { joined } | Statement::Items { joined } => joined.clone(),
        Statement::FirstStep { step } => format!("First: {step}"),
        Statement::NextStep { step, .. } => format!("Then: {step}"),
        Statement::Definition { sentence } => sentence.clone(),
    };
    let text: String = text.chars().take(MOST_ANSWER * 2).collect();
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}

/// Whether an attribute reads well in "The … of X is". "Applies to" or "valid for" does not.
fn is_noun(attribute: &str) -> bool {
    let loose = [
        "applies", "by", "for", "from", "how", "in", "of", "on", "to", "until", "what", "when", "where",
        "who", "with", "within", "at", "is", "are",
    ];
    let mut words = attribute.split(' ').map(str::to_lowercase);
    let first = words.next().unwrap_or_default();
    let last = words.next_back().unwrap_or_else(|| first.clone());
    !loose.contains(&first.as_str()) && !loose.contains(&last.as_str())
}

fn is_plural(attribute: &str) -> bool {
    attribute.ends_with('s') && !["ss", "us", "is"].iter().any(|end| attribute.ends_with(end))
}

/// The questions about a fact, the most different first; none twice.
fn asked(path: &str, fact: &Fact, settings: &PairSettings) -> Vec<String> {
    let subject = &fact.subject;
    let (name, value) = match &fact.statement {
        Statement::Attribute { attribute, value } => (attribute.as_str(), value.as_str()),
        Statement::NextStep { after, step } => (after.as_str(), step.as_str()),
        _ => ("", ""),
    };
    let mut dice = Dice::new(settings.seed, &["pairs", path, subject, name, value]);
    let (frames, count) = match &fact.statement {
        Statement::Attribute { .. } => {
            return asked_of_attribute(&mut dice, subject, (name, value), settings);
        }
        Statement::Steps { .. } => (phrases::STEPS, VARIANTS_OF_A_LIST * 2),
        Statement::FirstStep { .. } => (phrases::FIRST_STEP, VARIANTS_OF_A_LIST),
        Statement::NextStep { .. } => (phrases::NEXT_STEP, VARIANTS_OF_A_LIST),
        Statement::Items { .. } => (phrases::ITEMS, VARIANTS_OF_A_LIST),
        Statement::Definition { .. } => (phrases::DEFINITION, VARIANTS_OF_A_LIST * 3),
    };
    let mut frames: Vec<&str> = frames.to_vec();
    let count = count.min(settings.variants);
    // A heading that asks is itself the question, and its list the answer.
    if subject.ends_with('?') {
        let whole = matches!(fact.statement, Statement::Steps { .. } | Statement::Items { .. });
        return (0..count).filter(|_| whole).map(|_| styled(&mut dice, subject.clone())).collect();
    }
    dice.shuffle(&mut frames);
    frames.iter().take(count).map(|frame| fill(frame, name, &named(&mut dice, subject))).collect()
}

fn asked_of_attribute(
    dice: &mut Dice,
    subject: &str,
    (attribute, value): (&str, &str),
    settings: &PairSettings,
) -> Vec<String> {
    let synonyms = synonyms(attribute);
    let nouns = synonyms.map_or(&[][..], |synonyms| synonyms.nouns);
    let mut asks = synonyms.map_or_else(Vec::new, |synonyms| synonyms.asks.to_vec());
    let mut frames = if is_noun(attribute) { phrases::FACT } else { phrases::LOOSE }.to_vec();
    dice.shuffle(&mut asks);
    dice.shuffle(&mut frames);
    asks.truncate(settings.variants.saturating_mul(SHARE_OF_ASKS) / 100);
    let unit = unit(value);
    let mut units = if unit.is_some() { phrases::UNIT.to_vec() } else { Vec::new() };
    dice.shuffle(&mut units);
    units.truncate(settings.variants.saturating_mul(SHARE_OF_UNITS) / 100);
    // Frames come round again with other nouns and subjects until there are enough or no new ones are found.
    let rounds = frames.iter().cycle().take(frames.len() * 4);
    let mut seen = BTreeSet::new();
    let mut questions = Vec::new();
    let named_so = asks.iter().chain(rounds).map(|frame| (frame, None));
    for (frame, unit) in units.iter().map(|frame| (frame, unit)).chain(named_so) {
        if questions.len() >= settings.variants {
            break;
        }
        let noun = match (unit, dice.pick(nouns)) {
            (Some(unit), _) => unit,
            (None, Some(noun)) if dice.chance(50) => noun,
            _ => attribute,
        };
        let subject = named(dice, subject);
        let question = led(dice, fill(&agreeing(frame, noun), noun, &subject));
        let question = styled(dice, question);
        if seen.insert(normalised(&question)) {
            questions.push(question);
        }
    }
    // The bound on pairs per document takes from the end: no kind of frame should always stand there.
    dice.shuffle(&mut questions);
    questions
}

/// The unit of a value that is one number and one or two words: "working days" of "5 working days".
fn unit(value: &str) -> Option<&str> {
    let (number, unit) = value.split_once(' ')?;
    let is_number = number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.'));
    let is_words = unit.split(' ').count() <= 2 && unit.chars().all(|c| c.is_alphabetic() || c == ' ');
    (is_number && is_words && unit.len() <= 24).then_some(unit)
}

/// The frame with its verb in the plural, when the attribute is one: "What are the opening hours".
fn agreeing(frame: &str, noun: &str) -> String {
    if !is_plural(noun) {
        return frame.to_owned();
    }
    [
        ("is the {a}", "are the {a}"),
        ("What's the {a}", "What are the {a}"),
        ("{a} applies", "{a} apply"),
        ("{a} is", "{a} are"),
    ]
    .iter()
    .fold(frame.to_owned(), |frame, (one, many)| frame.replace(one, many))
}

/// The synonyms of an attribute: the first entry one of whose keys stands in it as whole words.
fn synonyms(attribute: &str) -> Option<&'static phrases::Synonyms> {
    let padded = format!(" {} ", attribute.to_lowercase());
    phrases::SYNONYMS.iter().find(|entry| entry.keys.iter().any(|key| padded.contains(&format!(" {key} "))))
}

/// The subject as people write it: as it stands, with an article, or in lower case.
fn named(dice: &mut Dice, subject: &str) -> String {
    let lower = subject.to_lowercase();
    let has_article = ["the ", "a ", "an ", "our "].iter().any(|article| lower.starts_with(article));
    match dice.below(8) {
        0 | 1 => lower,
        2 if !has_article => format!("the {subject}"),
        3 if !has_article => format!("the {lower}"),
        4 | 5 => facts::lower_first(subject),
        _ => subject.to_owned(),
    }
}

/// The question after other words, now and then.
fn led(dice: &mut Dice, question: String) -> String {
    match dice.pick(phrases::LEADS) {
        Some(lead) if dice.chance(SHARE_OF_LEADS) => format!("{lead}{question}"),
        _ => question,
    }
}

/// The question as it is typed: now and then in lower case, or without its question mark.
fn styled(dice: &mut Dice, question: String) -> String {
    let question = if dice.chance(15) { question.to_lowercase() } else { question };
    match question.strip_suffix(['?', '.']) {
        Some(bare) if dice.chance(15) => bare.to_owned(),
        _ => question,
    }
}

/// Fills a frame. The parts are put in one after the other from the left, so that a `{s}` inside a document's own
/// words stays as it is.
fn fill(frame: &str, attribute: &str, subject: &str) -> String {
    let mut out = String::with_capacity(frame.len() + attribute.len() + subject.len());
    let mut rest = frame;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        rest = if let Some(after) = after.strip_prefix("a}") {
            out.push_str(attribute);
            after
        } else if let Some(after) = after.strip_prefix("s}") {
            out.push_str(subject);
            after
        } else {
            out.push('{');
            after
        };
    }
    out.push_str(rest);
    out
}
