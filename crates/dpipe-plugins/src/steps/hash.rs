//! Writes a digest of fields: to compare by, to find by, or to stand for a name that nobody shall see.
//!
//! | algorithm | digits | for |
//! |---|---|---|
//! | `blake3` (the default) | 64 | everything; with `key:` its keyed mode, under a key derived from the secret |
//! | `sha256` | 64 | what other programs compute as well; with `key:` HMAC-SHA-256 (RFC 2104) |
//! | `xxh3` | 32 | speed, where nobody has a reason to cheat: XXH3 of 128 bits, without `key:` |
//!
//! Of one field it is the digest of its text: a string's own bytes in UTF-8, or JSON of another value.
//! Of several it is that of their texts in order, with a zero byte between two; one that is missing or
//! `null` is empty. An event that has none of the fields is left as it is.
//!
//! A digest of a name, address or number without a `key:` hides nothing: whoever guesses the name can
//! compute it.
//!
//! Flagged: `unwritable`, where something else than an object is in the way of `into`.
//!
//! ```yaml
//! hash: { fields: [user.name, user.mail], into: user.pseudonym, key: "${PSEUDONYM_KEY:-not so secret}" }
//! ```

use dpipe_event::{Batch, EventRef, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::{Problem, Secret};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use hmac::{Hmac, KeyInit, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use twox_hash::XxHash3_128;

use crate::keys::Fields;
use crate::target::Target;

/// What to digest, how, and where to put it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The fields that are digested together: one, or a list.
    fields: Fields,
    /// The field that gets the digest, in hexadecimal digits.
    into: Target,
    /// The algorithm.
    #[serde(default)]
    algorithm: Algorithm,
    /// A secret, without which nobody can compute the digest.
    key: Option<Secret>,
    /// How many of the digits to keep; the default is all.
    digits: Option<usize>,
}

/// How a digest is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Algorithm {
    /// BLAKE3, 256 bits.
    #[default]
    Blake3,
    /// SHA-256.
    Sha256,
    /// XXH3, 128 bits; no protection against anybody.
    Xxh3,
}

impl Algorithm {
    fn digits(self) -> usize {
        match self {
            Algorithm::Blake3 | Algorithm::Sha256 => 64,
            Algorithm::Xxh3 => 32,
        }
    }
}

/// With fewer digits, different values soon have the same.
const DIGITS_MIN: usize = 8;

impl StepConfig for Config {
    const NAME: &'static str = "hash";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let key = self.key.as_ref().map(|key| key.expose().as_bytes());
        let digest = match (self.algorithm, key) {
            (Algorithm::Xxh3, _) => Digester::Xxh3,
            (Algorithm::Blake3, None) => Digester::Blake3,
            (Algorithm::Blake3, Some(key)) => {
                Digester::KeyedBlake3(blake3::derive_key("dpipe 2014-06-01 step hash", key))
            }
            (Algorithm::Sha256, None) => Digester::Sha256,
            (Algorithm::Sha256, Some(key)) => Digester::KeyedSha256(Box::new(
                Hmac::new_from_slice(key).map_err(|error| BuildError::caused("the key", error))?,
            )),
        };
        Ok(Box::new(Hash {
            fields: self.fields.0.clone(),
            into: self.into.clone(),
            digest,
            digits: self.digits.unwrap_or(self.algorithm.digits()),
            text: Vec::new(),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.algorithm == Algorithm::Xxh3 && self.key.is_some() {
            let message = "`xxh3` gives its key away; `blake3` and `sha256` keep it";
            problems.push(Problem::error(message));
        }
        if self.key.as_ref().is_some_and(|key| key.expose().is_empty()) {
            problems.push(Problem::error("`key` is empty"));
        }
        let max = self.algorithm.digits();
        if let Some(digits) = self.digits
            && !(DIGITS_MIN..=max).contains(&digits)
        {
            let message = format!("`digits` is {digits}, but between {DIGITS_MIN} and {max}");
            problems.push(Problem::error(message));
        }
        problems
    }
}

struct Hash {
    fields: Box<[Path]>,
    into: Target,
    digest: Digester,
    digits: usize,
    /// What is digested.
    text: Vec<u8>,
}

enum Digester {
    Blake3,
    KeyedBlake3([u8; 32]),
    Sha256,
    /// With the key taken in.
    KeyedSha256(Box<Hmac<Sha256>>),
    Xxh3,
}

impl Step for Hash {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut unwritable = 0;
        batch.each(selection, |event| {
            if !write_texts(&event.as_ref(), &self.fields, &mut self.text) {
                return;
            }
            let mut digits = [0; 64];
            self.digest.write_hex(&self.text, &mut digits);
            let digest = NewValue::String(&digits[..self.digits]);
            unwritable += usize::from(!event.set(&self.into, digest));
        });
        context.flagged("unwritable", unwritable);
    }
}

/// The texts of the fields; whether there is any.
fn write_texts(event: &EventRef<'_>, fields: &[Path], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut any = false;
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push(0);
        }
        match event.get(field) {
            None | Some(Value::Null) => {}
            Some(value) => {
                value.write_text(out);
                any = true;
            }
        }
    }
    any
}

