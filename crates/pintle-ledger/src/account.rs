//! Budgets in memory: one account for each scope, holding and posting under one lock.

use std::{collections::HashMap, fmt, str::FromStr, sync::Mutex};

use jiff::tz::TimeZone;
use pintle_core::{Amount, MoneyError, Name, ParseError, Timestamp, month_bounds};

/// What a budget is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The whole organisation.
    Organisation,
    /// One use case.
    UseCase(Name),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Organisation => f.write_str("organisation"),
            Scope::UseCase(name) => write!(f, "use_case:{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "organisation" => Ok(Scope::Organisation),
            Some(("use_case", name)) => name.parse().map(Scope::UseCase),
            _ => Err(ParseError::new(text, "a budget's scope", "use `organisation` or `use_case:NAME`")),
        }
    }
}

/// A calendar month in the organisation's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant of the next.
    pub end: Timestamp,
}

impl Period {
    pub(crate) fn month_of(at: Timestamp, zone: &TimeZone) -> Result<Self, ReserveError> {
        let (start, end) = month_bounds(at, zone).map_err(|_| ReserveError::Time)?;
        Ok(Period { start, end })
    }
}

/// Why nothing could be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// A hard budget would be exceeded.
    #[error("the budget of `{}` has no room for this request", .0.scope)]
    Exceeded(Box<BudgetState>),
    /// The sum leaves what can be counted.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// Records wait to be written, and there are too many of them.
    #[error("too many records wait to be written")]
    Backlog,
    /// The clock shows a time that no calendar knows.
    #[error("the clock shows a time outside the calendar")]
    Time,
    /// A thread died while it changed the accounts.
    #[error("the accounts are not to be trusted")]
    Broken,
}

/// A budget as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetState {
    /// What it is for.
    pub scope: Scope,
    /// The hard limit of the month; `None` when there is none.
    pub limit: Option<Amount>,
    /// Spent this month.
    pub posted: Amount,
    /// Held for requests on their way.
    pub held: Amount,
    /// The month.
    pub period: Period,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    limit: Option<Amount>,
    posted: Amount,
    held: Amount,
    period: Period,
}

impl Account {
    /// Begins the next month when its time has come. A clock that goes back changes nothing: a month
    /// that was closed is not opened again.
    fn roll(&mut self, period: Period) {
        if period.start > self.period.start {
            *self = Account { limit: self.limit, posted: Amount::ZERO, held: Amount::ZERO, period };
        }
    }

    /// INVARIANT (I2): posted + held ≤ limit after each hold.
    fn has_room(&self, amount: Amount) -> Result<bool, MoneyError> {
        let after = self.posted.plus(self.held)?.plus(amount)?;
        Ok(self.limit.is_none_or(|limit| after <= limit))
    }

    fn state(&self, scope: &Scope) -> BudgetState {
        BudgetState {
            scope: scope.clone(),
            limit: self.limit,
            posted: self.posted,
            held: self.held,
            period: self.period,
        }
    }
}

/// All accounts. One lock: a hold touches all its scopes or none.
#[derive(Debug)]
pub(crate) struct Accounts {
    zone: TimeZone,
    accounts: Mutex<HashMap<Scope, Account>>,
}

impl Accounts {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Accounts { zone, accounts: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Sets what a scope has spent in the month of `at`, at the start.
    pub(crate) fn load(&self, scope: Scope, posted: Amount, at: Timestamp) -> Result<(), ReserveError> {
        let period = Period::month_of(at, &self.zone)?;
        let mut accounts = self.accounts.lock().map_err(|_| ReserveError::Broken)?;
        let account = accounts.entry(scope).or_insert_with(|| Account::empty(period));
        account.posted = posted;
        Ok(())
    }

    pub(crate) fn set_limit(
        &self,
        scope: Scope,
        limit: Option<Amount>,
        at: Timestamp,
    ) -> Result<(), ReserveError> {
        let period = Period::month_of(at, &self.zone)?;
        let mut accounts = self.accounts.lock().map_err(|_| ReserveError::Broken)?;
        accounts.entry(scope).or_insert_with(|| Account::empty(period)).limit = limit;
        Ok(())
    }

    /// Holds `amount` in all scopes, or in none. Gives the month that pays.
    pub(crate) fn hold(
        &self,
        scopes: &[Scope],
        amount: Amount,
        at: Timestamp,
    ) -> Result<Period, ReserveError> {
        let mut accounts = self.accounts.lock().map_err(|_| ReserveError::Broken)?;
        let known = scopes.first().and_then(|scope| accounts.get(scope)).map(|account| account.period);
        // The month is looked up once a month, not once a request: time zones are slow.
        let period = match known {
            Some(period) if period.start <= at && at < period.end => period,
            _ => Period::month_of(at, &self.zone)?,
        };
        for scope in scopes {
            if !accounts.contains_key(scope) {
                accounts.insert(scope.clone(), Account::empty(period));
            }
            let Some(account) = accounts.get_mut(scope) else { return Err(ReserveError::Broken) };
            account.roll(period);
            if !account.has_room(amount)? {
                return Err(ReserveError::Exceeded(Box::new(account.state(scope))));
            }
        }
        let mut paying = period;
        for scope in scopes {
            let Some(account) = accounts.get_mut(scope) else { return Err(ReserveError::Broken) };
            account.held = account.held.plus(amount)?;
            paying = account.period;
        }
        Ok(paying)
    }

