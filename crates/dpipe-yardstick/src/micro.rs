//! What single operations cost, beside what they took in the program that dpipe succeeds, by its own
//! table.
//!
//! Each does what the benchmark did that gave the figure in that table. It is measured through the
//! public interfaces of the crates, on one thread. Of several rounds the fastest counts: the others
//! were disturbed. What is done once for a batch or a stream is divided by its events only where the
//! row says so.

mod events;
mod operations;

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::events::Events;

/// How much faster an operation has to be.
const WANTED: f64 = 10.0;
const ROUNDS: usize = 30;

/// One operation.
struct Operation {
    name: &'static str,
    /// What it was in the benchmarks of the program before, whose figure `before` is.
    there: &'static str,
    /// What it is here.
    here: &'static str,
    /// Nanoseconds that it took before.
    before: f64,
    /// Why it is not ten times faster, where it is not.
    why: &'static str,
    /// Nanoseconds that it takes.
    measure: fn(&Events) -> Result<f64>,
}

pub(crate) fn run() -> Result<()> {
    let events = Events::new()?;
    println!("| operation | before | here | before, ns | now, ns | ratio | why not {WANTED} × |");
    println!("|---|---|---|--:|--:|--:|---|");
    for operation in operations::ALL {
        println!("{}", row(operation, (operation.measure)(&events)?));
    }
    Ok(())
}

/// The row of an operation that takes `now` nanoseconds. One that is not as fast as it has to be
/// says why.
fn row(operation: &Operation, now: f64) -> String {
    let Operation { name, there, here, before, why, .. } = operation;
    let ratio = before / now;
    let ratio_shown = if ratio < WANTED { format!("{ratio:.1}") } else { format!("{ratio:.0}") };
    let why = match (ratio < WANTED, *why) {
        (false, _) => "",
        (true, "") => "**missed**: nothing is in its way that we know of",
        (true, why) => why,
    };
    format!("| {name} | {there} | {here} | {before} | {now:.1} | {ratio_shown} × | {why} |")
}

/// Nanoseconds that one of `count` takes, where `work` does all of them.
fn nanos(count: usize, mut work: impl FnMut()) -> f64 {
    nanos_with(count, || (), |()| work())
}

/// The same, where each round needs something that is made beforehand and not counted.
fn nanos_with<T>(count: usize, mut make: impl FnMut() -> T, mut work: impl FnMut(T)) -> f64 {
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let made = black_box(make());
        let start = Instant::now();
        work(made);
        fastest = fastest.min(start.elapsed());
    }
    fastest.as_nanos() as f64 / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ten_times_faster_says_why() {
        let operation = |why| Operation {
            name: "it",
            there: "a map",
            here: "a list",
            before: 100.0,
            why,
            measure: |_| Ok(0.0),
        };
        assert_eq!(
            row(&operation("it is thorough"), 9.9),
            "| it | a map | a list | 100 | 9.9 | 10 × |  |"
        );
        assert_eq!(
            row(&operation("it is thorough"), 10.1),
            "| it | a map | a list | 100 | 10.1 | 9.9 × | it is thorough |"
        );
        assert!(
            row(&operation(""), 50.0)
                .ends_with("| **missed**: nothing is in its way that we know of |")
        );
    }

    #[test]
    fn every_operation_can_be_measured() {
        let events = Events::new().unwrap();
        for operation in operations::ALL {
            let measured = (operation.measure)(&events);
            assert!(measured.is_ok(), "{}: {measured:?}", operation.name);
        }
    }
}
