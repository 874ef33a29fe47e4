//! `dpipe graph`: the pipeline as a picture.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::loading;

/// The notation of a picture.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Format {
    /// Boxes and lines for a terminal.
    Text,
    /// A Mermaid flowchart.
    Mermaid,
    /// The language of Graphviz.
    Dot,
    /// An image.
    Svg,
}

pub(crate) fn run(config: &Path, format: Format) -> anyhow::Result<ExitCode> {
    let plan = match loading::plan_saying_warnings(config) {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    let graph = plan.graph();
    let picture = match format {
        Format::Text => graph.text(),
        Format::Mermaid => graph.mermaid(),
        Format::Dot => graph.dot(),
        Format::Svg => graph.svg(),
    };
    writeln!(std::io::stdout().lock(), "{}", picture.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
