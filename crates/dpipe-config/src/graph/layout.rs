//! Where the cards go: the layered drawing of Sugiyama, Tagawa and Toda (1981).
//!
//! Every card gets a layer by its longest path from the inputs; arrows over several layers get a
//! bend in each; layers are ordered by barycenters so that few arrows cross; and cards move as
//! near to the middle of their neighbors as their order lets them.
//!
//! Layers are columns here, and so "top" and "height" are what is laid out. Units are the
//! caller's: characters for a terminal, pixels for an image.

use super::{CardKind, Drawing};

/// Orderings tried; the best is kept.
const ORDERINGS: usize = 24;
/// How often cards move towards their neighbors; positions have settled long before.
const MOVES: usize = 16;

/// A card, or a bend of an arrow, in a layer.
pub(super) struct Item {
    /// The card, unless this is a bend.
    pub(super) card: Option<usize>,
    pub(super) layer: usize,
    pub(super) top: i64,
    pub(super) height: i64,
    /// Where arrows come and go, from the top.
    pub(super) port: i64,
    /// Whether only what nobody consumes passes here.
    pub(super) unmatched: bool,
}

impl Item {
    /// Where arrows come and go.
    pub(super) fn port(&self) -> i64 {
        self.top + self.port
    }
}

/// A piece of an arrow, from an item to one of the next layer.
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The label of the arrow, on its first piece.
    pub(super) label: String,
    pub(super) unmatched: bool,
}

pub(super) struct Layout {
    pub(super) items: Vec<Item>,
    /// The items of each layer from top to bottom.
    pub(super) layers: Vec<Vec<usize>>,
    pub(super) links: Vec<Link>,
}

/// What the layout must know of a drawing's measures.
pub(super) struct Measures<'a> {
    /// Height and port of a card.
    pub(super) card: &'a dyn Fn(usize) -> (i64, i64),
    /// The space below a card.
    pub(super) gap: i64,
    /// The space between a bend and its neighbor.
    pub(super) bend_gap: i64,
    /// Steps in a line that are smaller than this are evened out, where there is room.
    pub(super) step_max: i64,
}

impl Layout {
    pub(super) fn of(drawing: &Drawing, measures: &Measures<'_>) -> Self {
        let mut layout = Self::layered(drawing, measures);
        layout.order();
        layout.place(measures);
        layout
    }

    /// The lowest end of all items.
    pub(super) fn height(&self) -> i64 {
        self.items.iter().map(|item| item.top + item.height).max().unwrap_or(0)
    }

    fn layered(drawing: &Drawing, measures: &Measures<'_>) -> Self {
        let layer_of = layers(drawing);
        let mut items: Vec<Item> = Vec::new();
        for (card, layer) in layer_of.iter().enumerate() {
            let (height, port) = (measures.card)(card);
            let unmatched = drawing.cards[card].kind == CardKind::Unmatched;
            items.push(Item { card: Some(card), layer: *layer, top: 0, height, port, unmatched });
        }
        let mut links: Vec<Link> = Vec::new();
        // Arrows of one publisher with one label share their bends, as one trunk.
        let mut bends: Vec<(usize, &str, usize, usize)> = Vec::new();
        for arrow in &drawing.arrows {
            let unmatched = drawing.is_unmatched(arrow);
            let (mut at, mut label) = (arrow.from, arrow.label.clone());
            for layer in layer_of[arrow.from] + 1..layer_of[arrow.to] {
                let known = bends.iter().find(|(from, label, at, item)| {
                    (*from, *label, *at) == (arrow.from, &arrow.label, layer)
                        && items[*item].unmatched == unmatched
                });
                let bend = match known {
                    Some((.., bend)) => *bend,
                    None => {
                        let bend = items.len();
                        items.push(Item {
                            card: None,
                            layer,
                            top: 0,
                            height: 1,
                            port: 0,
                            unmatched,
                        });
                        bends.push((arrow.from, &arrow.label, layer, bend));
                        links.push(Link { from: at, to: bend, label: label.clone(), unmatched });
                        bend
                    }
                };
                at = bend;
                label.clear();
            }
            // Circles do not get this far in a checked plan; a picture of one lacks an arrow.
            if layer_of[arrow.from] < layer_of[arrow.to] {
                links.push(Link { from: at, to: arrow.to, label, unmatched });
            }
        }
        let depth = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
        let mut layers = vec![Vec::new(); depth];
        for (n, item) in items.iter().enumerate() {
            layers[item.layer].push(n);
        }
        Self { items, layers, links }
    }

