//! What each codec costs on lines as they are seen: `cargo bench -p dpipe-plugins --bench codecs`.
//!
//! A decoder reads a buffer of lines into a batch, as a lane does, and an encoder writes a batch. Of
//! several rounds the fastest counts: others were disturbed.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dpipe_event::{Batch, Buffer, Builder, Frame, Origin, StreamId, Timestamp};
use dpipe_plugin::Decoder;
use dpipe_plugins::BUILT_IN;
use dpipe_testkit::{decoder, encoder};

const LINES: usize = 512;
const ROUNDS: usize = 300;

/// Makes the n-th line.
type Line = fn(usize) -> String;

/// Decoders, and the lines that they read.
const DECODERS: &[(&str, Line)] = &[
    ("json", json),
    ("combined", combined),
    ("{ type: grok, match: '^%{COMBINEDAPACHELOG}', ecs_compatibility: disabled }", combined),
    ("{ type: grok, match: '%{COMBINEDAPACHELOG}' }", combined),
    // The same, but not recognized: what the expression takes.
    ("{ type: grok, match: '^(?:)%{COMBINEDAPACHELOG}', ecs_compatibility: disabled }", combined),
    ("{ type: grok, match: '^%{SYSLOGLINE}' }", rfc3164),
    (
        "{ type: grok, match: '^%{TIMESTAMP_ISO8601:at} %{LOGLEVEL:level} %{GREEDYDATA:message}$' }",
        application,
    ),
    (r"{ type: regex, pattern: '^(?<at>\S+) (?<level>[A-Z]+) (?<message>.*)$' }", application),
    (REGEX, combined),
    ("syslog", rfc5424),
    ("syslog", rfc3164),
    ("{ type: syslog, timezone: Europe/Berlin }", rfc3164),
    ("logfmt", logfmt),
    ("{ type: csv, columns: [time, ip, method, path, status, bytes, took, agent] }", csv),
    (
        "{ type: csv, columns: [time, ip, method, path, status, bytes, took, agent], \
         types: { status: int, bytes: int, took: float } }",
        csv,
    ),
    ("{ type: tsv, columns: [time, ip, method, path, status, bytes, took, agent] }", tsv),
    ("gelf", gelf),
    ("cef", cef),
    ("{ type: cef, labels: true }", cef),
    ("syslog_ng_stats", statistics),
];

const REGEX: &str = r#"{ type: regex, pattern: '^(?<ip>\S+) (?<ident>\S+) (?<user>\S+) \[(?<at>[^\]]+)\] "(?<verb>\S+) (?<path>\S+) HTTP/(?<version>[0-9.]+)" (?<status>\d+) (?<size>\d+) "(?<referer>[^"]*)" "(?<agent>[^"]*)"$' }"#;

/// Encoders; they write events that were read by `json`.
const ENCODERS: &[&str] = &[
    "json",
    "logfmt",
    "{ type: csv, columns: [time, ip, method, path, status, bytes, took, agent] }",
    "{ type: tsv, columns: [time, ip, method, path, status, bytes, took, agent] }",
    "syslog",
    "{ type: syslog, format: rfc3164 }",
    "gelf",
    "msgpack",
];

fn main() {
    // Under `cargo test --benches` there is nothing to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let filter = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    let wanted =
        |settings: &str| filter.as_ref().is_none_or(|wanted| settings.contains(wanted.as_str()));
    println!("{:>8}  {:>9}  {:>10}  codec", "ns/event", "events/s", "bytes/line");
    for (settings, line) in DECODERS.iter().filter(|(settings, _)| wanted(settings)) {
        let lines: Vec<Vec<u8>> = (0..LINES).map(|n| line(n).into_bytes()).collect();
        let bytes = lines.iter().map(Vec::len).sum::<usize>() / LINES;
        report(decode(settings, lines), bytes, &format!("decode {settings}"));
    }
    let batch = batch(&mut *decoder(BUILT_IN.decoders, "json"), (0..LINES).map(json).collect());
    if wanted("msgpack") {
        let lines = encoded("msgpack", &batch);
        let bytes = lines.iter().map(Vec::len).sum::<usize>() / LINES;
        report(decode("msgpack", lines), bytes, "decode msgpack");
    }
    for settings in ENCODERS.iter().filter(|settings| wanted(settings)) {
        let bytes = encoded(settings, &batch).iter().map(Vec::len).sum::<usize>() / LINES;
        report(encode(settings, &batch), bytes, &format!("encode {settings}"));
    }
}

fn report(fastest: Duration, bytes: usize, what: &str) {
    let ns = fastest.as_nanos() as f64 / LINES as f64;
    println!("{ns:>8.1}  {:>9.0}  {bytes:>10}  {what}", 1e9 / ns);
}

fn decode(settings: &str, lines: Vec<Vec<u8>>) -> Duration {
    let mut decoder = decoder(BUILT_IN.decoders, settings);
    let (buffer, frames) = laid(lines);
    let (mut builder, origin) = (Builder::new(), origin());
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        builder.begin(buffer.clone(), 1, Timestamp::from_millis(1_401_624_000_000));
        for frame in &frames {
            let bytes = &buffer[frame.clone()];
            let frame = Frame { bytes, start: frame.start as u32, original_len: bytes.len() };
            if let Err(error) = decoder.decode(&frame, &mut builder) {
                panic!("{settings}: {error} in {}", String::from_utf8_lossy(bytes));
            }
        }
        let batch = black_box(builder.finish(origin.clone(), "bench".into()));
        fastest = fastest.min(start.elapsed());
        assert_eq!(batch.len(), LINES);
    }
    fastest
}

