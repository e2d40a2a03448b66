//! The course of a training as SVG: two plots over the same steps, since what they show has different units.
//! Above, thin, the loss of the batches; below, thick, what held-out text needs. Labels are text beside the
//! drawing, so that they keep their size on a telephone; the same figures stand in a table.

use maud::{Markup, html};

use super::{figures, view};
use crate::{Curve, CurvePoint};

const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 140.0;
/// So many rows of the table; more would be no help.
const ROWS: usize = 20;

/// An axis with round bounds and evenly spaced marks.
#[derive(Debug, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
    marks: usize,
    places: usize,
}

impl Axis {
    /// The axis for values from `low` to `high`: three to six marks, a step of 1, 2 or 5 times a power of ten.
    fn of(values: impl Iterator<Item = f64>) -> Option<Axis> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            return None;
        }
        if high - low < 1e-6 {
            (low, high) = (low - 0.05, high + 0.05);
        }
        let rough = (high - low) / 4.0;
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|it| it * unit).find(|it| *it >= rough)?;
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let marks = (0_usize..8).take_while(|mark| first + *mark as f64 <= last).count();
        let places =
            (0_usize..7).find(|places| 10_f64.powi(-(i32::try_from(*places).unwrap_or(7))) <= step * 1.001);
        Some(Axis { low: first * step, high: last * step, marks, places: places.unwrap_or(6) })
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT * (1.0 - (value - self.low) / (self.high - self.low))
    }

    /// The values of the marks, the highest first.
    fn values(&self) -> Vec<f64> {
        let last = self.marks.saturating_sub(1).max(1) as f64;
        (0..self.marks).rev().map(|mark| self.low + (self.high - self.low) * mark as f64 / last).collect()
    }
}

/// One plot of two.
struct Plot<'a> {
    id: String,
    /// Of the training.
    of: &'a str,
    name: &'a str,
    unit: &'a str,
    class: &'a str,
    points: Vec<(u64, f64)>,
    first: u64,
    last: u64,
}

/// A training's curve, or that there is none yet. `id` sets its labels apart from another curve's on the
/// page; `steps` is how far the axis goes, where that is further than the last point.
pub(crate) fn curve(id: &str, title: &str, curve: &Curve, steps: u64) -> Markup {
    let points = curve.points();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return html! { p.muted { "No step was made yet. Here you will see what the training learnt, step by step." } };
    };
    let (first, last) = (first.step.min(1), last.step.max(steps).max(2));
    let looks: Vec<(u64, f64)> =
        points.iter().filter_map(|point| Some((point.step, point.held_out_bits_per_byte?))).collect();
    let (per, has_looks) = (curve.steps_per_point(), !looks.is_empty());
    html! {
        figure.chart.curve {
            (plot(&Plot {
                id: format!("{id}-loss"),
                of: title,
                name: "Training loss",
                unit: "nats per token",
                class: "thin",
                points: points.iter().map(|point| (point.step, point.loss)).collect(),
                first,
                last,
            }))
            @if has_looks {
                (plot(&Plot {
                    id: format!("{id}-held-out"),
                    of: title,
                    name: "Held-out text",
                    unit: "bits per byte",
                    class: "thick",
                    points: looks,
                    first,
                    last,
                }))
            }
            div.steps-axis aria-hidden="true" {
                span { (view::count_u64(first)) } span { "step" } span { (view::count_u64(last)) }
            }
            figcaption.note {
                "Less is better. "
                @if per > 1 { "Each point of the training loss is the mean of " (per) " steps. " }
                @if has_looks {
                    "Held-out text is never trained on: where its line rises while the training loss falls, the model has \
                 begun to learn by heart."
                }
            }
            details id={ (id) "-table" } {
                summary { "The same as a table" }
                (table(title, points))
            }
        }
    }
}

