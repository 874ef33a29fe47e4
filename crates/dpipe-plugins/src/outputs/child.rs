//! Hands encoded events to a program in any language, which says when each has arrived.
//!
//! The program is a child process that is kept running; how to write one is told in
//! `docs/child-plugins.md`. It gets a batch at a time and answers for each event of it: arrived, try
//! again, or refused for good (a dead letter). Delivered means what the child means by it.
//!
//! If it does not answer within `timeout`, or breaks the protocol, it is killed, and a new one gets
//! the batch again after a pause that grows from 0.1 to 30 seconds. The same if it dies; but when it
//! died twice over a batch, it gets the events one by one, and those over which it dies while others
//! arrive, or over which it died five times, become dead letters. So a child that cannot deliver now
//! should say so, and not die.
//!
//! Dead letters: `child_refused`, `child_died`, and `not_framable` (the encoder made more than one line
//! of an event).
//!
//! At the end its standard input is closed, and it has `timeout` to finish. It runs in a process
//! group of its own, which is killed when dpipe ends, however it does. Lines of standard error are
//! logged as warnings, at most 20 a second.
//!
//! ```yaml
//! type: child
//! match: [logs]
//! command: ["python3", "children/journal.py"]
//! config: { path: journal.jsonl }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dpipe_event::Batch;
use dpipe_plugin::settings::{ByteSize, Period};
use dpipe_plugin::{
    BoxFuture, BuildContext, BuildError, Output, OutputConfig, OutputSpec, Parcel, Refusal, Written,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use crate::child::{ChildConfig, Dialog, Failure, excerpt, hello, write_header};
use crate::process::{CommandLine, Launch, Pauses, Variables};

/// Whom to hand events to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The program and its arguments as a list, or a line for `sh -c`.
    command: CommandLine,
    /// What the child is told of its configuration: any value.
    #[serde(default)]
    config: ChildConfig,
    /// How long the child may take for a batch, and to finish at the end.
    #[serde(default = "timeout")]
    timeout: Period,
    /// How long it may take to start.
    #[serde(default = "start_timeout")]
    start_timeout: Period,
    /// The most address space that each of its processes may take; no bound, if left out.
    memory_max: Option<ByteSize>,
    /// The folder it runs in, relative to that of the configuration.
    #[serde(default = "here")]
    folder: String,
    /// Environment variables, beside those of dpipe.
    #[serde(default)]
    env: Variables,
}

fn timeout() -> Period {
    Period::seconds(30)
}

fn start_timeout() -> Period {
    Period::seconds(10)
}

fn here() -> String {
    ".".into()
}

impl OutputConfig for Config {
    const NAME: &'static str = "child";
}

impl OutputSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Output>, BuildError> {
        let launch = Launch::new(context, &self.command, &self.folder, &self.env);
        Ok(Box::new(Child {
            node: context.node.into(),
            launch: launch.with_memory_max(self.memory_max),
            hello: hello("output", context.node, &self.config),
            start_timeout: self.start_timeout.duration(),
            timeout: self.timeout.duration(),
            dialog: None,
            pauses: Pauses::new(),
            not_before: None,
            number: 0,
            unfinished: None,
        }))
    }

    fn default_encoder(&self) -> Option<&'static str> {
        Some("json")
    }

    fn receipt_means(&self) -> String {
        format!("`{}` said that it has arrived", self.command.name())
    }
}

struct Child {
    node: Arc<str>,
    launch: Launch,
    hello: Vec<u8>,
    start_timeout: Duration,
    timeout: Duration,
    dialog: Option<Dialog>,
    pauses: Pauses,
    /// When it may be started again.
    not_before: Option<Instant>,
    /// Of the last batch.
    number: u64,
    /// The parcel that is to be tried again.
    unfinished: Option<Work>,
}

/// What became of the events of a parcel so far.
struct Work {
    batch: Arc<Batch>,
    /// Those that have neither arrived nor been refused.
    left: Vec<usize>,
    refused: Vec<Refusal>,
    /// How often the child died over them.
    deaths: u32,
}

/// After so many deaths over a parcel its events are handed over one by one.
const DEATHS_TOGETHER: u32 = 2;
/// After so many, an event over which the child dies again is refused, whatever the others do.
const DEATHS_MAX: u32 = 5;
/// So many events are tried while none arrives.
const SUSPECTS_MAX: usize = 5;

/// What a child answers for a batch.
#[derive(Debug, Deserialize)]
struct Answer {
    batch: u64,
    /// Reasons by position.
    #[serde(default)]
    refused: BTreeMap<usize, String>,
    retry: Option<Retry>,
    after_ms: Option<u64>,
}

/// What is to be tried again.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Retry {
    /// Everything that was not refused, for this reason.
    All(String),
    /// These events.
    Some(Vec<usize>),
}

