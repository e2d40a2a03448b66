//! From facts to pages: prose, tables and lists in varied forms.

use super::text::{ABOUT, AROUND, Category, GLOSSARY, Item, REMARK_HEADINGS, REMARKS};
use super::{Page, Stated};
use crate::pairs::Dice;

/// Sentences of a section that a page takes: three to five of its category's own, and some remarks.
const SENTENCES: (usize, usize) = (3, 5);
const REMARKS_TAKEN: (usize, usize) = (4, 6);
/// Words of a page, about, at most.
const LONGEST: usize = 335;

/// What pages may mention of each other, so that a fact told in passing is the one that its own page states.
pub(super) struct Links {
    /// Departments with their extensions.
    pub(super) departments: Vec<(String, String)>,
    pub(super) sites: Vec<String>,
}

/// The page of one subject with its two facts.
pub(super) fn subject(
    seed: u64,
    category: &Category,
    item: &Item,
    facts: &[Stated; 2],
    links: &Links,
) -> Page {
    let path = path(category.folder, item.name);
    let mut dice = Dice::new(seed, &["page", &path]);
    let subject = mention(category, item.name);
    let mut told = prose(&mut dice, category, facts, &subject);
    let table = table(&mut dice, facts);
    let mut text = format!("# {}\n\n{}", item.name, item.about);
    // Sometimes the facts are told at once, sometimes after the table.
    let late = if dice.chance(40) { told.pop() } else { None };
    text.push_str(&format!(" {}\n\n", told.join(" ")));
    if dice.chance(30) {
        text.push_str("## At a glance\n\n");
    }
    text.push_str(&table);
    if let Some(late) = late {
        text.push_str(&format!("\n{late}\n"));
    }
    if !item.steps.is_empty() {
        text.push_str("\n## Steps\n\n");
        for (number, step) in (1..).zip(item.steps) {
            text.push_str(&format!("{number}. {step}\n"));
        }
    }
    for (heading, sentences) in category.headings.iter().zip(category.topics) {
        let section = section(&mut dice, sentences, SENTENCES, &subject, links);
        text.push_str(&format!("\n## {heading}\n\n{section}\n"));
    }
    let heading = dice.pick(REMARK_HEADINGS).copied().unwrap_or("Remarks");
    // As many remarks as the page has room for, at about twenty words each.
    let room = LONGEST.saturating_sub(text.split_whitespace().count()) / 20;
    let (least, most) = REMARKS_TAKEN;
    let remarks = section(&mut dice, REMARKS, (least.min(room), most.min(room)), &subject, links);
    if !remarks.is_empty() {
        text.push_str(&format!("\n## {heading}\n\n{remarks}\n"));
    }
    if let Some(mail) = facts.iter().find_map(mail) {
        text.push_str(&format!("\nWritten questions reach {} at {mail}.\n", subject));
    }
    Page { path, text }
}

/// `departments/customs-desk.md`.
pub(super) fn path(folder: &str, name: &str) -> String {
    let stem: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = stem.split('-').filter(|word| !word.is_empty()).collect();
    format!("{folder}/{}.md", words.join("-"))
}

/// The subject within a sentence: "the Customs Desk", "hotel nights".
pub(super) fn mention(category: &Category, name: &str) -> String {
    let name = if category.proper { name.to_owned() } else { lower_first(name) };
    format!("{}{name}", category.article)
}

fn lower_first(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().map(|first| first.to_lowercase().chain(rest).collect()).unwrap_or_default()
}

