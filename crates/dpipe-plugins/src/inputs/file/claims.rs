//! Streams and the files that claim to hold them: copies, compressed files, new generations.
//!
//! A new file whose beginning is known is compared with the streams that begin so, at the positions
//! where those stand. If it has what was read of a stream whose file is gone or was cut off, it goes
//! on there. If that file still exists, both may be on the way to that: a copy is made before the
//! original is cut off or removed. So the copy waits a little; if nothing happens, it is a file of
//! its own. In doubt lines are read twice, never left out.

use std::time::Duration;

use dpipe_env::FileId;
use tokio::time::Instant;

use super::discovery::open_exactly;
use super::follower::Follower;
use super::tail::{Compared, State, Track};
use super::turn::Next;
use crate::reading::content::Fault;
use crate::reading::identity::{Identity, PRINT_BYTES, Print, Saved};
use crate::reading::lines::Lines;

/// How long a copy is quiet while its original lives on until it is a file of its own.
const COPY_QUIET: Duration = Duration::from_secs(2);

/// How long after a file was cut off even a short one may be the copy of what it was. Later, short
/// files that begin alike are taken for different ones.
const CUT_RECENTLY: Duration = Duration::from_secs(10);

/// The most streams that a file is compared with.
const CLAIMS_MAX: usize = 32;

impl Follower {
    /// Lists a stream.
    pub(super) fn insert(&mut self, identity: Identity, track: Track) {
        if track.at.saved.head.len > 0 {
            self.heads.entry(track.at.saved.head).or_default().push(identity);
        }
        let next = self.generations.entry(identity.file).or_default();
        *next = (*next).max(identity.generation + 1);
        self.tracks.insert(identity, track);
    }

    /// Takes a stream out of those that are found by their beginning.
    pub(super) fn unlist(&mut self, identity: &Identity, track: &Track) {
        if let Some(alike) = self.heads.get_mut(&track.at.saved.head) {
            alike.retain(|other| other != identity);
            if alike.is_empty() {
                self.heads.remove(&track.at.saved.head);
            }
        }
    }

    /// A file that is read for the first time: does a known one begin like it?
    pub(super) fn meet(&mut self, id: FileId) -> Result<Next, Fault> {
        if self.heads.is_empty() {
            return Ok(self.begin_new(id));
        }
        let pool = self.context.pool.clone();
        let lines = self.lines(id);
        let plain = lines.is_plain();
        if !plain {
            while lines.pass(PRINT_BYTES as u64, &pool)? == Some(false) {}
            if lines.head()?.is_empty() && lines.torn().is_some() {
                self.close(id);
                return Ok(Next::Wait);
            }
        }
        let head = self.lines(id).head()?.to_vec();
        if !plain {
            // It was read from, and will be again from the start.
            self.close(id);
        }
        let mut claims: Vec<Identity> = Print::heads(&self.context.id_key, &head)
            .filter_map(|print| self.heads.get(&print))
            .flatten()
            .filter(|identity| self.may_hold(id, plain, &self.tracks[identity]))
            .copied()
            .take(CLAIMS_MAX)
            .collect();
        if claims.is_empty() {
            return Ok(self.begin_new(id));
        }
        claims.sort_by_key(|identity| self.tracks[identity].at.sent);
        self.set_state(id, State::Compared(Compared { claims, ..Compared::default() }));
        Ok(Next::Again)
    }

    /// Whether the same content is reason enough to take a file for the stream's.
    fn may_hold(&self, id: FileId, plain: bool, track: &Track) -> bool {
        let cut_recently = track.cut.is_some_and(|cut| cut.elapsed() < CUT_RECENTLY);
        let telling = !plain || track.at.mark.is_full() && track.at.saved.head.is_full();
        track.owner != Some(id) && (telling || cut_recently || track.owner.is_some())
    }

    /// Compares a file with the next stream that it may hold.
    pub(super) fn compare(&mut self, id: FileId, compared: Compared) -> Result<Next, Fault> {
        let Some(&identity) = compared.claims.get(compared.next) else {
            return Ok(self.decide(id, compared.best));
        };
        let claimed = self.tracks.get(&identity);
        let Some((sent, mark, owner)) =
            claimed.map(|track| (track.at.sent, track.at.mark, track.owner))
        else {
            // It was forgotten meanwhile.
            return Ok(self.compared(id, compared, None));
        };
        if !self.open(id)? {
            return Ok(Next::Wait);
        }
        let (key, pool) = (self.context.id_key, self.context.pool.clone());
        let lines = self.lines(id);
        let has = match lines.pass(sent, &pool)? {
            Some(false) => return Ok(Next::Again),
            Some(true) => lines.offset() == sent && mark.ends(&key, lines.recent()),
            // It is shorter: a copy that is still being made has so far what its original has.
            None => {
                let (at, recent) = (lines.offset(), lines.recent().to_vec());
                owner.is_some_and(|owner| self.has_before(owner, at, &recent))
            }
        };
        Ok(self.compared(id, compared, has.then_some(identity)))
    }

