use super::*;

/// A graph from lines: `input NAME PLUGIN [TENANT]`, `filter NAME STEP…`, `output NAME PLUGIN`,
/// `FROM > TO [TAG]` and `FROM > ? TAG`.
fn graph(text: &str) -> Graph {
    let mut graph = Graph::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<_> = line.split_whitespace().collect();
        let node = |name: &str| graph.nodes.iter().position(|node| node.name == name);
        if words[1] == ">" {
            let from = node(words[0]).unwrap();
            let tag = (*words.get(3).unwrap_or(&words[0])).to_owned();
            match words[2] {
                "?" => graph.unmatched.push(UnmatchedTag { from, tag }),
                to => graph.edges.push(GraphEdge { from, to: node(to).unwrap(), tag }),
            }
            continue;
        }
        let (kind, plugin) = match words[0] {
            "input" => (GraphKind::Input, words[2]),
            "filter" => (GraphKind::Filter, "steps"),
            _ => (GraphKind::Output, words[2]),
        };
        let filter = kind == GraphKind::Filter;
        let detail = words.iter().skip(2).filter(|_| filter).map(ToString::to_string).collect();
        let tenant = words.get(3).filter(|_| !filter).map(ToString::to_string);
        let (name, plugin) = (words[1].to_owned(), plugin.to_owned());
        graph.nodes.push(GraphNode { name, kind, plugin, detail, tenant });
    }
    graph
}

const DECORATED: &str = "
    input rs_logs file rs
    input history archive rs
    filter decorated geoip currency bucket normalize remove drop
    filter pv_stats stats
    output search index
    output copy file
    rs_logs > decorated
    history > decorated
    rs_logs > pv_stats
    decorated > search
    pv_stats > search
    decorated > copy
";

const ROUTED: &str = "
    input web file
    input ops stdin
    filter split route
    filter slow_requests set bucket
    output errors_file file
    output screen console
    output archive file
    web > split
    split > slow_requests split.slow
    split > errors_file split.errors
    split > ? split.other
    slow_requests > screen
    web > archive
    ops > archive
    ops > screen
";

#[test]
fn text_shows_boxes_and_lines_that_can_be_read_in_one_way() {
    assert_eq!(
        format!("\n{}", graph(DECORATED).text()),
        r"
inputs               filters                           outputs
                     ╭───────────────────────────╮     ╭────────╮
                 ╭──▶│ pv_stats                  ├────▶│ search │
╭──────────────╮ │   │ steps                     │ ╭──▶│ index  │
│ rs_logs      ├─┤   │ stats                     │ │   ╰────────╯
│ file · rs    │ │   ╰───────────────────────────╯ │
╰──────────────╯ │                                 │
                 │                                 │
╭──────────────╮ │   ╭───────────────────────────╮ │   ╭────────╮
│ history      ├─│──▶│ decorated                 ├─┴──▶│ copy   │
│ archive · rs │ ╰──▶│ steps                     │     │ file   │
╰──────────────╯     │ geoip → currency → bucket │     ╰────────╯
                     │ normalize → remove → drop │
                     ╰───────────────────────────╯
"
    );
}

#[test]
fn text_shows_tags_and_what_nobody_consumes() {
    assert_eq!(
        format!("\n{}", graph(ROUTED).text()),
        r"
inputs          filters                                         outputs
                                                                ╭────────────────────────╮
                                                          ╭────▶│ errors_file            │
                                                          │     │ file                   │
                          ╭──── errors ───────────────────╯     ╰────────────────────────╯
                          │
                ╭───────╮ ├───── other ───────────────────╮     ╭╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╮
            ╭──▶│ split ├─┤                               ╰────▶╎ unmatched              ╎
╭───────╮   │   │ steps │ │             ╭───────────────╮       ╎ counted, not delivered ╎
│ web   ├───┤   │ route │ ╰────── slow ▶│ slow_requests ├─╮     ╰╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╯
│ file  │   │   ╰───────╯               │ steps         │ │
╰───────╯   │                           │ set → bucket  │ │     ╭────────────────────────╮
          ╭─│───────────────╮           ╰───────────────╯ ╰────▶│ screen                 │
╭───────╮ │ │               │                             ╭────▶│ console                │
│ ops   ├─╯ ╰─────────────╮ ╰─────────────────────────────┤     ╰────────────────────────╯
│ stdin │                 │                               │
╰───────╯                 ╰───────────────────────────────│─╮   ╭────────────────────────╮
                                                          ╰─│──▶│ archive                │
                                                            ╰──▶│ file                   │
                                                                ╰────────────────────────╯
"
    );
}

