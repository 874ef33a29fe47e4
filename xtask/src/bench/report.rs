//! The figures, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::measure::Sample;

/// One measured pipeline, or what it is compared with.
pub(super) struct Row {
    pub(super) workload: &'static str,
    pub(super) what: String,
    /// What went in.
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) sample: Sample,
    /// What the same took another way: its name, and its CPU time.
    pub(super) compared: Option<(&'static str, Duration)>,
    pub(super) verdicts: Vec<Verdict>,
}

/// A target, and whether it is reached.
pub(super) struct Verdict {
    text: String,
    ok: bool,
}

impl Verdict {
    /// A figure that has to be at most so much.
    pub(super) fn at_most(what: &str, found: f64, limit: f64, unit: &str) -> Self {
        let text = format!("{what} {found:.2} ≤ {limit}{unit}");
        Verdict { text, ok: found <= limit }
    }

    /// A figure that has to be at least so much.
    pub(super) fn at_least(what: &str, found: f64, limit: f64, unit: &str) -> Self {
        let text = format!("{what} {} ≥ {}{unit}", grouped(found), grouped(limit));
        Verdict { text, ok: found >= limit }
    }
}

impl Row {
    pub(super) fn ratio(&self) -> Option<f64> {
        let (_, other) = self.compared?;
        Some(self.sample.cpu.as_secs_f64() / other.as_secs_f64())
    }

    pub(super) fn events_per_second(&self) -> f64 {
        self.events as f64 / self.sample.wall.as_secs_f64()
    }

    pub(super) fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.sample.wall.as_secs_f64()
    }

    pub(super) fn cpu_micros(&self) -> f64 {
        self.sample.cpu.as_secs_f64() * 1e6 / self.events as f64
    }

    fn rss_mib(&self) -> f64 {
        self.sample.rss_bytes as f64 / f64::from(1 << 20)
    }

    fn json(&self) -> Value {
        let verdict = |verdict: &Verdict| json!({ "target": verdict.text, "ok": verdict.ok });
        json!({
            "workload": self.workload,
            "what": self.what,
            "events": self.events,
            "events_per_second": self.events_per_second(),
            "bytes_per_second": self.bytes_per_second(),
            "cpu_micros_per_event": self.cpu_micros(),
            "peak_rss_bytes": self.sample.rss_bytes,
            "compared_with": self.compared.map(|(name, _)| name),
            "cpu_ratio": self.ratio(),
            "targets": self.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        })
    }
}

/// The head of the table that [`line`] adds to; Markdown, so that it can go into a page.
pub(super) const HEAD: &str = "\
| workload | what | events/s | MB/s | CPU µs/event | peak RSS MiB | CPU ratio | targets |
|---|---|--:|--:|--:|--:|--:|---|";

/// A row of the table.
pub(super) fn line(row: &Row) -> String {
    let mut text = format!(
        "| {} | {} | {} | {:.0} | {:.3} | {:.0} | ",
        row.workload,
        row.what,
        grouped(row.events_per_second()),
        row.bytes_per_second() / 1e6,
        row.cpu_micros(),
        row.rss_mib(),
    );
    if let (Some(ratio), Some((name, _))) = (row.ratio(), row.compared) {
        let _ = write!(text, "{ratio:.2} × {name}");
    }
    text.push_str(" | ");
    text.push_str(&targets(&row.verdicts));
    text.push_str(" |");
    text
}

/// Each target with what became of it.
pub(super) fn targets(verdicts: &[Verdict]) -> String {
    let said = |verdict: &Verdict| {
        format!("{} {}", verdict.text, if verdict.ok { "ok" } else { "**MISSED**" })
    };
    verdicts.iter().map(said).collect::<Vec<_>>().join("; ")
}

/// The whole report.
pub(super) fn json(machine: &str, runs: usize, rows: &[Row]) -> Value {
    json!({
        "machine": machine,
        "runs": runs,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    })
}

/// A number without decimals, its thousands set apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_it_cost_and_what_was_missed() {
        let sample = Sample {
            wall: Duration::from_millis(500),
            cpu: Duration::from_millis(900),
            rss_bytes: 64 << 20,
        };
        let row = Row {
            workload: "W1",
            what: "1 file".into(),
            events: 1_000_000,
            bytes: 500_000_000,
            sample,
            compared: Some(("bare", Duration::from_millis(600))),
            verdicts: vec![
                Verdict::at_most("CPU", 1.5, 1.2, " × bare"),
                Verdict::at_least("events/s", 2e6, 450_000.0, ""),
            ],
        };
        assert_eq!(
            line(&row),
            "| W1 | 1 file | 2,000,000 | 1000 | 0.900 | 64 | 1.50 × bare | \
             CPU 1.50 ≤ 1.2 × bare **MISSED**; events/s 2,000,000 ≥ 450,000 ok |"
        );
    }
}
