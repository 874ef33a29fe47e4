//! Looks up where an IP address is: country, city, network.
//!
//! The database is a MaxMind DB file (`.mmdb`) in MaxMind's layout (`country.iso_code`,
//! `city.names.en`, `autonomous_system_number`, `autonomous_system_organization`), or a flat one with
//! `country_code`. It is read again when it changes; a new file that is no good leaves the old one in
//! force.
//!
//! An address may be IPv4, IPv6, or IPv4 within IPv6 (`::ffff:1.2.3.4`). One of a private network
//! (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7), of this machine (127.0.0.0/8,
//! ::1) or of the link (169.254.0.0/16, fe80::/10) is in no database and gets the label of `private:`
//! as its country. An event without the field, or with `null`, is left as it is.
//!
//! Flagged, and left as they are: `bad_ip`, where the field holds no address; `unknown_ip`, where the
//! database knows none of what was asked; `unwritable`, where something else than an object is in the
//! way.
//!
//! ```yaml
//! geoip: { field: _log_info.ip, into: _cntry, database: data/geo.mmdb }
//! ```

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dpipe_event::{Batch, EventMut, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use maxminddb::{LookupResult, PathElement, Reader};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::target::Target;
use crate::watched::Watched;

/// What to look up, where, and where to put it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the address.
    field: FieldPath,
    /// The field that gets the country: two letters, as in ISO 3166-1.
    into: Option<Target>,
    /// The field that gets the city's English name, where the database has cities.
    city_into: Option<Target>,
    /// The field that gets the number of the autonomous system, where the database has them.
    asn_into: Option<Target>,
    /// The field that gets the name of who runs the autonomous system.
    organization_into: Option<Target>,
    /// The database file.
    #[serde(default = "default_database")]
    database: String,
    /// What stands for the country of private networks.
    #[serde(default = "default_private")]
    private: String,
}

fn default_database() -> String {
    "geo.mmdb".into()
}

fn default_private() -> String {
    "private".into()
}

impl StepConfig for Config {
    const NAME: &'static str = "geoip";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        Ok(Box::new(Geoip {
            field: self.field.0.clone(),
            country_into: self.into.clone(),
            city_into: self.city_into.clone(),
            asn_into: self.asn_into.clone(),
            organization_into: self.organization_into.clone(),
            private: self.private.clone(),
            database: Watched::open(context, &self.database, Database::parse)?,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let targets = [&self.into, &self.city_into, &self.asn_into, &self.organization_into];
        if targets.iter().all(|target| target.is_none()) {
            return vec![Problem::error("says not where the country shall go: `into` is missing")];
        }
        Vec::new()
    }
}

struct Geoip {
    field: Path,
    country_into: Option<Target>,
    city_into: Option<Target>,
    asn_into: Option<Target>,
    organization_into: Option<Target>,
    private: String,
    database: Arc<Watched<Database>>,
}

impl Step for Geoip {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let database = self.database.table();
        let (mut bad, mut unknown, mut unwritable) = (0, 0, 0);
        batch.each(selection, |event| {
            let address = match event.as_ref().get(&self.field) {
                None | Some(Value::Null) => return,
                Some(value) => address(&value),
            };
            let found = match address {
                None => return bad += 1,
                Some(address) if is_private(address) => self.mark_private(event),
                Some(address) => self.write(&database, address, event),
            };
            match found {
                Found::Written => {}
                Found::Unknown => unknown += 1,
                Found::Unwritable => unwritable += 1,
            }
        });
        context.flagged("bad_ip", bad);
        context.flagged("unknown_ip", unknown);
        context.flagged("unwritable", unwritable);
    }

    fn tick(&mut self, context: &mut StepContext) {
        self.database.look(context);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Found {
    Unknown,
    Written,
    Unwritable,
}

impl Geoip {
    fn mark_private(&self, event: &mut EventMut<'_>) -> Found {
        match &self.country_into {
            Some(into) => set(event, into, NewValue::String(self.private.as_bytes())),
            None => Found::Written,
        }
    }

    fn write(&self, database: &Database, address: IpAddr, event: &mut EventMut<'_>) -> Found {
        let Ok(record) = database.reader.lookup(address) else { return Found::Unknown };
        if !record.has_data() {
            return Found::Unknown;
        }
        let texts = [
            (&self.country_into, database.country),
            (&self.city_into, CITY),
            (&self.organization_into, ORGANIZATION),
        ];
        let mut found = Found::Unknown;
        for (into, path) in texts {
            if let Some(into) = into
                && let Some(text) = text_at(&record, path)
            {
                found = found.and(set(event, into, NewValue::String(text.as_bytes())));
            }
        }
        if let Some(into) = &self.asn_into
            && let Ok(Some(number)) = record.decode_path::<u32>(ASN)
        {
            found = found.and(set(event, into, NewValue::Integer(number.into())));
        }
        found
    }
}

impl Found {
    fn and(self, other: Found) -> Found {
        if self == Found::Unwritable { self } else { other }
    }
}

fn set(event: &mut EventMut<'_>, into: &Path, value: NewValue<'_>) -> Found {
    if event.set(into, value) { Found::Written } else { Found::Unwritable }
}

/// The address that a field holds, IPv4 where it is that within IPv6.
fn address(value: &Value<'_>) -> Option<IpAddr> {
    let Value::String(text) = value else { return None };
    let bytes = text.bytes();
    let address: IpAddr = std::str::from_utf8(&bytes).ok()?.trim_ascii().parse().ok()?;
    Some(address.to_canonical())
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || is_shared(v4)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// 100.64.0.0/10, between a provider and its customers (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0b1100_0000 == 64
}

type RecordPath = &'static [PathElement<'static>];

const COUNTRY: RecordPath = &[PathElement::Key("country"), PathElement::Key("iso_code")];
const FLAT_COUNTRY: RecordPath = &[PathElement::Key("country_code")];
const CITY: RecordPath =
    &[PathElement::Key("city"), PathElement::Key("names"), PathElement::Key("en")];
const ASN: RecordPath = &[PathElement::Key("autonomous_system_number")];
const ORGANIZATION: RecordPath = &[PathElement::Key("autonomous_system_organization")];

struct Database {
    reader: Reader<Vec<u8>>,
    /// Where its layout has the country.
    country: RecordPath,
}

impl Database {
    fn parse(bytes: Vec<u8>) -> Result<Database, String> {
        /// A few records may be without a country; this many are not.
        const RECORDS_LOOKED_AT_MAX: usize = 1000;

        let reader = Reader::from_source(bytes).map_err(|error| error.to_string())?;
        let networks = reader.networks(Default::default()).map_err(|error| error.to_string())?;
        let is_flat = networks
            .take(RECORDS_LOOKED_AT_MAX)
            .flatten()
            .find_map(|record| match text_at(&record, COUNTRY) {
                Some(_) => Some(false),
                None => text_at(&record, FLAT_COUNTRY).map(|_| true),
            })
            .unwrap_or(false);
        Ok(Database { country: if is_flat { FLAT_COUNTRY } else { COUNTRY }, reader })
    }
}

/// The text at a path of a record; none if there is none, or no text.
fn text_at<'a>(record: &LookupResult<'a, Vec<u8>>, path: RecordPath) -> Option<&'a str> {
    record.decode_path(path).ok().flatten()
}

#[cfg(test)]
mod tests;
