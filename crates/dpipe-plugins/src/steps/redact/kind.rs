//! The kinds of texts that are masked, and how they are found.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex::bytes::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::expression::Expression;
use crate::scan;

/// A kind of text.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Email,
    Ip,
    Card,
    Token,
    Custom(Custom),
}

/// A kind of the operator's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Custom {
    regex: Expression,
    #[serde(rename = "as")]
    name: String,
}

const NAMES: &[&str] = &["email", "ip", "card", "token"];

/// What events are flagged, by [`Kind::flag`].
pub(super) const FLAGS: [&str; 5] =
    ["masked_email", "masked_ip", "masked_card", "masked_token", "masked_custom"];

impl Kind {
    pub(super) fn name(&self) -> &str {
        match self {
            Kind::Email => "email",
            Kind::Ip => "ip",
            Kind::Card => "card",
            Kind::Token => "token",
            Kind::Custom(custom) => &custom.name,
        }
    }

    /// Its place in [`FLAGS`].
    pub(super) fn flag(&self) -> usize {
        match self {
            Kind::Email => 0,
            Kind::Ip => 1,
            Kind::Card => 2,
            Kind::Token => 3,
            Kind::Custom(_) => 4,
        }
    }

    /// What it finds is at least so long: most strings of a log are short.
    pub(super) fn len_min(&self) -> usize {
        match self {
            Kind::Email => "a@b.cd".len(),
            Kind::Ip => "1::".len(),
            Kind::Card => DIGITS_MIN,
            Kind::Token => "basic 12345678".len(),
            Kind::Custom(_) => 1,
        }
    }

    /// The next one at or after a position; never empty.
    pub(super) fn find(&self, text: &[u8], at: usize) -> Option<Range<usize>> {
        match self {
            Kind::Email => email(text, at),
            Kind::Ip => scan::ip(text, at),
            Kind::Card => card(text, at),
            Kind::Token => token(text, at),
            Kind::Custom(custom) => custom.regex.find(text, at),
        }
    }
}

/// The fewest digits of a card's number.
const DIGITS_MIN: usize = 13;

/// A mail address: what people use of RFC 5321, and letters beyond ASCII.
fn email(text: &[u8], at: usize) -> Option<Range<usize>> {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let in_name = |byte: &u8| is_letter(byte) || b"._%+-'".contains(byte);
    let in_domain = |byte: &u8| is_letter(byte) || matches!(byte, b'-' | b'.');
    // An `@` is part of neither side, so each byte is looked at twice at most.
    memchr::memchr_iter(b'@', text.get(at..)?).map(|sign| at + sign).find_map(|sign| {
        let name = text[at..sign].iter().rev().take_while(|byte| in_name(byte)).count();
        let name = &text[sign - name..sign];
        let start = sign - name.len() + name.iter().take_while(|byte| !is_letter(byte)).count();
        let domain = text[sign + 1..].iter().take_while(|byte| in_domain(byte)).count();
        let mut domain = &text[sign + 1..sign + 1 + domain];
        while let [rest @ .., b'.' | b'-'] = domain {
            domain = rest;
        }
        let dot = memchr::memrchr(b'.', domain).filter(|dot| *dot > 0)?;
        let top = &domain[dot + 1..];
        let is_domain = top.len() >= 2 && !top.iter().any(u8::is_ascii_digit);
        (start < sign && is_domain).then_some(start..sign + 1 + domain.len())
    })
}

/// The number of a payment card.
fn card(text: &[u8], mut at: usize) -> Option<Range<usize>> {
    loop {
        let start = scan::digits(text, at)?.start;
        // Digits with single spaces or hyphens between.
        let mut end = start;
        while end < text.len() {
            let separates = matches!(text[end], b' ' | b'-')
                && text.get(end + 1).is_some_and(u8::is_ascii_digit);
            if !text[end].is_ascii_digit() && !separates {
                break;
            }
            end += 1;
        }
        if end - start < DIGITS_MIN {
            at = end;
            continue;
        }
        let stands_alone = |range: &Range<usize>| {
            let touches = |byte: Option<&u8>| {
                byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
            };
            // Before the end of a sentence it may stand.
            let behind = match text.get(range.end) {
                Some(b'.') => text.get(range.end + 1).filter(|byte| byte.is_ascii_digit()),
                other => other,
            };
            !touches(range.start.checked_sub(1).map(|before| &text[before])) && !touches(behind)
        };
        if let Some(found) = card_within(text, start..end).filter(stands_alone) {
            return Some(found);
        }
        at = end;
    }
}

