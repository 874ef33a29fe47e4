//! Which file is which: by device, inode and time of birth while it exists, and by its content when
//! it was copied, compressed, cut off or replaced.
//!
//! What a file contains is remembered as two prints, of its beginning and of the bytes before a
//! position. Together they tell a copy from a file that merely starts alike.

use std::io;
use std::path::Path;

use dpipe_env::{File, FileId};
use dpipe_event::StreamId;
use serde::{Deserialize, Serialize};

/// The most bytes that a print stands for.
pub(crate) const PRINT_BYTES: usize = 1024;

/// A digest of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Print {
    /// How many bytes it stands for.
    pub(crate) len: u32,
    hash: u64,
}

impl Print {
    /// The print of the bytes. The key keeps senders from making lines that collide.
    pub(crate) fn of(key: &[u8; 32], bytes: &[u8]) -> Print {
        let digest = blake3::keyed_hash(key, bytes);
        let mut hash = [0; 8];
        hash.copy_from_slice(&digest.as_bytes()[..8]);
        Print { len: bytes.len() as u32, hash: u64::from_le_bytes(hash) }
    }

    /// The print of a file's beginning, as far as it is settled. Its length is a power of two, so
    /// that a file of unknown history has few beginnings to be looked up by.
    pub(crate) fn of_head(key: &[u8; 32], head: &[u8]) -> Print {
        match head.len().min(PRINT_BYTES).checked_ilog2() {
            Some(log) => Print::of(key, &head[..1 << log]),
            None => Print::of(key, &[]),
        }
    }

    /// All prints that a file which starts like this may be known by, the longest first.
    pub(crate) fn heads<'a>(key: &'a [u8; 32], head: &'a [u8]) -> impl Iterator<Item = Print> + 'a {
        let longest = head.len().min(PRINT_BYTES).checked_ilog2();
        longest
            .into_iter()
            .flat_map(|log| (0..=log).rev())
            .map(|log| Print::of(key, &head[..1 << log]))
    }

    /// Whether the bytes end in what it stands for.
    pub(crate) fn ends(self, key: &[u8; 32], bytes: &[u8]) -> bool {
        let start = bytes.len().checked_sub(self.len as usize);
        self.len == 0 || start.is_some_and(|start| Print::of(key, &bytes[start..]) == self)
    }

    /// Whether the bytes start with what it stands for.
    pub(crate) fn starts(self, key: &[u8; 32], bytes: &[u8]) -> bool {
        let start = bytes.get(..self.len as usize);
        self.len == 0 || start.is_some_and(|bytes| Print::of(key, bytes) == self)
    }

    /// The print of how a file of this length begins and ends, as it is: a compressed one is not
    /// unpacked.
    pub(crate) fn of_file(key: &[u8; 32], file: &dyn File, len: u64) -> io::Result<Print> {
        let mut bytes = [0; 2 * PRINT_BYTES];
        let mut filled = 0;
        for start in [0, len.saturating_sub(PRINT_BYTES as u64)] {
            let end = filled + PRINT_BYTES;
            let mut at = start;
            while filled < end {
                match file.read_at(&mut bytes[filled..end], at)? {
                    0 => break,
                    n => (filled, at) = (filled + n, at + n as u64),
                }
            }
        }
        Ok(Print::of(key, &bytes[..filled]))
    }

    /// Whether it stands for as many bytes as a print can.
    pub(crate) fn is_full(self) -> bool {
        self.len as usize == PRINT_BYTES
    }
}

/// A stream: the file that it was first read from, and how often that had started anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Identity {
    /// The file.
    pub(crate) file: FileId,
    /// 0 at first; one more after each time that the file was cut off.
    pub(crate) generation: u32,
}

impl Identity {
    /// The stream's id.
    pub(crate) fn stream(&self, key: &[u8; 32], node: &str) -> StreamId {
        let Identity { file, generation } = self;
        StreamId::derive(
            key,
            &[
                node.as_bytes(),
                &file.device.to_le_bytes(),
                &file.inode.to_le_bytes(),
                &file.born_nanos.to_le_bytes(),
                &generation.to_le_bytes(),
            ],
        )
    }

    /// The key of its checkpoint.
    pub(crate) fn key(&self) -> String {
        let FileId { device, inode, born_nanos } = self.file;
        format!("{device}:{inode}:{born_nanos}:{}", self.generation)
    }

    /// The identity of a checkpoint.
    pub(crate) fn from_key(key: &str) -> Option<Identity> {
        let mut parts = key.split(':');
        let identity = Identity {
            file: FileId {
                device: parts.next()?.parse().ok()?,
                inode: parts.next()?.parse().ok()?,
                born_nanos: parts.next()?.parse().ok()?,
            },
            generation: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(identity)
    }
}

/// How a file was when everything in it had been read, and nothing more was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Its length.
    pub(crate) len: u64,
    /// How it began and ended.
    pub(crate) seal: Print,
}

impl Done {
    /// What is to be remembered of a file of this length.
    pub(crate) fn of(key: &[u8; 32], file: &dyn File, len: u64) -> io::Result<Done> {
        Ok(Done { len, seal: Print::of_file(key, file, len)? })
    }

    /// Whether the file is still as it was.
    pub(crate) fn is_of(self, key: &[u8; 32], file: &dyn File) -> io::Result<bool> {
        let len = file.stat()?.len;
        Ok(len == self.len && Print::of_file(key, file, len)? == self.seal)
    }
}

