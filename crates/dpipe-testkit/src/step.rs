//! Checks of steps: settings and events in, events and counts out, all as text.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dpipe_config::load::{Format, parse};
use dpipe_env::Env;
use dpipe_event::{
    Batch, Buffer, Builder, EventRef, Frame, JsonLimits, Origin, Selection, StreamId, Timestamp,
};
use dpipe_plugin::settings::{Node, NodeValue, Problem, SourceFile, deserialize};
use dpipe_plugin::{
    BuildContext, Condition, DecoderSpec, Entry, Shared, Step, StepConfig, StepContext, StepSpec,
};

use crate::MemoryEnv;

/// Checks what a step makes of some events.
///
/// `settings` is the step as it stands in a filter: `drop: { when: 'uri:="/health"' }`. `input` has
/// an event a line: a JSON object, or anything else as a plain text; `@2024-06-01` before it is its
/// date. `expected` has a line for each event that is left, in order, then `<port>: <event>` for
/// those that were published, then `flagged <what> <count>`, `filtered <reason> <count>`,
/// `refused <kind> <event>: <reason>` and `complaint: <text>`. Space around lines, and empty lines, do not count.
///
/// # Panics
/// If the outcome is another one, or the settings are wrong.
#[track_caller]
pub fn check_step<C: StepConfig>(settings: &str, input: &str, expected: &str) {
    let found = StepCheck::new::<C>(settings, &[]).run(input);
    assert_eq!(found, clean(expected), "\n{settings}");
}

/// As [`check_step`], for a step that takes one of these codecs.
///
/// # Panics
/// If the outcome is another one, or the settings are wrong.
#[track_caller]
pub fn check_step_with_codecs<C: StepConfig>(
    decoders: &[Entry<dyn DecoderSpec>],
    settings: &str,
    input: &str,
    expected: &str,
) {
    let entry = <Entry<dyn StepSpec>>::step::<C>("");
    let found = match StepCheck::try_of(&entry, decoders, settings, &[]) {
        Ok(mut check) => check.run(input),
        Err(message) => panic!("{message}"),
    };
    assert_eq!(found, clean(expected), "\n{settings}");
}

/// What is wrong with the settings of a step: its first problem, in one line.
///
/// # Panics
/// If nothing is wrong.
#[track_caller]
#[must_use]
pub fn step_mistake<C: StepConfig>(settings: &str) -> String {
    match read(&Entry::step::<C>(""), &[], settings) {
        Ok(_) => panic!("nothing is wrong with {settings}"),
        Err(problem) => problem.to_string(),
    }
}

/// A step between calls, with files that can be changed under it.
pub struct StepCheck {
    env: MemoryEnv,
    shared: Arc<Shared>,
    spec: Arc<dyn StepSpec>,
    decoder: Option<Arc<dyn DecoderSpec>>,
    when: Option<Condition>,
    step: Box<dyn Step>,
    now: Timestamp,
}

/// Where the configuration file of a checked step lies.
const CONFIG_DIR: &str = "/etc/dpipe";

impl StepCheck {
    /// Builds the step, with files in the folder of its configuration.
    ///
    /// # Panics
    /// If the settings are wrong, or the step cannot be built from them.
    #[track_caller]
    #[must_use]
    pub fn new<C: StepConfig>(settings: &str, files: &[(&str, &[u8])]) -> Self {
        Self::of(&<Entry<dyn StepSpec>>::step::<C>(""), settings, files)
    }

    /// Builds the step of a list's entry, with files in the folder of its configuration.
    ///
    /// # Panics
    /// If the settings are wrong, or the step cannot be built from them.
    #[track_caller]
    #[must_use]
    pub fn of(entry: &Entry<dyn StepSpec>, settings: &str, files: &[(&str, &[u8])]) -> Self {
        match Self::try_of(entry, &[], settings, files) {
            Ok(check) => check,
            Err(message) => panic!("{message}"),
        }
    }

    /// As [`StepCheck::new`], but hands out why the step could not be built.
    ///
    /// # Errors
    /// If the step cannot be built.
    ///
    /// # Panics
    /// If the settings are wrong.
    #[track_caller]
    pub fn try_new<C: StepConfig>(settings: &str, files: &[(&str, &[u8])]) -> Result<Self, String> {
        Self::try_of(&<Entry<dyn StepSpec>>::step::<C>(""), &[], settings, files)
    }

    #[track_caller]
    fn try_of(
        entry: &Entry<dyn StepSpec>,
        decoders: &[Entry<dyn DecoderSpec>],
        settings: &str,
        files: &[(&str, &[u8])],
    ) -> Result<Self, String> {
        let (spec, when, decoder) = match read(entry, decoders, settings) {
            Ok(read) => read,
            Err(problem) => panic!("{}", problem.render()),
        };
        let env = MemoryEnv::new();
        for (name, bytes) in files {
            env.put(in_config_dir(name), *bytes);
        }
        let shared = Arc::new(Shared::default());
        let now = Timestamp::default();
        let step = build(&*spec, (decoder.as_deref(), 0), &env, &shared)?;
        Ok(StepCheck { env, shared, spec, decoder, when, step, now })
    }

