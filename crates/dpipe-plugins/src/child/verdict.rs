//! What the child of a step says of one event.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::excerpt;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    /// `true`: it is as it was.
    Unchanged,
    /// `{…}`: this is its body now.
    Body(&'a [u8]),
    /// `[{…},{…}]`: these events are in its place; none, if there are none.
    Several(Vec<&'a [u8]>),
    /// `["drop","reason"]`: it is gone, and counted under the reason.
    Drop(Cow<'a, str>),
    /// `["dead","why"]`: it becomes a dead letter.
    Dead(Cow<'a, str>),
}

impl<'a> Verdict<'a> {
    /// Reads a line. Whether bodies are JSON is seen when they are taken over.
    ///
    /// # Errors
    /// If it is none of these, which means that nobody knows any more which line answers what.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Verdict<'a>, String> {
        let line = line.trim_ascii();
        match line.first() {
            Some(b'{') => Ok(Verdict::Body(line)),
            Some(b't') if line == b"true" => Ok(Verdict::Unchanged),
            Some(b'[') => Self::parse_array(line),
            _ => Err(format!("{} is no answer", excerpt(line))),
        }
    }

    fn parse_array(line: &'a [u8]) -> Result<Verdict<'a>, String> {
        let bad = || format!("{} is no answer", excerpt(line));
        let items: Vec<&RawValue> = serde_json::from_slice(line).map_err(|_| bad())?;
        if let [word, reason] = items.as_slice()
            && let Ok(reason) = serde_json::from_str::<String>(reason.get())
        {
            return match word.get() {
                "\"drop\"" => Ok(Verdict::Drop(reason.into())),
                "\"dead\"" => Ok(Verdict::Dead(reason.into())),
                _ => Err(bad()),
            };
        }
        let bodies = items.iter().map(|item| item.get().as_bytes());
        if bodies.clone().any(|body| body.first() != Some(&b'{')) {
            return Err(bad());
        }
        Ok(Verdict::Several(bodies.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_of_five() {
        for (line, verdict) in [
            ("true", Verdict::Unchanged),
            ("true\r", Verdict::Unchanged),
            ("{\"a\":1}", Verdict::Body(b"{\"a\":1}")),
            ("[]", Verdict::Several(vec![])),
            ("[{}, {\"a\":[1]} ]", Verdict::Several(vec![b"{}", b"{\"a\":[1]}"])),
            ("[\"drop\",\"bot\"]", Verdict::Drop("bot".into())),
            ("[\"dead\",\"no \\\"x\\\"\"]", Verdict::Dead("no \"x\"".into())),
        ] {
            assert_eq!(Verdict::parse(line.as_bytes()), Ok(verdict), "{line}");
        }
        let not = [
            "",
            "false",
            "null",
            "1",
            "hello",
            "[1]",
            "[\"drop\"]",
            "[\"x\",\"y\"]",
            "[{},1]",
            "[",
        ];
        for line in not {
            assert!(Verdict::parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
