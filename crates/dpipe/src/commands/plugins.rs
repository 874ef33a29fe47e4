//! `dpipe plugins`: what plugins there are, and what each of them says of itself.

use std::io::Write;
use std::process::ExitCode;

use dpipe_plugin::Entry;
use dpipe_plugin::settings::suggest;
use dpipe_plugins::BUILT_IN;

/// A plugin as it is listed.
struct Listed {
    role: &'static str,
    name: &'static str,
    summary: &'static str,
    documentation: String,
    options: serde_json::Value,
}

pub(crate) fn run(name: Option<&str>) -> anyhow::Result<ExitCode> {
    let all = all();
    let mut out = std::io::stdout().lock();
    let Some(name) = name else {
        let mut role = "";
        for plugin in &all {
            if plugin.role != role {
                writeln!(out, "{}{}", if role.is_empty() { "" } else { "\n" }, plugin.role)?;
                role = plugin.role;
            }
            writeln!(out, "  {:<10} {}", plugin.name, plugin.summary)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let found: Vec<&Listed> = all.iter().filter(|plugin| plugin.name == name).collect();
    if found.is_empty() {
        let help = suggest(name, all.iter().map(|plugin| plugin.name)).unwrap_or_default();
        anyhow::bail!("there is no plugin `{name}`; {help}");
    }
    for plugin in found {
        writeln!(out, "{} ({})\n", plugin.name, plugin.role)?;
        writeln!(out, "{}", plugin.documentation.trim_end())?;
        write_options(&mut out, &plugin.options)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn all() -> Vec<Listed> {
    let mut all = Vec::new();
    list("inputs", BUILT_IN.inputs, &mut all);
    list("decoders", BUILT_IN.decoders, &mut all);
    list("steps", BUILT_IN.steps, &mut all);
    list("encoders", BUILT_IN.encoders, &mut all);
    list("outputs", BUILT_IN.outputs, &mut all);
    all
}

fn list<S: ?Sized>(role: &'static str, entries: &'static [Entry<S>], all: &mut Vec<Listed>) {
    for entry in entries {
        let mut generator = schemars::generate::SchemaSettings::draft07()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        all.push(Listed {
            role,
            name: entry.name,
            summary: entry.summary(),
            documentation: entry.documentation(),
            options: (entry.schema)(&mut generator).to_value(),
        });
    }
}

fn write_options(out: &mut impl Write, schema: &serde_json::Value) -> std::io::Result<()> {
    let Some(properties) = schema["properties"].as_object().filter(|p| !p.is_empty()) else {
        return Ok(());
    };
    writeln!(out, "\nOptions:\n")?;
    for (name, option) in properties {
        let default = match &option["default"] {
            serde_json::Value::Null => String::new(),
            value => format!(" (default {value})"),
        };
        let words = option["description"].as_str().unwrap_or_default().replace('\n', " ");
        writeln!(out, "  {name}{default}: {words}")?;
    }
    Ok(())
}
