//! Reading on after a mistake, so that one run finds all of them.
//!
//! serde stops at the first error. So what is wrong is noted, something that might be right is put
//! in its place, and all is read again, until it can be read or nothing helps. A value with such
//! stand-ins in it never runs; but further checks can look at it, and names in it are known.

use std::collections::{HashMap, HashSet};

use serde::de::DeserializeOwned;

use super::error::{Kind, identity};
use super::{Entry, Node, NodeValue, Problem, Scalar, ScalarKind, SettingsError, nearest};

/// The text put in the place of a wrong one. It is a field path, a template, a query and a glob;
/// nobody writes it, so that what a check says of it can be told.
const STAND_IN: &str = "dpipe_stand_in";

/// A configuration with so many mistakes is not read to its end.
const TRIES_MAX: usize = 400;

/// What was read, and everything that was wrong with it.
#[derive(Debug)]
pub struct Reading<T> {
    /// The value. If there are problems, it holds stand-ins and is good for nothing but to be
    /// checked further; without a value, it could not be read at all.
    pub value: Option<T>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// The keys behind which stand-ins are.
    doubtful: Vec<String>,
}

impl<T> Reading<T> {
    /// The same with another value made of its own.
    #[must_use]
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Reading<U> {
        Reading { value: self.value.map(make), problems: self.problems, doubtful: self.doubtful }
    }

    /// Of what a check found in the value, what was not found in a stand-in.
    #[must_use]
    pub fn sifted(&self, mut found: Vec<Problem>) -> Vec<Problem> {
        found.retain(|Problem { message, .. }| {
            !message.contains(STAND_IN)
                && !self.doubtful.iter().any(|key| message.contains(&format!("`{key}`")))
        });
        found
    }
}

/// Like [`deserialize_knowing`](super::deserialize_knowing), but finds every mistake.
#[must_use]
pub fn read_all<T: DeserializeOwned>(node: &Node, also: &[&str]) -> Reading<T> {
    let mut mender = Mender {
        tree: node.clone(),
        tried: HashMap::new(),
        meant: HashSet::new(),
        problems: Vec::new(),
    };
    let mut value = None;
    for _ in 0..TRIES_MAX {
        match T::deserialize(&mender.tree) {
            Ok(read) => {
                value = Some(read);
                break;
            }
            Err(error) => {
                if !mender.mend(error, also) {
                    break;
                }
            }
        }
    }
    let mut doubtful: Vec<String> = Vec::new();
    for step in mender.tried.keys().chain(&mender.meant).filter_map(|path| path.first()) {
        if let Step::Key(key) = step {
            doubtful.push(key.clone());
        }
    }
    Reading { value, problems: mender.problems, doubtful }
}

/// A step on the way from the root to a value.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Step {
    Key(String),
    Item(usize),
}

type Path = Vec<Step>;

struct Mender {
    tree: Node,
    /// The places where stand-ins were put, and how many.
    tried: HashMap<Path, usize>,
    /// The keys that unknown ones most likely meant: that they are missing is not said as well.
    meant: HashSet<Path>,
    problems: Vec<Problem>,
}

impl Mender {
    /// Notes the mistake and puts something in its place; `false` if nothing helps.
    fn mend(&mut self, error: SettingsError, also: &[&str]) -> bool {
        let error = error.at(&self.tree);
        let value = error.value().expect("the root claims what nobody else did");
        let mut path = Path::new();
        let found = find(&self.tree, value, &mut path);
        debug_assert!(found, "the mistake is in this tree");
        let unknown = error.unknown_key().map(str::to_owned);
        let missing = match error.kind() {
            Kind::Missing(key) => Some(*key),
            _ => None,
        };
        let name = match error.kind() {
            Kind::UnknownName { known, .. } => known.first().copied(),
            _ => None,
        };
        let missing_path = missing.map(|key| joined(&path, Step::Key(key.to_owned())));
        let meant = match error.kind() {
            Kind::UnknownKey { key, known } => nearest(key, known.iter().copied()),
            _ => None,
        };
        let said = self.is_mended(&path)
            || missing_path
                .as_ref()
                .is_some_and(|path| self.tried.contains_key(path) || self.meant.contains(path));
        if !said {
            self.problems.push(error.into_problem(&self.tree, also));
        }
        if let Some(key) = unknown {
            // An unknown key is claimed by itself or, behind `flatten`, by its map.
            if path.last() == Some(&Step::Key(key.clone())) {
                path.pop();
            }
            if let Some(meant) = meant {
                self.meant.insert(joined(&path, Step::Key(meant.to_owned())));
            }
            return self.node(&path).is_some_and(|map| map.remove(&key).is_some());
        }
        match missing_path {
            Some(inner) if !self.tried.contains_key(&inner) => {
                self.add(&path, missing.unwrap_or_default());
                self.put(inner, None)
            }
            _ => self.put(path, name),
        }
    }

