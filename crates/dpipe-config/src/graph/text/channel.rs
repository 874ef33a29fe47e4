//! The lines between two layers.
//!
//! Each publisher whose lines turn has an upright track of its own, from which a line leads to
//! each consumer. A line that crosses a foreign track passes below it (`─│─`); a joint is always
//! drawn as one (`┬ ┼ ╰`). Lines join on their way to a consumer only if none of them also leads
//! elsewhere; else they enter it one below the other. So a picture can be read in one way only,
//! unless a consumer has more such publishers than lines in its box.

use super::super::layout::Layout;
use super::super::shortened;
use super::canvas::{Canvas, DOWN, LEFT, RIGHT, UP};
use super::to_row;

const LABEL_MAX: usize = 20;

/// All lines that leave one item for the next layer.
struct Net {
    from: usize,
    row: usize,
    lines: Vec<Line>,
    /// The column, counted in tracks, of the upright piece; a line that runs straight has none.
    track: Option<usize>,
}

struct Line {
    to: usize,
    row: usize,
    label: String,
}

impl Net {
    /// The items it leads to, sorted.
    fn consumers(&self) -> Vec<usize> {
        let mut consumers: Vec<_> = self.lines.iter().map(|line| line.to).collect();
        consumers.sort_unstable();
        consumers
    }

    fn leads_to(&self, row: usize) -> bool {
        self.lines.iter().any(|line| line.row == row)
    }

    fn turns(&self) -> bool {
        self.lines.iter().any(|line| line.row != self.row)
    }

    /// The rows from which to which its upright piece runs.
    fn span(&self) -> (usize, usize) {
        let rows = || self.lines.iter().map(|line| line.row).chain([self.row]);
        (rows().min().unwrap_or(self.row), rows().max().unwrap_or(self.row))
    }

    /// Whether this track must lie left of another's. The line out of a publisher must not run
    /// into one that arrives in the same row; and who leads to one consumer only joins a line
    /// behind the fork of who leads to several.
    fn before(&self, other: &Net) -> bool {
        let joins = || self.lines.iter().any(|line| other.leads_to(line.row));
        self.from != other.from
            && (other.leads_to(self.row)
                || self.lines.len() > 1 && other.lines.len() == 1 && joins())
    }

    fn overlaps(&self, other: &Net) -> bool {
        let ((a, b), (c, d)) = (self.span(), other.span());
        a <= d && c <= b
    }
}

/// A place where lines enter a consumer.
struct Entry {
    to: usize,
    row: usize,
    label: String,
}

pub(super) struct Channel {
    nets: Vec<Net>,
    entries: Vec<Entry>,
    tracks: usize,
    label_width: usize,
}

impl Channel {
    /// The channel to the right of a layer.
    pub(super) fn of(layout: &Layout, layer: usize) -> Self {
        let mut nets: Vec<Net> = Vec::new();
        for from in &layout.layers[layer] {
            let lines: Vec<_> = layout
                .links
                .iter()
                .filter(|link| link.from == *from)
                .map(|link| Line { to: link.to, row: 0, label: link.label.clone() })
                .collect();
            if !lines.is_empty() {
                let row = to_row(layout.items[*from].port());
                nets.push(Net { from: *from, row, lines, track: None });
            }
        }
        for to in &layout.layers[layer + 1] {
            choose_rows(&mut nets, *to, layout);
        }
        let tracks = choose_tracks(&mut nets);
        let entries = entries(&nets);
        let label_width = entries.iter().map(|entry| entry.label.chars().count()).max();
        Self { nets, entries, tracks, label_width: label_width.unwrap_or(0) }
    }

    pub(super) fn width(&self) -> usize {
        // A pad, the tracks with a space beside each, the labels, and the arrow.
        2 + 2 * self.tracks + if self.label_width > 0 { self.label_width + 3 } else { 1 }
    }

