//! The books, printed at the end of a run.

use std::time::Duration;

use dpipe_engine::{Ledger, Line, Report, Role, Tally, Undelivered};

/// The books as people read them, and whatever else there is to say at the end.
pub(crate) fn print(report: &Report) -> String {
    let mut text = table(&report.ledger);
    let mut say = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    say(pace(events_taken(report), report.elapsed));
    let skipped = report.skipped();
    if !skipped.is_empty() {
        say(format!("left out: {}", tally(&skipped)));
    }
    report.undelivered.iter().flat_map(undelivered).for_each(&mut say);
    if report.unwritten_letters > 0 {
        let letters = counted(report.unwritten_letters as u64, "dead letter");
        say(format!("{letters} could not be written, and what was refused counts as not settled"));
    }
    let has_told = !report.undelivered.is_empty() || report.unwritten_letters > 0;
    if !report.drained && !has_told {
        say("not everything that was read has arrived; it is read again at the next start".into());
    }
    for name in &report.failed {
        say(format!("the input `{name}` failed and was given up"));
    }
    for what in &report.broken {
        say(format!("DPIPE FAILED: {what}"));
    }
    if report.ledger.balances() {
        say("the books balance".into());
    }
    for fault in &report.ledger.faults {
        say(format!("THE BOOKS DO NOT BALANCE: {fault}"));
    }
    text
}

/// How many events the inputs took.
pub(crate) fn events_taken(report: &Report) -> u64 {
    let lines = report.ledger.lines.iter();
    lines.filter(|line| line.role == Role::Input).map(|line| line.taken).sum()
}

/// What had not arrived at a node.
fn undelivered(of: &Undelivered) -> Vec<String> {
    let Undelivered { node, role, again, lost } = of;
    let mut lines = Vec::new();
    if *again > 0 {
        let (events, wait, they) = (counted(*again, "event"), verb(*again), pronoun(*again));
        lines.push(format!(
            "{events} {wait} for the {} `{node}`; {they} read again at the next start",
            role.word()
        ));
    }
    if *lost > 0 {
        let (events, are) = (counted(*lost, "event"), if *lost == 1 { "is" } else { "are" });
        lines.push(format!(
            "{events} for the {} `{node}` {are} LOST: no input can read such events again",
            role.word()
        ));
    }
    lines
}

fn verb(events: u64) -> &'static str {
    if events == 1 { "waits" } else { "wait" }
}

fn pronoun(events: u64) -> &'static str {
    if events == 1 { "it is" } else { "they are" }
}

/// How much it was, and how fast.
fn pace(events: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 { events as f64 / seconds } else { 0.0 };
    // A few at a time are worth a decimal.
    let rate = if rate < 99.95 { format!("{rate:.1}") } else { grouped(rate.round() as u64) };
    let seconds = if seconds < 1.0 { format!("{seconds:.2}") } else { format!("{seconds:.1}") };
    format!("{} in {seconds} s, {rate} a second", counted(events, "event"))
}

fn table(ledger: &Ledger) -> String {
    const HEAD: [&str; 6] = ["node", "tenant", "in", "published", "delivered", "otherwise"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(ledger.lines.iter().map(row));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3), width(4)];
    let mut text = String::new();
    for [node, tenant, taken, published, delivered, rest] in &rows {
        let line = format!(
            "{node:<w0$}  {tenant:<w1$}  {taken:>w2$}  {published:>w3$}  {delivered:>w4$}  {rest}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3],
            w4 = widths[4],
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A line of the ledger. Inputs and filters publish, outputs deliver; the other column is empty.
fn row(line: &Line) -> [String; 6] {
    let node = match line.role {
        Role::Unmatched => format!("{} (unmatched)", line.node),
        _ => line.node.to_string(),
    };
    let (published, delivered) = match line.role {
        Role::Input | Role::Filter => (grouped(line.out), String::new()),
        Role::Output => (String::new(), grouped(line.delivered)),
        Role::Unmatched => (String::new(), String::new()),
    };
    let mut rest = Vec::new();
    if line.born > 0 {
        rest.push(format!("born {}", grouped(line.born)));
    }
    for (word, of) in [
        ("filtered", &line.filtered),
        ("dead", &line.dead),
        ("dropped", &line.dropped),
        ("flagged", &line.flagged),
        ("skipped", &line.skipped),
    ] {
        rest.extend(of.iter().map(|(reason, n)| format!("{word}: {reason} {}", grouped(*n))));
    }
    if line.in_flight > 0 {
        let word = if line.role == Role::Output { "queued" } else { "in flight" };
        rest.push(format!("{word} {}", grouped(line.in_flight)));
    }
    let tenant = line.tenant.to_string();
    [node, tenant, grouped(line.taken), published, delivered, rest.join(", ")]
}

/// Counts by their reasons: `torn_file 1, damaged_file 2`.
fn tally(tally: &Tally) -> String {
    let counts = tally.iter().map(|(reason, count)| format!("{reason} {}", grouped(*count)));
    counts.collect::<Vec<_>>().join(", ")
}

/// `1 event`, `1,234 events`.
fn counted(number: u64, word: &str) -> String {
    format!("{} {word}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number with its thousands set apart: `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
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
mod tests;