/// What is to be tried again, and when.
struct Again {
    after: Option<Duration>,
    reason: String,
}

impl Output for Child {
    fn write<'a>(&'a mut self, parcel: &'a Parcel) -> BoxFuture<'a, Written> {
        Box::pin(async move {
            let same = |work: &Work| Arc::ptr_eq(&work.batch, parcel.batch());
            let mut work = self.unfinished.take().filter(same).unwrap_or_else(|| Work::of(parcel));
            match self.deliver(parcel, &mut work).await {
                Ok(()) if work.refused.is_empty() => Written::Delivered,
                Ok(()) => {
                    work.refused.sort_by_key(|refusal| refusal.index);
                    Written::Refused(work.refused)
                }
                Err(Again { after, reason }) => {
                    self.unfinished = Some(work);
                    Written::Retry { after, reason }
                }
            }
        })
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(dialog) = self.dialog.take() {
                dialog.finish(self.timeout).await;
            }
        })
    }
}

impl Work {
    fn of(parcel: &Parcel) -> Work {
        let mut work = Work {
            batch: parcel.batch().clone(),
            left: Vec::new(),
            refused: Vec::new(),
            deaths: 0,
        };
        for index in 0..parcel.batch().len() {
            match parcel.event_bytes(index) {
                // Refused by the encoder, which its runner knows.
                [] => {}
                [line @ .., b'\n'] if memchr::memchr(b'\n', line).is_none() => {
                    work.left.push(index)
                }
                _ => {
                    work.refuse(
                        index,
                        "not_framable",
                        "it is encoded in more than one line".into(),
                    );
                }
            }
        }
        work
    }

    fn refuse(&mut self, index: usize, kind: &'static str, reason: String) {
        self.refused.push(Refusal { index, kind, reason });
    }
}

impl Child {
    /// Hands over what is left of the parcel.
    async fn deliver(&mut self, parcel: &Parcel, work: &mut Work) -> Result<(), Again> {
        if work.deaths < DEATHS_TOGETHER {
            let events = std::mem::take(&mut work.left);
            return match self.ask(parcel, &events).await {
                Ok(answer) => self.note(&events, answer, work),
                Err(failure) => {
                    work.left = events;
                    work.deaths += u32::from(matches!(failure, Failure::Died(_)));
                    Err(self.again(&failure))
                }
            };
        }
        self.deliver_one_by_one(parcel, work).await
    }

    async fn deliver_one_by_one(&mut self, parcel: &Parcel, work: &mut Work) -> Result<(), Again> {
        let mut suspects: Vec<(usize, Failure)> = Vec::new();
        let mut again = None;
        let mut any_arrived = false;
        let events = std::mem::take(&mut work.left);
        for (at, &index) in events.iter().enumerate() {
            match self.ask(parcel, &[index]).await {
                Ok(answer) => {
                    any_arrived = true;
                    if let Err(later) = self.note(&[index], answer, work) {
                        again = Some(later);
                    }
                }
                Err(failure @ Failure::Died(_)) if any_arrived || suspects.len() < SUSPECTS_MAX => {
                    suspects.push((index, failure));
                }
                // Where it dies over everything, the events need not be to blame.
                Err(failure) => {
                    work.left.extend_from_slice(&events[at..]);
                    again = Some(self.again(&failure));
                    break;
                }
            }
        }
        let guilty = any_arrived || work.deaths >= DEATHS_MAX;
        work.deaths += u32::from(!suspects.is_empty());
        for (index, failure) in suspects {
            if guilty {
                work.refuse(index, failure.kind(), failure.to_string());
            } else {
                work.left.push(index);
                again.get_or_insert(self.again(&failure));
            }
        }
        work.left.sort_unstable();
        again.map_or(Ok(()), Err)
    }

    /// Keeps in mind what the child answered for these events.
    fn note(&mut self, events: &[usize], answer: Answer, work: &mut Work) -> Result<(), Again> {
        let Answer { refused, retry, after_ms, .. } = answer;
        let (places, reason) = match retry {
            None => (Vec::new(), String::new()),
            Some(Retry::Some(places)) => {
                let reason =
                    format!("`{}` wants {} events again", self.launch.name(), places.len());
                (places, reason)
            }
            Some(Retry::All(reason)) => ((0..events.len()).collect(), reason),
        };
        let again = places.iter().filter(|place| !refused.contains_key(place));
        work.left.extend(again.map(|&place| events[place]));
        for (place, reason) in refused {
            work.refuse(events[place], "child_refused", reason);
        }
        if work.left.is_empty() {
            return Ok(());
        }
        Err(Again { after: after_ms.map(Duration::from_millis), reason })
    }

