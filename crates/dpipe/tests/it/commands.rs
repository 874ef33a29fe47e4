//! The commands that run nothing.

use crate::process::{dpipe, root, run, text};

fn example(name: &str) -> String {
    root().join("examples").join(name).to_string_lossy().into_owned()
}

#[test]
fn check_says_how_safe_each_path_is() {
    let output = run(&["check", &example("als.yaml")], "");
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("level end_to_end, a receipt means"), "{said}");
    assert!(said.trim_end().ends_with("is fine"), "{said}");
}

/// What `check` says of a configuration that is fine.
fn checked(config: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = dpipe_in(dir.path(), config, &["check", "dpipe.yaml"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn dpipe_in(dir: &std::path::Path, config: &str, arguments: &[&str]) -> std::process::Output {
    std::fs::write(dir.join("dpipe.yaml"), config).unwrap();
    dpipe().args(arguments).current_dir(dir).output().unwrap()
}

#[test]
fn check_shows_where_the_tag_is_written_that_nobody_takes() {
    let said = checked(
        "inputs:\n  l: { type: stdin }\n  u: { type: stdin }\noutputs:\n  o: { type: blackhole, match: l }\n",
    );
    assert!(said.contains("dpipe.yaml:3:3: warning: nothing takes the tag `u`"), "{said}");
}

#[test]
fn check_warns_of_an_input_that_reads_what_an_output_writes() {
    let config = |include: &str, exclude: &str, path: &str| {
        format!(
            "data_dir: state\ninputs:\n  l:\n    type: file\n    include: [\"{include}\"]\n    \
             exclude: [{exclude}]\noutputs:\n  o: {{ type: file, match: l, path: \"{path}\" }}\n"
        )
    };
    for (include, path) in [
        ("logs/*.log", "./logs/%Y-%m-%d.log"),
        ("./**/*.log", "out/{_tenant}/x.log"),
        ("../x/[a-z]*.log", "../x/copy.log"),
        ("state/**", "{data_dir}/copy/{_tenant}.log"),
        ("{data_dir}/copy/*", "state/copy/a"),
    ] {
        let said = checked(&config(include, "", path));
        let at = "dpipe.yaml:5:14: warning: `l` reads files that `o` writes";
        assert!(said.contains(at), "{include} {path}: {said}");
    }
    for (include, exclude, path) in [
        ("logs/*.log", "", "out/%Y.log"),
        ("logs/*.log", "", "logs/%Y.jsonl"),
        ("logs/*", "'2*', '0*'", "logs/%Y.log"),
        ("logs/*", "logs/0.log", "logs/%Y.log"),
    ] {
        let said = checked(&config(include, exclude, path));
        assert!(!said.contains("warning"), "{include} {exclude} {path}: {said}");
    }
}

#[test]
fn a_file_that_a_step_needs_and_that_is_missing_is_shown_where_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let config = "api: { listen: \"off\" }\ninputs:\n  l: { type: stdin }\nfilters:\n  f:\n    match: l\n    steps:\n      - geoip: { field: ip, into: c, database: no.mmdb }\noutputs:\n  o: { type: blackhole, match: f }\n";
    let output = dpipe_in(dir.path(), config, &["run", "dpipe.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("dpipe.yaml:8:48: error: `f` cannot start: cannot load"), "{said}");
    assert!(said.contains("8 |       - geoip"), "{said}");
}

#[test]
fn the_help_says_what_dpipe_is() {
    let said = text(&run(&["--help"], "").stdout);
    assert!(said.starts_with("A data pipeline for log events"), "{said}");
}

#[test]
fn graph_draws_in_every_notation() {
    for (format, mark) in
        [("text", "decorated"), ("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg")]
    {
        let output = run(&["graph", &example("als.yaml"), "--format", format], "");
        assert!(text(&output.stdout).contains(mark), "{format}");
    }
}

#[test]
fn schema_is_json_and_knows_the_plugins() {
    let schema: serde_json::Value = serde_json::from_slice(&run(&["schema"], "").stdout).unwrap();
    let text = schema.to_string();
    for word in ["geoip", "archive", "blackhole", "bytes_in_flight", "when_full"] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn a_run_says_which_globs_find_nothing_and_that_nothing_came_in() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("logs")).unwrap();
    let config = "api: { listen: \"off\" }\ninputs:\n  l: { type: archive, include: [logs, \"*.txt\"] }\noutputs:\n  o: { type: blackhole, match: l }\n";
    let output = dpipe_in(dir.path(), config, &["run", "--batch", "dpipe.yaml"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("`logs` is a folder: write `logs/*`"), "{said}");
    assert!(said.contains("no file matches `*.txt` yet"), "{said}");
    assert!(said.contains("no event came in"), "{said}");
    std::fs::write(dir.path().join("logs/a"), "x\n").unwrap();
    let config = config.replace("[logs,", "[\"logs/*\",");
    let said = text(&dpipe_in(dir.path(), &config, &["run", "--batch", "dpipe.yaml"]).stderr);
    assert!(!said.contains("logs/*") && !said.contains("no event came in"), "{said}");
}

#[test]
fn run_refuses_what_check_refuses_and_ends_alike() {
    let dir = tempfile::tempdir().unwrap();
    for listen in ["0.0.0.0:9999", "127.0.0.1:99999", "everywhere", "9876", ":9876", ""] {
        let config = format!(
            "api: {{ listen: \"{listen}\" }}\ninputs:\n  l: {{ type: stdin }}\noutputs:\n  o: {{ type: blackhole, match: l }}\n"
        );
        let [check, run] = ["check", "run"].map(|command| {
            let output = dpipe_in(dir.path(), &config, &[command, "dpipe.yaml"]);
            (output.status.code(), text(&output.stderr))
        });
        assert_eq!(check.0, Some(2), "{listen}: {}", check.1);
        assert!(check.1.contains("dpipe.yaml:1:"), "{}", check.1);
        assert_eq!(run, check);
    }
}
