//! The positions of all files, and when they are noted.

use std::collections::{HashMap, HashSet};
use std::io;

use dpipe_env::FileId;
use dpipe_plugin::{Checkpoints, InputContext};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::reading::identity::{Identity, Saved};
use crate::reading::position::Position;
use crate::rhythm::Rhythm;

/// A key, and its value unless it is to be forgotten.
type Change = (String, Option<String>);

/// The positions of all files.
pub(super) struct Shelf {
    inside: Mutex<Inside>,
    /// Held while positions are written, so that no older one comes after a newer one; whether that
    /// failed the last time, which was said.
    writing: Mutex<bool>,
}

struct Inside {
    positions: HashMap<FileId, (Identity, Position)>,
    /// Files whose checkpoint may have to move.
    moving: HashSet<FileId>,
    rhythm: Rhythm,
}

impl Shelf {
    /// Takes up the positions of the last run.
    pub(super) fn load(context: &InputContext) -> Shelf {
        let mut positions: HashMap<FileId, (Identity, Position)> = HashMap::new();
        for (key, json) in context.checkpoints.load() {
            let Some(identity) = Identity::from_key(&key) else { continue };
            match serde_json::from_str::<Saved>(&json) {
                Ok(saved) => {
                    let known = positions.get(&identity.file);
                    if known.is_none_or(|(known, _)| known.generation < identity.generation) {
                        positions.insert(identity.file, (identity, Position::new(saved)));
                    }
                }
                Err(error) => {
                    tracing::error!(input = %context.node, key, %error, "cannot use a checkpoint");
                }
            }
        }
        let inside = Inside { positions, moving: HashSet::new(), rhythm: Rhythm::new() };
        Shelf { inside: Mutex::new(inside), writing: Mutex::new(false) }
    }

    /// Does something with the position of a file; a file that has none is at its start.
    pub(super) fn with<T>(
        &self,
        file: FileId,
        act: impl FnOnce(&Identity, &mut Position) -> T,
    ) -> T {
        let mut inside = self.inside.lock();
        let at_start = || {
            let identity = Identity { file, generation: 0 };
            (identity, Position::new(Saved::at_start("".as_ref(), None)))
        };
        let (identity, position) = inside.positions.entry(file).or_insert_with(at_start);
        act(identity, position)
    }

    /// The file holds another stream than the one that is known: it was changed from the start.
    pub(super) fn start_anew(&self, file: FileId) {
        let mut inside = self.inside.lock();
        if let Some((identity, position)) = inside.positions.get_mut(&file) {
            identity.generation += 1;
            *position = Position::new(Saved::at_start("".as_ref(), None));
        }
    }

    /// Has the position of a file noted as it moves, after so many bytes were sent.
    pub(super) fn moves(&self, file: FileId, bytes: usize) {
        let mut inside = self.inside.lock();
        inside.moving.insert(file);
        inside.rhythm.sent(bytes);
    }

    /// Whether positions may move.
    pub(super) fn is_moving(&self) -> bool {
        !self.inside.lock().moving.is_empty()
    }

    /// When to note them, if little is sent until then.
    pub(super) fn next_note(&self) -> Instant {
        self.inside.lock().rhythm.next()
    }

    /// Notes what has arrived, if that is due and nobody else is at it.
    pub(super) fn note_if_due(&self, context: &InputContext) {
        if self.inside.lock().rhythm.is_due(Instant::now())
            && let Some(mut failed) = self.writing.try_lock()
        {
            self.store(context, &mut failed, note);
        }
    }

    /// Notes what has arrived since the last time, so that it survives a crash.
    pub(super) fn note(&self, context: &InputContext) {
        self.store(context, &mut self.writing.lock(), note);
    }

    /// Saves what has arrived since the last time, so that it survives a power failure. Returns
    /// whether that went well.
    pub(super) fn save(&self, context: &InputContext) -> bool {
        let mut failed = self.writing.lock();
        self.store(context, &mut failed, |checkpoints, changes| checkpoints.save(changes));
        !*failed
    }

    fn store(
        &self,
        context: &InputContext,
        failed: &mut bool,
        store: impl FnOnce(&dyn Checkpoints, &[Change]) -> io::Result<()>,
    ) {
        let mut changed = Vec::new();
        let mut changes = Vec::new();
        {
            let mut inside = self.inside.lock();
            let Inside { positions, moving, rhythm } = &mut *inside;
            let looks = moving.len();
            moving.retain(|file| {
                let Some((identity, position)) = positions.get_mut(file) else { return false };
                position.settle();
                if std::mem::take(&mut position.stale) {
                    changed.push(*file);
                    changes.push((identity.key(), Some(position.json())));
                }
                !position.is_settled()
            });
            rhythm.noted(Instant::now(), looks, changes.len());
        }
        // Readers need not wait for the disk.
        if let Err(error) = store(&*context.checkpoints, &changes) {
            if !*failed {
                tracing::error!(input = %context.node, %error, "cannot save positions; trying on");
            }
            *failed = true;
            let mut inside = self.inside.lock();
            for file in changed {
                if let Some((_, position)) = inside.positions.get_mut(&file) {
                    position.stale = true;
                }
                inside.moving.insert(file);
            }
            return;
        }
        *failed = false;
    }

    /// A file of which something got lost on the way.
    pub(super) fn lost(&self) -> Option<String> {
        let inside = self.inside.lock();
        let moving = inside.moving.iter().filter_map(|file| inside.positions.get(file));
        let mut lost = moving.filter(|(_, position)| position.is_lost());
        lost.next().map(|(_, position)| position.saved.path.clone())
    }
}

fn note(checkpoints: &dyn Checkpoints, changes: &[Change]) -> io::Result<()> {
    match changes {
        [] => Ok(()),
        changes => checkpoints.note(changes),
    }
}
