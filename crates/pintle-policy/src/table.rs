//! Decision tables: what a security team expects of its policies, in TOML, run against the engine itself.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    sync::Arc,
};

use pintle_core::{Amount, DataClass, ModelName, Name, Stage, Transformation, Zone};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    engine::{Decision, PolicyEngine},
    error::{PolicyError, Problem},
    facts::{Content, PlacementFacts, Subject},
    rule::{Effect, Reason, RuleRef},
    source::position,
};

/// A table of more than this is generated, and a generator can write two.
const TABLE_BYTES_MAX: usize = 1 << 20;

/// For the hint after a field that is unknown or missing.
const FIELDS: &str =
    "a case has `name`, `use_case`, `expect`, and for `send` and `answer` a `placement` and `content`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    case: Vec<Spanned<Case>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    action: CaseAction,
    use_case: CaseUseCase,
    placement: Option<CasePlacement>,
    content: Option<CaseContent>,
    residual: Option<CaseResidual>,
    expect: Expect,
    #[serde(default)]
    rules: Vec<String>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum CaseAction {
    Call,
    #[default]
    Send,
    Answer,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Refuse,
    Pseudonymise,
    Mask,
    Pass,
    Stop,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expect::Allow => "allow",
            Expect::Refuse => "refuse",
            Expect::Pseudonymise => "pseudonymise",
            Expect::Mask => "mask",
            Expect::Pass => "pass",
            Expect::Stop => "stop",
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseUseCase {
    name: Option<Name>,
    stage: Stage,
    data_class: DataClass,
    #[serde(default)]
    transformations: BTreeSet<Transformation>,
    #[serde(default)]
    cost_centre: String,
    #[serde(default, deserialize_with = "amount")]
    budget: Option<Amount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePlacement {
    name: Option<Name>,
    zone: Zone,
    clearance: DataClass,
    #[serde(default)]
    provider: String,
    model: Option<ModelName>,
    #[serde(default)]
    region: String,
    trained_on: Option<DataClass>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseContent {
    class: DataClass,
    #[serde(default)]
    labels: BTreeSet<Arc<str>>,
    #[serde(default)]
    unscannable: bool,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(deny_unknown_fields)]
struct CaseResidual {
    pseudonymise: Option<DataClass>,
    mask: Option<DataClass>,
}

/// Money is a decimal in quotes, as everywhere in configuration (I9).
fn amount<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Amount>, D::Error> {
    match toml::Value::deserialize(d)? {
        toml::Value::String(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
        _ => Err(serde::de::Error::custom("money is never a float: write it in quotes, such as `\"1000\"`")),
    }
}

/// What became of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// The line it begins at, from 1.
    pub line: usize,
    /// What was expected and what came, with the rules that made it so; `None` when it passed.
    pub failure: Option<String>,
}

/// What became of a table. Its `Display` form, which begins each case and the sum with the file's name, is
/// for people; it leaves out `untested`, which is judged over all tables together: see [`untested_in_all`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// The table's file name.
    pub file: String,
    /// Every case, in the order of the file.
    pub cases: Vec<CaseResult>,
    /// Forbidding rules that no case of this table named in `rules` and met.
    pub untested: Vec<RuleRef>,
}

impl TestReport {
    /// How many cases came out as expected.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|case| case.failure.is_none()).count()
    }

    /// How many did not.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cases.len() - self.passed()
    }
}

impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            if let Some(failure) = &case.failure {
                writeln!(f, "{}:{}: `{}` failed\n{failure}", self.file, case.line, case.name)?;
            }
        }
        write!(f, "{}: {} passed, {} failed", self.file, self.passed(), self.failed())
    }
}

/// The forbidding rules that no case of any table named in `rules` and met: nobody would notice if they went
/// missing. They come in the order of the policies.
#[must_use]
pub fn untested_in_all(reports: &[TestReport]) -> Vec<RuleRef> {
    let Some((first, others)) = reports.split_first() else { return Vec::new() };
    let is_untested = |id: &&RuleRef| others.iter().all(|report| report.untested.contains(*id));
    first.untested.iter().filter(is_untested).cloned().collect()
}