fn plot(plot: &Plot<'_>) -> Markup {
    let Some(axis) = Axis::of(plot.points.iter().map(|(_, value)| *value)) else { return html! {} };
    let x = |step: u64| {
        let whole = plot.last.saturating_sub(plot.first).max(1) as f64;
        WIDTH * step.saturating_sub(plot.first) as f64 / whole
    };
    let line: Vec<String> =
        plot.points.iter().map(|(step, value)| format!("{:.1},{:.1}", x(*step), axis.y(*value))).collect();
    let ends = plot.points.first().zip(plot.points.last());
    let marks = axis.values();
    html! {
        p.plot-title aria-hidden="true" {
            span class={ "key " (plot.class) } {} (plot.name) span.muted { ", " (plot.unit) }
        }
        div.plot {
            div.axis-y aria-hidden="true" {
                @for value in &marks { span { (format!("{value:.*}", axis.places)) } }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-labelledby={ (plot.id) "-title " (plot.id) "-desc" } {
                title id={ (plot.id) "-title" } { (plot.of) ": " (plot.name) ", " (plot.unit) }
                desc id={ (plot.id) "-desc" } {
                    @if let Some(((from, high), (to, low))) = ends {
                        "From " (figures::bits(*high)) " at step " (from) " to " (figures::bits(*low)) " at step " (to) "."
                    }
                }
                @for value in &marks {
                    @let y = format!("{:.1}", axis.y(*value));
                    line.grid x1="0" x2=(WIDTH) y1=(y) y2=(y) {}
                }
                polyline class={ "line " (plot.class) } points=(line.join(" ")) {}
                // A line of no length with round ends is a dot that stays round however the drawing stretches.
                @if let Some((step, value)) = plot.points.last() {
                    @let (x, y) = (format!("{:.1}", x(*step)), format!("{:.1}", axis.y(*value)));
                    line class={ "dot " (plot.class) } x1=(x) x2=(x) y1=(y) y2=(y) {}
                }
            }
        }
    }
}

/// About twenty rows: the last one, and others evenly before it; those with a look first of all.
fn table(title: &str, points: &[CurvePoint]) -> Markup {
    let looks = points.iter().filter(|point| point.held_out_bits_per_byte.is_some()).count();
    let rows: Vec<&CurvePoint> =
        points.iter().filter(|point| looks == 0 || point.held_out_bits_per_byte.is_some()).collect();
    let every = rows.len().div_ceil(ROWS).max(1);
    let shown = rows.iter().rev().step_by(every).collect::<Vec<_>>().into_iter().rev();
    html! {
        table.tight {
            caption { (title) }
            thead { tr {
                th.num scope="col" { "Step" }
                th.num scope="col" { "Loss, nats per token" }
                @if looks > 0 { th.num scope="col" { "Held-out, bits per byte" } }
            } }
            tbody {
                @for point in shown {
                    tr {
                        th.num scope="row" { (view::count_u64(point.step)) }
                        td.num { (figures::bits(point.loss)) }
                        @if let Some(bits) = point.held_out_bits_per_byte { td.num { (figures::bits(bits)) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_bounds() {
        let axis = |values: &[f64]| Axis::of(values.iter().copied());
        let wide = axis(&[1.42, 7.9]).unwrap();
        assert_eq!((wide.low, wide.high, wide.marks, wide.places), (0.0, 8.0, 5, 0));
        assert_eq!(wide.values(), [8.0, 6.0, 4.0, 2.0, 0.0]);
        let narrow = axis(&[1.21, 1.38]).unwrap();
        assert_eq!((narrow.marks, narrow.places), (5, 2));
        assert!((narrow.low - 1.2).abs() < 1e-9 && (narrow.high - 1.4).abs() < 1e-9, "{narrow:?}");
        let flat = axis(&[2.0, 2.0]).unwrap();
        assert!(flat.low < 2.0 && flat.high > 2.0);
        assert_eq!(axis(&[f64::NAN]), None);
        assert_eq!(axis(&[]), None);
    }

    #[test]
    fn every_point_lies_within_the_plot() {
        for values in [[0.001, 0.0012], [1e-9, 5.0], [0.3, 12_345.0], [-1.0, 1.0]] {
            let axis = Axis::of(values.into_iter()).unwrap();
            assert!((2..8).contains(&axis.marks), "{axis:?}");
            for value in values {
                assert!((-0.01..=HEIGHT + 0.01).contains(&axis.y(value)), "{axis:?}");
            }
        }
    }
}
