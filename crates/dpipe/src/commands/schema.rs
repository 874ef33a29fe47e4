//! `dpipe schema`: the JSON Schema of configurations.

use std::io::Write;
use std::process::ExitCode;

use dpipe_plugins::BUILT_IN;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let schema = dpipe_config::schema::schema(&BUILT_IN);
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string_pretty(&schema)?)?;
    Ok(ExitCode::SUCCESS)
}