/// Runs a decision table against an engine. A case that comes out otherwise than expected is part of the
/// report, not an error.
///
/// # Errors
/// With file and line, when the table cannot be read or a case makes no sense.
pub fn run_tests(engine: &PolicyEngine, toml_text: &str, file_name: &str) -> Result<TestReport, PolicyError> {
    let problem = |offset: usize, message: String, hint: &str| {
        let (line, column) = position(toml_text, offset);
        Problem { file: file_name.to_owned(), line, column, message, hint: hint.to_owned() }
    };
    if toml_text.len() > TABLE_BYTES_MAX {
        let message = format!("the file is larger than {TABLE_BYTES_MAX} bytes");
        return Err(PolicyError::Tests(vec![problem(0, message, "split it into several files")]));
    }
    let table: Table = toml::from_str(toml_text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        let is_about_fields = error.message().contains("field");
        let hint = if is_about_fields { FIELDS } else { "" };
        PolicyError::Tests(vec![problem(offset, error.message().replace('\n', " "), hint)])
    })?;

    let mut problems = Vec::new();
    let mut cases = Vec::new();
    let mut met = HashSet::new();
    // Cases come in the order of the file, so its lines are counted once.
    let (mut counted, mut line) = (0, 1);
    for spanned in table.case {
        let offset = spanned.span().start;
        let case = spanned.into_inner();
        line += toml_text.get(counted..offset).map_or(0, |between| between.matches('\n').count());
        counted = offset;
        match run_case(engine, &case) {
            Ok(outcome) => {
                let failure = judge(&case, &outcome);
                if failure.is_none() {
                    met.extend(case.rules);
                }
                cases.push(CaseResult { name: case.name, line, failure });
            }
            Err((message, hint)) => problems.push(problem(offset, message, hint)),
        }
    }
    if cases.is_empty() && problems.is_empty() {
        problems.push(problem(0, "there is no case in it".to_owned(), "write one or more `[[case]]` tables"));
    }
    if !problems.is_empty() {
        return Err(PolicyError::Tests(problems));
    }
    let forbids = engine.rules().iter().filter(|rule| rule.effect == Effect::Forbid);
    let untested = forbids.map(|rule| &rule.id).filter(|id| !met.contains(&***id)).cloned().collect();
    Ok(TestReport { file: file_name.to_owned(), cases, untested })
}

/// What came, in the words of `expect`.
struct Outcome {
    came: Expect,
    permits: Vec<RuleRef>,
    reasons: Vec<Reason>,
    sent_class: Option<DataClass>,
}

fn run_case(engine: &PolicyEngine, case: &Case) -> Result<Outcome, (String, &'static str)> {
    check_expectation(engine, case)?;
    let subject = subject(&case.use_case)?;
    if case.action == CaseAction::Call {
        if case.placement.is_some() || case.content.is_some() || case.residual.is_some() {
            let message = format!("`{}` asks about `call` but has content or a placement", case.name);
            return Err((
                message,
                "a call is decided before content and placement are known: leave them out",
            ));
        }
        return Ok(match engine.may_call(&subject) {
            Ok(permits) => Outcome { came: Expect::Allow, permits, reasons: Vec::new(), sent_class: None },
            Err(reasons) => Outcome { came: Expect::Refuse, permits: Vec::new(), reasons, sent_class: None },
        });
    }
    let (Some(placement), Some(content)) = (&case.placement, &case.content) else {
        let message = format!("`{}` has no placement or no content", case.name);
        return Err((message, "add `placement = { … }` and `content = { … }`, or `action = \"call\"`"));
    };
    let placement = placement_facts(placement)?;
    let content =
        Content { class: content.class, labels: content.labels.clone(), unscannable: content.unscannable };
    let residual = residual(&content, case.residual.unwrap_or_default());
    let is_answer = case.action == CaseAction::Answer;
    let decision = if is_answer {
        engine.propose_answer(&subject, &placement, &content, residual(Transformation::Mask))
    } else {
        engine.propose(&subject, &placement, &content, &residual)
    };
    Ok(match decision {
        Decision::Allow { applied, sent_class, rules, because } => Outcome {
            came: match applied {
                None if is_answer => Expect::Pass,
                None => Expect::Allow,
                Some(Transformation::Pseudonymise) => Expect::Pseudonymise,
                Some(Transformation::Mask) => Expect::Mask,
            },
            permits: rules,
            reasons: because,
            sent_class: Some(sent_class),
        },
        Decision::Refuse { reasons } => Outcome {
            came: if is_answer { Expect::Stop } else { Expect::Refuse },
            permits: Vec::new(),
            reasons,
            sent_class: None,
        },
    })
}

