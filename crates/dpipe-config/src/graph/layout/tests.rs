use super::super::{Arrow, Card};
use super::*;

/// A drawing of filters only, between inputs and outputs, from pairs of indices.
fn drawing(kinds: &[CardKind], arrows: &[(usize, usize)]) -> Drawing {
    let card = |kind: &CardKind| Card {
        kind: *kind,
        title: String::new(),
        subtitle: String::new(),
        detail: Vec::new(),
    };
    let arrow = |(from, to): &(usize, usize)| Arrow { from: *from, to: *to, label: String::new() };
    Drawing { cards: kinds.iter().map(card).collect(), arrows: arrows.iter().map(arrow).collect() }
}

fn laid_out(kinds: &[CardKind], arrows: &[(usize, usize)]) -> Layout {
    let card = |card: usize| (3 + i64::try_from(card % 3).unwrap(), 1);
    let measures = Measures { card: &card, gap: 1, bend_gap: 1, step_max: 2 };
    Layout::of(&drawing(kinds, arrows), &measures)
}

use CardKind::{Filter, Input, Output};

#[test]
fn inputs_come_first_outputs_last_and_filters_by_their_longest_path() {
    let kinds = [Input, Filter, Filter, Output, Output];
    let layout = laid_out(&kinds, &[(0, 1), (1, 2), (2, 3), (0, 4)]);
    let layers: Vec<_> = layout.items[..5].iter().map(|item| item.layer).collect();
    assert_eq!(layers, [0, 1, 2, 3, 3]);
    // The arrow over two layers bends in both.
    assert_eq!(layout.items.len(), 7);
    assert_eq!(layout.links.len(), 6);
}

#[test]
fn a_chain_is_a_straight_line() {
    let layout = laid_out(&[Input, Filter, Output], &[(0, 1), (1, 2)]);
    let ports: Vec<_> = layout.items.iter().map(Item::port).collect();
    assert_eq!(ports, [1, 1, 1]);
}

#[test]
fn arrows_that_need_not_cross_do_not() {
    let kinds = [Input, Input, Input, Output, Output, Output];
    let layout = laid_out(&kinds, &[(0, 5), (1, 4), (2, 3)]);
    assert_eq!(layout.crossings(), 0);
}

#[test]
fn nothing_in_a_layer_overlaps_whatever_the_arrows() {
    let kinds: Vec<_> = [Input, Filter, Output].iter().flat_map(|kind| [*kind; 8]).collect();
    // Some regular disorder.
    let near = (0..24).map(|n| (n * 5 % 8, 8 + n * 7 % 8));
    let far = (0..24).map(|n| (n * 3 % 16, 16 + n * 11 % 8));
    let arrows: Vec<_> = near.chain(far).collect();
    let layout = laid_out(&kinds, &arrows);
    for layer in &layout.layers {
        for pair in layer.windows(2) {
            let (above, below) = (&layout.items[pair[0]], &layout.items[pair[1]]);
            assert!(below.top > above.top + above.height, "{} {}", above.top, below.top);
        }
    }
    assert!(layout.items.iter().all(|item| item.top >= 0));
}
