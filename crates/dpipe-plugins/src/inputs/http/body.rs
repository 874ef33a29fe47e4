//! From a body to chunks.

use dpipe_event::Buffer;
use dpipe_plugin::{Cut, Part};
use hyper::StatusCode;

use super::Kind;
use super::answer::{self, Refusal};
use super::json_values;

/// The events of a body: bytes with their cut, in order.
pub(super) struct Frames {
    pub(super) chunks: Vec<(Buffer, Cut)>,
    pub(super) events: usize,
}

/// About the size of a chunk: a body of many megabytes should not hold up its lane at once.
const CHUNK_BYTES: usize = 512 << 10;
/// Nor should one of many tiny events.
const CHUNK_EVENTS: usize = 8192;

/// What a body is by its Content-Type.
pub(super) fn kind_of(content_type: &str) -> Kind {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/json" => Kind::Json,
        "application/x-www-form-urlencoded" => Kind::Form,
        _ => Kind::Lines,
    }
}

/// Takes a body apart.
pub(super) fn frames(
    body: Vec<u8>,
    kind: Kind,
    form_field: &str,
    line_bytes_max: usize,
) -> Result<Frames, Refusal> {
    match kind {
        Kind::Json => {
            let parts = json_values::parts(&body).map_err(|(at, reason)| {
                if reason == json_values::TOO_MANY {
                    return answer::refused(StatusCode::PAYLOAD_TOO_LARGE, reason);
                }
                let reason = format!("not JSON at byte {at}: {reason}");
                answer::refused(StatusCode::BAD_REQUEST, reason)
            })?;
            Ok(values(body, &parts, line_bytes_max))
        }
        Kind::Form => {
            let mut lines = Vec::new();
            for (_, value) in form_urlencoded::parse(&body).filter(|(name, _)| name == form_field) {
                lines.extend_from_slice(value.as_bytes());
                lines.push(b'\n');
            }
            if lines.is_empty() {
                let reason = format!("the form has no field `{form_field}`");
                return Err(answer::refused(StatusCode::BAD_REQUEST, reason));
            }
            Ok(self::lines(lines, line_bytes_max))
        }
        Kind::Lines | Kind::Auto => Ok(lines(body, line_bytes_max)),
    }
}

fn lines(mut body: Vec<u8>, line_bytes_max: usize) -> Frames {
    if body.last().is_some_and(|last| *last != b'\n') {
        body.push(b'\n');
    }
    let mut frames = Frames { chunks: Vec::new(), events: 0 };
    let mut chunk = 0..0;
    let mut events = 0;
    for end in memchr::memchr_iter(b'\n', &body).map(|at| at + 1) {
        let is_long = end - chunk.end > line_bytes_max + 1;
        if is_long || end - chunk.start > CHUNK_BYTES || events == CHUNK_EVENTS {
            frames.push(&body, chunk.clone(), Cut::Lines);
            chunk.start = chunk.end;
            events = 0;
        }
        if is_long {
            let cut = chunk.end..chunk.end + line_bytes_max;
            frames.push(&body, cut, Cut::Long(end - 1 - chunk.end));
            chunk.start = end;
        }
        events += 1;
        frames.events += 1;
        chunk.end = end;
    }
    match chunk.start {
        // The usual body is a single chunk, and moves.
        0 if chunk.end > 0 => frames.chunks.push((body.into(), Cut::Lines)),
        _ => frames.push(&body, chunk, Cut::Lines),
    }
    frames
}

/// JSON values over the limit of a line are cut, and so no JSON: the codec refuses them.
fn values(body: Vec<u8>, parts: &[Part], line_bytes_max: usize) -> Frames {
    let mut frames = Frames { chunks: Vec::new(), events: parts.len() };
    let is_small =
        parts.len() <= CHUNK_EVENTS && body.len() <= CHUNK_BYTES && body.len() <= line_bytes_max;
    if is_small && !parts.is_empty() {
        frames.chunks.push((body.into(), Cut::Parts(parts.into())));
        return frames;
    }
    let mut rest = parts;
    while let Some(first) = rest.first() {
        let (start, len) = (first.start as usize, first.len as usize);
        if len > line_bytes_max {
            frames.push(&body, start..start + line_bytes_max, Cut::Long(len));
            rest = &rest[1..];
            continue;
        }
        let fits = |part: &&Part| {
            let end = (part.start + part.len) as usize;
            part.len as usize <= line_bytes_max && end - start <= CHUNK_BYTES.max(len)
        };
        let (own, others) = rest.split_at(rest.iter().take(CHUNK_EVENTS).take_while(fits).count());
        let end = own.last().map_or(start + len, |last| (last.start + last.len) as usize);
        let moved = own.iter().map(|part| Part { start: part.start - first.start, ..*part });
        frames.push(&body, start..end, Cut::Parts(moved.collect()));
        rest = others;
    }
    frames
}

