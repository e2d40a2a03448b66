//! The handbook's own text: what the generator chooses from.
//!
//! All of it was written for this demo; people, companies and places of work are invented. `{s}` stands for a page's
//! subject, `{v}` for a fact's value, `{dept}` and `{ext}` for another department and its extension, `{site}` for a
//! site. Held-out questions keep to wordings that neither the pages nor `pairs::phrases` use; a test watches.

mod about;
mod common;
mod customs;
mod departments;
mod equipment;
mod forms;
mod glossary;
mod insurance;
mod partners;
mod procedures;
mod records;
mod rooms;
mod services;
mod sites;
mod spending;
mod systems;
mod training;

pub(super) use about::ABOUT;
pub(super) use common::{REMARK_HEADINGS, REMARKS};
pub(super) use glossary::{AROUND, GLOSSARY};

use super::values::Kind;

/// A folder of pages that have the same two facts.
pub(super) struct Category {
    pub(super) folder: &'static str,
    /// Title of the page that lists all of them.
    pub(super) overview: &'static str,
    /// What one of them is, as a table's header.
    pub(super) noun: &'static str,
    /// "the " where a name needs an article in a sentence, or nothing.
    pub(super) article: &'static str,
    /// Whether names keep their capital letter within a sentence.
    pub(super) proper: bool,
    pub(super) facts: [FactText; 2],
    /// Headings of the three sections, and the sentences that each chooses from, in their order.
    pub(super) headings: [&'static str; 3],
    pub(super) topics: [&'static [&'static str]; 3],
    pub(super) items: &'static [Item],
}

/// One attribute of a category: how pages state it, and how held-out questions ask for it.
pub(super) struct FactText {
    pub(super) label: &'static str,
    pub(super) kind: Kind,
    pub(super) stated: &'static [&'static str],
    pub(super) asked: &'static [&'static str],
}

/// The subject of a page.
pub(super) struct Item {
    pub(super) name: &'static str,
    /// What it is, in a sentence.
    pub(super) about: &'static str,
    /// Bounds of its amount, for the fact that is one.
    pub(super) range: (usize, usize),
    /// Steps, when it is a procedure.
    pub(super) steps: &'static [&'static str],
}

const fn item(name: &'static str, about: &'static str) -> Item {
    Item { name, about, range: (0, 0), steps: &[] }
}

const fn ranged(name: &'static str, about: &'static str, low: usize, high: usize) -> Item {
    Item { name, about, range: (low, high), steps: &[] }
}

const fn stepped(name: &'static str, about: &'static str, steps: &'static [&'static str]) -> Item {
    Item { name, about, range: (0, 0), steps }
}

/// All categories, in the order in which pages are written.
pub(super) const CATEGORIES: [&Category; 14] = [
    &departments::DEPARTMENTS,
    &sites::SITES,
    &spending::SPENDING,
    &services::SERVICES,
    &equipment::EQUIPMENT,
    &systems::SYSTEMS,
    &forms::FORMS,
    &training::TRAINING,
    &insurance::INSURANCE,
    &customs::CUSTOMS,
    &partners::PARTNERS,
    &records::RECORDS,
    &rooms::ROOMS,
    &procedures::PROCEDURES,
];
