//! Converts an amount of money to US cents.
//!
//! The rates come from a table in a file, one a line: `date,currency,usd`, where `usd` is what one
//! unit of the currency costs in dollars from that date on (UTC) until the currency's next line.
//! Empty lines and lines that start with `#` are skipped. The rate is that of the event's own time,
//! so old logs are converted at old rates. The file is read again when it changes; a new file that
//! is no good leaves the old table in force. No rate is built in: dollars have their line, too.
//!
//! The result is a whole number of cents, computed in decimals without rounding on the way, and
//! rounded half away from zero at the end. Codes may be written in lower case. An event that lacks
//! the amount or the currency, or has `null` there, is left as it is.
//!
//! Flagged, and left as they are: `bad_amount`, for what is no number (or has more than 18 digits);
//! `unknown_currency`, for a currency without a rate at the event's time; `unwritable`, where
//! something else than an object is in the way of `into`.
//!
//! ```yaml
//! currency: { amount: data.amount, currency: data.currency, into: _usd, rates: data/rates.csv }
//! ```

mod decimal;
mod rates;

use std::sync::Arc;

use dpipe_event::{Batch, EventRef, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use self::decimal::Decimal;
use self::rates::Rates;
use crate::target::Target;
use crate::watched::Watched;

/// What to convert at which rates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the amount: a number, or a string that spells one.
    amount: FieldPath,
    /// The field that holds the currency: three letters, as in ISO 4217.
    currency: FieldPath,
    /// The field that gets the US cents.
    into: Target,
    /// The file with the rates.
    #[serde(default = "default_rates")]
    rates: String,
    /// How many decimal places the amount leaves out: 2 if it counts hundredths.
    #[serde(default)]
    scale: u8,
}

fn default_rates() -> String {
    "rates.csv".into()
}

const SCALE_MAX: u8 = 9;

impl StepConfig for Config {
    const NAME: &'static str = "currency";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Currency {
            amount: self.amount.0.clone(),
            currency: self.currency.0.clone(),
            into: self.into.clone(),
            scale: self.scale.into(),
            rates: Watched::open(context, &self.rates, Rates::parse)
                .map_err(|error| error.about("rates"))?,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        if self.scale > SCALE_MAX {
            let message = format!("`scale` is {}, but at most {SCALE_MAX}", self.scale);
            return vec![Problem::error(message)];
        }
        Vec::new()
    }
}

struct Currency {
    amount: Path,
    currency: Path,
    into: Target,
    scale: u32,
    rates: Arc<Watched<Rates>>,
}

impl Step for Currency {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let rates = self.rates.table();
        let (mut bad_amount, mut unknown, mut unwritable) = (0, 0, 0);
        batch.each(selection, |event| match self.cents(&event.as_ref(), &rates) {
            Outcome::Nothing => {}
            Outcome::BadAmount => bad_amount += 1,
            Outcome::UnknownCurrency => unknown += 1,
            Outcome::Cents(cents) => {
                unwritable += usize::from(!event.set(&self.into, NewValue::Integer(cents)));
            }
        });
        context.flagged("bad_amount", bad_amount);
        context.flagged("unknown_currency", unknown);
        context.flagged("unwritable", unwritable);
    }

    fn tick(&mut self, context: &mut StepContext) {
        self.rates.look(context);
    }
}

enum Outcome {
    Nothing,
    BadAmount,
    UnknownCurrency,
    Cents(i64),
}

impl Currency {
    fn cents(&self, event: &EventRef<'_>, rates: &Rates) -> Outcome {
        let amount = match event.get(&self.amount) {
            None | Some(Value::Null) => return Outcome::Nothing,
            Some(value) => amount(&value),
        };
        let rate = match event.get(&self.currency) {
            None | Some(Value::Null) => return Outcome::Nothing,
            Some(Value::String(code)) => rates.at(&code.bytes(), event.time()),
            Some(_) => None,
        };
        let Some(amount) = amount else { return Outcome::BadAmount };
        let Some(rate) = rate else { return Outcome::UnknownCurrency };
        match amount.cents(rate, self.scale) {
            Some(cents) => Outcome::Cents(cents),
            None => Outcome::BadAmount,
        }
    }
}

fn amount(value: &Value<'_>) -> Option<Decimal> {
    match value {
        Value::Number(digits) => Decimal::parse(digits.as_bytes()),
        Value::String(text) => Decimal::parse(text.bytes().trim_ascii()),
        Value::Integer(number) => Decimal::parse(number.to_string().as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
