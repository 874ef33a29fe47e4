//! What single operations cost, beside what they took in the program that dpipe succeeds.
//!
//! Each is measured on events of the workloads through the public interfaces of the crates, on one
//! thread. Of several rounds the fastest counts: the others were disturbed. What is done once for a
//! batch or a stream is divided by its events only where the row says so.

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
    /// What it is here.
    how: &'static str,
    /// Nanoseconds that it took before.
    before: f64,
    /// Why it cannot be ten times faster; empty where it is.
    reason: &'static str,
    /// Nanoseconds that it takes.
    measure: fn(&Events) -> Result<f64>,
}

pub(crate) fn run() -> Result<()> {
    let events = Events::new()?;
    println!("| operation | here | before, ns | now, ns | ratio |");
    println!("|---|---|--:|--:|--:|");
    for operation in operations::ALL {
        let Operation { name, how, before, reason, .. } = operation;
        let now = (operation.measure)(&events)?;
        let ratio = before / now;
        let reason = match (ratio < WANTED, *reason) {
            (false, _) => String::new(),
            (true, "") => ": **MISSED**".into(),
            (true, reason) => format!(": {reason}"),
        };
        println!("| {name} | {how} | {before} | {now:.1} | {ratio:.0} ×{reason} |");
    }
    Ok(())
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
