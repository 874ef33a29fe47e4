use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use serde::Deserialize;

use dpipe_plugin::settings::{
    Node, NodeValue, Problems, ScalarKind, Secret, SourceFile, deserialize,
};

use super::*;

/// Variables and files that exist only in a test.
#[derive(Default)]
struct World {
    variables: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl World {
    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.insert(name, value);
        self
    }

    fn file(mut self, path: &'static str, content: impl AsRef<[u8]>) -> Self {
        self.files.insert(path, content.as_ref().to_vec());
        self
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(Path::new("main.yaml"), self)
    }

    fn mistakes(&self) -> Vec<String> {
        said(&self.load().unwrap_err())
    }
}

impl Surroundings for World {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).map(OsString::from)
    }

    fn read(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let content = path.to_str().and_then(|path| self.files.get(path));
        let content = content.ok_or(io::ErrorKind::NotFound)?;
        Ok(content[..content.len().min(bytes_max)].to_vec())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let within = |path: &&str| Path::new(path).parent() == Some(folder);
        let names = self.files.keys().copied().filter(within);
        // Backwards: what uses a listing must sort it.
        Ok(names.rev().filter_map(|path| Path::new(path).file_name()).map(OsString::from).collect())
    }
}

fn said(problems: &Problems) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn tree(name: &str, text: &str) -> Result<Node, Problems> {
    parse(&SourceFile::new(name, text), Format::of(Path::new(name)))
}