/// A card number of whole groups of digits.
fn card_within(text: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    const DIGITS_MAX: usize = 19;

    let mut start = run.start;
    loop {
        // Of those that begin here the longest that is one.
        let mut found = None;
        let mut digits = [0; DIGITS_MAX];
        let mut count = 0;
        for place in start..run.end {
            if !text[place].is_ascii_digit() {
                continue;
            }
            if count == DIGITS_MAX {
                break;
            }
            digits[count] = text[place] - b'0';
            count += 1;
            let ends_group = place + 1 == run.end || !text[place + 1].is_ascii_digit();
            if ends_group && count >= DIGITS_MIN && is_card(&digits[..count]) {
                found = Some(start..place + 1);
            }
        }
        if found.is_some() {
            return found;
        }
        // The next group.
        let rest = &text[start..run.end];
        start += rest.iter().position(|byte| !byte.is_ascii_digit())? + 1;
    }
}

/// Whether digits begin as card numbers do (ISO/IEC 7812: banks and merchandise have 3 to 6, and
/// Mastercard 2221 to 2720), and their check digit is right.
fn is_card(digits: &[u8]) -> bool {
    let first = digits[..4].iter().fold(0, |number, digit| number * 10 + u32::from(*digit));
    matches!(first, 2221..=2720 | 3000..=6999) && luhn(digits)
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit < 5 => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// What is known to be a secret by how it begins, as its makers document it.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    let kinds = [
        // JSON Web Tokens (RFC 7519): `{"` in Base64 at the start.
        r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",
        // Credentials in HTTP headers (RFC 7617, RFC 6750).
        r"(?i:\b(?:bearer|basic)\s+)[\w.~+/-]{8,}=*",
        // AWS.
        r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b",
        r#"(?i:aws_secret_access_key["']?\s*[=:]\s*["']?)[\w/+=]{40}"#,
        // GitHub, GitLab.
        r"\bgh[opsur]_\w{36,}",
        r"\bgithub_pat_\w{22,}",
        r"\bglpat-[\w-]{20,}",
        // Slack, Stripe, Google, npm, SendGrid, Hugging Face.
        r"\bxox[abeoprs]-[\w-]{10,}",
        r"\b[rs]k_(?:live|test)_\w{16,}",
        r"\bAIza[\w-]{35}",
        r"\bnpm_\w{36}",
        r"\bSG\.[\w-]{22}\.[\w-]{43}",
        r"\bhf_\w{30,}",
        // RFC 7468; to the end of the text where the key was cut.
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    ];
    let text = format!("(?-u){}", kinds.join("|"));
    Regex::new(&text).expect("the expressions are constants, and a test compiles them")
});

