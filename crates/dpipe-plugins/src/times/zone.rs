//! Time zones: a fixed offset, or one of the IANA database, which is part of the binary.

use std::borrow::Cow;

use dpipe_event::Timestamp;
use dpipe_plugin::settings::{error_in_text, nearest};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::cursor::Cursor;
use super::{Clock, Moment};

/// Where clocks show what they show: the zone of times that do not say theirs.
#[derive(Clone, Debug)]
pub(crate) struct Zone(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Seconds before UTC.
    Fixed(i32),
    Named(TimeZone),
}

/// Abbreviations that mean one offset wherever they are written, and RFC 2822's American ones.
const ABBREVIATIONS: [(&str, i32); 21] = [
    ("UTC", 0),
    ("GMT", 0),
    ("UT", 0),
    ("Z", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("WET", 0),
    ("WEST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("MSK", 3),
    ("JST", 9),
    ("KST", 9),
];

impl Zone {
    /// The zone that all others are counted from.
    pub(crate) const UTC: Zone = Zone(Kind::Fixed(0));

    /// The zone of an IANA name (`Europe/Berlin`) or an offset (`+02:00`).
    ///
    /// # Errors
    /// If there is no such zone.
    pub(crate) fn parse(text: &str) -> Result<Zone, String> {
        if matches!(text, "UTC" | "Z") {
            return Ok(Self::UTC);
        }
        let mut cursor = Cursor(text.as_bytes());
        if let Some(seconds) = cursor.offset()
            && cursor.is_at_end()
        {
            return Ok(Zone(Kind::Fixed(seconds)));
        }
        let database = TimeZoneDatabase::bundled();
        database.get(text).map(|zone| Zone(Kind::Named(zone))).map_err(|_| {
            let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
            let help = nearest(text, &names).map_or_else(
                || "zones are named as `Europe/Berlin`, or are offsets as `+02:00`".to_owned(),
                |name| format!("did you mean `{name}`?"),
            );
            format!("unknown time zone `{text}` ({help})")
        })
    }

    /// How many milliseconds its clocks are before UTC at a time.
    pub(crate) fn offset_ms(&self, time: Timestamp) -> i64 {
        let seconds = match &self.0 {
            Kind::Fixed(seconds) => *seconds,
            Kind::Named(zone) => jiff::Timestamp::from_millisecond(time.millis())
                .map_or(0, |time| zone.to_offset(time).seconds()),
        };
        i64::from(seconds) * 1000
    }

    /// When the clock on the wall showed this, in milliseconds as if it were UTC's.
    #[inline]
    pub(super) fn moment(&self, wall: i64) -> Option<Moment> {
        match &self.0 {
            Kind::Fixed(seconds) => Some(at(wall, *seconds, Clock::Once)),
            Kind::Named(zone) => Some(match offsets(zone, wall)? {
                AmbiguousOffset::Unambiguous { offset } => at(wall, offset.seconds(), Clock::Once),
                AmbiguousOffset::Fold { before, .. } => at(wall, before.seconds(), Clock::Twice),
                AmbiguousOffset::Gap { before, .. } => at(wall, before.seconds(), Clock::Never),
            }),
        }
    }

    /// The same, where the zone's abbreviation is written: that of this zone at the time, which
    /// also tells which of two times is meant; or else one that is known.
    pub(super) fn moment_named(&self, wall: i64, name: &[u8]) -> Option<Moment> {
        if let Kind::Named(zone) = &self.0 {
            let (one, other) = match offsets(zone, wall)? {
                AmbiguousOffset::Unambiguous { offset } => (offset, offset),
                AmbiguousOffset::Fold { before, after }
                | AmbiguousOffset::Gap { before, after } => (before, after),
            };
            let fits = |offset: &Offset| is_called(zone, wall, *offset, name);
            if let Some(offset) = [one, other].iter().find(|offset| fits(offset)) {
                return Some(at(wall, offset.seconds(), Clock::Once));
            }
        }
        let known =
            |(abbreviation, _): &&(&str, i32)| abbreviation.as_bytes().eq_ignore_ascii_case(name);
        let (_, hours) = ABBREVIATIONS.iter().find(known)?;
        Some(at(wall, hours * 3600, Clock::Once))
    }
}

fn at(wall: i64, offset_seconds: i32, clock: Clock) -> Moment {
    let time = Timestamp::from_millis(wall - i64::from(offset_seconds) * 1000);
    Moment { time, clock }
}

fn offsets(zone: &TimeZone, wall: i64) -> Option<AmbiguousOffset> {
    let c = Timestamp::from_millis(wall).civil();
    let (year, month, day) = (i16::try_from(c.year).ok()?, c.month as i8, c.day as i8);
    let (hour, minute, second) = (c.hour as i8, c.minute as i8, c.second as i8);
    let clock = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(zone.to_ambiguous_timestamp(clock).offset())
}

fn is_called(zone: &TimeZone, wall: i64, offset: Offset, name: &[u8]) -> bool {
    let time =
        jiff::Timestamp::from_millisecond(at(wall, offset.seconds(), Clock::Once).time.millis());
    time.is_ok_and(|time| {
        let there = zone.to_offset_info(time);
        there.offset() == offset && there.abbreviation().as_bytes().eq_ignore_ascii_case(name)
    })
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Zone::parse(&text).map_err(|message| error_in_text(0..text.len(), message))
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "TimeZone".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An IANA name such as `Europe/Berlin`, or an offset such as `+02:00`.",
            "type": "string"
        })
    }
}
