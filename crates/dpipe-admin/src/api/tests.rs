use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::BodyExt;
use hyper::Request;
use hyper::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};

use super::*;
use crate::fake::{self, Fake, TOKEN};

const PORT: u16 = 9876;

/// A request to an API over a fake.
struct Ask {
    fake: Arc<Fake>,
    request: hyper::http::request::Builder,
}

struct Answer {
    status: u16,
    headers: hyper::HeaderMap,
    text: String,
}

fn ask(method: &str, uri: &str) -> Ask {
    let request = Request::builder().method(method).uri(uri);
    Ask { fake: Arc::default(), request: request.header("host", format!("localhost:{PORT}")) }
}

fn get(uri: &str) -> Ask {
    ask("GET", uri)
}

fn post(uri: &str) -> Ask {
    ask("POST", uri)
}

impl Ask {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    fn of(self, fake: Fake) -> Self {
        Ask { fake: Arc::new(fake), ..self }
    }

    fn answer(self) -> Answer {
        let api = Api::new(self.fake, fake::about(), TOKEN.into(), PORT);
        let (parts, ()) = self.request.body(()).unwrap().into_parts();
        let (parts, body) = api.answer(&parts).into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn status(self) -> u16 {
        self.answer().status
    }

    fn json(self) -> Value {
        self.answer().json()
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

#[test]
fn ping_says_that_it_lives_and_what_it_is() {
    let pong = get("/admin/ping").json();
    assert_eq!(pong, json!({ "pong": true, "version": "1.2.3", "uptime_seconds": 100.0 }));
}

#[test]
fn every_uri_of_the_list_answers_in_json_or_as_a_page() {
    for uri in get("/admin/uris").json()["uris"].as_array().unwrap() {
        let (method, token) = match uri["token"].as_bool().unwrap() {
            true => ("POST", format!("Bearer {TOKEN}")),
            false => ("GET", String::new()),
        };
        let path = uri["uri"].as_str().unwrap();
        let answer = ask(method, path).with("authorization", &token).answer();
        assert_ne!(answer.status, 404, "{path}");
        assert!(path == "/metrics" || answer.json().is_object(), "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
    }
}

#[test]
fn an_unknown_uri_gets_404_and_those_there_are() {
    let answer = get("/admin/pong").answer();
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"], "there is no `/admin/pong`");
    assert_eq!(answer.json()["uris"].as_array().unwrap().len(), ENDPOINTS.len());
}

#[test]
fn the_ledger_says_whether_it_balances() {
    let ledger = get("/admin/ledger").json();
    assert_eq!(ledger["balances"], true);
    assert_eq!(ledger["faults"], json!([]));
    assert_eq!(ledger["lines"][0]["in"], 20);
    assert_eq!(ledger["lines"][0]["dead"], json!({ "not_json": 2 }));
    let mut fake = Fake::default();
    fake.ledger.faults.push("one is missing".into());
    let ledger = get("/admin/ledger").of(fake).json();
    assert_eq!(
        (&ledger["balances"], &ledger["faults"][0]),
        (&json!(false), &json!("one is missing"))
    );
}

#[test]
fn health_is_503_with_reasons_when_something_is_wrong() {
    let answer = get("/health").answer();
    assert_eq!((answer.status, answer.json()), (200, json!({ "status": "ok" })));
    let mut fake = Fake::default();
    fake.ledger.faults.push("one is missing".into());
    let answer = get("/health").of(fake).answer();
    assert_eq!(answer.status, 503);
    let report = json!({ "status": "unhealthy", "reasons": ["ledger: one is missing"] });
    assert_eq!(answer.json(), report);
}

#[test]
fn plugins_tell_the_configured_from_the_available() {
    let plugins = get("/admin/plugins").json();
    assert!(plugins["configured"].is_array());
    assert_eq!(plugins["available"]["inputs"], json!(["file", "stdin"]));
}

#[test]
fn a_graph_comes_in_the_format_that_was_asked_for() {
    assert_eq!(get("/admin/graph").json()["nodes"][0]["node"], "logs");
    assert!(get("/admin/graph?x=1&format=dot").answer().text.contains("digraph"));
    assert!(get("/admin/graph?format=svg").answer().text.contains("<svg"));
    let answer = get("/admin/graph?format=png").answer();
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"].as_str().unwrap().contains("mermaid"));
}

#[test]
fn metrics_come_in_the_format_that_is_accepted() {
    let answer = get("/metrics").answer();
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let answer = get("/metrics").with("accept", "application/openmetrics-text").answer();
    assert!(answer.text.ends_with("# EOF\n"));
}

#[test]
fn the_bundle_for_debugging_has_everything_but_the_token() {
    let answer = get("/admin/debug").answer();
    let bundle = answer.json();
    for part in ["stat", "health", "ledger", "pools", "plan", "plugins"] {
        assert!(bundle[part].is_object(), "{part}");
    }
    assert!(!answer.text.contains(TOKEN));
}

#[test]
fn shutdown_needs_the_token() {
    let stopping = |ask: Ask| {
        let fake = ask.fake.clone();
        (ask.status(), fake.stopping.load(Ordering::SeqCst))
    };
    let shutdown = || post("/admin/shutdown");
    assert_eq!(stopping(shutdown()), (401, false));
    assert_eq!(stopping(shutdown().with("authorization", "Bearer wrong")), (401, false));
    let right = format!("Bearer {TOKEN}");
    assert_eq!(stopping(shutdown().with("authorization", &right)), (202, true));
    assert_eq!(post("/admin/shutdown").answer().headers[WWW_AUTHENTICATE], "Bearer");
}

#[test]
fn while_it_stops_it_takes_no_more_orders_and_still_tells() {
    let stopping = || Fake { stopping: true.into(), ..Fake::default() };
    let right = format!("Bearer {TOKEN}");
    for uri in ["/admin/shutdown", "/admin/reload"] {
        let answer = post(uri).with("authorization", &right).of(stopping()).answer();
        assert_eq!((answer.status, &answer.json()["error"]), (503, &json!("dpipe is stopping")));
        assert_eq!(post(uri).of(stopping()).status(), 401);
    }
    for uri in ["/admin/ping", "/admin/pools", "/admin/ledger", "/metrics", "/health"] {
        assert_eq!(get(uri).of(stopping()).status(), 200, "{uri}");
    }
}

#[test]
fn pools_tell_who_has_what_and_since_when() {
    let pools = get("/admin/pools").json();
    assert_eq!(pools["outputs"][0]["in_hand_events"], 2);
    assert_eq!(pools["outputs"][0]["attempts"], 4);
    assert_eq!(pools["outputs"][0]["last_error"], "connection refused");
    assert_eq!(pools["lanes"][0]["chunks"], 1);
    assert_eq!(pools["filters"][0]["last_error"], "index out of bounds");
    assert_eq!(pools["dead_letters"]["letters"], 3);
}

#[test]
fn what_changes_anything_is_not_for_get() {
    let right = format!("Bearer {TOKEN}");
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let ask = ask(method, "/admin/shutdown").with("authorization", &right);
        let fake = ask.fake.clone();
        let answer = ask.answer();
        assert_eq!(
            (answer.status, &answer.headers[ALLOW]),
            (405, &HeaderValue::from_static("POST"))
        );
        assert!(!fake.stopping.load(Ordering::SeqCst));
    }
    let answer = post("/admin/ping").answer();
    assert_eq!(
        (answer.status, &answer.headers[ALLOW]),
        (405, &HeaderValue::from_static("GET, HEAD"))
    );
}

#[test]
fn reload_says_that_it_is_not_available_yet() {
    assert_eq!(post("/admin/reload").status(), 401);
    let answer = post("/admin/reload").with("authorization", &format!("Bearer {TOKEN}")).answer();
    assert_eq!(answer.status, 501);
    assert!(answer.json()["error"].as_str().unwrap().contains("not available yet"));
}

#[test]
fn a_foreign_host_or_origin_is_refused_before_anything_else() {
    let right = format!("Bearer {TOKEN}");
    for uri in ["/admin/ping", "/metrics", "/nowhere"] {
        assert_eq!(get(uri).with("host", "evil.example:9876").status(), 403, "{uri}");
        assert_eq!(get(uri).with("origin", "http://evil.example").status(), 403, "{uri}");
    }
    let ask = post("/admin/shutdown").with("authorization", &right);
    let ask = ask.with("origin", "http://evil.example");
    let fake = ask.fake.clone();
    assert_eq!(ask.status(), 403);
    assert!(!fake.stopping.load(Ordering::SeqCst));
    assert_eq!(get("/admin/ping").with("origin", "http://127.0.0.1:9876").status(), 200);
}

#[test]
fn rates_come_from_the_samples() {
    let api = Api::new(Arc::new(Fake::default()), fake::about(), TOKEN.into(), PORT);
    api.sample();
    assert_eq!(api.samples.lock().node(dpipe_engine::Role::Input, &"logs".into()).events_in, 0.0);
    assert_eq!(serde_json::to_value(api.stat_now()).unwrap()["total"]["in"], 30);
}

#[test]
fn the_table_is_sorted_and_names_each_uri_once() {
    assert!(ENDPOINTS.windows(2).all(|pair| pair[0].uri < pair[1].uri));
}
