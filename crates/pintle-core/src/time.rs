//! Time is injected: logic takes a [`Clock`], tests turn a [`ManualClock`].

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

pub use jiff::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time now, in UTC.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock. The only place that reads it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one reader of the system's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is moved. Clones share the time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `at` (to the microsecond).
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        ManualClock(Arc::new(AtomicI64::new(at.as_microsecond())))
    }

    /// Moves the clock; negative moves it back.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms.saturating_mul(1_000), Ordering::SeqCst);
    }

    /// Sets the clock.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_microsecond(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The calendar month that contains `at` in the time zone: its first instant, and the first of the next.
/// Days that daylight saving shortens or lengthens are what the zone says they are.
///
/// # Errors
/// When the month touches the end of representable time.
pub fn month_bounds(at: Timestamp, zone: &jiff::tz::TimeZone) -> Result<(Timestamp, Timestamp), jiff::Error> {
    let first = at.to_zoned_datetime(zone.clone()).first_of_month()?.start_of_day()?;
    let next = first.checked_add(jiff::Span::new().months(1))?.start_of_day()?;
    Ok((first.timestamp(), next.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_follows_its_time_zone() {
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
        // 23:30 UTC on 31 October is already November in Berlin.
        let at: Timestamp = "2026-10-31T23:30:00Z".parse().unwrap();
        let (from, to) = month_bounds(at, &zone).unwrap();
        assert_eq!(from.to_string(), "2026-10-31T23:00:00Z");
        assert_eq!(to.to_string(), "2026-11-30T23:00:00Z");
        // October has an hour more: the clocks go back.
        let (from, to) = month_bounds("2026-10-15T00:00:00Z".parse().unwrap(), &zone).unwrap();
        assert_eq!(to.as_second() - from.as_second(), 31 * 86_400 + 3_600);
    }
}
