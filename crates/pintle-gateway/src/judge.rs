//! What the policies say of one placement, and how a refusal is put together. Used by the phase
//! `decide`; asks bans first, then the price, then the policies.

use std::sync::Arc;

use pintle_core::{DataClass, Transformation};
use pintle_ledger::Candidate;
use pintle_policy::{Content, Decision, Reason, Subject};
use pintle_registry::UseCase;

use crate::{
    content::{Cleared, Forms},
    error::Stop,
    fleet::Station,
    guidance::{self, Refusal, Way},
    life::Life,
    phases::{Admission, Classified},
    state::{Gateway, Loaded, Unpriced},
};

/// The verdict on one placement.
pub(crate) struct Judged {
    pub(crate) candidate: Candidate,
    pub(crate) outcome: Result<(Cleared, Option<Transformation>), Against>,
}

/// Why a placement is out of the question.
pub(crate) struct Against {
    station: Arc<Station>,
    code: &'static str,
    reasons: Vec<Reason>,
}

/// One placement: bans first, then its price, then the policies.
pub(crate) fn judge(
    gateway: &Gateway,
    loaded: &Loaded,
    admission: &Admission,
    forms: &Forms,
    station: &Arc<Station>,
) -> Judged {
    let candidate = |allowed, applied, rules| Candidate {
        placement: station.name().clone(),
        zone: station.placement().zone,
        allowed,
        applied,
        rules,
    };
    let refused = |code, reasons: Vec<Reason>| {
        let rules = reasons.iter().map(|reason| Arc::clone(&reason.rule)).collect();
        let station = Arc::clone(station);
        Judged { candidate: candidate(false, None, rules), outcome: Err(Against { station, code, reasons }) }
    };
    let now = gateway.parts.clock.now();
    let snapshot = gateway.parts.registry.snapshot();
    if let Some(ban) = snapshot.ban(admission.use_case.name(), station.placement(), now) {
        let until = ban.ends_at.to_zoned_datetime(loaded.organisation.time_zone.clone());
        let guidance = format!(
            "`{}` is banned until {}: {}",
            ban.target.name(),
            until.strftime("%-d %B %Y %H:%M %Z"),
            ban.reason
        );
        let reason = Reason {
            rule: format!("ban:{}", ban.id.short()).into(),
            title: None,
            guidance: guidance.into(),
            owner: ban.owner.as_str().into(),
        };
        return refused("banned", vec![reason]);
    }
    if station.prices().is_none() && loaded.limits.unpriced == Unpriced::Refuse {
        let reason = Reason {
            rule: "unpriced".into(),
            title: None,
            guidance:
                "Nobody has said what this placement costs, so nothing is sent there. Ask IT for a price."
                    .into(),
            owner: "IT".into(),
        };
        return refused("unpriced", vec![reason]);
    }
    let residual = |transformation| forms.residual(transformation);
    match loaded.policies.propose(&admission.subject, station.facts(), forms.raw().facts(), &residual) {
        Decision::Refuse { reasons } => refused("policy_refused", reasons),
        Decision::Allow { applied, rules, .. } => {
            // INVARIANT (I1): the class is that of the very form that would leave, scanned again.
            match forms.get(applied).and_then(|form| Cleared::new(form, Arc::clone(station))) {
                Some(cleared) => {
                    Judged { candidate: candidate(true, applied, rules), outcome: Ok((cleared, applied)) }
                }
                // The policies said yes and the floor beneath them says no: it is named, as any rule is.
                None => refused("policy_refused", vec![loaded.policies.floor()]),
            }
        }
    }
}

