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
        let event = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if let Err(reason) = write_frame(framing, event, out) {
            refused.push(Refusal { index, kind: "not_framable", reason });
        }
    }
    refused
}

fn write_frame(framing: Framing, event: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let too_long = || format!("its {} bytes are more than the frame can announce", event.len());
    match framing {
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
