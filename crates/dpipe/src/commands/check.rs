//! `dpipe check`: everything that is wrong with a configuration, and what it promises.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use dpipe_config::plan::{Plan, Producer};

use crate::loading;

pub(crate) fn run(config: &Path) -> anyhow::Result<ExitCode> {
    let (plan, warnings) = match loading::plan(config) {
        Ok(checked) => checked,
        Err(code) => return Ok(code),
    };
    let mut out = std::io::stdout().lock();
    if !warnings.is_empty() {
        writeln!(out, "{}", warnings.render())?;
    }
    write!(out, "{}", promises(&plan))?;
    writeln!(out, "{} is fine", config.display())?;
    Ok(ExitCode::SUCCESS)
}

/// One line per path from an input to an output: how safe it is, and what a receipt says.
fn promises(plan: &Plan) -> String {
    let mut text = String::new();
    for (input, input_plan) in plan.inputs.iter().enumerate() {
        let tag = plan.tags.iter().position(|tag| tag.producer == Producer::Input(input));
        for output in tag.map(|tag| plan.outputs_behind(tag)).unwrap_or_default() {
            let output = &plan.outputs[output];
            text.push_str(&format!(
                "{} -> {}: level {}, a receipt means {}\n",
                input_plan.name,
                output.name,
                plan.level(input),
                output.spec.receipt_means()
            ));
        }
    }
    text
}
