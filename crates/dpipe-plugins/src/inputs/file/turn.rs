//! One turn of one file: a chunk, or a step towards knowing what it is.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dpipe_env::FileId;
use dpipe_plugin::{Chunk, Credit, Stream, StreamStart};

use super::discovery::open_exactly;
use super::follower::Follower;
use super::tail::{Flush, Queue, State, Tail};
use crate::reading::content::Fault;
use crate::reading::identity::{Done, Identity};
use crate::reading::lines::{Lines, Step};

/// What a turn came to.
pub(super) enum Next {
    /// Lines to send; then it is the file's turn again.
    Send(Arc<dyn Stream>, Chunk, Credit),
    /// There is more to do.
    Again,
    /// There is no credit.
    Blocked,
    /// There is nothing to do until something changes.
    Wait,
}

impl Follower {
    /// Lets a file have its turn.
    pub(super) fn next(&mut self, id: FileId) -> Next {
        self.turns += 1;
        let Some(tail) = self.tails.get_mut(&id) else { return Next::Wait };
        (tail.queue, tail.turn) = (Queue::No, self.turns);
        let before = tail.after.and_then(|before| self.tails.get(&before));
        match before.map(|tail| tail.queue) {
            Some(Queue::Ready) => return Next::Again,
            Some(Queue::Blocked) => return Next::Blocked,
            Some(Queue::No) | None => {}
        }
        let tail = self.tails.get_mut(&id).expect("it was just there");
        tail.after = None;
        let result = match &tail.state {
            State::Ignored | State::Copy(_) => Ok(Next::Wait),
            State::New => self.meet_if_any(id),
            State::Compared(compared) => {
                let compared = compared.clone();
                self.compare(id, compared)
            }
            &State::Followed(identity) => self.read(id, identity),
        };
        match result {
            Ok(next) => {
                if let Some(tail) = self.tails.get_mut(&id) {
                    tail.troubled = false;
                }
                next
            }
            Err(fault) => {
                self.fail(id, &fault);
                Next::Wait
            }
        }
    }

    fn meet_if_any(&mut self, id: FileId) -> Result<Next, Fault> {
        if !self.open(id)? {
            return Ok(Next::Wait);
        }
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let stat = tail.lines.as_ref().expect("it was just opened").stat()?;
        tail.look(&stat);
        if stat.len > 0 {
            return self.meet(id);
        }
        // There is no content to know it by yet. But if it is filled and renamed away while nobody
        // watches, it must be looked for.
        tail.at_end = true;
        if tail.named {
            self.close(id);
        }
        self.expect(id);
        Ok(Next::Wait)
    }

    /// Opens the file if it is not. Returns whether it is; if not, there is no such file any more.
    pub(super) fn open(&mut self, id: FileId) -> Result<bool, Fault> {
        let tail = self.tails.get(&id).expect("its turn has come");
        if tail.lines.is_some() {
            return Ok(true);
        }
        let files = self.context.env.files();
        let file = match open_exactly(files, &tail.path, id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.find(tail, id) {
                Some(path) => open_exactly(files, &path, id)?,
                None => {
                    self.lose(id);
                    return Ok(false);
                }
            },
            result => result?,
        };
        let lines = Lines::new(file, self.context.line_bytes_max, self.config.decompression)?;
        let lines = lines.joined_by(self.context.multiline.clone());
        lines.read_ahead();
        self.close_some();
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        (tail.lines, tail.verified) = (Some(Box::new(lines)), false);
        self.open_files += 1;
        Ok(true)
    }

    /// Where a file is that is not at its path any more: a link moved on, or it was renamed, which was
    /// not told yet, or to where nothing is told.
    fn find(&self, tail: &Tail, id: FileId) -> Option<PathBuf> {
        let files = self.context.env.files();
        let is_it = |path: &PathBuf| files.stat(path).is_ok_and(|stat| stat.id == id);
        if let Some(real) = tail.real.as_ref().filter(|real| is_it(real)) {
            return Some(real.clone());
        }
        let places = tail.real.iter().chain([&tail.path]);
        let mut folders = places.filter_map(|path| path.parent());
        folders.find_map(|folder| {
            let entries = files.read_dir(folder).unwrap_or_default();
            entries.into_iter().map(|entry| entry.path).find(is_it)
        })
    }

    /// The file is gone, and was not open.
    fn lose(&mut self, id: FileId) {
        let Some(tail) = self.tails.get(&id) else { return };
        let is_done = match tail.state {
            State::Followed(identity) => {
                self.tracks[&identity].at.done.is_some_and(|done| done.len == tail.seen.0)
            }
            _ => false,
        };
        if tail.seen.0 > self.sent(tail) && !is_done {
            let path = tail.path.display();
            tracing::warn!(input = %self.context.node, %path, "a file was deleted before it was read to its end");
            self.context.door.skipped_of(&tail.path.to_string_lossy(), "deleted_unread", 1);
        }
        self.let_go(id);
    }