    fn compared(&mut self, id: FileId, mut compared: Compared, found: Option<Identity>) -> Next {
        compared.next += 1;
        compared.best = found.or(compared.best);
        self.set_state(id, State::Compared(compared));
        Next::Again
    }

    /// Whether a file has these bytes before the position.
    fn has_before(&self, id: FileId, position: u64, bytes: &[u8]) -> bool {
        let Some(tail) = self.tails.get(&id) else { return false };
        let has =
            |lines: &Lines| lines.is_plain() && lines.has_before(position, bytes).unwrap_or(false);
        let open = || {
            let file = open_exactly(self.context.env.files(), &tail.path, id)?;
            Lines::new(file, self.context.line_bytes_max, self.config.decompression)
        };
        !bytes.is_empty()
            && match &tail.lines {
                Some(lines) => has(lines),
                None => open().is_ok_and(|lines| has(&lines)),
            }
    }

    fn decide(&mut self, id: FileId, best: Option<Identity>) -> Next {
        let found = best.and_then(|best| Some((best, self.tracks.get_mut(&best)?)));
        let Some((identity, track)) = found else {
            self.close(id);
            return self.begin_new(id);
        };
        if track.owner.is_some() {
            self.close(id);
            self.set_state(id, State::Copy(identity));
            self.pending.insert(id);
            return Next::Wait;
        }
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        tail.state = State::Followed(identity);
        track.owner = Some(id);
        track.cut = None;
        track.at.saved.set_file(&identity, id);
        track.at.saved.set_path(&tail.path, tail.real.as_deref());
        track.at.saved.gone = None;
        track.at.stale = true;
        // It may have been compared beyond.
        let is_there = tail.lines.as_ref().is_some_and(|lines| lines.offset() == track.at.sent);
        self.dirty.insert(identity);
        self.unnoted = true;
        if let Some(own) = self.untouched(id) {
            self.drop_track(own);
        }
        self.holders.insert(id, identity);
        if !is_there {
            self.close(id);
        }
        Next::Again
    }

    /// Looks after a copy whose original had not come to an end.
    pub(super) fn revisit_copy(&mut self, id: FileId, of: Identity) {
        let owner = self.tracks.get(&of).and_then(|track| track.owner);
        let original_stays =
            owner.and_then(|owner| self.tails.get(&owner)).is_some_and(|o| o.named);
        let tail = self.tails.get_mut(&id).expect("only files are revisited");
        if !tail.named {
            // What it had, its original has.
            return self.let_go(id);
        }
        if let Ok(stat) = self.context.env.files().stat(&tail.path)
            && stat.id == id
        {
            tail.look(&stat);
        }
        if owner.is_none() {
            tail.state = State::New;
        } else if original_stays && tail.changed.elapsed() >= COPY_QUIET {
            self.begin_new(id);
        } else {
            return;
        }
        self.ready(id);
    }

    /// The file was cut off: what comes now is a stream of its own.
    pub(super) fn start_anew(&mut self, id: FileId, identity: Identity) -> Next {
        if let Some(track) = self.tracks.get_mut(&identity) {
            track.cut = Some(Instant::now());
        }
        self.abandon(identity);
        self.close(id);
        self.begin_new(id)
    }

    /// A stream from the start of the file.
    pub(super) fn begin_new(&mut self, id: FileId) -> Next {
        let identity = self.expect(id);
        self.set_state(id, State::Followed(identity));
        Next::Again
    }

    /// The stream that the file holds if it holds no known one. Its checkpoint tells that the file was
    /// seen, before anything is read of it: it may lose its name while nobody watches.
    pub(super) fn expect(&mut self, id: FileId) -> Identity {
        if let Some(identity) = self.untouched(id) {
            return identity;
        }
        let generation = self.generations.get(&id).copied().unwrap_or_default();
        let identity = Identity { file: id, generation };
        let tail = &self.tails[&id];
        let saved = Saved::at_start(&tail.path, tail.real.as_deref());
        self.list(id, identity, saved);
        identity
    }

    /// The stream that was expected of the file, if nothing was read of it yet.
    fn untouched(&self, id: FileId) -> Option<Identity> {
        let identity = *self.holders.get(&id)?;
        let track = self.tracks.get(&identity)?;
        (track.owner == Some(id) && track.at.is_untouched()).then_some(identity)
    }

    /// A stream from a position of the file.
    pub(super) fn begin(&mut self, id: FileId, identity: Identity, saved: Saved) {
        self.list(id, identity, saved);
        self.set_state(id, State::Followed(identity));
    }

    fn list(&mut self, id: FileId, identity: Identity, saved: Saved) {
        let mut track = Track::new(saved);
        track.owner = Some(id);
        track.at.stale = true;
        self.insert(identity, track);
        self.holders.insert(id, identity);
        self.dirty.insert(identity);
        self.unnoted = true;
    }

    fn set_state(&mut self, id: FileId, state: State) {
        self.tails.get_mut(&id).expect("the file is known").state = state;
    }

    fn lines(&mut self, id: FileId) -> &mut Lines {
        let tail = self.tails.get_mut(&id).expect("the file is known");
        tail.lines.as_mut().expect("the file is open")
    }
}
