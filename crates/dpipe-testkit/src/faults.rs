//! An output that misbehaves on command: it fails, refuses, panics or hangs, as the script says.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Flush, Output, OutputSpec, Parcel, Refusal, Written,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What the double does with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Takes the parcel, or makes safe what it held.
    Deliver,
    /// Takes the parcel until the next flush.
    Hold,
    /// Does not take it now; what it held is forgotten.
    Retry,
    /// Refuses the events at these positions, and takes the others.
    Refuse(Vec<usize>),
    /// Panics.
    Panic,
    /// Panics over each parcel with this text in it, until the text is gone; delivers the others.
    PanicOver(String),
    /// Answers nothing until [`Faults::release`].
    Hang,
    /// Has nobody at the other end anymore.
    Close,
}

/// The double, and the way for a test to steer it and to see what arrived. Clones are the same
/// double. To try an engine on it, put it into the plan in the place of another output's spec.
#[derive(Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
}

#[derive(Default)]
struct State {
    writes_to_come: VecDeque<Fault>,
    flushes_to_come: VecDeque<Fault>,
    last: Option<Fault>,
    held: Vec<Parcel>,
    lines: Vec<String>,
    writes: usize,
    builds: usize,
}

impl Faults {
    /// A double that does this with its writes; when the script is at its end, what it did last.
    #[must_use]
    pub fn on_writes(writes: impl IntoIterator<Item = Fault>) -> Self {
        let faults = Faults::default();
        faults.now(writes);
        faults
    }

    /// The same, and this with its first flushes.
    #[must_use]
    pub fn on_flushes(self, flushes: impl IntoIterator<Item = Fault>) -> Self {
        self.state.lock().flushes_to_come = flushes.into_iter().collect();
        self
    }

    /// Changes what it does with the writes that come.
    pub fn now(&self, writes: impl IntoIterator<Item = Fault>) {
        let mut state = self.state.lock();
        state.last = None;
        state.writes_to_come = writes.into_iter().collect();
    }

    /// Lets a call go on that hangs.
    pub fn release(&self) {
        self.released.notify_one();
    }

    /// The lines that arrived, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.state.lock().lines.clone()
    }

    /// How often it was asked to write.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.state.lock().writes
    }

    /// How often it was built.
    #[must_use]
    pub fn builds(&self) -> usize {
        self.state.lock().builds
    }
}

impl State {
    fn next_write(&mut self) -> Fault {
        self.writes += 1;
        if let Some(fault) = self.writes_to_come.pop_front() {
            self.last = Some(fault);
        }
        self.last.clone().unwrap_or(Fault::Deliver)
    }

