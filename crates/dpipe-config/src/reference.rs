//! The reference: a page for each plugin and for the configuration around them, as Markdown, from
//! the types and the documentation of the plugins' files.

mod options;

use dpipe_plugin::settings::{Node, NodeValue, SourceFile};
use dpipe_plugin::{Entry, InputSpec, OutputSpec, Registry};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::load::{Format, parse};
use crate::plan::{TenantConfig, Top};
use crate::schema::{EngineKeys, include, own_schemas, value_of};
use options::{Item, Options, list};

/// A page of the reference.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path below the folder of the reference.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The reference of the plugins in a registry.
pub struct Reference {
    registry: Registry,
    definitions: Map<String, Value>,
    keys: EngineKeys,
    top: Value,
    tenant: Value,
    inputs: Vec<(&'static str, Value)>,
    decoders: Vec<(&'static str, Value)>,
    encoders: Vec<(&'static str, Value)>,
    steps: Vec<(&'static str, Value)>,
    outputs: Vec<(&'static str, Value)>,
}

impl Reference {
    /// Reads the types.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let mut generator = SchemaSettings::draft07().into_generator();
        Reference {
            registry: *registry,
            keys: EngineKeys::new(registry, &mut generator),
            top: value_of(generator.root_schema_for::<Top>()),
            tenant: value_of(generator.subschema_for::<TenantConfig>()),
            inputs: own_schemas(registry.inputs, &mut generator),
            decoders: own_schemas(registry.decoders, &mut generator),
            encoders: own_schemas(registry.encoders, &mut generator),
            steps: own_schemas(registry.steps, &mut generator),
            outputs: own_schemas(registry.outputs, &mut generator),
            definitions: generator.take_definitions(true),
        }
    }

    /// The page of each plugin with this name.
    #[must_use]
    pub fn plugin(&self, name: &str) -> Vec<Page> {
        let ending = format!("/{name}.md");
        self.plugins().into_iter().filter(|page| page.path.ends_with(&ending)).collect()
    }

    /// All pages but those of what is not in the configuration.
    #[must_use]
    pub fn pages(&self) -> Vec<Page> {
        let mut pages = vec![
            Page { path: "README.md".into(), text: self.index() },
            Page { path: "configuration.md".into(), text: self.configuration() },
        ];
        pages.extend(self.plugins());
        pages
    }

    fn plugins(&self) -> Vec<Page> {
        let mut pages = Vec::new();
        for (entry, (_, own)) in self.registry.inputs.iter().zip(&self.inputs) {
            let keys = self.input_keys(entry);
            let text = format!(
                "{}{}{}",
                head(entry.name, "input", entry),
                self.section("Options", own),
                section("Options of every input", None, &keys)
            );
            pages.push(Page { path: format!("inputs/{}.md", entry.name), text });
        }
        pages.extend(self.codecs());
        for (entry, (_, own)) in self.registry.steps.iter().zip(&self.steps) {
            let keys = self.items(self.keys.step(entry.takes_codec), &["codec"]);
            let text = format!(
                "{}{}{}",
                head(entry.name, "step", entry),
                self.section("Options", own),
                section("Options of every step", None, &keys)
            );
            pages.push(Page { path: format!("steps/{}.md", entry.name), text });
        }
        for (entry, (_, own)) in self.registry.outputs.iter().zip(&self.outputs) {
            let keys = self.output_keys(entry);
            let text = format!(
                "{}{}{}",
                head(entry.name, "output", entry),
                self.section("Options", own),
                section("Options of every output", None, &keys)
            );
            pages.push(Page { path: format!("outputs/{}.md", entry.name), text });
        }
        pages
    }

    /// A codec is a decoder, an encoder, or both, of one file and documentation.
    fn codecs(&self) -> Vec<Page> {
        let mut pages = Vec::new();
        let (decoders, encoders) = (self.registry.decoders, self.registry.encoders);
        for (entry, (name, own)) in decoders.iter().zip(&self.decoders) {
            let encoder = self.encoders.iter().find(|(other, _)| other == name);
            let role = if encoder.is_some() { "decoder and encoder" } else { "decoder" };
            let mut text = head(name, role, entry);
            text.push_str(&self.section("Options for decoding", own));
            if let Some((_, own)) = encoder {
                text.push_str(&self.section("Options for encoding", own));
            }
            pages.push(Page { path: format!("codecs/{name}.md"), text });
        }
        for (entry, (name, own)) in encoders.iter().zip(&self.encoders) {
            if self.decoders.iter().all(|(other, _)| other != name) {
                let section = self.section("Options for encoding", own);
                let text = format!("{}{section}", head(name, "encoder", entry));
                pages.push(Page { path: format!("codecs/{name}.md"), text });
            }
        }
        pages.sort_by(|a, b| a.path.cmp(&b.path));
        pages
    }

    fn options(&self) -> Options<'_> {
        Options { definitions: &self.definitions }
    }

    fn section(&self, title: &str, schema: &Value) -> String {
        let (words, items) = self.options().of(schema);
        let about = schema["$comment"].as_str();
        let words = words.map(|words| match about {
            Some(about) => format!("{words}: {}", about.trim_end_matches('.')),
            None => words,
        });
        section(title, words, &items)
    }

    fn items(&self, keys: &[(&str, Value)], required: &[&str]) -> Vec<Item> {
        let options = self.options();
        let item =
            |(key, schema): &(&str, Value)| options.item(key, schema, required.contains(key));
        keys.iter().map(item).collect()
    }

    /// The engine's keys of an input; the default of `codec` is the input's own.
    fn input_keys(&self, entry: &Entry<dyn InputSpec>) -> Vec<Item> {
        let default = example(entry).map(|spec| spec.default_codec());
        let mut keys = self.keys.input.clone();
        set_default(&mut keys, default);
        self.items(&keys, &[])
    }

    fn output_keys(&self, entry: &Entry<dyn OutputSpec>) -> Vec<Item> {
        let default = example(entry).and_then(|spec| spec.default_encoder());
        let mut keys = self.keys.output.clone();
        keys.retain(|(key, _)| *key != "codec" || default.is_some());
        set_default(&mut keys, default);
        self.items(&keys, &["match"])
    }

    fn index(&self) -> String {
        let mut text = String::from(
            "# Reference\n\nWritten by `cargo xtask docs`, from the types and the documentation in the \
             plugins' files: change\nit there. `dpipe plugins NAME` shows the same pages.\n\n\
             - [The configuration file](configuration.md): everything that is no plugin\n\
             - [Metrics](metrics.md)\n\
             - [Conditions](../query-language.md): what stands behind `when:`\n",
        );
        let mut table = |title: &str, folder: &str, rows: Vec<(&str, &str)>| {
            text.push_str(&format!("\n## {title}\n\n| name | what it does |\n|---|---|\n"));
            for (name, summary) in rows {
                text.push_str(&format!("| [`{name}`]({folder}/{name}.md) | {summary} |\n"));
            }
        };
        fn rows<S: ?Sized>(list: &'static [Entry<S>]) -> Vec<(&'static str, &'static str)> {
            list.iter().map(|entry| (entry.name, entry.summary())).collect()
        }
        table("Inputs", "inputs", rows(self.registry.inputs));
        let mut codecs = rows(self.registry.decoders);
        codecs.extend(rows(self.registry.encoders));
        codecs.sort_unstable();
        codecs.dedup_by_key(|(name, _)| *name);
        table("Codecs", "codecs", codecs);
        table("Steps", "steps", rows(self.registry.steps));
        table("Outputs", "outputs", rows(self.registry.outputs));
        text
    }

    fn configuration(&self) -> String {
        let mut text = String::from(
            "# The configuration file\n\nYAML, JSON or TOML, by the ending of its name. `dpipe check` finds \
             every mistake in one,\n`dpipe schema` prints its JSON Schema.\n\n\
             In every text, `${VAR}` stands for a variable of the environment, `${VAR:-default}` for one \
             that\nmay be missing, `${VAR:?message}` for one that must not, and `${file:/path}` for what a \
             file holds;\n`$$` is a dollar. What comes from there is never shown in a message.\n\n\
             Sizes are `64MiB` (powers of 1024) or `10KB` (powers of 1000), durations `250ms`, `5s` or \
             `1h30m`.\nRelative paths start at the folder of the file; `{data_dir}` at the front of one is \
             the data\ndirectory.\n\n## At the top\n\n",
        );
        let options = self.options();
        let mut items = vec![options.item("include", &include(), false)];
        items.extend(options.of(&self.top).1);
        text.push_str(&list(&items));
        text.push_str(
            "- `tenants`, `inputs`, `filters`, `outputs`: maps from names to what is below. A name is used \
             once,\n  and has letters, digits, `_` and `-`.\n",
        );
        text.push_str(&self.section("A tenant", &self.tenant));
        text.push_str(&section("An input", None, &self.items(&self.keys.input, &[])));
        text.push_str(
            "\nIts `type` names a plugin; the other keys are [its own](README.md#inputs).\n\n## A filter\n\n\
             - `match` (text, or list of texts; required): The tags to take, as of an output.\n\
             - `steps` (list; required): The steps in their order. Each is a map with one entry, the \
             name of the\n  plugin, and behind it [its own options](README.md#steps) and these:\n",
        );
        text.push_str(&indented(&list(&self.items(self.keys.step(true), &[]))));
        text.push_str("\nA filter publishes what comes out of it under its own name.\n");
        text.push_str(&section("An output", None, &self.items(&self.keys.output, &["match"])));
        text.push_str(
            "\nIts `type` names a plugin; the other keys are [its own](README.md#outputs).\n",
        );
        text
    }
}

fn head<S: ?Sized>(name: &str, role: &str, entry: &Entry<S>) -> String {
    format!("# `{name}` ({role})\n\n{}\n", entry.documentation().trim_end())
}

fn section(title: &str, words: Option<String>, items: &[Item]) -> String {
    let mut text = format!("\n## {title}\n\n");
    match (words, items) {
        (None, []) => text.push_str("None.\n"),
        (None, items) => text.push_str(&list(items)),
        (Some(words), items) => {
            let mut words = words;
            words[..1].make_ascii_uppercase();
            text.push_str(&format!("{words}.\n"));
            if !items.is_empty() {
                text.push_str(&format!("\n{}", list(items)));
            }
        }
    }
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn set_default(keys: &mut [(&str, Value)], default: Option<&str>) {
    for (_, schema) in keys.iter_mut().filter(|(key, _)| *key == "codec") {
        if let Some(default) = default {
            schema["default"] = default.into();
        }
    }
}

/// What the plugin makes of the example in its documentation.
fn example<S: ?Sized>(entry: &Entry<S>) -> Option<std::sync::Arc<S>> {
    let documentation = entry.documentation();
    let example = documentation.split("```yaml\n").nth(1)?.split("```").next()?;
    let root = parse(&SourceFile::new(entry.name, example), Format::Yaml).ok()?;
    let own = root.without(&["type", "match", "codec", "tenant", "multiline", "buffer"]);
    let own = match own.value {
        NodeValue::Map(_) => own,
        _ => Node::new(own.span.clone(), NodeValue::Map(Vec::new())),
    };
    (entry.read)(&own, &[]).ok()
}
