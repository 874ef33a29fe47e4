//! What the engine lends to whoever builds a plugin.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dpipe_env::Env;
use parking_lot::Mutex;

use crate::DecoderSpec;
use crate::settings::{Node, Span};

/// What a spec may use to build its plugin. Building opens nothing that must be closed and spawns
/// nothing; reading a table is fine.
pub struct BuildContext<'a> {
    /// The outside world.
    pub env: &'a Arc<dyn Env>,
    /// The node's name: its key in the configuration.
    pub node: &'a str,
    /// Which step of its filter this is, counted from 0; 0 for everything else.
    pub step: usize,
    /// Where dpipe keeps its own files.
    pub data_dir: &'a Path,
    /// The folder of the configuration file: relative paths start here.
    pub config_dir: &'a Path,
    /// What the lanes' copies of one plugin share, such as a table read from a file.
    pub shared: &'a Shared,
    /// The codec that a step takes.
    pub decoder: Option<&'a dyn DecoderSpec>,
}

impl BuildContext<'_> {
    /// What the lanes' copies of this one plugin share, and nobody else; made by `make` the first
    /// time, and still there when the plugin is built anew after a failure.
    pub fn own<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        let name = format!("{}#{}", self.node, self.step);
        let made: Result<Arc<T>, std::convert::Infallible> =
            self.shared.get_or_make(&name, || Ok(make()));
        match made {
            Ok(own) => own,
        }
    }

    /// A path of the configuration: relative ones start at the configuration's folder, and
    /// `{data_dir}` at the front stands for the data directory.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        match path.strip_prefix("{data_dir}") {
            Some(rest) => self.data_dir.join(rest.trim_start_matches('/')),
            None => self.config_dir.join(path),
        }
    }
}

/// Values that plugins share, by type and name.
#[derive(Default)]
pub struct Shared {
    values: Mutex<HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>>,
}

impl Shared {
    /// The value of this type and name; made by `make` the first time.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub fn get_or_make<T: Send + Sync + 'static, E>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let key = (TypeId::of::<T>(), name.to_owned());
        let mut values = self.values.lock();
        if let Some(value) = values.get(&key)
            && let Ok(value) = value.clone().downcast::<T>()
        {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        values.insert(key, value.clone());
        Ok(value)
    }
}

/// Why a plugin could not be built.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct BuildError {
    /// What is wrong, and with which file or address.
    pub message: String,
    /// What the system said.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// The setting that names what is not there.
    setting: Option<&'static str>,
    /// Where in the configuration that is.
    place: Option<Span>,
}

impl BuildError {
    /// An error without a cause behind it.
    pub fn new(message: impl Into<String>) -> Self {
        BuildError { message: message.into(), source: None, setting: None, place: None }
    }

    /// An error with its cause.
    pub fn caused(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        BuildError { source: Some(source.into()), ..BuildError::new(message) }
    }

    /// The same, about what this setting names.
    #[must_use]
    pub fn about(self, setting: &'static str) -> Self {
        BuildError { setting: Some(setting), ..self }
    }

    /// The same, at its place in the settings of the plugin as they are written.
    #[must_use]
    pub fn placed(self, written: &Node) -> Self {
        let setting = self.setting.and_then(|setting| written.get(setting)).map(Node::place);
        let place = setting.or_else(|| written.key_span.clone()).or_else(|| Some(written.place()));
        BuildError { place: self.place.or(place), ..self }
    }

    /// Where in the configuration the mistake is, if that is known.
    #[must_use]
    pub fn place(&self) -> Option<&Span> {
        self.place.as_ref()
    }
}
