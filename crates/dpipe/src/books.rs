//! The books, printed at the end of a run.

use dpipe_engine::{Ledger, Report, Role, Tally};

/// The books as people read them.
pub(crate) fn print(report: &Report) -> String {
    let mut text = table(&report.ledger);
    let seconds = report.elapsed.as_secs_f64();
    let taken: u64 =
        report.ledger.lines.iter().filter(|l| l.role == Role::Input).map(|l| l.taken).sum();
    let rate = if seconds > 0.0 { taken as f64 / seconds } else { 0.0 };
    text.push_str(&format!(
        "{} events in {seconds:.1} s, {} a second\n",
        grouped(taken),
        grouped(rate as u64)
    ));
    for name in &report.failed {
        text.push_str(&format!("the input `{name}` failed and was given up\n"));
    }
    if report.ledger.balances() {
        text.push_str("the books balance\n");
    } else {
        for fault in &report.ledger.faults {
            text.push_str(&format!("THE BOOKS DO NOT BALANCE: {fault}\n"));
        }
    }
    text
}

fn table(ledger: &Ledger) -> String {
    let mut rows: Vec<[String; 5]> =
        vec![["node".into(), "tenant".into(), "in".into(), "out".into(), "ended otherwise".into()]];
    for line in &ledger.lines {
        let node = match line.role {
            Role::Unmatched => format!("{} (unmatched)", line.node),
            _ => line.node.to_string(),
        };
        let out = match line.role {
            Role::Output => line.delivered,
            _ => line.out,
        };
        let mut rest = Vec::new();
        let mut add = |word: &str, tally: &Tally| {
            for (reason, events) in tally {
                rest.push(format!("{word} {reason} {}", grouped(*events)));
            }
        };
        add("filtered:", &line.filtered);
        add("dead:", &line.dead);
        add("dropped:", &line.dropped);
        add("flagged:", &line.flagged);
        add("skipped:", &line.skipped);
        if line.in_flight > 0 {
            let word = if line.role == Role::Output { "queued" } else { "in flight" };
            rest.push(format!("{word} {}", grouped(line.in_flight)));
        }
        let tenant = line.tenant.to_string();
        rows.push([node, tenant, grouped(line.taken), grouped(out), rest.join(", ")]);
    }
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [node, tenant, taken, out, rest] in &rows {
        let line = format!(
            "{node:<w0$}  {tenant:<w1$}  {taken:>w2$}  {out:>w3$}  {rest}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3],
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 12, 123, 1234, 1_234_567].map(grouped),
            ["0", "12", "123", "1,234", "1,234,567"]
        );
    }
}
