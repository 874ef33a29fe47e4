//! Answers that are known, and threads that ask for more.
//!
//! Lanes only ever look into the answers, and leave questions. The threads are started with the first
//! question, and end when the resolver is dropped: their queue ends with it. One that waits for a
//! server then holds nothing but the answers, and ends as well once it gets one.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use dpipe_env::Env;
use dpipe_event::Timestamp;
use parking_lot::Mutex;

use crate::bounded::Bounded;
use crate::keys::Shards;

/// What can be asked.
pub(super) enum Question {
    NameOf(IpAddr),
    AddressesOf(Box<str>),
}

/// What came of it.
pub(super) enum Answer {
    /// The name or the addresses, in JSON.
    Told(Arc<[u8]>),
    /// There is no such name.
    Nothing,
    /// Nobody answered.
    Failed,
}

/// How much, and how long.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) ttl_ms: i64,
    pub(super) negative_ttl_ms: i64,
    pub(super) cache_max: usize,
    pub(super) outstanding_max: usize,
    pub(super) threads: usize,
}

/// Shared by all lanes.
pub(super) struct Resolver {
    limits: Limits,
    seed: u64,
    known: Arc<Known>,
    /// Where the threads take questions from, once there are any.
    queue: Mutex<Option<Sender<Asked>>>,
}

/// What the threads share with the lanes.
struct Known {
    env: Arc<dyn Env>,
    answers: Shards<Bounded<Entry>>,
    /// Questions without an answer.
    outstanding: AtomicUsize,
}

#[derive(Default)]
struct Entry {
    answer: Option<Answer>,
    /// From then on it is asked for again; milliseconds since 1970.
    good_until: i64,
    is_asked: bool,
}

/// A question on its way.
struct Asked {
    key: u128,
    question: Question,
    at: Timestamp,
}

impl Resolver {
    pub(super) fn new(env: Arc<dyn Env>, limits: Limits) -> Self {
        Resolver {
            limits,
            seed: env.random(),
            known: Arc::new(Known {
                env,
                answers: Shards::new(limits.cache_max, Bounded::new),
                outstanding: AtomicUsize::new(0),
            }),
            queue: Mutex::new(None),
        }
    }

    /// The seed of the keys that answers are found by.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Hands the answer of each key to `act`, and asks for those that there is none of, or an old
    /// one.
    ///
    /// # Errors
    /// If a question could not be asked, as no thread can be started.
    pub(super) fn look_up(
        &self,
        keys: &mut [(u128, u32)],
        now: Timestamp,
        question: impl Fn(u32) -> Option<Question>,
        mut act: impl FnMut(u32, Option<&Answer>),
    ) -> io::Result<()> {
        let mut asked = Ok(());
        self.known.answers.each(keys, |answers, key, index| {
            match answers.get_mut(key) {
                Some(_) => answers.renew(key),
                None => answers.insert(key, Entry { good_until: i64::MIN, ..Entry::default() }),
            }
            let Some(entry) = answers.get_mut(key) else { return };
            if entry.good_until <= now.millis()
                && !entry.is_asked
                && let Some(question) = question(index)
            {
                match self.ask(Asked { key, question, at: now }) {
                    Ok(is_asked) => entry.is_asked = is_asked,
                    Err(error) => asked = Err(error),
                }
            }
            act(index, entry.answer.as_ref());
        });
        asked
    }

    /// Leaves a question to the threads; false if too many wait already.
    fn ask(&self, asked: Asked) -> io::Result<bool> {
        let outstanding = &self.known.outstanding;
        if outstanding.fetch_add(1, Ordering::Relaxed) >= self.limits.outstanding_max {
            outstanding.fetch_sub(1, Ordering::Relaxed);
            return Ok(false);
        }
        let mut queue = self.queue.lock();
        let sender = match &*queue {
            Some(sender) => Ok(sender.clone()),
            None => self.start().inspect(|sender| *queue = Some(sender.clone())),
        };
        let sent = sender.map(|sender| sender.send(asked).is_ok());
        if !matches!(sent, Ok(true)) {
            outstanding.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Starts the threads; they end when all senders are gone.
    fn start(&self) -> io::Result<Sender<Asked>> {
        let (sender, questions) = channel();
        let questions = Arc::new(Mutex::new(questions));
        for _ in 0..self.limits.threads {
            let (known, questions, limits) = (self.known.clone(), questions.clone(), self.limits);
            std::thread::Builder::new()
                .name("dns".into())
                .spawn(move || known.answer_all(&questions, limits))?;
        }
        Ok(sender)
    }
}

impl Known {
    fn answer_all(&self, questions: &Mutex<Receiver<Asked>>, limits: Limits) {
        loop {
            // One thread waits for the next question, the others for their turn to wait.
            let next = questions.lock().recv();
            let Ok(Asked { key, question, at }) = next else { return };
            let answer = self.answer(&question);
            let lifetime = match answer {
                Answer::Told(_) => limits.ttl_ms,
                Answer::Nothing | Answer::Failed => limits.negative_ttl_ms,
            };
            let mut answer = Some(answer);
            self.answers.each(&mut [(key, 0)], |answers, key, _| {
                // If it was forgotten meanwhile, it will be asked again.
                let Some(entry) = answers.get_mut(key) else { return };
                entry.is_asked = false;
                entry.good_until = at.millis().saturating_add(lifetime);
                // What was known is better than a failure.
                let failed = matches!(answer, Some(Answer::Failed));
                if !(failed && matches!(entry.answer, Some(Answer::Told(_)))) {
                    entry.answer = answer.take();
                }
            });
            self.outstanding.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn answer(&self, question: &Question) -> Answer {
        let names = self.env.names();
        let mut json = Vec::new();
        let quote = |json: &mut Vec<u8>, text: &str| {
            json.push(b'"');
            dpipe_event::write_escaped(json, text.as_bytes());
            json.push(b'"');
        };
        match question {
            Question::NameOf(address) => match names.name_of(*address) {
                Ok(Some(name)) => quote(&mut json, name.trim_end_matches('.')),
                Ok(None) => return Answer::Nothing,
                Err(_) => return Answer::Failed,
            },
            Question::AddressesOf(name) => match names.addresses_of(name) {
                Ok(addresses) if addresses.is_empty() => return Answer::Nothing,
                Ok(addresses) => {
                    for address in addresses {
                        json.push(if json.is_empty() { b'[' } else { b',' });
                        quote(&mut json, &address.to_string());
                    }
                    json.push(b']');
                }
                Err(_) => return Answer::Failed,
            },
        }
        Answer::Told(json.into())
    }
}
