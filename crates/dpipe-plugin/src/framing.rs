//! Framing: how the bytes of a stream fall apart into frames, one for each event or several.
//!
//! An input sends chunks of whole frames, and says with each how it is to be cut; the lane cuts it
//! and hands the frames to the decoder, without a copy.

use std::sync::Arc;

use dpipe_event::Frame;

/// How a chunk is cut into frames.
#[derive(Clone, Debug, Default)]
pub enum Cut {
    /// At line ends, `\n` or `\r\n`.
    #[default]
    Lines,
    /// After each of these bytes, which are not part of the frame.
    Delimiter(u8),
    /// Not at all: the chunk is the beginning of one frame, which was as long as this.
    Long(usize),
    /// Into these parts. What lies between them belongs to no frame.
    Parts(Arc<[Part]>),
}

/// A frame's place in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it starts.
    pub start: u32,
    /// How long it is.
    pub len: u32,
}

/// The frames of a chunk, in order.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    cut: &'a Cut,
}

impl<'a> Frames<'a> {
    /// The frames that a cut makes of these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8], cut: &'a Cut) -> Self {
        Frames { bytes, at: 0, cut }
    }

    /// The bytes up to the next delimiter, and where they start.
    #[inline]
    fn until(&mut self, delimiter: u8) -> Option<(&'a [u8], u32)> {
        let start = self.at;
        let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(delimiter, rest).unwrap_or(rest.len());
        self.at = start + end + 1;
        Some((&rest[..end], start as u32))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let (bytes, start) = match self.cut {
            Cut::Lines => {
                let (bytes, start) = self.until(b'\n')?;
                (bytes.strip_suffix(b"\r").unwrap_or(bytes), start)
            }
            Cut::Delimiter(delimiter) => self.until(*delimiter)?,
            Cut::Long(original_len) => {
                let start = std::mem::replace(&mut self.at, self.bytes.len());
                let bytes = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
                let original_len = *original_len;
                return Some(Frame { bytes, start: start as u32, original_len });
            }
            Cut::Parts(parts) => {
                let Part { start, len } = *parts.get(self.at)?;
                self.at += 1;
                (self.bytes.get(start as usize..(start + len) as usize)?, start)
            }
        };
        Some(Frame { bytes, start, original_len: bytes.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &str, cut: Cut) -> Vec<(String, u32, usize)> {
        let text = |f: Frame<'_>| String::from_utf8(f.bytes.to_vec()).unwrap();
        Frames::new(bytes.as_bytes(), &cut).map(|f| (text(f), f.start, f.original_len)).collect()
    }

    #[test]
    fn lines_end_with_either_line_end_and_the_last_with_none() {
        let lines = [("a", 0, 1), ("", 3, 0), ("bc", 4, 2), ("last", 7, 4)];
        let lines = lines.map(|(text, start, len)| (text.to_owned(), start, len));
        assert_eq!(frames("a\r\n\nbc\nlast", Cut::Lines), lines);
        assert!(frames("", Cut::Lines).is_empty());
        assert_eq!(frames("one\n", Cut::Lines), [("one".into(), 0, 3)]);
    }

    #[test]
    fn other_delimiters_leave_line_ends_in_the_frame() {
        let expected = [("a\n".into(), 0, 2), ("b".into(), 3, 1)];
        assert_eq!(frames("a\n\0b\0", Cut::Delimiter(0)), expected);
    }

    #[test]
    fn a_frame_that_was_cut_is_one_and_tells_its_length() {
        assert_eq!(frames("ab\nc", Cut::Long(10)), [("ab\nc".into(), 0, 10)]);
    }

    #[test]
    fn parts_are_taken_as_they_are_given() {
        let parts =
            [Part { start: 2, len: 3 }, Part { start: 7, len: 0 }, Part { start: 9, len: 1 }];
        let expected = [("a\nb".into(), 2, 3), (String::new(), 7, 0), ("c".into(), 9, 1)];
        assert_eq!(frames("3 a\nb0 1 c", Cut::Parts(parts.into())), expected);
    }
}