    pub(super) fn draw(&self, layout: &Layout, canvas: &mut Canvas, left: usize) {
        let right = left + self.width();
        for net in &self.nets {
            let turn = net.track.map_or(left, |track| left + 1 + 2 * track);
            (left..turn).for_each(|x| canvas.line(x, net.row, LEFT | RIGHT));
            if net.track.is_some() {
                let (top, bottom) = net.span();
                canvas.line(turn, net.row, LEFT);
                for row in top..=bottom {
                    let mask = if row > top { UP } else { 0 } | if row < bottom { DOWN } else { 0 };
                    canvas.upright(turn, row, mask, row == net.row || net.leads_to(row));
                }
            }
            for line in &net.lines {
                canvas.line(turn, line.row, RIGHT | if net.track.is_none() { LEFT } else { 0 });
                (turn + 1..right).for_each(|x| canvas.line(x, line.row, LEFT | RIGHT));
            }
            if layout.items[net.from].card.is_some() {
                canvas.put(left - 1, net.row, '├');
            }
        }
        for entry in &self.entries {
            if !entry.label.is_empty() {
                let text = format!(" {} ", entry.label);
                let at = right - 1 - text.chars().count();
                text.chars().enumerate().for_each(|(n, c)| canvas.put(at + n, entry.row, c));
            }
            if layout.items[entry.to].card.is_some() {
                canvas.put(right - 1, entry.row, '▶');
            }
        }
    }
}

/// Chooses the rows in which the lines to one consumer enter it.
fn choose_rows(nets: &mut [Net], to: usize, layout: &Layout) {
    let item = &layout.items[to];
    let port = to_row(item.port());
    // A box has as many rows to enter as it has lines; a bend has one.
    let rows = if item.card.is_some() { to_row(item.height).saturating_sub(2).max(1) } else { 1 };

    let feeding = |net: &&Net| net.lines.iter().any(|line| line.to == to);
    // Those that lead nowhere else may join, as may those that lead to the same consumers.
    let mut groups: Vec<Vec<usize>> = nets.iter().filter(feeding).map(Net::consumers).collect();
    groups.sort();
    groups.dedup();
    let row_of = |group: &Vec<usize>| {
        let members = nets.iter().filter(|net| net.consumers() == *group);
        let rows: Vec<_> = members.map(|net| net.row).collect();
        // A line that can run straight comes first; the others by where they come from.
        (!rows.contains(&port), rows.iter().sum::<usize>() / rows.len().max(1))
    };
    groups.sort_by_cached_key(row_of);
    for net in nets {
        let group = net.consumers();
        let place = groups.iter().position(|known| *known == group).unwrap_or(0);
        for line in net.lines.iter_mut().filter(|line| line.to == to) {
            line.row = port + place.min(rows - 1);
        }
    }
}

/// Gives every net that turns its track, and says how many there are.
fn choose_tracks(nets: &mut [Net]) -> usize {
    let mut open: Vec<usize> = (0..nets.len()).filter(|n| nets[*n].turns()).collect();
    let mut tracks = 0;
    while !open.is_empty() {
        let free = |n: &usize| !open.iter().any(|other| nets[*other].before(&nets[*n]));
        // In a circle of such demands one of them cannot be met.
        let next = open.iter().position(free).unwrap_or(0);
        let n = open.remove(next);
        let least = |other: &Net| match other.track {
            Some(track) if other.before(&nets[n]) || other.overlaps(&nets[n]) => track + 1,
            _ => 0,
        };
        let track = nets.iter().map(least).max().unwrap_or(0);
        nets[n].track = Some(track);
        tracks = tracks.max(track + 1);
    }
    tracks
}

fn entries(nets: &[Net]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in nets.iter().flat_map(|net| &net.lines) {
        match entries.iter_mut().find(|entry| entry.row == line.row) {
            Some(entry) if line.label.is_empty() || entry.label.contains(&line.label) => {}
            Some(entry) if entry.label.is_empty() => entry.label.clone_from(&line.label),
            Some(entry) => entry.label = format!("{}, {}", entry.label, line.label),
            None => {
                entries.push(Entry { to: line.to, row: line.row, label: line.label.clone() });
            }
        }
    }
    entries.iter_mut().for_each(|entry| entry.label = shortened(&entry.label, LABEL_MAX));
    entries
}
