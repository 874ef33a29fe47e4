//! Names of nodes and tenants as names of files.

use std::fmt::Write;

use dpipe_event::StreamId;

/// The most bytes of a name that stay readable; with suffixes it must fit 255.
const BYTES_MAX: usize = 200;

/// A file name for any text, another one for every text: letters, digits, `_` and `-` stay, and `.`
/// within; everything else is percent-encoded. One that gets long ends in a hash of the text.
pub(crate) fn file_name(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte.into()),
            b'.' if at > 0 => name.push('.'),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(name, "%{byte:02X}");
            }
        }
    }
    if name.is_empty() {
        return "%".into();
    }
    if name.len() > BYTES_MAX {
        name.truncate(BYTES_MAX);
        let hash = StreamId::derive(&[0; 32], &[text.as_bytes()]);
        let _ = write!(name, "~{hash}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder_and_stays_readable() {
        for (text, name) in [
            ("rs", "rs"),
            ("rs_logs-2.eu", "rs_logs-2.eu"),
            ("..", "%2E."),
            ("../a", "%2E.%2Fa"),
            ("a b\0", "a%20b%00"),
            ("50%", "50%25"),
            ("é", "%C3%A9"),
            ("", "%"),
        ] {
            assert_eq!(file_name(text), name);
        }
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let (a, b) = ("/".repeat(300) + "a", "/".repeat(300) + "b");
        assert_eq!(file_name(&a).len(), BYTES_MAX + 33);
        assert_ne!(file_name(&a), file_name(&b));
    }
}
