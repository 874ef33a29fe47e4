//! The registry: the visible list of every plugin, one line each.

use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::codec::{DecoderSpec, EncoderSpec};
use crate::input::InputSpec;
use crate::output::OutputSpec;
use crate::settings::{Node, Problem, Reading, deserialize_knowing, read_all};
use crate::step::StepSpec;

/// One plugin of one role.
pub struct Entry<S: ?Sized> {
    /// Its name in configurations, which is also its file's.
    pub name: &'static str,
    /// The text of its file; the head of it is its documentation.
    pub source: &'static str,
    /// Reads its configuration; keys of the second argument are the engine's own.
    pub read: fn(&Node, &[&str]) -> Result<Arc<S>, Problem>,
    /// The same, but reads on after a mistake to find all of them.
    pub read_all: fn(&Node, &[&str]) -> Reading<Arc<S>>,
    /// The JSON Schema of its configuration.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    /// Whether it is a step that reads texts by a decoder: the settings of that stand behind
    /// `codec:`, and [`crate::BuildContext::decoder`] lends it.
    pub takes_codec: bool,
}

/// Every plugin that this binary has.
#[derive(Clone, Copy)]
pub struct Registry {
    /// The inputs.
    pub inputs: &'static [Entry<dyn InputSpec>],
    /// The decoders.
    pub decoders: &'static [Entry<dyn DecoderSpec>],
    /// The encoders.
    pub encoders: &'static [Entry<dyn EncoderSpec>],
    /// The steps.
    pub steps: &'static [Entry<dyn StepSpec>],
    /// The outputs.
    pub outputs: &'static [Entry<dyn OutputSpec>],
}

impl<S: ?Sized> Entry<S> {
    /// The documentation of the plugin: the `//!` lines at the head of its file.
    #[must_use]
    pub fn documentation(&self) -> String {
        let mut text = String::new();
        for line in self.source.lines().map_while(|line| line.strip_prefix("//!")) {
            text.push_str(line.strip_prefix(' ').unwrap_or(line));
            text.push('\n');
        }
        text
    }

    /// The first line of the documentation.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        let first = self.source.lines().next().unwrap_or_default();
        first.trim_start_matches("//!").trim()
    }
}

macro_rules! role {
    ($config:ident, $spec:ident, $constructor:ident, $what:literal $(, $takes_codec:ident)?) => {
        #[doc = concat!("The configuration of ", $what, ".")]
        pub trait $config: $spec + DeserializeOwned + JsonSchema + 'static {
            /// The plugin's name in configurations, which is also its file's.
            const NAME: &'static str;
            $(
                /// Whether it reads texts by a decoder, which it is lent.
                const $takes_codec: bool = false;
            )?
        }

        impl Entry<dyn $spec> {
            #[doc = concat!("The list entry of ", $what, "; `source` is the text of its file.")]
            #[must_use]
            pub const fn $constructor<C: $config>(source: &'static str) -> Self {
                Entry {
                    name: C::NAME,
                    source,
                    read: |node, known| {
                        let config: C = deserialize_knowing(node, known)?;
                        Ok(Arc::new(config))
                    },
                    read_all: |node, known| {
                        read_all::<C>(node, known).map(|config| Arc::new(config) as Arc<dyn $spec>)
                    },
                    schema: |generator| generator.subschema_for::<C>(),
                    takes_codec: false $(|| C::$takes_codec)?,
                }
            }
        }
    };
}

role!(InputConfig, InputSpec, input, "an input");
role!(DecoderConfig, DecoderSpec, decoder, "a decoder");
role!(EncoderConfig, EncoderSpec, encoder, "an encoder");
role!(StepConfig, StepSpec, step, "a step", TAKES_CODEC);
role!(OutputConfig, OutputSpec, output, "an output");
