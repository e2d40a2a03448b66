//! How figures of models are written and drawn: bits per byte, shares with their intervals, progress. Shapes
//! are SVG, since the pages' policy allows no inline style; words and figures beside them are text, so that
//! they keep their size on a telephone.

use maud::{Markup, html};

use crate::ShareView;

/// `1.234`, for bits per byte and for marks from 0 to 1; what is no number is said to be none.
pub(crate) fn bits(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "not a number".to_owned() }
}

/// `86.3%`. A share that is not whole is never written as 0% or 100%.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    match text.as_str() {
        "0.0" if share > 0.0 => "<0.1%".to_owned(),
        "100.0" if share < 1.0 => ">99.9%".to_owned(),
        text => format!("{}%", text.strip_suffix(".0").unwrap_or(text)),
    }
}

/// `1.31 million`; below ten thousand, each is counted.
pub(crate) fn large(n: u64) -> String {
    let n_float = n as f64;
    let (unit, name) = match n {
        0..10_000 => return super::view::count_u64(n),
        10_000..1_000_000 => (1e3, "thousand"),
        1_000_000..1_000_000_000 => (1e6, "million"),
        _ => (1e9, "billion"),
    };
    let value = n_float / unit;
    let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.places$}\u{a0}{name}")
}

/// `4 KiB`, `1.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let bytes_float = bytes as f64;
    match bytes {
        0..1_024 => format!("{bytes}\u{a0}bytes"),
        1_024..1_048_576 => format!("{:.0}\u{a0}KiB", bytes_float / 1_024.0),
        _ => format!("{:.1}\u{a0}MiB", bytes_float / 1_048_576.0),
    }
}

/// `10,431`; what is no number, or beyond counting, as it is.
pub(crate) fn whole(value: f64) -> String {
    let text = format!("{value:.0}");
    text.parse().map_or(text, super::view::count)
}

/// `4 s`, `12 min 5 s`, `3 h 20 min`.
pub(crate) fn seconds(s: f64) -> String {
    let s = s.max(0.0).round();
    if s < 60.0 {
        format!("{s:.0}\u{a0}s")
    } else if s < 3_600.0 {
        format!("{:.0}\u{a0}min {:.0}\u{a0}s", (s / 60.0).floor(), s % 60.0)
    } else {
        format!("{:.0}\u{a0}h {:.0}\u{a0}min", (s / 3_600.0).floor(), (s % 3_600.0 / 60.0).floor())
    }
}

/// One bar of a chart of bars.
pub(crate) struct Bar {
    pub(crate) name: &'static str,
    pub(crate) note: String,
    pub(crate) value: f64,
    /// The one that the chart is about.
    pub(crate) is_subject: bool,
}

/// Lying bars from zero, each with its name, its figure and what it is.
pub(crate) fn bars(bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    html! {
        ul.measures {
            @for bar in bars {
                li class=[bar.is_subject.then_some("subject")] {
                    span.measure-name { (bar.name) }
                    span.num { (bits(bar.value)) }
                    svg.bar viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                        rect.track width="1000" height="8" {}
                        rect class=(if bar.is_subject { "spent" } else { "other" })
                            width=(thousandths(bar.value, most)) height="8" {}
                    }
                    div.sub { (bar.note) }
                }
            }
        }
    }
}

fn thousandths(value: f64, most: f64) -> String {
    let part = if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.1}", part * 1_000.0)
}

/// A share as a bar from 0 to 100%, with its interval as a line across the bar's end.
pub(crate) fn share_bar(name: &str, share: &ShareView, is_subject: bool) -> Markup {
    let (at, low, high) =
        (thousandths(share.share, 1.0), thousandths(share.low, 1.0), thousandths(share.high, 1.0));
    html! {
        li class=[is_subject.then_some("subject")] {
            span.measure-name { (name) }
            span.num { (percent(share.share)) }
            svg.bar.interval viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                rect.track y="4" width="1000" height="8" {}
                rect class=(if is_subject { "spent" } else { "other" }) y="4" width=(at) height="8" {}
                line.halo x1=(low) x2=(high) y1="8" y2="8" {}
                line.whisker x1=(low) x2=(high) y1="8" y2="8" {}
                line.whisker x1=(low) x2=(low) y1="2" y2="14" {}
                line.whisker x1=(high) x2=(high) y1="2" y2="14" {}
            }
            div.sub { (interval(share)) }
        }
    }
}

/// `227 of 263, between 81.7% and 89.9%`.
pub(crate) fn interval(share: &ShareView) -> String {
    if share.total == 0 {
        return "none was asked".to_owned();
    }
    format!("{} of {}; between {} and {}", share.count, share.total, percent(share.low), percent(share.high))
}

/// How far something is; `done` of `all`.
pub(crate) fn progress(label: &str, done: u64, all: u64) -> Markup {
    let width = thousandths(done as f64, all as f64);
    html! {
        svg.bar.progress viewBox="0 0 1000 8" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.track width="1000" height="8" {}
            rect.spent width=(width) height="8" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_only_when_they_are() {
        let said: Vec<_> = [0.0, 0.0001, 0.125, 0.8, 0.9999, 1.0].into_iter().map(percent).collect();
        assert_eq!(said, ["0%", "<0.1%", "12.5%", "80%", ">99.9%", "100%"]);
    }

    #[test]
    fn large_numbers_and_times_read_well() {
        let said: Vec<_> = [9_999, 12_345, 1_312_768, 25_000_000, 7_000_000_000]
            .map(|n| large(n).replace('\u{a0}', " "))
            .into();
        assert_eq!(said, ["9,999", "12.3 thousand", "1.31 million", "25.0 million", "7.00 billion"]);
        assert_eq!((whole(10_431.4), whole(f64::INFINITY)), ("10,431".to_owned(), "inf".to_owned()));
        let said: Vec<_> = [0.4, 59.6, 725.0, 12_000.0].map(|s| seconds(s).replace('\u{a0}', " ")).into();
        assert_eq!(said, ["0 s", "1 min 0 s", "12 min 5 s", "3 h 20 min"]);
    }

    #[test]
    fn bars_stay_within_their_track() {
        assert_eq!(thousandths(5.0, 2.0), "1000.0");
        assert_eq!(thousandths(f64::NAN, 2.0), "0.0");
        assert_eq!(thousandths(1.0, 0.0), "0.0");
    }
}
