//! Hands events to a program in any language, a batch at a time, and takes what it makes of them.
//!
//! The program is a child process that is kept running; how to write one is told in
//! `docs/child-plugins.md`. For each event it answers: unchanged, another body, several events in its
//! place, dropped for a reason, or refused. Bodies that it does not change keep their bytes.
//!
//! Each lane has a child of its own, so what a child remembers it remembers of its lane's events
//! only. The lane waits for the answer, at most `timeout` a batch. If the child dies, does not answer
//! in time, or answers nonsense, it is started anew and gets the batch once more, and if that fails,
//! event by event, so that the event that does it goes alone. After some failures in a row the child
//! rests for a pause that grows from 1 to 30 seconds. By `on_failure`, events that it could not
//! handle become dead letters (nothing passes that the child did not see) or pass unchanged.
//!
//! The child runs in a process group of its own, which is killed when dpipe ends, however it does.
//! Lines of standard error are logged as warnings, at most 20 a second.
//!
//! Drop reasons: those that the child declares, and `dropped` for others. Dead letters, or flagged:
//! `child_died`, `child_timed_out`, `child_broke_protocol`, `child_unavailable` (it cannot be
//! started, or rests). Dead letters always: `child_refused`, and `child_bad_answer` (a body that is
//! not a JSON object).
//!
//! ```yaml
//! child:
//!   command: ["python3", "children/mask.py"]
//!   config: { field: uri }
//! ```

use std::sync::Arc;

use dpipe_event::{Batch, EventRef, Parts, Selection};
use dpipe_plugin::settings::{ByteSize, Period};
use dpipe_plugin::{BuildContext, BuildError, Step, StepConfig, StepContext, StepSpec};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::child::{
    ChildConfig, EventMeta, Failure, Partner, State, Verdict, blocking, check_number, hello,
    write_header,
};
use crate::process::{CommandLine, Launch, Variables};

/// Whom to ask.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The program and its arguments as a list, or a line for `sh -c`.
    command: CommandLine,
    /// What the child is told of its configuration: any value.
    #[serde(default)]
    config: ChildConfig,
    /// What the child is told of each event beside its body, such as `[_time]`.
    #[serde(default)]
    metadata: Vec<EventMeta>,
    /// How long the child may take for a batch.
    #[serde(default = "timeout")]
    timeout: Period,
    /// How long it may take to start.
    #[serde(default = "start_timeout")]
    start_timeout: Period,
    /// What becomes of events that the child could not handle.
    #[serde(default)]
    on_failure: OnFailure,
    /// The most address space that each of its processes may take; no bound, if left out.
    memory_max: Option<ByteSize>,
    /// The longest answer to one batch.
    #[serde(default = "answer_max")]
    answer_max: ByteSize,
    /// The folder it runs in, relative to that of the configuration.
    #[serde(default = "here")]
    folder: String,
    /// Environment variables, beside those of dpipe.
    #[serde(default)]
    env: Variables,
}

/// What becomes of events that the child could not handle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnFailure {
    /// They become dead letters.
    #[default]
    DeadLetter,
    /// They go on as they are, and are flagged.
    Pass,
}

fn timeout() -> Period {
    Period::seconds(5)
}

fn start_timeout() -> Period {
    Period::seconds(10)
}

fn answer_max() -> ByteSize {
    ByteSize::mib(16)
}

fn here() -> String {
    ".".into()
}

impl StepConfig for Config {
    const NAME: &'static str = "child";
}

impl StepSpec for Config {
    fn reaches_outside(&self) -> bool {
        true
    }

    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let launch = Launch::new(context, &self.command, &self.folder, &self.env);
        let partner = Partner {
            node: context.node.into(),
            launch: launch.with_memory_max(self.memory_max),
            hello: hello("step", context.node, &self.config),
            start_timeout: self.start_timeout.duration(),
            timeout: self.timeout.duration(),
            answer_max: self.answer_max,
            state: State::new(),
        };
        let words = context.own(Words::default);
        Ok(Box::new(Child {
            partner,
            metadata: self.metadata.clone(),
            on_failure: self.on_failure,
            words,
            reasons: Vec::new(),
            number: 0,
            question: Vec::new(),
        }))
    }
}

struct Child {
    partner: Partner,
    metadata: Vec<EventMeta>,
    on_failure: OnFailure,
    words: Arc<Words>,
    /// Why the child that runs drops events.
    reasons: Vec<&'static str>,
    /// Of the last batch.
    number: u64,
    question: Vec<u8>,
}

