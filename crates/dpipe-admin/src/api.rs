//! The endpoints: one table, from which requests are answered and `/admin/uris` is made.

use std::time::Duration;

use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exposition::Format;
use crate::guard::Guard;
use crate::rates::Samples;
use crate::reply::{self, Reply};
use crate::stat::Stat;
use crate::{Running, health, metrics, picture};

/// What the binary says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Its version.
    pub version: &'static str,
    /// The plugins that it has.
    pub plugins: PluginNames,
}

/// The names of plugins, by role.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PluginNames {
    /// The inputs.
    pub inputs: Vec<&'static str>,
    /// The decoders.
    pub decoders: Vec<&'static str>,
    /// The encoders.
    pub encoders: Vec<&'static str>,
    /// The steps.
    pub steps: Vec<&'static str>,
    /// The outputs.
    pub outputs: Vec<&'static str>,
}

/// Answers requests.
pub(crate) struct Api {
    running: Box<dyn Running>,
    about: About,
    guard: Guard,
    samples: Mutex<Samples>,
}

struct Endpoint {
    uri: &'static str,
    access: Access,
    summary: &'static str,
    answer: fn(&Api, &Parts) -> Reply,
}

#[derive(Clone, Copy, PartialEq)]
enum Access {
    /// Anyone on this machine may read.
    Read,
    /// Who has the token may change.
    Change,
}

const ENDPOINTS: &[Endpoint] = &[
    read("/admin/debug", "everything that helps to find a fault, in one answer", Api::debug),
    read("/admin/graph", "the pipeline; ?format=json, text, mermaid, dot or svg", Api::graph),
    read("/admin/ledger", "the books: where every event is", Api::ledger),
    read("/admin/ping", "whether it answers", Api::ping),
    read(
        "/admin/plugins",
        "the plugins that are configured, and those that there are",
        Api::plugins,
    ),
    read("/admin/pools", "what is in flight, how old it is, and who holds it", Api::pools),
    change("/admin/reload", "read the configuration anew (not available yet)", Api::reload),
    change("/admin/shutdown", "stop in order", Api::shutdown),
    read("/admin/stat", "the figures of the moment, and rates over the last seconds", Api::stat),
    read("/admin/uris", "this list", Api::uris),
    read("/health", "200 if all is well, or 503 and the reasons", Api::health),
    read("/metrics", "metrics for Prometheus", Api::metrics),
];

const fn read(
    uri: &'static str,
    summary: &'static str,
    answer: fn(&Api, &Parts) -> Reply,
) -> Endpoint {
    Endpoint { uri, access: Access::Read, summary, answer }
}

const fn change(
    uri: &'static str,
    summary: &'static str,
    answer: fn(&Api, &Parts) -> Reply,
) -> Endpoint {
    Endpoint { uri, access: Access::Change, summary, answer }
}

impl Access {
    fn allows(self, method: &Method) -> bool {
        match self {
            Access::Read => matches!(*method, Method::GET | Method::HEAD),
            Access::Change => *method == Method::POST,
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Access::Read => "GET, HEAD",
            Access::Change => "POST",
        }
    }
}

impl Api {
    pub(crate) fn new(running: impl Running, about: About, token: String, port: u16) -> Api {
        Api {
            running: Box::new(running),
            about,
            guard: Guard::new(port, token),
            samples: Mutex::default(),
        }
    }

    /// Looks at the books, for the rates.
    pub(crate) fn sample(&self) {
        let ledger = self.running.ledger();
        self.samples.lock().note(self.running.uptime(), &ledger);
    }