    /// The same step on another lane.
    ///
    /// # Panics
    /// If it cannot be built.
    #[must_use]
    pub fn another_lane(&self) -> Self {
        self.another_place(0)
    }

    /// A step of the same settings at another place of the filter, counted from 0.
    ///
    /// # Panics
    /// If it cannot be built.
    #[must_use]
    pub fn another_place(&self, place: usize) -> Self {
        let (env, shared) = (self.env.clone(), self.shared.clone());
        let (spec, when, decoder) = (self.spec.clone(), self.when.clone(), self.decoder.clone());
        let step = build(&*spec, (decoder.as_deref(), place), &env, &shared)
            .expect("what one lane can build, two can");
        StepCheck { env, shared, spec, decoder, when, step, now: self.now }
    }

    /// A step of other settings, which finds the same files.
    ///
    /// # Panics
    /// If the settings are wrong, or the step cannot be built from them.
    #[track_caller]
    #[must_use]
    pub fn with_settings<C: StepConfig>(&self, settings: &str) -> Self {
        let read = read(&<Entry<dyn StepSpec>>::step::<C>(""), &[], settings);
        let (spec, when, decoder) = read.unwrap_or_else(|problem| panic!("{}", problem.render()));
        let (env, shared) = (self.env.clone(), self.shared.clone());
        let step =
            build(&*spec, (None, 1), &env, &shared).unwrap_or_else(|message| panic!("{message}"));
        StepCheck { env, shared, spec, decoder, when, step, now: self.now }
    }

    /// Builds the step anew, as after a panic.
    ///
    /// # Panics
    /// If it cannot be built.
    pub fn rebuild(&mut self) {
        *self = self.another_lane();
    }

    /// Moves the clock to so many milliseconds since 1970.
    pub fn set_now_millis(&mut self, now: i64) {
        self.now = Timestamp::from_millis(now);
    }

    /// The world that the step is in.
    #[must_use]
    pub fn env(&self) -> &MemoryEnv {
        &self.env
    }

    /// Puts a file in the place of the one of this name.
    pub fn replace(&self, file: &str, bytes: &[u8]) {
        self.env.put(in_config_dir(file), bytes);
    }

    /// Removes a file.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&self, file: &str) {
        self.env.files().remove(&in_config_dir(file)).expect("the file is there");
    }

    /// Runs the step on these events; says what came of it, as in [`check_step`].
    ///
    /// # Panics
    /// If the step lost count of an event.
    #[track_caller]
    pub fn run(&mut self, input: &str) -> String {
        let mut batch = batch(input);
        let before = batch.len();
        let context = self.run_batch(&mut batch);

        let filtered: u64 = context.filtered.iter().map(|(_, count)| count).sum();
        let published = context.published.iter().flat_map(|(_, batch)| batch.iter());
        let refused = context.refused.iter().flat_map(|refused| refused.events.iter());
        let left: Vec<_> = batch.iter().chain(published).chain(refused).collect();
        let ids: HashSet<_> = left.iter().map(|event| (event.offset(), event.ordinal())).collect();
        assert_eq!(ids.len(), left.len(), "no two events are the same");
        let came = before + context.born as usize;
        let after = left.len() + filtered as usize;
        assert_eq!(came, after, "in + born = left + published + filtered + refused");

        let mut lines = Vec::new();
        lines.extend(batch.iter().map(|event| json(&event)));
        let ports = self.spec.ports();
        for (port, batch) in &context.published {
            lines.extend(batch.iter().map(|event| format!("{}: {}", ports[*port], json(&event))));
        }
        report(&context, &mut lines);
        lines.join("\n")
    }

    /// Runs the step on a batch.
    pub fn run_batch(&mut self, batch: &mut Batch) -> StepContext {
        let selection = match &self.when {
            Some(when) => Selection::of(batch, |event| when.matches(event)),
            None => Selection::All,
        };
        let mut context = StepContext { now: self.now, ..StepContext::default() };
        self.step.run(batch, &selection, &mut context);
        context
    }

    /// Ticks the step; says what came of it.
    pub fn tick(&mut self) -> String {
        let mut context = StepContext { now: self.now, ..StepContext::default() };
        self.step.tick(&mut context);
        let mut lines = Vec::new();
        report(&context, &mut lines);
        lines.join("\n")
    }
}

