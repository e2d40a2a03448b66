//! Placements in service: their connections, how they have been doing lately, and the order in which a
//! request tries them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use pintle_core::{Amount, ModelName, Name, PriceCard, Pricing, Zone};
use pintle_policy::PlacementFacts;
use pintle_registry::{Objective, Placement};

use crate::upstream::Connector;

/// So many failures in a row, and a placement is passed over for a while.
const FAILURES_BEFORE_REST: u32 = 3;
const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_secs(60);
/// A provider may ask for more patience than a request has, but not for the whole day.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
const RETRY_TOKEN: i64 = 1_000;
/// Each request earns a fifth of a retry, so that retries never add more than a fifth to the load.
const RETRY_EARNED: i64 = 200;
const RETRY_TOKENS_MAX: i64 = 20 * RETRY_TOKEN;

/// How a placement has been doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Nothing speaks against it.
    Healthy,
    /// It failed, or asked for patience; it is tried again in so many milliseconds, or when nothing else is left.
    Resting {
        /// For how long it rests yet.
        ms: u64,
    },
}

/// One placement in service.
pub(crate) struct Station {
    placement: Arc<Placement>,
    facts: PlacementFacts,
    connector: Connector,
    /// Milliseconds of the process's own clock.
    rests_until_ms: AtomicU64,
    failures: AtomicU32,
    /// Smoothed time to the first byte, in microseconds; 0 before the first answer.
    first_byte_us: AtomicU64,
}

impl std::fmt::Debug for Station {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Station").field("name", &self.placement.name).finish_non_exhaustive()
    }
}

impl Station {
    pub(crate) fn new(placement: Arc<Placement>, connector: Connector) -> Self {
        let facts = PlacementFacts {
            name: placement.name.clone(),
            zone: placement.zone,
            clearance: placement.clearance,
            provider: placement.provider.name().to_owned(),
            model: placement.model.clone(),
            region: placement.region.clone(),
            trained_on: connector.trained_on(),
        };
        Station {
            placement,
            facts,
            connector,
            rests_until_ms: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            first_byte_us: AtomicU64::new(0),
        }
    }

    pub(crate) fn placement(&self) -> &Arc<Placement> {
        &self.placement
    }

    pub(crate) fn name(&self) -> &Name {
        &self.placement.name
    }

    pub(crate) fn facts(&self) -> &PlacementFacts {
        &self.facts
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(crate) fn prices(&self) -> Option<PriceCard> {
        match self.placement.pricing {
            Pricing::Priced(card) => Some(card),
            Pricing::Unpriced => None,
        }
    }

    pub(crate) fn health(&self, now_ms: u64) -> Health {
        match self.rests_until_ms.load(Ordering::Relaxed).saturating_sub(now_ms) {
            0 => Health::Healthy,
            ms => Health::Resting { ms },
        }
    }

    pub(crate) fn succeeded(&self, first_byte: Duration) {
        self.failures.store(0, Ordering::Relaxed);
        self.rests_until_ms.store(0, Ordering::Relaxed);
        let new = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.first_byte_us.load(Ordering::Relaxed);
        let smoothed = if old == 0 { new } else { old - old / 8 + new / 8 };
        self.first_byte_us.store(smoothed, Ordering::Relaxed);
    }

    /// Notes a failure; the third in a row sends the placement to rest, longer each time. A provider that
    /// says for how long it wants to be left alone is left alone for that long.
    pub(crate) fn failed(&self, now_ms: u64, retry_after: Option<Duration>) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let rest = match retry_after {
            Some(asked) => asked.min(LONGEST_RETRY_AFTER),
            None if failures < FAILURES_BEFORE_REST => return,
            None => {
                let doublings = (failures - FAILURES_BEFORE_REST).min(6);
                FIRST_REST.saturating_mul(1 << doublings).min(LONGEST_REST)
            }
        };
        let until = now_ms.saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
        self.rests_until_ms.fetch_max(until, Ordering::Relaxed);
    }

    /// The most that a request of this size could cost here; unpriced placements come last.
    fn expected_cost(&self, input: u64, output: u64) -> Amount {
        let cost = self.prices().and_then(|prices| prices.worst_case(input, output).ok());
        cost.unwrap_or(Amount::from_nanos(i64::MAX))
    }
}

/// Which placements a client's model name means.
pub(crate) fn named<'a>(stations: &'a [Arc<Station>], model: &str) -> Vec<&'a Arc<Station>> {
    if model == "auto" {
        return stations.iter().collect();
    }
    if let Some(exact) = stations.iter().find(|station| station.name().as_str() == model) {
        return vec![exact];
    }
    let same_model = |station: &&Arc<Station>| ModelName::as_str(&station.placement.model) == model;
    stations.iter().filter(same_model).collect()
}

/// What the order of tries depends on.
pub(crate) struct TryOrder<'a> {
    pub(crate) objective: Objective,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) now_ms: u64,
    pub(crate) is_transformed: &'a dyn Fn(&Station) -> bool,
}

impl TryOrder<'_> {
    /// Smaller keys are tried first: rested placements before resting ones; content as it is before
    /// content transformed, because a placeholder is worth less to a model than the word; then the use
    /// case's objective; then the name, so that the order is the same every time. A key is taken once,
    /// because health and latency change while others are being compared.
    pub(crate) fn key(&self, station: &Station) -> (bool, bool, u64, Amount, Name) {
        let is_resting = station.health(self.now_ms) != Health::Healthy;
        let is_transformed = (self.is_transformed)(station);
        let first = match self.objective {
            Objective::Cost => 0,
            // A placement that was never tried counts as fast, or it never would be tried.
            Objective::Latency => station.first_byte_us.load(Ordering::Relaxed),
            Objective::OnPremises => u64::from(station.placement.zone != Zone::OnPremises),
        };
        let cost = station.expected_cost(self.input_tokens, self.output_tokens);
        (is_resting, is_transformed, first, cost, station.name().clone())
    }
}

/// The retry budget of the whole gateway: when everything fails, retries must not make it worse.
#[derive(Debug)]
pub(crate) struct RetryBudget(AtomicI64);

impl RetryBudget {
    pub(crate) fn new() -> Self {
        RetryBudget(AtomicI64::new(RETRY_TOKENS_MAX))
    }

    /// Each request earns a little.
    pub(crate) fn earn(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
            (tokens < RETRY_TOKENS_MAX).then(|| (tokens + RETRY_EARNED).min(RETRY_TOKENS_MAX))
        });
    }

    /// Whether one more retry can be afforded; it is paid at once.
    pub(crate) fn spend(&self) -> bool {
        let spent = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
            (tokens >= RETRY_TOKEN).then_some(tokens - RETRY_TOKEN)
        });
        spent.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_add_at_most_a_fifth_to_the_load() {
        let budget = RetryBudget::new();
        let burst = (0..100).filter(|_| budget.spend()).count();
        assert_eq!(burst, 20);
        let mut retries = 0;
        for _ in 0..1_000 {
            budget.earn();
            retries += usize::from(budget.spend());
        }
        assert_eq!(retries, 200);
    }
}
