//! Which files there are, and what they are called now.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use dpipe_env::{File, FileId, Files, Open, Stat};
use tokio::time::Instant;

use super::follower::Follower;
use super::positions::state_of;
use super::tail::{State, Tail};
use crate::reading::identity::{Done, Identity, Print, Saved};
use crate::reading::lines::Lines;

impl Follower {
    /// Looks at every file that is meant.
    pub(super) fn scan(&mut self) {
        let now = Instant::now();
        if now >= self.next_walk || self.folders_changed() {
            self.walk();
            self.next_walk = now + self.config.rescan_interval.duration();
        } else {
            self.look_at_all();
        }
        let troubled = self.tails.iter().filter(|(_, tail)| tail.troubled);
        let troubled: Vec<FileId> = troubled.map(|(id, _)| *id).collect();
        for id in troubled {
            self.ready(id);
        }
        let (poll, rescan) = (self.config.poll_interval, self.config.rescan_interval);
        let interval = if self.polls { poll } else { rescan };
        self.next_scan = now + interval.duration();
    }

    /// Looks at every known file.
    fn look_at_all(&mut self) {
        self.rounds.update(&self.paths, &self.tails);
        let changed = self.rounds.make(self.context.env.files());
        changed.iter().for_each(|path| self.examine(path));
    }

    /// Whether a name may have come or gone since the last walk.
    fn folders_changed(&self) -> bool {
        self.folders.iter().any(|(path, folder)| {
            let now = modified(self.context.env.files(), path);
            !folder.sure || now.is_none() || now != folder.modified
        })
    }

    fn walk(&mut self) {
        let (node, files) = (&self.context.node, self.context.env.files());
        let mut watch = self.watch.take();
        let (mut polls, mut unreadable) = (watch.is_none(), HashSet::new());
        let mut folders = HashMap::new();
        let found = self.globs.walk(
            files,
            |folder| {
                if let Some(Err(error)) = watch.as_mut().map(|watch| watch.add(folder)) {
                    if !self.polls && !polls {
                        let folder = folder.display();
                        tracing::warn!(input = %node, %folder, %error, "nothing tells of changes; polling");
                    }
                    polls = true;
                }
                if polls {
                    let modified = modified(files, folder);
                    let before = self.folders.get(folder);
                    let sure = before.is_some_and(|before| before.modified == modified);
                    folders.insert(folder.to_owned(), Folder { modified, sure });
                }
            },
            |folder, error| {
                unreadable.insert(folder.to_owned());
                if !self.unreadable.contains(folder) {
                    let folder = folder.display();
                    tracing::warn!(input = %node, %folder, %error, "cannot look into a folder");
                }
            },
        );
        for what in self.globs.missing(files, &found) {
            tracing::warn!(input = %node, "{what}");
        }
        (self.watch, self.polls, self.unreadable) = (watch, polls, unreadable);
        self.folders = folders;
        for path in &found {
            self.examine(path);
        }
        let found: HashSet<PathBuf> = found.into_iter().collect();
        let vanished = self.paths.keys().filter(|path| !found.contains(*path));
        let vanished: Vec<PathBuf> = vanished.cloned().collect();
        for path in vanished {
            self.examine(&path);
        }
    }

    /// Finds out which file a name stands for now.
    pub(super) fn examine(&mut self, path: &Path) {
        let known = self.paths.get(path).copied();
        if known.is_none() && !self.globs.matches(path) {
            return;
        }
        let stat = match self.context.env.files().stat(path) {
            Ok(stat) if stat.is_file => stat,
            _ => return known.into_iter().for_each(|id| self.detach(id)),
        };
        if known == Some(stat.id) {
            let tail = self.tails.get_mut(&stat.id).expect("a name leads to a file");
            if tail.look(&stat) {
                self.ready(stat.id);
            }
            return;
        }
        known.into_iter().for_each(|id| self.detach(id));
        match self.tails.get(&stat.id) {
            // Just a further name.
            Some(tail) if tail.named && self.is_at(&tail.path, stat.id) => return,
            Some(_) => self.rename(stat.id, path),
            None => self.adopt(path, &stat, known),
        }
        self.rounds.stale = true;
        self.paths.insert(path.to_owned(), stat.id);
    }

    fn is_at(&self, path: &Path, id: FileId) -> bool {
        self.context.env.files().stat(path).is_ok_and(|stat| stat.id == id)
    }

    fn rename(&mut self, id: FileId, path: &Path) {
        self.unname(id);
        let real = self.follow_link(path);
        let tail = self.tails.get_mut(&id).expect("only known files are renamed");
        (tail.path, tail.real, tail.named) = (path.to_owned(), real, true);
        if let Some(identity) = self.holders.get(&id)
            && let Some(track) = self.tracks.get_mut(identity)
            && track.owner == Some(id)
        {
            track.at.saved.set_path(path, tail.real.as_deref());
            track.at.stale = true;
            self.dirty.insert(*identity);
            self.unnoted = true;
        }
        self.ready(id);
    }

