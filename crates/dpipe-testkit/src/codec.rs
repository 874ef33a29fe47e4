//! Codecs from settings, as a configuration has them.

use std::path::Path;
use std::sync::Arc;

use dpipe_config::load::{Format, parse};
use dpipe_env::Env;
use dpipe_plugin::settings::{Node, NodeValue, SourceFile};
use dpipe_plugin::{
    BuildContext, BuildError, Decoder, DecoderSpec, Encoder, EncoderSpec, Entry, Shared,
};

use crate::MemoryEnv;

/// The decoder of one stream: `json`, or `{ type: csv, columns: [a] }`.
///
/// # Panics
/// If the list has no such decoder, or its settings are wrong.
#[track_caller]
#[must_use]
pub fn decoder(list: &[Entry<dyn DecoderSpec>], settings: &str) -> Box<dyn Decoder> {
    let spec = read(list, settings);
    assert_eq!(spec.check(), [], "{settings}");
    built(settings, |context| spec.build(context))
}

/// The encoder of an output, in the same way.
///
/// # Panics
/// If the list has no such encoder, or its settings are wrong.
#[track_caller]
#[must_use]
pub fn encoder(list: &[Entry<dyn EncoderSpec>], settings: &str) -> Box<dyn Encoder> {
    let spec = read(list, settings);
    built(settings, |context| spec.build(context))
}

#[track_caller]
fn read<S: ?Sized>(list: &[Entry<S>], settings: &str) -> Arc<S> {
    let file = SourceFile::new("codec.yaml", settings);
    let codec = match parse(&file, Format::Yaml) {
        Ok(codec) => codec,
        Err(problems) => panic!("{}", problems.render()),
    };
    let name = codec.as_str().or_else(|| codec.get("type")?.as_str()).expect("a codec has a name");
    let entry = list.iter().find(|entry| entry.name == name).expect("there is such a codec");
    let own = match codec.as_map() {
        Some(_) => codec.without(&["type"]),
        None => Node::new(codec.span.clone(), NodeValue::Map(Vec::new())),
    };
    match (entry.read)(&own, &["type"]) {
        Ok(spec) => spec,
        Err(problem) => panic!("{}", problem.render()),
    }
}

#[track_caller]
fn built<T>(settings: &str, build: impl Fn(&BuildContext<'_>) -> Result<T, BuildError>) -> T {
    let env: Arc<dyn Env> = Arc::new(MemoryEnv::new());
    let context = BuildContext {
        env: &env,
        node: "codec",
        step: 0,
        data_dir: Path::new("/var/dpipe"),
        config_dir: Path::new("/etc/dpipe"),
        shared: &Shared::default(),
        decoder: None,
    };
    match build(&context) {
        Ok(codec) => codec,
        Err(error) => panic!("{settings}: {error}"),
    }
}
