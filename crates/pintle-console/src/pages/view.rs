//! What a page is drawn from, and how it writes times, money and numbers.

use std::sync::Arc;

use jiff::tz::TimeZone;
use maud::{Markup, html};
use pintle_core::{Amount, Currency, Timestamp};
use pintle_registry::{Ban, Snapshot};

use crate::{
    ProcessView, RuleView,
    app::{App, Caller},
};

/// One page's view of everything.
pub(crate) struct View {
    pub(crate) app: App,
    pub(crate) caller: Caller,
    pub(crate) process: ProcessView,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) now: Timestamp,
}

impl View {
    pub(crate) fn new(app: App, caller: Caller) -> Self {
        let process = app.parts.process.view();
        let snapshot = app.parts.registry.snapshot();
        let now = app.parts.clock.now();
        View { app, caller, process, snapshot, now }
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.process.organisation.time_zone
    }

    pub(crate) fn currency(&self) -> &Currency {
        self.app.parts.ledger.currency()
    }

    pub(crate) fn money(&self, amount: Amount) -> String {
        amount.display(self.currency())
    }

    /// A sum that may be nothing at all: then it is written as a round zero.
    pub(crate) fn nanos(&self, nanos: i64) -> String {
        self.money(Amount::from_nanos(nanos))
    }

    fn format(&self, at: Timestamp, format: &str) -> String {
        at.to_zoned_datetime(self.zone().clone()).strftime(format).to_string()
    }

    fn stamp(&self, at: Timestamp, format: &str) -> Markup {
        html! { time datetime=(at) title=(self.format(at, "%A, %-d %B %Y, %H:%M:%S %Z")) { (self.format(at, format)) } }
    }

    /// `24 Nov 2026, 09:00 CET`.
    pub(crate) fn time(&self, at: Timestamp) -> Markup {
        self.stamp(at, "%-d %b %Y, %H:%M %Z")
    }

    /// `09:00:03` over `24 Nov`, for tables whose caption names the zone.
    pub(crate) fn short_time(&self, at_ms: i64) -> Markup {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        html! { (self.stamp(at, "%H:%M:%S")) div.sub { (self.day(at)) } }
    }

    /// `24 Nov 2026, 09:00:03 CET`.
    pub(crate) fn full_time(&self, at_ms: i64) -> Markup {
        let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        self.stamp(at, "%-d %b %Y, %H:%M:%S %Z")
    }

    /// `24 Nov 2026`.
    pub(crate) fn date(&self, at: Timestamp) -> Markup {
        self.stamp(at, "%-d %b %Y")
    }

    /// `1 Dec`.
    pub(crate) fn day(&self, at: Timestamp) -> String {
        self.format(at, "%-d %b")
    }

    /// `November`.
    pub(crate) fn month(&self, at: Timestamp) -> String {
        self.format(at, "%B")
    }

    /// `Europe/Berlin`.
    pub(crate) fn zone_name(&self) -> &str {
        self.zone().iana_name().unwrap_or("UTC")
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&RuleView> {
        self.process.rules.iter().find(|rule| rule.id == id)
    }

    /// The ban that a record names by the last digits of its id.
    pub(crate) fn ban(&self, short: &str) -> Option<&Arc<Ban>> {
        self.snapshot.bans().iter().find(|ban| ban.id.short() == short)
    }

    /// The title of a use case, or its name when the register does not know it.
    pub(crate) fn title_of<'a>(&'a self, name: &'a str) -> &'a str {
        let parsed = name.parse().ok();
        let found = parsed.and_then(|name| self.snapshot.use_case(&name));
        found.map_or(name, |it| it.draft.title.as_str())
    }

    /// Whether the placement answers from within the process, for demonstration.
    pub(crate) fn is_simulated(&self, placement: &str) -> bool {
        let mut all = self.process.placements.iter().map(|view| &view.placement);
        all.any(|it| it.name.as_str() == placement && it.provider.name() == "simulated")
    }
}

/// `1,234`.
pub(crate) fn count(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + 4);
    if n < 0 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// [`count`] of what is never negative.
pub(crate) fn count_u64(n: u64) -> String {
    count(i64::try_from(n).unwrap_or(i64::MAX))
}

/// `1 request`, `2 requests`.
pub(crate) fn plural(n: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `640 µs`, `12.4 ms`, `1.83 s`, `2 min 5 s`; figure and unit stay on one line.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}\u{a0}µs"),
        1_000..10_000 => format!("{}.{}\u{a0}ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{}\u{a0}ms", us / 1_000),
        1_000_000..60_000_000 => format!("{}.{:02}\u{a0}s", us / 1_000_000, us % 1_000_000 / 10_000),
        _ => format!("{}\u{a0}min {}\u{a0}s", us / 60_000_000, us % 60_000_000 / 1_000_000),
    }
}

/// A fragment as a sentence: a capital at its beginning, a full stop at its end, and what stands in
/// backticks as code.
pub(crate) fn sentence(fragment: &str) -> Markup {
    let mut chars = fragment.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if fragment.ends_with(['.', '!', '?']) { "" } else { "." };
    code_in(&format!("{first}{}{stop}", chars.as_str()))
}

/// Text in which what stands in backticks is code.
pub(crate) fn code_in(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_three_digits() {
        let said: Vec<_> = [0, 999, 1_000, 9_999, 12_400, 1_830_000, 125_000_000]
            .map(|us| duration(us).replace('\u{a0}', " "))
            .into();
        assert_eq!(said, ["0 µs", "999 µs", "1.0 ms", "9.9 ms", "12 ms", "1.83 s", "2 min 5 s"]);
    }

    #[test]
    fn counts_are_grouped_and_agree() {
        assert_eq!((count(-1_234_567), count(999)), ("-1,234,567".to_owned(), "999".to_owned()));
        assert_eq!((plural(1, "a", "b"), plural(1_000, "a", "b")), ("1 a".to_owned(), "1,000 b".to_owned()));
    }

    #[test]
    fn fragments_become_sentences_and_stay_escaped() {
        assert_eq!(
            sentence("there is no key `<b>`").into_string(),
            "There is no key <code>&lt;b&gt;</code>."
        );
    }
}
