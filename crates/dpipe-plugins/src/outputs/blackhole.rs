//! Takes everything and keeps nothing: for tests, for measuring, for what nobody wants.
//!
//! Every event counts as delivered. Nothing is encoded.
//!
//! ```yaml
//! type: blackhole
//! match: [logs]
//! ```

use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Output, OutputConfig, OutputSpec, Parcel, Written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The blackhole has no options.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {}

impl OutputConfig for Config {
    const NAME: &'static str = "blackhole";
}

impl OutputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(Blackhole))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        None
    }

    fn receipt_means(&self) -> String {
        "thrown away".into()
    }
}

struct Blackhole;

impl Output for Blackhole {
    fn write<'a>(&'a mut self, _: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(std::future::ready(Written::Delivered))
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{MemoryEnv, check_output};

    use super::*;

    #[test]
    fn everything_is_delivered_to_nowhere() {
        let delivered = (Written::Delivered, Written::Delivered);
        check_output::<Config>("type: blackhole", MemoryEnv::new(), "{\"a\":1}\ntext", delivered);
    }
}
