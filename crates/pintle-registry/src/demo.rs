//! The labelled sample organisation: four use cases at different stages, classes and owners.

use std::collections::BTreeSet;

use pintle_core::{DataClass, Name, ParseError, Stage, Transformation};

use crate::{Objective, Owner, Registry, RegistryError, RiskTier, UseCaseDraft};

/// What the sample organisation holds: draft, stage and the monthly budget in whole units.
struct Sample {
    name: &'static str,
    title: &'static str,
    purpose: &'static str,
    business_owner: (&'static str, &'static str),
    it_owner: (&'static str, &'static str),
    cost_centre: &'static str,
    stage: Stage,
    data_class: DataClass,
    risk_tier: RiskTier,
    transformations: &'static [Transformation],
    monthly_budget: &'static str,
    value_hypothesis: &'static str,
    kill_criterion: &'static str,
    review_on: &'static str,
}

const SAMPLES: [Sample; 4] = [
    Sample {
        name: "customer-replies",
        title: "Customer reply assistant",
        purpose: "Drafts answers to customers' questions about deliveries. A person reads and sends each.",
        business_owner: ("Jana Novak", "jana.novak@nordwind.example.com"),
        it_owner: ("Tomas Berg", "tomas.berg@nordwind.example.com"),
        cost_centre: "4100 Customer service",
        stage: Stage::Production,
        data_class: DataClass::Confidential,
        risk_tier: RiskTier::Limited,
        transformations: &[],
        monthly_budget: "400",
        value_hypothesis: "Six minutes saved per reply, 3,000 replies a month.",
        kill_criterion: "Fewer than half of the drafts are used after three months.",
        review_on: "2027-03-31",
    },
    Sample {
        name: "contract-review",
        title: "Contract first reading",
        purpose: "Lists unusual clauses in suppliers' contracts for the legal team to look at.",
        business_owner: ("Amira Haddad", "amira.haddad@nordwind.example.com"),
        it_owner: ("Tomas Berg", "tomas.berg@nordwind.example.com"),
        cost_centre: "1200 Legal",
        stage: Stage::Pilot,
        data_class: DataClass::Restricted,
        risk_tier: RiskTier::High,
        transformations: &[Transformation::Pseudonymise],
        monthly_budget: "150",
        value_hypothesis: "A first reading in ten minutes instead of two hours.",
        kill_criterion: "Misses more than one in twenty clauses that a lawyer marks.",
        review_on: "2027-01-15",
    },
    Sample {
        name: "campaign-texts",
        title: "Campaign texts",
        purpose: "Writes and shortens public marketing texts in four languages.",
        business_owner: ("Luis Ortega", "luis.ortega@nordwind.example.com"),
        it_owner: ("Mei Lindqvist", "mei.lindqvist@nordwind.example.com"),
        cost_centre: "3300 Marketing",
        stage: Stage::Approved,
        data_class: DataClass::Internal,
        risk_tier: RiskTier::Minimal,
        transformations: &[Transformation::Mask],
        monthly_budget: "80",
        value_hypothesis: "Half of the agency's translation fees.",
        kill_criterion: "Editors rewrite more than a third.",
        review_on: "2027-06-30",
    },
    Sample {
        name: "shift-planning",
        title: "Shift planning helper",
        purpose: "Would suggest shift plans for the warehouse. Written down; not allowed to call yet.",
        business_owner: ("Piotr Zielinski", "piotr.zielinski@nordwind.example.com"),
        it_owner: ("Mei Lindqvist", "mei.lindqvist@nordwind.example.com"),
        cost_centre: "2500 Warehouse",
        stage: Stage::Idea,
        data_class: DataClass::Confidential,
        risk_tier: RiskTier::High,
        transformations: &[],
        monthly_budget: "50",
        value_hypothesis: "Two planner hours a week.",
        kill_criterion: "The works council objects.",
        review_on: "2027-02-28",
    },
];

/// Fills an empty register with the sample organisation's use cases. Gives their names and monthly
/// budgets, as decimals, for the ledger; nothing when the register holds anything already.
///
/// # Errors
/// When the database fails.
pub async fn seed_demo(registry: &Registry) -> Result<Vec<(Name, &'static str)>, RegistryError> {
    if registry.snapshot().use_cases().len() > 0 {
        return Ok(Vec::new());
    }
    let mut budgets = Vec::new();
    for sample in &SAMPLES {
        let draft = draft(sample).map_err(|error| RegistryError::Corrupt(error.to_string()))?;
        budgets.push((draft.name.clone(), sample.monthly_budget));
        registry.create_use_case("demo", draft, sample.stage, true).await?;
    }
    Ok(budgets)
}

fn draft(sample: &Sample) -> Result<UseCaseDraft, ParseError> {
    let owner = |(name, email): (&str, &str)| Owner { name: name.into(), email: email.into() };
    Ok(UseCaseDraft {
        name: sample.name.parse()?,
        title: sample.title.into(),
        purpose: sample.purpose.into(),
        business_owner: owner(sample.business_owner),
        it_owner: owner(sample.it_owner),
        deputy: None,
        cost_centre: sample.cost_centre.into(),
        data_class: sample.data_class,
        risk_tier: sample.risk_tier,
        transformations: sample.transformations.iter().copied().collect::<BTreeSet<_>>(),
        objective: Objective::Cost,
        baseline: None,
        value_hypothesis: Some(sample.value_hypothesis.into()),
        review_on: Some(sample.review_on.into()),
        kill_criterion: Some(sample.kill_criterion.into()),
    })
}
