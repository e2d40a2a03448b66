//! The engine: asks Cedar, remembers, proposes transformations, and stands on three floors that no
//! policy can lift: clearance, failing closed, and the unscannable.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{Authorizer, Decision as CedarDecision};
use pintle_core::{DataClass, Transformation};

use crate::{
    compile::{Compiled, compile},
    error::PolicyError,
    facts::{Action, Content, Exchange, PlacementFacts, Question, Subject},
    memo::Memo,
    rule::{
        CLEARANCE_FLOOR, DEFAULT_OWNER, Effect, NO_PERMIT, POLICY_ERROR, Reason, Rule, RuleRef, built_in,
    },
    source::PolicySource,
};

/// Cedar refuses to recurse when less than 100 KiB of stack are left, and a rule that fails refuses everybody.
/// What a rule says must not depend on who asks, so Cedar gets a stack of its own when the caller's may
/// be too short for the deepest rule: this much, and per level this much more. Measured: a level takes
/// between 64 and 96 KiB in a debug build, and less than 10 KiB in a release build.
const STACK_BYTES: usize = 256 << 10;
const STACK_BYTES_PER_LEVEL: usize = if cfg!(debug_assertions) { 96 << 10 } else { 16 << 10 };

/// Yes or no to one [`Question`], with the rules that made it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the policies allow it. Never true when `error` is.
    pub allowed: bool,
    /// The rules that decided, in the order of the files: the permits when allowed, the forbids when not.
    /// With `error`, those that could not be evaluated.
    pub rules: Vec<RuleRef>,
    /// Whether a policy could not be evaluated.
    pub error: bool,
}

/// Whether content may pass, and in what form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may, once `applied` has been applied.
    Allow {
        /// What must be done to the content first.
        applied: Option<Transformation>,
        /// The class of what then goes on. For content that is sent, at most the placement's clearance.
        sent_class: DataClass,
        /// The rules that permit it.
        rules: Vec<RuleRef>,
        /// Why it may not pass untransformed; empty when nothing is applied.
        because: Vec<Reason>,
    },
    /// It may not.
    Refuse {
        /// Why not, as it stands; at least one reason. A policy that failed has the rule [`POLICY_ERROR`].
        reasons: Vec<Reason>,
    },
}

/// What to do with a part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerRule {
    /// Give it to the use case as it is.
    Pass,
    /// Mask what was found in it.
    Mask,
    /// Do not give it.
    Stop,
}

/// An [`AnswerRule`] for each data class: decided once per request, so that a streamed answer is
/// screened without asking again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerTable([AnswerRule; 4]);

impl AnswerTable {
    /// What to do with content of this class.
    #[must_use]
    pub const fn for_class(&self, class: DataClass) -> AnswerRule {
        let AnswerTable([public, internal, confidential, restricted]) = *self;
        match class {
            DataClass::Public => public,
            DataClass::Internal => internal,
            DataClass::Confidential => confidential,
            DataClass::Restricted => restricted,
        }
    }
}

/// Compiled policies and the memory of what they said. Shared between threads; replaced on reload.
pub struct PolicyEngine {
    compiled: Compiled,
    authorizer: Authorizer,
    /// Position in `compiled.rules`, by id.
    positions: HashMap<RuleRef, usize>,
    built_in: [Rule; 3],
    memo: Memo,
}

impl std::fmt::Debug for PolicyEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyEngine")
            .field("version", &self.compiled.version)
            .field("rules", &self.compiled.rules.len())
            .field("memo", &self.memo)
            .finish_non_exhaustive()
    }
}

impl PolicyEngine {
    /// Compiles policy files, in the order in which their reasons are to be given.
    ///
    /// # Errors
    /// With every mistake in every file: syntax, validation against the schema (its warnings too), words that
    /// no fact can equal, missing or double annotations.
    pub fn compile(sources: &[PolicySource]) -> Result<PolicyEngine, PolicyError> {
        let compiled = compile(sources)?;
        let ids = compiled.rules.iter().map(|rule| Arc::clone(&rule.id));
        let positions = ids.enumerate().map(|(position, id)| (id, position)).collect();
        Ok(PolicyEngine {
            compiled,
            authorizer: Authorizer::new(),
            positions,
            built_in: built_in(),
            memo: Memo::new(),
        })
    }

