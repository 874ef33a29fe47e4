//! Every built-in codec, one line each, sorted: decoders and encoders.

mod als;
mod cef;
mod combined;
mod csv;
mod gelf;
mod grok;
mod journald;
mod json;
mod logfmt;
mod msgpack;
mod raw;
mod regex;
mod syslog;
mod syslog_ng_stats;
mod text;
mod tsv;

use dpipe_plugin::{DecoderSpec, EncoderSpec, Entry};

/// The decoders that come with dpipe.
pub(crate) const DECODERS: &[Entry<dyn DecoderSpec>] = &[
    Entry::decoder::<als::Decode>(include_str!("codecs/als.rs")),
    Entry::decoder::<cef::Decode>(include_str!("codecs/cef.rs")),
    Entry::decoder::<combined::Decode>(include_str!("codecs/combined.rs")),
    Entry::decoder::<csv::Decode>(include_str!("codecs/csv.rs")),
    Entry::decoder::<gelf::Decode>(include_str!("codecs/gelf.rs")),
    Entry::decoder::<grok::Decode>(include_str!("codecs/grok.rs")),
    Entry::decoder::<journald::Decode>(include_str!("codecs/journald.rs")),
    Entry::decoder::<json::Decode>(include_str!("codecs/json.rs")),
    Entry::decoder::<logfmt::Decode>(include_str!("codecs/logfmt.rs")),
    Entry::decoder::<msgpack::Decode>(include_str!("codecs/msgpack.rs")),
    Entry::decoder::<regex::Decode>(include_str!("codecs/regex.rs")),
    Entry::decoder::<syslog::Decode>(include_str!("codecs/syslog.rs")),
    Entry::decoder::<syslog_ng_stats::Decode>(include_str!("codecs/syslog_ng_stats.rs")),
    Entry::decoder::<text::Decode>(include_str!("codecs/text.rs")),
    Entry::decoder::<tsv::Decode>(include_str!("codecs/tsv.rs")),
];

/// The encoders that come with dpipe.
pub(crate) const ENCODERS: &[Entry<dyn EncoderSpec>] = &[
    Entry::encoder::<als::Encode>(include_str!("codecs/als.rs")),
    Entry::encoder::<csv::Encode>(include_str!("codecs/csv.rs")),
    Entry::encoder::<gelf::Encode>(include_str!("codecs/gelf.rs")),
    Entry::encoder::<json::Encode>(include_str!("codecs/json.rs")),
    Entry::encoder::<logfmt::Encode>(include_str!("codecs/logfmt.rs")),
    Entry::encoder::<msgpack::Encode>(include_str!("codecs/msgpack.rs")),
    Entry::encoder::<raw::Encode>(include_str!("codecs/raw.rs")),
    Entry::encoder::<syslog::Encode>(include_str!("codecs/syslog.rs")),
    Entry::encoder::<text::Encode>(include_str!("codecs/text.rs")),
    Entry::encoder::<tsv::Encode>(include_str!("codecs/tsv.rs")),
];

/// The template of `cargo xtask new-plugin`, so that it stays one that compiles.
#[cfg(test)]
#[allow(dead_code, reason = "it is in no list")]
#[path = "../../../xtask/src/new_plugin/codec.rs"]
mod new_plugin;

#[cfg(test)]
mod tests {
    //! How the codecs are tested: lines in, events or errors out, and back.

    use std::sync::Arc;

    use dpipe_event::{
        Batch, Buffer, Builder, EventRef, Frame, JsonLimits, Origin, Record, StreamId, Timestamp,
    };
    use dpipe_plugin::{DecodeError, Decoder, EncodeError, Encoder, Parser};

    /// When texts arrive.
    pub(super) const NOW: Timestamp = Timestamp::from_millis(1_393_675_200_250);

    /// Cuts lines as the engine does, and decodes them.
    pub(super) fn decode_lines(
        decoder: &mut dyn Decoder,
        bytes: &[u8],
    ) -> (Batch, Vec<DecodeError>) {
        decode_at(decoder, 1000, bytes)
    }

