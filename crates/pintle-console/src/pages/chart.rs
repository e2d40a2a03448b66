//! Spend per day of a month, as SVG with a title, a description and the same figures as a table.
//!
//! The drawing stretches with the page; its labels are text beside it, so that they keep their size on a
//! telephone.

use std::collections::BTreeMap;

use jiff::civil::Date;
use maud::{Markup, html};
use pintle_ledger::{DaySum, Period};

use super::view::{self, View};

const WIDTH_OF_DAY: i64 = 20;
const HEIGHT: i64 = 160;

struct Day {
    date: Date,
    requests: i64,
    cost_nanos: i64,
}

/// The days of the month, each with its sums, also where there are none.
fn month(view: &View, period: Period, sums: &[DaySum]) -> Vec<Day> {
    let first = period.start.to_zoned_datetime(view.zone().clone()).date();
    let end = period.end.to_zoned_datetime(view.zone().clone()).date();
    let by_day: BTreeMap<&str, &DaySum> = sums.iter().map(|sum| (sum.day.as_str(), sum)).collect();
    let mut days = Vec::new();
    let mut date = first;
    while date < end {
        let sum = by_day.get(date.to_string().as_str());
        days.push(Day {
            date,
            requests: sum.map_or(0, |sum| sum.requests),
            cost_nanos: sum.map_or(0, |sum| sum.cost_nanos),
        });
        let Ok(next) = date.tomorrow() else { break };
        date = next;
    }
    days
}

/// The chart of a month. `id` sets its labels apart from another chart's on the page.
pub(crate) fn spend_by_day(view: &View, id: &str, period: Period, sums: &[DaySum]) -> Markup {
    let days = month(view, period, sums);
    let today = view.now.to_zoned_datetime(view.zone().clone()).date();
    let top = nice_top(days.iter().map(|day| day.cost_nanos).max().unwrap_or(0));
    let name = view.month(period.start);
    let width = i64::try_from(days.len()).unwrap_or(31) * WIDTH_OF_DAY;
    let highest = days.iter().max_by_key(|day| day.cost_nanos);
    if highest.is_none_or(|day| day.cost_nanos <= 0) {
        return html! { p.muted { "Nothing was spent yet in " (name) ". Here you will see what each day cost." } };
    }
    html! {
        figure.chart {
            div.plot {
                div.axis-y aria-hidden="true" {
                    span { (view.nanos(top)) } span { (view.nanos(top / 2)) } span { "0" }
                }
                svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-labelledby={ (id) "-title " (id) "-desc" } {
                    title id={ (id) "-title" } { "Spend per day, " (name) }
                    desc id={ (id) "-desc" } {
                        @if let Some(day) = highest {
                            "Highest on " (label(day.date)) ": " (view.nanos(day.cost_nanos)) "."
                        }
                    }
                    @for y in [0, HEIGHT / 2, HEIGHT] { line.grid x1="0" x2=(width) y1=(y) y2=(y) {} }
                    @for (day, x) in days.iter().zip((0..).step_by(20)) { (bar(view, day, x, top, today)) }
                }
                div.axis-x aria-hidden="true" {
                    @for day in days.iter().filter(|day| [1, 8, 15, 22].contains(&day.date.day())) {
                        span { (label(day.date)) }
                    }
                    @if let Some(last) = days.last() { span { (label(last.date)) } }
                }
            }
            details {
                summary { "The same as a table" }
                (table(view, &days, today, &name))
            }
        }
    }
}

fn bar(view: &View, day: &Day, x: i64, top: i64, today: Date) -> Markup {
    let tall = scaled(day.cost_nanos, top).max(if day.requests > 0 { 2 } else { 0 });
    let tone = if day.date == today { "today" } else { "day" };
    html! {
        @if tall > 0 {
            rect class=(tone) x=(x + 3) y=(HEIGHT - tall) width=(WIDTH_OF_DAY - 6) height=(tall) {
                title { (label(day.date)) ": " (view.nanos(day.cost_nanos)) ", "
                    (view::plural(day.requests, "request", "requests")) }
            }
        }
    }
}

fn scaled(nanos: i64, top: i64) -> i64 {
    if top <= 0 {
        return 0;
    }
    let tall = i128::from(nanos.max(0)) * i128::from(HEIGHT) / i128::from(top);
    i64::try_from(tall).unwrap_or(HEIGHT).min(HEIGHT)
}

fn label(date: Date) -> String {
    date.strftime("%-d %b").to_string()
}

fn table(view: &View, days: &[Day], today: Date, month: &str) -> Markup {
    let until_today = days.iter().filter(|day| day.date <= today && day.requests > 0);
    html! {
        table {
            caption { "Spend per day, " (month) " " span.muted { "(days without requests are left out)" } }
            thead { tr {
                th scope="col" { "Day" }
                th.num scope="col" { "Requests" }
                th.num scope="col" { "Spend" }
            } }
            tbody {
                @for day in until_today {
                    tr {
                        th scope="row" { (label(day.date)) }
                        td.num { (view::count(day.requests)) }
                        td.num { (view.nanos(day.cost_nanos)) }
                    }
                }
            }
        }
    }
}

/// The next round number at or above: 1, 2, 4, 5 or 10 times a power of ten, so that its half is round too.
fn nice_top(nanos: i64) -> i64 {
    let mut unit: i64 = 1;
    loop {
        for step in [1, 2, 4, 5, 8] {
            match unit.checked_mul(step) {
                Some(top) if top >= nanos && top > 1 => return top,
                Some(_) => {}
                None => return i64::MAX,
            }
        }
        match unit.checked_mul(10) {
            Some(next) => unit = next,
            None => return i64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_the_axis_is_round() {
        let said: Vec<_> = [0, 1, 3, 9, 12, 430_000_000, i64::MAX].into_iter().map(nice_top).collect();
        assert_eq!(said, [2, 2, 4, 10, 20, 500_000_000, i64::MAX]);
    }

    #[test]
    fn bars_stay_within_the_plot() {
        assert_eq!((scaled(5, 10), scaled(i64::MAX, 1), scaled(-1, 10), scaled(1, 0)), (80, 160, 0, 0));
    }
}
