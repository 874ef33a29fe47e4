//! Talking to a child by somebody who does not block: an output.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::{Failure, Greeting};
use crate::process::{Launch, Process};

/// The longest line that a child may answer.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// A child that runs, and said who it is.
pub(crate) struct Dialog {
    pub(crate) process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    answer: Vec<u8>,
}

impl Dialog {
    /// Starts a child and hears who it is.
    pub(crate) async fn start(
        launch: &Launch,
        hello: &[u8],
        patience: Duration,
    ) -> Result<(Dialog, Greeting), String> {
        let name = launch.name();
        let mut process = launch
            .start(Stdio::piped(), Stdio::piped())
            .map_err(|error| format!("cannot start `{name}`: {error}"))?;
        let stdin = process.child.stdin.take().expect("standard input is a pipe");
        let stdout = process.child.stdout.take().expect("standard output is a pipe");
        let stdout = BufReader::new(stdout);
        let mut dialog = Dialog { process, stdin, stdout, answer: Vec::new() };
        let answer = dialog.ask([hello, b""], patience).await;
        let answer = answer.map_err(|failure| format!("no answer from `{name}`: {failure}"))?;
        let greeting =
            Greeting::parse(answer).map_err(|why| format!("cannot talk to `{name}`: {why}"))?;
        Ok((dialog, greeting))
    }

    /// Writes a question, and reads a line.
    pub(crate) async fn ask(
        &mut self,
        question: [&[u8]; 2],
        patience: Duration,
    ) -> Result<&[u8], Failure> {
        self.answer.clear();
        let (stdin, stdout, answer) = (&mut self.stdin, &mut self.stdout, &mut self.answer);
        let write = async {
            stdin.write_all(question[0]).await?;
            stdin.write_all(question[1]).await
        };
        let read = async { stdout.take(ANSWER_BYTES_MAX).read_until(b'\n', answer).await };
        let both = async {
            // Both at once: a child may answer before it has heard everything.
            tokio::try_join!(write, read).map(drop)
        };
        match timeout(patience, both).await {
            Err(_) => Err(Failure::TimedOut(format!("did not answer within {patience:?}"))),
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::Died(format!("cannot be talked to: {error}")))
            }
            Ok(Ok(())) if self.answer.len() as u64 == ANSWER_BYTES_MAX => {
                Err(Failure::BrokeProtocol("its answer is too long".into()))
            }
            Ok(Ok(())) if self.answer.ends_with(b"\n") => Ok(&self.answer),
            Ok(_) => Err(self.died().await),
        }
    }

    async fn died(&mut self) -> Failure {
        match timeout(Duration::from_millis(200), self.process.ended()).await {
            Ok(Ok(status)) => Failure::Died(format!("ended: {status}")),
            Ok(Err(error)) => Failure::Died(format!("cannot be waited for: {error}")),
            Err(_) => Failure::Died("closed its pipe".into()),
        }
    }

    /// Tells it that there is no more, and lets it finish.
    pub(crate) async fn finish(self, patience: Duration) {
        let Dialog { mut process, stdin, stdout, .. } = self;
        drop(stdin);
        let _ = timeout(patience, process.ended()).await;
        drop(stdout);
    }
}
