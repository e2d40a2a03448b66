//! Values that only the command line knows: periods, scopes of budgets, "a time or a period from now".

use std::str::FromStr;

use pintle_core::{Amount, Name, ParseError, Timestamp};

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
const DAY_S: i64 = 24 * HOUR_S;
/// Ten years: a longer period is a slip of the finger.
const PERIOD_S_MAX: i64 = 3_660 * DAY_S;

/// A period such as `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    seconds: i64,
}

impl Period {
    /// The time that far after `now`; a day is 24 hours.
    pub(crate) fn after(self, now: Timestamp) -> Option<Timestamp> {
        let then = now.as_second().checked_add(self.seconds)?;
        Timestamp::from_second(then).ok()
    }

    /// In hours, rounded up: an overlap must not end before it was meant to.
    pub(crate) fn hours(self) -> i64 {
        self.seconds / HOUR_S + i64::from(self.seconds % HOUR_S != 0)
    }
}

impl FromStr for Period {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |hint: &str| ParseError::new(text, "a period", hint);
        let shape = "write a number and a unit: `30m`, `12h`, `90d` or `4w`";
        let split = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(|| bad(shape))?;
        let (number, unit) = text.split_at(split);
        let unit_s = match unit {
            "m" => MINUTE_S,
            "h" => HOUR_S,
            "d" => DAY_S,
            "w" => 7 * DAY_S,
            _ => return Err(bad(shape)),
        };
        let number: i64 = number.parse().map_err(|_| bad(shape))?;
        match number.checked_mul(unit_s) {
            Some(seconds) if (1..=PERIOD_S_MAX).contains(&seconds) => Ok(Period { seconds }),
            _ => Err(bad("use a period from one minute to ten years")),
        }
    }
}

/// A time, or a period from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// At that time.
    At(Timestamp),
    /// So much later than now.
    In(Period),
}

impl Moment {
    /// The time that is meant; `None` beyond the end of time.
    pub(crate) fn at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Moment::At(at) => Some(at),
            Moment::In(period) => period.after(now),
        }
    }
}

impl FromStr for Moment {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Moment::At(at));
        }
        text.parse().map(Moment::In).map_err(|_| {
            let hint =
                "write a period from now such as `8h` or `7d`, or a time such as `2026-12-01T08:00:00Z`";
            ParseError::new(text, "a time", hint)
        })
    }
}

/// Whose budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everybody's together.
    Organisation,
    /// One use case's.
    UseCase(Name),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scope::Organisation => f.write_str("organisation"),
            Scope::UseCase(name) => write!(f, "use_case:{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let bad = |hint: String| ParseError::new(text, "a budget's scope", hint);
        match text.split_once(':') {
            Some(("use_case", name)) => {
                name.parse().map(Scope::UseCase).map_err(|error: ParseError| bad(error.hint))
            }
            None if text == "organisation" => Ok(Scope::Organisation),
            _ => Err(bad("write `organisation` or `use_case:NAME`".to_owned())),
        }
    }
}

/// A monthly amount, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget(pub(crate) Option<Amount>);

impl FromStr for Budget {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "none" {
            return Ok(Budget(None));
        }
        match text.parse::<Amount>() {
            Ok(amount) if amount >= Amount::ZERO => Ok(Budget(Some(amount))),
            _ => {
                let hint = "write an amount such as `1000` or `0.50`, or `none` to remove the budget";
                Err(ParseError::new(text, "a budget", hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_and_moments() {
        let now = Timestamp::from_second(0).unwrap();
        let after = |text: &str| text.parse::<Period>().unwrap().after(now).unwrap().as_second();
        assert_eq!(
            (after("30m"), after("12h"), after("90d"), after("4w")),
            (1_800, 43_200, 7_776_000, 2_419_200)
        );
        assert_eq!("90m".parse::<Period>().unwrap().hours(), 2);
        for bad in ["", "90", "d", "0d", "-1d", "1y", "9999999999w", "1.5h"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
        assert!(matches!("2026-12-01T08:00:00Z".parse(), Ok(Moment::At(_))));
        assert!(matches!("8h".parse(), Ok(Moment::In(_))));
        assert!("tomorrow".parse::<Moment>().is_err());
    }

    #[test]
    fn scopes_and_budgets_round_trip() {
        for text in ["organisation", "use_case:support"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for bad in ["support", "use_case:", "use_case:UP", "organization"] {
            assert!(bad.parse::<Scope>().is_err(), "{bad}");
        }
        assert_eq!("none".parse::<Budget>().unwrap(), Budget(None));
        assert!("-1".parse::<Budget>().is_err());
    }
}
