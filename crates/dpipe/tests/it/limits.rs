//! Hostile input costs its sender: each limit of `docs/limits.md` is seen from outside, counted for the
//! tenant whose input it was.

use std::io::Write;

use serde_json::Value;

use crate::process::{World, text};

/// What a run said. It fails if something was left out, and only then.
fn batch(world: &World) -> String {
    let output = world.batch();
    let said = text(&output.stderr);
    assert_eq!(output.status.success(), !said.contains("\nleft out: "), "{said}");
    assert!(said.contains("the books balance"), "{said}");
    said
}

/// What the books say of a node and a tenant, after the numbers that came in and went out.
fn book(said: &str, node: &str, tenant: &str) -> String {
    let line = said.lines().find(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(node) && words.next() == Some(tenant)
    });
    let line = line.unwrap_or_else(|| panic!("no line of {node} and {tenant} in\n{said}"));
    line.split_whitespace().skip(4).collect::<Vec<_>>().join(" ")
}

fn dead(world: &World, tenant: &str) -> Vec<Value> {
    let lines = world.lines(&format!("dpipe-data/dead/{tenant}.jsonl"));
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstandard(bytes: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(window_log).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_line_over_the_limit_is_cut_and_the_next_one_is_whole() {
    let world = World::new(
        "
limits: { line_bytes: 1KiB }
tenants: { rs: {}, ff: {} }
inputs:
  plain: { type: archive, tenant: rs, include: [in.log] }
  objects: { type: archive, tenant: ff, include: [in.log], codec: json }
outputs:
  lines: { type: file, match: plain, path: got/lines, codec: raw }
  bodies: { type: file, match: objects, path: got/bodies }
",
    );
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
    world.write("in.log", format!("{{\"n\":1}}\n{long}\n{{\"n\":2}}\n"));
    let said = batch(&world);
    assert_eq!(world.lines("got/lines"), ["{\"n\":1}", &long[..1024], "{\"n\":2}"]);
    assert_eq!(world.lines("got/bodies"), ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(book(&said, "plain", "rs"), "flagged: line_cut 1");
    assert_eq!(book(&said, "objects", "ff"), "dead: line_too_long 1, flagged: line_cut 1");
    let letter = &dead(&world, "ff")[0];
    assert_eq!(letter["raw"], long[..1024]);
    assert_eq!(
        letter["reason"],
        format!("the line of {} bytes was cut to the limit of 1024 bytes", long.len())
    );
}

#[test]
fn json_over_its_limits_is_a_dead_letter_with_all_its_bytes() {
    let world = World::new(
        "
limits: { line_bytes: 4MiB }
tenants: { rs: {}, ff: {} }
inputs:
  wide: { type: archive, tenant: rs, include: [in.log], codec: json }
  narrow:
    type: archive
    tenant: ff
    include: [in.log]
    codec: { type: json, depth_max: 3, fields_max: 4 }
outputs:
  out: { type: file, match: [wide, narrow], path: \"got/{_tenant}\" }
",
    );
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let many = format!("{{\"a\":[{}0]}}", "0,".repeat(10_000));
    let (rather, good) =
        ("{\"a\":[[[1]]],\"b\":[2,3,4]}", "{\"a\":[123456789012345678901234567890]}");
    world.write("in.log", [&deep, &many, rather, "{\"a\":", good].join("\n") + "\n");
    let said = batch(&world);
    assert_eq!(
        book(&said, "wide", "rs"),
        "dead: json_too_deep 1, json_too_many_fields 1, bad_json 1".replace(", ", ", dead: ")
    );
    assert_eq!(
        book(&said, "narrow", "ff"),
        "dead: json_too_deep 2, dead: json_too_many_fields 1, dead: bad_json 1"
    );
    assert_eq!(world.lines("got/rs"), [rather, good]);
    assert_eq!(world.lines("got/ff"), [good]);
    let letters = dead(&world, "rs");
    assert_eq!((&letters[0]["raw"], &letters[1]["raw"]), (&deep.into(), &many.into()));
}

#[test]
fn what_is_not_utf8_is_repaired_where_that_is_wanted_and_kept_beside() {
    let world = World::new(
        "
tenants: { rs: {} }
inputs:
  logs:
    type: archive
    tenant: rs
    include: [in.log]
    codec: { type: json, invalid_utf8: replace }
outputs:
  out: { type: file, match: logs, path: got/out, codec: { type: json, invalid_utf8: raw_b64 } }
",
    );
    world.write("in.log", b"{\"a\":\"caf\xe9\"}\n{\"a\":\"ok\"}\n");
    let said = batch(&world);
    assert_eq!(book(&said, "logs", "rs"), "flagged: invalid_utf8 1");
    assert_eq!(
        world.lines("got/out"),
        ["{\"a\":\"caf\u{fffd}\",\"raw_b64\":\"eyJhIjoiY2Fm6SJ9\"}", "{\"a\":\"ok\"}"]
    );
}

#[test]
fn bytes_of_text_are_kept_whatever_they_are() {
    let world = World::new(
        "
inputs: { logs: { type: archive, include: [in.log] } }
outputs:
  same: { type: file, match: logs, path: got/same, codec: raw }
  objects: { type: file, match: logs, path: got/objects }
",
    );
    let bytes = b"a\0b\x01\n\xff\xfe\xc3(\n\xed\xa0\x80\n";
    world.write("in.log", bytes);
    batch(&world);
    assert_eq!(std::fs::read(world.path("got/same")).unwrap(), bytes);
    let three = "\u{fffd}".repeat(3);
    assert_eq!(
        world.lines("got/objects"),
        [
            "{\"message\":\"a\\u0000b\\u0001\"}",
            &format!("{{\"message\":\"{three}(\"}}"),
            &format!("{{\"message\":\"{three}\"}}")
        ]
    );
}

const BOMBS: &str = "
tenants: { rs: {}, ff: {} }
inputs:
  bombs: { type: INPUT, tenant: rs, include: [logs/*] }
  good: { type: INPUT, tenant: ff, include: [good/*] }
outputs:
  out: { type: file, match: [bombs, good], path: \"got/{_tenant}\" , codec: raw }
";

/// 10 MB that want to be 10 GB, a frame that wants 1 GiB of memory, and a line beside them.
fn set_bombs(world: &World) {
    let piece = gzip(&vec![0; 8 << 20]);
    world.write(
        "logs/bomb.gz",
        [gzip(b"before\n"), piece.repeat(10_000_000 / piece.len())].concat(),
    );
    let piece = zstandard(&[&[b'0'; 8191][..], b"\n"].concat().repeat(1024), 20);
    world.write("logs/bomb.zst", piece.repeat(10_000_000 / piece.len()));
    world.write("logs/window.zst", zstandard(b"never\n", 30));
    world.write("good/a.log", "good\n");
}

#[test]
fn a_bomb_is_stopped_counted_and_named() {
    let world = World::new(&BOMBS.replace("INPUT", "archive"));
    set_bombs(&world);
    let said = batch(&world);
    assert_eq!(world.lines("got/ff"), ["good"]);
    assert!(world.lines("got/rs").contains(&"before".to_owned()));
    assert!(book(&said, "bombs", "rs").ends_with("skipped: decompression_limit 3"), "{said}");
    assert_eq!(book(&said, "good", "ff"), "");
    for (file, words) in [
        ("bomb.gz", "raise `decompression.ratio_max` or `decompression.ahead_max` (64MiB)"),
        ("bomb.zst", "it grows to more than 100 times its size"),
        ("window.zst", "it asks for a window of 1GiB; `decompression.window_max` allows 8MiB"),
    ] {
        let line = said.lines().find(|line| line.contains(file)).unwrap();
        assert!(
            line.contains("ERROR") && line.contains(words) && line.contains("offset="),
            "{line}"
        );
    }
}

#[test]
fn bombs_take_no_memory() {
    let config = BOMBS.replace("INPUT", "file");
    let peak = |world: &World, last_words: &str| {
        world.write("good/a.log", "good\n");
        let running = world.start();
        running.wait_for(last_words);
        crate::process::wait_until("the good line is there", || !world.lines("got/ff").is_empty());
        let peak = running.memory_peak_bytes();
        running.stop();
        peak
    };
    let plain = World::new(&config);
    let before = peak(&plain, "Ctrl-C");
    let world = World::new(&config);
    set_bombs(&world);
    let with_bombs = peak(&world, "window.zst");
    let growth = with_bombs.saturating_sub(before);
    assert!(growth <= 64 << 20, "{before} bytes without bombs, {with_bombs} with them");
}

#[test]
fn paths_can_name_only_so_many_tenants() {
    let world = World::with_api(
        "
limits: { tenants_max: 2 }
tenants: { known: {} }
inputs:
  logs:
    type: file
    tenant: { from: path, pattern: '/fp_(?<tenant>[^/]+)/' }
    include: [logs/**]
    idle_line_after: 1s
outputs:
  out: { type: file, match: logs, path: \"got/{_tenant}\", codec: raw }
",
    );
    world.write("logs/fp_known/a.log", "known\n");
    world.write("logs/stray.log", "of no tenant\n");
    for n in 0..20 {
        world.write(&format!("logs/fp_t{n}/a.log"), "of a tenant\n");
    }
    let running = world.start();
    let skipped = |answer: &str| {
        answer.contains(
            r#"dpipe_skipped_total{tenant="default",node="logs",role="input",reason="too_many_tenants"} 18"#,
        )
    };
    crate::process::wait_until("all is read or skipped", || {
        skipped(&running.get("/metrics")) && world.lines("got/known") == ["known"]
    });
    let metrics = running.get("/metrics");
    let tenants = metrics.lines().filter(|line| line.starts_with("dpipe_tenant_in_flight_bytes{"));
    assert_eq!(tenants.count(), 4, "{metrics}");
    let ledger = running.get("/admin/ledger");
    let ledger: Value = serde_json::from_str(ledger.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let line = ledger["lines"].as_array().unwrap().iter().find(|line| line["tenant"] == "default");
    let skipped = serde_json::json!({ "path_without_tenant": 1, "too_many_tenants": 18 });
    assert_eq!(line.unwrap()["skipped"], skipped);
    running.wait_for("paths name more tenants than `limits.tenants_max`");
    running.stop();
    // One book of the input for each: the known one, two that joined, and that of everything else.
    assert_eq!(std::fs::read_dir(world.path("got")).unwrap().count(), 3);
}

#[test]
fn events_can_name_only_so_many_files() {
    let world = World::new(
        "
tenants: { rs: {} }
inputs:
  logs: { type: archive, tenant: rs, include: [in.log], codec: json }
outputs:
  out: { type: file, match: logs, path: \"got/{u}/{u}\", new_files_per_hour: 3 }
",
    );
    let long = "x".repeat(300);
    let names = ["a", "../../b", "c", "d", "e", &long, "a"];
    let lines = names.map(|name| format!("{}\n", serde_json::json!({ "u": name })));
    world.write("in.log", lines.concat());
    let said = batch(&world);
    let counted = book(&said, "out", "rs");
    assert!(counted.contains("dead: new_files 2"), "{counted}");
    assert!(counted.contains("dead: bad_name 1"), "{counted}");
    let said_once = said.matches("events name too many new files").count();
    assert_eq!((said_once, said.contains("tenant=\"rs\"")), (1, true), "{said}");
    let reasons: Vec<_> =
        dead(&world, "rs").iter().map(|letter| letter["reason"].clone()).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].as_str().unwrap().contains("`new_files_per_hour`"), "{reasons:?}");
    assert!(reasons[2].as_str().unwrap().contains("300 bytes of a name"), "{reasons:?}");
    assert_eq!(world.lines("got/a/a").len(), 2);
    assert_eq!(world.lines("got/..%2F..%2Fb/..%2F..%2Fb").len(), 1);
}

#[test]
fn a_file_name_cannot_write_to_the_log() {
    let world = World::new(
        "
inputs: { logs: { type: archive, include: [logs/*] } }
outputs: { out: { type: blackhole, match: logs } }
",
    );
    let name = "a\nINFO forged\u{1b}[2J\u{202e}\u{9b}1m\r.gz";
    world.write(&format!("logs/{name}"), &gzip(b"one\n")[..10]);
    let said = batch(&world);
    let line = said.lines().find(|line| line.contains("cannot read a file on")).unwrap();
    assert!(line.contains(r"a\nINFO forged\u{1b}[2J\u{202e}\u{9b}1m\r.gz"), "{line}");
    assert!(!said.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{said:?}");
}

#[test]
fn a_retention_that_nothing_keeps_to_is_said() {
    let world = World::new(
        "
tenants: { rs: { index_prefix: fun, retention: 30d } }
inputs: { logs: { type: archive, tenant: rs, include: [in.log] } }
outputs: { out: { type: file, match: logs, path: \"got/{tenant.retention}/{tenant.index_prefix}\" } }
",
    );
    world.write("in.log", "one\n");
    let said = batch(&world);
    assert!(said.contains("warning: `retention` is for templates only"), "{said}");
    assert_eq!(world.lines("got/30d/fun").len(), 1);
}