/// Puts the refusal together: what was found, the rules, and what would pass.
pub(crate) fn refuse(
    life: &mut Life,
    loaded: &Loaded,
    classified: &Classified<'_>,
    forms: &Forms,
    against: Vec<Against>,
) -> Stop {
    let code = against.first().map_or("policy_refused", |against| against.code);
    let scanned = &classified.scanned;
    let sightings = guidance::sightings(scanned.findings());
    let mut ways = ways_elsewhere(life.gateway(), loaded, classified, forms, &against);
    ways.extend(guidance::removals(&sightings));
    ways.extend(guidance::people(&classified.admission.use_case));
    let class = Some(scanned.class());
    let reasons = in_order(against);
    let refusal = Refusal { code, what: "Not sent", class, sightings, reasons, ways, id: life.id() };
    Stop::Refused(Box::new(refusal))
}

/// Each reason once; those that hold at the most placements first, because they are what the person has to
/// do something about.
fn in_order(against: Vec<Against>) -> Vec<Reason> {
    let mut counted: Vec<(usize, Reason)> = Vec::new();
    for reason in against.into_iter().flat_map(|against| against.reasons) {
        match counted.iter_mut().find(|(_, known)| known.rule == reason.rule) {
            Some((count, _)) => *count += 1,
            None => counted.push((1, reason)),
        }
    }
    counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counted.into_iter().map(|(_, reason)| reason).collect()
}

/// The placements to which the policies let at least something of this use case through, now.
pub(crate) fn usable<'a>(
    gateway: &Gateway,
    loaded: &'a Loaded,
    use_case: &UseCase,
    subject: &Subject,
) -> Vec<&'a Arc<Station>> {
    if loaded.policies.may_call(subject).is_err() {
        return Vec::new();
    }
    let now = gateway.parts.clock.now();
    let snapshot = gateway.parts.registry.snapshot();
    let content = Content { class: DataClass::default(), ..Content::default() };
    let is_usable = |station: &&Arc<Station>| {
        let decision = loaded.policies.propose(subject, station.facts(), &content, &|_| content.class);
        matches!(decision, Decision::Allow { .. })
            && snapshot.ban(use_case.name(), station.placement(), now).is_none()
            && (station.prices().is_some() || loaded.limits.unpriced == Unpriced::Flag)
    };
    loaded.stations.iter().filter(is_usable).collect()
}

/// What the policies would allow: another placement, or a transformation that the owners can permit.
fn ways_elsewhere(
    gateway: &Gateway,
    loaded: &Loaded,
    classified: &Classified<'_>,
    forms: &Forms,
    against: &[Against],
) -> Vec<Way> {
    let mut ways = Vec::new();
    let asked = |station: &Arc<Station>| classified.stations.iter().any(|other| Arc::ptr_eq(other, station));
    let endpoint = classified.admission.endpoint;
    let serves = |station: &&Arc<Station>| station.connector().offers(endpoint);
    for station in loaded.stations.iter().filter(|station| !asked(station)).filter(serves) {
        if let Ok((_, applied)) = judge(gateway, loaded, classified.admission, forms, station).outcome {
            let placement = station.name().clone();
            ways.push(Way::UsePlacement { placement, is_transformed: applied.is_some() });
        }
    }
    ways.sort_by_key(|way| matches!(way, Way::UsePlacement { is_transformed: true, .. }));
    ways.truncate(2);
    if endpoint.is_tokenisers() {
        return ways;
    }
    let subject = &classified.admission.subject;
    for transformation in Transformation::ALL.iter().filter(|it| !subject.transformations.contains(it)) {
        let mut wider = subject.clone();
        wider.transformations.insert(*transformation);
        let residual = |transformation| forms.residual(transformation);
        let facts = forms.raw().facts();
        // What a ban or a missing price stops, no transformation lets through.
        let asked = against.iter().filter(|against| against.code == "policy_refused").map(|it| &it.station);
        let passes = |station: &&Arc<Station>| {
            let decision = loaded.policies.propose(&wider, station.facts(), facts, &residual);
            matches!(decision, Decision::Allow { .. })
        };
        if let Some(station) = asked.clone().find(passes) {
            let placement = station.name().clone();
            ways.push(Way::AllowTransformation { transformation: transformation.as_str(), placement });
            break;
        }
    }
    ways
}