/// A case that can never pass is a mistake in the table.
fn check_expectation(engine: &PolicyEngine, case: &Case) -> Result<(), (String, &'static str)> {
    let (possible, hint) = match case.action {
        CaseAction::Call => (&[Expect::Allow, Expect::Refuse][..], "for `call`, use one of `allow` `refuse`"),
        CaseAction::Send => (
            &[Expect::Allow, Expect::Refuse, Expect::Pseudonymise, Expect::Mask][..],
            "for `send`, use one of `allow` `refuse` `pseudonymise` `mask`",
        ),
        CaseAction::Answer => {
            (&[Expect::Pass, Expect::Mask, Expect::Stop][..], "for `answer`, use one of `pass` `mask` `stop`")
        }
    };
    if !possible.contains(&case.expect) {
        return Err((format!("`{}` expects `{}`", case.name, case.expect), hint));
    }
    match case.rules.iter().find(|id| engine.rule(id).is_none()) {
        Some(id) => Err((
            format!("`{}` names the rule `{id}`, which does not exist", case.name),
            "use the `@id` of a policy",
        )),
        None => Ok(()),
    }
}

fn subject(given: &CaseUseCase) -> Result<Subject, (String, &'static str)> {
    Ok(Subject {
        use_case: name_or(given.name.as_ref(), "a-use-case")?,
        stage: given.stage,
        data_class: given.data_class,
        transformations: given.transformations.clone(),
        cost_centre: given.cost_centre.clone(),
        budget: given.budget,
    })
}

fn placement_facts(given: &CasePlacement) -> Result<PlacementFacts, (String, &'static str)> {
    let model = match &given.model {
        Some(model) => model.clone(),
        None => "a-model".parse().map_err(|error| unnamed(&error))?,
    };
    Ok(PlacementFacts {
        name: name_or(given.name.as_ref(), "a-placement")?,
        zone: given.zone,
        clearance: given.clearance,
        provider: given.provider.clone(),
        model,
        region: given.region.clone(),
        trained_on: given.trained_on.unwrap_or(DataClass::Public),
    })
}

fn name_or(given: Option<&Name>, default: &str) -> Result<Name, (String, &'static str)> {
    given.map_or_else(|| default.parse().map_err(|error| unnamed(&error)), |name| Ok(name.clone()))
}

fn unnamed(error: &pintle_core::ParseError) -> (String, &'static str) {
    (error.to_string(), "give it a `name`")
}

/// Text without findings is `internal` at most; what could not be scanned stays as it is.
fn residual(content: &Content, given: CaseResidual) -> impl Fn(Transformation) -> DataClass {
    let usual =
        if content.unscannable { DataClass::Restricted } else { content.class.min(DataClass::default()) };
    move |transformation| {
        match transformation {
            Transformation::Pseudonymise => given.pseudonymise,
            Transformation::Mask => given.mask,
        }
        .unwrap_or(usual)
    }
}

/// `None` when the outcome is as expected, else an explanation.
fn judge(case: &Case, outcome: &Outcome) -> Option<String> {
    let is_present = |id: &&String| {
        outcome.reasons.iter().any(|reason| *reason.rule == ***id)
            || outcome.permits.iter().any(|permit| **permit == ***id)
    };
    let absent: Vec<&String> = case.rules.iter().filter(|id| !is_present(id)).collect();
    if outcome.came == case.expect && absent.is_empty() {
        return None;
    }
    let mut lines = Vec::new();
    let came = match outcome.sent_class {
        Some(class) => format!("{} (goes on as {class})", outcome.came),
        None => outcome.came.to_string(),
    };
    lines.push(format!("  expected {}, got {came}", case.expect));
    for id in absent {
        lines.push(format!("  the rule `{id}` played no part"));
    }
    for reason in &outcome.reasons {
        lines.push(format!("  against: `{}` ({}): {}", reason.rule, reason.owner, reason.guidance));
    }
    for permit in &outcome.permits {
        lines.push(format!("  for: `{permit}`"));
    }
    Some(lines.join("\n"))
}
