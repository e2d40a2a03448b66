//! From policy files to something that can be asked: parse, check the annotations, validate strictly
//! against the schema, cut into slices. Every mistake is collected with its place; with one mistake
//! there is no result.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cedar_policy::{
    ActionConstraint, Effect as CedarEffect, Policy, PolicyId, PolicySet, PrincipalConstraint, Schema,
    ValidationError, ValidationMode, ValidationWarning, Validator,
};
use miette::Diagnostic;
use sha2::{Digest, Sha256};

use crate::{
    error::{PolicyError, Problem},
    facts::Action,
    request::Vocabulary,
    rule::{Effect, Rule, built_in},
    source::{Piece, PolicySource, SCHEMA, pieces, position},
    words::unknown_words,
};

/// A policy file of more than this is a mistake, not a policy.
const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Evaluation time grows with the number of policies; beyond this, decisions would take milliseconds.
const POLICIES_MAX: usize = 2_000;

/// Cedar's parser, validator and evaluator recurse over a policy's syntax tree; deep trees would overflow
/// the stack, and its validator passes over what lies deeper than the stack it has left. So depth is
/// bounded before Cedar sees a policy: brackets, and operators, whose chains nest as well.
const NESTING_MAX: usize = 24;
const OPERATORS_MAX: usize = 256;

/// Enough for a policy at both bounds in a debug build (measured: about 20 KiB a level) with a wide margin.
const COMPILE_STACK_BYTES: usize = 32 << 20;

/// What a rule may speak about, for the hint after a misspelt attribute.
const FACTS: &str = "`principal` has `stage` `data_class` `transformations` `cost_centre` `has_budget` \
    `budget_nanos`; `resource` (a placement) has `zone` `clearance` `provider` `model` `region` \
    `trained_on`; `context` of `send` and `answer` has `class` `sent_class` `applied` `labels` `unscannable`";

/// For the hint after a rule that can never apply.
const IMPOSSIBLE: &str =
    "a rule that never applies protects nothing: see whether its conditions exclude each other";

/// Which questions there are, for the hint after a scope that matches none.
const SCOPES: &str = "a use case asks to `call` the `Organisation`, to `send` to a `Placement` and to be given \
    the `answer` of a `Placement`";

/// The policies that one kind of question must be held against.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// Those that speak of no use case by name.
    general: PolicySet,
    /// For each use case that policies name: the general ones and its own.
    by_use_case: HashMap<String, PolicySet>,
}

impl Slice {
    pub(crate) fn for_use_case(&self, name: &str) -> &PolicySet {
        self.by_use_case.get(name).unwrap_or(&self.general)
    }
}

/// Policies that passed every check.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) version: String,
    pub(crate) vocabulary: Vocabulary,
    /// In the order of the files and their lines.
    pub(crate) rules: Vec<Rule>,
    pub(crate) call: Slice,
    pub(crate) send: Slice,
    pub(crate) answer: Slice,
    /// No syntax tree of a policy is deeper.
    pub(crate) depth: usize,
}

/// One policy with its place, on its way through the checks.
struct Parsed<'a> {
    source: &'a PolicySource,
    piece: Piece,
    policy: Policy,
}

impl Parsed<'_> {
    fn problem(&self, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        problem_at(self.source, self.piece.first, message, hint)
    }
}

pub(crate) fn compile(sources: &[PolicySource]) -> Result<Compiled, PolicyError> {
    stacker::grow(COMPILE_STACK_BYTES, || compile_within_stack(sources))
}

