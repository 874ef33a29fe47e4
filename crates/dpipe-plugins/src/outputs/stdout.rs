//! Writes encoded events to standard output, one a line, for the next program in a pipe.
//!
//! Delivered means that the system has taken the bytes: in a pipe, its reader may not have read
//! them. When the reader goes away, dpipe shuts down in order.
//!
//! If standard output is a file on a disk that is full, the line that was cut off stays there, ended,
//! and its events follow once there is room again.
//!
//! ```yaml
//! type: stdout
//! match: [logs]
//! codec: json
//! ```

use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Output, OutputConfig, OutputSpec, Parcel, Written,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::standard_output::StandardOutput;

/// Standard output has no options but its codec.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {}

impl OutputConfig for Config {
    const NAME: &'static str = "stdout";
}

impl OutputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        Ok(Box::new(Stdout { output: StandardOutput::of_process() }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        Some("json")
    }

    fn receipt_means(&self) -> String {
        "written to standard output".into()
    }
}

struct Stdout {
    output: StandardOutput,
}

/// The encoded bytes of a parcel.
struct Lines(Parcel);

impl AsRef<[u8]> for Lines {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Output for Stdout {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(self.output.write(Lines(parcel.clone())))
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{batch, parcel};

    use super::*;
    use crate::standard_output::tests::Paper;

    fn write(output: StandardOutput, input: &str) -> Written {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Stdout { output }.write(&parcel(batch(input))))
    }

    #[test]
    fn each_event_is_a_line_as_it_was_encoded() {
        let paper = Paper::default();
        let written = write(StandardOutput::to(paper.clone()), "{\"a\":1}\nplain");
        assert_eq!(written, Written::Delivered);
        assert_eq!(paper.take(), "{\"a\":1}\n{\"message\":\"plain\"}\n");
    }

    #[test]
    fn when_the_reader_has_gone_the_output_is_closed() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(write(StandardOutput::to(writer), "{\"a\":1}"), Written::Closed);
    }
}
