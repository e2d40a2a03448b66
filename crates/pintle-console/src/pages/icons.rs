//! Small drawings, inline so that they take the text's colour. Each stands beside words that say the
//! same, so all are hidden from screen readers.

use maud::{Markup, PreEscaped, html};
use pintle_core::{DataClass, Stage, Zone};

use super::layout::Here;

/// A 16 × 16 drawing of strokes.
fn stroke(path: &'static str) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.5"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false" {
            path d=(path) {}
        }
    }
}

/// The mark: a pin, and the blade that turns on it.
pub(crate) fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            (PreEscaped(r#"<rect x="4.5" y="2" width="4" height="20" rx="2" fill="currentColor"/><path d="M11 5.5h4.5a5 5 0 0 1 0 10H11z" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linejoin="round"/>"#))
        }
    }
}

pub(crate) fn nav(here: Here) -> Markup {
    stroke(match here {
        Here::Overview => "M2.5 9.5 8 3l5.5 6.5M4 8v5.5h8V8",
        Here::UseCases => "M2.5 3.5h11v3h-11zM2.5 9.5h11v3h-11z",
        Here::Requests => "M2.5 4h11M2.5 8h11M2.5 12h7",
        Here::Try => "M2.5 3h11v8H7l-3 2.5V11H2.5z",
        Here::Models => "M8 2 13.5 5v6L8 14l-5.5-3V5zM2.5 5 8 8l5.5-3M8 8v6",
        Here::Bans => "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM4.2 4.2l7.6 7.6",
        Here::Rules | Here::Elsewhere => "M4 2.5h8v11H4zM6.5 5.5h3M6.5 8h3M6.5 10.5h2",
    })
}

pub(crate) fn info() -> Markup {
    stroke("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 7.3v3.4M8 5v.1")
}

pub(crate) fn warn() -> Markup {
    stroke("M8 2.5 14 13H2zM8 6.5v3M8 11.3v.1")
}

pub(crate) fn ok() -> Markup {
    stroke("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM5.5 8.2l1.8 1.8 3.3-3.8")
}

pub(crate) fn stop() -> Markup {
    stroke("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM5 8h6")
}

pub(crate) fn dash() -> Markup {
    stroke("M5 8h6")
}

pub(crate) fn list() -> Markup {
    nav(Here::Requests)
}

pub(crate) fn cross() -> Markup {
    stroke("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM6 6l4 4M10 6l-4 4")
}

pub(crate) fn back() -> Markup {
    stroke("M6.5 4 3 7.5 6.5 11M3 7.5h6a4 4 0 0 1 4 4v.5")
}

pub(crate) fn question() -> Markup {
    stroke("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM6.3 6.3a1.8 1.8 0 1 1 2.6 1.7c-.6.3-.9.7-.9 1.2M8 11.2v.1")
}

pub(crate) fn clock() -> Markup {
    stroke("M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.2 1.5")
}

pub(crate) fn zone(zone: Zone) -> Markup {
    stroke(match zone {
        Zone::OnPremises => "M3 14V3.5L9 2v12M9 6.5l4 1V14M2 14h12M5.5 6v.1M5.5 8.5v.1M5.5 11v.1",
        Zone::PrivateCloud => {
            "M4.5 12.5a3 3 0 0 1 .3-6 3.8 3.8 0 0 1 7.1 1 2.6 2.6 0 0 1 .1 5zM6.8 9.5h2.6v2H6.8zM7.3 9.5V8.6a.8.8 0 0 1 1.6 0v.9"
        }
        Zone::PublicCloud => "M4.5 12a3 3 0 0 1 .3-6 3.8 3.8 0 0 1 7.1 1 2.6 2.6 0 0 1 .1 5z",
    })
}

/// Four bars, filled up to the class: legible without colour.
pub(crate) fn class(class: DataClass) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" fill="currentColor" aria-hidden="true" focusable="false" {
            @for (rank, (x, height)) in [(1, 3), (5, 6), (9, 9), (13, 12)].into_iter().enumerate() {
                rect x=(x) y=(14 - height) width="2.5" height=(height) rx="0.75"
                    opacity=[(rank > usize::from(class.rank())).then_some("0.25")] {}
            }
        }
    }
}

/// A disc that fills as a use case grows up.
pub(crate) fn stage(stage: Stage) -> Markup {
    let wedge = match stage {
        Stage::Idea => "",
        Stage::Pilot => "M8 8V3.5A4.5 4.5 0 0 1 12.5 8z",
        Stage::Approved => "M8 3.5a4.5 4.5 0 0 1 0 9z",
        Stage::Production => "M8 3.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9z",
        Stage::Review => "M8 8h4.5A4.5 4.5 0 1 1 8 3.5z",
        Stage::Retired => "M4.5 7.2h7v1.6h-7z",
    };
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false" {
            circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" stroke-width="1.5"
                stroke-dasharray=[(stage == Stage::Idea).then_some("2.4 2.3")] {}
            @if !wedge.is_empty() { path d=(wedge) fill="currentColor" {} }
        }
    }
}
