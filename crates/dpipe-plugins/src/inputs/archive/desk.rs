//! Which file is read next: the first one whose tenant has credit.
//!
//! A file that has to wait for credit gives up its place, and is not read on before its tenant has
//! some: neither is another file of the tenant begun meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use dpipe_env::FileId;
use dpipe_plugin::{Credit, Stream};

use crate::reading::lines::Lines;

/// How many files may stay open while they wait for credit. Others are opened again, and compressed
/// ones unpacked again up to where they were.
const OPEN_WAITING_MAX: usize = 64;

/// A file to read.
pub(super) struct Job {
    /// Its place in the order of all files.
    pub(super) number: usize,
    pub(super) path: PathBuf,
    pub(super) file: FileId,
    pub(super) len: u64,
}

/// A file to begin, or to read on.
pub(super) struct Work {
    pub(super) job: Job,
    pub(super) tenant: Arc<str>,
    /// The way into the pipeline, once there is one.
    pub(super) stream: Option<Arc<dyn Stream>>,
    /// Open, if it was begun.
    pub(super) lines: Option<Box<Lines>>,
    /// The credit that it needs.
    pub(super) wanted: usize,
}

/// The files that are not being read.
#[derive(Default)]
pub(super) struct Desk {
    /// Those of each tenant, by their numbers.
    tenants: Vec<BTreeMap<usize, Work>>,
    by_name: HashMap<Arc<str>, usize>,
    /// The tenants that may have credit, by the number of their first file.
    hopeful: BTreeMap<usize, usize>,
    /// Those that had none.
    starved: Vec<usize>,
    open_waiting: usize,
}

impl Desk {
    /// Lays down a file to begin.
    pub(super) fn add(&mut self, work: Work) {
        let next = self.tenants.len();
        let tenant = *self.by_name.entry(work.tenant.clone()).or_insert(next);
        if tenant == next {
            self.tenants.push(BTreeMap::new());
        }
        self.take_back(tenant);
        self.tenants[tenant].insert(work.job.number, work);
        self.put_up(tenant);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hopeful.is_empty() && self.starved.is_empty()
    }

    /// Takes the first file whose tenant has credit, and the credit. `open` gives a file its way into
    /// the pipeline, or says that it is left out.
    pub(super) fn next(
        &mut self,
        mut open: impl FnMut(&Job) -> Option<Arc<dyn Stream>>,
    ) -> Option<(Work, Credit)> {
        while let Some((number, tenant)) = self.hopeful.pop_first() {
            let files = &mut self.tenants[tenant];
            let work = files.get_mut(&number).expect("a tenant is listed by its first file");
            let stream = work.stream.take().or_else(|| open(&work.job));
            let Some(stream) = stream else {
                files.remove(&number);
                self.put_up(tenant);
                continue;
            };
            let credit = stream.try_reserve(work.wanted);
            work.stream = Some(stream);
            let Some(credit) = credit else {
                self.starved.push(tenant);
                continue;
            };
            let work = files.remove(&number).expect("it was just there");
            self.open_waiting -= usize::from(work.lines.is_some());
            self.put_up(tenant);
            return Some((work, credit));
        }
        None
    }

    /// Puts back a file whose tenant has no credit.
    pub(super) fn put_back(&mut self, mut work: Work) {
        let tenant = self.by_name[&work.tenant];
        self.take_back(tenant);
        if self.open_waiting == OPEN_WAITING_MAX {
            work.lines = None;
        }
        self.open_waiting += usize::from(work.lines.is_some());
        self.tenants[tenant].insert(work.job.number, work);
        // There may be some by now, which nobody would tell of.
        self.put_up(tenant);
    }

    /// Credits came free: any tenant may have some.
    pub(super) fn hope(&mut self) {
        for tenant in std::mem::take(&mut self.starved) {
            self.put_up(tenant);
        }
    }

    fn put_up(&mut self, tenant: usize) {
        if let Some(&number) = self.tenants[tenant].keys().next() {
            self.hopeful.insert(number, tenant);
        }
    }

    fn take_back(&mut self, tenant: usize) {
        if let Some(number) = self.tenants[tenant].keys().next() {
            self.hopeful.remove(number);
        }
        self.starved.retain(|other| *other != tenant);
    }
}
