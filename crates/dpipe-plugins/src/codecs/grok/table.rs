//! The patterns that come with dpipe. Names and fields are those of Logstash; the definitions are
//! written for an engine without look-around, atomic groups and possessive repetitions. Where one is
//! usually bounded by look-around, it is bounded by `\b` here, or by what stands next to it.

mod access;
mod parts;
mod services;
mod system;

/// A pattern: its name, and its definition with the old and with the new names of fields.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) legacy: &'static str,
    pub(super) ecs: &'static str,
}

/// One definition, which names no fields or the same in both.
const fn same(name: &'static str, definition: &'static str) -> Entry {
    Entry { name, legacy: definition, ecs: definition }
}

const fn both(name: &'static str, legacy: &'static str, ecs: &'static str) -> Entry {
    Entry { name, legacy, ecs }
}

/// Every one.
pub(super) fn all() -> impl Iterator<Item = &'static Entry> {
    [parts::PARTS, access::ACCESS, system::SYSTEM, services::SERVICES].into_iter().flatten()
}

/// The definition of a name.
pub(super) fn find(name: &str, ecs: bool) -> Option<&'static str> {
    all().find(|entry| entry.name == name).map(|entry| if ecs { entry.ecs } else { entry.legacy })
}