fn upper_first(sentence: &str) -> String {
    let mut rest = sentence.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// One sentence for each fact.
fn prose(dice: &mut Dice, category: &Category, facts: &[Stated; 2], subject: &str) -> Vec<String> {
    let mut told = Vec::new();
    for (fact, words) in facts.iter().zip(&category.facts) {
        let frames: Vec<&&str> = words.stated.iter().collect();
        if let Some(frame) = dice.pick(&frames) {
            told.push(upper_first(&frame.replace("{s}", subject).replace("{v}", &fact.value.text)));
        }
    }
    // A sentence that says "it" stands better after one that names the subject.
    if let [first, second] = told.as_mut_slice()
        && !first.contains(subject)
        && second.contains(subject)
    {
        std::mem::swap(first, second);
    }
    told
}

/// The facts as a table, as a list, or as bold lines.
fn table(dice: &mut Dice, facts: &[Stated; 2]) -> String {
    let header =
        dice.pick(&[("Item", "Value"), ("Fact", "Detail"), ("What", "Entry"), ("Subject", "Details")]);
    let (left, right) = header.copied().unwrap_or(("Item", "Value"));
    let row = |before: &str, between: &str, after: &str| {
        facts.iter().fold(String::new(), |text, fact| {
            format!("{text}{before}{}{between}{}{after}\n", fact.label, fact.value.text)
        })
    };
    match dice.below(4) {
        0 | 1 => format!("| {left} | {right} |\n| --- | --- |\n{}", row("| ", " | ", " |")),
        2 => row("- ", ": ", ""),
        _ => row("- **", ":** ", ""),
    }
}

/// Some of a section's sentences, in their order.
fn section(
    dice: &mut Dice,
    sentences: &[&str],
    (least, most): (usize, usize),
    subject: &str,
    links: &Links,
) -> String {
    let mut chosen: Vec<usize> = (0..sentences.len()).collect();
    dice.shuffle(&mut chosen);
    chosen.truncate(least + dice.below(most - least + 1));
    chosen.sort_unstable();
    let others: Vec<_> = links.departments.iter().filter(|(other, _)| !subject.contains(other)).collect();
    let sites: Vec<_> = links.sites.iter().filter(|other| *other != subject).collect();
    let mut told = Vec::new();
    for sentence in chosen.iter().filter_map(|place| sentences.get(*place)) {
        let mut text = sentence.replace("{s}", subject);
        if let Some((department, extension)) = dice.pick(&others) {
            text = text.replace("{dept}", &format!("the {department}")).replace("{ext}", extension);
        }
        if let Some(site) = dice.pick(&sites) {
            text = text.replace("{site}", site);
        }
        told.push(upper_first(&text));
    }
    told.join(" ")
}

/// The mail address of the person that a fact names.
fn mail(fact: &Stated) -> Option<String> {
    fact.is_person.then(|| format!("{}@nordwind.example", fact.value.text.to_lowercase().replace(' ', ".")))
}

/// The page that repeats a category's facts side by side.
pub(super) fn overview(category: &Category, stated: &[(&'static Item, [Stated; 2])]) -> Page {
    let [first, second] = &category.facts;
    let mut text = format!(
        "# {}\n\nThis page repeats the most important facts side by side, so that they can be compared. Each line \
         has a page of its own, which says more and counts if the two should ever disagree.\n\n",
        category.overview
    );
    text.push_str(&format!(
        "| {} | {} | {} |\n| --- | --- | --- |\n",
        category.noun, first.label, second.label
    ));
    for (item, [first, second]) in stated {
        text.push_str(&format!("| {} | {} | {} |\n", item.name, first.value.text, second.value.text));
    }
    text.push_str("\nThe list is written anew whenever one of the pages changes.\n");
    Page { path: path(category.folder, "overview"), text }
}

/// The pages of the glossary.
pub(super) fn glossary(seed: u64) -> Vec<Page> {
    let page = |(term, body): &(&str, &str)| {
        let path = path("glossary", term);
        let mut dice = Dice::new(seed, &["page", &path]);
        let mut around = AROUND.to_vec();
        dice.shuffle(&mut around);
        let (near, far) = around.split_at(around.len() / 2);
        let text = format!("# {term}\n\n{body}\n\n{}\n\n{}\n", near.join(" "), far.join(" "));
        Page { path, text }
    };
    GLOSSARY.iter().map(page).collect()
}

/// The pages about the company.
pub(super) fn about() -> Vec<Page> {
    let page = |(file, title, paragraphs): &(&str, &str, &[&str])| Page {
        path: format!("about/{file}.md"),
        text: format!("# {title}\n\n{}\n", paragraphs.join("\n\n")),
    };
    ABOUT.iter().map(page).collect()
}
