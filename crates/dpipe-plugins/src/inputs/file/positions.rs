//! Positions: what is loaded at the start, saved on the way, and forgotten in the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dpipe_env::FileId;
use dpipe_plugin::InputError;

use super::follower::Follower;
use super::tail::{State, Tail, Track};
use crate::reading::identity::{Identity, Saved};

/// The key under which it is kept that the input has run before.
const STARTED: &str = "started";

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

    /// Saves what has arrived since the last time.
    pub(super) fn save(&mut self) {
        let mut changes = Vec::new();
        for identity in &self.dirty {
            let Some(track) = self.tracks.get_mut(identity) else { continue };
            track.at.settle();
            if track.at.stale {
                changes.push((identity.key(), Some(track.at.json())));
            }
        }
        changes.extend(self.forgotten.iter().map(|identity| (identity.key(), None)));
        if !changes.is_empty()
            && let Err(error) = self.context.checkpoints.save(&changes)
        {
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
                self.close(owner);
                self.ready(owner);
            }
        }
    }

    /// Lets go of positions whose files are gone for long.
    pub(super) fn forget(&mut self) {
        let after = i64::try_from(self.config.forget_after.duration().as_millis());
        let oldest = self.now_millis().saturating_sub(after.unwrap_or(i64::MAX));
        let old = self.tracks.iter().filter(|(_, track)| {
            track.owner.is_none() && track.at.saved.gone.is_some_and(|gone| gone < oldest)
        });
        let old: Vec<Identity> = old.map(|(identity, _)| *identity).collect();
        for identity in old {
            if let Some(track) = self.tracks.remove(&identity) {
                self.unlist(&identity, &track);
                self.holders.remove(&track.at.saved.file(&identity));
                self.generations.remove(&identity.file);
            }
            self.forgotten.push(identity);
        }
    }

    /// Looks for files that were renamed away while nobody watched: they are read to their end.
    pub(super) fn find_strays(&mut self) {
        let mut folders: HashMap<PathBuf, HashMap<FileId, PathBuf>> = HashMap::new();
        let lost = self.tracks.iter().filter(|(_, track)| {
            track.owner.is_none() && track.at.saved.done.is_none() && track.at.saved.gone.is_none()
        });
        let lost: Vec<_> = lost
            .map(|(identity, track)| {
                (*identity, track.at.saved.file(identity), PathBuf::from(&track.at.saved.path))
            })
            .collect();
        for (identity, file, path) in lost {
            let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
            let files = self.context.env.files();
            let there = folders.entry(folder).or_insert_with_key(|folder| {
                let entries = files.read_dir(folder).unwrap_or_default();
                let known = |path: PathBuf| Some((files.stat(&path).ok()?.id, path));
                entries.into_iter().filter_map(|entry| known(entry.path)).collect()
            });
            match there.get(&file) {
                Some(path) if !self.tails.contains_key(&file) => {
                    let mut tail = Tail::new(path.clone(), State::Followed(identity));
                    tail.named = false;
                    self.tails.insert(file, tail);
                    if let Some(track) = self.tracks.get_mut(&identity) {
                        track.owner = Some(file);
                    }
                    self.pending.insert(file);
                    self.ready(file);
                }
                _ => self.abandon(identity),
            }
        }
    }

    /// No file holds the stream any more; a copy of it may come up.
    pub(super) fn abandon(&mut self, identity: Identity) {
        let now = self.now_millis();
        if let Some(track) = self.tracks.get_mut(&identity) {
            track.owner = None;
            track.at.saved.gone = Some(now);
            track.at.stale = true;
            self.dirty.insert(identity);
        }
    }

    fn now_millis(&self) -> i64 {
        self.context.env.now_millis()
    }
}
