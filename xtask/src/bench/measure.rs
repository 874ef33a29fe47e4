//! What a command costs, and which of several costs less.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wait4::Wait4 as _;

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) wall: Duration,
    /// Of all threads, in the program and in the kernel.
    pub(super) cpu: Duration,
    /// The most memory that was resident at once.
    pub(super) rss_bytes: u64,
}

/// A run, and what it said on standard error.
pub(super) struct Run {
    pub(super) sample: Sample,
    pub(super) said: String,
}

/// Runs a command to its end; what it says goes through a file in `folder`.
pub(super) fn run(command: &mut Command, folder: &Path) -> Result<Run> {
    let name = command.get_program().to_string_lossy().into_owned();
    let heard = folder.join("said.txt");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&heard)?);
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let used = child.wait4()?;
    let wall = start.elapsed();
    let said = fs::read_to_string(heard)?;
    if !used.status.success() {
        bail!("{name}: {}\n{said}", used.status);
    }
    let cpu = used.rusage.utime + used.rusage.stime;
    Ok(Run { sample: Sample { wall, cpu, rss_bytes: used.rusage.maxrss }, said })
}

/// One of those that are compared.
pub(super) struct Contender<'a> {
    run: Box<dyn Fn() -> Result<Sample> + 'a>,
}

impl<'a> Contender<'a> {
    pub(super) fn new(run: impl Fn() -> Result<Sample> + 'a) -> Self {
        Contender { run: Box::new(run) }
    }
}

/// Runs them in turns, A B A B …, so that whatever else the machine does hits all alike; gives the
/// medians, in their order.
pub(super) fn race(contenders: &[Contender<'_>], runs: usize) -> Result<Vec<Sample>> {
    Ok(turns(contenders, runs)?.iter().map(|samples| median(samples)).collect())
}

/// The same, each figure by itself: for each contender, in their order, its samples by turn.
pub(super) fn turns(contenders: &[Contender<'_>], runs: usize) -> Result<Vec<Vec<Sample>>> {
    let mut samples = vec![Vec::with_capacity(runs); contenders.len()];
    for _ in 0..runs {
        for (contender, samples) in contenders.iter().zip(&mut samples) {
            samples.push((contender.run)()?);
        }
    }
    Ok(samples)
}

/// How many times the CPU time of `unit` it takes to get from `few` to `many`: what lies between
/// them is taken turn by turn, as what else the machine does changes with time, and the median
/// counts.
pub(super) fn difference_in(unit: &[Sample], few: &[Sample], many: &[Sample]) -> f64 {
    let cpu = |sample: &Sample| sample.cpu.as_secs_f64();
    let mut ratios: Vec<f64> = many
        .iter()
        .zip(few)
        .zip(unit)
        .map(|((many, few), unit)| (cpu(many) - cpu(few)) / cpu(unit).max(1e-6))
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// Of each figure by itself.
pub(super) fn median(samples: &[Sample]) -> Sample {
    Sample {
        wall: middle(samples.iter().map(|sample| sample.wall)),
        cpu: middle(samples.iter().map(|sample| sample.cpu)),
        rss_bytes: middle(samples.iter().map(|sample| sample.rss_bytes)),
    }
}

fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn sample(cpu: u64) -> Sample {
        let cpu = Duration::from_millis(cpu);
        Sample { wall: Duration::from_millis(10) - cpu, cpu, rss_bytes: 1 }
    }

    #[test]
    fn contenders_run_in_turns_and_the_medians_count() {
        let order = RefCell::new(String::new());
        let contender = |name: char, costs: [u64; 3]| {
            let (order, turn) = (&order, RefCell::new(costs.into_iter()));
            Contender::new(move || {
                order.borrow_mut().push(name);
                Ok(sample(turn.borrow_mut().next().unwrap()))
            })
        };
        let medians = race(&[contender('a', [5, 1, 3]), contender('b', [2, 9, 2])], 3).unwrap();
        assert_eq!(order.into_inner(), "ababab");
        let cpu: Vec<_> = medians.iter().map(|median| median.cpu.as_millis()).collect();
        assert_eq!(cpu, [3, 2]);
        assert_eq!(medians[0].wall.as_millis(), 7);
    }

    #[test]
    fn a_difference_is_taken_within_a_turn_so_that_slow_turns_do_not_count() {
        let samples = |costs: [u64; 3]| costs.map(sample);
        let unit = samples([2, 4, 2]);
        let (few, many) = (samples([3, 6, 3]), samples([5, 10, 9]));
        assert_eq!(difference_in(&unit, &few, &many), 1.0);
        assert_eq!(difference_in(&unit, &many, &few), -1.0);
    }
}
