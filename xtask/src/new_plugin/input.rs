//! Sends lines that stand in the configuration, once a start.
//!
//! It ends when they have arrived. Nothing is lost in a crash: the next start sends them again.
//!
//! ```yaml
//! type: new_plugin
//! lines: ["one", "two"]
//! ```

use dpipe_event::{Buffer, StreamId};
use dpipe_plugin::settings::Problem;
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Chunk, Cut, Ended, Input, InputConfig, InputContext,
    InputError, InputSpec, Level, StreamStart,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::arrival::wait_for_arrival;

/// What to send.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The lines.
    lines: Vec<String>,
}

impl InputConfig for Config {
    const NAME: &'static str = "new_plugin";
}

impl InputSpec for Config {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Input>, BuildError> {
        Ok(Box::new(NewPlugin { lines: self.lines.clone() }))
    }

    fn level(&self) -> Level {
        Level::EndToEnd
    }

    fn ends(&self) -> bool {
        true
    }

    fn check(&self) -> Vec<Problem> {
        if self.lines.iter().any(|line| line.contains('\n')) {
            return vec![Problem::error("`lines` are lines: one of them has an end within")];
        }
        Vec::new()
    }
}

struct NewPlugin {
    lines: Vec<String>,
}

impl Input for NewPlugin {
    fn run(
        self: Box<Self>,
        context: InputContext,
    ) -> BoxFuture<'static, Result<Ended, InputError>> {
        Box::pin(self.send(context))
    }
}

impl NewPlugin {
    async fn send(self: Box<Self>, context: InputContext) -> Result<Ended, InputError> {
        let mut shutdown = context.shutdown.clone();
        let id = StreamId::derive(&context.id_key, &[context.node.as_bytes()]);
        let (file, host) = (String::new(), String::new());
        let stream = context.door.open(StreamStart { file, host, id, position: 0 })?;
        let mut offset = 0;
        let mut ended = Ended::Exhausted;
        for line in &self.lines {
            let bytes = format!("{line}\n").into_bytes();
            let end = offset + bytes.len() as u64;
            let credit = tokio::select! {
                credit = stream.reserve(bytes.len()) => credit,
                () = shutdown.given() => {
                    ended = Ended::Stopped;
                    break;
                }
            };
            let chunk = Chunk { buffer: Buffer::from(bytes), offset, end, cut: Cut::Lines };
            stream.send(chunk, credit).await;
            offset = end;
        }
        wait_for_arrival(&*context.door, &*stream, offset, &mut shutdown).await?;
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::InputWorld;

    use super::*;

    fn lines(lines: [&str; 2]) -> Box<NewPlugin> {
        Box::new(NewPlugin { lines: lines.map(str::to_owned).to_vec() })
    }

    #[tokio::test]
    async fn each_line_arrives_and_then_it_ends() {
        let world = InputWorld::new();
        let ended = world.run(lines(["one", "two"])).await.unwrap();
        assert_eq!((ended, world.lines()), (Ended::Exhausted, vec!["one".into(), "two".into()]));
        assert_eq!(world.gap(), None);
    }

    #[tokio::test]
    async fn without_credit_nothing_is_sent_and_it_stops_when_told() {
        let world = InputWorld::without_credit();
        let stop = async {
            world.asked_for_credit().await;
            world.stop();
        };
        let (ended, ()) = tokio::join!(world.run(lines(["one", "two"])), stop);
        assert_eq!((ended.unwrap(), world.lines()), (Ended::Stopped, Vec::new()));
    }
}
