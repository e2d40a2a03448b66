//! From samples to the tables that go into the documentation.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Cell, Memory, Sample, Starts};

/// Everything that one run measured.
pub(super) struct Report {
    pub(super) machine: String,
    pub(super) length_s: u64,
    pub(super) rounds: usize,
    pub(super) cells: Vec<Cell>,
    pub(super) proxy_memory: Memory,
    pub(super) pintle_memory: Memory,
    pub(super) starts: Starts,
}

/// The value below which `percent` per cent of the sorted values lie (nearest rank). 0 for none.
pub(super) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The middle value.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    percentile(&values, 50)
}

fn of(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(figure))
}

/// The median over rounds of what a target adds to the direct run of the same round.
fn added(target: &[Sample], direct: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    median(target.iter().zip(direct).map(|(target, direct)| figure(target) - figure(direct)))
}

fn kind(cell: &Cell) -> &'static str {
    if cell.streamed { "streamed" } else { "whole" }
}

impl Report {
    pub(super) fn markdown(&self) -> String {
        let mut out = format!(
            "{}.\nEach figure is the median of {} rounds of {} s; added = with the target − direct, round by round.\n",
            self.machine, self.rounds, self.length_s
        );
        self.throughput(&mut out);
        self.latency(&mut out);
        let memory = |memory: Memory| {
            format!(
                "{:.1} MiB idle, {:.1} MiB after the load",
                memory.idle_kib as f64 / 1024.0,
                memory.after_kib as f64 / 1024.0
            )
        };
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "\nMemory (resident): Pintle {}; bare proxy {}.\n\nStart of Pintle, median of {}: {:.0} ms to the first \
             healthy answer, {:.0} ms to the first chat completion.\n",
            memory(self.pintle_memory),
            memory(self.proxy_memory),
            self.starts.served_ms.len(),
            median(self.starts.healthy_ms.iter().copied()),
            median(self.starts.served_ms.iter().copied()),
        );
        out
    }

    fn throughput(&self, out: &mut String) {
        out.push_str(
            "\n| answer | connections | direct, req/s | proxy, req/s | Pintle, req/s | Pintle ÷ proxy | CPU/req proxy, µs \
             | CPU/req Pintle, µs | core used, Pintle |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for cell in &self.cells {
            let rate = |samples| of(samples, |sample| sample.requests_per_s);
            let cpu = |samples| of(samples, |sample| sample.cpu_us_per_request.unwrap_or_default());
            let _ = writeln!(
                out,
                "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} % | {:.0} | {:.0} | {:.0} % |",
                kind(cell),
                cell.connections,
                rate(&cell.direct),
                rate(&cell.proxy),
                rate(&cell.pintle),
                100.0 * rate(&cell.pintle) / rate(&cell.proxy),
                cpu(&cell.proxy),
                cpu(&cell.pintle),
                100.0 * of(&cell.pintle, |sample| sample.cpu_share.unwrap_or_default()),
            );
        }
    }

    fn latency(&self, out: &mut String) {
        out.push_str(
            "\n| answer | connections | figure, µs | direct p50 | direct p99 | proxy adds p50 | proxy adds p99 | Pintle adds \
             p50 | Pintle adds p99 |\n|---|--:|---|--:|--:|--:|--:|--:|--:|\n",
        );
        for cell in &self.cells {
            let mut row = |figure: &str, p50: fn(&Sample) -> f64, p99: fn(&Sample) -> f64| {
                let _ = writeln!(
                    out,
                    "| {} | {} | {figure} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
                    kind(cell),
                    cell.connections,
                    of(&cell.direct, p50),
                    of(&cell.direct, p99),
                    added(&cell.proxy, &cell.direct, p50),
                    added(&cell.proxy, &cell.direct, p99),
                    added(&cell.pintle, &cell.direct, p50),
                    added(&cell.pintle, &cell.direct, p99),
                );
            };
            if cell.streamed {
                row("first byte", |sample| sample.first_byte_p50_us, |sample| sample.first_byte_p99_us);
            }
            row("whole answer", |sample| sample.latency_p50_us, |sample| sample.latency_p99_us);
        }
    }

    pub(super) fn json(&self) -> Value {
        let memory = |memory: Memory| json!({"idle_kib": memory.idle_kib, "after_kib": memory.after_kib});
        let cells = self.cells.iter().map(|cell| {
            json!({"connections": cell.connections, "streamed": cell.streamed, "direct": samples(&cell.direct),
                   "proxy": samples(&cell.proxy), "pintle": samples(&cell.pintle)})
        });
        json!({
            "machine": self.machine,
            "length_s": self.length_s,
            "cells": cells.collect::<Vec<_>>(),
            "memory": {"proxy": memory(self.proxy_memory), "pintle": memory(self.pintle_memory)},
            "start_ms": {"healthy": self.starts.healthy_ms, "served": self.starts.served_ms},
        })
    }
}

fn samples(samples: &[Sample]) -> Value {
    let one = |sample: &Sample| {
        json!({"requests_per_s": sample.requests_per_s, "latency_p50_us": sample.latency_p50_us,
               "latency_p99_us": sample.latency_p99_us, "first_byte_p50_us": sample.first_byte_p50_us,
               "first_byte_p99_us": sample.first_byte_p99_us, "cpu_us_per_request": sample.cpu_us_per_request,
               "cpu_share": sample.cpu_share})
    };
    samples.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(percentile(&values, 50), 50.0));
        assert!(near(percentile(&values, 99), 99.0));
        assert!(near(percentile(&[7.0], 99), 7.0));
        assert!(near(percentile(&[], 99), 0.0));
        assert!(near(median([3.0, 1.0, 2.0]), 2.0));
    }

    #[test]
    fn what_is_added_is_taken_round_by_round() {
        let sample = |p50| Sample {
            requests_per_s: 1e6 / p50,
            latency_p50_us: p50,
            latency_p99_us: p50,
            first_byte_p50_us: p50,
            first_byte_p99_us: p50,
            cpu_us_per_request: Some(p50),
            cpu_share: Some(1.0),
        };
        // The machine slowed down in the third round; the difference did not change.
        let cell = Cell {
            connections: 1,
            streamed: true,
            direct: [100.0, 110.0, 400.0].map(sample).to_vec(),
            proxy: [150.0, 160.0, 450.0].map(sample).to_vec(),
            pintle: [200.0, 210.0, 500.0].map(sample).to_vec(),
        };
        let memory = Memory { idle_kib: 2048, after_kib: 4096 };
        let report = Report {
            machine: "a machine".to_owned(),
            length_s: 3,
            rounds: 3,
            cells: vec![cell],
            proxy_memory: memory,
            pintle_memory: memory,
            starts: Starts { healthy_ms: vec![10.0], served_ms: vec![12.0] },
        };
        let text = report.markdown();
        assert!(text.contains("| streamed | 1 | first byte | 110 | 110 | 50 | 50 | 100 | 100 |"), "{text}");
        assert!(text.contains("Pintle 2.0 MiB idle, 4.0 MiB after the load"), "{text}");
        assert_eq!(report.json()["cells"][0]["pintle"].as_array().unwrap().len(), 3);
    }
}
