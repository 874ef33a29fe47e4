//! Text from logs, made safe for a terminal.

use std::io::Write;

/// Appends `text` with everything escaped that a terminal could take for more than a letter, and
/// cut after `length_max` characters. An escape counts as the characters it is shown as.
pub fn write_clean(text: &[u8], length_max: usize, out: &mut Vec<u8>) {
    let mut room = length_max;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let start = out.len();
            match c {
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                // Writing to a vector cannot fail.
                c if !is_letter(c) => drop(write!(out, "{}", c.escape_unicode())),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
            let width = if is_letter(c) { 1 } else { out.len() - start };
            if width > room {
                out.truncate(start);
                return out.extend_from_slice("…".as_bytes());
            }
            room -= width;
        }
        for byte in chunk.invalid() {
            if room < 4 {
                return out.extend_from_slice("…".as_bytes());
            }
            let _ = write!(out, "\\x{byte:02x}");
            room -= 4;
        }
    }
}

/// Whether a terminal shows this as itself, in its place: no control character (C0, DEL, C1), no
/// line separator, nothing that turns the direction of writing, nothing without width, no tag or
/// other character that is there but cannot be seen.
fn is_letter(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &[u8], length_max: usize) -> String {
        let mut out = Vec::new();
        write_clean(text, length_max, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_terminal_would_act_on_is_shown_as_text() {
        assert_eq!(clean(b"\x1b[31mred\x1b]0;title\x07", 99), r"\u{1b}[31mred\u{1b}]0;title\u{7}");
        assert_eq!(clean("a\u{9b}31m\u{7f}\0".as_bytes(), 99), r"a\u{9b}31m\u{7f}\u{0}");
        assert_eq!(clean("one\r\n\ttwo\u{2028}".as_bytes(), 99), r"one\r\n\ttwo\u{2028}");
        assert_eq!(clean("\u{202e}gpj.exe\u{2066}".as_bytes(), 99), r"\u{202e}gpj.exe\u{2066}");
        assert_eq!(clean("a\u{200b}b\u{feff}".as_bytes(), 99), r"a\u{200b}b\u{feff}");
        assert_eq!(clean(b"caf\xc3\xa9 \x9b \xff", 99), r"café \x9b \xff");
        assert_eq!(clean("日本語 🎮 é ♥\u{fe0f}".as_bytes(), 99), "日本語 🎮 é ♥\u{fe0f}");
    }

    #[test]
    fn nothing_invisible_and_nothing_that_turns_the_text_around_is_shown_as_it_is() {
        let controls = ('\0'..'\u{20}').chain('\u{7f}'..='\u{9f}');
        let turning = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        let without_width = ('\u{200b}'..='\u{200f}').chain('\u{2060}'..='\u{2064}');
        let others = ['\u{61c}', '\u{feff}', '\u{2028}', '\u{2029}', '\u{e0041}', '\u{ad}'];
        for c in controls.chain(turning).chain(without_width).chain(others) {
            let shown = clean(format!("a{c}b").as_bytes(), 99);
            assert!(shown.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{shown:?}");
            assert!(shown.starts_with("a\\") && shown.ends_with('b'), "{shown}");
        }
        // Bytes that are no UTF-8: C1 as single bytes, an overlong slash, half of a character.
        for bytes in [&b"\x9b"[..], b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xff"]
        {
            let expected: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            assert_eq!(clean(bytes, 99), expected);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_escapes() {
        assert_eq!(clean("äöü".as_bytes(), 3), "äöü");
        assert_eq!(clean("äöü".as_bytes(), 2), "äö…");
        assert_eq!(clean(b"ab\x1bc", 7), "ab…");
        assert_eq!(clean(b"ab\x1bc", 8), r"ab\u{1b}…");
        assert_eq!(clean(b"ab\xff", 5), "ab…");
        assert_eq!(clean(b"", 1), "");
    }

    proptest! {
        #[test]
        fn only_letters_come_out_whatever_goes_in(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let shown = clean(&text, 99);
            prop_assert!(shown.chars().all(|c| is_letter(c) && !c.is_control()), "{shown:?}");
        }

        #[test]
        fn no_character_gets_through_in_disguise(c in any::<char>()) {
            let shown = clean(c.to_string().as_bytes(), 99);
            prop_assert!(shown.chars().all(is_letter));
            prop_assert!(is_letter(c) == (shown == c.to_string()));
        }
    }
}
