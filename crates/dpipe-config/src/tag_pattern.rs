//! Patterns for tags, as `match:` has them.

use std::fmt;

/// A tag, or a pattern for tags: `*` stands for any characters but a dot, `**` for any at all.
///
/// ```
/// use dpipe_config::tag_pattern::TagPattern;
///
/// assert!(TagPattern::new("routed.*").matches("routed.errors"));
/// assert!(!TagPattern::new("*").matches("routed.errors"));
/// assert!(TagPattern::new("**").matches("routed.errors"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagPattern {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Token {
    Exactly(String),
    /// `*`
    WithinPart,
    /// `**`
    Anything,
}

impl TagPattern {
    /// Takes a pattern; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut tokens = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let stars = rest.len() - rest.trim_start_matches('*').len();
            let literal = rest[stars..].find('*').unwrap_or(rest.len() - stars);
            match stars {
                0 => {}
                1 => tokens.push(Token::WithinPart),
                _ => tokens.push(Token::Anything),
            }
            if literal > 0 {
                tokens.push(Token::Exactly(rest[stars..stars + literal].to_owned()));
            }
            rest = &rest[stars + literal..];
        }
        Self { text: text.to_owned(), tokens }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has a wildcard, and so may match no tag, or several.
    #[must_use]
    pub fn is_glob(&self) -> bool {
        self.tokens.iter().any(|token| !matches!(token, Token::Exactly(_)))
    }

    /// Whether a tag is meant.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        // `reached[n]`: the tokens so far can end at byte `n`. So the cost is bounded by tokens
        // times length, whatever the pattern.
        let mut reached = vec![false; tag.len() + 1];
        reached[0] = true;
        for token in &self.tokens {
            let mut next = vec![false; tag.len() + 1];
            match token {
                Token::Exactly(literal) => {
                    for at in (0..=tag.len()).filter(|at| reached[*at]) {
                        if tag.as_bytes()[at..].starts_with(literal.as_bytes()) {
                            next[at + literal.len()] = true;
                        }
                    }
                }
                Token::WithinPart | Token::Anything => {
                    let mut running = false;
                    for at in 0..=tag.len() {
                        running |= reached[at];
                        next[at] = running;
                        let dot = tag.as_bytes().get(at) == Some(&b'.');
                        running &= !(dot && *token == Token::WithinPart);
                    }
                }
            }
            reached = next;
        }
        reached[tag.len()]
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, tag: &str) -> bool {
        TagPattern::new(pattern).matches(tag)
    }

    #[test]
    fn a_pattern_without_stars_matches_itself_only() {
        assert!(matches("rs_logs", "rs_logs"));
        assert!(!matches("rs_logs", "rs_logs2"));
        assert!(!matches("rs_logs", "s_logs"));
        assert!(!TagPattern::new("rs_logs").is_glob());
    }

    #[test]
    fn one_star_does_not_cross_a_dot() {
        assert!(matches("rs_*", "rs_logs"));
        assert!(matches("rs_*", "rs_"));
        assert!(!matches("rs_*", "rs_logs.errors"));
        assert!(!matches("*", "a.b"));
        assert!(matches("*.*", "a.b"));
        assert!(matches("*.b*d.*f", "a.bcd.ef"));
        assert!(!matches("*.b*d.*f", "a.bc.d.ef"));
    }

    #[test]
    fn two_stars_cross_dots() {
        assert!(matches("**", "a.b.c"));
        assert!(matches("a.**", "a.b.c"));
        assert!(!matches("a.**", "a"));
        assert!(matches("**.c", "a.b.c"));
        assert!(matches("a**c", "a.b.c"));
        assert!(matches("***", "a.b"));
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = "*a".repeat(60) + "b";
        assert!(!matches(&pattern, &"a".repeat(5_000)));
    }

    #[test]
    fn characters_of_several_bytes_match() {
        assert!(matches("ä*ö", "äßö"));
        assert!(!matches("ä*ö", "äß"));
    }
}