    /// Turns a hold into what it cost (zero for a void). A hold of a month that is over changes
    /// nothing here: that month's account is closed, and its entry in the ledger says what it cost.
    pub(crate) fn settle(&self, scopes: &[Scope], hold: Amount, cost: Amount, period: Period) {
        let Ok(mut accounts) = self.accounts.lock() else { return };
        for scope in scopes {
            let Some(account) = accounts.get_mut(scope) else { continue };
            if account.period != period {
                continue;
            }
            if let (Ok(held), Ok(posted)) = (account.held.minus(hold), account.posted.plus(cost)) {
                account.held = held;
                account.posted = posted;
            } else {
                // What cannot be counted can never be spent from: the account is full.
                account.posted = Amount::from_nanos(i64::MAX);
            }
        }
    }

    /// Every account, as of `at`: a month that has begun shows as empty.
    pub(crate) fn states(&self, at: Timestamp) -> Result<Vec<BudgetState>, ReserveError> {
        let period = Period::month_of(at, &self.zone)?;
        let mut accounts = self.accounts.lock().map_err(|_| ReserveError::Broken)?;
        let mut states: Vec<_> = accounts
            .iter_mut()
            .map(|(scope, account)| {
                account.roll(period);
                account.state(scope)
            })
            .collect();
        states.sort_by(|a, b| a.scope.cmp(&b.scope));
        Ok(states)
    }

    pub(crate) fn limit(&self, scope: &Scope) -> Option<Amount> {
        self.accounts.lock().ok()?.get(scope)?.limit
    }
}

impl Account {
    fn empty(period: Period) -> Self {
        Account { limit: None, posted: Amount::ZERO, held: Amount::ZERO, period }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn accounts(organisation: i64, use_case: i64) -> (Accounts, [Scope; 2]) {
        let accounts = Accounts::new(TimeZone::UTC);
        let scopes = [Scope::Organisation, Scope::UseCase("replies".parse().unwrap())];
        let now = at("2026-11-24T00:00:00Z");
        accounts.set_limit(scopes[0].clone(), Some(Amount::from_nanos(organisation)), now).unwrap();
        accounts.set_limit(scopes[1].clone(), Some(Amount::from_nanos(use_case)), now).unwrap();
        (accounts, scopes)
    }

    #[test]
    fn i2_a_hold_touches_all_scopes_or_none() {
        let (accounts, scopes) = accounts(100, 50);
        let now = at("2026-11-24T00:00:00Z");
        accounts.hold(&scopes, Amount::from_nanos(40), now).unwrap();
        let error = accounts.hold(&scopes, Amount::from_nanos(20), now).unwrap_err();
        let ReserveError::Exceeded(full) = error else { panic!("{error}") };
        assert_eq!((full.scope, full.held), (scopes[1].clone(), Amount::from_nanos(40)));
        let states = accounts.states(now).unwrap();
        assert!(states.iter().all(|state| state.held == Amount::from_nanos(40)));
    }

    #[test]
    fn a_new_month_begins_empty_and_a_late_settlement_leaves_it_so() {
        let (accounts, scopes) = accounts(100, 50);
        let november = accounts.hold(&scopes, Amount::from_nanos(50), at("2026-11-30T23:59:59Z")).unwrap();
        let december = accounts.hold(&scopes, Amount::from_nanos(50), at("2026-12-01T00:00:00Z")).unwrap();
        assert_ne!(november, december);
        accounts.settle(&scopes, Amount::from_nanos(50), Amount::from_nanos(45), november);
        let states = accounts.states(at("2026-12-01T00:00:01Z")).unwrap();
        assert!(states.iter().all(|state| state.posted == Amount::ZERO && state.held.nanos() == 50));
        // A clock that goes back does not open November again.
        assert!(accounts.hold(&scopes, Amount::from_nanos(1), at("2026-11-30T23:59:59Z")).is_err());
    }

    proptest! {
        #[test]
        fn i2_posted_and_held_never_exceed_the_limit(steps in prop::collection::vec((0..60_i64, any::<bool>()), 1..80)) {
            let (accounts, scopes) = accounts(300, 120);
            let now = at("2026-11-24T00:00:00Z");
            let mut open: Vec<(Amount, Period)> = Vec::new();
            for (amount, settles) in steps {
                if settles && !open.is_empty() {
                    let (hold, period) = open.remove(0);
                    // Settled at or below its hold.
                    accounts.settle(&scopes, hold, Amount::from_nanos(hold.nanos() / 2), period);
                } else if let Ok(period) = accounts.hold(&scopes, Amount::from_nanos(amount), now) {
                    open.push((Amount::from_nanos(amount), period));
                }
                for state in accounts.states(now).unwrap() {
                    prop_assert!(state.posted.plus(state.held).unwrap() <= state.limit.unwrap());
                    let held: i64 = open.iter().map(|(amount, _)| amount.nanos()).sum();
                    prop_assert_eq!(state.held.nanos(), held);
                }
            }
        }
    }
}
