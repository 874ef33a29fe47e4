//! Where JSON values are in a body: one after the other, and the elements of lists.
//!
//! Only strings and brackets are looked at; whether a value is valid is for the codec to say.

use dpipe_plugin::Part;

/// The most values that a body may have: each takes memory, however short it is.
const VALUES_MAX: usize = 1 << 20;
/// The reason if it has more.
pub(super) const TOO_MANY: &str = "too many values";

/// The values of a body; or why they cannot be told apart, and where.
pub(super) fn parts(body: &[u8]) -> Result<Vec<Part>, (usize, &'static str)> {
    let mut parts = Vec::new();
    let mut at = 0;
    loop {
        at += spaces(&body[at..]);
        match body.get(at) {
            None => return Ok(parts),
            Some(b'[') => at = elements(body, at + 1, &mut parts)?,
            Some(_) => at = value(body, at, &mut parts)?,
        }
    }
}

/// The elements of a list from after its bracket; returns the position after the list.
fn elements(
    body: &[u8],
    mut at: usize,
    parts: &mut Vec<Part>,
) -> Result<usize, (usize, &'static str)> {
    at += spaces(&body[at..]);
    if body.get(at) == Some(&b']') {
        return Ok(at + 1);
    }
    loop {
        at += spaces(&body[at..]);
        at = value(body, at, parts)?;
        at += spaces(&body[at..]);
        match body.get(at) {
            Some(b',') => at += 1,
            Some(b']') => return Ok(at + 1),
            Some(_) => return Err((at, "expected `,` or `]`")),
            None => return Err((at, "the list is not closed")),
        }
    }
}

/// Adds the value at a position; returns the one after it.
fn value(body: &[u8], start: usize, parts: &mut Vec<Part>) -> Result<usize, (usize, &'static str)> {
    let mut depth = 0usize;
    let mut at = start;
    loop {
        let Some(&byte) = body.get(at) else {
            let is_open = depth > 0 || at == start;
            if is_open {
                return Err((at, "the value is not closed"));
            }
            break;
        };
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    at += 1;
                    break;
                }
            }
            b'"' => {
                at = string_end(body, at).ok_or((at, "the string is not closed"))?;
                if depth == 0 {
                    break;
                }
                continue;
            }
            b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => {
                if at == start {
                    return Err((at, "expected a value"));
                }
                break;
            }
            _ => {}
        }
        at += 1;
    }
    if parts.len() == VALUES_MAX {
        return Err((start, TOO_MANY));
    }
    parts.push(Part { start: start as u32, len: (at - start) as u32 });
    Ok(at)
}

/// The position after the string that starts here.
fn string_end(body: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', body.get(at..)?)?;
        if body[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn spaces(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(body: &str) -> Result<Vec<&str>, (usize, &'static str)> {
        let text = |part: Part| &body[part.start as usize..(part.start + part.len) as usize];
        Ok(parts(body.as_bytes())?.into_iter().map(text).collect())
    }

    #[test]
    fn values_are_told_apart_with_and_without_space_and_lists_are_taken_apart() {
        assert_eq!(values("").unwrap(), Vec::<&str>::new());
        assert_eq!(
            values(r#"{"a":"}\"{"}{"b":[1,2]}"#).unwrap(),
            [r#"{"a":"}\"{"}"#, r#"{"b":[1,2]}"#]
        );
        assert_eq!(values("{\n \"a\": 1\n}\n{}\n").unwrap(), ["{\n \"a\": 1\n}", "{}"]);
        assert_eq!(
            values(r#" [ {"a":1} , [2], "x,y", 3 ] [] {"b":4}"#).unwrap(),
            [r#"{"a":1}"#, "[2]", r#""x,y""#, "3", r#"{"b":4}"#]
        );
    }

    #[test]
    fn a_body_that_ends_amid_a_value_is_refused_at_its_place() {
        assert_eq!(values(r#"{"a":1"#), Err((6, "the value is not closed")));
        assert_eq!(values(r#"[{"a":1}"#), Err((8, "the list is not closed")));
        assert_eq!(values(r#"["a"#), Err((1, "the string is not closed")));
        assert_eq!(values("[1 2]"), Err((3, "expected `,` or `]`")));
        assert_eq!(values("[1,]"), Err((3, "expected a value")));
        assert_eq!(values("}"), Err((0, "expected a value")));
        assert_eq!(values("[,1]"), Err((1, "expected a value")));
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let body = "0 ".repeat(VALUES_MAX);
        assert_eq!(parts(body.as_bytes()).unwrap().len(), VALUES_MAX);
        assert_eq!(parts((body + "1").as_bytes()), Err((2 * VALUES_MAX, TOO_MANY)));
    }

    proptest! {
        #[test]
        fn lists_of_values_are_taken_apart_as_serde_does(
            values in prop::collection::vec("[a-z\"\\\\{}\\[\\], ]{0,8}", 0..6)
        ) {
            let list: Vec<_> = values.iter().map(|text| serde_json::json!({ "k": text })).collect();
            let body = serde_json::to_vec_pretty(&list).unwrap();
            let found: Vec<serde_json::Value> = parts(&body)
                .unwrap()
                .into_iter()
                .map(|p| serde_json::from_slice(&body[p.start as usize..(p.start + p.len) as usize]).unwrap())
                .collect();
            prop_assert_eq!(found, list);
        }

        #[test]
        fn any_bytes_have_an_end(body in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(parts) = parts(&body) {
                prop_assert!(parts.iter().all(|p| p.len > 0 && (p.start + p.len) as usize <= body.len()));
            }
        }
    }
}