    /// Hands these events over, and reads what the child says of them.
    async fn ask(&mut self, parcel: &Parcel, events: &[usize]) -> Result<Answer, Failure> {
        self.number += 1;
        let number = self.number;
        let mut question = Vec::new();
        write_header(&mut question, number, parcel.batch(), events, &[]);
        let all = events.len() == parcel.batch().len();
        if !all {
            for &index in events {
                question.extend_from_slice(parcel.event_bytes(index));
            }
        }
        let question = [&question[..], if all { parcel.bytes() } else { &[] }];
        let asked = self.asked(question).await;
        let checked = asked.and_then(|answer| check(answer, number, events.len()));
        match &checked {
            Ok(_) => self.pauses.reset(),
            Err(_) => {
                self.dialog = None;
                self.not_before = Some(Instant::now() + self.pauses.pause());
            }
        }
        checked
    }

    async fn asked(&mut self, question: [&[u8]; 2]) -> Result<Vec<u8>, Failure> {
        let dialog = match &mut self.dialog {
            Some(dialog) => dialog,
            None => {
                if let Some(at) = self.not_before {
                    tokio::time::sleep_until(at).await;
                }
                let started = Dialog::start(&self.launch, &self.hello, self.start_timeout).await;
                let (dialog, greeting) = started.map_err(Failure::Unavailable)?;
                let (node, version) = (&*self.node, &*greeting.version);
                tracing::info!(node, name = &*greeting.name, version, "a child has started");
                self.dialog.insert(dialog)
            }
        };
        Ok(dialog.ask(question, self.timeout).await?.to_vec())
    }

    fn again(&self, failure: &Failure) -> Again {
        let reason = match failure {
            Failure::Unavailable(why) => why.clone(),
            other => format!("`{}` {other}", self.launch.name()),
        };
        let after = self.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        Again { after, reason }
    }
}

