//! Masks what nobody shall read: addresses, card numbers, tokens, in fields or in the whole body.
//!
//! | kind | what it finds |
//! |---|---|
//! | `email` | mail addresses |
//! | `ip` | IPv4 and IPv6 addresses |
//! | `card` | numbers of payment cards: 13 to 19 digits, with single spaces or hyphens between or none, that begin as card numbers do and whose check digit is right (Luhn); also where they are JSON numbers, which become strings |
//! | `token` | JSON Web Tokens; what stands behind `Bearer` and `Basic`; keys of AWS, GitHub, GitLab, Google, Slack, Stripe, npm, SendGrid and Hugging Face, by their beginnings; private keys in PEM |
//! | `{ regex: …, as: … }` | what a regular expression of your own matches, under the name of `as` |
//!
//! The kinds are looked for in the order written, each in what the one before left. Every string within
//! a field is looked at, however deep, and no name of a field. In the place of what is found there is
//! the text of `replace:`, in which `{kind}` is the kind and `{hash}` a digest of 16 digits, the same
//! for the same text, under the secret of `key:`; or, with `mask: { keep_last: 4 }`, as many `*` as it
//! has characters, but for the last ones, where spaces and punctuation stay.
//!
//! Flagged, once an event: `masked_email`, `masked_ip`, `masked_card`, `masked_token` and
//! `masked_custom`; `unwritable`, where something else than an object is in the way of `kinds_into`.
//!
//! ```yaml
//! redact:
//!   fields: [message, request.headers]
//!   with: [token, card, email, { regex: '\b\d{3}-\d{2}-\d{4}\b', as: ssn }]
//!   replace: "[{kind}]"
//!   kinds_into: masked
//! ```

mod json;
mod kind;
mod masker;

use dpipe_event::{Batch, EventMut, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::{Problem, Secret};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use self::kind::{FLAGS, Kind};
use self::masker::{Masker, Way};
use crate::target::{Target, Targets};

/// What to mask, where, and what to put in its place.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The fields to look into; the default is the whole body.
    fields: Option<Targets>,
    /// What to look for, in this order.
    with: Vec<Kind>,
    /// The text in the place of what is found; the default is `[{kind}]`.
    replace: Option<String>,
    /// Asterisks in the place of what is found; instead of `replace`.
    mask: Option<Mask>,
    /// The secret of `{hash}`.
    key: Option<Secret>,
    /// The field that gets the kinds that were found in the event, as a list.
    kinds_into: Option<Target>,
}

/// Asterisks.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Mask {
    /// How many characters at the end stay.
    #[serde(default)]
    keep_last: usize,
}

impl StepConfig for Config {
    const NAME: &'static str = "redact";
}

impl StepSpec for Config {
    fn build(&self, _context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let way = match &self.mask {
            Some(mask) => Way::Asterisks { keep_last: mask.keep_last },
            None => Way::replacement(
                self.replace.as_deref().unwrap_or("[{kind}]"),
                self.key.as_ref().map(Secret::expose).unwrap_or_default(),
            ),
        };
        let message = Path::parse("message");
        Ok(Box::new(Redact {
            fields: self.fields.as_ref().map(|fields| fields.0.clone()),
            masker: Masker::new(self.with.clone(), way),
            kinds_into: self.kinds_into.clone(),
            message: message.map_err(|error| BuildError::caused("the text's field", error))?,
            json: Vec::new(),
            body: Vec::new(),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        /// As many as there are bits for.
        const KINDS_MAX: usize = 32;

        let mut problems = Vec::new();
        if self.with.is_empty() {
            problems.push(Problem::error("`with` is empty"));
        }
        if self.with.len() > KINDS_MAX {
            problems.push(Problem::error(format!("`with` has more than {KINDS_MAX} kinds")));
        }
        if self.mask.is_some() && self.replace.is_some() {
            problems.push(Problem::error("`replace` and `mask` are two texts; give one of them"));
        }
        let hashes = self.replace.as_ref().is_some_and(|text| text.contains("{hash}"));
        let has_key = self.key.as_ref().is_some_and(|key| !key.expose().is_empty());
        if hashes && !has_key {
            let message = "`{hash}` needs a `key`: without, whoever guesses a text finds its hash";
            problems.push(Problem::error(message));
        }
        if self.key.is_some() && !hashes {
            problems.push(Problem::error("`key` is of no use without `{hash}` in `replace`"));
        }
        problems
    }
}

struct Redact {
    fields: Option<Box<[Path]>>,
    masker: Masker,
    kinds_into: Option<Target>,
    /// The field of a plain text.
    message: Path,
    /// JSON as it becomes.
    json: Vec<u8>,
    /// An edited body.
    body: Vec<u8>,
}

impl Step for Redact {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let mut flagged = [0; FLAGS.len()];
        let mut unwritable = 0;
        batch.each(selection, |event| {
            self.masker.begin();
            match &self.fields {
                Some(fields) => {
                    for field in fields {
                        in_field(event, field, &mut self.masker, &mut self.json);
                    }
                }
                None if event.as_ref().is_text() => {
                    in_field(event, &self.message, &mut self.masker, &mut self.json);
                }
                None => self.in_body(event),
            }
            let flags = self.masker.flags();
            for (at, count) in flagged.iter_mut().enumerate() {
                *count += usize::from(flags >> at & 1 == 1);
            }
            if let Some(target) = &self.kinds_into
                && flags != 0
            {
                self.masker.write_kinds(&mut self.json);
                unwritable += usize::from(!event.set(target, NewValue::Json(&self.json)));
            }
        });
        for (flag, count) in FLAGS.iter().zip(flagged) {
            context.flagged(flag, count);
        }
        context.flagged("unwritable", unwritable);
    }
}

impl Redact {
    fn in_body(&mut self, event: &mut EventMut<'_>) {
        let masked = if event.as_ref().is_untouched() {
            json::mask(&event.as_ref().body_text(), &mut self.masker, &mut self.json)
        } else {
            self.body.clear();
            event.as_ref().write_json(&mut self.body);
            json::mask(&self.body, &mut self.masker, &mut self.json)
        };
        if masked {
            let set = event.set_body(&self.json);
            debug_assert!(set.is_ok(), "only texts within it are others");
        }
    }
}

/// Masks within a field, which can be set, as it is there.
fn in_field(event: &mut EventMut<'_>, field: &Path, masker: &mut Masker, json: &mut Vec<u8>) {
    let (masked, is_text) = match event.as_ref().get(field) {
        Some(Value::String(text)) => (masker.mask(&text.bytes()), true),
        Some(Value::Number(digits)) => (masker.mask_number(digits.as_bytes()), true),
        Some(Value::Object(bytes) | Value::Array(bytes)) => {
            (json::mask(&bytes, masker, json), false)
        }
        _ => return,
    };
    if masked {
        let text = NewValue::String(masker.text());
        event.set(field, if is_text { text } else { NewValue::Json(json) });
    }
}

#[cfg(test)]
mod tests;