impl Step for Child {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let events: Vec<usize> =
            (0..batch.len()).filter(|&index| selection.contains(index)).collect();
        if events.is_empty() {
            return;
        }
        let mut fates = Fates::of(batch);
        blocking(|| self.decide(batch, &events, &mut fates));
        fates.come_true(batch, context);
    }

    fn close(&mut self, _context: &mut StepContext) {
        blocking(|| self.partner.close());
    }
}

impl Child {
    /// Finds what becomes of the events: asks about all of them, once more if that fails, and then
    /// about one at a time.
    fn decide(&mut self, batch: &mut Batch, events: &[usize], fates: &mut Fates) {
        let mut asked = self.ask(batch, events, fates);
        if matches!(&asked, Err(failure) if !matches!(failure, Failure::Unavailable(_))) {
            asked = self.ask(batch, events, fates);
        }
        match asked {
            Ok(()) => {}
            Err(failure @ Failure::Unavailable(_)) => self.give_up(events, &failure, fates),
            Err(failure) if events.len() == 1 => self.give_up(events, &failure, fates),
            Err(_) => {
                for &index in events {
                    if let Err(failure) = self.ask(batch, &[index], fates) {
                        self.give_up(&[index], &failure, fates);
                    }
                }
            }
        }
    }

    /// Asks about some events. If this fails, none of them has changed.
    fn ask(
        &mut self,
        batch: &mut Batch,
        events: &[usize],
        fates: &mut Fates,
    ) -> Result<(), Failure> {
        self.number += 1;
        self.question.clear();
        write_header(&mut self.question, self.number, batch, events, &self.metadata);
        for &index in events {
            let start = self.question.len();
            batch.get(index).write_json(&mut self.question);
            // In JSON, the ends of lines are space.
            for byte in &mut self.question[start..] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
            self.question.push(b'\n');
        }
        let (words, reasons) = (&self.words, &mut self.reasons);
        let answer = self.partner.ask(&self.question, events.len() + 1, |greeting| {
            *reasons = greeting.reasons.iter().filter_map(|word| words.keep(word)).collect();
        })?;
        match verdicts(answer, self.number) {
            Ok(verdicts) => {
                for (&index, verdict) in events.iter().zip(verdicts) {
                    fates.note(batch, index, verdict, &self.reasons);
                }
                Ok(())
            }
            Err(why) => Err(self.partner.reject(why)),
        }
    }

    fn give_up(&self, events: &[usize], failure: &Failure, fates: &mut Fates) {
        for &index in events {
            match self.on_failure {
                OnFailure::DeadLetter => fates.die(index, failure.kind(), failure.to_string()),
                OnFailure::Pass => fates.flagged.push(failure.kind()),
            }
        }
    }
}

/// What an answer says of each event.
fn verdicts(answer: &[u8], number: u64) -> Result<Vec<Verdict<'_>>, String> {
    let mut lines = answer.split_inclusive(|byte| *byte == b'\n');
    check_number(lines.next().unwrap_or_default(), number)?;
    lines.map(Verdict::parse).collect()
}

/// What becomes of the events of a batch, apart from bodies, which are changed at once.
struct Fates {
    /// Those that are no more.
    gone: Vec<bool>,
    /// The bodies of those in whose place there are several.
    several: Vec<(usize, Vec<Vec<u8>>)>,
    dead: Vec<(usize, &'static str, String)>,
    dropped: Vec<&'static str>,
    flagged: Vec<&'static str>,
}

impl Fates {
    fn of(batch: &Batch) -> Fates {
        Fates {
            gone: vec![false; batch.len()],
            several: Vec::new(),
            dead: Vec::new(),
            dropped: Vec::new(),
            flagged: Vec::new(),
        }
    }