    /// Answers a request. Its body has no meaning.
    pub(crate) fn answer(&self, request: &Parts) -> Reply {
        if let Err(why) = self.guard.check_place(&request.uri, &request.headers) {
            return reply::error(StatusCode::FORBIDDEN, why);
        }
        let path = request.uri.path();
        let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.uri == path) else {
            return not_found(path);
        };
        if !endpoint.access.allows(&request.method) {
            return reply::method_not_allowed(endpoint.access.methods());
        }
        if endpoint.access == Access::Change
            && let Err(why) = self.guard.check_token(&request.headers)
        {
            return reply::unauthorized(why);
        }
        if endpoint.access == Access::Change && self.running.is_stopping() {
            return reply::error(StatusCode::SERVICE_UNAVAILABLE, "dpipe is stopping");
        }
        (endpoint.answer)(self, request)
    }

    fn ping(&self, _: &Parts) -> Reply {
        let uptime = self.uptime();
        ok(&json!({ "pong": true, "version": self.about.version, "uptime_seconds": uptime }))
    }

    fn stat(&self, _: &Parts) -> Reply {
        ok(&self.stat_now())
    }

    fn plugins(&self, _: &Parts) -> Reply {
        let configured = self.running.outline().nodes;
        ok(&json!({ "configured": configured, "available": self.about.plugins }))
    }

    fn pools(&self, _: &Parts) -> Reply {
        ok(&self.running.pools())
    }

    fn ledger(&self, _: &Parts) -> Reply {
        ok(&self.ledger_now())
    }

    fn graph(&self, request: &Parts) -> Reply {
        picture::draw(&self.running.graph(), parameter(request, "format").unwrap_or("json"))
    }

    fn uris(&self, _: &Parts) -> Reply {
        let uris = ENDPOINTS.iter().map(|endpoint| {
            json!({
                "uri": endpoint.uri,
                "methods": endpoint.access.methods(),
                "token": endpoint.access == Access::Change,
                "summary": endpoint.summary,
            })
        });
        ok(&json!({ "uris": uris.collect::<Vec<_>>() }))
    }

    fn debug(&self, _: &Parts) -> Reply {
        ok(&json!({
            "stat": self.stat_now(),
            "health": { "reasons": self.reasons() },
            "ledger": self.ledger_now(),
            "pools": self.running.pools(),
            "plan": self.running.outline(),
            "plugins": self.about.plugins,
        }))
    }

    fn health(&self, _: &Parts) -> Reply {
        let reasons = self.reasons();
        if reasons.is_empty() {
            return ok(&json!({ "status": "ok" }));
        }
        let report = json!({ "status": "unhealthy", "reasons": reasons });
        reply::json(StatusCode::SERVICE_UNAVAILABLE, &report)
    }

    fn metrics(&self, request: &Parts) -> Reply {
        let accept = request.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let format = Format::accepted(accept);
        let text = metrics::write(format, self.about.version, &*self.running);
        reply::text(StatusCode::OK, format.content_type(), text)
    }

    fn shutdown(&self, _: &Parts) -> Reply {
        tracing::info!("the admin API was told to stop dpipe");
        self.running.shutdown();
        reply::json(StatusCode::ACCEPTED, &json!({ "status": "stopping" }))
    }

    fn reload(&self, _: &Parts) -> Reply {
        let text = "reload is not available yet; restart dpipe to read the configuration anew";
        reply::error(StatusCode::NOT_IMPLEMENTED, text)
    }

    fn uptime(&self) -> f64 {
        self.running.uptime().as_secs_f64()
    }

    fn stat_now(&self) -> Stat {
        let (uptime, ledger): (Duration, _) = (self.running.uptime(), self.running.ledger());
        let (outputs, mended) = (self.running.pools().outputs, self.running.mended());
        Stat::new(self.about.version, uptime, &ledger, outputs, mended, &self.samples.lock())
    }

    fn ledger_now(&self) -> Value {
        let ledger = self.running.ledger();
        let balances = ledger.balances();
        json!({ "balances": balances, "faults": ledger.faults, "lines": ledger.lines })
    }

    fn reasons(&self) -> Vec<String> {
        health::reasons(&self.running.ledger(), &self.running.pools())
    }
}

fn ok(value: &impl Serialize) -> Reply {
    reply::json(StatusCode::OK, value)
}

fn not_found(path: &str) -> Reply {
    let uris: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.uri).collect();
    let error = format!("there is no `{path}`");
    reply::json(StatusCode::NOT_FOUND, &json!({ "error": error, "uris": uris }))
}

/// The value of a parameter of the query. Ours need no escapes.
fn parameter<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    let mut pairs = request.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
