//! Every built-in plugin: `inputs/`, `codecs/`, `steps/`, `outputs/`, one file each, and one visible
//! list per role.

mod access_log;
mod arrival;
mod bounded;
mod captures;
mod child;
mod codecs;
mod columns;
mod expression;
mod framer;
mod frames_out;
pub mod game_events;
mod inputs;
mod json_body;
mod keys;
mod net;
mod outputs;
mod pairs;
mod piped_lines;
mod process;
mod reading;
mod rhythm;
mod scan;
mod standard_output;
mod steps;
mod target;
pub mod terminal;
mod times;
mod types;
mod watched;

use dpipe_plugin::Registry;

/// The plugins that come with dpipe.
pub const BUILT_IN: Registry = Registry {
    inputs: inputs::INPUTS,
    decoders: codecs::DECODERS,
    encoders: codecs::ENCODERS,
    steps: steps::STEPS,
    outputs: outputs::OUTPUTS,
};
