//! What came out of the environment is not said, wherever in the configuration it stands.

use std::process::Output;

use crate::process::{dpipe, text};

const SECRET: &str = "hunter2-marker!(/";
const WORD: &str = "hunter2marker";

/// Everything that each of the commands says of a configuration in which `~` is a secret.
fn said(config: &str, secret: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = config.replace('~', "${SECRET}");
    std::fs::write(dir.path().join("dpipe.yaml"), config).unwrap();
    let run = |arguments: &[&str]| -> Output {
        let mut command = dpipe();
        command.args(arguments).current_dir(dir.path());
        command.env("SECRET", secret).env("DPIPE_LOG", "debug").output().unwrap()
    };
    let mut said = String::new();
    for arguments in [&["check", "dpipe.yaml"][..], &["run", "--batch", "dpipe.yaml"]] {
        let output = run(arguments);
        said.push_str(&text(&output.stdout));
        said.push_str(&text(&output.stderr));
    }
    said
}

/// A configuration with something in each place that takes a text.
const CONFIG: &str = r#"
data_dir: D
include: I
api: { listen: "L" }
tenants: { rs: { limits: { events_per_second: E } } }
inputs:
  logs: { type: T, include: [G], exclude: [X], read_from: R, tenant: W, codec: C, multiline: M }
  paths: { type: file, include: ["*.none"], tenant: { from: path, pattern: "P" } }
  made: { type: generate, count: 10, areas: [A], tenants: [B], codec: { type: als, invalid_utf8: U } }
filters:
  f:
    match: H
    steps:
      - set: { "a.b": "S" }
      - keep: { fields: [F], when: "Q" }
      - geoip: { field: ip, into: x, database: J, private: K }
      - currency: { amount: a, currency: b, into: c, rates: N }
      - normalize: { field: a, with: [O] }
      - convert: { a: V }
      - route: { a: "Y" }
outputs:
  out: { type: file, match: f.a, path: "Z", compression: 1, fsync: 2, flush_after: 3, codec: 4, buffer: { memory: 5, when_full: 6 } }
  screen: { type: console, match: 7, color: 8, fields: [9], beep: { when: "0" } }
"#;

/// What is right in each place.
const RIGHT: &[(char, &str)] = &[
    ('D', "dpipe-data"),
    ('I', "[]"),
    ('L', "off"),
    ('E', "0"),
    ('T', "file"),
    ('G', "'*.none'"),
    ('X', "b"),
    ('R', "end"),
    ('W', "rs"),
    ('C', "json"),
    ('M', "{ preset: java }"),
    ('P', "(?<tenant>x)"),
    ('A', "us"),
    ('B', "rs"),
    ('U', "refuse"),
    ('H', "made"),
    ('S', "x"),
    ('F', "a"),
    ('Q', "a:1"),
    ('J', "geo.mmdb"),
    ('K', "private"),
    ('N', "rates.csv"),
    ('O', "digits"),
    ('V', "int"),
    ('Y', "a:1"),
    ('Z', "out/x.log"),
    ('1', "none"),
    ('2', "none"),
    ('3', "1s"),
    ('4', "json"),
    ('5', "1MiB"),
    ('6', "block"),
    ('7', "made"),
    ('8', "never"),
    ('9', "a"),
    ('0', "a:1"),
];

/// The configuration with a secret in some places and what is right in the others.
fn config(is_secret: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    for (at, c) in CONFIG.char_indices() {
        let alone = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let is_place =
            alone(CONFIG[..at].chars().next_back()) && alone(CONFIG[at + 1..].chars().next());
        match RIGHT.iter().find(|(place, _)| is_place && *place == c) {
            Some((place, _)) if is_secret(*place) => out.push('~'),
            Some((_, right)) => out.push_str(right),
            None => out.push(c),
        }
    }
    out
}

#[test]
fn no_command_says_a_secret_whatever_place_of_the_configuration_it_stands_in() {
    let right = said(&config(|_| false), SECRET);
    assert!(right.contains("dpipe.yaml is fine"), "{right}");
    for secret in [SECRET, WORD] {
        for (place, _) in RIGHT {
            let said = said(&config(|c| c == *place), secret);
            assert!(!said.contains("hunter2"), "at {place}:\n{said}");
        }
        let all = said(&config(|_| true), secret);
        assert!(!all.contains("hunter2"), "{all}");
        assert!(all.contains("${SECRET}"), "{all}");
    }
}