fn compile_within_stack(sources: &[PolicySource]) -> Result<Compiled, PolicyError> {
    let broken = |error: &dyn std::fmt::Display| PolicyError::Schema(error.to_string());
    let schema: Schema = SCHEMA.parse().map_err(|error| broken(&error))?;
    let vocabulary = Vocabulary::new().map_err(|error| broken(&error))?;

    let mut problems = Vec::new();
    let parsed = parse(sources, &mut problems);
    let rules = read_rules(&parsed, &mut problems);
    for policy in &parsed {
        check_words(policy, &mut problems);
    }
    validate(&parsed, schema, &mut problems);
    if !problems.is_empty() {
        let order = |problem: &Problem| sources.iter().position(|source| source.name == problem.file);
        problems.sort_by_key(|problem| (order(problem), problem.line, problem.column));
        problems.dedup();
        return Err(PolicyError::Policies(problems));
    }

    let depth = parsed.iter().map(|parsed| parsed.piece.nesting + parsed.piece.operators).max().unwrap_or(0);
    let policies: Vec<Policy> = parsed.into_iter().map(|parsed| parsed.policy).collect();
    let slice = |action| slice(&policies, &vocabulary, action);
    let (call, send, answer) = (slice(Action::Call)?, slice(Action::Send)?, slice(Action::Answer)?);
    Ok(Compiled { version: version(sources), vocabulary, rules, call, send, answer, depth })
}

