//! `dpipe run`: runs a plan until a signal or, with `--batch`, until all inputs are exhausted.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dpipe_admin::{About, AdminServer, PluginNames, Serving};
use dpipe_engine::{Engine, Handle, Report, RunOptions};
use dpipe_env::RealEnv;
use dpipe_plugin::{Entry, LogRing};
use dpipe_plugins::BUILT_IN;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::logging::say;
use crate::{books, loading};

/// The exit code of a process that a second signal ended.
const ENDED_AT_ONCE: i32 = 130;

pub(crate) fn run(
    config: &Path,
    batch: bool,
    grace_seconds: u64,
    log: LogRing,
) -> anyhow::Result<ExitCode> {
    let plan = match loading::plan_saying_warnings(config) {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("dpipe")
        .build()
        .context("the runtime cannot start")?;
    allow_many_files();
    let code = runtime.block_on(async {
        // Before anything runs: a signal that comes early must not kill a half-started pipeline.
        let signals = Signals::watch()?;
        let grace = Duration::from_secs(grace_seconds);
        let api = plan.api.listen.clone();
        let data_dir = plan.data_dir.clone();
        let admin = if api == "off" { None } else { Some(AdminServer::bind(&api)?) };
        let options = RunOptions { batch, grace };
        let engine = match Engine::start_with_log(plan, Arc::new(RealEnv), options, log) {
            Ok(engine) => engine,
            Err(error) => return loading::cannot_start(error),
        };
        let token = engine.admin_token().to_owned();
        let admin = admin.map(|bound| bound.serve(engine.handle(), token, about())).transpose()?;
        say(&banner(&engine.handle(), &data_dir, admin.as_ref().map(Serving::address)));
        signals.stop(engine.handle());
        let report = engine.run().await;
        if let Some(admin) = admin {
            admin.stop();
        }
        say(&books::print(&report));
        if batch && books::events_taken(&report) == 0 {
            say("no event came in: there was nothing to read, or nothing new since the last run");
        }
        Ok(if is_good(&report, batch) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    });
    // A thread may hang in a write to a pipe that nobody reads; there is nothing left to wait for.
    runtime.shutdown_background();
    code
}

/// Whether a run did what it was to do.
fn is_good(report: &Report, batch: bool) -> bool {
    let is_sound = report.ledger.balances() && report.broken.is_empty() && report.failed.is_empty();
    // Whoever read our output had enough of it, and so nothing is amiss with what was not written.
    if report.closed {
        return is_sound;
    }
    let is_lost = report.undelivered.iter().any(|undelivered| undelivered.lost > 0);
    let is_whole = report.skipped().is_empty() && report.drained;
    is_sound && !is_lost && report.unwritten_letters == 0 && (is_whole || !batch)
}

/// Raises the number of open files to what the system allows: each followed file is one.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the number of open files stays as it is");
    }
}

/// What the admin API tells of this binary.
fn about() -> About {
    fn names<S: ?Sized>(list: &[Entry<S>]) -> Vec<&'static str> {
        list.iter().map(|entry| entry.name).collect()
    }
    About {
        version: env!("CARGO_PKG_VERSION"),
        plugins: PluginNames {
            inputs: names(BUILT_IN.inputs),
            decoders: names(BUILT_IN.decoders),
            encoders: names(BUILT_IN.encoders),
            steps: names(BUILT_IN.steps),
            outputs: names(BUILT_IN.outputs),
        },
    }
}

fn banner(handle: &Handle, data_dir: &Path, admin: Option<std::net::SocketAddr>) -> String {
    let plan = handle.plan();
    let api = admin.map_or("off".to_owned(), |address| format!("http://{address}/admin/uris"));
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    format!(
        "dpipe {} runs {}: {}, {}, {}; state in {}; admin API {api}; Ctrl-C ends it in order",
        env!("CARGO_PKG_VERSION"),
        plan.file.display(),
        count(plan.inputs.len(), "input"),
        count(plan.filters.len(), "filter"),
        count(plan.outputs.len(), "output"),
        data_dir.display(),
    )
}

/// The signals that end a run.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is gone. Until there is something to reload, it ends the run like the others.
    hangup: Option<Signal>,
}

impl Signals {
    fn watch() -> anyhow::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?,
            hangup: match hangup_is_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup()).context("SIGHUP cannot be watched")?),
            },
        })
    }

    /// Lets the first signal end the run in order, and a second one end it at once.
    fn stop(mut self, handle: Handle) {
        tokio::spawn(async move {
            self.next().await;
            say("stopping: inputs stop, lanes drain, outputs flush; a second signal ends at once");
            handle.shutdown();
            self.next().await;
            say("a second signal: ending at once");
            std::process::exit(ENDED_AT_ONCE);
        });
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hangup => {}
        }
    }
}

/// Whether whoever started us wants us to outlive the terminal, as `nohup` does.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The signals count from 1, the bits from 0.
    ignored.is_some_and(|mask| mask & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0)
}
