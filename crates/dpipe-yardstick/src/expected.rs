//! What must come out of a pipeline, found without any code of dpipe: serde_json takes the events
//! apart, and what no step touches keeps its bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use maxminddb::{PathElement, Reader};

use self::object::Object;

mod object;

/// Evaluates a pipeline; prints how many events are left.
#[derive(Args)]
pub(crate) struct Expect {
    /// What the pipeline does.
    #[arg(value_enum)]
    pipeline: Pipeline,
    /// The events, as lines.
    events: PathBuf,
    /// Where the hashes go: eight bytes for each event, zeros if it is dropped.
    hashes: PathBuf,
    /// The folder of `geo.mmdb` and `rates.csv`.
    #[arg(long)]
    tables: PathBuf,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Pipeline {
    /// Lines as they are.
    Raw,
    /// Workload W4: access logs as JSON.
    Access,
    /// Workload W2.
    Edited,
    /// Workload W2+.
    Decorated,
}

impl Expect {
    pub(crate) fn run(self) -> Result<()> {
        let tables = Tables::read(&self.tables)?;
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&self.hashes)?);
        let mut kept = 0_u64;
        crate::lines::each(&self.events, |line| {
            let line = match self.pipeline {
                Pipeline::Raw => Some(Cow::Borrowed(line)),
                Pipeline::Access => Some(crate::access::expected(line)?.into_bytes().into()),
                Pipeline::Edited => edited(line)?.map(|event| event.to_bytes().into()),
                Pipeline::Decorated => match edited(line)? {
                    Some(event) => Some(tables.decorated(event)?.to_bytes().into()),
                    None => None,
                },
            };
            kept += u64::from(line.is_some());
            let hash = line.map_or(0, |line| crate::lines::hash(&line));
            Ok(out.write_all(&hash.to_le_bytes())?)
        })?;
        out.flush()?;
        println!("{kept}");
        Ok(())
    }
}

/// W2: the event after `set`, `remove`, `bucket`; none if it is dropped.
fn edited(line: &[u8]) -> Result<Option<Object>> {
    let mut event = Object::parse(std::str::from_utf8(line)?)?;
    let mut info = event.object("_log_info")?.context("an event has no _log_info")?;
    let level: f64 = info.get("level").context("an event has no level")?.parse()?;
    if level < 10.0 {
        return Ok(None);
    }
    let elapsed: f64 = info.get("elapsed").context("an event has no elapsed")?.parse()?;
    let label = match elapsed {
        ..0.01 => "lt10ms",
        ..0.05 => "lt50ms",
        ..0.2 => "lt200ms",
        _ => "ge200ms",
    };
    info.remove("snsid");
    info.remove("elapsed");
    info.set_text("elapsed_bucket", label);
    event.set("_log_info", info.to_text());
    event.remove("trace");
    event.set_text("env", "prod");
    Ok(Some(event))
}

/// What W2+ looks things up in.
struct Tables {
    geo: Reader<Vec<u8>>,
    /// Millionths of a dollar by currency, the newest.
    rates: HashMap<String, i128>,
}

const RATE_SCALE: f64 = 1e6;

impl Tables {
    fn read(folder: &Path) -> Result<Self> {
        let geo = Reader::open_readfile(folder.join("geo.mmdb")).context("cannot read geo.mmdb")?;
        let text = std::fs::read_to_string(folder.join("rates.csv"))?;
        let mut rows: Vec<Vec<&str>> = text
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
            .map(|line| line.split(',').collect())
            .collect();
        rows.sort_by_key(|row| row[0]);
        let mut rates = HashMap::new();
        for row in rows {
            let rate: f64 = row[2].parse()?;
            rates.insert(row[1].to_owned(), (rate * RATE_SCALE).round() as i128);
        }
        Ok(Tables { geo, rates })
    }

    /// W2+: what W2 left, after `geoip`, `currency`, `normalize`.
    fn decorated(&self, mut event: Object) -> Result<Object> {
        let info = event.object("_log_info")?.context("an event has no _log_info")?;
        let ip: IpAddr = info.text("ip")?.context("an event has no ip")?.parse()?;
        if let Some(country) = self.country(ip)? {
            event.set_text("_cntry", country);
        }
        if let Some(data) = event.object("data")?
            && let (Some(amount), Some(currency)) = (data.get("amount"), data.text("currency")?)
            && let Some(rate) = self.rates.get(&currency)
        {
            event.set("_usd", cents(amount, *rate)?.to_string());
        }
        let message = event.text("message")?.context("an event has no message")?;
        if message.contains(|c: char| c.is_ascii_digit()) {
            event.set_text("message", &without_digits(&message));
        }
        Ok(event)
    }

    fn country(&self, ip: IpAddr) -> Result<Option<&str>> {
        if let IpAddr::V4(v4) = ip
            && v4.is_private()
        {
            return Ok(Some("private"));
        }
        let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
        Ok(self.geo.lookup(ip)?.decode_path(&path)?)
    }
}

/// An amount of at most two decimals in US cents, rounded half away from zero.
fn cents(amount: &str, rate: i128) -> Result<i128> {
    let hundredths = (amount.parse::<f64>()? * 100.0).round() as i128;
    let scale = RATE_SCALE as i128;
    Ok((hundredths * rate + scale / 2).div_euclid(scale))
}

fn without_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_number = false;
    for c in text.chars() {
        let digit = c.is_ascii_digit();
        if !digit {
            out.push(c);
        } else if !in_number {
            out.push_str("<num>");
        }
        in_number = digit;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = r#"{"a":1.10,"_log_info":{"level":10,"ip":"10.0.0.1","elapsed":0.05,"snsid":"7"},"message":"a\u00e9 1 b22","data":{"amount":2.50,"currency":"EUR"},"trace":"x"}"#;

    #[test]
    fn an_event_is_edited_and_keeps_the_bytes_that_no_step_touches() {
        let event = edited(EVENT.as_bytes()).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(event.to_bytes()).unwrap(),
            r#"{"a":1.10,"_log_info":{"level":10,"ip":"10.0.0.1","elapsed_bucket":"lt200ms"},"message":"a\u00e9 1 b22","data":{"amount":2.50,"currency":"EUR"},"env":"prod"}"#
        );
        let low = EVENT.replace("\"level\":10", "\"level\":9");
        assert!(edited(low.as_bytes()).unwrap().is_none());
    }

    #[test]
    fn an_event_is_decorated() {
        let tables = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data");
        let mut tables = Tables::read(Path::new(tables)).unwrap();
        tables.rates.insert("EUR".into(), 1_130_000);
        let event = tables.decorated(Object::parse(EVENT).unwrap()).unwrap();
        let text = String::from_utf8(event.to_bytes()).unwrap();
        assert!(text.ends_with(r#""trace":"x","_cntry":"private","_usd":283}"#), "{text}");
        assert!(text.contains(r#""message":"aé <num> b<num>""#), "{text}");
    }
}
