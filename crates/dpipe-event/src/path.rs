//! Field paths: `_log_info.uid`, `a.b[0]`, `"key.with.dots".x`. Parsed once, at start-up.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::Meta;
use crate::json::{Key, KeyStart};

/// One step down into a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// The value of this key in an object.
    Key(Box<str>),
    /// The element at this position in an array, from 0.
    Index(u32),
}

/// Where a value is in an event: a piece of metadata, or a place in the body.
#[derive(Clone, Debug)]
pub struct Path {
    segments: Box<[Segment]>,
    /// What is prepared for each of the segments.
    steps: Box<[Step]>,
    meta: Option<Meta>,
}

/// A segment, prepared to be looked for.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Key(Member),
    Index(u32),
}

/// A member of an object, to look for or to write.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    key: Box<[u8]>,
    start: KeyStart,
    /// `"key":`, escaped as JSON.
    pub(crate) json_key: Box<[u8]>,
    /// A hash of the path up to here: equal ways down have equal ones.
    pub(crate) hash: u32,
}

impl Member {
    #[inline]
    pub(crate) fn key(&self) -> Key<'_> {
        Key::prepared(&self.key, self.start)
    }

    /// Its text.
    pub(crate) fn text(&self) -> &[u8] {
        &self.key
    }
}

impl Step {
    /// How the member starts in JSON, `"key":`; nothing for an element.
    pub(crate) fn json_key(&self) -> &[u8] {
        match self {
            Step::Key(member) => &member.json_key,
            Step::Index(_) => &[],
        }
    }
}

/// The rest is made from these.
impl PartialEq for Path {
    fn eq(&self, other: &Path) -> bool {
        (&self.segments, self.meta) == (&other.segments, other.meta)
    }
}

impl Eq for Path {}

impl Hash for Path {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.segments, self.meta).hash(state);
    }
}

/// Why a text is not a field path; `at` counts characters from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at character {at} of the field path `{text}`", at = .at + 1)]
pub struct PathError {
    /// What is wrong.
    pub reason: &'static str,
    /// The character, counted from 0.
    pub at: usize,
    /// The path as it was given.
    pub text: String,
}

impl Path {
    /// Parses a path. Keys are separated by dots; `[n]` is an array element; a key that holds a
    /// dot, a bracket or a quote is written in double quotes, with `\"` and `\\` inside them.
    ///
    /// # Errors
    /// Empty paths and keys, unclosed quotes and brackets.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let fail = |reason, at| PathError { reason, at, text: text.to_owned() };
        let chars: Vec<char> = text.chars().collect();
        let mut segments = Vec::new();
        let mut at = 0;
        let mut quoted = false;
        if chars.is_empty() {
            return Err(fail("nothing", 0));
        }
        loop {
            match chars.get(at) {
                Some('"') => {
                    quoted = true;
                    let (key, end) = quoted_key(&chars, at).map_err(|(r, at)| fail(r, at))?;
                    segments.push(Segment::Key(key.into()));
                    at = end;
                }
                Some('[') if at == 0 => {}
                _ => {
                    let end = (at..chars.len())
                        .find(|&i| matches!(chars[i], '.' | '[' | ']' | '"'))
                        .unwrap_or(chars.len());
                    if end == at {
                        return Err(fail("expected a key", at));
                    }
                    let key: String = chars[at..end].iter().collect();
                    segments.push(Segment::Key(key.into()));
                    at = end;
                }
            }
            while chars.get(at) == Some(&'[') {
                let close = (at..chars.len())
                    .find(|&i| chars[i] == ']')
                    .ok_or_else(|| fail("unclosed `[`", at))?;
                let digits: String = chars[at + 1..close].iter().collect();
                let index = digits
                    .parse()
                    .map_err(|_| fail("expected a whole number in brackets", at + 1))?;
                segments.push(Segment::Index(index));
                at = close + 1;
            }
            match chars.get(at) {
                None => break,
                Some('.') => at += 1,
                Some(_) => return Err(fail("expected `.` or `[`", at)),
            }
        }
        let meta = match segments.as_slice() {
            [Segment::Key(name)] if !quoted => Meta::named(name),
            _ => None,
        };
        Ok(Path { steps: steps(&segments), segments: segments.into(), meta })
    }

    /// The way down from the body's root; at least one step.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The same, prepared.
    #[inline]
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The metadata that this path names, if it names any. A body field of the same name is
    /// reached by quoting it: `"_time"`.
    #[must_use]
    pub fn meta(&self) -> Option<Meta> {
        self.meta
    }
}