fn encode(settings: &str, batch: &Batch) -> Duration {
    let encoder = encoder(BUILT_IN.encoders, settings);
    let mut out = Vec::new();
    let mut fastest = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        out.clear();
        for event in batch.iter() {
            encoder.encode(&event, &mut out).expect("the event can be encoded");
            out.push(b'\n');
        }
        black_box(&out);
        fastest = fastest.min(start.elapsed());
    }
    fastest
}

fn encoded(settings: &str, batch: &Batch) -> Vec<Vec<u8>> {
    let encoder = encoder(BUILT_IN.encoders, settings);
    let one = |event| {
        let mut out = Vec::new();
        encoder.encode(&event, &mut out).expect("the event can be encoded");
        out
    };
    batch.iter().map(one).collect()
}

fn batch(decoder: &mut dyn Decoder, lines: Vec<String>) -> Batch {
    let (buffer, frames) = laid(lines.into_iter().map(String::into_bytes).collect());
    let mut builder = Builder::new();
    builder.begin(buffer.clone(), 1, Timestamp::from_millis(1_401_624_000_000));
    for range in frames {
        let bytes = &buffer[range.clone()];
        let frame = Frame { bytes, start: range.start as u32, original_len: bytes.len() };
        decoder.decode(&frame, &mut builder).expect("the line is one");
    }
    builder.finish(origin(), "bench".into())
}

/// The lines one after the other, and where they are.
fn laid(lines: Vec<Vec<u8>>) -> (Buffer, Vec<std::ops::Range<usize>>) {
    let mut bytes = Vec::new();
    let mut frames = Vec::new();
    for line in lines {
        frames.push(bytes.len()..bytes.len() + line.len());
        bytes.extend_from_slice(&line);
        bytes.push(b'\n');
    }
    (bytes.into(), frames)
}

fn origin() -> Arc<Origin> {
    let [tenant, input, file, logfile, host] = ["bench"; 5].map(Into::into);
    Arc::new(Origin { tenant, input, file, logfile, host, stream: StreamId::default() })
}

const AGENT: &str = "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/33.0.1750.117 Safari/537.36";

fn clock(n: usize) -> String {
    format!("12:{:02}:{:02}", n / 60 % 60, n % 60)
}

fn json(n: usize) -> String {
    let clock = clock(n);
    format!(
        r#"{{"time":"2014-03-01T{clock}Z","ip":"10.1.2.{}","method":"GET","path":"/api/v1/quest/{n}/complete","status":200,"bytes":{},"took":0.0{n},"agent":"{AGENT}","message":"user {n} finished quest {} of 120","level":"info","host":"web-{}","app":"game","pid":{n}}}"#,
        n % 256,
        n * 37,
        n % 120,
        n % 8,
    )
}

fn combined(n: usize) -> String {
    format!(
        r#"10.1.2.{} - - [01/Mar/2014:{} +0000] "GET /api/v1/quest/{n}/complete HTTP/1.1" 200 {} "http://example.com/game/index" "{AGENT}""#,
        n % 256,
        clock(n),
        n * 37,
    )
}

fn application(n: usize) -> String {
    format!("2014-03-01T{}.250Z INFO user {n} finished quest {} of 120 in 35.2s", clock(n), n % 120)
}

fn rfc5424(n: usize) -> String {
    format!(
        r#"<165>1 2014-03-01T{}.003Z web-{}.example.com game {n} quest [origin@32473 ip="10.1.2.3" software="game server"] user {n} finished quest {} of 120 in 35.2s"#,
        clock(n),
        n % 8,
        n % 120,
    )
}

fn rfc3164(n: usize) -> String {
    format!("Mar  1 {} web-{} game[{n}]: user {n} finished quest in 35.2s", clock(n), n % 8)
}

fn logfmt(n: usize) -> String {
    format!(
        r#"ts=2014-03-01T{}Z level=info msg="user finished quest" method=GET path=/api/v1/quest/{n}/complete status=200 bytes={} took=0.0{n} user={n} host=web-{} ok=true"#,
        clock(n),
        n * 37,
        n % 8,
    )
}

fn csv(n: usize) -> String {
    format!(
        "2014-03-01T{}Z,10.1.2.{},GET,/api/v1/quest/{n}/complete,200,{},0.0{n},\"{AGENT}\"",
        clock(n),
        n % 256,
        n * 37,
    )
}

fn tsv(n: usize) -> String {
    csv(n).replace(',', "\t").replace("KHTML\t", "KHTML,").replace('"', "")
}

fn gelf(n: usize) -> String {
    format!(
        r#"{{"version":"1.1","host":"web-{}","short_message":"user {n} finished quest {} of 120","timestamp":1393675200.250,"level":6,"_user":{n},"_path":"/api/v1/quest/{n}/complete","_took":0.0{n},"_app":"game"}}"#,
        n % 8,
        n % 120,
    )
}

fn cef(n: usize) -> String {
    format!(
        "CEF:0|Security|threatmanager|1.0|100|worm successfully stopped|10|src=10.0.0.{} dst=2.1.2.2 spt={} rt=1393675200250 msg=user {n} was stopped at the door cs1Label=rule cs1=no entry request=http://example.com/a?b={n}",
        n % 256,
        1024 + n,
    )
}

fn statistics(n: usize) -> String {
    let counters = ["processed", "dropped", "queued"].map(|kind| {
        format!(
            "{kind}='dst.tcp(d_net#0,tcp,10.0.0.1:514)={n}', {kind}='src.internal(s_sys#1)={n}'"
        )
    });
    format!("Log statistics; {}", counters.join(", "))
}
