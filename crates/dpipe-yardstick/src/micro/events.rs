//! The events that operations are measured on, and the plugins that do them.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use dpipe_env::{Env, RealEnv};
use dpipe_event::{Batch, Buffer, Builder, Frame, Origin, StreamId, Timestamp};
use dpipe_plugin::settings::{Node, NodeValue, SourceFile};
use dpipe_plugin::template::{TenantSetting, TenantSettings};
use dpipe_plugin::{BuildContext, Decoder, Shared};
use dpipe_plugins::BUILT_IN;
use dpipe_plugins::game_events::{AREAS, GameEvents};

/// As many as a read buffer holds, about.
pub(super) const COUNT: usize = 512;

/// Lines of a workload, and the batch that is made of them.
pub(super) struct Events {
    pub(super) lines: Buffer,
    pub(super) batch: Batch,
}

impl Events {
    pub(super) fn new() -> Result<Self> {
        let game = GameEvents::new(42, &AREAS);
        let mut lines = Vec::new();
        for index in 0..COUNT as u64 {
            game.write_als(index, Timestamp::from_millis(1_393_632_000_000), &mut lines);
        }
        let lines = Buffer::from(lines);
        Ok(Events { batch: decoded("als", &lines)?, lines })
    }
}

/// A batch of a line, again and again.
pub(super) fn batch(codec: &str, line: &str) -> Result<Batch> {
    decoded(codec, &Buffer::from(line.repeat(COUNT).into_bytes()))
}

fn decoded(codec: &str, lines: &Buffer) -> Result<Batch> {
    let mut builder = Builder::new();
    decode(&mut *decoder(codec)?, lines, &mut builder)?;
    Ok(builder.finish(Arc::new(origin()), "events".into()))
}

/// Cuts lines as the engine does and decodes each.
pub(super) fn decode(
    decoder: &mut dyn Decoder,
    lines: &Buffer,
    events: &mut Builder,
) -> Result<()> {
    events.begin(lines.clone(), 0, Timestamp::default());
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', lines) {
        let bytes = &lines[start..end];
        let frame = Frame { bytes, start: start as u32, original_len: bytes.len() };
        decoder.decode(&frame, events)?;
        start = end + 1;
    }
    Ok(())
}

/// A decoder with its default options.
pub(super) fn decoder(name: &str) -> Result<Box<dyn Decoder>> {
    let entry = BUILT_IN.decoders.iter().find(|entry| entry.name == name);
    let entry = entry.with_context(|| format!("there is no codec {name}"))?;
    let file = SourceFile::new("micro", "");
    let none = Node::new(file.span(0..0), NodeValue::Map(Vec::new()));
    let spec = (entry.read)(&none, &[]).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    Ok(with_index_prefix("", |context| spec.build(context))?)
}

/// Builds something where the tenant of the events has this setting.
pub(super) fn with_index_prefix<T>(prefix: &str, build: impl FnOnce(&BuildContext<'_>) -> T) -> T {
    let env: Arc<dyn Env> = Arc::new(RealEnv);
    let here = std::path::Path::new(".");
    let shared = Shared::default();
    let settings = BTreeMap::from([(TenantSetting::IndexPrefix, prefix.to_owned())]);
    TenantSettings(BTreeMap::from([(origin().tenant.to_string(), settings)])).lend(&shared);
    build(&BuildContext {
        env: &env,
        node: "micro",
        step: 0,
        data_dir: here,
        config_dir: here,
        shared: &shared,
        decoder: None,
    })
}

fn origin() -> Origin {
    Origin {
        tenant: "rs".into(),
        input: "events".into(),
        file: "/mnt/logs/fp_rstory/payment.20140301.log".into(),
        logfile: "payment".into(),
        host: "game-1".into(),
        stream: StreamId::default(),
    }
}