fn steps(segments: &[Segment]) -> Box<[Step]> {
    let mut hasher = DefaultHasher::new();
    let step = |segment: &Segment| {
        segment.hash(&mut hasher);
        match segment {
            Segment::Index(index) => Step::Index(*index),
            Segment::Key(key) => {
                let mut json_key = vec![b'"'];
                crate::json::write_escaped(&mut json_key, key.as_bytes());
                json_key.extend_from_slice(b"\":");
                Step::Key(Member {
                    key: key.as_bytes().into(),
                    start: KeyStart::of(key.as_bytes()),
                    json_key: json_key.into(),
                    hash: hasher.finish() as u32,
                })
            }
        }
    };
    segments.iter().map(step).collect()
}

fn quoted_key(chars: &[char], open: usize) -> Result<(String, usize), (&'static str, usize)> {
    let mut key = String::new();
    let mut at = open + 1;
    loop {
        match chars.get(at) {
            None => return Err(("unclosed quote", open)),
            Some('"') => return Ok((key, at + 1)),
            Some('\\') => match chars.get(at + 1) {
                Some(c @ ('"' | '\\')) => {
                    key.push(*c);
                    at += 2;
                }
                _ => return Err(("expected `\\\"` or `\\\\`", at)),
            },
            Some(c) => {
                key.push(*c);
                at += 1;
            }
        }
    }
}

impl std::str::FromStr for Path {
    type Err = PathError;
    fn from_str(text: &str) -> Result<Path, PathError> {
        Path::parse(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Index(n) => write!(f, "[{n}]")?,
                Segment::Key(key) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    let only = self.segments.len() == 1;
                    let shadowed = only && self.meta.is_none() && Meta::named(key).is_some();
                    if key.is_empty() || key.contains(['.', '[', ']', '"']) || shadowed {
                        write!(f, "\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))?;
                    } else {
                        f.write_str(key)?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<String> {
        let path = Path::parse(text).unwrap();
        path.segments()
            .iter()
            .map(|s| match s {
                Segment::Key(k) => k.to_string(),
                Segment::Index(i) => format!("#{i}"),
            })
            .collect()
    }

    #[test]
    fn dots_brackets_and_quotes_lead_down() {
        assert_eq!(keys("uri"), ["uri"]);
        assert_eq!(keys("_log_info.uid"), ["_log_info", "uid"]);
        assert_eq!(keys("a.b[0][12].c"), ["a", "b", "#0", "#12", "c"]);
        assert_eq!(keys(r#""key.with.dots".x"#), ["key.with.dots", "x"]);
        assert_eq!(keys(r#"a."say \"hi\" \\""#), ["a", r#"say "hi" \"#]);
    }

    #[test]
    fn a_path_prints_as_it_parses() {
        for text in ["uri", "a.b[0].c", r#""a.b".c"#, r#""_time""#, "_time", r#"a."""#] {
            let path = Path::parse(text).unwrap();
            assert_eq!(path.to_string(), text);
            assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
        }
    }

    #[test]
    fn metadata_is_named_bare_and_shadowed_by_quotes() {
        assert_eq!(Path::parse("_time").unwrap().meta(), Some(Meta::Time));
        assert_eq!(Path::parse(r#""_time""#).unwrap().meta(), None);
        assert_eq!(Path::parse("a._time").unwrap().meta(), None);
    }

    #[test]
    fn a_mistake_is_placed_at_its_character() {
        let at = |text: &str| Path::parse(text).unwrap_err().at;
        assert_eq!(at(""), 0);
        assert_eq!(at("a..b"), 2);
        assert_eq!(at("a."), 2);
        assert_eq!(at("a[x]"), 2);
        assert_eq!(at("a[1"), 1);
        assert_eq!(at("a\"b"), 1);
        assert_eq!(at("\"ab"), 0);
        assert_eq!(at("a]"), 1);
        assert_eq!(
            Path::parse("a..b").unwrap_err().to_string(),
            "expected a key at character 3 of the field path `a..b`"
        );
    }
}