fn check(answer: Vec<u8>, number: u64, events: usize) -> Result<Answer, Failure> {
    let broken =
        |why: String| Failure::BrokeProtocol(format!("answered {}: {why}", excerpt(&answer)));
    let read: Answer =
        serde_json::from_slice(&answer).map_err(|error| broken(error.to_string()))?;
    if read.batch != number {
        return Err(broken(format!("the batch is number {number}")));
    }
    let mut places = read.refused.keys().chain(match &read.retry {
        Some(Retry::Some(places)) => places.as_slice(),
        _ => &[],
    });
    match places.find(|place| **place >= events) {
        Some(place) => Err(broken(format!("there is no event {place}"))),
        None => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use dpipe_testkit::{MemoryEnv, OutputCheck, batch, parcel};

    use super::*;

    const CHILDREN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/children");

    fn output(settings: &str, folder: &Path) -> OutputCheck {
        let settings = format!("type: child\nmatch: [logs]\n{settings}");
        OutputCheck::new::<Config>(&settings, MemoryEnv::new(), folder)
    }

    /// An output whose child is a Python program with these lines for each batch. They have `events`
    /// and fill `answer`; `save` appends events to `got`.
    fn python(lines: &str, settings: &str, folder: &Path) -> OutputCheck {
        let lines: String = lines.lines().map(|line| format!("\n    {line}")).collect();
        let program = format!(
            r#"
import json, os, sys, time
sys.stdin.readline()
print('{{"dpipe":1,"name":"test"}}', flush=True)
def save(event): open("got", "a").write(json.dumps(event) + "\n")
for line in sys.stdin:
    header = json.loads(line)
    events = [json.loads(sys.stdin.readline()) for _ in range(header["events"])]
    answer = {{"batch": header["batch"]}}{lines}
    print(json.dumps(answer), flush=True)
"#
        );
        let command = serde_json::json!(["python3", "-c", program]);
        output(&format!("command: {command}\n{settings}"), folder)
    }

    fn got(folder: &Path) -> Vec<String> {
        let got = fs::read_to_string(folder.join("got")).unwrap_or_default();
        got.lines().map(str::to_owned).collect()
    }

    /// Writes the parcel until it has gone; returns why it was not before, and what became of it.
    fn write(output: &mut OutputCheck, events: &str) -> (Vec<String>, Written) {
        let parcel = parcel(batch(events));
        let mut reasons = Vec::new();
        loop {
            match output.write_parcel(&parcel) {
                Written::Retry { reason, .. } => reasons.push(reason),
                written => return (reasons, written),
            }
        }
    }

    fn refused(written: Written) -> Vec<(usize, String)> {
        match written {
            Written::Refused(refused) => {
                refused.into_iter().map(|refusal| (refusal.index, refusal.reason)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_example_delivers_and_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            format!("command: [python3, {CHILDREN}/journal.py]\nconfig: {{ path: got }}");
        let mut output = output(&settings, dir.path());
        assert_eq!(output.write("{\"a\":1}\nplain"), Written::Delivered);
        let long = format!("{{\"long\":\"{}\"}}", "x".repeat(1000));
        let written = output.write(&format!("{{\"a\":2}}\n{long}\n{{\"a\":3}}"));
        assert_eq!(refused(written), [(1, "too long".to_owned())]);
        let expected = ["{\"a\":1}", "{\"message\":\"plain\"}", "{\"a\":2}", "{\"a\":3}"];
        assert_eq!(got(dir.path()), expected);
        fs::remove_file(dir.path().join("got")).unwrap();
        fs::create_dir(dir.path().join("got")).unwrap();
        let written = output.write("{\"a\":4}");
        let Written::Retry { after, reason } = written else { panic!("{written:?}") };
        assert_eq!(after, Some(Duration::from_secs(1)));
        assert!(reason.contains("Is a directory"), "{reason}");
        output.close();
    }

    #[test]
    fn only_events_that_did_not_arrive_are_handed_over_again() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "\
            answer['retry'] = list(range(2, len(events)))\n\
            answer['refused'] = {0: 'no'} if len(events) == 5 else {}\n\
            for e in events[:2]: save(e)";
        let mut output = python(lines, "", dir.path());
        let events: Vec<String> = (0..5).map(|n| format!("{{\"n\":{n}}}")).collect();
        let (reasons, written) = write(&mut output, &events.join("\n"));
        assert_eq!(refused(written), [(0, "no".to_owned())]);
        assert_eq!(reasons, ["`python3` wants 3 events again", "`python3` wants 1 events again"]);
        let expected: Vec<String> = (0..5).map(|n| format!("{{\"n\": {n}}}")).collect();
        assert_eq!(got(dir.path()), expected);
    }

    #[test]
    fn an_event_over_which_the_child_dies_is_refused_and_the_others_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "for e in events:\n    if e['n'] == 3: os._exit(7)\nfor e in events: save(e)";
        let mut output = python(lines, "", dir.path());
        let events: Vec<String> = (0..5).map(|n| format!("{{\"n\":{n}}}")).collect();
        let (reasons, written) = write(&mut output, &events.join("\n"));
        assert_eq!(refused(written), [(3, "ended: exit status: 7".to_owned())]);
        assert_eq!(reasons, ["`python3` ended: exit status: 7"; 2]);
        assert_eq!(got(dir.path()), ["{\"n\": 0}", "{\"n\": 1}", "{\"n\": 2}", "{\"n\": 4}"]);
    }

    #[test]
    fn events_over_which_a_child_dies_whatever_they_are_wait_and_are_refused_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = python("os._exit(7)", "", dir.path());
        let (reasons, written) = write(&mut output, "{\"a\":1}");
        assert_eq!(refused(written), [(0, "ended: exit status: 7".to_owned())]);
        assert_eq!(reasons.len(), 5);
    }

    #[test]
    fn a_child_that_does_not_answer_is_killed_and_its_events_wait() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "if not os.path.exists('second'):\n    open('second', 'w')\n    time.sleep(1000)\n\
                     for e in events: save(e)";
        let mut output = python(lines, "timeout: 1s", dir.path());
        let (reasons, written) = write(&mut output, "{\"a\":1}");
        assert_eq!(written, Written::Delivered);
        assert!(reasons.iter().all(|reason| reason == "`python3` did not answer within 1s"));
        assert_eq!(got(dir.path()), ["{\"a\": 1}"]);
    }

    #[test]
    fn nonsense_is_not_taken_for_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        for (lines, why) in [
            ("answer['batch'] += 1", "the batch is number 1"),
            ("answer['refused'] = {1: 'x'}", "there is no event 1"),
            ("answer['retry'] = [1]", "there is no event 1"),
            ("print('hello')", "expected value at line 1 column 1"),
        ] {
            let written = python(lines, "", dir.path()).write("{}");
            let Written::Retry { reason, .. } = written else { panic!("{written:?}") };
            assert!(reason.contains(why), "{reason}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_tried_again_and_named() {
        let mut output = output("command: [no-such-program]", Path::new("/"));
        let written = output.write("{}");
        let Written::Retry { after: Some(_), reason } = written else { panic!("{written:?}") };
        assert!(reason.starts_with("cannot start `no-such-program`: "), "{reason}");
    }

    #[test]
    fn at_the_end_the_child_may_finish() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = python("save(len(events))", "", dir.path());
        output.write("{}");
        let settings = "command: 'read -r _; echo \"{\\\"dpipe\\\":1,\\\"name\\\":\\\"x\\\"}\"; read -r _; \
                        read -r _; echo \"{\\\"batch\\\":1}\"; cat; echo end > got'";
        let mut slow = self::output(settings, dir.path());
        assert_eq!(slow.write("{}"), Written::Delivered);
        slow.close();
        assert_eq!(got(dir.path()), ["end"]);
    }
}
