//! The loop of the input: which file is read next, what to wait for, and when positions are noted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use dpipe_env::{Change, FileId, Watch};
use dpipe_plugin::{Ended, InputContext, InputError};
use tokio::time::{Instant, sleep, sleep_until};

use super::discovery::Folder;
use super::rounds::Rounds;
use super::tail::{Flush, Queue, State, Tail, Track};
use super::turn::Next;
use super::{Config, ReadFrom};
use crate::reading::globs::Globs;
use crate::reading::identity::{Identity, Print};
use crate::rhythm::{Rhythm, SAVE_EVERY};

/// How long to wait after a change for others that come with it: a writer of many single lines is
/// read some lines at a time.
const GATHER: Duration = Duration::from_millis(10);

/// How often positions that are not needed any more are looked for.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// How often to look again whether what was sent has arrived, after the signal to stop.
const SETTLE_LOOK: Duration = Duration::from_millis(20);

/// Turns between two looks at what else has happened.
const TURNS: usize = 16;

/// Follows all files of the input.
pub(super) struct Follower {
    pub(super) config: Config,
    pub(super) globs: Globs,
    pub(super) context: InputContext,
    pub(super) tails: HashMap<FileId, Tail>,
    /// The files that have a name, by that.
    pub(super) paths: HashMap<PathBuf, FileId>,
    /// Names that are links, by where they lead.
    pub(super) links: HashMap<PathBuf, PathBuf>,
    pub(super) tracks: HashMap<Identity, Track>,
    /// The stream that a file holds, or held last.
    pub(super) holders: HashMap<FileId, Identity>,
    /// The generation after the last one of a file.
    pub(super) generations: HashMap<FileId, u32>,
    /// The streams that begin like this.
    pub(super) heads: HashMap<Print, Vec<Identity>>,
    pub(super) ready: VecDeque<FileId>,
    pub(super) blocked: Vec<FileId>,
    /// Files to look at every tick: without a name, with a line kept back, copies.
    pub(super) pending: HashSet<FileId>,
    /// Streams whose checkpoint may have to move.
    pub(super) dirty: HashSet<Identity>,
    pub(super) forgotten: Vec<Identity>,
    /// When checkpoints are noted.
    pub(super) rhythm: Rhythm,
    /// Whether some have moved since.
    pub(super) unnoted: bool,
    pub(super) save_failed: bool,
    /// Folders that cannot be read, which was said.
    pub(super) unreadable: HashSet<PathBuf>,
    pub(super) watch: Option<Box<dyn Watch>>,
    /// Whether there are folders in which nothing tells of changes.
    pub(super) polls: bool,
    pub(super) next_scan: Instant,
    /// When to look into every folder again, changed or not.
    pub(super) next_walk: Instant,
    pub(super) folders: HashMap<PathBuf, Folder>,
    pub(super) rounds: Rounds,
    pub(super) open_files: usize,
    pub(super) turns: u64,
}

impl Follower {
    pub(super) fn new(config: Config, globs: Globs, context: InputContext) -> Self {
        Follower {
            config,
            globs,
            context,
            tails: HashMap::new(),
            paths: HashMap::new(),
            links: HashMap::new(),
            tracks: HashMap::new(),
            holders: HashMap::new(),
            generations: HashMap::new(),
            heads: HashMap::new(),
            ready: VecDeque::new(),
            blocked: Vec::new(),
            pending: HashSet::new(),
            dirty: HashSet::new(),
            forgotten: Vec::new(),
            rhythm: Rhythm::new(),
            unnoted: false,
            save_failed: false,
            unreadable: HashSet::new(),
            watch: None,
            polls: true,
            next_scan: Instant::now(),
            next_walk: Instant::now(),
            folders: HashMap::new(),
            rounds: Rounds::default(),
            open_files: 0,
            turns: 0,
        }
    }

    pub(super) async fn run(mut self) -> Result<Ended, InputError> {
        self.start()?;
        let mut next_tick = Instant::now() + SAVE_EVERY;
        let mut next_forget = Instant::now() + FORGET_EVERY;
        while !self.context.shutdown.is_given() {
            for _ in 0..TURNS {
                let Some(id) = self.ready.pop_front() else { break };
                self.turn(id).await;
                // One look at the clock a turn, which is a chunk.
                self.note_if_due(true);
            }
            let now = Instant::now();
            if now >= self.next_scan {
                self.scan();
            }
            if now >= next_tick {
                self.tick();
                next_tick = now + SAVE_EVERY;
            }
            self.note_if_due(!self.ready.is_empty());
            if now >= next_forget {
                self.forget();
                next_forget = now + FORGET_EVERY;
            }
            let mut deadline = next_tick.min(self.next_scan);
            if self.unnoted {
                deadline = deadline.min(self.rhythm.next());
            }
            self.wait(deadline).await;
        }
        self.finish().await;
        Ok(Ended::Stopped)
    }

    /// Takes up where the last run ended, or begins.
    fn start(&mut self) -> Result<(), InputError> {
        if self.config.watch {
            match self.context.env.watch() {
                Ok(watch) => (self.watch, self.polls) = (Some(watch), false),
                Err(error) => {
                    tracing::warn!(input = %self.context.node, %error, "nothing tells of changes; polling");
                }
            }
        }
        let first = self.load();
        self.scan();
        if first {
            if self.config.read_from == ReadFrom::End {
                self.skip_to_end();
            }
            self.save_start()?;
        }
        self.find_strays();
        self.forget();
        Ok(())
    }