    fn order(&mut self) {
        let mut best = self.layers.clone();
        let mut fewest = self.crossings();
        for round in 0..ORDERINGS {
            if fewest == 0 {
                break;
            }
            let forward = round % 2 == 0;
            let depth = self.layers.len();
            for n in 1..depth {
                let layer = if forward { n } else { depth - 1 - n };
                let beside = if forward { layer - 1 } else { layer + 1 };
                self.sort_by_neighbors(layer, beside);
            }
            let crossings = self.crossings();
            if crossings < fewest {
                fewest = crossings;
                best.clone_from(&self.layers);
            }
        }
        self.layers = best;
    }

    /// Orders a layer by the middle of each item's neighbors in the layer beside it.
    #[allow(clippy::cast_precision_loss, reason = "positions in a picture")]
    fn sort_by_neighbors(&mut self, layer: usize, beside: usize) {
        let ranks = self.ranks();
        let center = |item: &usize| {
            let near: Vec<_> = self.neighbors(*item, beside).map(|other| ranks[other]).collect();
            match near.len() {
                0 => ranks[*item] as f64,
                n => near.iter().sum::<usize>() as f64 / n as f64,
            }
        };
        let mut keyed: Vec<_> =
            self.layers[layer].iter().map(|item| (center(item), *item)).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.layers[layer] = keyed.into_iter().map(|(_, item)| item).collect();
    }

    fn neighbors(&self, item: usize, layer: usize) -> impl Iterator<Item = usize> {
        self.links.iter().filter_map(move |link| {
            let other = match item {
                _ if link.from == item => link.to,
                _ if link.to == item => link.from,
                _ => return None,
            };
            (self.items[other].layer == layer).then_some(other)
        })
    }

    /// The place of every item within its layer.
    fn ranks(&self) -> Vec<usize> {
        let mut ranks = vec![0; self.items.len()];
        for layer in &self.layers {
            for (rank, item) in layer.iter().enumerate() {
                ranks[*item] = rank;
            }
        }
        ranks
    }

    fn crossings(&self) -> usize {
        let ranks = self.ranks();
        let mut crossings = 0;
        for layer in 0..self.layers.len() {
            let mut pairs: Vec<_> = self
                .links
                .iter()
                .filter(|link| self.items[link.from].layer == layer)
                .map(|link| (ranks[link.from], ranks[link.to]))
                .collect();
            pairs.sort_unstable();
            // The inversions of the right ends, by insertion.
            let mut seen: Vec<usize> = Vec::with_capacity(pairs.len());
            for (_, right) in pairs {
                let at = seen.partition_point(|other| *other <= right);
                crossings += seen.len() - at;
                seen.insert(at, right);
            }
        }
        crossings
    }

    #[allow(clippy::cast_precision_loss, reason = "positions in a picture")]
    fn place(&mut self, measures: &Measures<'_>) {
        for layer in self.layers.clone() {
            let wanted = vec![0.0; layer.len()];
            self.settle(&layer, &wanted, measures);
        }
        let depth = self.layers.len();
        for round in 0..MOVES {
            let forward = round % 2 == 1;
            for n in 1..depth {
                let layer = if forward { n } else { depth - 1 - n };
                let beside = if forward { layer - 1 } else { layer + 1 };
                let items = self.layers[layer].clone();
                let wanted: Vec<_> = items
                    .iter()
                    .map(|item| {
                        let mut near: Vec<_> =
                            self.neighbors(*item, beside).map(|n| self.items[n].port()).collect();
                        near.sort_unstable();
                        let Item { top, port, .. } = self.items[*item];
                        match near.len() {
                            0 => top as f64,
                            n => (near[(n - 1) / 2] + near[n / 2]) as f64 / 2.0 - port as f64,
                        }
                    })
                    .collect();
                self.settle(&items, &wanted, measures);
            }
        }
        self.straighten(measures);
        let top = self.items.iter().map(|item| item.top).min().unwrap_or(0);
        self.items.iter_mut().for_each(|item| item.top -= top);
    }