impl Frames {
    fn push(&mut self, body: &[u8], range: std::ops::Range<usize>, cut: Cut) {
        if !range.is_empty() {
            self.chunks.push((body[range].to_vec().into(), cut));
        }
    }
}

#[cfg(test)]
mod tests {
    use dpipe_plugin::Frames as Cutter;

    use super::*;

    fn taken_apart(body: &str, kind: Kind, line_bytes_max: usize) -> Result<Vec<String>, u16> {
        let frames = frames(body.as_bytes().to_vec(), kind, "msg", line_bytes_max)
            .map_err(|answer| answer.status().as_u16())?;
        let mut texts = Vec::new();
        for (buffer, cut) in &frames.chunks {
            for frame in Cutter::new(buffer, cut) {
                texts.push(String::from_utf8(frame.bytes.to_vec()).unwrap());
                if frame.original_len > frame.bytes.len() {
                    texts.push(format!("cut from {}", frame.original_len));
                }
            }
        }
        let cut = texts.iter().filter(|text| text.starts_with("cut")).count();
        assert_eq!(frames.events, texts.len() - cut);
        Ok(texts)
    }

    #[test]
    fn the_content_type_tells_what_a_body_is() {
        assert_eq!(kind_of("application/json; charset=utf-8"), Kind::Json);
        assert_eq!(kind_of("Application/X-WWW-Form-Urlencoded"), Kind::Form);
        assert_eq!(kind_of("application/x-ndjson"), Kind::Lines);
        assert_eq!(kind_of(""), Kind::Lines);
    }

    #[test]
    fn lines_are_cut_to_the_limit_and_to_chunks() {
        assert_eq!(taken_apart("a\nb", Kind::Lines, 10).unwrap(), ["a", "b"]);
        assert!(taken_apart("", Kind::Lines, 10).unwrap().is_empty());
        let text = format!("a\n{}\nb\n{}\n", "x".repeat(20), "y".repeat(10));
        let expected = ["a", "xxxxxxxxxx", "cut from 20", "b", "yyyyyyyyyy"];
        assert_eq!(taken_apart(&text, Kind::Lines, 10).unwrap(), expected);
        let long = taken_apart(&"z".repeat(11), Kind::Lines, 10).unwrap();
        assert_eq!(long, ["zzzzzzzzzz", "cut from 11"]);
        let many = format!("{}\n", "m".repeat(99)).repeat(20_000);
        let lines = taken_apart(&many, Kind::Lines, 1 << 20).unwrap();
        assert!(lines.len() == 20_000 && lines.iter().all(|line| line.len() == 99));
    }

    #[test]
    fn json_values_are_frames_and_long_ones_are_cut() {
        let body = r#"[{"a":1}, {"b":"xxxxxxxxxxxxxxxxxxxx"}]{"c":3}"#;
        let expected = [r#"{"a":1}"#, r#"{"b":"xxxx"#, "cut from 28", r#"{"c":3}"#];
        assert_eq!(taken_apart(body, Kind::Json, 10).unwrap(), expected);
        assert_eq!(taken_apart(body, Kind::Json, 100).unwrap().len(), 3);
        assert_eq!(taken_apart("[1", Kind::Json, 100), Err(400));
        let many = format!("[{}{{}}]", r#"{"k":"vvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"},"#.repeat(30_000));
        assert_eq!(taken_apart(&many, Kind::Json, 1 << 20).unwrap().len(), 30_001);
    }

    #[test]
    fn chunks_of_tiny_events_are_bounded_too() {
        for (text, kind) in [("\n", Kind::Lines), ("0 ", Kind::Json)] {
            let frames = frames(text.repeat(20_000).into(), kind, "msg", 10).unwrap();
            let counts: Vec<_> = frames
                .chunks
                .iter()
                .map(|(buffer, cut)| Cutter::new(buffer, cut).count())
                .collect();
            assert_eq!(counts, [8192, 8192, 3616]);
        }
    }

    #[test]
    fn a_form_holds_lines_in_its_field() {
        let lines = taken_apart("x=1&msg=a%2C1+b%0Ac&msg=d", Kind::Form, 10).unwrap();
        assert_eq!(lines, ["a,1 b", "c", "d"]);
        assert_eq!(taken_apart("x=1", Kind::Form, 10), Err(400));
    }
}