impl Digester {
    fn write_hex(&self, text: &[u8], out: &mut [u8; 64]) {
        match self {
            Digester::Blake3 => hex(blake3::hash(text).as_bytes(), out),
            Digester::KeyedBlake3(key) => hex(blake3::keyed_hash(key, text).as_bytes(), out),
            Digester::Sha256 => hex(&Sha256::digest(text), out),
            Digester::KeyedSha256(keyed) => {
                let mut keyed = keyed.clone();
                keyed.update(text);
                hex(&keyed.finalize().into_bytes(), out);
            }
            Digester::Xxh3 => hex(&XxHash3_128::oneshot(text).to_be_bytes(), out),
        }
    }
}

fn hex(bytes: &[u8], out: &mut [u8; 64]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, check_step, step_mistake};

    use super::Config;

    fn digest(options: &str, event: &str) -> String {
        let settings = format!("hash: {{ fields: a, into: d, {options} }}");
        let found = StepCheck::new::<Config>(&settings, &[]).run(event);
        let (_, digest) = found.rsplit_once("\"d\":\"").unwrap_or_default();
        digest.trim_end_matches("\"}").to_owned()
    }

    #[test]
    fn digests_are_those_of_the_published_examples() {
        let abc = r#"{"a":"abc"}"#;
        // FIPS 180-4, BLAKE3's and xxHash's own tools.
        assert_eq!(
            digest("algorithm: sha256", abc),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digest("algorithm: blake3", abc),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
        assert_eq!(digest("algorithm: xxh3", abc), "06b05ab6733a618578af5f94892f3950");
        // RFC 4231, test case 2.
        assert_eq!(
            digest("algorithm: sha256, key: Jefe", r#"{"a":"what do ya want for nothing?"}"#),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_key_changes_every_digest_and_is_not_shown() {
        let one = digest("key: one", r#"{"a":"abc"}"#);
        assert_ne!(one, digest("key: two", r#"{"a":"abc"}"#));
        assert_ne!(one, digest("digits: 64", r#"{"a":"abc"}"#));
        assert_eq!(one.len(), 64);
        let config: Config =
            serde_json::from_str(r#"{"fields":"a","into":"b","key":"hidden"}"#).unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
    }

    #[test]
    fn a_text_is_digested_as_it_reads_and_several_do_not_run_together() {
        let plain = digest("algorithm: sha256", r#"{"a":"é1"}"#);
        assert_eq!(digest("algorithm: sha256", r#"{"a":"\u00e91"}"#), plain);
        let of = |event: &str| {
            let settings = "hash: { fields: [x.a, x.b], into: x.d, algorithm: xxh3, digits: 12 }";
            StepCheck::new::<Config>(settings, &[]).run(event)
        };
        let one = of(r#"{"x":{"a":"1","b":"23"}}"#);
        let other = of(r#"{"x":{"a":"12","b":"3"}}"#);
        let digest = |text: &str| text.split("\"d\":\"").nth(1).unwrap()[..13].to_owned();
        assert_ne!(digest(&one), digest(&other));
        assert!(digest(&one).ends_with('"'));
    }

    #[test]
    fn missing_fields_are_nothing_and_what_is_in_the_way_is_flagged() {
        check_step::<Config>(
            "hash: { fields: a, into: b.c, when: 'NOT x:1' }",
            r#"
            {"y":1}
            {"a":null}
            {"a":1,"x":1}
            {"a":1,"b":2}
            "#,
            r#"
            {"y":1}
            {"a":null}
            {"a":1,"x":1}
            {"a":1,"b":2}
            flagged unwritable 1
            "#,
        );
    }

    #[test]
    fn keys_and_digits_that_protect_nothing_are_mistakes() {
        let mistake = step_mistake::<Config>;
        assert!(
            mistake("hash: { fields: a, into: b, algorithm: xxh3, key: x }")
                .contains("gives its key")
        );
        assert!(mistake("hash: { fields: a, into: b, key: '' }").contains("`key` is empty"));
        assert!(
            mistake("hash: { fields: a, into: b, digits: 7 }").contains("but between 8 and 64")
        );
        assert!(
            mistake("hash: { fields: a, into: b, algorithm: md5 }").contains("unknown name `md5`")
        );
    }
}
