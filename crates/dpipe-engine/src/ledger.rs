//! Reads every book, and checks what can be checked between them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dpipe_config::plan::{DEFAULT_TENANT, Producer, TenantSource};

use crate::books::{Ledger, Line, Role, Terms};
use crate::core::Core;
use crate::left::Left;
use crate::tenant::Tenant;

impl Core {
    /// Every book, with what is wrong: a book that does not balance, a node that did not take in
    /// what its tags published, receipts that were lost. The second holds between chunks only, so a
    /// tenant is left out of it if a chunk of it was on a lane meanwhile.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut lines = Vec::new();
        let mut faults = Vec::new();
        let nodes = self.nodes();
        for tenant in self.tenants.all() {
            let ended = tenant.turns.ended();
            for node in &nodes {
                let terms = tenant.book(node.number).read();
                if !terms.is_blank() || node.tenants.contains(&tenant.name) {
                    lines.push(Line::read(node.name, node.role, &tenant.name, terms));
                }
            }
            let mut between = Vec::new();
            self.check_between(&tenant, &mut between);
            if tenant.turns.none_since(ended) {
                faults.append(&mut between);
            }
        }
        // A node that nobody's events came to yet, and nobody knows whose will.
        let nameless: Arc<str> = DEFAULT_TENANT.into();
        for node in nodes.iter().filter(|node| node.role != Role::Unmatched) {
            if !lines.iter().any(|line| line.role == node.role && line.node == *node.name) {
                lines.push(Line::read(node.name, node.role, &nameless, Terms::default()));
            }
        }
        faults.extend(lines.iter().filter_map(fault_of));
        let losses = self.losses.load(Ordering::Relaxed);
        if losses > 0 {
            let were = if losses == 1 { "receipt was" } else { "receipts were" };
            faults.push(format!(
                "{losses} {were} lost: batches vanished without being delivered, refused or dropped; \
                 their bytes are read again at the next start"
            ));
        }
        Ledger { lines, faults }
    }

    /// The same at the end of a run, when nothing moves any more: what the books say is in flight
    /// must be what was left with each node.
    pub(crate) fn last_ledger(&self, left: &[(usize, Vec<Left>)]) -> Ledger {
        let mut ledger = self.ledger();
        for node in self.nodes() {
            let here = left.iter().filter(|(number, _)| *number == node.number);
            let here: Vec<&Left> = here.flat_map(|(_, left)| left).collect();
            for tenant in self.tenants.all() {
                let of_tenant = here.iter().filter(|left| Arc::ptr_eq(&left.tenant, &tenant));
                let found: u64 = of_tenant.map(|left| left.events).sum();
                let booked = tenant.book(node.number).read().in_flight;
                if booked != found {
                    ledger.faults.push(format!(
                        "`{}` of tenant `{}`: {booked} events are said to be in its hands, and \
                         {found} are there",
                        node.name, tenant.name
                    ));
                }
            }
        }
        ledger
    }

    /// Everything that has a book.
    fn nodes(&self) -> Vec<BookNode<'_>> {
        let plan = &self.plan;
        let mut nodes = Vec::new();
        let mut add = |name, role, number| {
            nodes.push(BookNode { name, role, number, tenants: Vec::new() });
        };
        for (i, input) in plan.inputs.iter().enumerate() {
            add(&input.name, Role::Input, i);
        }
        for (i, filter) in plan.filters.iter().enumerate() {
            add(&filter.name, Role::Filter, self.numbers.filter(i));
        }
        for (i, output) in plan.outputs.iter().enumerate() {
            add(&output.name, Role::Output, self.numbers.output(i));
        }
        for (i, tag) in plan.tags.iter().enumerate() {
            add(&tag.name, Role::Unmatched, self.numbers.unmatched(i));
        }
        for (i, input) in plan.inputs.iter().enumerate() {
            let (filters, outputs) = self.route.behind_input(i);
            let filters = filters.into_iter().map(|filter| self.numbers.filter(filter));
            let outputs = outputs.into_iter().map(|output| self.numbers.output(output));
            for number in filters.chain(outputs).chain([i]) {
                let tenants = &mut nodes[number].tenants;
                match &input.tenant {
                    TenantSource::Named(name) => tenants.push(name.clone()),
                    TenantSource::FromPath(_) => {
                        tenants.extend(plan.tenants.iter().map(|tenant| tenant.name.clone()));
                    }
                }
            }
        }
        nodes
    }

    /// What each tag published must be what each of its consumers took.
    fn check_between(&self, tenant: &Tenant, faults: &mut Vec<String>) {
        let published = |tag: usize| {
            let (node, port) = match self.plan.tags[tag].producer {
                Producer::Input(input) => (input, 0),
                Producer::Filter(f, port) => (self.numbers.filter(f), port),
            };
            tenant.book(node).read().out.get(port).copied().unwrap_or(0)
        };
        let all: Vec<u64> = (0..self.plan.tags.len()).map(published).collect();
        let mut check = |name: &str, node: usize, wanted: u64| {
            let taken = tenant.book(node).read().taken;
            if taken != wanted {
                faults.push(format!(
                    "`{name}` of tenant `{}`: took {taken} events of the {wanted} that its tags \
                     published",
                    tenant.name
                ));
            }
        };
        for (i, filter) in self.plan.filters.iter().enumerate() {
            let from = self.route.tags.iter().zip(&all).filter(|(tag, _)| tag.filters.contains(&i));
            check(&filter.name, self.numbers.filter(i), from.map(|(_, n)| n).sum());
        }
        for (i, output) in self.plan.outputs.iter().enumerate() {
            let from = self.route.tags.iter().zip(&all).filter(|(tag, _)| tag.outputs.contains(&i));
            check(&output.name, self.numbers.output(i), from.map(|(_, n)| n).sum());
        }
        for (i, tag) in self.route.tags.iter().enumerate() {
            if tag.filters.is_empty() && tag.outputs.is_empty() {
                check(&tag.name, self.numbers.unmatched(i), all[i]);
            }
        }
    }
}

/// A node, or a tag that nobody takes, as the ledger lists it.
struct BookNode<'a> {
    name: &'a Arc<str>,
    role: Role,
    /// The number of its book.
    number: usize,
    /// Whose events are configured to come to it.
    tenants: Vec<Arc<str>>,
}

/// What is wrong with a line by itself.
fn fault_of(line: &Line) -> Option<String> {
    let Line { node, tenant, role, missing, .. } = line;
    let what = match missing {
        0 => return None,
        1 => "1 event is missing from its book".to_owned(),
        2.. => format!("{missing} events are missing from its book"),
        -1 => "1 event more is in its book than came or was born".to_owned(),
        _ => format!("{} events more are in its book than came or were born", -missing),
    };
    Some(format!("{} `{node}` of tenant `{tenant}`: {what}", role.word()))
}