/// A batch of these events: see [`check_step`].
///
/// # Panics
/// If a line starts like an object and is none, or has a date that is none.
#[must_use]
pub fn batch(input: &str) -> Batch {
    let mut text = Vec::new();
    let mut frames = Vec::new();
    for line in input.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (date, body) = match line.strip_prefix('@').and_then(|line| line.split_once(' ')) {
            Some((date, body)) => (Some(day(date)), body),
            None => (None, line),
        };
        frames.push((date, text.len()..text.len() + body.len()));
        text.extend_from_slice(body.as_bytes());
        text.push(b'\n');
    }
    let mut builder = Builder::new();
    builder.begin(Buffer::from(text.clone()), 0, Timestamp::default());
    for (date, range) in frames {
        let bytes = &text[range.clone()];
        let frame = Frame { bytes, start: range.start as u32, original_len: bytes.len() };
        let mut draft = if bytes[0] == b'{' {
            builder.push_json(&frame, 0..bytes.len(), &JsonLimits::default()).expect("an object")
        } else {
            builder.push_text(&frame)
        };
        if let Some(date) = date {
            draft.time(date);
        }
    }
    let origin = Origin {
        tenant: "default".into(),
        input: "in".into(),
        file: "in.log".into(),
        logfile: "in".into(),
        host: "host".into(),
        stream: StreamId::default(),
    };
    builder.finish(Arc::new(origin), "in".into())
}

/// Noon of a date.
fn day(date: &str) -> Timestamp {
    let parts: Vec<i64> = date.split('-').map(|part| part.parse().expect("a date")).collect();
    let &[year, month, day] = parts.as_slice() else { panic!("`{date}` is not a date") };
    Timestamp::from_civil(year, month as u32, day as u32, 12 * 3_600_000)
}

type Read = (Arc<dyn StepSpec>, Option<Condition>, Option<Arc<dyn DecoderSpec>>);

fn read(
    entry: &Entry<dyn StepSpec>,
    decoders: &[Entry<dyn DecoderSpec>],
    settings: &str,
) -> Result<Read, Problem> {
    let file = SourceFile::new("step.yaml", settings);
    let root = parse(&file, Format::Yaml).map_err(|problems| {
        problems.iter().next().cloned().expect("a text that cannot be parsed has a problem")
    })?;
    let node = match root.as_map() {
        Some([written]) => {
            assert_eq!(written.key, entry.name, "the name of the step");
            &written.value
        }
        _ => panic!("the settings of a step are `name: …`"),
    };
    let when = node.get("when").map(deserialize).transpose()?;
    let decoder = match node.get("codec").filter(|_| entry.takes_codec) {
        Some(codec) => Some(read_codec(decoders, codec)?),
        None => None,
    };
    let spec = (entry.read)(&own_settings(node, entry.takes_codec), &["when"])?;
    match spec.check().into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok((spec, when, decoder)),
    }
}

/// The codec `name`, or `{ type: name, … }`.
fn read_codec(
    decoders: &[Entry<dyn DecoderSpec>],
    codec: &Node,
) -> Result<Arc<dyn DecoderSpec>, Problem> {
    let name = codec.as_str().or_else(|| codec.get("type")?.as_str()).expect("a codec has a name");
    let entry = decoders.iter().find(|entry| entry.name == name).expect("there is such a codec");
    let settings = match codec.as_map() {
        Some(_) => codec.without(&["type"]),
        None => Node::new(codec.span.clone(), NodeValue::Map(Vec::new())),
    };
    (entry.read)(&settings, &["type"])
}

/// The settings without the engine's own keys; none at all are an empty map.
fn own_settings(node: &Node, takes_codec: bool) -> Node {
    if node.is_null() {
        return Node::new(node.span.clone(), NodeValue::Map(Vec::new()));
    }
    node.without(if takes_codec { &["when", "codec"] } else { &["when"] })
}

fn build(
    spec: &dyn StepSpec,
    (decoder, step): (Option<&dyn DecoderSpec>, usize),
    env: &MemoryEnv,
    shared: &Shared,
) -> Result<Box<dyn Step>, String> {
    let env: Arc<dyn Env> = Arc::new(env.clone());
    let context = BuildContext {
        env: &env,
        node: "step",
        step,
        data_dir: Path::new("/var/dpipe"),
        config_dir: Path::new(CONFIG_DIR),
        shared,
        decoder,
    };
    spec.build(&context).map_err(|error| match &error.source {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    })
}

fn in_config_dir(name: &str) -> PathBuf {
    Path::new(CONFIG_DIR).join(name)
}

fn json(event: &EventRef<'_>) -> String {
    let mut out = Vec::new();
    event.write_json(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn report(context: &StepContext, lines: &mut Vec<String>) {
    lines.extend(context.flagged.iter().map(|(what, count)| format!("flagged {what} {count}")));
    let filtered = context.filtered.iter();
    lines.extend(filtered.map(|(reason, count)| format!("filtered {reason} {count}")));
    for refused in &context.refused {
        let (kind, reason) = (refused.kind, &refused.reason);
        let events = refused.events.iter();
        lines.extend(events.map(|event| format!("refused {kind} {}: {reason}", json(&event))));
    }
    lines.extend(context.complaints.iter().map(|text| format!("complaint: {text}")));
}

fn clean(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}