/// A secret; of a header or a setting only what is behind its name.
fn token(text: &[u8], at: usize) -> Option<Range<usize>> {
    let found = TOKENS.find_at(text, at)?;
    let bytes = found.as_bytes();
    let starts_with = |name: &&str| {
        bytes.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    let name = if ["bearer", "basic", "aws_"].iter().any(starts_with) {
        let between = |byte: &u8| byte.is_ascii_whitespace() || b"=:\"'".contains(byte);
        let name = bytes.iter().take_while(|byte| !between(byte)).count();
        name + bytes[name..].iter().take_while(|byte| between(byte)).count()
    } else {
        0
    };
    Some(found.start() + name..found.end())
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name such as `email`, or `{ regex: …, as: … }`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Kind, E> {
        match name {
            "email" => Ok(Kind::Email),
            "ip" => Ok(Kind::Ip),
            "card" => Ok(Kind::Card),
            "token" => Ok(Kind::Token),
            _ => Err(E::unknown_variant(name, NAMES)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Kind, A::Error> {
        Custom::deserialize(MapAccessDeserializer::new(map)).map(Kind::Custom)
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let regex = generator.subschema_for::<Expression>();
        json_schema!({
            "anyOf": [
                { "enum": NAMES },
                {
                    "type": "object",
                    "properties": {
                        "regex": regex,
                        "as": {
                            "description": "The name of what it matches.",
                            "type": "string"
                        }
                    },
                    "required": ["regex", "as"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text with each match in brackets.
    fn marked(kind: &Kind, text: &str) -> String {
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(found) = kind.find(text.as_bytes(), at) {
            out.extend_from_slice(&text.as_bytes()[at..found.start]);
            out.push(b'[');
            out.extend_from_slice(&text.as_bytes()[found.clone()]);
            out.push(b']');
            at = found.end;
        }
        out.extend_from_slice(&text.as_bytes()[at..]);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn mail_addresses_are_found_in_what_is_around_them() {
        let email = |text| marked(&Kind::Email, text);
        assert_eq!(email("to <ann.b+c@mail.example.org>."), "to <[ann.b+c@mail.example.org]>.");
        assert_eq!(email("a@b.de,müller@exämple.com"), "[a@b.de],[müller@exämple.com]");
        assert_eq!(email("mailto:x@y.co?subject"), "mailto:[x@y.co]?subject");
        for text in ["a@b", "@b.de", "a@.de", "a@b.c", "a@b.123", "a @b.de", "x@@y.de", "u@host:22"]
        {
            assert_eq!(email(text), text);
        }
    }

    #[test]
    fn card_numbers_have_the_right_digits() {
        let card = |text| marked(&Kind::Card, text);
        assert_eq!(card("4111111111111111"), "[4111111111111111]");
        assert_eq!(card("card=4111-1111-1111-1111."), "card=[4111-1111-1111-1111].");
        assert_eq!(card("5500 0000 0000 0004 12/26"), "[5500 0000 0000 0004] 12/26");
        assert_eq!(card("on 24 4111 1111 1111 1111 7"), "on 24 [4111 1111 1111 1111] 7");
        assert_eq!(
            card("378282246310005, 2223003122003222"),
            "[378282246310005], [2223003122003222]"
        );
        for text in [
            "4111111111111112",
            "1393675200250",
            "0000000000000000",
            "x4111111111111111",
            "4111111111111111_7",
            "1.4111111111111111",
            "4111111111111111.5",
            "41111111111111111111",
            "4111  1111  1111  1111",
        ] {
            assert_eq!(card(text), text);
        }
    }

    #[test]
    fn secrets_are_known_by_how_they_begin() {
        let token = |text: &str| marked(&Kind::Token, text);
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1g";
        assert_eq!(token(&format!("jwt={jwt};")), format!("jwt=[{jwt}];"));
        assert_eq!(
            token("Authorization: Bearer abc.DEF-123/x= and basic dXNlcjpwYXNz"),
            "Authorization: Bearer [abc.DEF-123/x=] and basic [dXNlcjpwYXNz]"
        );
        assert_eq!(token("id AKIAIOSFODNN7EXAMPLE!"), "id [AKIAIOSFODNN7EXAMPLE]!");
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(
            token(&format!("aws_secret_access_key = \"{secret}\"")),
            format!("aws_secret_access_key = \"[{secret}]\"")
        );
        assert_eq!(
            token(&format!("AWS_SECRET_ACCESS_KEY={secret}")),
            format!("AWS_SECRET_ACCESS_KEY=[{secret}]")
        );
        for (prefix, length) in [
            ("ghp_", 36),
            ("github_pat_", 30),
            ("glpat-", 20),
            ("xoxb-", 24),
            ("sk_live_", 24),
            ("AIza", 35),
            ("npm_", 36),
            ("hf_", 34),
        ] {
            let key = format!("{prefix}{}", "a1B2".repeat(10).split_at(length).0);
            assert_eq!(token(&format!("({key})")), format!("([{key}])"));
        }
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----";
        assert_eq!(token(&format!("{pem}\nx")), format!("[{pem}]\nx"));
        assert_eq!(token(&pem[..40]), format!("[{}]", &pem[..40]));
        for text in [
            "the bearer is",
            "basic setup",
            "eyJ.eyJ.x",
            "AKIA123",
            "sk_live_1",
            "risk_live_abcdefghijklmnopqrs",
        ] {
            assert_eq!(token(text), text);
        }
    }

    proptest! {
        #[test]
        fn every_kind_moves_on_within_any_text(text in "[4a@.:\\- eyJ1\"é]{0,60}") {
            for kind in [Kind::Email, Kind::Ip, Kind::Card, Kind::Token] {
                let mut at = 0;
                while let Some(found) = kind.find(text.as_bytes(), at) {
                    prop_assert!(at <= found.start && found.start < found.end);
                    at = found.end;
                }
            }
        }

        #[test]
        fn a_number_with_its_check_digit_is_found_and_with_another_is_not(
            body in "4[0-9]{11,17}", wrong in 1..10_u8,
        ) {
            let right = (0..10).find(|digit| {
                let digits: Vec<u8> = format!("{body}{digit}").bytes().map(|b| b - b'0').collect();
                luhn(&digits)
            }).unwrap();
            let number = format!("{body}{right}");
            prop_assert_eq!(marked(&Kind::Card, &number), format!("[{number}]"));
            let number = format!("{body}{}", (right + wrong) % 10);
            prop_assert_eq!(marked(&Kind::Card, &number), number);
        }
    }
}
