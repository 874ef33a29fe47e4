//! What each step costs on an event of about 500 bytes: `cargo bench -p dpipe-plugins`.
//!
//! A batch of 128 events is decoded once and copied before each measurement, so that a step finds
//! its events as decoded, and pays for the room of its edits. Of several rounds the fastest counts:
//! others were disturbed.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use dpipe_event::Batch;
use dpipe_plugin::{Entry, StepSpec};
use dpipe_plugins::BUILT_IN;
use dpipe_testkit::{StepCheck, batch};

const EVENTS: usize = 128;
const BATCHES: usize = 64;
const ROUNDS: usize = 40;

const FILES: &[(&str, &[u8])] = &[
    ("geo.mmdb", include_bytes!("../../../examples/data/geo.mmdb")),
    ("rates.csv", include_bytes!("../../../examples/data/rates.csv")),
    ("servers.csv", include_bytes!("../../../examples/data/servers.csv")),
];

/// What is measured, and what the same work took in the program that dpipe succeeds, in ns.
const STEPS: &[(&str, Option<u32>)] = &[
    ("set: { env: prod }", Some(116)),
    (r#"set: { user: "{_log_info.uid}" }"#, Some(116)),
    (r#"set: { who: "{_tenant}/{_log_info.uid}" }"#, None),
    ("remove: trace", None),
    ("remove: [trace, _log_info.snsid]", None),
    ("keep: [message, _log_info.uid, _log_info.level]", None),
    ("rename: { _log_info.uid: user.id }", None),
    ("convert: { _log_info.uid: int }", None),
    ("bucket: { field: _log_info.level, bounds: [1, 14, 19, 23, 27, 31], into: level_rg }", None),
    ("drop: { when: '_log_info.level:<10' }", Some(455)),
    ("route: { low: '_log_info.level:<10', paid: 'data.amount:>5' }", None),
    ("normalize: { field: message, with: [digits], into: message_norm }", None),
    (
        "normalize: { field: message, with: [uuid, ip, hex, quoted, digits], into: message_norm }",
        None,
    ),
    ("normalize: { field: message, with: [{ regex: '[0-9]+', as: N }], into: m }", Some(1570)),
    ("geoip: { field: _log_info.ip, into: _cntry }", None),
    ("geoip: { field: _log_info.ip, into: _cntry, city_into: _city, asn_into: _asn }", None),
    ("currency: { amount: data.amount, currency: data.currency, into: _usd }", None),
];

/// The same on events of a web server.
const WEB_STEPS: &[&str] = &[
    "timestamp: { field: at.iso8601, formats: iso8601 }",
    "timestamp: { field: at.iso8601, formats: '%Y-%m-%dT%H:%M:%S.%3f%z' }",
    "timestamp: { field: at.local, formats: iso8601, timezone: Europe/Berlin }",
    "timestamp: { field: at.httpd, formats: httpd }",
    "timestamp: { field: at.httpd, formats: '%d/%b/%Y:%H:%M:%S %z' }",
    "timestamp: { field: at.syslog, formats: syslog }",
    "timestamp: { field: at.unix, formats: unix }",
    "dedupe: {}",
    "dedupe: { fields: at.unix }",
    "throttle: { events: 100, key: at.unix }",
    "sample: { rate: 10 }",
    "sample: { rate: 10, key: at.unix }",
    "hash: { fields: at.iso8601, into: digest, algorithm: xxh3 }",
    "hash: { fields: at.iso8601, into: digest }",
    "hash: { fields: at.iso8601, into: digest, key: secret }",
    "hash: { fields: at.iso8601, into: digest, algorithm: sha256, key: secret }",
    "url: { field: request, into: url }",
    "useragent: { field: agent, into: browser }",
    "redact: { with: [token, card, email, ip] }",
    "redact: { fields: request, with: [email] }",
    "lookup: { field: host, table: servers.csv, key: name, into: { team: team } }",
    "lookup: { field: client, table: geo.mmdb, into: { country.iso_code: country } }",
    "flatten: {}",
    "split: { field: items }",
    "split: { field: items, merge: true }",
    "nest: { field: at, prefix: iso, into: iso }",
];

fn main() {
    // Under `cargo test --benches` there is nothing to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    let decoded = batch(&events());
    println!("{:>8}  {:>8}  step", "ns/event", "before");
    for (settings, before) in STEPS {
        if filter.as_ref().is_none_or(|wanted| settings.starts_with(wanted.as_str())) {
            let before = before.map_or_else(|| "-".to_owned(), |before| before.to_string());
            println!("{:>8.1}  {before:>8}  {settings}", measure(settings, &decoded));
        }
    }
    let decoded = batch(&web_events());
    for settings in WEB_STEPS {
        if filter.as_ref().is_none_or(|wanted| settings.starts_with(wanted.as_str())) {
            println!("{:>8.1}  {:>8}  {settings}", measure(settings, &decoded), "-");
        }
    }
}

fn measure(settings: &str, decoded: &Batch) -> f64 {
    let mut step = StepCheck::of(entry(settings), settings, FILES);
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let mut batches = vec![decoded.clone(); BATCHES];
        let start = Instant::now();
        for batch in &mut batches {
            black_box(step.run_batch(batch));
        }
        fastest = fastest.min(start.elapsed());
    }
    fastest.as_nanos() as f64 / (EVENTS * BATCHES) as f64
}

fn entry(settings: &str) -> &'static Entry<dyn StepSpec> {
    let (name, _) = settings.split_once(':').expect("settings are `name: …`");
    BUILT_IN.steps.iter().find(|entry| entry.name == name).expect("a step of the list")
}