    /// Whether this is in a stand-in, or is one.
    fn is_mended(&self, path: &[Step]) -> bool {
        (0..=path.len()).any(|len| self.tried.contains_key(&path[..len]))
    }

    fn node(&mut self, path: &[Step]) -> Option<&mut Node> {
        let mut node = &mut self.tree;
        for step in path {
            node = match (step, &mut node.value) {
                (Step::Key(key), NodeValue::Map(entries)) => {
                    &mut entries.iter_mut().find(|entry| entry.key == *key)?.value
                }
                (Step::Item(index), NodeValue::List(items)) => items.get_mut(*index)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// Adds a key that is missing.
    fn add(&mut self, path: &[Step], key: &str) {
        let Some(map) = self.node(path) else { return };
        if map.is_null() {
            map.value = NodeValue::Map(Vec::new());
        }
        let value = Node { key_span: Some(map.place()), ..map.clone() };
        if let NodeValue::Map(entries) = &mut map.value {
            entries.push(Entry { key: key.to_owned(), value });
        }
    }

    /// Puts the next thing that might help where this path leads. If nothing is left, the entry is
    /// taken out, or, in a list, what is around is given up.
    fn put(&mut self, mut path: Path, name: Option<&str>) -> bool {
        loop {
            let Some(last) = path.last().cloned() else { return false };
            let tried = self.tried.entry(path.clone()).or_default();
            *tried += 1;
            let tries = *tried;
            if let Some(value) = stand_in(tries, name) {
                let Some(node) = self.node(&path) else { return false };
                let inner = |value| Node { key_span: None, value, ..node.clone() };
                node.value = match value {
                    NodeValue::List(_) => {
                        NodeValue::List(vec![inner(NodeValue::Scalar(Scalar::quoted(STAND_IN)))])
                    }
                    value => value,
                };
                self.forget_below(&path);
                return true;
            }
            path.pop();
            if let Step::Key(key) = last {
                return self.node(&path).is_some_and(|map| map.remove(&key).is_some())
                    || self.put(path, None);
            }
        }
    }

    fn forget_below(&mut self, path: &[Step]) {
        self.tried.retain(|known, _| known.len() <= path.len() || !known.starts_with(path));
    }
}

/// What might be right where something else was wrong, the likeliest first.
fn stand_in(tries: usize, name: Option<&str>) -> Option<NodeValue> {
    let text = |text: &str| NodeValue::Scalar(Scalar::quoted(text));
    let plain = |kind, text: &str| NodeValue::Scalar(Scalar::of_kind(kind, text));
    Some(match tries {
        1 => text(name.unwrap_or(STAND_IN)),
        2 => plain(ScalarKind::Integer, "1"),
        3 => text("1s"),
        4 => text("1MiB"),
        5 => plain(ScalarKind::Bool, "true"),
        6 => NodeValue::List(Vec::new()),
        7 => NodeValue::Map(Vec::new()),
        _ => return None,
    })
}

fn joined(path: &[Step], step: Step) -> Path {
    path.iter().cloned().chain([step]).collect()
}

/// Finds the way to a value.
fn find(node: &Node, value: usize, path: &mut Path) -> bool {
    if identity(node) == value {
        return true;
    }
    let mut enter = |step, inner| {
        path.push(step);
        let found = find(inner, value, path);
        if !found {
            path.pop();
        }
        found
    };
    match &node.value {
        NodeValue::Scalar(_) => false,
        NodeValue::List(items) => {
            items.iter().enumerate().any(|(index, item)| enter(Step::Item(index), item))
        }
        NodeValue::Map(entries) => {
            entries.iter().any(|entry| enter(Step::Key(entry.key.clone()), &entry.value))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{ByteSize, Period, SourceFile, Span};
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Config {
        path: String,
        mode: Mode,
        #[serde(default)]
        size: Option<ByteSize>,
        every: Period,
        bounds: Vec<f64>,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        First,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        count: u8,
        name: String,
    }

    enum Tree {
        Scalar(&'static str),
        List(Vec<Tree>),
        Map(Vec<(&'static str, Tree)>),
    }
    use Tree::{List, Map};

    fn node(tree: &Tree, span: &Span) -> Node {
        let value = match tree {
            Tree::Scalar(text) => NodeValue::Scalar(Scalar::plain(*text)),
            List(items) => NodeValue::List(items.iter().map(|item| node(item, span)).collect()),
            Map(entries) => {
                let entry = |(key, value): &(&str, Tree)| Entry {
                    key: (*key).to_owned(),
                    value: Node { key_span: Some(span.clone()), ..node(value, span) },
                };
                NodeValue::Map(entries.iter().map(entry).collect())
            }
        };
        Node::new(span.clone(), value)
    }

    fn reading(tree: &Tree) -> Reading<Config> {
        let file = SourceFile::new("a.yaml", "x");
        read_all(&node(tree, &file.span(0..1)), &[])
    }

    fn messages(reading: &Reading<Config>) -> Vec<&str> {
        reading.problems.iter().map(|problem| problem.message.as_str()).collect()
    }

    fn one(text: &'static str) -> Tree {
        Tree::Scalar(text)
    }

    #[test]
    fn every_mistake_of_every_level_is_found_once_and_the_value_can_be_checked_on() {
        let inner = Map(vec![("much", one("1")), ("name", List(vec![])), ("x", one("1"))]);
        let reading = reading(&Map(vec![
            ("pth", one("/tmp")),
            ("mode", one("frist")),
            ("size", one("big")),
            ("bounds", List(vec![one("1"), one("a"), one("b")])),
            ("inner", inner),
        ]));
        let mut found = messages(&reading);
        found.sort_unstable();
        assert_eq!(
            found,
            [
                "expected a number, found the string `a`",
                "expected a number, found the string `b`",
                "expected a size such as `64MiB`, found `big`",
                "expected a string, found a list",
                "missing key `count`",
                "missing key `every`",
                "unknown key `much`",
                "unknown key `pth`",
                "unknown key `x`",
                "unknown name `frist`",
            ]
        );
        assert!(reading.value.is_some());
    }

    #[test]
    fn what_a_check_says_of_a_stand_in_is_not_said() {
        let reading = reading(&Map(vec![
            ("mode", one("first")),
            ("every", one("1s")),
            ("bounds", List(vec![one("2"), one("1")])),
        ]));
        assert_eq!(messages(&reading), ["missing key `path`"]);
        let of = |message: &str| reading.sifted(vec![Problem::error(message)]).len();
        assert_eq!(of("`bounds` do not ascend"), 1);
        assert_eq!(of("`path` names no file"), 0);
        assert_eq!(of("the file `dpipe_stand_in` has no ending"), 0);
    }

    #[test]
    fn what_is_right_has_no_problem_and_what_is_no_map_has_one() {
        let right = Map(vec![
            ("path", one("/tmp")),
            ("mode", one("first")),
            ("every", one("1s")),
            ("bounds", List(vec![])),
        ]);
        let right = reading(&right);
        assert!(right.value.is_some() && right.problems.is_empty());
        let wrong = reading(&one("5"));
        assert_eq!(messages(&wrong), ["expected a map, found the number `5`"]);
        assert!(wrong.value.is_none());
    }
}