/// What a checkpoint holds of a stream, apart from its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Where the file was last.
    pub(crate) path: String,
    /// The same without symbolic links, if it was reached by one: links move on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) real: Option<String>,
    /// The file that holds the stream now, if it is not the first one: a copy, or a compressed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) moved_to: Option<(u64, u64, i64)>,
    /// The position before which everything has arrived. Of what it contains, if it is compressed.
    pub(crate) offset: u64,
    /// The beginning.
    pub(crate) head: Print,
    /// The bytes before the offset.
    pub(crate) mark: Print,
    /// Whether everything in the file was read, and nothing more is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<Done>,
    /// When it was found that no file holds the stream any more; milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gone: Option<i64>,
}

impl Saved {
    /// The checkpoint of a stream that was not read yet.
    pub(crate) fn at_start(path: &Path, real: Option<&Path>) -> Saved {
        let mut saved = Saved {
            path: String::new(),
            real: None,
            moved_to: None,
            offset: 0,
            head: Print::default(),
            mark: Print::default(),
            done: None,
            gone: None,
        };
        saved.set_path(path, real);
        saved
    }

    /// Remembers where the file is, and where that really is if a link led there.
    pub(crate) fn set_path(&mut self, path: &Path, real: Option<&Path>) {
        self.path = path.to_string_lossy().into_owned();
        self.real = real.map(|real| real.to_string_lossy().into_owned());
    }

    /// The file that holds the stream of this identity.
    pub(crate) fn file(&self, identity: &Identity) -> FileId {
        self.moved_to.map_or(identity.file, |(device, inode, born)| FileId {
            device,
            inode,
            born_nanos: born.into(),
        })
    }

    /// Remembers the file that holds the stream of this identity.
    pub(crate) fn set_file(&mut self, identity: &Identity, file: FileId) {
        let FileId { device, inode, born_nanos } = file;
        // Nanoseconds fit until the year 2262.
        let born = i64::try_from(born_nanos).unwrap_or_default();
        self.moved_to = (file != identity.file).then_some((device, inode, born));
    }
}

#[cfg(test)]
mod tests {
    use dpipe_env::{Env, Open, RealEnv};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    #[test]
    fn a_checkpoint_comes_back_as_it_was() {
        let file =
            FileId { device: 1 << 40, inode: u64::MAX, born_nanos: 1_700_000_000_123_456_789 };
        let identity = Identity { file, generation: 3 };
        assert_eq!(Identity::from_key(&identity.key()), Some(identity));
        assert_eq!(Identity::from_key("started"), None);
        let mut saved = Saved {
            path: "/a/b".into(),
            real: Some("/c/b".into()),
            moved_to: None,
            offset: u64::MAX,
            head: Print::of(&KEY, b"head"),
            mark: Print::of(&KEY, b"mark"),
            done: Some(Done { len: 7, seal: Print::of(&KEY, b"all") }),
            gone: Some(-1),
        };
        assert_eq!(saved.file(&identity), file);
        let other = FileId { inode: 5, ..file };
        saved.set_file(&identity, other);
        let json = serde_json::to_string(&saved).unwrap();
        let back: Saved = serde_json::from_str(&json).unwrap();
        assert_eq!((&back, back.file(&identity)), (&saved, other));
    }

    #[test]
    fn a_known_beginning_is_found_by_one_of_the_heads() {
        let text: Vec<u8> = (0..3000_u32).map(|n| (n % 251) as u8).collect();
        for settled in [1, 2, 3, 100, 1023, 1024, 2000] {
            let known = Print::of_head(&KEY, &text[..settled]);
            assert!(Print::heads(&KEY, &text).any(|print| print == known), "{settled}");
            assert!(known.starts(&KEY, &text));
        }
        assert_eq!(Print::heads(&KEY, &text).count(), 11);
        assert_eq!(Print::heads(&KEY, b"").count(), 0);
    }

    #[test]
    fn a_mark_is_about_the_last_bytes() {
        let mark = Print::of(&KEY, b"cd");
        assert!(mark.ends(&KEY, b"abcd"));
        assert!(!mark.ends(&KEY, b"abce"));
        assert!(!mark.ends(&KEY, b"d"));
    }

    #[test]
    fn a_file_of_the_same_length_is_told_by_its_beginning_and_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for len in [0, 1, 5, 1023, 1024, 1500, 2048, 5000] {
            let mut bytes = vec![b'a'; len];
            std::fs::write(&path, &bytes).unwrap();
            let open = || RealEnv.files().open(&path, Open::Read).unwrap();
            let done = Done::of(&KEY, &*open(), len as u64).unwrap();
            assert!(done.is_of(&KEY, &*open()).unwrap());
            for at in [0, len.saturating_sub(1)] {
                let Some(byte) = bytes.get_mut(at) else { continue };
                *byte = b'b';
                std::fs::write(&path, &bytes).unwrap();
                assert!(!done.is_of(&KEY, &*open()).unwrap(), "{len}, changed at {at}");
                bytes[at] = b'a';
            }
            bytes.push(b'a');
            std::fs::write(&path, &bytes).unwrap();
            assert!(!done.is_of(&KEY, &*open()).unwrap());
        }
    }

    #[test]
    fn each_generation_is_a_stream_of_its_own() {
        let file = FileId { device: 1, inode: 2, born_nanos: 3 };
        let stream = |generation, node| Identity { file, generation }.stream(&KEY, node);
        assert_eq!(stream(0, "a"), stream(0, "a"));
        assert_ne!(stream(0, "a"), stream(1, "a"));
        assert_ne!(stream(0, "a"), stream(0, "b"));
    }
}
