//! The language once more, as plainly as it can be said: over parsed JSON, with no thought of
//! speed. The matcher must agree with it.

use regex::Regex;
use serde_json::Value;

/// A query.
#[derive(Clone, Debug)]
pub(crate) enum Q {
    All,
    Not(Box<Q>),
    And(Vec<Q>),
    Or(Vec<Q>),
    Exists(&'static str),
    Term(Option<&'static str>, String),
    Phrase(Option<&'static str>, String),
    Exact(&'static str, String),
    Regex(Option<&'static str>, &'static str),
    /// The field, the lower and the upper bound, and which of them belong to it.
    Range(&'static str, Option<String>, Option<String>, bool, bool),
}

impl Q {
    /// The query as a user writes it.
    pub(crate) fn text(&self) -> String {
        let prefix = |field: &Option<&str>| field.map_or(String::new(), |f| format!("{f}:"));
        let quoted =
            |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let joined = |queries: &[Q], word: &str| {
            let parts: Vec<String> = queries.iter().map(|q| format!("({})", q.text())).collect();
            parts.join(word)
        };
        match self {
            Q::All => "*:*".into(),
            Q::Not(q) => format!("NOT ({})", q.text()),
            Q::And(qs) => joined(qs, " AND "),
            Q::Or(qs) => joined(qs, " OR "),
            Q::Exists(field) => format!("_exists_:{field}"),
            Q::Term(field, term) => {
                let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '*' | '?');
                let escape = |c: char| if is_plain(c) { c.into() } else { format!("\\{c}") };
                prefix(field) + &term.chars().map(escape).collect::<String>()
            }
            Q::Phrase(field, text) => prefix(field) + &quoted(text),
            Q::Exact(field, text) => format!("{field}:={}", quoted(text)),
            Q::Regex(field, source) => format!("{}/{source}/", prefix(field)),
            Q::Range(field, lower, upper, with_lower, with_upper) => {
                let bound = |b: &Option<String>| b.as_ref().map_or("*".into(), |text| quoted(text));
                let (open, close) =
                    (if *with_lower { '[' } else { '{' }, if *with_upper { ']' } else { '}' });
                format!("{field}:{open}{} TO {}{close}", bound(lower), bound(upper))
            }
        }
    }

    pub(crate) fn matches(&self, doc: &Value) -> bool {
        match self {
            Q::All => true,
            Q::Not(q) => !q.matches(doc),
            Q::And(qs) => qs.iter().all(|q| q.matches(doc)),
            Q::Or(qs) => qs.iter().any(|q| q.matches(doc)),
            Q::Exists(field) => get(doc, field).is_some(),
            Q::Term(Some(field), term) => get(doc, field).is_some_and(|v| has_term(v, term, true)),
            Q::Phrase(Some(field), text) => {
                get(doc, field).is_some_and(|v| has_term(v, text, false))
            }
            Q::Term(None, term) => match get(doc, "message") {
                Some(message) => has_term(message, term, true),
                None => tokens_contain(&all_tokens(doc), &wanted(term, true)),
            },
            Q::Phrase(None, text) => match get(doc, "message") {
                Some(message) => has_term(message, text, false),
                None => tokens_contain(&all_tokens(doc), &wanted(text, false)),
            },
            Q::Exact(field, text) => get(doc, field).is_some_and(|v| {
                any_element(v, &|v| match v {
                    Value::String(s) => s == text,
                    Value::Number(n) => {
                        decimal(text).is_some_and(|t| Some(t) == decimal(&n.to_string()))
                    }
                    Value::Bool(b) => b.to_string() == *text,
                    _ => false,
                })
            }),
            Q::Regex(field, source) => {
                let regex = Regex::new(source).unwrap();
                let searched = match field {
                    Some(field) => get(doc, field),
                    None => get(doc, "message"),
                };
                searched.is_some_and(|v| {
                    any_element(v, &|v| scalar(v).is_some_and(|s| regex.is_match(&s)))
                })
            }
            Q::Range(field, None, None, ..) => get(doc, field).is_some(),
            Q::Range(field, lower, upper, with_lower, with_upper) => {
                let bounds = || lower.iter().chain(upper);
                let numeric = bounds().all(|b| decimal(b).is_some());
                let within = |above: &dyn Fn(&str) -> Option<std::cmp::Ordering>| {
                    let low = lower.as_ref().is_none_or(|b| {
                        above(b).is_some_and(|o| o.is_gt() || (*with_lower && o.is_eq()))
                    });
                    let high = upper.as_ref().is_none_or(|b| {
                        above(b).is_some_and(|o| o.is_lt() || (*with_upper && o.is_eq()))
                    });
                    low && high
                };
                get(doc, field).is_some_and(|v| {
                    any_element(v, &|v| match v {
                        Value::Number(n) if numeric => {
                            within(&|b| Some(decimal(&n.to_string())?.cmp(&decimal(b)?)))
                        }
                        Value::String(s) if numeric => {
                            within(&|b| Some(decimal(s.trim())?.cmp(&decimal(b)?)))
                        }
                        Value::String(s) => within(&|b| Some(s.as_str().cmp(b))),
                        _ => false,
                    })
                })
            }
        }
    }
}

/// The value of a field of the form `a.b[0]`; null is none.
fn get<'d>(doc: &'d Value, field: &str) -> Option<&'d Value> {
    let pointer = format!("/{}", field.replace(['.', '['], "/").replace(']', ""));
    let mut value = doc;
    for step in pointer.split('/').skip(1) {
        value = match value {
            Value::Object(map) => map.get(step)?,
            Value::Array(list) => list.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    (!value.is_null()).then_some(value)
}

fn any_element(value: &Value, test: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|v| any_element(v, test)),
        other => test(other),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn has_term(value: &Value, term: &str, wild: bool) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|v| has_term(v, term, wild)),
        Value::Object(map) => map.values().any(|v| has_term(v, term, wild)),
        Value::Null => false,
        Value::Number(n) => {
            let digits = n.to_string();
            match decimal(term) {
                Some(number) => decimal(&digits) == Some(number),
                None => {
                    wild && term.contains(['*', '?']) && like(&lower(term), &lower(&digits), true)
                }
            }
        }
        other => tokens_contain(&tokens(&scalar(other).unwrap()), &wanted(term, wild)),
    }
}

/// What consecutive tokens must look like, and whether `*` and `?` are wildcards in it.
fn wanted(term: &str, wild: bool) -> (Vec<Vec<char>>, bool) {
    let inside = |c: char| c.is_alphanumeric() || (wild && matches!(c, '*' | '?'));
    let mut pieces: Vec<Vec<char>> =
        term.split(|c| !inside(c)).filter(|p| !p.is_empty()).map(lower).collect();
    let anything = |piece: &Vec<char>| piece.iter().all(|c| *c == '*');
    while pieces.len() > 1 && anything(&pieces[0]) {
        pieces.remove(0);
    }
    while pieces.len() > 1 && anything(&pieces[pieces.len() - 1]) {
        pieces.pop();
    }
    (pieces, wild)
}

fn tokens_contain(tokens: &[Vec<char>], (wanted, wild): &(Vec<Vec<char>>, bool)) -> bool {
    tokens
        .windows(wanted.len())
        .any(|window| window.iter().zip(wanted).all(|(token, want)| like(want, token, *wild)))
}

fn like(pattern: &[char], text: &[char], wild: bool) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) if wild => (0..=text.len()).any(|n| like(rest, &text[n..], wild)),
        Some(('?', rest)) if wild => !text.is_empty() && like(rest, &text[1..], wild),
        Some((c, rest)) => text.first() == Some(c) && like(rest, &text[1..], wild),
    }
}