    /// How far the file was read.
    fn sent(&self, tail: &Tail) -> u64 {
        match tail.state {
            State::Followed(identity) => {
                self.tracks.get(&identity).map_or(0, |track| track.at.sent)
            }
            _ => 0,
        }
    }

    /// Closes a file.
    pub(super) fn close(&mut self, id: FileId) {
        if let Some(tail) = self.tails.get_mut(&id)
            && tail.lines.take().is_some()
        {
            self.open_files -= 1;
        }
    }

    /// Makes room for one more open file: those go first that had no turn for the longest time. A
    /// file without a name stays open, since it would not be found again.
    fn close_some(&mut self) {
        if self.open_files < self.config.open_files_max {
            return;
        }
        let closable = self.tails.iter().filter(|(_, tail)| tail.lines.is_some() && tail.named);
        let mut closable: Vec<_> = closable.map(|(&id, tail)| (tail.turn, id)).collect();
        closable.sort_unstable();
        // Some at once, so that the search is not repeated for each file.
        closable.truncate((self.config.open_files_max / 4).max(1));
        for (_, id) in closable {
            self.close(id);
        }
    }

    /// Reads on.
    fn read(&mut self, id: FileId, identity: Identity) -> Result<Next, Fault> {
        // Without credit nothing else matters: thousands of files may be waiting for it.
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let stream = self.tracks.get(&identity).and_then(|track| track.at.stream.as_ref());
        let mut credit = None;
        if let (Some(wanted), Some(stream)) = (tail.wanted, stream) {
            match stream.try_reserve(wanted) {
                Some(enough) => credit = Some((wanted, enough)),
                None => return Ok(Next::Blocked),
            }
            tail.wanted = None;
        }
        if self.is_done(id, identity) {
            return Ok(Next::Wait);
        }
        if let Some(next) = self.find_place(id, identity)? {
            return Ok(next);
        }
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let lines = tail.lines.as_mut().expect("it was just looked at");
        let more = if lines.is_plain() { lines.unread(tail.seen.0) } else { u64::MAX };
        if more == 0 && tail.flush.is_none() {
            return self.end(id, identity);
        }
        let Some(stream) = self.stream(id, identity) else { return Ok(Next::Wait) };
        let pool = &self.context.pool;
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let lines = tail.lines.as_mut().expect("it was just looked at");
        let most = lines.wants(pool, more);
        let enough = credit.filter(|(bytes, _)| *bytes >= most).map(|(_, credit)| credit);
        let Some(credit) = enough.or_else(|| stream.try_reserve(most)) else {
            tail.wanted = Some(most);
            return Ok(Next::Blocked);
        };
        let flush = tail.flush.take();
        let chunk = match lines.next(pool, most)? {
            Step::Chunk(chunk) => Some(chunk),
            Step::More => {
                tail.flush = flush;
                return Ok(Next::Again);
            }
            Step::End if flush == Some(Flush::Event) => lines.open_event(),
            Step::End if flush == Some(Flush::All) => {
                if let Some(fault) = lines.torn() {
                    tail.torn = true;
                    let path = tail.path.display();
                    tracing::error!(input = %self.context.node, %path, error = %fault, "a file is not whole");
                    let file = tail.path.to_string_lossy();
                    self.context.door.skipped_of(&file, fault.reason(), 1);
                }
                lines.rest()?
            }
            Step::End => None,
        };
        let Some(chunk) = chunk else { return self.end(id, identity) };
        tail.at_end = false;
        tail.has_rest = false;
        tail.has_open_event = false;
        self.advance(id, identity)?;
        Ok(Next::Send(stream, chunk, credit))
    }

    /// Whether nothing has come since the file was read to its end and closed.
    fn is_done(&mut self, id: FileId, identity: Identity) -> bool {
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let done = self.tracks.get(&identity).and_then(|track| track.at.done);
        let Some(done) = done.filter(|_| tail.lines.is_none()) else { return false };
        let (files, key) = (self.context.env.files(), &self.context.id_key);
        tail.at_end = if tail.sealed {
            let stat = files.stat(&tail.path);
            stat.is_ok_and(|stat| stat.id == id && stat.len == done.len)
        } else {
            // Another run came to its end: a number may have been given to another file since.
            let file = open_exactly(files, &tail.path, id);
            file.and_then(|file| done.is_of(key, &*file)).unwrap_or(false)
        };
        tail.sealed = tail.at_end;
        tail.at_end
    }

