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
        let database = Watched::open(context, &self.database, Database::parse)
            .map_err(|error| error.about("database"))?;
        Ok(Box::new(Geoip {
            field: self.field.0.clone(),
            wanted: Wanted {
                country: self.into.clone(),
                city: self.city_into.clone(),
                asn: self.asn_into.clone(),
                organization: self.organization_into.clone(),
            },
            private: self.private.clone(),
            seen: Seen::new(database.table()),
            database,
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let targets = [&self.into, &self.city_into, &self.asn_into, &self.organization_into];
        if targets.iter().all(|target| target.is_none()) {
            let wanted = "`into`, `city_into`, `asn_into` and `organization_into` are all missing";
            return vec![
                Problem::error(wanted).help("name the field that gets the country: `into`"),
            ];
        }
        Vec::new()
    }
}

struct Geoip {
    field: Path,
    wanted: Wanted,
    private: String,
    database: Arc<Watched<Database>>,
    seen: Seen,
}

/// Where each piece of a record goes.
struct Wanted {
    country: Option<Target>,
    city: Option<Target>,
    asn: Option<Target>,
    organization: Option<Target>,
}

impl Step for Geoip {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        self.seen.follow(self.database.table());
        let (mut bad, mut unknown, mut unwritable) = (0, 0, 0);
        batch.each(selection, |event| {
            let place = match event.as_ref().get(&self.field) {
                None | Some(Value::Null) => return,
                Some(Value::String(text)) => self.seen.place_of(&text.bytes(), &self.wanted),
                Some(_) => &Place::NoAddress,
            };
            let written = match place {
                Place::NoAddress => return bad += 1,
                Place::Unknown => return unknown += 1,
                Place::Private => self.wanted.mark(event, &self.private),
                Place::Known(record) => self.wanted.write(event, record),
            };
            unwritable += usize::from(!written);
        });
        context.flagged("bad_ip", bad);
        context.flagged("unknown_ip", unknown);
        context.flagged("unwritable", unwritable);
    }

    fn tick(&mut self, context: &mut StepContext) {
        self.database.look(context);
    }
}

impl Wanted {
    fn mark(&self, event: &mut EventMut<'_>, label: &str) -> bool {
        set(event, &self.country, Some(NewValue::String(label.as_bytes())))
    }

    fn write(&self, event: &mut EventMut<'_>, record: &Record) -> bool {
        let asn = record.asn.map(|asn| NewValue::Integer(asn.into()));
        set(event, &self.country, string(&record.country))
            & set(event, &self.city, string(&record.city))
            & set(event, &self.asn, asn)
            & set(event, &self.organization, string(&record.organization))
    }
}

fn string(text: &Option<Box<str>>) -> Option<NewValue<'_>> {
    text.as_ref().map(|text| NewValue::String(text.as_bytes()))
}

/// Sets what is there to be set, where it is wanted; returns whether nothing was in the way.
fn set(event: &mut EventMut<'_>, target: &Option<Target>, value: Option<NewValue<'_>>) -> bool {
    match (target, value) {
        (Some(target), Some(value)) => event.set(target, value),
        _ => true,
    }
}

/// What an address turned out to be.
#[derive(Debug)]
enum Place {
    NoAddress,
    Private,
    Unknown,
    Known(Record),
}

/// What the database has of what is wanted.
#[derive(Debug, Default)]
struct Record {
    country: Option<Box<str>>,
    city: Option<Box<str>>,
    asn: Option<u32>,
    organization: Option<Box<str>>,
}

impl Place {
    fn find(text: &[u8], database: &Database, wanted: &Wanted) -> Place {
        let Some(address) = address(text) else { return Place::NoAddress };
        if is_private(address) {
            return Place::Private;
        }
        let Ok(found) = database.reader.lookup(address) else { return Place::Unknown };
        let text = |target: &Option<Target>, path| {
            target.as_ref().and_then(|_| text_at(&found, path)).map(Box::from)
        };
        let record = Record {
            country: text(&wanted.country, database.country),
            city: text(&wanted.city, CITY),
            asn: wanted.asn.as_ref().and_then(|_| found.decode_path(ASN).ok().flatten()),
            organization: text(&wanted.organization, ORGANIZATION),
        };
        let Record { country, city, asn, organization } = &record;
        let texts = [country, city, organization];
        if asn.is_none() && texts.iter().all(|text| text.is_none()) {
            return Place::Unknown;
        }
        Place::Known(record)
    }
}

/// What addresses turned out to be, by their text: the addresses of a log come again and again.
///
/// An address has one slot, and takes it from the one before. `cargo bench -p dpipe-plugins` shows
/// what that saves: most of parsing, walking down the tree and decoding the record.
struct Seen {
    slots: Vec<Option<(Key, Place)>>,
    /// The database that they are from.
    database: Arc<Database>,
    /// The place of an address that is too long for a slot.
    other: Place,
}

/// A text of up to 15 bytes, as an IPv4 address has them, and its length.
type Key = [u8; 16];

impl Seen {
    const SLOTS: usize = 1 << 10;

    fn new(database: Arc<Database>) -> Self {
        Seen { slots: Vec::new(), database, other: Place::Unknown }
    }

    /// Forgets everything if this is another database.
    fn follow(&mut self, database: Arc<Database>) {
        if !Arc::ptr_eq(&self.database, &database) {
            self.slots.clear();
            self.database = database;
        }
        self.slots.resize_with(Self::SLOTS, || None);
    }

    fn place_of(&mut self, text: &[u8], wanted: &Wanted) -> &Place {
        let find = || Place::find(text, &self.database, wanted);
        let Some(key) = key(text) else {
            self.other = find();
            return &self.other;
        };
        let slot = &mut self.slots[slot(&key)];
        if slot.as_ref().is_none_or(|(seen, _)| *seen != key) {
            *slot = None;
        }
        &slot.get_or_insert_with(|| (key, find())).1
    }
}

fn key(text: &[u8]) -> Option<Key> {
    let mut key = Key::default();
    key.get_mut(..text.len()).filter(|_| text.len() < 16)?.copy_from_slice(text);
    key[15] = text.len() as u8;
    Some(key)
}

/// The slot of a key: the high bits of a product, as in Fibonacci hashing.
fn slot(key: &Key) -> usize {
    let key = u128::from_le_bytes(*key);
    let folded = (key as u64).rotate_left(29) ^ (key >> 64) as u64;
    let bits = Seen::SLOTS.trailing_zeros();
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}

/// The address that a text is; IPv4, where it is that within IPv6.
fn address(text: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()?;
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