    /// Takes up a file that was not there before.
    fn adopt(&mut self, path: &Path, stat: &Stat, before: Option<FileId>) {
        let real = self.follow_link(path);
        let held = self.holders.get(&stat.id).copied();
        let held = held.and_then(|held| Some((held, self.tracks.get_mut(&held)?)));
        // A stream may have moved on to a copy of the file.
        let state = match held.filter(|(_, track)| track.owner.is_none()) {
            Some((identity, track)) => {
                track.owner = Some(stat.id);
                track.at.saved.set_path(path, real.as_deref());
                track.at.saved.gone = None;
                state_of(identity, track)
            }
            None => State::New,
        };
        let mut tail = Tail::new(path.to_owned(), real, state);
        tail.look(stat);
        tail.after = before;
        self.tails.insert(stat.id, tail);
        self.ready(stat.id);
    }

    /// Where a path really leads, if there are links on the way; changes there are told.
    fn follow_link(&mut self, path: &Path) -> Option<PathBuf> {
        let real = self.context.env.files().canonical(path).ok()?;
        if real == path {
            return None;
        }
        if let Some(watch) = &mut self.watch {
            if let Some(folder) = real.parent() {
                self.polls |= watch.add(folder).is_err();
            }
            self.links.insert(real.clone(), path.to_owned());
        }
        Some(real)
    }

    /// The file lost its name: it was renamed away, replaced or deleted.
    fn detach(&mut self, id: FileId) {
        self.unname(id);
        let Some(tail) = self.tails.get_mut(&id) else { return };
        tail.at_end = false;
        tail.changed = Instant::now();
        self.pending.insert(id);
        self.ready(id);
    }

    /// Takes its name from a file.
    fn unname(&mut self, id: FileId) {
        let Some(tail) = self.tails.get_mut(&id).filter(|tail| tail.named) else { return };
        tail.named = false;
        self.paths.remove(&tail.path);
        if let Some(real) = &tail.real
            && self.links.get(real) == Some(&tail.path)
        {
            self.links.remove(real);
        }
        self.rounds.stale = true;
    }

    /// Ends with a file that was read, or cannot be.
    pub(super) fn let_go(&mut self, id: FileId) {
        self.close(id);
        self.unname(id);
        self.pending.remove(&id);
        let Some(tail) = self.tails.remove(&id) else { return };
        let held = match tail.state {
            State::Followed(identity) => Some(identity),
            _ => self.holders.get(&id).copied(),
        };
        if let Some(identity) = held
            && self.tracks.get(&identity).is_some_and(|track| track.owner == Some(id))
        {
            self.abandon(identity);
        }
    }

    /// At the very first start, leaves out what is there already.
    pub(super) fn skip_to_end(&mut self) {
        let there: Vec<_> = self.tails.iter().map(|(id, tail)| (*id, tail.path.clone())).collect();
        for (id, path) in there {
            match self.saved_at_end(&path, id) {
                Ok(saved) => self.begin(id, Identity { file: id, generation: 0 }, saved),
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(input = %self.context.node, %path, %error, "cannot find the end; it will be read whole");
                }
            }
        }
    }

    /// The position after the last whole line of a file.
    fn saved_at_end(&self, path: &Path, id: FileId) -> io::Result<Saved> {
        let key = &self.context.id_key;
        let file = open_exactly(self.context.env.files(), path, id)?;
        let mut lines = Lines::new(file, self.context.line_bytes_max, self.config.decompression)?;
        let mut saved = Saved::at_start(path, self.tails[&id].real.as_deref());
        if !lines.is_plain() {
            saved.done = Some(Done::of(key, lines.file(), lines.stat()?.len)?);
            return Ok(saved);
        }
        saved.offset = lines.last_line_end()?;
        lines.pass(saved.offset, &self.context.pool).map_err(io::Error::other)?;
        saved.mark = Print::of(key, lines.recent());
        let passed = usize::try_from(saved.offset).unwrap_or(usize::MAX);
        let head = lines.head()?;
        saved.head = Print::of_head(key, &head[..head.len().min(passed)]);
        Ok(saved)
    }
}

/// A folder as the last walk found it.
pub(super) struct Folder {
    /// When a name in it came or went, if the file system tells.
    modified: Option<i128>,
    /// Whether the walk before found it the same. Clocks of file systems tick slowly: a name may
    /// have come after a walk, and at the same time.
    sure: bool,
}

fn modified(files: &dyn Files, folder: &Path) -> Option<i128> {
    let stat = files.stat(folder).ok()?;
    (stat.modified_nanos != 0).then_some(stat.modified_nanos)
}

/// Opens the file of this name if it is the one that is meant.
pub(super) fn open_exactly(
    files: &dyn Files,
    path: &Path,
    id: FileId,
) -> io::Result<Box<dyn File>> {
    let file = files.open(path, Open::Read)?;
    if file.stat()?.id == id { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}
