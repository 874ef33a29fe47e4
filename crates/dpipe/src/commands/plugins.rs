//! `dpipe plugins`: what plugins there are, and what each of them says of itself.

use std::io::Write;
use std::process::ExitCode;

use dpipe_config::reference::Reference;
use dpipe_plugin::Entry;
use dpipe_plugin::settings::suggest;
use dpipe_plugins::BUILT_IN;

pub(crate) fn run(name: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let Some(name) = name else {
        for (number, (role, plugins)) in all().into_iter().enumerate() {
            writeln!(out, "{}{role}", if number == 0 { "" } else { "\n" })?;
            for (name, summary) in plugins {
                writeln!(out, "  {name:<10} {summary}")?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    };
    let pages = Reference::new(&BUILT_IN).plugin(name);
    if pages.is_empty() {
        let mut names: Vec<&str> =
            all().into_iter().flat_map(|(_, list)| list).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        let help = suggest(name, names).unwrap_or_default();
        anyhow::bail!("there is no plugin `{name}`; {help}");
    }
    for (number, page) in pages.iter().enumerate() {
        write!(out, "{}{}", if number == 0 { "" } else { "\n" }, page.text)?;
    }
    Ok(ExitCode::SUCCESS)
}

type Listed = Vec<(&'static str, &'static str)>;

/// The plugins of each role, with their summaries.
fn all() -> [(&'static str, Listed); 5] {
    fn list<S: ?Sized>(entries: &'static [Entry<S>]) -> Listed {
        entries.iter().map(|entry| (entry.name, entry.summary())).collect()
    }
    [
        ("inputs", list(BUILT_IN.inputs)),
        ("decoders", list(BUILT_IN.decoders)),
        ("steps", list(BUILT_IN.steps)),
        ("encoders", list(BUILT_IN.encoders)),
        ("outputs", list(BUILT_IN.outputs)),
    ]
}