    /// A short hash of the schema and the files: equal text, equal version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.compiled.version
    }

    /// The rules of the files, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.compiled.rules
    }

    /// The rule with this id, built-in ones included.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        let own = self.positions.get(id).and_then(|position| self.compiled.rules.get(*position));
        own.or_else(|| self.built_in.iter().find(|rule| &*rule.id == id))
    }

    /// Answers one question. What was asked before is answered from memory.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Arc<Verdict> {
        let hash = self.memo.hash(question);
        if let Some(known) = self.memo.get(hash, question) {
            return known;
        }
        let verdict = Arc::new(self.evaluate(question));
        // A failure may be of the moment (a deep stack), so it is not remembered.
        if !verdict.error {
            self.memo.insert(hash, question, &verdict);
        }
        verdict
    }

    /// Answers one question from the policies alone, without the memory.
    #[must_use]
    pub fn evaluate(&self, question: &Question<'_>) -> Verdict {
        let mut verdict = self.ask_cedar(question);
        // INVARIANT I1: whatever the policies say, nothing above a placement's clearance is sent to it.
        if let Question::Send(exchange) = question
            && verdict.allowed
            && exchange.sent_class() > exchange.placement.clearance
        {
            verdict = Verdict { allowed: false, rules: vec![CLEARANCE_FLOOR.into()], error: false };
        }
        verdict
    }

    fn ask_cedar(&self, question: &Question<'_>) -> Verdict {
        let Ok((request, entities)) = self.compiled.vocabulary.request(question, None) else {
            return Verdict { allowed: false, rules: Vec::new(), error: true };
        };
        let slice = match question.action() {
            Action::Call => &self.compiled.call,
            Action::Send => &self.compiled.send,
            Action::Answer => &self.compiled.answer,
        };
        let policies = slice.for_use_case(question.subject().use_case.as_str());
        let stack_bytes = STACK_BYTES + self.compiled.depth * STACK_BYTES_PER_LEVEL;
        let response = stacker::maybe_grow(stack_bytes, stack_bytes + STACK_BYTES, || {
            self.authorizer.is_authorized(&request, policies, &entities)
        });
        // Cedar skips a policy that fails, so a broken `forbid` would let content through. Here it refuses.
        let mut failed = response.diagnostics().errors().map(failed_policy).peekable();
        if failed.peek().is_some() {
            return Verdict { allowed: false, rules: self.in_order(failed), error: true };
        }
        drop(failed);
        Verdict {
            allowed: response.decision() == CedarDecision::Allow,
            rules: self.in_order(response.diagnostics().reason()),
            error: false,
        }
    }

    /// Rule ids in the order of the files; Cedar gives them in none.
    fn in_order<'a>(&self, ids: impl Iterator<Item = &'a cedar_policy::PolicyId>) -> Vec<RuleRef> {
        let position = |id: &cedar_policy::PolicyId| {
            let id: &str = id.as_ref();
            id.strip_prefix('#').and_then(|digits| digits.parse::<usize>().ok())
        };
        let mut positions: Vec<usize> = ids.filter_map(position).collect();
        positions.sort_unstable();
        let rules = positions.into_iter().filter_map(|position| self.compiled.rules.get(position));
        rules.map(|rule| Arc::clone(&rule.id)).collect()
    }

    /// May this use case call at all? The permitting rules, or why not.
    ///
    /// # Errors
    /// The reasons of the refusal; at least one.
    pub fn may_call(&self, subject: &Subject) -> Result<Vec<RuleRef>, Vec<Reason>> {
        let verdict = self.decide(&Question::Call(subject));
        if verdict.allowed { Ok(verdict.rules.clone()) } else { Err(self.reasons(&verdict)) }
    }

    /// May this content be sent to this placement, and in what form? Asked as it is first; if that is
    /// refused, with each transformation that the use case allows. `residual` says which class the content
    /// would have after a transformation.
    #[must_use]
    pub fn propose(
        &self,
        subject: &Subject,
        placement: &PlacementFacts,
        content: &Content,
        residual: &dyn Fn(Transformation) -> DataClass,
    ) -> Decision {
        let raw = Exchange { subject, placement, content, applied: None, sent_class: content.class };
        let allowed = Transformation::ALL.iter().filter(|known| subject.transformations.contains(known));
        self.first_allowed(raw, Question::Send, &mut allowed.map(|proposed| (*proposed, residual(*proposed))))
    }

    /// May an answer with this content be given to the use case, and in what form? `masked` is the class
    /// that it would have with its findings masked. A mask is proposed whether or not the use case
    /// asks for it: it protects the use case from what it was not approved for.
    #[must_use]
    pub fn propose_answer(
        &self,
        subject: &Subject,
        placement: &PlacementFacts,
        content: &Content,
        masked: DataClass,
    ) -> Decision {
        let raw = Exchange { subject, placement, content, applied: None, sent_class: content.class };
        self.first_allowed(raw, Question::Answer, &mut std::iter::once((Transformation::Mask, masked)))
    }

    /// What to do with scannable parts of an answer, for each class. A part that cannot be scanned is
    /// asked about by itself, with [`PolicyEngine::propose_answer`]; so is the reason for a stop.
    #[must_use]
    pub fn answer_table(&self, subject: &Subject, placement: &PlacementFacts) -> AnswerTable {
        let rule = |class: DataClass| {
            let content = Content { class, ..Content::default() };
            // With every finding masked, text is what text without findings is.
            match self.propose_answer(subject, placement, &content, class.min(DataClass::default())) {
                Decision::Allow { applied: None, .. } => AnswerRule::Pass,
                Decision::Allow { applied: Some(_), .. } => AnswerRule::Mask,
                Decision::Refuse { .. } => AnswerRule::Stop,
            }
        };
        AnswerTable(
            [DataClass::Public, DataClass::Internal, DataClass::Confidential, DataClass::Restricted]
                .map(rule),
        )
    }

    /// Asks with nothing applied, then with each proposal in turn; the first that is allowed wins.
    fn first_allowed<'a>(
        &self,
        raw: Exchange<'a>,
        question: fn(Exchange<'a>) -> Question<'a>,
        proposals: &mut dyn Iterator<Item = (Transformation, DataClass)>,
    ) -> Decision {
        let allow = |exchange: &Exchange<'_>, verdict: &Verdict, because| Decision::Allow {
            applied: exchange.applied,
            sent_class: exchange.sent_class(),
            rules: verdict.rules.clone(),
            because,
        };
        let verdict = self.decide(&question(raw));
        if verdict.allowed {
            return allow(&raw, &verdict, Vec::new());
        }
        let mut reasons = self.reasons(&verdict);
        if verdict.error {
            // What rules mean is not known while one of them fails: propose nothing around it.
            return Decision::Refuse { reasons };
        }
        for (proposed, sent_class) in proposals {
            let exchange = Exchange { applied: Some(proposed), sent_class, ..raw };
            let verdict = self.decide(&question(exchange));
            if verdict.allowed {
                return allow(&exchange, &verdict, reasons);
            }
            if verdict.error {
                reasons.extend(self.reasons(&verdict));
                break;
            }
        }
        Decision::Refuse { reasons }
    }

    /// The floor beneath all policies, in words: for a caller that finds content above a clearance after
    /// the policies had their say.
    #[must_use]
    pub fn floor(&self) -> Reason {
        self.built_in_reason(CLEARANCE_FLOOR, None)
    }

    /// Why a verdict is no, in words. Never empty, so that no refusal stays unexplained (I7).
    #[must_use]
    pub fn reasons(&self, verdict: &Verdict) -> Vec<Reason> {
        if verdict.error {
            let owner = verdict.rules.iter().find_map(|id| self.rule(id)?.owner.clone());
            return vec![self.built_in_reason(POLICY_ERROR, owner)];
        }
        let rules = verdict.rules.iter().filter_map(|id| self.rule(id));
        let reasons: Vec<Reason> = rules.filter(|rule| rule.effect == Effect::Forbid).map(reason).collect();
        if reasons.is_empty() { vec![self.built_in_reason(NO_PERMIT, None)] } else { reasons }
    }

    fn built_in_reason(&self, id: &str, owner: Option<Arc<str>>) -> Reason {
        let known = self.built_in.iter().find(|rule| &*rule.id == id).map(reason);
        let mut reason = known.unwrap_or_else(|| Reason {
            rule: id.into(),
            title: None,
            guidance: "Ask the owner of the rules.".into(),
            owner: DEFAULT_OWNER.into(),
        });
        if let Some(owner) = owner {
            reason.owner = owner;
        }
        reason
    }
}

/// A forbidding rule in words. Both texts exist for every rule that compiled.
fn reason(rule: &Rule) -> Reason {
    Reason {
        rule: Arc::clone(&rule.id),
        title: rule.title.clone(),
        guidance: rule.guidance.clone().unwrap_or_else(|| Arc::clone(&rule.id)),
        owner: rule.owner.clone().unwrap_or_else(|| DEFAULT_OWNER.into()),
    }
}

fn failed_policy(error: &cedar_policy::AuthorizationError) -> &cedar_policy::PolicyId {
    match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    }
}
