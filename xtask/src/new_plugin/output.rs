//! Counts events, and keeps none.
//!
//! Every event counts as delivered. After each `every` of them a line of the log says so.
//!
//! ```yaml
//! type: new_plugin
//! match: [logs]
//! every: 1000
//! ```

use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Output, OutputConfig, OutputSpec, Parcel, Written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How to count.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// After how many events the log says how many there were.
    every: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config { every: 1000 }
    }
}

impl OutputConfig for Config {
    const NAME: &'static str = "new_plugin";
}

impl OutputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(NewPlugin { every: self.every, count: 0 }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        None
    }

    fn receipt_means(&self) -> String {
        "counted".into()
    }

    fn check(&self) -> Vec<Problem> {
        if self.every == 0 {
            return vec![Problem::error("`every` must be at least 1")];
        }
        Vec::new()
    }
}

struct NewPlugin {
    every: u64,
    count: u64,
}

impl Output for NewPlugin {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        let before = self.count / self.every;
        self.count += parcel.batch().len() as u64;
        if self.count / self.every > before {
            tracing::info!(events = self.count, "counted");
        }
        Box::pin(std::future::ready(Written::Delivered))
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{MemoryEnv, check_output, output_mistake};

    use super::*;

    #[test]
    fn everything_is_delivered() {
        let delivered = (Written::Delivered, Written::Delivered);
        check_output::<Config>("type: new_plugin", MemoryEnv::new(), "{\"a\":1}\ntext", delivered);
    }

    #[test]
    fn nothing_can_be_counted_by_zero() {
        let said = output_mistake::<Config>("type: new_plugin\nevery: 0");
        assert_eq!(said, "error: `every` must be at least 1");
    }
}
