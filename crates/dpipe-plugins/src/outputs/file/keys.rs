//! Which file an event goes to: the key of a file is its path below the base, as the template
//! makes it.

use std::ops::Range;

use dpipe_plugin::Parcel;
use dpipe_plugin::template::{Escaping, RenderError, Template};

pub(super) struct Keys {
    template: Template,
    /// How many bytes of what the template makes are the base.
    base_len: usize,
    how: How,
    /// What the template made of two events: the first of a run, and the one after it.
    rendered: [Vec<u8>; 2],
}

/// On what a key depends.
#[derive(Clone, Copy)]
enum How {
    /// Nothing: it is always what was rendered at the start.
    Constant,
    /// The batch, and the time in steps of so many milliseconds.
    ByTime(Option<i64>),
    /// Each event.
    ByEvent,
}

impl Keys {
    /// The keys that a bound template makes.
    pub(super) fn new(template: &Template) -> Self {
        let prefix = template.literal_prefix();
        let base_len = prefix.rfind('/').map_or(0, |slash| slash + 1);
        let how = if template.is_constant() {
            How::Constant
        } else if template.varies_within_batch() {
            How::ByEvent
        } else {
            How::ByTime(template.time_granularity())
        };
        let rendered = [prefix.into_bytes(), Vec::new()];
        Keys { template: template.clone(), base_len, how, rendered }
    }

    /// Whether events of one batch, at the same time, may go to several files.
    pub(super) fn vary(&self) -> bool {
        matches!(self.how, How::ByEvent)
    }

    /// Calls `act` for each run of consecutive events that go to the same file.
    pub(super) fn runs<E>(
        &mut self,
        parcel: &Parcel,
        mut act: impl FnMut(Range<usize>, Result<&[u8], RenderError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let events = parcel.batch().len();
        if events == 0 {
            return Ok(());
        }
        match self.how {
            How::Constant => act(0..events, Ok(&self.rendered[0][self.base_len..])),
            How::ByTime(step) => self.runs_by_time(parcel, step, act),
            How::ByEvent => {
                let (mut start, mut rendered) = (0, self.render(parcel, 0));
                while start < events {
                    self.rendered.swap(0, 1);
                    let (mut end, mut next) = (start + 1, Ok(()));
                    while end < events {
                        next = self.render(parcel, end);
                        let same = rendered.is_ok() && next.is_ok();
                        if !same || self.rendered[0] != self.rendered[1] {
                            break;
                        }
                        end += 1;
                    }
                    act(start..end, rendered.map(|()| &self.rendered[1][self.base_len..]))?;
                    (start, rendered) = (end, next);
                }
                Ok(())
            }
        }
    }

    /// Renders once for each span of time, which most batches have one of.
    fn runs_by_time<E>(
        &mut self,
        parcel: &Parcel,
        step: Option<i64>,
        mut act: impl FnMut(Range<usize>, Result<&[u8], RenderError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let events = parcel.batch().len();
        let span = |index| step.map(|step| parcel.event(index).time().millis().div_euclid(step));
        let mut start = 0;
        while start < events {
            let first = span(start);
            let end = (start + 1..events).find(|&at| span(at) != first).unwrap_or(events);
            let rendered = self.render(parcel, start);
            act(start..end, rendered.map(|()| &self.rendered[0][self.base_len..]))?;
            start = end;
        }
        Ok(())
    }

    fn render(&mut self, parcel: &Parcel, index: usize) -> Result<(), RenderError> {
        let out = &mut self.rendered[0];
        out.clear();
        self.template.render(&parcel.event(index), Escaping::PathSegment, out)
    }
}
