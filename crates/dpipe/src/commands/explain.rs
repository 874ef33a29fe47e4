//! `dpipe explain`: what happens to one line.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use dpipe_engine::{Effect, Explanation, Stage};
use dpipe_env::RealEnv;
use dpipe_plugins::terminal::write_clean;

use crate::loading;

pub(crate) fn run(config: &Path, tag: &str, file: &str) -> anyhow::Result<ExitCode> {
    let mut input = Vec::new();
    std::io::stdin().lock().read_to_end(&mut input)?;
    let mut out = std::io::stdout().lock();
    for line in input.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        // Each line gets steps of its own: what one leaves behind must not explain the next.
        let plan = match loading::plan(config) {
            Ok((plan, _)) => plan,
            Err(code) => return Ok(code),
        };
        let told = dpipe_engine::explain(plan, Arc::new(RealEnv), tag, line, file)?;
        // It is read on a terminal, and the line is whatever somebody wrote into a log.
        let mut shown = Vec::new();
        for line in text(&told).lines() {
            write_clean(line.as_bytes(), usize::MAX, &mut shown);
            shown.push(b'\n');
        }
        out.write_all(&shown)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(told: &Explanation) -> String {
    let mut text = String::new();
    for stage in &told.stages {
        match stage {
            Stage::Decoded { tag, metadata, body } => {
                text.push_str(&format!("decoded as `{tag}`\n"));
                for (name, value) in metadata {
                    text.push_str(&format!("  {name:<9} {value}\n"));
                }
                text.push_str(&format!("  {body}\n"));
            }
            Stage::Refused { reason } => {
                text.push_str(&format!("refused by the codec, a dead letter: {reason}\n"));
            }
            Stage::Step { filter, step, number, effect } => {
                let head = format!("{filter} step {number}, {step}: ");
                text.push_str(&head);
                text.push_str(&match effect {
                    Effect::NotSelected => "its condition does not hold\n".to_owned(),
                    Effect::Unchanged => "unchanged\n".to_owned(),
                    Effect::Routed => "published under the step's own tags\n".to_owned(),
                    Effect::Removed(reason) => format!("the event ends here ({reason})\n"),
                    Effect::Refused(reason) => format!("refused, a dead letter: {reason}\n"),
                    Effect::Changed(body) => format!("\n  {}\n", body.replace('\n', "\n  ")),
                });
            }
            Stage::Published { tag, outputs, filters } => {
                let takers: Vec<&str> = filters.iter().chain(outputs).map(|name| &**name).collect();
                let takers =
                    if takers.is_empty() { "nobody: unmatched".into() } else { takers.join(", ") };
                text.push_str(&format!("published as `{tag}`, taken by {takers}\n"));
            }
        }
    }
    text
}
