//! The command that runs the tests of configurations.

use std::process::Output;

use crate::process::{World, dpipe, text};

const CONFIG: &str = r#"
data_dir: state
inputs:
  log: { type: file, include: ["nowhere/*.log"], codec: json }
  traces: { type: file, include: ["nowhere/*.trace"], multiline: python }
  mail: { type: file, include: ["nowhere/*/*"], codec: json, tenant: { from: path, pattern: "nowhere/(?<tenant>\\w+)/" } }
filters:
  sorted:
    match: [log, mail]
    steps:
      - drop: { when: "drop:true" }
      - route: { large: "size:>100", small: "size:<=100" }
outputs:
  large: { type: file, match: sorted.large, path: "out/large" }
  joined: { type: file, match: traces, path: "out/traces", codec: json }
"#;

/// Runs these tests of the configuration above.
fn test(tests: &str, arguments: &[&str]) -> (World, Output) {
    let world = World::new(CONFIG);
    world.write("dpipe.test.yaml", tests);
    let output = dpipe().arg("test").arg(world.path("dpipe.yaml")).args(arguments).output();
    (world, output.unwrap())
}

/// Runs tests of which one must fail, and returns what was said of it.
fn failing(tests: &str) -> String {
    let (_world, output) = test(tests, &[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.ends_with("0 passed, 1 failed\n"), "{said}");
    said
}

#[test]
fn lines_go_the_whole_way_in_memory() {
    let (world, output) = test(
        r#"
tests:
  - name: sizes are sorted
    input: log
    file: nowhere/a.log
    now: 2026-01-31T12:00:00Z
    lines: |
      {"size":200,"b":1.50}
      {"size":7}
      {"size":300,"drop":true}
      {"size":
      {"size":-1}
    outputs:
      large: [ '{"size":200,"b":1.50}' ]
      joined: []
    dead: [ bad_json ]
    unmatched: 2
    filtered: { dropped: 1 }
  - name: what an event is can be told by fields and metadata
    input: log
    file: nowhere/a.log
    now: 2026-01-31T12:00:00Z
    lines: '{"size":200,"b":1.50,"c":{"d":[1,null]}}'
    outputs:
      large:
        - fields:
            b: 1.5
            c: { d: [1, null] }
            "c.d[0]": 1
            logfile: a
            _received: 2026-01-31T13:00:00+01:00
            _host: localhost
          absent: [a, c.e]
  - name: lines of a trace are joined
    input: traces
    lines: |
      ERROR before
      Traceback (most recent call last):
        File "a.py", line 1, in <module>
      ValueError: no
      after
    outputs:
      joined:
        - fields:
            message: |-
              ERROR before
              Traceback (most recent call last):
                File "a.py", line 1, in <module>
              ValueError: no
        - '{"message":"after"}'
  - name: the path names the tenant
    input: mail
    file: nowhere/shop/x
    lines: [ '{"size":101}' ]
    outputs:
      large: [ { fields: { _tenant: shop } } ]
"#,
        &[],
    );
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(said.ends_with("4 passed, 0 failed\n"), "{said}");
    let left = std::fs::read_dir(world.path("")).unwrap().count();
    assert_eq!(left, 2, "nothing but the configuration and its tests is there");
}

#[test]
fn what_differs_is_shown_line_by_line() {
    let said = failing(
        r#"
tests:
  - name: sizes
    input: log
    lines: |
      {"size":200,"a":1}
      {"size":300}
    outputs:
      large: [ '{"size":200,"a":2}' ]
"#,
    );
    assert!(said.contains("FAIL  sizes ("), "{said}");
    assert!(said.contains("dpipe.test.yaml:3:5)"), "{said}");
    assert!(said.contains("output `large`: expected 1 event, got 2"), "{said}");
    for line in ["          -   \"a\": 2", "          +   \"a\": 1", "          + {\"size\":300}"] {
        assert!(said.lines().any(|there| there == line), "{line}: {said}");
    }
}

#[test]
fn a_field_that_is_wrong_and_one_that_should_not_be_there_are_named() {
    let said = failing(
        r#"
tests:
  - { name: x, input: log, lines: '{"size":200,"a":1}', outputs: { large: [ { fields: { size: "200", b: 1 }, absent: [a] } ] } }
"#,
    );
    for line in ["- size: \"200\"", "+ size: 200", "+ b is not there", "+ a: 1"] {
        assert!(said.lines().any(|there| there.trim_start() == line), "{line}: {said}");
    }
}

#[test]
fn dead_letters_that_a_test_does_not_expect_make_it_fail() {
    let said = failing("tests: [ { name: x, input: log, lines: '{' } ]");
    assert!(said.contains("+ bad_json at decode: "), "{said}");
    let said = failing("tests: [ { name: x, input: log, lines: '{}', dead: [bad_json] } ]");
    assert!(said.contains("- bad_json"), "{said}");
}

#[test]
fn counts_that_are_wrong_make_a_test_fail() {
    let said = failing(
        "tests: [ { name: x, input: log, lines: '{\"drop\":true}', unmatched: 1, filtered: {}, flagged: {x: 1} } ]",
    );
    assert!(said.contains("unmatched: expected 1, got 0"), "{said}");
    assert!(said.contains("+ dropped: 1") && said.contains("- x: 1"), "{said}");
}

#[test]
fn a_file_of_no_tenant_makes_a_test_fail() {
    let said = failing("tests: [ { name: x, input: mail, file: elsewhere, lines: '{}' } ]");
    assert!(said.contains("the path `elsewhere` names no tenant"), "{said}");
}

#[test]
fn a_filter_chooses_tests_by_their_name() {
    let two =
        "tests: [ { name: one, input: log, lines: '{}' }, { name: two, input: log, lines: '{' } ]";
    let (_world, output) = test(two, &["--filter", "on"]);
    assert!(text(&output.stdout).ends_with("1 passed, 0 failed\n"));
    let (_world, output) = test(two, &["--filter", "three"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no test has `three` in its name"));
}

#[test]
fn every_mistake_in_tests_is_placed() {
    let (_world, output) = test(
        "tests:
  - { name: a, inptu: log, lines: x }
  - { name: b, input: lgo, lines: x, outputs: { larg: [] } }
  - { name: b, input: log, lines: x, now: today }
  - { name: b, input: log, lines: x, outputs: { large: [ { fields: { 'a..': 1 } } ] } }
  - { name: b, input: log, lines: x }
test: 1
",
        &[],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = text(&output.stderr);
    for words in [
        "2:16: error: unknown key `inptu`",
        "did you mean `input`?",
        "3:23: error: there is no input `lgo`",
        "did you mean `log`?",
        "3:49: error: there is no output `larg`",
        "expected a time with its zone",
        "expected a key at character 3",
        "6:13: error: two tests are called `b`",
        "7:1: error: unknown key `test`",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn without_tests_or_with_a_wrong_configuration_nothing_is_run() {
    let world = World::new(CONFIG);
    let run = |name: &str| dpipe().arg("test").arg(world.path(name)).output().unwrap();
    let output = run("dpipe.yaml");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("tests stand beside the configuration"));
    world.write("dpipe.test.yaml", "tests: []");
    assert!(text(&run("dpipe.yaml").stderr).contains("there are no tests"));
    world.write("wrong.yaml", "inptus: {}");
    assert_eq!(run("wrong.yaml").status.code(), Some(2));
}

#[test]
fn the_file_of_tests_may_be_named_as_well_and_counts_once() {
    let world = World::new(CONFIG);
    world.write("dpipe.test.yaml", "tests: [ { name: x, input: log, lines: '{}' } ]");
    let both = ["dpipe.yaml", "dpipe.test.yaml"].map(|name| world.path(name));
    let output = dpipe().arg("test").args(both).output().unwrap();
    assert!(text(&output.stdout).ends_with("1 passed, 0 failed\n"), "{}", text(&output.stdout));
}

#[test]
fn nothing_that_a_terminal_acts_on_is_shown() {
    let said = failing(
        "tests: [ { name: \"a\\eb\", input: log, lines: \"{\\\"size\\\":\\e[2J\", dead: [] } ]",
    );
    assert!(!said.chars().any(|c| c != '\n' && c.is_control()), "{said:?}");
}
