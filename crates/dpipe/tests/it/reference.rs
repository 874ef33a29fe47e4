//! The reference: what `dpipe plugins` says and `docs/reference` holds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::laws;
use crate::process::{root, run, text};

/// The pages in a folder, by their paths below it.
fn pages(folder: &Path, below: &str) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(folder.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            pages.extend(self::pages(folder, &path));
        } else {
            pages.insert(path, fs::read_to_string(entry.path()).unwrap());
        }
    }
    pages
}

#[test]
fn the_reference_in_docs_is_what_the_types_say() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["reference", dir.path().to_str().unwrap()], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (wanted, found) = (pages(dir.path(), ""), pages(&root().join("docs/reference"), ""));
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted), "run `cargo xtask docs`");
    for (path, text) in &wanted {
        assert!(*text == found[path], "docs/reference/{path} is old: run `cargo xtask docs`");
    }
}

#[test]
fn every_plugin_has_a_page_that_tells_every_option_and_what_holds_without_it() {
    for plugin in laws::all() {
        let output = run(&["plugins", plugin.name], "");
        let page = text(&output.stdout);
        let name = format!("{} {}", plugin.role, plugin.name);
        assert!(output.status.success(), "{name}");
        for (option, _) in plugin.schema["properties"].as_object().into_iter().flatten() {
            assert!(page.contains(&format!("\n- `{option}` (")), "{name} {option}: {page}");
        }
        for item in items(&page) {
            let Some((_, about)) = item.split_once("` (") else { continue };
            let about = about.split_once("): ").map_or(about, |(about, _)| about);
            let tells = |word: &str| about.contains(&format!("; {word}"));
            let is_told =
                about == "map" || ["default", "required", "optional"].into_iter().any(tells);
            assert!(is_told, "{name}: what holds without this option? {item}");
        }
    }
}

/// The items of the lists of options on a page, each in one line.
fn items(page: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut is_option = false;
    for line in page.lines() {
        if line.starts_with('#') {
            is_option = line.starts_with("## Options");
        }
        if !is_option {
            continue;
        }
        let text = line.trim_start();
        if text.starts_with("- `") {
            items.push(text.to_owned());
        } else if line.starts_with("  ")
            && let Some(item) = items.last_mut()
        {
            item.push_str(&format!(" {text}"));
        }
    }
    items
}

#[test]
fn plugins_lists_all_and_explains_one() {
    let all = text(&run(&["plugins"], "").stdout);
    assert!(all.contains("geoip") && all.contains("blackhole"), "{all}");
    let file = text(&run(&["plugins", "file"], "").stdout);
    for part in [
        "# `file` (input)",
        "# `file` (output)",
        "- `read_from` (`beginning` or `end`; default `beginning`)",
        "  - `end`: After the last line that is there.",
        "  - `ratio_max` (whole number; default `100`)",
        "- `codec` (codec; default `text`)",
        "- `codec` (codec; default `json`)",
        "- `multiline` (",
        "- `match` (text, or list of texts; required)",
        "  - `when_full` (`block` or `drop_oldest`; default `block`)",
    ] {
        assert!(file.contains(part), "{part}: {file}");
    }
    let convert = text(&run(&["plugins", "convert"], "").stdout);
    assert!(convert.contains("Map from names to `int`, `float`, `string` or `bool`"), "{convert}");
    assert!(convert.contains("- `when` (condition; optional)"), "{convert}");
    let json = text(&run(&["plugins", "json"], "").stdout);
    assert_eq!(json.matches("JSON objects, one a line.").count(), 1, "{json}");
    assert!(json.contains("## Options for decoding") && json.contains("## Options for encoding"));
}

#[test]
fn a_plugin_that_is_not_there_is_answered_with_each_name_once() {
    let said = |name: &str| text(&run(&["plugins", name], "").stderr);
    assert!(said("bukcet").contains("did you mean `bucket`?"));
    let all = said("nope");
    let list = all.split_once("there is `").expect("it lists names").1;
    let mut names: Vec<&str> = list.split('`').step_by(2).filter(|name| !name.is_empty()).collect();
    let more = list.split(" and ").nth(1).and_then(|rest| rest.split(' ').next());
    let more = more.map_or(0, |more| more.parse().unwrap());
    names.retain(|name| !name.contains(" more"));
    let listed = names.len() + more;
    names.sort_unstable();
    names.dedup();
    let mut there: Vec<&str> = laws::all().iter().map(|plugin| plugin.name).collect();
    there.sort_unstable();
    there.dedup();
    assert_eq!(names.len() + more, listed, "a name is there twice: {all}");
    assert_eq!(listed, there.len(), "{all}");
}
