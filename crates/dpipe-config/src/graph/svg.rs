//! An image: cards in columns, joined by curves.
//!
//! Nothing outside of the file is referred to, colors follow the reader's light or dark scheme,
//! and text is measured by rule of thumb, with room to spare, because fonts differ.

use std::fmt::Write as _;

use super::layout::{Item, Layout, Link, Measures};
use super::{Card, CardKind, Drawing, shortened};

const MARGIN: i64 = 32;
/// Where the column titles end and the cards begin.
const HEAD: i64 = 60;
const GAP: i64 = 20;
const BEND_GAP: i64 = 26;
const STEP_MAX: i64 = 14;
const CHANNEL: i64 = 84;

const PAD_LEFT: i64 = 26;
const PAD_RIGHT: i64 = 18;
const PAD_Y: i64 = 14;
const TITLE_LINE: i64 = 20;
const SUBTITLE_LINE: i64 = 17;
const CHIP_HEIGHT: i64 = 20;
const CHIP_GAP: i64 = 6;
const CHIP_PAD: i64 = 8;
const CHIPS_WIDTH_MAX: i64 = 230;
const CHIP_LINES_MAX: usize = 4;

const TITLE_MAX: usize = 32;
const WORD_MAX: usize = 26;
const LABEL_MAX: usize = 22;

const TITLE_SIZE: f64 = 14.0;
const SMALL_SIZE: f64 = 12.0;
const CHIP_SIZE: f64 = 11.0;