#[test]
fn text_of_one_node_is_one_box() {
    let expected = "inputs\n╭──────────╮\n│ demo     │\n│ generate │\n╰──────────╯\n";
    assert_eq!(graph("input demo generate").text(), expected);
    assert_eq!(Graph::default().text(), "the pipeline is empty\n");
}

#[test]
fn mermaid_is_a_flowchart() {
    let mermaid = graph(ROUTED).mermaid();
    for line in [
        "flowchart LR",
        "  n0([\"<b>web</b><br/>file\"]):::input",
        "  n3[\"<b>slow_requests</b><br/>steps<br/>set → bucket\"]:::filter",
        "  n2 -->|\"slow\"| n3",
        "  n2 -.->|\"other\"| n7",
    ] {
        assert!(mermaid.lines().any(|known| known == line), "{line}\n{mermaid}");
    }
}

#[test]
fn dot_is_a_digraph_from_left_to_right() {
    let dot = graph(ROUTED).dot();
    for line in [
        "  rankdir=LR;",
        "  n0 [label=\"web\\nfile\", color=\"#0f766e\", fillcolor=\"#e6f4f1\"];",
        "  { rank=source; n0; n1; }",
        "  n2 -> n3 [label=\"slow\"];",
        "  n2 -> n7 [label=\"other\", style=dashed];",
    ] {
        assert!(dot.lines().any(|known| known == line), "{line}\n{dot}");
    }
}

/// Every tag of the image is closed, and nothing stands where markup must not.
fn check_xml(svg: &str) {
    let mut open = Vec::new();
    for piece in svg.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("a tag is closed");
        assert!(!text.contains('>'), "{piece}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split(' ').next().unwrap());
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn svg_is_an_image_that_stands_alone() {
    let svg = graph(ROUTED).svg();
    check_xml(&svg);
    for text in ["INPUTS", "FILTERS", "OUTPUTS", ">slow_requests<", ">bucket<", ">errors<"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.contains("<title>Pipeline: 2 inputs, 2 filters, 3 outputs</title>"));
    assert!(svg.contains("prefers-color-scheme:dark"));
    check_xml(&Graph::default().svg());
}

#[test]
fn hostile_names_break_no_picture() {
    let name = "a\"<b>&'\\`#|\u{1b}[31m\n";
    let mut hostile = graph("input x file\noutput y file\nx > y");
    hostile.nodes[0].name = name.to_owned();
    hostile.nodes[0].detail = vec![name.to_owned()];
    hostile.edges[0].tag = name.to_owned() + ".x<y>";
    let svg = hostile.svg();
    check_xml(&svg);
    assert!(svg.contains("a&quot;&lt;b&gt;&amp;&apos;\\`#|\u{fffd}[31m\u{fffd}"));
    assert!(hostile.mermaid().contains("<b>a#quot;#lt;b#gt;#amp;'\\#96;#35;|"));
    assert!(hostile.dot().contains("label=\"a\\\"<b>&'\\\\`#|"));
    for picture in [hostile.text(), svg, hostile.mermaid(), hostile.dot()] {
        assert!(!picture.contains('\u{1b}'), "{picture}");
    }
}

#[test]
fn long_lists_and_names_are_cut() {
    let mut long = graph("input x file");
    long.nodes[0].name = "n".repeat(200);
    long.nodes[0].detail = (0..50).map(|n| format!("step_number_{n}")).collect();
    let text = long.text();
    assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    assert!(text.contains("nnn…") && text.contains("+4"), "{text}");
    assert!(long.svg().contains(">+4"), "{}", long.svg());
}

#[test]
fn tags_between_the_same_two_nodes_share_an_arrow() {
    let both = graph("filter a route\noutput b file\na > b a.x\na > b a.y\n");
    assert!(both.mermaid().contains("n0 -->|\"x, y\"| n1"));
    let all = graph("filter a route\noutput b file\na > b a.x\na > b\n");
    assert!(all.mermaid().contains("n0 --> n1"));
}

#[test]
fn a_circle_is_drawn_too() {
    let circle = graph("filter a set\nfilter b set\na > b\nb > a\na > a\n");
    assert!(circle.text().contains("│ a"));
    check_xml(&circle.svg());
}

#[test]
fn many_nodes_fit_into_a_wide_terminal() {
    let mut text = String::new();
    for n in 0..10 {
        text +=
            &format!("input input_{n} file\nfilter filter_{n} geoip set\noutput output_{n} file\n");
    }
    for n in 0..10 {
        text += &format!("input_{n} > filter_{}\nfilter_{n} > output_{}\n", n * 3 % 10, n * 7 % 10);
    }
    let picture = graph(&text).text();
    let width = picture.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(width <= 100 && picture.lines().count() <= 80, "{picture}");
}
