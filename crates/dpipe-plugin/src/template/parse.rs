//! From the text of a template to its parts.

use std::borrow::Cow;

use dpipe_event::Path;

use super::moment::Moment;
use super::{Part, TemplateError, TenantSetting};
use crate::settings::suggest;

const TENANT: &str = "tenant.";

pub(super) fn parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    let chars: Vec<char> = text.chars().collect();
    let fail = |reason: &'static str, at| Err(TemplateError { reason: reason.into(), at });
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while at < chars.len() {
        let part = match (chars[at], chars.get(at + 1)) {
            (c @ ('{' | '}' | '%'), Some(next)) if c == *next => {
                literal.push(c);
                at += 2;
                continue;
            }
            ('}', _) => return fail("a `}` without its `{` (a plain one is written `}}`)", at),
            ('{', _) => {
                let Some(close) = closing_brace(&chars, at + 1) else {
                    return fail("a `{` without its `}` (a plain one is written `{{`)", at);
                };
                let inside: String = chars[at + 1..close].iter().collect();
                let part = place(&inside, at + 1)?;
                at = close + 1;
                part
            }
            ('%', letter) => {
                let Some(moment) = letter.copied().and_then(Moment::named) else {
                    return Err(TemplateError {
                        reason: unknown_letter(letter.copied()).into(),
                        at,
                    });
                };
                at += 2;
                Part::Moment(moment)
            }
            (c, _) => {
                literal.push(c);
                at += 1;
                continue;
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal).into()));
        }
        parts.push(part);
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Ok(parts)
}

/// What stands in braces; `at` is where it starts.
fn place(inside: &str, at: usize) -> Result<Part, TemplateError> {
    if inside == "data_dir" {
        return Ok(Part::DataDir);
    }
    if let Some(key) = inside.strip_prefix(TENANT) {
        let Some(setting) = TenantSetting::named(key) else {
            return Err(TemplateError { reason: unknown_setting(key), at: at + TENANT.len() });
        };
        return Ok(Part::TenantSetting { setting, by_tenant: Box::default() });
    }
    if inside.is_empty() {
        let reason = "expected a field path in the braces".into();
        return Err(TemplateError { reason, at });
    }
    let wrong = |error: dpipe_event::PathError| TemplateError {
        reason: error.reason.into(),
        at: at + error.at,
    };
    Path::parse(inside).map(Part::Field).map_err(wrong)
}

/// The `}` that ends a place; one within a quoted key does not.
fn closing_brace(chars: &[char], from: usize) -> Option<usize> {
    let mut quoted = false;
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' if quoted => at += 1,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn unknown_setting(key: &str) -> Cow<'static, str> {
    let names = TenantSetting::ALL.map(TenantSetting::name);
    let help = suggest(key, names.iter().copied()).unwrap_or_default();
    format!("a tenant has no setting `{}` ({help})", key.escape_debug()).into()
}

fn unknown_letter(letter: Option<char>) -> String {
    let letters: Vec<String> = Moment::LETTERS.chars().map(|c| format!("%{c}")).collect();
    let what = letter.map_or("a lone `%`".into(), |c| format!("unknown `%{}`", c.escape_debug()));
    format!("{what} (a plain one is written `%%`; there are {})", letters.join(" "))
}
