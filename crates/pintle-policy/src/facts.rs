//! The facts that a question to the policies is made of: who asks, where to, with what content.
//!
//! They are plain values. `request.rs` turns them into Cedar's; `memo.rs` compares them, so every fact
//! that reaches Cedar must be part of their equality.

use std::{collections::BTreeSet, sync::Arc};

use pintle_core::{Amount, DataClass, ModelName, Name, Stage, Transformation, Zone};

/// The use case that asks: the principal of every question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The use case's name.
    pub use_case: Name,
    /// Where it stands in its life.
    pub stage: Stage,
    /// The highest class of content that it is meant for.
    pub data_class: DataClass,
    /// What its owners allow to be done to its content.
    pub transformations: BTreeSet<Transformation>,
    /// Who pays.
    pub cost_centre: String,
    /// Its hard budget per calendar month; `None` when it has none.
    pub budget: Option<Amount>,
}

/// The placement that content would go to, or that an answer came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlacementFacts {
    /// The placement's name.
    pub name: Name,
    /// Where it runs.
    pub zone: Zone,
    /// The highest class of content that it may see.
    pub clearance: DataClass,
    /// The provider's kind or name, as the configuration spells it.
    pub provider: String,
    /// The model's name, as the provider spells it.
    pub model: ModelName,
    /// The region, as the configuration spells it; may be empty.
    pub region: String,
    /// The class of what the model was trained on: its answers may tell it to whoever asks. Public for a model that
    /// learnt nothing of the organisation's.
    pub trained_on: DataClass,
}

/// What the guard found in a request or an answer: classes and types, never values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Content {
    /// The class as found.
    pub class: DataClass,
    /// The types of the findings: `iban`, `dictionary:clients`.
    pub labels: BTreeSet<Arc<str>>,
    /// Whether a part could not be scanned. Such content counts as restricted, whatever `class` says and
    /// whatever is applied to the parts that could be scanned.
    pub unscannable: bool,
}

/// One proposal to let content pass between a use case and a placement, in either direction.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The use case.
    pub subject: &'a Subject,
    /// The placement.
    pub placement: &'a PlacementFacts,
    /// The content as found.
    pub content: &'a Content,
    /// What would be done to it first.
    pub applied: Option<Transformation>,
    /// The class of what is left after that.
    pub sent_class: DataClass,
}

impl Exchange<'_> {
    /// The class as found, with the unscannable counted as restricted.
    pub(crate) fn class(&self) -> DataClass {
        if self.content.unscannable { DataClass::Restricted } else { self.content.class }
    }

    /// The class after the transformation. What cannot be scanned cannot be transformed either, so it
    /// stays restricted even when the caller says otherwise.
    pub(crate) fn sent_class(&self) -> DataClass {
        if self.content.unscannable { DataClass::Restricted } else { self.sent_class }
    }
}

/// A question that the policies answer with yes or no.
#[derive(Debug, Clone, Copy)]
pub enum Question<'a> {
    /// May this use case call at all?
    Call(&'a Subject),
    /// May this content be sent to this placement?
    Send(Exchange<'a>),
    /// May an answer with this content be given to the use case?
    Answer(Exchange<'a>),
}

impl<'a> Question<'a> {
    pub(crate) const fn action(&self) -> Action {
        match self {
            Question::Call(_) => Action::Call,
            Question::Send(_) => Action::Send,
            Question::Answer(_) => Action::Answer,
        }
    }

    pub(crate) const fn subject(&self) -> &'a Subject {
        match self {
            Question::Call(subject) => subject,
            Question::Send(exchange) | Question::Answer(exchange) => exchange.subject,
        }
    }

    pub(crate) const fn exchange(&self) -> Option<&Exchange<'a>> {
        match self {
            Question::Call(_) => None,
            Question::Send(exchange) | Question::Answer(exchange) => Some(exchange),
        }
    }
}

/// The action of a question, without its facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Call,
    Send,
    Answer,
}

impl Action {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Action::Call => "call",
            Action::Send => "send",
            Action::Answer => "answer",
        }
    }
}