    fn note(
        &mut self,
        batch: &mut Batch,
        index: usize,
        verdict: Verdict<'_>,
        known: &[&'static str],
    ) {
        match verdict {
            Verdict::Unchanged => {}
            Verdict::Body(json) => {
                if let Err(error) = batch.edit(index).set_body(json) {
                    self.die(index, "child_bad_answer", format!("the child's answer: {error}"));
                }
            }
            Verdict::Several(bodies) if bodies.is_empty() => self.drop(index, "dropped"),
            Verdict::Several(bodies) => {
                self.several.push((index, bodies.into_iter().map(<[u8]>::to_vec).collect()));
            }
            Verdict::Drop(reason) => {
                let known = known.iter().find(|known| ***known == *reason);
                self.drop(index, known.unwrap_or(&"dropped"));
            }
            Verdict::Dead(why) => self.die(index, "child_refused", why.into_owned()),
        }
    }

    fn drop(&mut self, index: usize, reason: &'static str) {
        self.gone[index] = true;
        self.dropped.push(reason);
    }

    fn die(&mut self, index: usize, kind: &'static str, reason: String) {
        self.gone[index] = true;
        self.dead.push((index, kind, reason));
    }

    fn come_true(mut self, batch: &mut Batch, context: &mut StepContext) {
        // Serde_json has checked them already; what it takes and we do not is too deep.
        self.several.retain(|(index, bodies)| {
            let bad = bodies.iter().find_map(|json| batch.one(*index).edit(0).set_body(json).err());
            if let Some(error) = &bad {
                let reason = format!("the child's answer: {error}");
                self.gone[*index] = true;
                self.dead.push((*index, "child_bad_answer", reason));
            }
            bad.is_none()
        });
        for (index, kind, reason) in self.dead {
            context.refuse(batch.one(index), kind, reason);
        }
        for reason in self.dropped {
            context.filtered(reason, 1);
        }
        for what in self.flagged {
            context.flagged(what, 1);
        }
        if self.several.is_empty() && !self.gone.contains(&true) {
            return;
        }
        let (mut discarded, mut split) =
            (Selection::none(batch.len()), Selection::none(batch.len()));
        let mut places = self.several.iter().map(|(index, _)| *index).peekable();
        let mut place = 0;
        for (index, gone) in self.gone.iter().enumerate() {
            if *gone {
                discarded.add(index);
                continue;
            }
            if places.next_if_eq(&index).is_some() {
                split.add(place);
            }
            place += 1;
        }
        batch.discard(&discarded);
        let mut several = self.several.iter();
        let cut = |_: &EventRef<'_>, parts: &mut Parts| {
            // They are asked for in their order.
            for body in several.next().map_or(&[][..], |(_, bodies)| bodies) {
                parts.push(|part| part.extend_from_slice(body));
            }
        };
        let divided = batch.split(&split, cut, |event, _, body| event.set_body(body).is_ok());
        context.born(divided.born);
    }
}

/// Words of a step's children that became metric labels, which live as long as the process. They are
/// kept once, and there is a bound, so that a child that is started anew a thousand times costs
/// nothing.
#[derive(Default)]
struct Words(Mutex<Vec<&'static str>>);

const WORDS_MAX: usize = 64;

impl Words {
    fn keep(&self, word: &str) -> Option<&'static str> {
        let mut words = self.0.lock();
        if let Some(known) = words.iter().find(|known| ***known == *word) {
            return Some(known);
        }
        if words.len() >= WORDS_MAX {
            return None;
        }
        let kept: &'static str = word.to_owned().leak();
        words.push(kept);
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use dpipe_testkit::{StepCheck, step_mistake};

    use super::*;

    const CHILDREN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/children");

    /// A step whose child is the example of this name.
    fn example(program: &str, name: &str, settings: &str) -> StepCheck {
        let command = format!("[{program}, {CHILDREN}/{name}]");
        StepCheck::new::<Config>(
            &format!("child: {{ command: {command}, folder: /, {settings} }}"),
            &[],
        )
    }

    /// A step whose child is a Python program with these lines for each event, as `event`: they
    /// put their answer into `answer`.
    fn python(lines: &str, settings: &str) -> StepCheck {
        let timeout = if settings.contains("timeout") { "" } else { "timeout: 1m, " };
        let settings = format!("{timeout}{settings}");
        let lines: String = lines.lines().map(|line| format!("\n        {line}")).collect();
        let program = format!(
            r#"
import json, os, sys, time
hello = json.loads(sys.stdin.readline())
print('{{"dpipe":1,"name":"test","reasons":["odd"]}}', flush=True)
batches = 0
for line in sys.stdin:
    batches += 1
    header = json.loads(line)
    out = [line.strip()]
    for i in range(header["events"]):
        event = json.loads(sys.stdin.readline())
        answer = "true"{lines}
        out.append(answer)
    print("\n".join(out), flush=True)
"#
        );
        let command = serde_json::json!(["python3", "-c", program]);
        StepCheck::new::<Config>(
            &format!("child: {{ command: {command}, folder: /, {settings} }}"),
            &[],
        )
    }

    #[test]
    fn the_python_example_edits_drops_and_leaves_events() {
        let mut step = example("python3", "mask.py", "config: { field: m }, timeout: 1m");
        for _ in 0..2 {
            assert_eq!(
                step.run("{\"m\":\"from a.b@c.de\",\"n\":1.0}\n{\"m\": \"plain\"}\n{\"a\":1}"),
                "{\"m\":\"from <mail>\",\"n\":1.0}\n{\"m\": \"plain\"}\nfiltered no_field 1"
            );
        }
    }

    #[test]
    fn the_shell_example_drops_and_leaves_events() {
        let mut step = example("sh", "health.sh", "timeout: 1m");
        for _ in 0..2 {
            assert_eq!(
                step.run("{\"uri\":\"/health\"}\n{\"uri\":\"/a\\\\b\"}\nplain"),
                "{\"uri\":\"/a\\\\b\"}\n{\"message\":\"plain\"}\nfiltered health_check 1"
            );
        }
    }

    #[test]
    fn an_event_may_become_several_and_each_can_be_told_apart() {
        let mut step = python("answer = json.dumps([event] * event['n'])", "");
        assert_eq!(
            step.run("{\"n\":1}\n{\"n\":3}\n{\"n\":0}\n{\"n\":2}"),
            "{\"n\": 1}\n{\"n\": 3}\n{\"n\": 3}\n{\"n\": 3}\n{\"n\": 2}\n{\"n\": 2}\n\
             filtered dropped 1"
        );
    }

    #[test]
    fn reasons_are_those_that_were_declared() {
        let mut step = python("answer = json.dumps(['drop', event['why']])", "");
        assert_eq!(
            step.run("{\"why\":\"odd\"}\n{\"why\":\"1.2.3.4\"}"),
            "\nfiltered odd 1\nfiltered dropped 1".trim()
        );
    }

    #[test]
    fn what_the_child_refuses_becomes_a_dead_letter() {
        let lines = "answer = json.dumps(['dead', 'no ' + event['a']]) if 'a' in event else '{]'";
        assert_eq!(
            python(lines, "").run("{\"a\":\"b\"}\n{\"b\":1}"),
            "refused child_refused {\"a\":\"b\"}: no b\n\
             refused child_bad_answer {\"b\":1}: the child's answer: expected a key at byte 1"
        );
    }

    #[test]
    fn the_child_sees_only_selected_events_and_what_was_asked_for() {
        let lines = "event['t'] = header['metadata']['_time'][i]\n\
                     event['f'] = header['metadata']['_file']\n\
                     event['role'] = hello['role']\n\
                     answer = json.dumps(event, separators=(',', ':'))";
        let mut step = python(lines, "metadata: [_time], when: 'a:1'");
        assert_eq!(
            step.run("{\"a\":2}\n@2024-06-01 {\"a\":1}"),
            "{\"a\":2}\n{\"a\":1,\"t\":1717243200000,\"f\":\"in.log\",\"role\":\"step\"}"
        );
    }

    #[test]
    fn an_event_that_kills_the_child_becomes_a_dead_letter_and_the_others_go_on() {
        let lines = "if event['n'] == 7: os._exit(3)\n\
                     answer = json.dumps({'n': event['n'], 'batches': batches})";
        let mut step = python(lines, "");
        let events: Vec<String> = (0..10).map(|n| format!("{{\"n\":{n}}}")).collect();
        let found = step.run(&events.join("\n"));
        let dead = "refused child_died {\"n\":7}: `python3` ended: exit status: 3";
        assert_eq!(found.lines().last(), Some(dead));
        assert_eq!(found.lines().count(), 10);
        // The last two were handled by the child that followed.
        assert!(found.contains("{\"n\": 9, \"batches\": 2}"), "{found}");
    }

    #[test]
    fn a_child_that_died_between_batches_is_started_again() {
        let mut step = python("answer = json.dumps([{'b': batches}, {'p': os.getpid()}])", "");
        let first = step.run("{}");
        let id = first.rsplit([' ', '}']).nth(1).unwrap().to_owned();
        let pid = rustix::process::Pid::from_raw(id.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert!(step.run("{}").starts_with("{\"b\": 1}"));
    }

    #[test]
    fn a_child_that_does_not_answer_in_time_is_killed_and_its_events_pass_where_that_is_wanted() {
        let lines = "if 'hang' in event: time.sleep(1000)";
        let mut step = python(lines, "on_failure: pass, timeout: 1s");
        assert_eq!(
            step.run("{\"a\":1}\n{\"hang\":1}"),
            "{\"a\":1}\n{\"hang\":1}\nflagged child_timed_out 1"
        );
    }

    #[test]
    fn answers_that_nobody_asked_for_are_noticed() {
        for lines in ["print('debug')", "answer = 'hello'", "answer = 'true\\ntrue'"] {
            let found = python(lines, "").run("{\"a\":1}");
            assert!(
                found.starts_with("refused child_broke_protocol {\"a\":1}: `python3`: "),
                "{found}"
            );
        }
    }

    #[test]
    fn a_child_that_cannot_be_started_is_left_alone_for_a_while() {
        let mut step = StepCheck::new::<Config>("child: { command: [no-such], folder: / }", &[]);
        let why = "refused child_unavailable {\"a\":1}: ";
        let found = step.run("{\"a\":1}");
        assert!(found.starts_with(&format!("{why}cannot start `no-such`: ")), "{found}");
        assert_eq!(step.run("{\"a\":1}"), format!("{why}`no-such` failed too often, and rests"));
    }

    #[test]
    fn a_child_that_keeps_dying_is_left_alone_after_some_deaths() {
        let mut step = python("os._exit(1)", "");
        let found = step.run(&"{\"a\":1}\n".repeat(30));
        let died = found.matches("refused child_died").count();
        let rested = found.matches("refused child_unavailable").count();
        assert_eq!((died + rested, died), (30, 8), "{found}");
    }

    #[test]
    fn a_child_with_too_little_memory_dies_and_dpipe_does_not() {
        let lines = "x = bytearray(event['bytes'])";
        let mut step = python(lines, "memory_max: 300MiB");
        let found = step.run("{\"bytes\":10}\n{\"bytes\":1000000000}\n{\"bytes\":11}");
        assert!(found.starts_with("{\"bytes\":10}\n{\"bytes\":11}\nrefused child_died"), "{found}");
    }

    #[test]
    fn large_questions_and_answers_cross_in_full_pipes() {
        let text = "x".repeat(3000);
        let event = format!("{{\"m\":\"{text}\"}}\n");
        // It answers while it still reads.
        let program = r#"
import sys, json
sys.stdin.readline()
print('{"dpipe":1,"name":"x"}', flush=True)
for header in sys.stdin:
    print(header, end="", flush=True)
    for _ in range(json.loads(header)["events"]):
        print(sys.stdin.readline(), end="", flush=True)
"#;
        let command = serde_json::json!(["python3", "-c", program]);
        let settings = format!("child: {{ command: {command}, folder: /, timeout: 1m }}");
        let mut step = StepCheck::new::<Config>(&settings, &[]);
        assert_eq!(step.run(&event.repeat(300)), event.repeat(300).trim_end());
        let settings = settings.replace("timeout: 1m", "timeout: 1m, answer_max: 10KiB");
        let mut step = StepCheck::new::<Config>(&settings, &[]);
        let found = step.run(&event.repeat(5));
        assert!(found.lines().count() == 5, "event by event it fits: {found}");
    }

    #[test]
    fn when_the_step_goes_its_child_goes() {
        let mut step = python("answer = json.dumps({'p': os.getpid()})", "");
        let id = step.run("{}").trim_start_matches("{\"p\": ").trim_end_matches('}').to_owned();
        assert!(crate::process::tests::is_alive(&id));
        drop(step);
        crate::process::tests::wait_until(|| !crate::process::tests::is_alive(&id));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_lane_that_waits_for_a_child_does_not_hold_up_its_thread() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let waiting = tokio::spawn(async move {
            // The child answers when the other task has run, on the only worker.
            let (reader, mut writer) = std::io::pipe().unwrap();
            sender.send(reader).unwrap();
            blocking(|| std::io::Write::write_all(&mut writer, &[0; 1 << 20])).unwrap();
        });
        let reading = tokio::spawn(async move {
            let reader = receiver.await.unwrap();
            tokio::task::spawn_blocking(move || {
                std::io::copy(&mut { reader }, &mut std::io::sink()).unwrap();
            })
            .await
            .unwrap();
        });
        waiting.await.unwrap();
        reading.await.unwrap();
    }

    #[test]
    fn mistakes_are_placed_where_they_stand() {
        let mistake = step_mistake::<Config>;
        assert_eq!(mistake("child: { config: 1 }"), "step.yaml:1:8: error: missing key `command`");
        assert_eq!(
            mistake("child: { command: x, metadata: [_file] }"),
            "step.yaml:1:33: error: unknown name `_file` (there is `_time`, `_area`, `_offset`, `_id`)"
        );
    }
}