    /// The same for lines that start at an offset of their stream.
    pub(super) fn decode_at(
        decoder: &mut dyn Decoder,
        offset: u64,
        bytes: &[u8],
    ) -> (Batch, Vec<DecodeError>) {
        let buffer = Buffer::from(bytes.to_vec());
        let mut events = Builder::new();
        events.begin(buffer.clone(), offset, NOW);
        let mut errors = Vec::new();
        let mut start = 0;
        for line in buffer.split_inclusive(|&byte| byte == b'\n') {
            let frame = line.strip_suffix(b"\n").unwrap_or(line);
            let frame = frame.strip_suffix(b"\r").unwrap_or(frame);
            let frame = Frame { bytes: frame, start, original_len: frame.len() };
            errors.extend(decoder.decode(&frame, &mut events).err());
            start += line.len() as u32;
        }
        (events.finish(origin(), "in".into()), errors)
    }

    pub(super) fn origin() -> Arc<Origin> {
        Arc::new(Origin {
            tenant: "rs".into(),
            input: "in".into(),
            file: "".into(),
            logfile: "".into(),
            host: "".into(),
            stream: StreamId::default(),
        })
    }

    pub(super) fn batch_of(decoder: &mut dyn Decoder, text: &str) -> Batch {
        let (batch, errors) = decode_lines(decoder, text.as_bytes());
        assert!(errors.is_empty(), "{text:?} gave {errors:?}");
        batch
    }

    pub(super) fn errors_of(decoder: &mut dyn Decoder, bytes: &[u8]) -> Vec<DecodeError> {
        decode_lines(decoder, bytes).1
    }

    /// All events, a newline after each.
    pub(super) fn encode(encoder: &dyn Encoder, batch: &Batch) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::new();
        for event in batch.iter() {
            encoder.encode(&event, &mut out)?;
            out.push(b'\n');
        }
        Ok(out)
    }

    pub(super) fn verbatim(batch: &Batch) -> &str {
        std::str::from_utf8(batch.verbatim().expect("nothing was edited")).unwrap()
    }

    pub(super) fn body(event: &EventRef<'_>) -> String {
        String::from_utf8(event.body_text().into_owned()).unwrap()
    }

    /// A decoder over a parser, as the engine has it.
    pub(super) struct Lines<P>(pub(super) P);

    impl<P: Parser> Decoder for Lines<P> {
        fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
            let now = events.received();
            let (mut draft, parsed) =
                events.push_record(frame, |record| self.0.parse(frame.bytes, now, record))?;
            if let Some(time) = parsed.time {
                draft.time(time);
            }
            Ok(())
        }
    }

    /// What a parser makes of a text: `@<time> {json} !<flag>`, the first and last if it said so.
    pub(super) fn parse(parser: &mut dyn Parser, text: &[u8]) -> String {
        let mut record = Record::new();
        let parsed = match record.fill(|record| parser.parse(text, NOW, record)) {
            Ok(parsed) => parsed,
            Err(error) => panic!("{} gave {error:?}", String::from_utf8_lossy(text)),
        };
        let time = parsed.time.map_or_else(String::new, |time| format!("@{time} "));
        let flag = parsed.flag.map_or_else(String::new, |flag| format!(" !{flag}"));
        format!("{time}{}{flag}", std::str::from_utf8(record.json()).unwrap())
    }

    /// Why a parser refuses a text: `<kind>: <reason>`.
    pub(super) fn refuse(parser: &mut dyn Parser, text: &[u8]) -> String {
        let mut record = Record::new();
        match record.fill(|record| parser.parse(text, NOW, record)) {
            Ok(_) => panic!("{} gave {:?}", String::from_utf8_lossy(text), record),
            Err(error) => format!("{}: {}", error.kind, error.reason),
        }
    }

    /// Sees that a text is refused, or becomes JSON whose tape is as if it had been read.
    pub(super) fn parse_any(parser: &mut dyn Parser, text: &[u8]) -> Option<String> {
        let mut record = Record::new();
        record.fill(|record| parser.parse(text, NOW, record)).ok()?;
        let mut again = Record::new();
        let limits = JsonLimits { depth: 128, fields: u32::MAX };
        again.fill(|writer| writer.members_of(record.json(), &limits)).unwrap();
        assert_eq!(
            format!("{record:?}").split("scanner").next(),
            format!("{again:?}").split("scanner").next()
        );
        Some(String::from_utf8(record.json().to_vec()).unwrap())
    }
}
