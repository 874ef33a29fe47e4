//! `/admin/graph`: the pipeline as data, and as a picture.

use dpipe_config::graph::{Graph, GraphKind};
use hyper::StatusCode;
use serde_json::json;

use crate::reply::{self, Reply};

/// The graph in one of its formats.
pub(crate) fn draw(graph: &Graph, format: &str) -> Reply {
    const PLAIN: &str = "text/plain; charset=utf-8";
    let (content_type, picture) = match format {
        "json" => return reply::json(StatusCode::OK, &data(graph)),
        "text" => (PLAIN, graph.text()),
        "mermaid" => (PLAIN, graph.mermaid()),
        "dot" => ("text/vnd.graphviz; charset=utf-8", graph.dot()),
        "svg" => ("image/svg+xml", graph.svg()),
        other => {
            let text = format!("there is no format `{other}`; use json, text, mermaid, dot or svg");
            return reply::error(StatusCode::BAD_REQUEST, text);
        }
    };
    reply::text(StatusCode::OK, content_type, picture)
}

fn data(graph: &Graph) -> serde_json::Value {
    let name = |node: usize| graph.nodes.get(node).map(|node| &node.name);
    let nodes = graph.nodes.iter().map(|node| {
        let kind = match node.kind {
            GraphKind::Input => "input",
            GraphKind::Filter => "filter",
            GraphKind::Output => "output",
        };
        json!({
            "node": node.name,
            "role": kind,
            "plugin": node.plugin,
            "detail": node.detail,
            "tenant": node.tenant,
        })
    });
    let edges = graph
        .edges
        .iter()
        .map(|edge| json!({ "from": name(edge.from), "to": name(edge.to), "tag": edge.tag }));
    let unmatched =
        graph.unmatched.iter().map(|tag| json!({ "from": name(tag.from), "tag": tag.tag }));
    json!({
        "nodes": nodes.collect::<Vec<_>>(),
        "edges": edges.collect::<Vec<_>>(),
        "unmatched": unmatched.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn edges_name_their_nodes() {
        let graph = data(&fake::graph());
        assert_eq!(graph["nodes"][0]["node"], "logs");
        assert_eq!(graph["nodes"][2]["role"], "output");
        assert_eq!(graph["edges"][1], json!({ "from": "thin", "to": "copy", "tag": "thin.some" }));
        assert_eq!(graph["unmatched"], json!([{ "from": "thin", "tag": "thin.other" }]));
    }

    #[test]
    fn every_format_has_its_content_type() {
        for (format, content_type) in [
            ("json", "application/json"),
            ("text", "text/plain; charset=utf-8"),
            ("mermaid", "text/plain; charset=utf-8"),
            ("dot", "text/vnd.graphviz; charset=utf-8"),
            ("svg", "image/svg+xml"),
        ] {
            let reply = draw(&fake::graph(), format);
            assert_eq!(reply.status(), StatusCode::OK);
            assert_eq!(reply.headers()["content-type"], content_type);
        }
        assert_eq!(draw(&fake::graph(), "png").status(), StatusCode::BAD_REQUEST);
    }
}