fn tokens(text: &str) -> Vec<Vec<char>> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|t| !t.is_empty()).map(lower).collect()
}

/// The tokens of keys and values, as they stand in the document.
fn all_tokens(value: &Value) -> Vec<Vec<char>> {
    match value {
        Value::Null => tokens("null"),
        Value::Array(list) => list.iter().flat_map(all_tokens).collect(),
        Value::Object(map) => {
            map.iter().flat_map(|(key, value)| [tokens(key), all_tokens(value)].concat()).collect()
        }
        other => tokens(&scalar(other).unwrap()),
    }
}

fn lower(text: &str) -> Vec<char> {
    text.chars()
        .map(|c| {
            let lower: Vec<char> = c.to_lowercase().collect();
            if lower.len() == 1 && lower[0].is_ascii() == c.is_ascii() { lower[0] } else { c }
        })
        .collect()
}

/// A number of at most 24 digits before and 9 behind the point, times 10⁹.
fn decimal(text: &str) -> Option<i128> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let unsigned = whole.trim_start_matches(['-', '+']);
    let all_digits = unsigned.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !all_digits || whole.len() > unsigned.len() + 1 || unsigned.len() + fraction.len() == 0 {
        return None;
    }
    let size: i128 = format!("{unsigned}{fraction}").parse().ok()?;
    let power = u32::try_from(9 + exponent - fraction.len() as i32).ok()?;
    let value = size * 10_i128.pow(power);
    Some(if whole.starts_with('-') { -value } else { value })
}
