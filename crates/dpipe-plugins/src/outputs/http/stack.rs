//! Events that wait to be posted, by the request that they go in.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use dpipe_event::EventRef;
use dpipe_plugin::template::{Escaping, Template};
use dpipe_plugin::{Parcel, Refusal};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;

/// The longest path or header that an event makes; servers refuse longer ones, and some
/// cannot even be sent.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// What was collected since the last flush.
pub(super) struct Stack {
    path: Template,
    headers: Vec<(HeaderName, Template)>,
    /// Whether all events go in one request.
    is_constant: bool,
    pub(super) requests: Vec<Request>,
    by_target: HashMap<Target, usize>,
    /// The number of events since the last flush.
    events: usize,
    pub(super) refused: Vec<Refusal>,
    /// Batches that were answered although the flush failed as a whole.
    pub(super) answered: HashSet<[u8; 16]>,
}

/// Where events go, rendered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Target {
    path: String,
    headers: Vec<HeaderValue>,
}

/// Events that go in one request, or in several with the same head.
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Their encoded bytes, a newline after each.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Their positions among all events since the last flush.
    positions: Vec<usize>,
}

impl Stack {
    pub(super) fn new(path: Template, headers: Vec<(HeaderName, Template)>) -> Stack {
        let is_constant =
            path.is_constant() && headers.iter().all(|(_, value)| value.is_constant());
        Stack {
            path,
            headers,
            is_constant,
            requests: Vec::new(),
            by_target: HashMap::new(),
            events: 0,
            refused: Vec::new(),
            answered: HashSet::new(),
        }
    }

    /// Adds the events of a parcel, each to its request.
    pub(super) fn add(&mut self, parcel: &Parcel) {
        let mut number = None;
        for index in 0..parcel.batch().len() {
            let position = self.events;
            self.events += 1;
            // What the encoder refused has no bytes.
            if parcel.event_bytes(index).is_empty() {
                continue;
            }
            let found = match number.filter(|_| self.is_constant) {
                Some(number) => Ok(number),
                None => self.request_of(&parcel.event(index)),
            };
            match found {
                Ok(found) => {
                    number = Some(found);
                    self.requests[found].add(parcel.event_bytes(index), position);
                }
                Err(reason) => {
                    let kind = "bad_target";
                    self.refused.push(Refusal { index: position, kind, reason });
                }
            }
        }
    }

    fn request_of(&mut self, event: &EventRef<'_>) -> Result<usize, String> {
        let mut path = Vec::new();
        self.path.render(event, Escaping::Url, &mut path).map_err(|error| error.to_string())?;
        if path.len() > HEAD_BYTES_MAX {
            return Err(format!("the path would have {} bytes", path.len()));
        }
        let path = String::from_utf8(path).map_err(|_| "the path is not UTF-8".to_owned())?;
        if let Err(error) = path.parse::<PathAndQuery>() {
            return Err(format!("the path would be no path: {error}"));
        }
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, template) in &self.headers {
            let mut value = Vec::new();
            template
                .render(event, Escaping::None, &mut value)
                .map_err(|error| error.to_string())?;
            if value.len() > HEAD_BYTES_MAX {
                return Err(format!("the header {name} would have {} bytes", value.len()));
            }
            let value = HeaderValue::from_bytes(&value)
                .map_err(|_| format!("the header {name} would have control characters"))?;
            headers.push(value);
        }
        let target = Target { path, headers };
        if let Some(number) = self.by_target.get(&target) {
            return Ok(*number);
        }
        let names = self.headers.iter().map(|(name, _)| name.clone());
        self.requests.push(Request {
            path: target.path.clone(),
            headers: names.zip(target.headers.iter().cloned()).collect(),
            bytes: Vec::new(),
            ends: Vec::new(),
            positions: Vec::new(),
        });
        self.by_target.insert(target, self.requests.len() - 1);
        Ok(self.requests.len() - 1)
    }

    /// The batches of a request, the first one last.
    pub(super) fn batches(&self, number: usize, events_max: usize) -> Vec<Range<usize>> {
        let len = self.requests[number].ends.len();
        let starts = (0..len).step_by(events_max);
        let mut batches: Vec<_> =
            starts.map(|start| start..(start + events_max).min(len)).collect();
        batches.reverse();
        batches
    }

    /// Forgets the events, which were answered for or come again.
    pub(super) fn forget_events(&mut self) {
        self.requests.clear();
        self.by_target.clear();
        self.events = 0;
    }

    /// Forgets which batches were answered.
    pub(super) fn forget_answers(&mut self) {
        self.answered.clear();
    }
}

impl Request {
    fn add(&mut self, bytes: &[u8], position: usize) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        self.positions.push(position);
    }

    fn start_of(&self, event: usize) -> usize {
        if event == 0 { 0 } else { self.ends[event - 1] }
    }

    /// The encoded bytes of some events, a newline after each.
    pub(super) fn lines(&self, events: &Range<usize>) -> &[u8] {
        &self.bytes[self.start_of(events.start)..self.start_of(events.end)]
    }

    /// The encoded bytes of each of some events.
    pub(super) fn each(&self, events: &Range<usize>) -> impl Iterator<Item = &[u8]> {
        events.clone().map(|event| {
            let bytes = &self.bytes[self.start_of(event)..self.ends[event]];
            bytes.strip_suffix(b"\n").unwrap_or(bytes)
        })
    }

    /// Their positions among all events since the last flush.
    pub(super) fn positions(&self, events: &Range<usize>) -> impl Iterator<Item = usize> {
        self.positions[events.clone()].iter().copied()
    }

    /// Tells this batch from every other.
    pub(super) fn mark(&self, events: &Range<usize>) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.path.as_bytes());
        for (_, value) in &self.headers {
            hasher.update(&[0]);
            hasher.update(value.as_bytes());
        }
        hasher.update(&(self.positions[events.start] as u64).to_le_bytes());
        hasher.update(self.lines(events));
        let mut mark = [0; 16];
        mark.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        mark
    }
}
