//! Checks of outputs: settings and events in, what was answered and written out.

use std::path::Path;
use std::sync::Arc;

use dpipe_config::load::{Format, parse};
use dpipe_env::Env;
use dpipe_event::Batch;
use dpipe_plugin::settings::{Node, NodeValue, Problem, SourceFile};
use dpipe_plugin::{
    BuildContext, Encoded, Entry, Output, OutputConfig, OutputSpec, Parcel, Shared, Written,
};
use tokio::runtime::Runtime;

use crate::step::batch;

/// Keys of an output's settings that the engine reads.
const ENGINE_KEYS: &[&str] = &["type", "match", "codec", "buffer"];

/// An output between calls.
pub struct OutputCheck {
    env: Arc<dyn Env>,
    folder: std::path::PathBuf,
    shared: Shared,
    spec: Arc<dyn OutputSpec>,
    output: Option<Box<dyn Output>>,
    runtime: Runtime,
}

impl OutputCheck {
    /// Builds the output as it stands in a configuration in `folder`; the data directory is the
    /// folder `data` beside it.
    ///
    /// # Panics
    /// If the settings are wrong, or the output cannot be built from them.
    #[track_caller]
    #[must_use]
    pub fn new<C: OutputConfig>(settings: &str, env: impl Env, folder: &Path) -> Self {
        let spec = match read::<C>(settings) {
            Ok(spec) => spec,
            Err(problem) => panic!("{}", problem.render()),
        };
        Self::of(spec, env, folder)
    }

    /// The same of an output that was configured elsewhere.
    ///
    /// # Panics
    /// If the output cannot be built.
    #[track_caller]
    #[must_use]
    pub fn of(spec: Arc<dyn OutputSpec>, env: impl Env, folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let mut check = OutputCheck {
            env: Arc::new(env),
            folder: folder.to_owned(),
            shared: Shared::default(),
            spec,
            output: None,
            runtime: runtime.expect("a runtime on this thread needs nothing that could lack"),
        };
        check.restart();
        check
    }

    /// What was configured.
    #[must_use]
    pub fn spec(&self) -> &dyn OutputSpec {
        &*self.spec
    }

    /// Drops the output as it is, as a crash does, and builds it anew.
    ///
    /// # Panics
    /// If the output cannot be built.
    #[track_caller]
    pub fn restart(&mut self) {
        self.output = None;
        let data_dir = self.folder.join("data");
        let context = BuildContext {
            env: &self.env,
            node: "out",
            step: 0,
            data_dir: &data_dir,
            config_dir: &self.folder,
            shared: &self.shared,
            decoder: None,
        };
        match self.spec.build(&context) {
            Ok(output) => self.output = Some(output),
            Err(error) => panic!("the output cannot be built: {error}"),
        }
    }

    /// Writes a parcel of these events: see [`batch`].
    pub fn write(&mut self, input: &str) -> Written {
        self.write_parcel(&parcel(batch(input)))
    }

    /// Writes a parcel.
    pub fn write_parcel(&mut self, parcel: &Parcel) -> Written {
        let output = self.output.as_mut().expect("the output was built");
        self.runtime.block_on(output.write(parcel))
    }

    /// Flushes the output.
    pub fn flush(&mut self) -> Written {
        let output = self.output.as_mut().expect("the output was built");
        self.runtime.block_on(output.flush())
    }

    /// Ticks the output.
    pub fn tick(&mut self) {
        let output = self.output.as_mut().expect("the output was built");
        self.runtime.block_on(output.tick());
    }

    /// Flushes and closes the output.
    pub fn close(mut self) -> Written {
        let flushed = self.flush();
        let output = self.output.as_mut().expect("the output was built");
        self.runtime.block_on(output.close());
        flushed
    }
}

/// Checks that an output takes these events (see [`batch`]) as one parcel and answers so: both the
/// parcel and the flush after it.
///
/// # Panics
/// If it answers otherwise, or the settings are wrong.
#[track_caller]
pub fn check_output<C: OutputConfig>(
    settings: &str,
    env: impl Env,
    input: &str,
    expected: (Written, Written),
) {
    let mut check = OutputCheck::new::<C>(settings, env, Path::new("/etc/dpipe"));
    let found = (check.write(input), check.flush());
    assert_eq!(found, expected, "\n{settings}");
}

/// What is wrong with the settings of an output, or odd: its first problem, in one line.
///
/// # Panics
/// If nothing is wrong.
#[track_caller]
#[must_use]
pub fn output_mistake<C: OutputConfig>(settings: &str) -> String {
    match read::<C>(settings) {
        Ok(_) => panic!("nothing is wrong with {settings}"),
        Err(problem) => problem.to_string(),
    }
}

/// A parcel of a batch, encoded as JSON: as it was read where that can be, else written anew.
#[must_use]
pub fn parcel(batch: Batch) -> Parcel {
    let encoded = if batch.verbatim().is_some() && batch.bodies_are_lines() {
        Encoded::Verbatim
    } else {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for event in batch.iter() {
            event.write_json(&mut bytes);
            bytes.push(b'\n');
            ends.push(bytes.len() as u32);
        }
        Encoded::Own { bytes, ends }
    };
    Parcel::new(Arc::new(batch), Some(Arc::new(encoded)))
}

fn read<C: OutputConfig>(settings: &str) -> Result<Arc<dyn OutputSpec>, Problem> {
    let file = SourceFile::new("output.yaml", settings);
    let root = parse(&file, Format::Yaml).map_err(|problems| {
        problems.iter().next().cloned().expect("a text that cannot be parsed has a problem")
    })?;
    let entry = <Entry<dyn OutputSpec>>::output::<C>("");
    let spec = (entry.read)(&own_settings(&root), ENGINE_KEYS)?;
    match spec.check().into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(spec),
    }
}

/// The settings without the engine's own keys; none at all are an empty map.
fn own_settings(node: &Node) -> Node {
    if node.is_null() {
        return Node::new(node.span.clone(), NodeValue::Map(Vec::new()));
    }
    node.without(ENGINE_KEYS)
}
