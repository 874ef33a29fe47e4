//! Makes the file of a new plugin: one that compiles, is documented and tested, and does a little, to
//! be changed into what is wanted. The templates are compiled and tested with the plugins.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

const STEP: &str = include_str!("new_plugin/step.rs");
const CODEC: &str = include_str!("new_plugin/codec.rs");
const INPUT: &str = include_str!("new_plugin/input.rs");
const OUTPUT: &str = include_str!("new_plugin/output.rs");

const FOLDER: &str = "crates/dpipe-plugins/src";

/// The names that stand in the templates.
const SNAKE: &str = "new_plugin";
const CAMEL: &str = "NewPlugin";

pub(crate) fn make(root: &Path, role: &str, name: &str) -> Result<()> {
    let (folder, template, kinds): (_, _, &[(&str, &str)]) = match role {
        "step" => ("steps", STEP, &[("step", "Config")]),
        "input" => ("inputs", INPUT, &[("input", "Config")]),
        "output" => ("outputs", OUTPUT, &[("output", "Config")]),
        "codec" => ("codecs", CODEC, &[("decoder", "Decode"), ("encoder", "Encode")]),
        _ => bail!("there is no role `{role}`; there is input, codec, step, output"),
    };
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure!(
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_word),
        "`{name}` is no name of a plugin: it is a word in lower case, such as `upcase`"
    );
    let file = root.join(format!("{FOLDER}/{folder}/{name}.rs"));
    ensure!(!file.exists(), "there is a plugin `{name}` already: {}", file.display());
    let list = root.join(format!("{FOLDER}/{folder}.rs"));
    let mut text = read(&list)?;
    text = with_line(&text, "mod ", &format!("mod {name};"), 0)?;
    for (kind, config) in kinds {
        let start = format!("    Entry::{kind}::<");
        let entry = format!("{start}{name}::{config}>(include_str!(\"{folder}/{name}.rs\")),");
        text = with_line(&text, &start, &entry, start.len())?;
    }
    write(&file, &template.replace(SNAKE, name).replace(CAMEL, &camel(name)))?;
    write(&list, &text)?;
    let commands = [
        (format!("cargo test -p dpipe-plugins {name}"), "its own tests"),
        ("cargo xtask docs".to_owned(), "its page in docs/reference"),
        ("cargo test -p dpipe --test it laws".to_owned(), "what every plugin must keep"),
    ];
    println!("{FOLDER}/{folder}/{name}.rs is there, and in the list of {FOLDER}/{folder}.rs.");
    println!("Change it into what you want, then:\n");
    for (command, what) in commands {
        println!("    {command:<44} {what}");
    }
    Ok(())
}

/// The text with one more line among the sorted ones that start so.
fn with_line(text: &str, start: &str, line: &str, name_at: usize) -> Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.starts_with(start));
    let first = first.with_context(|| format!("no line starts with `{start}`"))?;
    let alike = lines[first..].iter().take_while(|line| line.starts_with(start));
    // Up to `;` or `:`, so that `a` stands before `a_b`.
    let key = |line: &str| line[name_at..].split([';', ':']).next().unwrap_or_default().to_owned();
    let at = first + alike.take_while(|other| key(other) < key(line)).count();
    let (head, tail) = lines.split_at(at);
    let all: Vec<&str> = head.iter().chain([&line]).chain(tail).copied().collect();
    Ok(all.join("\n") + "\n")
}

/// `to_upper` as `ToUpper`.
fn camel(name: &str) -> String {
    let mut out = String::new();
    for part in name.split('_') {
        let mut chars = part.chars();
        out.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with the lists of the one we live in, and what `make` did to it.
    struct Copy(std::path::PathBuf);

    impl Copy {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("dpipe-{name}-{}", std::process::id()));
            for role in ["inputs", "codecs", "steps", "outputs"] {
                fs::create_dir_all(folder.join(FOLDER).join(role)).unwrap();
                let list = format!("{FOLDER}/{role}.rs");
                fs::copy(crate::tidy::root().join(&list), folder.join(&list)).unwrap();
            }
            Copy(folder)
        }

        fn text(&self, path: &str) -> String {
            read(&self.0.join(FOLDER).join(path)).unwrap()
        }
    }

    impl Drop for Copy {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_new_plugin_has_its_name_and_its_sorted_line_in_the_list() {
        let copy = Copy::new("new-plugin");
        for (role, folder) in
            [("step", "steps"), ("input", "inputs"), ("output", "outputs"), ("codec", "codecs")]
        {
            make(&copy.0, role, "geo_x").unwrap();
            let file = copy.text(&format!("{folder}/geo_x.rs"));
            assert!(file.starts_with("//! "), "{role}");
            assert!(file.contains("const NAME: &'static str = \"geo_x\";"), "{role}");
            assert!(file.contains("GeoX") && !file.contains("new_plugin"), "{role}");
            let list = copy.text(&format!("{folder}.rs"));
            let modules = list.lines().skip_while(|line| !line.starts_with("mod "));
            let modules: Vec<&str> = modules.take_while(|line| !line.is_empty()).collect();
            assert!(modules.is_sorted() && modules.contains(&"mod geo_x;"), "{modules:?}");
            assert!(list.contains(&format!("(include_str!(\"{folder}/geo_x.rs\")),")), "{list}");
        }
        make(&copy.0, "step", "zz").unwrap();
        let steps = copy.text("steps.rs");
        assert!(steps.contains("mod zz;\n\nuse "), "the last of the modules: {steps}");
        let place = |text: &str| steps.find(text).unwrap();
        assert!(place("drop::Config") < place("geo_x::Config"));
        assert!(place("geo_x::Config") < place("geoip::Config"));
        let again = make(&copy.0, "step", "geo_x").unwrap_err().to_string();
        assert!(again.contains("there is a plugin `geo_x` already"), "{again}");
    }

    #[test]
    fn a_role_or_a_name_that_cannot_be_is_refused_before_anything_is_written() {
        let copy = Copy::new("refused");
        for (role, name) in [("filter", "x"), ("step", "Upper"), ("step", "../x"), ("step", "")] {
            assert!(make(&copy.0, role, name).is_err(), "{role} {name}");
        }
        assert_eq!(fs::read_dir(copy.0.join(FOLDER).join("steps")).unwrap().count(), 0);
    }
}