/// The first twelve hex digits of a hash over the schema and all files, names included.
fn version(sources: &[PolicySource]) -> String {
    let mut hash = Sha256::new();
    let texts = sources.iter().flat_map(|source| [source.name.as_str(), source.text.as_str()]);
    for text in std::iter::once(SCHEMA).chain(texts) {
        // The length keeps a text from running into the next.
        hash.update(text.len().to_le_bytes());
        hash.update(text.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn problem_at(
    source: &PolicySource,
    offset: usize,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Problem {
    let (line, column) = position(&source.text, offset);
    Problem { file: source.name.clone(), line, column, message: message.into(), hint: hint.into() }
}

/// Where a diagnostic of Cedar points to within its piece, and what it advises.
fn place_and_advice(diagnostic: &dyn Diagnostic) -> (Option<usize>, Option<String>) {
    let label = diagnostic.labels().and_then(|mut labels| labels.next());
    let advice = diagnostic.help().map(|help| help.to_string());
    let advice = advice.or_else(|| label.as_ref().and_then(|label| label.label().map(str::to_owned)));
    (label.map(|label| label.offset()), advice)
}

fn parse<'a>(sources: &'a [PolicySource], problems: &mut Vec<Problem>) -> Vec<Parsed<'a>> {
    let mut parsed = Vec::new();
    for source in sources {
        if source.text.len() > SOURCE_BYTES_MAX {
            let message = format!("the file is larger than {SOURCE_BYTES_MAX} bytes");
            problems.push(problem_at(source, 0, message, "split it by subject"));
            continue;
        }
        for piece in pieces(&source.text) {
            if parsed.len() >= POLICIES_MAX {
                let message = format!("there are more than {POLICIES_MAX} policies");
                problems.push(problem_at(
                    source,
                    piece.first,
                    message,
                    "state a rule once, not per use case",
                ));
                return parsed;
            }
            if let Some(message) = too_deep(&piece) {
                let hint = "state it as several policies, or use `containsAny` with a set";
                problems.push(problem_at(source, piece.first, message, hint));
                continue;
            }
            // INVARIANT: Cedar knows a policy by `#` and its position, which is its rule's position too: a
            // policy without a rule is a problem, and with a problem nothing compiles.
            let temporary = PolicyId::new(format!("#{}", parsed.len()));
            let text = source.text.get(piece.range.clone()).unwrap_or_default();
            match Policy::parse(Some(temporary), text) {
                Ok(policy) => parsed.push(Parsed { source, piece, policy }),
                Err(errors) => problems.extend(errors.iter().map(|error| {
                    let (offset, advice) = place_and_advice(error);
                    let offset = offset.map_or(piece.first, |offset| piece.range.start + offset);
                    let hint = advice.unwrap_or_else(|| "each policy ends with `;`".to_owned());
                    problem_at(source, offset, error.to_string(), hint)
                })),
            }
        }
    }
    parsed
}

fn too_deep(piece: &Piece) -> Option<String> {
    if piece.nesting > NESTING_MAX {
        return Some(format!("the brackets of the policy nest deeper than {NESTING_MAX}"));
    }
    (piece.operators > OPERATORS_MAX).then(|| format!("the policy has more than {OPERATORS_MAX} operators"))
}

/// Reads the annotations into rules, one for each policy that has no problem.
fn read_rules(parsed: &[Parsed<'_>], problems: &mut Vec<Problem>) -> Vec<Rule> {
    let reserved = built_in();
    let mut rules: Vec<Rule> = Vec::with_capacity(parsed.len());
    let mut places: HashMap<Arc<str>, (&str, usize)> = HashMap::new();
    for policy in parsed {
        let Some(rule) = read_rule(policy, problems) else { continue };
        if reserved.iter().any(|built_in| built_in.id == rule.id) {
            let message = format!("`{}` is the id of a rule that is built in", rule.id);
            problems.push(policy.problem(message, "choose another `@id`"));
        } else if let Some((file, line)) = places.get(&rule.id) {
            let message = format!("the id `{}` is taken by the policy at {file}:{line}", rule.id);
            problems.push(policy.problem(message, "give each policy an `@id` of its own"));
        } else {
            places.insert(Arc::clone(&rule.id), (&policy.source.name, rule.line));
            rules.push(rule);
        }
    }
    rules
}

fn read_rule(parsed: &Parsed<'_>, problems: &mut Vec<Problem>) -> Option<Rule> {
    let mut read = |key: &str, length_max: usize| match annotation(parsed, key, length_max) {
        Ok(value) => value,
        Err(problem) => {
            problems.push(problem);
            None
        }
    };
    let (title, guidance, owner) = (read("title", 120), read("guidance", 500), read("owner", 120));
    let id = read("id", 64);
    let effect = match parsed.policy.effect() {
        CedarEffect::Permit => Effect::Permit,
        CedarEffect::Forbid => Effect::Forbid,
    };
    let has = |key: &str| parsed.policy.annotation(key).is_some();
    let mut missing = |key: &str, why: &str, hint: &str| {
        if !has(key) {
            let name = id.as_deref().map(|id| format!("`{id}` ")).unwrap_or_default();
            problems.push(parsed.problem(format!("the policy {name}has no `@{key}`: {why}"), hint));
        }
    };
    missing("id", "decisions and records name their rules", "begin it with `@id(\"a-short-name\")`");
    if effect == Effect::Forbid {
        missing(
            "guidance",
            "each refusal says what to do now",
            "add `@guidance(\"…\")`, one or two sentences for the person whose request is refused",
        );
        missing(
            "owner",
            "each refusal says whom to ask",
            "add `@owner(\"…\")`, such as `@owner(\"IT Security\")`",
        );
    }
    let id = id?;
    if !id.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)) {
        let hint = "use letters, digits, `-`, `_` and `.`";
        problems.push(parsed.problem(format!("`{id}` is not a rule id"), hint));
        return None;
    }
    Some(Rule {
        id,
        title,
        effect,
        guidance,
        owner,
        file: parsed.source.name.as_str().into(),
        line: parsed.piece.line,
    })
}

/// An annotation's text. It ends on terminals and in people's browsers, so it is short and plain.
fn annotation(parsed: &Parsed<'_>, key: &str, length_max: usize) -> Result<Option<Arc<str>>, Problem> {
    let Some(text) = parsed.policy.annotation(key) else { return Ok(None) };
    let text = text.trim();
    if text.is_empty() {
        return Err(parsed.problem(format!("`@{key}` is empty"), format!("write `@{key}(\"…\")`")));
    }
    if text.chars().count() > length_max || text.chars().any(char::is_control) {
        let message = format!("`@{key}` is no plain text of at most {length_max} characters");
        return Err(parsed.problem(message, "keep it to one line without control characters"));
    }
    Ok(Some(text.into()))
}

fn check_words(parsed: &Parsed<'_>, problems: &mut Vec<Problem>) {
    // Every static policy has a JSON form; without one, the words could not be checked, so it is refused.
    let Ok(json) = parsed.policy.to_json() else {
        problems.push(parsed.problem("the policy has no JSON form", "write it without experimental syntax"));
        return;
    };
    for unknown in unknown_words(&json) {
        let text = parsed.source.text.get(parsed.piece.range.clone()).unwrap_or_default();
        // The JSON form has no places; the literal's first appearance is where a reader looks first.
        let offset = text.find(&format!("\"{}\"", unknown.word));
        let offset = offset.map_or(parsed.piece.first, |offset| parsed.piece.range.start + offset);
        let message = format!("`{}` is no value that `{}` can have", unknown.word, unknown.attribute);
        let hint = format!("use one of `{}`", unknown.known.join("` `"));
        problems.push(problem_at(parsed.source, offset, message, hint));
    }
}

/// Strict validation. Warnings count as errors: a rule that can never apply, or that holds letters that
/// look like others, is not what its author meant.
fn validate(parsed: &[Parsed<'_>], schema: Schema, problems: &mut Vec<Problem>) {
    let mut set = PolicySet::new();
    for policy in parsed {
        if set.add(policy.policy.clone()).is_err() {
            problems.push(policy.problem("the policy could not be added", "report this as a defect"));
        }
    }
    let result = Validator::new(schema).validate(&set, ValidationMode::Strict);
    let errors = result.validation_errors().map(|error| {
        let is_scope = matches!(error, ValidationError::InvalidActionApplication(_));
        (error.policy_id(), error as &dyn Diagnostic, if is_scope { SCOPES } else { FACTS })
    });
    let warnings = result.validation_warnings().map(|warning| {
        let is_impossible = matches!(warning, ValidationWarning::ImpossiblePolicy(_));
        (warning.policy_id(), warning as &dyn Diagnostic, if is_impossible { IMPOSSIBLE } else { SCOPES })
    });
    // What is wrong with a policy explains its warnings, and any other warning explains why it can never
    // apply; what is explained is left out.
    let (impossible, other): (Vec<_>, Vec<_>) = warnings.partition(|(_, _, hint)| *hint == IMPOSSIBLE);
    let mut found: Vec<_> = errors.collect();
    for later in [other, impossible] {
        let explained: HashSet<&PolicyId> = found.iter().map(|(id, ..)| *id).collect();
        found.extend(later.into_iter().filter(|(id, ..)| !explained.contains(id)));
    }
    let mut seen = HashSet::new();
    for (id, diagnostic, usual_hint) in found {
        let Some(policy) = parsed.iter().find(|parsed| parsed.policy.id() == id) else { continue };
        let (offset, advice) = place_and_advice(diagnostic);
        let offset = offset.map_or(policy.piece.first, |offset| policy.piece.range.start + offset);
        // Cedar labels a whole policy from its annotations on, which is where ours begin, too.
        let offset = offset.max(policy.piece.first);
        let text = diagnostic.to_string();
        // Cedar names the policy by its position; file and line say more.
        let text = text.strip_prefix(&format!("for policy `{id}`")).unwrap_or(&text);
        let text = text.trim_start_matches([',', ':', ' ']);
        if seen.insert((id.clone(), offset, text.to_owned())) {
            problems.push(problem_at(
                policy.source,
                offset,
                text,
                advice.unwrap_or_else(|| usual_hint.to_owned()),
            ));
        }
    }
}

/// The policies for one action, apart for each use case that a policy names in its scope. Leaving out
/// what cannot match does not change a decision; Cedar's time is linear in what is left.
fn slice(policies: &[Policy], vocabulary: &Vocabulary, action: Action) -> Result<Slice, PolicyError> {
    let asked = vocabulary.action(action);
    let matches_action = |policy: &&Policy| match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid == *asked,
        ActionConstraint::In(uids) => uids.contains(asked),
    };
    let named = |policy: &Policy| match policy.principal_constraint() {
        PrincipalConstraint::Eq(uid) => Some(uid),
        _ => None,
    };
    let candidates: Vec<&Policy> = policies.iter().filter(matches_action).collect();
    let collect = |wanted: Option<&cedar_policy::EntityUid>| {
        let kept = candidates.iter().filter(|policy| {
            let name = named(policy);
            name.is_none() || name.as_ref() == wanted
        });
        PolicySet::from_policies(kept.map(|policy| (*policy).clone()))
            .map_err(|error| PolicyError::Schema(error.to_string()))
    };
    let mut slice = Slice { general: collect(None)?, by_use_case: HashMap::new() };
    for uid in candidates.iter().filter_map(|policy| named(policy)) {
        if uid.type_name() == vocabulary.use_case_type() {
            let name: &str = uid.id().as_ref();
            if !slice.by_use_case.contains_key(name) {
                slice.by_use_case.insert(name.to_owned(), collect(Some(&uid))?);
            }
        }
    }
    Ok(slice)
}
