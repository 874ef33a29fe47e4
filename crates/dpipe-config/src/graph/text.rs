//! Boxes and lines for a terminal.
//!
//! Between two layers runs a channel with the lines.

mod canvas;
mod channel;

use std::fmt::Write as _;

use super::layout::{Layout, Measures};
use super::{Card, Drawing, shortened, wrapped};

use canvas::Canvas;
use channel::Channel;

const TITLE_MAX: usize = 30;
const DETAIL_WIDTH_MAX: usize = 26;
const DETAIL_LINES_MAX: usize = 4;

pub(super) fn draw(drawing: &Drawing) -> String {
    if drawing.cards.is_empty() {
        return "the pipeline is empty\n".to_owned();
    }
    let boxes: Vec<_> = drawing.cards.iter().map(lines).collect();
    let card = |card: usize| (to_signed(boxes[card].len()) + 2, 1);
    let layout = Layout::of(drawing, &Measures { card: &card, gap: 1, bend_gap: 1, step_max: 2 });

    let widths: Vec<_> = layout
        .layers
        .iter()
        .map(|layer| {
            let cards = layer.iter().filter_map(|item| layout.items[*item].card);
            let width = |line: &String| line.chars().count() + 4;
            cards.flat_map(|card| boxes[card].iter().map(width)).max().unwrap_or(1)
        })
        .collect();
    let channels: Vec<_> =
        (1..layout.layers.len()).map(|right| Channel::of(&layout, right - 1)).collect();

    let height = usize::try_from(layout.height()).unwrap_or(0);
    let mut canvas = Canvas::new(height);
    let mut heading = String::new();
    let mut left = 0;
    for (layer, width) in widths.iter().enumerate() {
        let title = match layer {
            0 => "inputs",
            _ if layer + 1 == widths.len() => "outputs",
            1 => "filters",
            _ => "",
        };
        let _ =
            write!(heading, "{:pad$}{title}", "", pad = left.max(heading.len()) - heading.len());
        for item in layout.layers[layer].iter().map(|item| &layout.items[*item]) {
            let row = to_row(item.top);
            match item.card {
                Some(card) => {
                    canvas.frame(left, row, *width, &boxes[card], drawing.cards[card].kind);
                }
                None => (left..left + width).for_each(|x| canvas.put(x, row, '─')),
            }
        }
        left += width;
        if let Some(channel) = channels.get(layer) {
            channel.draw(&layout, &mut canvas, left);
            left += channel.width();
        }
    }
    format!("{heading}\n{}", canvas.finish())
}

/// What stands in a card's box.
fn lines(card: &Card) -> Vec<String> {
    let mut lines = vec![shortened(&card.title, TITLE_MAX)];
    if !card.subtitle.is_empty() {
        lines.push(shortened(&card.subtitle, TITLE_MAX));
    }
    let words: Vec<_> = card.detail.iter().map(|word| shortened(word, DETAIL_WIDTH_MAX)).collect();
    let width = |line: &str| line.chars().count();
    lines.extend(wrapped(&words, " → ", DETAIL_WIDTH_MAX, DETAIL_LINES_MAX, width));
    lines
}

fn to_signed(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn to_row(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}