const STYLE: &str = "\
text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}
.page{fill:#fbfbfd}
.head{font-size:11px;font-weight:600;letter-spacing:.09em;fill:#8a93a3}
.card{fill:#fff;stroke:#dfe3ea}
.loose{fill:none;stroke:#b6bdc9;stroke-dasharray:5 4}
.title{font-size:14px;font-weight:600;fill:#151a23}
.about{font-size:12px;fill:#667085}
.chip{fill:#f1f3f7}
.word{font-size:11px;fill:#475467}
.input{fill:#0d9488}.filter{fill:#6366f1}.output{fill:#ea8a1f}.unmatched{fill:#b6bdc9}
.line{fill:none;stroke:#aab2c0;stroke-width:1.5}
.astray{stroke-dasharray:5 4}
.tip{fill:#8a93a3}
.label{font-size:11px;font-weight:500;fill:#475467;stroke:#fbfbfd;stroke-width:5px;stroke-linejoin:round;paint-order:stroke}
@media (prefers-color-scheme:dark){
.page{fill:#0f1218}
.head{fill:#7b8494}
.card{fill:#181c25;stroke:#2b313d}
.loose{stroke:#4a5262}
.title{fill:#eef1f6}
.about{fill:#98a2b3}
.chip{fill:#232935}
.word{fill:#b4bcc9}
.input{fill:#2dd4bf}.filter{fill:#818cf8}.output{fill:#f5a94b}.unmatched{fill:#5b6474}
.line{stroke:#4f586a}
.tip{fill:#7b8494}
.label{fill:#c3cad6;stroke:#0f1218}
}";

pub(super) fn draw(drawing: &Drawing) -> String {
    let faces: Vec<_> = drawing.cards.iter().map(Face::of).collect();
    let card = |card: usize| (faces[card].height, faces[card].height / 2);
    let measures = Measures { card: &card, gap: GAP, bend_gap: BEND_GAP, step_max: STEP_MAX };
    let layout = Layout::of(drawing, &measures);
    let columns = Columns::of(&layout, &faces);

    let (width, height) = (columns.width.max(240), HEAD + layout.height().max(40) + MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"page\" width=\"{width}\" height=\"{height}\"/>\n",
        summary(drawing),
    );
    columns.titles(drawing, &layout, &mut out);
    for link in &layout.links {
        line(link, &layout, &columns, &mut out);
    }
    for link in layout.links.iter().filter(|link| !link.label.is_empty()) {
        label(link, &layout, &columns, &mut out);
    }
    for item in &layout.items {
        if let Some(card) = item.card {
            let (x, width) = columns.place[item.layer];
            faces[card].draw(&drawing.cards[card], (x, item.top + HEAD), width, &mut out);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn summary(drawing: &Drawing) -> String {
    let count = |kind, one: &str| {
        let n = drawing.cards.iter().filter(|card| card.kind == kind).count();
        format!("{n} {one}{}", if n == 1 { "" } else { "s" })
    };
    let (inputs, filters) = (count(CardKind::Input, "input"), count(CardKind::Filter, "filter"));
    format!("Pipeline: {inputs}, {filters}, {}", count(CardKind::Output, "output"))
}

/// Where the columns stand: left edge and width of each.
struct Columns {
    place: Vec<(i64, i64)>,
    width: i64,
}

impl Columns {
    fn of(layout: &Layout, faces: &[Face]) -> Self {
        let mut place = Vec::new();
        let mut x = MARGIN;
        for (layer, items) in layout.layers.iter().enumerate() {
            let cards = items.iter().filter_map(|item| layout.items[*item].card);
            let width = cards.map(|card| faces[card].width).max().unwrap_or(0);
            place.push((x, width));
            let leaving = layout.links.iter().filter(|link| layout.items[link.from].layer == layer);
            let label = leaving.map(|link| text_width(&short_label(link), CHIP_SIZE)).max();
            x += width + CHANNEL + label.unwrap_or(0);
        }
        let width = place.last().map_or(0, |(x, width)| x + width + MARGIN);
        Self { place, width }
    }

    fn titles(&self, drawing: &Drawing, layout: &Layout, out: &mut String) {
        let mut before = "";
        for (layer, (x, _)) in self.place.iter().enumerate() {
            let cards = layout.layers[layer].iter().filter_map(|item| layout.items[*item].card);
            let title = match cards.map(|card| drawing.cards[card].kind).next() {
                Some(CardKind::Input) => "INPUTS",
                Some(CardKind::Filter) => "FILTERS",
                Some(CardKind::Output | CardKind::Unmatched) => "OUTPUTS",
                None => "",
            };
            if title != before && !title.is_empty() {
                let y = HEAD - 22;
                let _ = writeln!(out, "<text class=\"head\" x=\"{x}\" y=\"{y}\">{title}</text>");
                before = title;
            }
        }
    }

    /// Where lines leave an item, to the right.
    fn leave(&self, item: &Item) -> (i64, i64) {
        let (x, width) = self.place[item.layer];
        (x + width, item.port() + HEAD)
    }

    /// Where lines arrive at an item, from the left.
    fn arrive(&self, item: &Item) -> (i64, i64) {
        (self.place[item.layer].0, item.port() + HEAD)
    }
}

fn line(link: &Link, layout: &Layout, columns: &Columns, out: &mut String) {
    let to = &layout.items[link.to];
    let (x1, y1) = columns.leave(&layout.items[link.from]);
    let (x2, y2) = columns.arrive(to);
    let class = if link.unmatched { "line astray" } else { "line" };
    // A curve ends short of a card, for the tip; at a bend it runs on below the column.
    let (end, on) = match to.card {
        Some(_) => (x2 - 7, String::new()),
        None => (x2, format!("H{}", columns.leave(to).0)),
    };
    let path = if y1 == y2 {
        format!("M{x1} {y1}H{end}{on}")
    } else {
        let middle = x1.midpoint(end);
        format!("M{x1} {y1}C{middle} {y1} {middle} {y2} {end} {y2}{on}")
    };
    let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\"/>");
    if to.card.is_some() {
        let (back, up, down) = (x2 - 9, y2 - 4, y2 + 4);
        let x2 = x2 - 1;
        let _ = writeln!(out, "<path class=\"tip\" d=\"M{back} {up}L{x2} {y2}L{back} {down}Z\"/>");
    }
}

fn label(link: &Link, layout: &Layout, columns: &Columns, out: &mut String) {
    let (x1, y1) = columns.leave(&layout.items[link.from]);
    let (x2, y2) = columns.arrive(&layout.items[link.to]);
    // Two thirds along the curve, where lines that left together have parted.
    let x = x1 + (x2 - x1) * 64 / 100;
    let y = y1 + (y2 - y1) * 76 / 100 + 4;
    let text = escaped(&short_label(link));
    let _ = writeln!(
        out,
        "<text class=\"label\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{text}</text>"
    );
}

fn short_label(link: &Link) -> String {
    shortened(&link.label, LABEL_MAX)
}

/// What stands on a card, measured.
struct Face {
    width: i64,
    height: i64,
    chips: Vec<Chip>,
}

struct Chip {
    x: i64,
    line: usize,
    width: i64,
    text: String,
}

impl Face {
    fn of(card: &Card) -> Self {
        let chips = chips(&card.detail);
        let title = text_width(&shortened(&card.title, TITLE_MAX), TITLE_SIZE) * 108 / 100;
        let subtitle = text_width(&shortened(&card.subtitle, TITLE_MAX), SMALL_SIZE);
        let row = chips.iter().map(|chip| chip.x + chip.width).max().unwrap_or(0);
        let lines = chips.last().map_or(0, |chip| as_pixels(chip.line) + 1);
        let mut height = 2 * PAD_Y + TITLE_LINE;
        if !card.subtitle.is_empty() {
            height += SUBTITLE_LINE;
        }
        if lines > 0 {
            height += lines * (CHIP_HEIGHT + CHIP_GAP);
        }
        let width = title.max(subtitle).max(row).max(84) + PAD_LEFT + PAD_RIGHT;
        Self { width, height, chips }
    }

    fn draw(&self, card: &Card, (x, y): (i64, i64), width: i64, out: &mut String) {
        let (frame, kind) = match card.kind {
            CardKind::Input => ("card", "input"),
            CardKind::Filter => ("card", "filter"),
            CardKind::Output => ("card", "output"),
            CardKind::Unmatched => ("loose", "unmatched"),
        };
        let height = self.height;
        let _ = writeln!(
            out,
            "<rect class=\"{frame}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>\n\
             <rect class=\"{kind}\" x=\"{}\" y=\"{}\" width=\"4\" height=\"{}\" rx=\"2\"/>",
            x + 11,
            y + PAD_Y,
            height - 2 * PAD_Y,
        );
        let left = x + PAD_LEFT;
        let mut line = y + PAD_Y + 14;
        let title = escaped(&shortened(&card.title, TITLE_MAX));
        let _ = writeln!(out, "<text class=\"title\" x=\"{left}\" y=\"{line}\">{title}</text>");
        if !card.subtitle.is_empty() {
            line += SUBTITLE_LINE + 1;
            let about = escaped(&shortened(&card.subtitle, TITLE_MAX));
            let _ = writeln!(out, "<text class=\"about\" x=\"{left}\" y=\"{line}\">{about}</text>");
        }
        for chip in &self.chips {
            let (x, y) =
                (left + chip.x, line + 10 + as_pixels(chip.line) * (CHIP_HEIGHT + CHIP_GAP));
            let text = escaped(&chip.text);
            let _ = writeln!(
                out,
                "<rect class=\"chip\" x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{CHIP_HEIGHT}\" rx=\"6\"/>\
                 <text class=\"word\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
                chip.width,
                x + chip.width / 2,
                y + 14,
            );
        }
    }
}

/// Words side by side, in as few lines as their order lets them.
fn chips(words: &[String]) -> Vec<Chip> {
    let mut chips = Vec::new();
    let (mut x, mut line) = (0, 0);
    for (n, word) in words.iter().enumerate() {
        let mut text = shortened(word, WORD_MAX);
        let mut width = text_width(&text, CHIP_SIZE) + 2 * CHIP_PAD;
        if x > 0 && x + width > CHIPS_WIDTH_MAX {
            (x, line) = (0, line + 1);
        }
        let last = line + 1 == CHIP_LINES_MAX && n + 1 < words.len();
        if last && x + width + 60 > CHIPS_WIDTH_MAX {
            text = format!("+{}", words.len() - n);
            width = text_width(&text, CHIP_SIZE) + 2 * CHIP_PAD;
            chips.push(Chip { x, line, width, text });
            break;
        }
        chips.push(Chip { x, line, width, text });
        x += width + CHIP_GAP;
    }
    chips
}

fn as_pixels(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The width of a text in pixels, in a common sans-serif font.
#[allow(clippy::cast_possible_truncation, reason = "a text is not that long")]
fn text_width(text: &str, size: f64) -> i64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' => 0.30,
        'f' | 't' | 'r' | ' ' | '-' | '(' | ')' | '[' | ']' | '/' | '·' => 0.38,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.90,
        'A'..='Z' => 0.70,
        _ if c.is_ascii() || c.is_alphabetic() && c < '\u{1100}' => 0.58,
        _ => 1.0,
    };
    (text.chars().map(em).sum::<f64>() * size).ceil() as i64
}

/// Control characters, which no XML may hold, were replaced where the cards were made.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}