/// Events like those of a game server, no two alike.
fn events() -> String {
    const IPS: [&str; 5] = ["81.2.69.142", "8.8.8.8", "133.11.93.4", "10.0.0.7", "89.160.20.112"];
    const CURRENCIES: [&str; 4] = ["USD", "EUR", "JPY", "BRL"];
    let event = |n: usize| {
        let (ip, currency) = (IPS[n % IPS.len()], CURRENCIES[n % CURRENCIES.len()]);
        let (uid, level, amount) = (n * 7919 % 100_000, n % 60, n % 100);
        format!(
            r#"@2014-06-01 {{"uri":"/api/v1/quest/complete","message":"user {uid} finished quest {level} of 120 in 35.2s","_log_info":{{"uid":"{uid}","snsid":"100000{uid}","level":{level},"gold":1{n}00,"exp":1{n}23,"ip":"{ip}","elapsed":0.0{level},"method":"POST","class":"Quest","locale":"en_US","null":null}},"data":{{"amount":{amount}.99,"currency":"{currency}","item":"gem_{level}","quantity":1}},"trace":"Quest.php:120 -> Reward.php:77 -> Inventory.php:312 -> Item.php:19","host":"fp-rs-{level}","flags":[1,2,3]}}"#
        )
    };
    (0..EVENTS).map(event).collect::<Vec<_>>().join("\n")
}

/// Events like those of a web server, no two alike.
fn web_events() -> String {
    let event = |n: usize| {
        let (minute, second) = (n / 60, n % 60);
        format!(
            r#"{{"host":"fp-rs-1","client":"81.2.69.{n}","request":"/shop/cart?item={n}&ref=a%20b&page=2","agent":"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.{second}.0 Safari/537.36","at":{{"iso8601":"2014-06-01T12:{minute:02}:{second:02}.250Z","local":"2014-06-01 14:{minute:02}:{second:02}","httpd":"01/Jun/2014:12:{minute:02}:{second:02} +0000","syslog":"Jun  1 12:{minute:02}:{second:02}","unix":{}.250}},"items":[{{"id":{n},"price":1.50}},{{"id":7,"price":2}},{{"id":8}},{{"id":9}}]}}"#,
            1_401_624_000 + n,
        )
    };
    (0..EVENTS).map(event).collect::<Vec<_>>().join("\n")
}