/// The tree in a short notation, in which strings are in quotes and other scalars are not.
fn short(node: &Node) -> String {
    match &node.value {
        NodeValue::Scalar(scalar) => match scalar.kind {
            ScalarKind::String => format!("{:?}", scalar.text),
            ScalarKind::Null => "null".to_owned(),
            _ => scalar.text.clone(),
        },
        NodeValue::List(items) => {
            format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", "))
        }
        NodeValue::Map(entries) => {
            let entries =
                entries.iter().map(|entry| format!("{}: {}", entry.key, short(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn read(name: &str, text: &str) -> String {
    short(&tree(name, text).unwrap())
}

fn wrong(name: &str, text: &str) -> String {
    said(&tree(name, text).unwrap_err()).join("\n")
}

#[test]
fn the_three_notations_make_the_same_tree() {
    let yaml = "b: 1\na:\n  - x\n  - 2.50\nc: {d: true, e: 'true'}\n";
    let json = r#"{ "b": 1, "a": ["x", 2.50], "c": { "d": true, "e": "true" } }"#;
    let toml = "b = 1\na = ['x', 2.50]\n[c]\nd = true\ne = 'true'\n";
    let expected = r#"{b: 1, a: ["x", 2.50], c: {d: true, e: "true"}}"#;
    for (name, text) in [("a.yaml", yaml), ("a.json", json), ("a.toml", toml)] {
        assert_eq!(read(name, text), expected, "{name}");
    }
}

#[test]
fn every_value_and_key_knows_its_place_in_all_notations() {
    let yaml = "a: 1\nb:\n  c: [é, 'y z']\n";
    let json = "{ \"a\": 1,\n  \"b\": { \"c\": [\"é\", \"y z\"] } }";
    let toml = "a = 1\n[b]\nc = ['é', 'y z']\n";
    for (name, text, key, place) in [
        ("a.yaml", yaml, "3:3", "3:10"),
        ("a.json", json, "2:10", "2:21"),
        ("a.toml", toml, "3:1", "3:11"),
    ] {
        let root = tree(name, text).unwrap();
        let node = root.get("b").and_then(|b| b.get("c")).unwrap();
        assert_eq!(node.key_span.as_ref().unwrap().to_string(), format!("{name}:{key}"));
        let item = &node.as_list().unwrap()[1];
        assert_eq!(item.span.to_string(), format!("{name}:{place}"));
        assert_eq!(item.span_in_text(2..3).text(), "z");
    }
}

#[test]
fn a_mistake_of_type_points_at_the_value_in_all_notations() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[allow(dead_code)]
        port: u16,
    }
    for (name, text, message) in [
        ("a.yaml", "port: x\n", "a.yaml:1:7: error: expected a whole number, found the string `x`"),
        (
            "a.json",
            "{\n \"port\": []}",
            "a.json:2:10: error: expected a whole number, found a list",
        ),
        ("a.toml", "port = true", "a.toml:1:8: error: expected a whole number, found `true`"),
        ("a.toml", "prt = 1", "a.toml:1:1: error: unknown key `prt` (did you mean `port`?)"),
    ] {
        let problem = deserialize::<Config>(&tree(name, text).unwrap()).unwrap_err();
        assert_eq!(problem.to_string(), message);
    }
}

#[test]
fn a_block_ends_with_its_last_value() {
    let root = tree("a.yaml", "a:\n  b: 1\n  c: x\n\n# over\nd: 2\n").unwrap();
    assert_eq!(root.get("a").unwrap().span.text(), "b: 1\n  c: x");
}

#[test]
fn nothing_behind_a_key_is_pointed_at_by_the_key() {
    let root = tree("a.yaml", "a:\n  b:\nc: 1\n").unwrap();
    let nothing = root.get("a").and_then(|a| a.get("b")).unwrap();
    assert!(nothing.is_null());
    assert_eq!(nothing.place().text(), "b");
}

#[test]
fn numbers_keep_the_digits_in_which_they_were_written() {
    let yaml = "[1.10, 0x1F, 123456789012345678901234567890]";
    assert_eq!(read("a.yaml", yaml), yaml);
    assert_eq!(
        read("a.json", "[1.10, 1e400, 123456789012345678901234567890]"),
        "[1.10, 1e400, 123456789012345678901234567890]"
    );
    assert_eq!(read("a.toml", "a = [1_0.10, 0xff, 0b11]"), "{a: [10.10, 0xff, 0b11]}");
}

#[test]
fn a_key_that_comes_twice_is_a_mistake_at_the_second() {
    let yaml = wrong("a.yaml", "a: 1\nb: 2\na: 3\nb: 4\n");
    assert_eq!(
        yaml,
        "a.yaml:3:1: error: key `a` is given twice (it was first given in line 1)\n\
         a.yaml:4:1: error: key `b` is given twice (it was first given in line 2)"
    );
    assert!(wrong("a.json", "{\"a\": 1,\n \"a\": 2}").starts_with("a.json:2:2: error: key `a`"));
    assert!(wrong("a.toml", "a = 1\na = 2\n").starts_with("a.toml:2:1: error: duplicate key"));
}

#[test]
fn yaml_mistakes_have_a_place_and_a_way_out() {
    let cases = [
        ("a: 1\n\tb: 2\n", "2:1: error: a tab is not allowed here (indent with spaces)"),
        ("a: 1\n---\nb: 2\n", "2:1: error: a second document begins here"),
        (
            "a: {p: ${PORT}}\n",
            "1:8: error: a `${…}` within [ ] or { } must stand in quotes (write \"${PORT}\")",
        ),
        (
            "a: [${A:-1}, b]\n",
            "1:5: error: a `${…}` within [ ] or { } must stand in quotes (write \"${A:-1}\")",
        ),
        (
            "m: [a, *.b]\n",
            "1:8: error: a value that begins with `*` must stand in quotes (write \"*.b\")",
        ),
        ("m: *\n", "1:4: error: a value that begins with `*` must stand in quotes (write \"*\")"),
        ("m: *base\n", "1:4: error: there is no anchor for the alias `*base`"),
        (
            "p: %Y-%m\n",
            "1:4: error: a value that begins with `%` must stand in quotes (write \"%Y-%m\")",
        ),
        ("p: {data_dir}/x\n", "1:14: error: this stands behind a closed bracket"),
        ("a: 'x\n", "1:4: error: this quote is never closed"),
        ("a: [1, 2\n", "1:4: error: this `[` is never closed"),
        ("a: [1}\n", "1:4: error: this `[` is closed by `}`"),
        ("a: b: c\n", "1:5: error: a `:` is not allowed here (put a text with `: ` in quotes)"),
        ("a: 1\n  b: 2\n", "2:4: error: a `:` is not allowed here (indent this key"),
        ("a: \"\\q\"\n", "1:4: error: the text in these quotes has an escape"),
        ("a: !x 1\n", "error: tags (`!…`) mean nothing"),
        ("? [a]\n: 1\n", "1:3: error: a key must be a name, found a list"),
        ("a: &x [*x]\n", "1:8: error: this alias is part of what it refers to"),
    ];
    for (text, expected) in cases {
        let said = wrong("a.yaml", text);
        assert!(said.contains(expected), "{text:?}\nsaid {said}\nnot  {expected}");
    }
}

#[test]
fn json_mistakes_have_a_place_and_a_way_out() {
    let cases = [
        ("{\"a\": 1,}", "1:8: error: JSON has no comma behind the last value"),
        ("[1, 2, ]", "1:6: error: JSON has no comma behind the last value"),
        ("{\"a\" 1}", "1:6: error: expected `:` behind a key, found `1`"),
        ("{a: 1}", "1:2: error: expected a key in double quotes, found `a`"),
        ("{\"a\": 'x'}", "1:7: error: expected a value, found `'` (JSON has double quotes only)"),
        ("{\"a\": yes}", "1:7: error: expected a value, found `yes` (write \"yes\")"),
        ("{\"a\": 01}", "1:7: error: `01` is not a number as JSON writes it"),
        ("{\"a\": 1 // x\n}", "1:9: error: JSON has no comments"),
        ("{\"a\": \"x\n\"}", "1:7: error: this quote is never closed"),
        ("{\"a\": \"\\x\"}", "1:8: error: this escape does not exist"),
        ("{\"a\": \"\\ud800\"}", "1:8: error: half of a surrogate pair is no character"),
        ("{\"a\": \"\t\"}", "1:8: error: a control character must be escaped"),
        ("{\"a\": [1", "1:9: error: expected `,` or `]`, found the end of the file"),
        ("{} x", "1:4: error: expected the end of the file, found `x`"),
    ];
    for (text, expected) in cases {
        let said = wrong("a.json", text);
        assert!(said.contains(expected), "{text:?}\nsaid {said}\nnot  {expected}");
    }
}

#[test]
fn json_strings_are_unescaped() {
    assert_eq!(read("a.json", r#"["\"\\\/\n\u00e9\ud83d\ude00"]"#), r#"["\"\\/\né😀"]"#);
}

#[test]
fn toml_mistakes_are_found_together() {
    let said = wrong("a.toml", "a = \nb = 1\nb = 2\n");
    assert!(said.contains("a.toml:1:5: error:") && said.contains("a.toml:3:1: error:"), "{said}");
}

#[test]
fn toml_tables_keep_the_order_in_which_they_were_written() {
    let text =
        "[outputs.z]\ntype = 'file'\n[outputs.a]\ntype = 'x'\n[[steps]]\nb = 1\n[[steps]]\na = 1\n";
    let expected = r#"{outputs: {z: {type: "file"}, a: {type: "x"}}, steps: [{b: 1}, {a: 1}]}"#;
    assert_eq!(read("a.toml", text), expected);
}

#[test]
fn anchors_aliases_and_merge_keys_are_resolved() {
    let text = "base: &base {a: 1, b: 2}\nx: *base\ny:\n  <<: *base\n  b: 3\n";
    assert_eq!(read("a.yaml", text), "{base: {a: 1, b: 2}, x: {a: 1, b: 2}, y: {b: 3, a: 1}}");
    assert!(wrong("a.yaml", "x:\n  <<: 1\n").contains("2:7: error: `<<` takes over the entries"));
}

#[test]
fn aliases_cannot_blow_the_tree_up() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        text += &format!("a{n}: &a{n} [{aliases}]\n");
    }
    let said = wrong("a.yaml", &text);
    assert!(said.contains("a.yaml:5:") && said.contains("more than 100000 values"), "{said}");
}

#[test]
fn maps_may_have_very_many_keys() {
    let many = |n: usize| (0..n).map(|n| format!("\"key{n}\": 1"));
    let json = format!("{{{}}}", many(40_000).collect::<Vec<_>>().join(","));
    assert_eq!(tree("a.json", &json).unwrap().as_map().unwrap().len(), 40_000);
    let yaml = many(20_000).map(|line| line + "\n").collect::<String>();
    let said = wrong("a.yaml", &(yaml + "key7: 2\n"));
    assert!(said.contains("key `key7` is given twice (it was first given in line 8)"), "{said}");
}

#[test]
fn nesting_has_a_limit_in_all_notations() {
    let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for (name, before) in [("a.yaml", ""), ("a.json", ""), ("a.toml", "a = ")] {
        let own = usize::from(!before.is_empty());
        assert!(tree(name, &format!("{before}{}", lists(DEPTH_MAX - own))).is_ok(), "{name}");
        let said = wrong(name, &format!("{before}{}", lists(DEPTH_MAX + 1 - own)));
        assert!(said.contains("nested deeper than 64"), "{name}: {said}");
    }
    let mut chain = "a0: &a0 [1]\n".to_owned();
    for n in 1..70 {
        chain += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
    }
    assert!(wrong("a.yaml", &chain).contains("nested deeper than 64"));
    assert!(wrong("a.json", &"[".repeat(100_000)).contains("nested deeper"));
}

#[test]
fn variables_and_files_are_put_into_string_values() {
    let root = World::default()
        .variable("PORT", "8080")
        .variable("HOME", "/home/x")
        .variable("EMPTY", "")
        .file("secret.txt", "hunter2\n")
        .file(
            "main.yaml",
            "port: ${PORT}\npath: \"${HOME}/y\"\nd: ${NONE:-a}\ne: ${EMPTY:-b}\nn: ${NONE:-${PORT}}\n\
             token: ${file:secret.txt}\nprice: $$5\nre: ^a$\nq: '${PORT}'\n${PORT}: key\n",
        )
        .load()
        .unwrap()
        .root;
    assert_eq!(
        short(&root),
        r#"{port: 8080, path: "/home/x/y", d: "a", e: "b", n: 8080, token: "hunter2", price: "$5", re: "^a$", q: "8080", ${PORT}: "key"}"#
    );
}

#[test]
fn a_value_from_outside_cannot_become_structure_or_be_looked_into_again() {
    let hostile = "x\nadmin: true # {a: [1]} ${PORT} $$ \"'";
    let root = World::default()
        .variable("X", hostile)
        .variable("NULL", "null")
        .variable("EMPTY", "")
        .file("main.yaml", "x: ${X}\ny: \"${X}\"\nn: ${NULL}\ne: ${EMPTY}\n")
        .load()
        .unwrap()
        .root;
    assert_eq!(root.as_map().unwrap().len(), 4);
    assert_eq!(root.get("x").unwrap().as_str(), Some(hostile));
    assert_eq!(root.get("y").unwrap().as_str(), Some(hostile));
    assert_eq!(root.get("n").unwrap().as_str(), Some("null"));
    assert_eq!(root.get("e").unwrap().as_str(), Some(""));
}

#[test]
fn what_cannot_be_put_in_is_pointed_at() {
    let said = World::default()
        .file(
            "main.yaml",
            "a: x${NONE}y\nb: ${NONE:?where the logs are}\nc: ${file:none.txt}\nd: ${1}\ne: '${NONE'\nf: ${fil:/x}\ng: ${A-b}\n",
        )
        .mistakes();
    let expected = [
        "main.yaml:1:5: error: environment variable `NONE` is not set (set it, or give a default: `${NONE:-…}`)",
        "main.yaml:2:4: error: environment variable `NONE` is needed: where the logs are",
        "main.yaml:3:4: error: cannot read `none.txt`: there is no such file",
        "main.yaml:4:4: error: `${1}` does not name a variable (write `$$` for a dollar that is meant as one)",
        "main.yaml:5:5: error: this `${` is never closed (write `$$` for a dollar that is meant as one)",
        "main.yaml:6:4: error: `${fil:/x}` is none of the forms that are known (did you mean `${file:…}`?)",
        "main.yaml:7:4: error: `${A-b}` is none of the forms that are known (there is `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `${file:/path}`)",
    ];
    assert_eq!(said, expected);
}

#[test]
fn secrets_are_read_but_never_echoed() {
    #[derive(Debug, Deserialize)]
    struct Config {
        token: Secret,
        #[allow(dead_code)]
        port: u16,
    }
    let world = World::default()
        .variable("TOKEN", "hunter2")
        .file("main.yaml", "token: ${TOKEN}\nport: ${TOKEN}\n");
    let root = world.load().unwrap().root;
    let problem = deserialize::<Config>(&root).unwrap_err();
    assert!(problem.render().contains("${TOKEN}"));
    assert!(!format!("{} {root:?}", problem.render()).contains("hunter2"));

    let world =
        World::default().variable("TOKEN", "0123").file("main.yaml", "token: ${TOKEN}\nport: 1\n");
    let config: Config = deserialize(&world.load().unwrap().root).unwrap();
    assert_eq!(config.token.expose(), "0123");
}

#[test]
fn included_files_are_merged_by_section() {
    let loaded = World::default()
        .file(
            "main.yaml",
            "data_dir: d\ninclude: [conf.d/*.yaml, more.toml]\ninputs: {a: 1}\noutputs:\n",
        )
        .file("conf.d/1.yaml", "inputs: {b: 2}\n")
        .file("conf.d/2.yaml", "inputs: {c: 3}\noutputs: {o: 4}\n")
        .file("conf.d/.hidden.yaml", "inputs: {h: 0}\n")
        .file("conf.d/notes.txt", "no")
        .file("more.toml", "include = 'deep/x.json'\n[tenants.t]\n")
        .file("deep/x.json", r#"{ "include": ["y.yaml"] }"#)
        .file("deep/y.yaml", "filters: {f: 5}\n")
        .load()
        .unwrap();
    assert_eq!(
        short(&loaded.root),
        r#"{data_dir: "d", inputs: {a: 1, b: 2, c: 3}, outputs: {o: 4}, tenants: {t: {}}, filters: {f: 5}}"#
    );
    let files: Vec<_> = loaded.files.iter().map(|file| file.path()).collect();
    let expected =
        ["main.yaml", "conf.d/1.yaml", "conf.d/2.yaml", "more.toml", "deep/x.json", "deep/y.yaml"];
    assert_eq!(files, expected);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_same_key_in_two_files_names_both_places() {
    let said = World::default()
        .file("main.yaml", "include: b.yaml\ndata_dir: x\ninputs:\n  a: 1\n")
        .file("b.yaml", "data_dir: y\ninputs:\n  a: 2\n")
        .mistakes();
    assert_eq!(
        said,
        [
            "b.yaml:1:1: error: key `data_dir` is given twice (it was first given at main.yaml:2:1)",
            "b.yaml:3:3: error: input `a` is given twice (it was first given at main.yaml:4:3)",
        ]
    );
}

#[test]
fn files_that_include_each_other_in_a_circle_are_a_mistake() {
    let said = World::default()
        .file("main.yaml", "include: x/a.yaml\n")
        .file("x/a.yaml", "include: ../main.yaml\n")
        .mistakes();
    assert_eq!(
        said,
        [
            "x/a.yaml:1:10: error: files include each other in a circle (main.yaml → x/a.yaml → main.yaml)"
        ]
    );
}

#[test]
fn a_file_included_on_two_ways_is_merged_once() {
    let loaded = World::default()
        .file("main.yaml", "include: [a.yaml, b.yaml, '*.yaml']\n")
        .file("a.yaml", "include: c.yaml\n")
        .file("b.yaml", "include: ./c.yaml\n")
        .file("c.yaml", "inputs: {i: 1}\n")
        .load()
        .unwrap();
    assert_eq!(short(&loaded.root), "{inputs: {i: 1}}");
}

#[test]
fn a_file_that_cannot_be_included_is_pointed_at() {
    let said = World::default()
        .file(
            "main.yaml",
            "include:\n  - none.yaml\n  - [x]\n  - bad.yaml\n  - latin.yaml\n  - list.yaml\n",
        )
        .file("bad.yaml", "a: 'x\n")
        .file("latin.yaml", b"a: 1\nb: \xff\n")
        .file("list.yaml", "- 1\n")
        .mistakes();
    let expected = [
        "main.yaml:2:5: error: cannot read `none.yaml`: there is no such file",
        "main.yaml:3:5: error: expected a path or a pattern, found a list",
        "bad.yaml:1:4: error: this quote is never closed",
        "main.yaml:5:5: error: cannot read `latin.yaml`: it is not UTF-8 in line 2",
        "list.yaml:1:1: error: expected a configuration with `inputs` and `outputs`, found a list",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_pattern_for_files_is_bounded() {
    let pattern = "?".repeat(5000);
    let world = World::default().file("main.yaml", format!("include: '{pattern}'\n"));
    let said = world.mistakes();
    assert!(said[0].contains("a pattern takes at most 4096 bytes"), "{}", said[0]);
}

#[test]
fn a_pattern_that_matches_no_file_is_a_warning() {
    let world = World::default().file("main.yaml", "include: conf.d/*.yaml\ninputs: {}\n");
    let warnings = world.load().unwrap().warnings;
    assert_eq!(said(&warnings), ["main.yaml:1:10: warning: no file matches `conf.d/*.yaml`"]);
}

#[test]
fn a_configuration_that_is_not_there_empty_or_too_large_is_a_mistake() {
    assert_eq!(
        World::default().mistakes(),
        ["error: cannot read `main.yaml`: there is no such file"]
    );
    let empty = World::default().file("main.yaml", "# nothing\n").mistakes();
    assert_eq!(
        empty,
        [
            "main.yaml:1:1: error: expected a configuration with `inputs` and `outputs`, found nothing"
        ]
    );
    let large = World::default().file("main.yaml", vec![b' '; FILE_BYTES_MAX + 1]).mistakes();
    assert_eq!(large, ["error: cannot read `main.yaml`: it is larger than 4 MiB"]);
}

#[test]
fn the_process_has_files_and_folders() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("main.yaml"), "include: 'c*.yaml'\n").unwrap();
    std::fs::write(folder.path().join("c1.yaml"), "inputs: {i: 1}\n").unwrap();
    let loaded = load(&folder.path().join("main.yaml"), &ProcessSurroundings).unwrap();
    assert_eq!(short(&loaded.root), "{inputs: {i: 1}}");
    assert_eq!(loaded.folder, folder.path());
}
