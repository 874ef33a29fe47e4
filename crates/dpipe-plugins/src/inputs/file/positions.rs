//! Positions: what is loaded at the start, saved on the way, and forgotten in the end.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use dpipe_env::{FileId, Files};
use dpipe_plugin::{Checkpoints, InputError};
use tokio::time::Instant;

use super::follower::Follower;
use super::tail::{State, Tail, Track};
use crate::reading::identity::{Identity, Saved};
use crate::reading::lines::Lines;

/// A key, and its value unless it is to be forgotten.
type Change = (String, Option<String>);

/// The key under which it is kept that the input has run before.
const STARTED: &str = "started";

/// How many positions of files that are gone are remembered.
const GONE_MAX: usize = 100_000;

impl Follower {
    /// Takes up the positions of the last run. Returns whether there was none.
    pub(super) fn load(&mut self) -> bool {
        let mut first = true;
        for (key, json) in self.context.checkpoints.load() {
            first = false;
            let Some(identity) = Identity::from_key(&key) else { continue };
            match serde_json::from_str::<Saved>(&json) {
                Ok(saved) => {
                    let last = self.holders.entry(saved.file(&identity)).or_insert(identity);
                    // A file that was cut off holds the stream that it began then.
                    if identity.file == saved.file(&identity)
                        && (last.file != identity.file || last.generation < identity.generation)
                    {
                        *last = identity;
                    }
                    self.insert(identity, Track::new(saved));
                }
                Err(error) => {
                    tracing::error!(input = %self.context.node, key, %error, "cannot use a checkpoint");
                }
            }
        }
        first
    }

    /// Remembers that there was a first start, and where the files stood then.
    pub(super) fn save_start(&mut self) -> Result<(), InputError> {
        let mut changes = vec![(STARTED.to_owned(), Some("true".to_owned()))];
        for (identity, track) in &mut self.tracks {
            track.at.stale = false;
            changes.push((identity.key(), Some(track.at.json())));
        }
        let saved = self.context.checkpoints.save(&changes);
        saved.map_err(|error| InputError::caused("cannot save where the files stand", error))
    }

    /// Notes what has arrived since the last time, if that is due. While the input is busy, something
    /// surely has.
    pub(super) fn note_if_due(&mut self, is_busy: bool) {
        if (self.unnoted || is_busy && !self.dirty.is_empty()) && self.rhythm.is_due(Instant::now())
        {
            self.note();
        }
    }

    /// Notes what has arrived since the last time, so that it survives a crash.
    pub(super) fn note(&mut self) {
        self.store(|checkpoints, changes| match changes {
            [] => Ok(()),
            changes => checkpoints.note(changes),
        });
    }

    /// Saves what has arrived since the last time, so that it survives a power failure.
    pub(super) fn save(&mut self) {
        self.store(|checkpoints, changes| checkpoints.save(changes));
    }

    fn store(&mut self, store: impl FnOnce(&dyn Checkpoints, &[Change]) -> io::Result<()>) {
        let looks = self.dirty.len();
        let forgotten = self.forgotten.iter().map(|identity| (identity.key(), None));
        let mut changes: Vec<Change> = forgotten.collect();
        for identity in &self.dirty {
            let Some(track) = self.tracks.get_mut(identity) else { continue };
            track.at.settle();
            if track.at.stale {
                changes.push((identity.key(), Some(track.at.json())));
            }
        }
        self.unnoted = false;
        self.rhythm.noted(Instant::now(), looks, changes.len());
        if let Err(error) = store(&*self.context.checkpoints, &changes) {
            if !self.save_failed {
                tracing::error!(input = %self.context.node, %error, "cannot save positions; trying on");
            }
            self.save_failed = true;
            return;
        }
        self.save_failed = false;
        self.forgotten.clear();
        let tracks = &mut self.tracks;
        self.dirty.retain(|identity| {
            tracks.get_mut(identity).is_some_and(|track| {
                track.at.stale = false;
                !track.at.is_settled()
            })
        });
    }

    /// Sends again what got lost on the way, with whatever came after it.
    pub(super) fn send_again(&mut self) {
        let lost = self
            .dirty
            .iter()
            .filter(|identity| self.tracks.get(identity).is_some_and(|track| track.at.is_lost()));
        for identity in lost.copied().collect::<Vec<_>>() {
            let Some(track) = self.tracks.get_mut(&identity) else { continue };
            track.at.go_back();
            let (path, offset) = (&track.at.saved.path, track.at.sent);
            tracing::error!(input = %self.context.node, %path, offset, "events got lost on the way; reading them again");
            if let Some(owner) = track.owner {
                self.rewind(owner);
                self.ready(owner);
            }
        }
    }

