//! `dpipe explain`: what happens to lines, step by step.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use dpipe_engine::{Change, Effect, ExplainError, Explanation, Stage};
use dpipe_env::RealEnv;
use dpipe_plugins::terminal::write_clean;

use crate::loading;

/// More of a value is not shown in a change; the whole event comes after the last step.
const VALUE_CHARS_MAX: usize = 120;

pub(crate) fn run(config: &Path, tag: &str, file: &str) -> anyhow::Result<ExitCode> {
    let plan = match loading::plan_saying_warnings(config) {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    let mut lines = Vec::new();
    std::io::stdin().lock().read_to_end(&mut lines)?;
    let told = match dpipe_engine::explain(plan, Arc::new(RealEnv), tag, &lines, file) {
        Ok(told) => told,
        Err(ExplainError::Start(error)) => return loading::cannot_start(error),
        Err(error) => return Err(error.into()),
    };
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let out = std::io::stdout();
    let is_color = out.is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb");
    let paint = if is_color { Paint::COLOR } else { Paint::NONE };
    let mut out = out.lock();
    for (number, told) in told.iter().enumerate() {
        if number > 0 {
            out.write_all(b"\n")?;
        }
        out.write_all(text(told, &paint).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The styles of what is shown.
struct Paint {
    added: Style,
    removed: Style,
    changed: Style,
    odd: Style,
    head: Style,
    quiet: Style,
}

impl Paint {
    const NONE: Paint = Paint {
        added: Style::new(),
        removed: Style::new(),
        changed: Style::new(),
        odd: Style::new(),
        head: Style::new(),
        quiet: Style::new(),
    };
    const COLOR: Paint = Paint {
        added: AnsiColor::Green.on_default(),
        removed: AnsiColor::Red.on_default(),
        changed: AnsiColor::Yellow.on_default(),
        odd: AnsiColor::Magenta.on_default(),
        head: Style::new().bold(),
        quiet: Style::new().dimmed(),
    };
}

/// The text as a terminal shows it, on one line: it is whatever somebody wrote into a log.
fn clean(text: &str) -> String {
    let mut shown = Vec::new();
    write_clean(text.as_bytes(), usize::MAX, &mut shown);
    String::from_utf8_lossy(&shown).into_owned()
}

fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

fn text(told: &Explanation, paint: &Paint) -> String {
    let mut text = String::new();
    for stage in &told.stages {
        match stage {
            Stage::Decoded { input, codec, tag, metadata, body, flagged, cost } => {
                let mut head = styled(paint.head, &format!("decoded by {codec} as `{tag}`"));
                if input != tag {
                    head.push_str(&format!(", with the codec of `{input}`"));
                }
                text.push_str(&format!("{head}{}\n", cost_of(*cost, paint)));
                for (name, value) in metadata {
                    text.push_str(&format!("  {name:<9} {}\n", clean(value)));
                }
                text.push_str(&flags(flagged, paint));
                text.push_str(&format!("  {}\n", clean(body)));
            }
            Stage::Refused { reason } => {
                let head = styled(paint.removed, "refused by the codec, a dead letter");
                text.push_str(&format!("{head}: {}\n", clean(reason)));
            }
            Stage::NoTenant { file, pattern } => {
                let head = styled(paint.removed, "left out");
                let way = if file.is_empty() { "; say where it is read with `--file`" } else { "" };
                let file = clean(file);
                text.push_str(&format!(
                    "{head}: the path `{file}` names no tenant by the pattern `{pattern}`{way}\n"
                ));
            }
            Stage::Step { filter, step, number, effect, flagged, cost } => {
                let head = styled(paint.head, &format!("{filter} step {number}, {step}"));
                let outcome = match effect {
                    Effect::NotSelected => ": its condition does not hold".to_owned(),
                    Effect::Unchanged => ": unchanged".to_owned(),
                    Effect::Routed => ": published under the step's own tags".to_owned(),
                    Effect::Removed(reason) => {
                        format!(
                            ": {}",
                            styled(paint.removed, &format!("the event ends here ({reason})"))
                        )
                    }
                    Effect::Refused(reason) => {
                        let what = format!("refused, a dead letter: {}", clean(reason));
                        format!(": {}", styled(paint.removed, &what))
                    }
                    Effect::Split(bodies) => format!(": split into {}", bodies.len()),
                    Effect::Changed(_) => String::new(),
                };
                text.push_str(&format!("{head}{outcome}{}\n", cost_of(*cost, paint)));
                match effect {
                    Effect::Changed(changes) => {
                        changes.iter().for_each(|change| text.push_str(&changed(change, paint)));
                    }
                    Effect::Split(bodies) => {
                        bodies
                            .iter()
                            .for_each(|body| text.push_str(&format!("  {}\n", clean(body))));
                    }
                    _ => {}
                }
                text.push_str(&flags(flagged, paint));
            }
            Stage::Part { number, of } => {
                let head = styled(paint.head, &format!("part {number} of {of}"));
                text.push_str(&format!("{head}\n"));
            }
            Stage::Published { tag, body, outputs, filters } => {
                let takers: Vec<&str> = filters.iter().chain(outputs).map(|name| &**name).collect();
                let takers =
                    if takers.is_empty() { "nobody: unmatched".into() } else { takers.join(", ") };
                let head = styled(paint.head, &format!("published as `{tag}`"));
                text.push_str(&format!("{head}, taken by {takers}\n"));
                if let Some(body) = body {
                    text.push_str(&format!("  {}\n", clean(body)));
                }
            }
        }
    }
    text
}

/// `+ field value`, `- field value` or `~ field before -> after`.
fn changed(Change { field, before, after }: &Change, paint: &Paint) -> String {
    let field = clean(field);
    let (style, line) = match (before, after) {
        (None, Some(after)) => (paint.added, format!("+ {field} {}", shortened(after))),
        (Some(before), None) => (paint.removed, format!("- {field} {}", shortened(before))),
        (before, after) => {
            let of = |value: &Option<String>| shortened(value.as_deref().unwrap_or_default());
            (paint.changed, format!("~ {field} {} -> {}", of(before), of(after)))
        }
    };
    format!("  {}\n", styled(style, &line))
}

fn flags(flagged: &[&'static str], paint: &Paint) -> String {
    let line = |what: &&str| format!("  {}\n", styled(paint.odd, &format!("flagged {what}")));
    flagged.iter().map(line).collect()
}

fn cost_of(cost: Option<Duration>, paint: &Paint) -> String {
    let Some(cost) = cost else { return String::new() };
    let micros = cost.as_nanos() as f64 / 1000.0;
    let digits = if micros < 10.0 { 2 } else { 0 };
    styled(paint.quiet, &format!("  ({micros:.digits$} µs)"))
}

fn shortened(text: &str) -> String {
    let text = &clean(text);
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(effect: Effect, flagged: Vec<&'static str>) -> Explanation {
        let cost = Some(Duration::from_nanos(1234));
        let (filter, step) = ("f".into(), "geoip");
        Explanation { stages: vec![Stage::Step { filter, step, number: 1, effect, flagged, cost }] }
    }

    fn change(before: Option<&str>, after: Option<&str>) -> Change {
        let text = |value: Option<&str>| value.map(str::to_owned);
        Change { field: "a".into(), before: text(before), after: text(after) }
    }

    #[test]
    fn a_step_shows_what_changed_what_is_odd_and_what_it_costs() {
        let changes = vec![
            change(None, Some("1")),
            change(Some("1"), None),
            change(Some("1"), Some("\"x\"")),
        ];
        let told = step(Effect::Changed(changes), vec!["bad_ip"]);
        let expected =
            "f step 1, geoip  (1.23 µs)\n  + a 1\n  - a 1\n  ~ a 1 -> \"x\"\n  flagged bad_ip\n";
        assert_eq!(text(&told, &Paint::NONE), expected);
        let told = step(Effect::Removed("dropped".into()), Vec::new());
        let expected = "f step 1, geoip: the event ends here (dropped)  (1.23 µs)\n";
        assert_eq!(text(&told, &Paint::NONE), expected);
    }

    #[test]
    fn color_tells_what_came_from_what_went() {
        let told = step(Effect::Changed(vec![change(None, Some("1"))]), Vec::new());
        let said = text(&told, &Paint::COLOR);
        assert!(said.contains("\u{1b}[32m+ a 1\u{1b}[0m"), "{said:?}");
    }

    #[test]
    fn a_long_value_is_cut() {
        let long = "x".repeat(500);
        let said = changed(&change(None, Some(&long)), &Paint::NONE);
        assert!(said.ends_with("x…\n") && said.len() < 150, "{said}");
    }
}
