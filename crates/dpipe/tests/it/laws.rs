//! The laws that every plugin of the registry keeps: it is documented, its example is valid, a wrong
//! key is refused with its place, and it runs, ends in time and keeps its books.

use std::path::Path;

use dpipe_config::load::{Format, parse};
use dpipe_config::plan::Plan;
use dpipe_plugin::Entry;
use dpipe_plugin::settings::SourceFile;
use dpipe_plugins::BUILT_IN;

use crate::neighbor::neighbor;
use crate::process::{dpipe, root, text};

/// A plugin as the laws see it.
pub(crate) struct Plugin {
    pub(crate) role: &'static str,
    pub(crate) name: &'static str,
    example: String,
    pub(crate) schema: serde_json::Value,
    summary: &'static str,
}

pub(crate) fn all() -> Vec<Plugin> {
    fn list<S: ?Sized>(role: &'static str, entries: &'static [Entry<S>], all: &mut Vec<Plugin>) {
        for entry in entries {
            let mut generator = schemars::SchemaGenerator::default();
            let documentation = entry.documentation();
            let example = documentation
                .split("```yaml\n")
                .nth(1)
                .and_then(|rest| rest.split("```").next())
                .unwrap_or_else(|| panic!("{role} {} has no example", entry.name));
            all.push(Plugin {
                role,
                name: entry.name,
                example: example.to_owned(),
                schema: (entry.schema)(&mut generator).to_value(),
                summary: entry.summary(),
            });
        }
    }
    let mut all = Vec::new();
    list("input", BUILT_IN.inputs, &mut all);
    list("decoder", BUILT_IN.decoders, &mut all);
    list("encoder", BUILT_IN.encoders, &mut all);
    list("step", BUILT_IN.steps, &mut all);
    list("output", BUILT_IN.outputs, &mut all);
    all
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// A whole pipeline around the plugin's example, with 200 made-up events going through.
pub(crate) fn pipeline(plugin: &Plugin) -> String {
    let source = "inputs:\n  logs:\n    type: generate\n    events_per_second: 0\n    count: 200\n    codec: als\n";
    let sink = "outputs:\n  sink: { type: blackhole, match: logs }\n";
    let example = &plugin.example;
    match plugin.role {
        "input" => {
            let mut input = indented(example, 4);
            if plugin.name == "generate" {
                input.push_str("    count: 200\n");
            }
            format!("inputs:\n  logs:\n{input}{sink}")
        }
        "decoder" => {
            source.replace("    codec: als\n", &format!("    codec:\n{}", indented(example, 6)))
                + sink
        }
        "encoder" => format!(
            "{source}outputs:\n  sink:\n    type: file\n    match: logs\n    path: got/out\n    codec:\n{}",
            indented(example, 6)
        ),
        "step" => {
            let step = indented(example, 8);
            let step = step.replacen("        ", "      - ", 1);
            let outputs = "outputs:\n  sink: { type: blackhole, match: \"f**\" }\n";
            format!("{source}filters:\n  f:\n    match: logs\n    steps:\n{step}{outputs}")
        }
        _ => {
            let mut output = indented(example, 4);
            if !example.contains("match:") {
                output.push_str("    match: logs\n");
            }
            let output = output.replace("match: [decorated]", "match: [logs]");
            format!("{source}outputs:\n  sink:\n{output}")
        }
    }
}

fn check(config: &str) -> Result<Plan, String> {
    let file = SourceFile::new("law.yaml", config);
    let root = parse(&file, Format::Yaml).map_err(|problems| problems.render())?;
    let checked = Plan::check(&root, &BUILT_IN, "law.yaml".into());
    checked.map(|(plan, _)| plan).map_err(|problems| problems.render())
}

#[test]
fn every_plugin_and_every_option_is_documented() {
    for plugin in all() {
        let name = format!("{} {}", plugin.role, plugin.name);
        assert!(plugin.summary.ends_with('.'), "the first line of {name} is a sentence");
        let properties = plugin.schema["properties"].as_object().cloned().unwrap_or_default();
        for (option, schema) in properties {
            let has_words = schema["description"].is_string() || schema["$ref"].is_string();
            assert!(has_words, "{name}: `{option}` has no words");
        }
    }
}

#[test]
fn every_example_is_valid() {
    for plugin in all() {
        let config = pipeline(&plugin);
        if let Err(why) = check(&config) {
            panic!("the example of {} {}:\n{config}\n{why}", plugin.role, plugin.name);
        }
    }
}

#[test]
fn every_plugin_refuses_a_key_that_it_does_not_know() {
    for plugin in all().into_iter().filter(|plugin| plugin.schema["properties"].is_object()) {
        let key = "no_such_key: 1\n";
        let wrong = match plugin.role {
            "step" => format!("{}: {{ {} }}", plugin.name, key.trim()),
            _ => format!("{}{key}", plugin.example),
        };
        let why = check(&pipeline(&Plugin { example: wrong, ..plugin })).unwrap_err();
        assert!(why.contains("no_such_key") && why.contains("law.yaml:"), "{why}");
    }
}

#[test]
fn every_plugin_runs_ends_and_keeps_its_books() {
    let neighbor = neighbor();
    for plugin in all() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::os::unix::fs::symlink(root().join("examples/data"), &data).unwrap();
        let children = dir.path().join("children");
        std::os::unix::fs::symlink(root().join("examples/children"), &children).unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        std::fs::write(dir.path().join("logs/a.log"), "us,1393675200,{\"a\":1}\nbroken\n").unwrap();
        let mut config = format!("api: {{ listen: \"off\" }}\n{}", pipeline(&plugin));
        if plugin.role == "output" {
            // What an output sends to, there is.
            for example in ["127.0.0.1:5140", "127.0.0.1:9"] {
                config = config.replace(example, &neighbor.to_string());
            }
        }
        std::fs::write(dir.path().join("law.yaml"), &config).unwrap();
        let output = run(&dir.path().join("law.yaml"), check(&config).unwrap().ends());
        let said = text(&output.stderr);
        let name = format!("{} {}\n{config}\n{said}", plugin.role, plugin.name);
        assert!(output.status.success(), "{name}");
        assert!(said.contains("the books balance"), "{name}");
        assert!(!said.contains("panicked"), "{name}");
    }
}

/// Runs to the end of the inputs; one that has none is told to stop.
fn run(config: &Path, ends: bool) -> std::process::Output {
    let mut command = dpipe();
    command.args(["run", "--batch"]).arg(config);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    if !ends {
        let data = config.parent().unwrap().join("dpipe-data");
        crate::process::wait_until("it runs", || data.join("checkpoints").exists());
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }
    child.wait_with_output().unwrap()
}
