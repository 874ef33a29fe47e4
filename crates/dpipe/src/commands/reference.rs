//! `dpipe reference`: the pages of `docs/reference`. `cargo xtask docs` calls it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use dpipe_config::reference::{Page, Reference};
use dpipe_plugins::BUILT_IN;

pub(crate) fn run(folder: &Path) -> anyhow::Result<ExitCode> {
    let mut pages = Reference::new(&BUILT_IN).pages();
    pages.push(Page { path: "metrics.md".into(), text: metrics() });
    for page in pages {
        let path = folder.join(&page.path);
        let above = path.parent().unwrap_or(folder);
        fs::create_dir_all(above).with_context(|| format!("cannot create {}", above.display()))?;
        fs::write(&path, page.text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn metrics() -> String {
    let mut text = String::from(
        "# Metrics\n\nWhat `GET /metrics` of the [admin API](../admin-api.md) tells Prometheus. A family \
         appears with its\nfirst sample. The words are those of the [glossary](../glossary.md).\n\n\
         | name | kind | labels | what it says |\n|---|---|---|---|\n",
    );
    for metric in dpipe_admin::catalog() {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (&metric.name, &metric.kind, labels.join(", "));
        text.push_str(&format!("| `{name}` | {kind} | {labels} | {} |\n", metric.help));
    }
    text
}
