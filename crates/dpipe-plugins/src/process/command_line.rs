//! A command as it stands in a configuration.

use std::borrow::Cow;
use std::fmt;
use std::process::Command;

use dpipe_plugin::BuildContext;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A program with its arguments, or a line for the shell.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum CommandLine {
    /// Started as it is; there is at least the program.
    Arguments(Vec<String>),
    /// Run by `sh -c`.
    Shell(String),
}

impl CommandLine {
    /// The same, where a program that is named by a relative path is sought in the folder of the
    /// configuration.
    pub(crate) fn resolved(&self, context: &BuildContext<'_>) -> CommandLine {
        match self {
            CommandLine::Arguments(arguments) if arguments[0].contains('/') => {
                let mut arguments = arguments.clone();
                arguments[0] = context.resolve(&arguments[0]).to_string_lossy().into_owned();
                CommandLine::Arguments(arguments)
            }
            other => other.clone(),
        }
    }

    /// The same with more arguments; a line for the shell has none.
    pub(crate) fn with(&self, more: &[String]) -> CommandLine {
        match self {
            CommandLine::Arguments(arguments) => {
                CommandLine::Arguments([arguments.as_slice(), more].concat())
            }
            line @ CommandLine::Shell(_) => line.clone(),
        }
    }

    pub(crate) fn to_command(&self) -> Command {
        match self {
            CommandLine::Arguments(arguments) => {
                let mut command = Command::new(&arguments[0]);
                command.args(&arguments[1..]);
                command
            }
            CommandLine::Shell(line) => {
                let mut command = Command::new("sh");
                command.args(["-c", line]);
                command
            }
        }
    }

    /// The program's name; arguments may hold secrets.
    pub(crate) fn name(&self) -> &str {
        match self {
            CommandLine::Arguments(arguments) => &arguments[0],
            CommandLine::Shell(line) => line.split_whitespace().next().unwrap_or("sh"),
        }
    }
}

/// Arguments may hold secrets.
impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} …", self.name())
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = CommandLine;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of a program and its arguments, or a line for the shell")
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<CommandLine, E> {
        if line.trim().is_empty() {
            return Err(E::custom("the command is empty"));
        }
        Ok(CommandLine::Shell(line.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<CommandLine, A::Error> {
        let mut arguments: Vec<String> = Vec::new();
        while let Some(argument) = items.next_element()? {
            arguments.push(argument);
        }
        if arguments.first().is_none_or(String::is_empty) {
            return Err(A::Error::custom("the command names no program"));
        }
        Ok(CommandLine::Arguments(arguments))
    }
}

impl JsonSchema for CommandLine {
    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "minLength": 1 },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        })
    }
}
