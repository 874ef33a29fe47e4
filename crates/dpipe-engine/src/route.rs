//! The route as lanes use it: by number, never by name.

use std::sync::Arc;

use dpipe_config::plan::{Consumer, Plan, Producer};

/// Where the batches of a tag go.
pub(crate) struct TagRoute {
    pub(crate) name: Arc<str>,
    pub(crate) filters: Vec<usize>,
    pub(crate) outputs: Vec<usize>,
}

/// The numbers of the books: inputs first, then filters, outputs, and tags that nobody takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    inputs: usize,
    filters: usize,
    outputs: usize,
    tags: usize,
}

impl Numbers {
    pub(crate) fn of(plan: &Plan) -> Self {
        Numbers {
            inputs: plan.inputs.len(),
            filters: plan.filters.len(),
            outputs: plan.outputs.len(),
            tags: plan.tags.len(),
        }
    }

    pub(crate) fn filter(self, filter: usize) -> usize {
        self.inputs + filter
    }

    pub(crate) fn output(self, output: usize) -> usize {
        self.inputs + self.filters + output
    }

    pub(crate) fn unmatched(self, tag: usize) -> usize {
        self.inputs + self.filters + self.outputs + tag
    }

    pub(crate) fn all(self) -> usize {
        self.inputs + self.filters + self.outputs + self.tags
    }
}

/// The routes of all tags, and where each node's tags start.
pub(crate) struct Route {
    pub(crate) tags: Vec<TagRoute>,
    input_tags: Vec<usize>,
    filter_tags: Vec<Vec<usize>>,
}

impl Route {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut input_tags = vec![0; plan.inputs.len()];
        let mut filter_tags: Vec<Vec<usize>> =
            plan.filters.iter().map(|f| vec![0; f.publishes.len()]).collect();
        let mut tags = Vec::new();
        for (number, tag) in plan.tags.iter().enumerate() {
            match tag.producer {
                Producer::Input(input) => input_tags[input] = number,
                Producer::Filter(filter, port) => filter_tags[filter][port] = number,
            }
            let mut route =
                TagRoute { name: tag.name.clone(), filters: Vec::new(), outputs: Vec::new() };
            for consumer in &tag.consumers {
                match *consumer {
                    Consumer::Filter(filter) => route.filters.push(filter),
                    Consumer::Output(output) => route.outputs.push(output),
                }
            }
            tags.push(route);
        }
        Route { tags, input_tags, filter_tags }
    }

    pub(crate) fn input_tag(&self, input: usize) -> usize {
        self.input_tags[input]
    }

    pub(crate) fn filter_tag(&self, filter: usize, port: usize) -> usize {
        self.filter_tags[filter][port]
    }

    /// The filters and the outputs that the events of an input can come to.
    pub(crate) fn behind_input(&self, input: usize) -> (Vec<usize>, Vec<usize>) {
        let (mut filters, mut outputs) = (Vec::new(), Vec::new());
        let mut tags = vec![self.input_tag(input)];
        while let Some(tag) = tags.pop() {
            let TagRoute { filters: takers, outputs: ends, .. } = &self.tags[tag];
            for &filter in takers {
                if !filters.contains(&filter) {
                    filters.push(filter);
                    tags.extend(&self.filter_tags[filter]);
                }
            }
            for &output in ends {
                if !outputs.contains(&output) {
                    outputs.push(output);
                }
            }
        }
        (filters, outputs)
    }
}
