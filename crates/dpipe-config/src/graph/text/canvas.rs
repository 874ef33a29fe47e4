//! A grid of characters in which lines join.

use super::super::CardKind;

/// The directions in which a line leaves a cell.
pub(super) const UP: u8 = 1;
pub(super) const DOWN: u8 = 2;
pub(super) const LEFT: u8 = 4;
pub(super) const RIGHT: u8 = 8;

#[derive(Clone, Copy, Default)]
struct Cell {
    lying: u8,
    upright: u8,
    /// Whether the upright line here belongs to the lying one.
    joined: bool,
    over: Option<char>,
}

impl Cell {
    fn char(self) -> char {
        let mask = match (self.lying, self.upright) {
            _ if self.over.is_some() => return self.over.unwrap_or(' '),
            (lying, upright) if self.joined || upright == 0 => lying | upright,
            // The lying line passes below.
            (_, upright) => upright,
        };
        match mask {
            0 => ' ',
            m if m & (UP | DOWN) == 0 => '─',
            m if m & (LEFT | RIGHT) == 0 => '│',
            m => match (m & UP > 0, m & DOWN > 0, m & LEFT > 0, m & RIGHT > 0) {
                (true, true, true, true) => '┼',
                (true, true, true, false) => '┤',
                (true, true, false, _) => '├',
                (true, false, true, true) => '┴',
                (true, false, true, false) => '╯',
                (true, false, false, _) => '╰',
                (false, _, true, true) => '┬',
                (false, _, true, false) => '╮',
                (false, ..) => '╭',
            },
        }
    }
}

pub(super) struct Canvas {
    rows: Vec<Vec<Cell>>,
}

impl Canvas {
    pub(super) fn new(height: usize) -> Self {
        Self { rows: vec![Vec::new(); height] }
    }

    fn cell(&mut self, x: usize, row: usize) -> &mut Cell {
        let cells = &mut self.rows[row];
        if cells.len() <= x {
            cells.resize(x + 1, Cell::default());
        }
        &mut cells[x]
    }

    pub(super) fn put(&mut self, x: usize, row: usize, c: char) {
        self.cell(x, row).over = Some(c);
    }

    pub(super) fn line(&mut self, x: usize, row: usize, mask: u8) {
        self.cell(x, row).lying |= mask;
    }

    pub(super) fn upright(&mut self, x: usize, row: usize, mask: u8, joined: bool) {
        let cell = self.cell(x, row);
        cell.upright |= mask;
        cell.joined |= joined;
    }

    pub(super) fn frame(
        &mut self,
        left: usize,
        top: usize,
        width: usize,
        lines: &[String],
        kind: CardKind,
    ) {
        let across = if kind == CardKind::Unmatched { '╌' } else { '─' };
        let down = if kind == CardKind::Unmatched { '╎' } else { '│' };
        let (right, bottom) = (left + width - 1, top + lines.len() + 1);
        for x in left + 1..right {
            self.put(x, top, across);
            self.put(x, bottom, across);
        }
        for (corner, x, row) in
            [('╭', left, top), ('╮', right, top), ('╰', left, bottom), ('╯', right, bottom)]
        {
            self.put(x, row, corner);
        }
        for (n, line) in lines.iter().enumerate() {
            self.put(left, top + 1 + n, down);
            self.put(right, top + 1 + n, down);
            line.chars().enumerate().for_each(|(x, c)| self.put(left + 2 + x, top + 1 + n, c));
        }
    }

    pub(super) fn finish(self) -> String {
        let mut out = String::new();
        for row in self.rows {
            let line: String = row.into_iter().map(Cell::char).collect();
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}
