//! Framing of encoded events on their way out.

use dpipe_plugin::{Parcel, Refusal};

use crate::framer::Framing;

/// Puts each event of a parcel into a frame, in the place of what `out` held. Returns the events
/// that no such frame can hold.
pub(crate) fn write_frames(framing: Framing, parcel: &Parcel, out: &mut Vec<u8>) -> Vec<Refusal> {
    out.clear();
    let mut refused = Vec::new();
    for index in 0..parcel.batch().len() {
        let bytes = parcel.event_bytes(index);
        // What the encoder refused has no bytes.
        if bytes.is_empty() {
            continue;
        }
        let event = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if let Err(reason) = write_frame(framing, event, out) {
            refused.push(Refusal { index, kind: "not_framable", reason });
        }
    }
    refused
}

/// Whether each encoded event is one line, so that their bytes are frames as they stand.
pub(crate) fn are_lines(parcel: &Parcel) -> bool {
    let events = (0..parcel.batch().len()).filter(|&index| !parcel.event_bytes(index).is_empty());
    events.count() == memchr::memchr_iter(b'\n', parcel.bytes()).count()
}

fn write_frame(framing: Framing, event: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let too_long = || format!("its {} bytes are more than the frame can announce", event.len());
    match framing {
        Framing::Newline if memchr::memchr(b'\n', event).is_some() => {
            return Err("it has a line end, which ends the frame".into());
        }
        Framing::Newline => {}
        Framing::Nul if memchr::memchr(0, event).is_some() => {
            return Err("it has a zero byte, which ends the frame".into());
        }
        Framing::Nul => {}
        Framing::OctetCount => {
            out.extend_from_slice(itoa::Buffer::new().format(event.len()).as_bytes());
            out.push(b' ');
        }
        Framing::LengthU16 => {
            let len = u16::try_from(event.len()).map_err(|_| too_long())?;
            out.extend_from_slice(&len.to_be_bytes());
        }
        Framing::LengthU32 => {
            let len = u32::try_from(event.len()).map_err(|_| too_long())?;
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
    out.extend_from_slice(event);
    match framing {
        Framing::Newline => out.push(b'\n'),
        Framing::Nul => out.push(0),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use dpipe_plugin::Encoded;

    use super::*;

    /// A parcel of events with these encoded bytes.
    pub(crate) fn parcel(encoded: &[&str]) -> Parcel {
        let batch = dpipe_testkit::batch(&vec!["{}"; encoded.len()].join("\n"));
        let mut bytes = Vec::new();
        let mut end = |event: &&str| {
            bytes.extend_from_slice(event.as_bytes());
            bytes.len() as u32
        };
        let ends = encoded.iter().map(&mut end).collect();
        Parcel::new(Arc::new(batch), Some(Arc::new(Encoded::Own { bytes, ends })))
    }

    #[test]
    fn what_the_encoder_refused_makes_no_frame() {
        let parcel = parcel(&["one\n", "", "two\n"]);
        for (framing, expected) in [
            (Framing::Newline, &b"one\ntwo\n"[..]),
            (Framing::Nul, b"one\0two\0"),
            (Framing::OctetCount, b"3 one3 two"),
            (Framing::LengthU16, b"\0\x03one\0\x03two"),
        ] {
            let mut out = Vec::new();
            assert!(write_frames(framing, &parcel, &mut out).is_empty());
            assert_eq!(out, expected, "{framing:?}");
        }
        assert!(are_lines(&parcel));
    }

    #[test]
    fn an_event_of_several_lines_is_no_frame_of_one() {
        let parcel = parcel(&["one\n", "", "tw\no\n"]);
        assert!(!are_lines(&parcel));
        let mut out = Vec::new();
        let refused = write_frames(Framing::Newline, &parcel, &mut out);
        assert_eq!(
            refused.iter().map(|r| (r.index, r.kind)).collect::<Vec<_>>(),
            [(2, "not_framable")]
        );
        assert_eq!(out, b"one\n");
    }
}