    /// Moves items by a little where that makes a line straight.
    fn straighten(&mut self, measures: &Measures<'_>) {
        for layer in self.layers.clone() {
            for (n, item) in layer.iter().enumerate() {
                let arriving = self.links.iter().filter(|link| link.to == *item);
                let steps =
                    arriving.map(|link| self.items[link.from].port() - self.items[*item].port());
                let Some(step) = steps.min_by_key(|step| step.abs()) else { continue };
                if step == 0 || step.abs() > measures.step_max {
                    continue;
                }
                let top = self.items[*item].top + step;
                let above = n.checked_sub(1).map(|above| layer[above]);
                let room_above = above.is_none_or(|above| {
                    top >= self.items[above].top + self.pitch(above, Some(*item), measures)
                });
                let below = layer.get(n + 1).copied();
                let room_below = below.is_none_or(|below| {
                    self.items[below].top >= top + self.pitch(*item, Some(below), measures)
                });
                if room_above && room_below {
                    self.items[*item].top = top;
                }
            }
        }
    }

    /// How far below an item's top the next one in its layer may begin.
    fn pitch(&self, item: usize, below: Option<usize>, measures: &Measures<'_>) -> i64 {
        let bend = |item: usize| self.items[item].card.is_none();
        let gap =
            if bend(item) || below.is_some_and(bend) { measures.bend_gap } else { measures.gap };
        self.items[item].height + gap
    }

    /// Puts the items of a layer as near to where they are wanted as order and gaps let them: an
    /// isotonic regression, by pooling adjacent violators.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a picture")]
    fn settle(&mut self, layer: &[usize], wanted: &[f64], measures: &Measures<'_>) {
        // The top each item would have if all were pushed up to the first.
        let mut packed = Vec::with_capacity(layer.len());
        let mut next = 0;
        for (n, item) in layer.iter().enumerate() {
            packed.push(next);
            next += self.pitch(*item, layer.get(n + 1).copied(), measures);
        }
        let mut blocks: Vec<(f64, usize)> = Vec::new();
        for (wanted, packed) in wanted.iter().zip(&packed) {
            let mut block = (wanted - *packed as f64, 1);
            while let Some((sum, count)) =
                blocks.pop_if(|(sum, count)| *sum / *count as f64 > block.0 / block.1 as f64)
            {
                block = (block.0 + sum, block.1 + count);
            }
            blocks.push(block);
        }
        let shifts = blocks.into_iter().flat_map(|(sum, count)| {
            std::iter::repeat_n((sum / count as f64).round() as i64, count)
        });
        for ((item, packed), shift) in layer.iter().zip(packed).zip(shifts) {
            self.items[*item].top = packed + shift;
        }
    }
}

/// The layer of every card: inputs first, outputs last, filters by their longest path.
fn layers(drawing: &Drawing) -> Vec<usize> {
    let kind = |card: usize| drawing.cards[card].kind;
    let filter = |card: &usize| kind(*card) == CardKind::Filter;
    let cards = 0..drawing.cards.len();
    let mut layers: Vec<_> = cards.clone().map(|card| usize::from(filter(&card))).collect();
    // As many rounds as there are filters settle every path; a circle stops growing then.
    for _ in cards.clone().filter(filter) {
        let mut settled = true;
        for arrow in drawing.arrows.iter().filter(|arrow| filter(&arrow.to)) {
            if layers[arrow.to] <= layers[arrow.from] {
                layers[arrow.to] = layers[arrow.from] + 1;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    let last = layers.iter().max().map_or(0, |layer| layer + 1);
    for card in cards {
        if matches!(kind(card), CardKind::Output | CardKind::Unmatched) {
            layers[card] = last;
        }
    }
    layers
}

#[cfg(test)]
mod tests;