    /// Goes back to the start of a file, to find its place anew.
    fn rewind(&mut self, id: FileId) {
        let Some(tail) = self.tails.get_mut(&id) else { return };
        if tail.named {
            // It is opened again.
            return self.close(id);
        }
        tail.verified = false;
        let Some(lines) = tail.lines.take() else { return };
        // Without a name it would not be found again.
        let (line_bytes_max, limits) = (self.context.line_bytes_max, self.config.decompression);
        match Lines::new(lines.into_file(), line_bytes_max, limits) {
            Ok(lines) => {
                tail.lines = Some(Box::new(lines.joined_by(self.context.multiline.clone())));
            }
            Err(error) => {
                self.open_files -= 1;
                self.fail(id, &error.into());
            }
        }
    }

    /// Lets go of positions whose files are gone for long, or of which there are too many.
    pub(super) fn forget(&mut self) {
        let after = i64::try_from(self.config.forget_after.duration().as_millis());
        let oldest = self.now_millis().saturating_sub(after.unwrap_or(i64::MAX));
        let gone = |(identity, track): (&Identity, &Track)| {
            let gone = track.at.saved.gone.filter(|_| track.owner.is_none());
            gone.map(|gone| (gone, *identity))
        };
        let mut gone: Vec<(i64, Identity)> = self.tracks.iter().filter_map(gone).collect();
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(GONE_MAX);
        let too_old = gone.partition_point(|(gone, _)| *gone < oldest);
        gone.truncate(too_many.max(too_old));
        for (_, identity) in gone {
            self.drop_track(identity);
        }
        // As long as one of a file's streams is known, the next one gets another number.
        let known: HashSet<FileId> = self.tracks.keys().map(|identity| identity.file).collect();
        self.generations.retain(|file, _| known.contains(file));
        self.holders.retain(|_, identity| self.tracks.contains_key(identity));
    }

    /// Forgets a stream.
    pub(super) fn drop_track(&mut self, identity: Identity) {
        let Some(track) = self.tracks.remove(&identity) else { return };
        self.unlist(&identity, &track);
        let file = track.at.saved.file(&identity);
        if self.holders.get(&file) == Some(&identity) {
            self.holders.remove(&file);
        }
        self.dirty.remove(&identity);
        self.forgotten.push(identity);
        self.unnoted = true;
    }

    /// Looks for files that lost their names while nobody watched, by a rename or because a link moved
    /// on: they are read to their end.
    pub(super) fn find_strays(&mut self) {
        let mut folders: HashMap<PathBuf, HashMap<FileId, PathBuf>> = HashMap::new();
        let lost = self.tracks.iter().filter(|(_, track)| {
            track.owner.is_none() && track.at.saved.done.is_none() && track.at.saved.gone.is_none()
        });
        let lost: Vec<(Identity, Saved)> =
            lost.map(|(identity, track)| (*identity, track.at.saved.clone())).collect();
        for (identity, saved) in lost {
            let file = saved.file(&identity);
            let places = saved.real.iter().chain([&saved.path]);
            let found = places.into_iter().find_map(|place| {
                let folder = Path::new(place).parent().unwrap_or(Path::new("/"));
                if !folders.contains_key(folder) {
                    let there = files_in(self.context.env.files(), folder);
                    folders.insert(folder.to_owned(), there);
                }
                folders[folder].get(&file).cloned()
            });
            match found {
                Some(path) if !self.tails.contains_key(&file) => {
                    let Some(track) = self.tracks.get_mut(&identity) else { continue };
                    track.owner = Some(file);
                    let state = state_of(identity, track);
                    self.holders.insert(file, identity);
                    let mut tail = Tail::new(path, None, state);
                    tail.named = false;
                    self.tails.insert(file, tail);
                    self.pending.insert(file);
                    self.ready(file);
                }
                _ => self.abandon(identity),
            }
        }
    }

    /// No file holds the stream any more; a copy of it may come up.
    pub(super) fn abandon(&mut self, identity: Identity) {
        if self.tracks.get(&identity).is_some_and(|track| track.at.is_untouched()) {
            return self.drop_track(identity);
        }
        let now = self.now_millis();
        if let Some(track) = self.tracks.get_mut(&identity) {
            track.owner = None;
            track.at.saved.gone = Some(now);
            track.at.stale = true;
            self.dirty.insert(identity);
            self.unnoted = true;
        }
    }

    fn now_millis(&self) -> i64 {
        self.context.env.now_millis()
    }
}

/// What to do with a file that holds this stream.
pub(super) fn state_of(identity: Identity, track: &Track) -> State {
    // Of a file that nothing was read of, who knows what it contains?
    if track.at.is_untouched() { State::New } else { State::Followed(identity) }
}

/// The files of a folder.
fn files_in(files: &dyn Files, folder: &Path) -> HashMap<FileId, PathBuf> {
    let entries = files.read_dir(folder).unwrap_or_default().into_iter();
    entries.filter_map(|entry| Some((files.stat(&entry.path).ok()?.id, entry.path))).collect()
}