    /// Lets one file have its turn.
    async fn turn(&mut self, id: FileId) {
        match self.next(id) {
            Next::Send(stream, chunk, credit) => {
                self.rhythm.sent(chunk.buffer.len());
                stream.send(chunk, credit).await;
                self.ready(id);
            }
            Next::Again => self.ready(id),
            Next::Blocked => {
                if let Some(tail) = self.tails.get_mut(&id) {
                    tail.queue = Queue::Blocked;
                    self.blocked.push(id);
                }
            }
            Next::Wait => {}
        }
    }

    /// Waits until there is something to do, at the latest until `deadline`; not at all while there
    /// are files to read.
    async fn wait(&mut self, deadline: Instant) {
        enum Woken {
            Told(io::Result<()>),
            Settled,
            Freed,
            Other,
        }
        let idle = self.ready.is_empty();
        let mut changes = Vec::new();
        let woken = {
            let told = async {
                match &mut self.watch {
                    Some(watch) => watch.changes(&mut changes).await,
                    None => std::future::pending().await,
                }
            };
            let freed = async {
                match self.blocked.is_empty() {
                    false => self.context.door.freed().await,
                    true => std::future::pending().await,
                }
            };
            // While there are files to read nobody waits for this: notes are made in between.
            let settled = async {
                match idle && !self.unnoted && !self.dirty.is_empty() {
                    true => self.context.door.some_settled().await,
                    false => std::future::pending().await,
                }
            };
            let rest = async {
                match idle {
                    true => sleep_until(deadline).await,
                    false => tokio::task::yield_now().await,
                }
            };
            tokio::select! {
                biased;
                () = self.context.shutdown.given() => Woken::Other,
                result = told => Woken::Told(result),
                () = settled => Woken::Settled,
                () = freed => Woken::Freed,
                () = rest => Woken::Other,
            }
        };
        match woken {
            Woken::Told(Ok(())) => {
                changes.into_iter().for_each(|change| self.heed(change));
                if idle {
                    sleep(GATHER).await;
                }
            }
            Woken::Told(Err(error)) => {
                tracing::warn!(input = %self.context.node, %error, "nothing tells of changes any more; polling");
                (self.watch, self.polls) = (None, true);
                self.walk_soon();
            }
            Woken::Settled => self.unnoted = true,
            Woken::Freed => {
                for id in std::mem::take(&mut self.blocked) {
                    if let Some(tail) = self.tails.get_mut(&id) {
                        tail.queue = Queue::No;
                    }
                    self.ready(id);
                }
            }
            Woken::Other => {}
        }
    }

    /// Puts a file among those that are read.
    pub(super) fn ready(&mut self, id: FileId) {
        if let Some(tail) = self.tails.get_mut(&id)
            && tail.queue == Queue::No
        {
            tail.queue = Queue::Ready;
            self.ready.push_back(id);
        }
    }

    fn heed(&mut self, change: Change) {
        match change {
            Change::Content(path) => {
                let path = self.links.get(&path).unwrap_or(&path);
                match self.paths.get(path) {
                    Some(&id) => self.ready(id),
                    None => self.examine(&path.clone()),
                }
            }
            Change::Name(path) => match self.links.get(&path).cloned() {
                Some(link) => self.examine(&link),
                None => self.examine(&path),
            },
            Change::Folder(path) => {
                if self.globs.may_hold(&path) {
                    self.walk_soon();
                }
            }
            Change::Lost => self.walk_soon(),
        }
    }

    /// Has every folder looked into before anything else is waited for.
    fn walk_soon(&mut self) {
        (self.next_scan, self.next_walk) = (Instant::now(), Instant::now());
    }

    fn tick(&mut self) {
        self.save();
        self.send_again();
        let pending: Vec<FileId> = self.pending.iter().copied().collect();
        for id in pending {
            self.revisit(id);
        }
    }

    /// Looks again at a file that is not as it shall remain.
    fn revisit(&mut self, id: FileId) {
        let Some(tail) = self.tails.get_mut(&id) else {
            self.pending.remove(&id);
            return;
        };
        if let State::Copy(of) = tail.state {
            return self.revisit_copy(id, of);
        }
        if tail.queue != Queue::No {
            return;
        }
        let quiet = tail.changed.elapsed();
        let arrived = match &tail.state {
            State::Followed(identity) => self.tracks[identity].at.is_settled(),
            _ => true,
        };
        let event_timeout = self.context.multiline.as_ref().map_or(Duration::MAX, |m| m.timeout());
        let over = !tail.named && tail.at_end && quiet >= self.config.close_after.duration();
        if tail.has_rest && (over || quiet >= self.config.idle_line_after.duration()) {
            tail.flush = Some(Flush::All);
            self.ready(id);
        } else if tail.has_open_event && quiet >= event_timeout {
            tail.flush = Some(Flush::Event);
            self.ready(id);
        } else if over && arrived || !tail.named && matches!(tail.state, State::Ignored) {
            // Not before: what got lost on the way can be read again only while the file is here.
            self.let_go(id);
        } else if !tail.named || tail.troubled {
            self.ready(id);
        } else if !tail.has_rest {
            self.pending.remove(&id);
        }
    }

    /// Waits until what was sent has arrived, and saves the positions.
    async fn finish(mut self) {
        // The files are not read any more, and what is in flight may need the memory.
        self.tails.clear();
        loop {
            self.note();
            let decided = |identity| self.tracks.get(identity).is_none_or(Track::is_decided);
            if self.dirty.iter().all(decided) {
                self.save();
                if !self.save_failed {
                    return;
                }
            }
            tokio::select! {
                () = self.context.shutdown.abandoned() => break,
                () = sleep(SETTLE_LOOK) => {}
            }
        }
        self.save();
    }
}
