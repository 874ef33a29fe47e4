//! Puts something else in the place of what is found.

use super::kind::Kind;

/// What stands in the place of what is found.
pub(super) enum Way {
    /// A text, in pieces.
    Replacement(Box<[Piece]>),
    /// An asterisk for each letter and digit but the last ones.
    Asterisks { keep_last: usize },
}

pub(super) enum Piece {
    Text(Box<str>),
    Kind,
    /// The first digits of a digest under this key.
    Hash([u8; 32]),
}

/// The digits of `{hash}`.
const HASH_DIGITS: usize = 16;

impl Way {
    /// A text with `{kind}` and `{hash}` in it.
    pub(super) fn replacement(text: &str, secret: &str) -> Way {
        let mut pieces = Vec::new();
        let mut rest = text;
        loop {
            let next = [("{kind}", true), ("{hash}", false)]
                .iter()
                .filter_map(|(name, kind)| Some((rest.find(name)?, name.len(), *kind)))
                .min();
            let Some((at, len, is_kind)) = next else { break };
            pieces.push(Piece::Text(rest[..at].into()));
            let key = || blake3::derive_key("dpipe 2014-06-01 step redact", secret.as_bytes());
            pieces.push(if is_kind { Piece::Kind } else { Piece::Hash(key()) });
            rest = &rest[at + len..];
        }
        pieces.push(Piece::Text(rest.into()));
        Way::Replacement(pieces.into())
    }

    fn write(&self, kind: &Kind, found: &[u8], out: &mut Vec<u8>) {
        match self {
            Way::Replacement(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                        Piece::Kind => out.extend_from_slice(kind.name().as_bytes()),
                        Piece::Hash(key) => {
                            let hash = blake3::keyed_hash(key, found).to_hex();
                            out.extend_from_slice(&hash.as_bytes()[..HASH_DIGITS]);
                        }
                    }
                }
            }
            Way::Asterisks { keep_last } => {
                let starts = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
                let characters = found.iter().filter(|byte| starts(byte)).count();
                let mut masked = characters.saturating_sub(*keep_last);
                for byte in found {
                    if starts(byte) && masked == 0 {
                        // From here on they stay.
                        masked = usize::MAX;
                    }
                    match masked {
                        usize::MAX => out.push(*byte),
                        _ if !starts(byte) => {}
                        _ => {
                            masked -= 1;
                            let stays = byte.is_ascii_punctuation() || *byte == b' ';
                            out.push(if stays { *byte } else { b'*' });
                        }
                    }
                }
            }
        }
    }
}

/// Masks texts, and remembers what it found.
pub(super) struct Masker {
    kinds: Vec<Kind>,
    way: Way,
    /// The text after the kinds that were looked for so far.
    text: Vec<u8>,
    /// Room for what the next kind makes of it.
    next: Vec<u8>,
    /// Which kinds were found since the last [`Masker::begin`], a bit each.
    found: u32,
    /// Card numbers may be JSON numbers.
    has_card: bool,
}

impl Masker {
    pub(super) fn new(kinds: Vec<Kind>, way: Way) -> Self {
        let has_card = kinds.iter().any(|kind| matches!(kind, Kind::Card));
        Masker { kinds, way, text: Vec::new(), next: Vec::new(), found: 0, has_card }
    }

    /// Forgets what was found.
    pub(super) fn begin(&mut self) {
        self.found = 0;
    }

    /// Masks a text; if something was found, the result is in [`Masker::text`].
    pub(super) fn mask(&mut self, original: &[u8]) -> bool {
        let mut changed = false;
        for (number, kind) in self.kinds.iter().enumerate() {
            let text = if changed { &self.text[..] } else { original };
            if text.len() < kind.len_min() {
                continue;
            }
            let mut at = 0;
            self.next.clear();
            while let Some(found) = kind.find(text, at) {
                self.next.extend_from_slice(&text[at..found.start]);
                self.way.write(kind, &text[found.clone()], &mut self.next);
                at = found.end;
            }
            if at > 0 {
                self.next.extend_from_slice(&text[at..]);
                std::mem::swap(&mut self.text, &mut self.next);
                self.found |= 1 << number;
                changed = true;
            }
        }
        changed
    }

    /// Masks the digits of a JSON number, if they are a card's.
    pub(super) fn mask_number(&mut self, digits: &[u8]) -> bool {
        let is_card = |kind: &Kind| {
            matches!(kind, Kind::Card) && kind.find(digits, 0) == Some(0..digits.len())
        };
        let Some(number) = self.kinds.iter().position(is_card).filter(|_| self.has_card) else {
            return false;
        };
        self.text.clear();
        self.way.write(&self.kinds[number], digits, &mut self.text);
        self.found |= 1 << number;
        true
    }

    /// Whether there are numbers to look at.
    pub(super) fn wants_numbers(&self) -> bool {
        self.has_card
    }

    /// What the last text became.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The flags of what was found, a bit each.
    pub(super) fn flags(&self) -> u32 {
        let found = (0..).zip(&self.kinds).filter(|(number, _)| self.found >> number & 1 == 1);
        found.fold(0, |flags, (_, kind)| flags | 1 << kind.flag())
    }

    /// Writes the names of what was found, as a JSON array.
    pub(super) fn write_kinds(&self, out: &mut Vec<u8>) {
        out.clear();
        out.push(b'[');
        for (_, kind) in (0..).zip(&self.kinds).filter(|(number, _)| self.found >> number & 1 == 1)
        {
            out.extend_from_slice(if out.len() == 1 { b"\"" } else { b",\"" });
            dpipe_event::write_escaped(out, kind.name().as_bytes());
            out.push(b'"');
        }
        out.push(b']');
    }
}
