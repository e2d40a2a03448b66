//! From Pintle's facts to Cedar's entities and requests. The names here are those of
//! `schema.cedarschema`; a test holds every kind of request against it.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use pintle_core::DataClass;

use crate::facts::{Action, Exchange, PlacementFacts, Question, Subject};

/// A request could not be built. The engine treats it like a failing policy: it denies.
#[derive(Debug)]
pub(crate) struct Unaskable;

type Attributes = HashMap<String, RestrictedExpression>;

/// The parts of requests that never change, parsed once.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    use_case: EntityTypeName,
    placement: EntityTypeName,
    organisation: EntityUid,
    call: EntityUid,
    send: EntityUid,
    answer: EntityUid,
}

impl Vocabulary {
    /// Errors only when a name here is no Cedar name, which is a defect.
    pub(crate) fn new() -> Result<Self, String> {
        let uid = |text: String| text.parse::<EntityUid>().map_err(|error| error.to_string());
        let kind = |text: &str| text.parse::<EntityTypeName>().map_err(|error| error.to_string());
        let action = |action: Action| uid(format!("Action::\"{}\"", action.as_str()));
        Ok(Vocabulary {
            use_case: kind("UseCase")?,
            placement: kind("Placement")?,
            organisation: uid("Organisation::\"organisation\"".to_owned())?,
            call: action(Action::Call)?,
            send: action(Action::Send)?,
            answer: action(Action::Answer)?,
        })
    }

    pub(crate) const fn action(&self, action: Action) -> &EntityUid {
        match action {
            Action::Call => &self.call,
            Action::Send => &self.send,
            Action::Answer => &self.answer,
        }
    }

    pub(crate) const fn use_case_type(&self) -> &EntityTypeName {
        &self.use_case
    }

    /// Cedar's form of a question. With a schema, the request and its entities are held against it;
    /// at run time that is left out, because their shape does not depend on the input.
    pub(crate) fn request(
        &self,
        question: &Question<'_>,
        schema: Option<&Schema>,
    ) -> Result<(Request, Entities), Unaskable> {
        let principal = self.use_case_entity(question.subject())?;
        let (resource, context) = match question.exchange() {
            None => (Entity::with_uid(self.organisation.clone()), Context::empty()),
            Some(exchange) => (self.placement_entity(exchange.placement)?, context(exchange)?),
        };
        let action = self.action(question.action()).clone();
        let request =
            Request::new(principal.uid(), action, resource.uid(), context, schema).map_err(|_| Unaskable)?;
        let entities = Entities::from_entities([principal, resource], schema).map_err(|_| Unaskable)?;
        Ok((request, entities))
    }

    fn use_case_entity(&self, subject: &Subject) -> Result<Entity, Unaskable> {
        let allowed = subject.transformations.iter().map(|allowed| allowed.as_str());
        let mut attributes = Attributes::from([
            ("stage".to_owned(), text(subject.stage.as_str())),
            ("data_class".to_owned(), rank(subject.data_class)),
            ("transformations".to_owned(), texts(allowed)),
            ("cost_centre".to_owned(), text(&subject.cost_centre)),
            ("has_budget".to_owned(), RestrictedExpression::new_bool(subject.budget.is_some())),
        ]);
        if let Some(budget) = subject.budget {
            attributes.insert("budget_nanos".to_owned(), RestrictedExpression::new_long(budget.nanos()));
        }
        entity(&self.use_case, subject.use_case.as_str(), attributes)
    }

    fn placement_entity(&self, placement: &PlacementFacts) -> Result<Entity, Unaskable> {
        let attributes = Attributes::from([
            ("zone".to_owned(), text(placement.zone.as_str())),
            ("clearance".to_owned(), rank(placement.clearance)),
            ("provider".to_owned(), text(&placement.provider)),
            ("model".to_owned(), text(placement.model.as_str())),
            ("region".to_owned(), text(&placement.region)),
            ("trained_on".to_owned(), rank(placement.trained_on)),
        ]);
        entity(&self.placement, placement.name.as_str(), attributes)
    }
}

fn context(exchange: &Exchange<'_>) -> Result<Context, Unaskable> {
    let applied = exchange.applied.iter().map(|applied| applied.as_str());
    Context::from_pairs([
        ("class".to_owned(), rank(exchange.class())),
        ("sent_class".to_owned(), rank(exchange.sent_class())),
        ("applied".to_owned(), texts(applied)),
        ("labels".to_owned(), texts(exchange.content.labels.iter().map(AsRef::as_ref))),
        ("unscannable".to_owned(), RestrictedExpression::new_bool(exchange.content.unscannable)),
    ])
    .map_err(|_| Unaskable)
}

fn entity(kind: &EntityTypeName, id: &str, attributes: Attributes) -> Result<Entity, Unaskable> {
    let uid = EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id));
    Entity::new(uid, attributes, HashSet::new()).map_err(|_| Unaskable)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.map(text))
}

fn rank(class: DataClass) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::from(class.rank()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pintle_core::{Amount, Stage, Transformation, Zone};

    use super::*;
    use crate::facts::Content;

    #[test]
    fn every_kind_of_request_fits_the_schema() {
        let schema: Schema = crate::source::SCHEMA.parse().unwrap();
        let vocabulary = Vocabulary::new().unwrap();
        for budget in [None, Some(Amount::from_nanos(7))] {
            let subject = Subject {
                use_case: "claims".parse().unwrap(),
                stage: Stage::Pilot,
                data_class: DataClass::Confidential,
                transformations: BTreeSet::from([Transformation::Mask]),
                cost_centre: "4711".to_owned(),
                budget,
            };
            let placement = PlacementFacts {
                name: "cloud".parse().unwrap(),
                zone: Zone::PublicCloud,
                clearance: DataClass::Internal,
                provider: "openai".to_owned(),
                model: "gpt-4o-mini".parse().unwrap(),
                region: String::new(),
                trained_on: DataClass::Public,
            };
            let content = Content { labels: BTreeSet::from(["iban".into()]), ..Content::default() };
            let exchange = Exchange {
                subject: &subject,
                placement: &placement,
                content: &content,
                applied: Some(Transformation::Mask),
                sent_class: DataClass::Internal,
            };
            for question in [Question::Call(&subject), Question::Send(exchange), Question::Answer(exchange)] {
                assert!(vocabulary.request(&question, Some(&schema)).is_ok(), "{question:?}");
            }
        }
    }
}