    /// Opens the file at the position of its stream, or makes sure that what was read is still
    /// there. Returns what to do instead of reading, if so.
    fn find_place(&mut self, id: FileId, identity: Identity) -> Result<Option<Next>, Fault> {
        if !self.open(id)? {
            return Ok(Some(Next::Wait));
        }
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let track = self.tracks.get_mut(&identity).expect("a stream with an owner is kept");
        let stat = tail.lines.as_ref().expect("it was just opened").stat()?;
        tail.look(&stat);
        let lines = tail.lines.as_mut().expect("it was just opened");
        if !tail.verified {
            match lines.pass(track.at.sent, &self.context.pool)? {
                Some(true) => {}
                Some(false) => return Ok(Some(Next::Again)),
                None if lines.torn().is_some() => return Ok(Some(Next::Wait)),
                None => return Ok(Some(self.start_anew(id, identity))),
            }
            tail.verified = track.at.is_of(&self.context.id_key, lines)?;
        }
        let is_cut = match lines.is_plain() {
            true => stat.len < lines.passed() || !lines.is_intact()?,
            false => stat.len < lines.file_position(),
        };
        let is_same = tail.verified && !is_cut;
        Ok((!is_same).then(|| self.start_anew(id, identity)))
    }

    /// The way into the pipeline; none if the file is to be left out.
    fn stream(&mut self, id: FileId, identity: Identity) -> Option<Arc<dyn Stream>> {
        let at = &self.tracks[&identity].at;
        if at.stream.is_none() && at.stale && at.is_untouched() {
            // Nothing of a file is sent before its checkpoint tells that it was seen: it may have lost
            // its name at the next start. Others that were just begun are noted with it.
            self.note();
        }
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let at = &mut self.tracks.get_mut(&identity).expect("a stream with an owner is kept").at;
        if at.stream.is_none() {
            let opened = self.context.door.open(StreamStart {
                file: tail.path.to_string_lossy().into_owned(),
                host: String::new(),
                id: identity.stream(&self.context.id_key, &self.context.node),
                position: at.sent,
            });
            match opened {
                Ok(stream) => at.stream = Some(stream),
                Err(error) => {
                    let path = tail.path.display();
                    tracing::warn!(input = %self.context.node, %path, %error, "a file is left out");
                    tail.state = State::Ignored;
                    self.close(id);
                    return None;
                }
            }
        }
        at.stream.clone()
    }

    /// Remembers how far the stream was sent.
    fn advance(&mut self, id: FileId, identity: Identity) -> io::Result<()> {
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let lines = tail.lines.as_mut().expect("it was just read");
        let track = self.tracks.get_mut(&identity).expect("a stream with an owner is kept");
        self.dirty.insert(identity);
        if let Some(head) = track.at.note(&self.context.id_key, lines)?
            && let Some(mut track) = self.tracks.remove(&identity)
        {
            self.unlist(&identity, &track);
            track.at.saved.head = head;
            // Before anything has arrived, too: it tells this stream from the next one of the file.
            track.at.stale = true;
            self.unnoted = true;
            self.insert(identity, track);
        }
        Ok(())
    }

    /// There is nothing more to read, for now.
    fn end(&mut self, id: FileId, identity: Identity) -> Result<Next, Fault> {
        let tail = self.tails.get_mut(&id).expect("its turn has come");
        let lines = tail.lines.as_mut().expect("it was just read");
        let torn = lines.torn().is_some();
        tail.at_end = true;
        tail.has_rest = lines.has_rest() || torn && !tail.torn;
        tail.has_open_event = lines.has_open_event();
        if lines.is_plain() {
            lines.park();
        }
        if tail.has_rest {
            self.pending.insert(id);
        } else if !lines.is_plain() && !torn {
            // A compressed file rarely grows; the next start need not look into it again.
            let track = self.tracks.get_mut(&identity).expect("a stream with an owner is kept");
            let done = Done::of(&self.context.id_key, lines.file(), tail.seen.0)?;
            (track.at.done, tail.sealed) = (Some(done), true);
            self.dirty.insert(identity);
            self.unnoted = true;
            if tail.named {
                self.close(id);
            }
        }
        Ok(Next::Wait)
    }

    /// The file cannot be read on: says so once.
    pub(super) fn fail(&mut self, id: FileId, fault: &Fault) {
        self.close(id);
        let Some(offset) = self.tails.get(&id).map(|tail| self.sent(tail)) else { return };
        let tail = self.tails.get_mut(&id).expect("it was just there");
        if !tail.troubled {
            let path = tail.path.display();
            let error = fault as &dyn std::error::Error;
            tracing::error!(input = %self.context.node, %path, offset, error, "cannot read a file on");
            self.context.door.skipped_of(&tail.path.to_string_lossy(), fault.reason(), 1);
        }
        tail.troubled = true;
        let again = match fault {
            // Somebody has to change it, which is looked for with every scan.
            Fault::Io(error) => error.kind() != io::ErrorKind::PermissionDenied,
            // What cannot be decompressed now cannot be later either; the next start tries again.
            _ => {
                tail.state = State::Ignored;
                tail.troubled = false;
                false
            }
        };
        if !tail.named {
            self.let_go(id);
        } else if again {
            self.pending.insert(id);
        }
    }
}