    fn deliver(&mut self, parcel: &Parcel, refused: &[usize]) {
        for index in (0..parcel.batch().len()).filter(|index| !refused.contains(index)) {
            let bytes = match parcel.event_bytes(index) {
                [] => parcel.event(index).raw(),
                encoded => encoded,
            };
            self.lines.push(String::from_utf8_lossy(bytes).trim_end().to_owned());
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl OutputSpec for Faults {
    fn build(&self, _: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        let mut state = self.state.lock();
        state.builds += 1;
        state.held.clear();
        Ok(Box::new(Double(self.clone())))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        None
    }

    fn receipt_means(&self) -> String {
        "seen by a test".into()
    }

    fn flush_policy(&self) -> Option<Flush> {
        Some(Flush { bytes: 1 << 20, age: Duration::from_secs(1), when_idle: true })
    }
}

struct Double(Faults);

impl Double {
    async fn act(&mut self, fault: Fault, parcels: Vec<Parcel>) -> Written {
        let state = &self.0.state;
        match fault {
            Fault::Deliver => {
                let mut state = state.lock();
                parcels.iter().for_each(|parcel| state.deliver(parcel, &[]));
                Written::Delivered
            }
            Fault::Hold => {
                state.lock().held.extend(parcels);
                Written::Held
            }
            Fault::Retry => {
                state.lock().held.clear();
                Written::Retry { after: None, reason: "told to fail".into() }
            }
            Fault::Refuse(refused) => {
                let mut state = state.lock();
                let mut first = 0;
                for parcel in &parcels {
                    let events = parcel.batch().len();
                    let own: Vec<usize> = refused
                        .iter()
                        .filter(|&&index| (first..first + events).contains(&index))
                        .map(|index| index - first)
                        .collect();
                    state.deliver(parcel, &own);
                    first += events;
                }
                let (kind, reason) = ("refused", "told to refuse");
                let refusal = |index| Refusal { index, kind, reason: reason.into() };
                Written::Refused(
                    refused.into_iter().filter(|&index| index < first).map(refusal).collect(),
                )
            }
            Fault::Panic => panic!("told to panic"),
            Fault::PanicOver(text) => {
                let bad = |parcel: &Parcel| {
                    let mut raw = parcel.batch().iter().map(|event| event.raw());
                    raw.any(|raw| String::from_utf8_lossy(raw).contains(&text))
                };
                assert!(!parcels.iter().any(bad), "told to panic over `{text}`");
                let mut state = state.lock();
                parcels.iter().for_each(|parcel| state.deliver(parcel, &[]));
                Written::Delivered
            }
            Fault::Hang => {
                self.0.released.notified().await;
                let mut state = self.0.state.lock();
                parcels.iter().for_each(|parcel| state.deliver(parcel, &[]));
                Written::Delivered
            }
            Fault::Close => Written::Closed,
        }
    }
}

impl Output for Double {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        let fault = self.0.state.lock().next_write();
        Box::pin(self.act(fault, vec![parcel.clone()]))
    }

    fn flush(&mut self) -> BoxFuture<'_, Written> {
        let (fault, held) = {
            let mut state = self.0.state.lock();
            let fault = state.flushes_to_come.pop_front().unwrap_or(Fault::Deliver);
            (fault, std::mem::take(&mut state.held))
        };
        Box::pin(self.act(fault, held))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{MemoryEnv, OutputCheck};

    const TWO: &str = "{\"a\":1}\n{\"a\":2}";

    fn check(faults: &Faults) -> OutputCheck {
        OutputCheck::of(Arc::new(faults.clone()), MemoryEnv::new(), Path::new("/"))
    }

    #[test]
    fn the_script_is_played_and_its_last_word_repeated() {
        let faults = Faults::on_writes([Fault::Close, Fault::Refuse(vec![1]), Fault::Deliver]);
        let mut check = check(&faults);
        assert_eq!(check.write(TWO), Written::Closed);
        let (kind, reason) = ("refused", "told to refuse".into());
        let refusal = Refusal { index: 1, kind, reason };
        assert_eq!(check.write(TWO), Written::Refused(vec![refusal]));
        assert_eq!(faults.lines(), [r#"{"a":1}"#]);
        assert_eq!(check.write(TWO), Written::Delivered);
        assert_eq!(check.write(TWO), Written::Delivered);
        assert_eq!((faults.lines().len(), faults.writes(), faults.builds()), (5, 4, 1));
    }

    #[test]
    fn what_is_held_arrives_with_the_flush_or_is_forgotten() {
        let faults = Faults::on_writes([Fault::Hold]).on_flushes([Fault::Retry, Fault::Deliver]);
        let mut check = check(&faults);
        assert_eq!(check.write(TWO), Written::Held);
        assert!(matches!(check.flush(), Written::Retry { .. }));
        assert_eq!(check.flush(), Written::Delivered);
        assert_eq!(faults.lines().len(), 0);
        check.write(TWO);
        check.write(TWO);
        assert_eq!(check.flush(), Written::Delivered);
        assert_eq!(faults.lines().len(), 4);
    }

    #[test]
    fn it_panics_over_what_it_was_told_to() {
        let faults = Faults::on_writes([Fault::PanicOver("bad".into())]);
        let mut check = check(&faults);
        let write = std::panic::AssertUnwindSafe(|| check.write(r#"{"a":"bad"}"#));
        assert!(std::panic::catch_unwind(write).is_err());
        check.restart();
        assert_eq!(check.write(TWO), Written::Delivered);
        assert_eq!(faults.builds(), 2);
    }
}
