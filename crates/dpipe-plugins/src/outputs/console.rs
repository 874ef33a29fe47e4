//! Shows events to people: a line each, in color, on standard output.
//!
//! A line has the time (UTC; with the date as soon as one was seen that is not today's), the tenant
//! and tag, the level, the message, and whatever else the event has as `key=value`, nested fields by
//! their paths:
//!
//! ```text
//! 12:00:00.250  rs/payments  ERROR  card refused for user 42  provider=acme _log_info.uid=42
//! ```
//!
//! The level is the first of `level`, `severity` and `lvl` that is a known word (`fatal`, `error`,
//! `warn`, `info`, `debug`, `trace` and their kin); the message is `message` or `msg`, or the text
//! of an event without fields. The tenant `default` is not shown.
//!
//! Only dpipe colors, moves the cursor and rings the bell: control characters of every kind, marks
//! that turn the direction of writing, and characters that take no room are shown as `\n`,
//! `\u{1b}`, and bytes that are not UTF-8 as `\xff`. Long values are cut, with `…` at the cut.
//!
//! There is color if standard output is a terminal, `NO_COLOR` is not set and `TERM` is not `dumb`;
//! `color: always` and `color: never` overrule that. The bell rings only on a terminal.
//!
//! ```yaml
//! type: console
//! match: [logs]
//! color_by: level
//! fields: [_area, _log_info.uid]
//! beep: { when: "level:error" }
//! ```

mod line;
mod paint;

use std::io::IsTerminal;
use std::sync::Arc;

use dpipe_env::Env;
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Condition, FieldPath, Output, OutputConfig, OutputSpec,
    Parcel, Written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::standard_output::StandardOutput;
use line::Printer;

/// How events are shown.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Whether there is color.
    color: ColorWhen,
    /// What gives the message its color.
    color_by: ColorBy,
    /// The fields and metadata to show beside time, tag, level and message; all fields and the area
    /// if there are none here.
    fields: Vec<FieldPath>,
    /// The most characters that are shown of a value or a message.
    value_length_max: usize,
    /// When to ring the bell.
    beep: Option<Beep>,
}

/// Whether there is color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What gives a message its color. Tags and levels have theirs in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ColorBy {
    /// Its level.
    #[default]
    Level,
    /// Its tag.
    Tag,
    /// Nothing.
    None,
}

/// When to ring the bell.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Beep {
    /// The bell rings for events that meet this condition, at most once a second.
    when: Condition,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            color: ColorWhen::default(),
            color_by: ColorBy::default(),
            fields: Vec::new(),
            value_length_max: 160,
            beep: None,
        }
    }
}

impl OutputConfig for Config {
    const NAME: &'static str = "console";
}

impl OutputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        let screen = Screen::of_process();
        Ok(Box::new(Console::new(self, screen, context.env.clone())))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        None
    }

    fn receipt_means(&self) -> String {
        "shown on the console".into()
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.value_length_max == 0 {
            problems.push(Problem::error("`value_length_max` must be at least 1"));
        }
        problems
    }
}

/// What is known of the place that is printed to.
struct Screen {
    output: StandardOutput,
    is_terminal: bool,
    /// The user asked for no color by the environment.
    plain: bool,
}

impl Screen {
    fn of_process() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Screen {
            output: StandardOutput::of_process(),
            is_terminal: std::io::stdout().is_terminal(),
            plain,
        }
    }
}

struct Console {
    output: StandardOutput,
    printer: Printer,
    bell: Option<Bell>,
    env: Arc<dyn Env>,
}

impl Console {
    fn new(config: &Config, screen: Screen, env: Arc<dyn Env>) -> Self {
        let color = match config.color {
            ColorWhen::Auto => screen.is_terminal && !screen.plain,
            ColorWhen::Always => true,
            ColorWhen::Never => false,
        };
        let bell = config.beep.as_ref().filter(|_| screen.is_terminal);
        Console {
            output: screen.output,
            printer: Printer::new(config, color),
            bell: bell.map(|beep| Bell { when: beep.when.clone(), rang_millis: None }),
            env,
        }
    }
}

impl Output for Console {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            let now = self.env.now_millis();
            let mut lines = Vec::with_capacity(parcel.batch().len() * 160);
            for event in parcel.batch().iter() {
                self.printer.print(&event, now, &mut lines);
            }
            if self.bell.as_mut().is_some_and(|bell| bell.rings(parcel, now)) {
                lines.push(b'\x07');
            }
            self.output.write(lines).await
        })
    }
}

struct Bell {
    when: Condition,
    rang_millis: Option<i64>,
}

impl Bell {
    fn rings(&mut self, parcel: &Parcel, now: i64) -> bool {
        // A clock that was set back must not silence the bell.
        let quiet = self.rang_millis.is_some_and(|rang| (rang..rang + 1000).contains(&now));
        let rings = !quiet && parcel.batch().iter().any(|event| self.when.matches(&event));
        if rings {
            self.rang_millis = Some(now);
        }
        rings
    }
}

#[cfg(test)]
mod tests;
