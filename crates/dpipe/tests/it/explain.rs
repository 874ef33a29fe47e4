//! `dpipe explain`.

use std::process::{Command, Output, Stdio};

use crate::process::{dpipe, root, run, text};

const LINE: &str =
    r#"us,1393675200250,{"uri":"pv","trace":"x","_log_info":{"uid":1,"ip":"8.8.8.8","level":20}}"#;

fn example(name: &str) -> String {
    root().join("examples").join(name).to_string_lossy().into_owned()
}

fn explained(config: &str, arguments: &[&str], lines: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("dpipe.yaml"), config).unwrap();
    std::fs::write(dir.path().join("in"), lines).unwrap();
    let mut command: Command = dpipe();
    command.args(["explain", "dpipe.yaml"]).args(arguments).current_dir(dir.path());
    command.stdin(Stdio::from(std::fs::File::open(dir.path().join("in")).unwrap()));
    command.output().unwrap()
}

fn said(config: &str, arguments: &[&str], lines: &str) -> String {
    let output = explained(config, arguments, lines);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// Without what is measured.
fn without_costs(said: &str) -> String {
    said.lines().map(|line| line.split("  (").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn explain_shows_what_each_step_changes_and_costs_and_who_takes_the_event() {
    let output = run(&["explain", &example("als.yaml"), "--tag", "rs_logs"], LINE);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("decoded by als as `rs_logs`"), "{said}");
    assert!(said.contains("_time     2014-03-01T12:00:00.250Z"), "{said}");
    assert!(said.contains("\n  + _cntry \"US\"\n"), "{said}");
    assert!(said.contains("\n  + level_rg \"19-23\"\n"), "{said}");
    assert!(said.contains("\n  - trace \"x\"\n"), "{said}");
    assert!(said.contains("published as `decorated`, taken by"), "{said}");
    assert!(said.contains(r#""_cntry":"US""#), "{said}");
    let costs = said.lines().filter(|line| line.ends_with(" µs)"));
    assert_eq!(costs.count(), 8, "the codec and each step have a cost: {said}");
    assert!(!said.contains('\u{1b}'), "no color without a terminal: {said}");
}

#[test]
fn explain_shows_nothing_that_a_terminal_acts_on() {
    let line = "us,1393675200250,{\"uri\":\"a\u{9b}2J\u{202e}\u{7f}\"}\n\u{1b}[2J,1,{}";
    let arguments = ["explain", &example("als.yaml"), "--tag", "rs_logs", "--file", "a\u{1b}"];
    let said = text(&run(&arguments, line).stdout);
    assert!(said.contains(r"a\u{9b}2J\u{202e}\u{7f}"), "{said}");
    assert!(!said.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{said:?}");
}

#[test]
fn explain_resolves_the_tenant_from_the_path_and_says_if_there_is_none() {
    let of = |file: &str| {
        let arguments = ["explain", &example("quickstart.yaml"), "--tag", "logs", "--file", file];
        text(&run(&arguments, LINE).stdout)
    };
    let said = of("/logs/fp_rs/pv.log");
    assert!(said.contains("_tenant   rs\n"), "{said}");
    // The pattern is `/fp_(?<tenant>\w+)/`, and both slashes are part of it.
    for file in ["/logs/xfp_rs.bak", "/logs/fp_rs", "/logs/xfp_rs/pv.log", ""] {
        let said = of(file);
        assert!(
            said.starts_with(&format!("left out: the path `{file}` names no tenant")),
            "{said}"
        );
    }
}

#[test]
fn explain_shows_flags_and_conditions_that_do_not_hold() {
    let config = "inputs: { l: { type: stdin, codec: json } }
filters:
  f:
    match: l
    steps:
      - convert: { a: int }
      - set: { b: 1, when: 'a:x' }
      - drop: { when: 'a:5x' }
outputs: { o: { type: blackhole, match: f } }
";
    let said =
        without_costs(&said(config, &["--tag", "l"], "{\"a\":\"5x\"}\n\n{\"a\":\"5\"}\nno\n"));
    let steps: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("  _") && !line.is_empty()).collect();
    assert_eq!(
        steps,
        [
            "decoded by json as `l`",
            "  {\"a\":\"5x\"}",
            "published as `l`, taken by f",
            "f step 1, convert: unchanged",
            "  flagged unconvertible",
            "f step 2, set: its condition does not hold",
            "f step 3, drop: the event ends here (dropped)",
            "decoded by json as `l`",
            "  {\"a\":\"5\"}",
            "published as `l`, taken by f",
            "f step 1, convert",
            "  ~ a \"5\" -> 5",
            "f step 2, set: its condition does not hold",
            "f step 3, drop: its condition does not hold",
            "published as `f`, taken by o",
            "  {\"a\":5}",
            "refused by the codec, a dead letter: the body is not a JSON object: expected a value at byte 0",
        ],
        "{said}"
    );
}

#[test]
fn explain_follows_each_event_that_a_step_splits_off() {
    let config = "inputs: { l: { type: stdin, codec: json } }
filters:
  f:
    match: l
    steps:
      - split: { field: a }
      - drop: { when: 'a:1' }
      - set: { b: 2 }
outputs: { o: { type: blackhole, match: f } }
";
    let said = without_costs(&said(config, &["--tag", "l"], "{\"a\":[1,2]}\n"));
    let told = said.split_once("taken by f\n").unwrap().1;
    let expected = "\
f step 1, split: split into 2
  {\"a\":1}
  {\"a\":2}
part 1 of 2
f step 2, drop: the event ends here (dropped)
part 2 of 2
f step 2, drop: its condition does not hold
f step 3, set
  + b 2
published as `f`, taken by o
  {\"a\":2,\"b\":2}
";
    assert_eq!(told, expected, "{said}");
}

#[test]
fn explain_takes_the_tags_of_filters() {
    let output = run(&["explain", &example("als.yaml"), "--tag", "decorated"], LINE);
    let said = text(&output.stdout);
    assert!(said.contains("as `decorated`, with the codec of `rs_logs`"), "{said}");
    assert!(said.contains("by_kind step 1, route: published under the step's own tags"), "{said}");
    assert!(!said.contains("geoip"), "{said}");
}

#[test]
fn explain_joins_the_lines_that_the_input_joins() {
    let config = "inputs: { l: { type: file, include: [x.log], multiline: { start: '^a' } } }
outputs: { o: { type: blackhole, match: l } }
";
    let said = said(config, &["--tag", "l"], "a1\n b\na2\n");
    assert_eq!(said.matches("decoded by text").count(), 2, "{said}");
    assert!(said.contains(r#"a1\n b"#), "{said}");
}

#[test]
fn explain_names_the_tags_there_are() {
    let output = run(&["explain", &example("als.yaml"), "--tag", "nope"], "x\n");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("nothing publishes the tag `nope`; there is `rs_logs`"), "{said}");
    assert!(said.contains("`by_kind.slow`"), "{said}");
}

#[test]
fn explain_shows_where_a_missing_file_is_named_before_it_reads_a_line() {
    let config = "inputs: { l: { type: stdin } }
filters: { f: { match: l, steps: [geoip: { field: ip, into: c, database: no.mmdb }] } }
outputs: { o: { type: blackhole, match: f } }
";
    let output = explained(config, &["--tag", "l"], "");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("dpipe.yaml:2:"), "{said}");
    assert!(said.contains("cannot load"), "{said}");
}
