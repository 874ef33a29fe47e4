//! `dpipe run`: runs a plan until a signal or, with `--batch`, until all inputs are exhausted.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dpipe_admin::{About, AdminServer, PluginNames, Serving};
use dpipe_engine::{Engine, Handle, RunOptions};
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
        let engine = Engine::start_with_log(plan, Arc::new(RealEnv), options, log)?;
        let token = engine.admin_token().to_owned();
        let admin = admin.map(|bound| bound.serve(engine.handle(), token, about())).transpose()?;
        say(&banner(&engine.handle(), &data_dir, admin.as_ref().map(Serving::address)));
        signals.stop(engine.handle());
        let report = engine.run().await;
        if let Some(admin) = admin {
            admin.stop();
        }
        say(&books::print(&report));
        if !report.drained {
            say(
                "not everything that was read has arrived; it will be read again at the next start",
            );
        }
        let good = report.ledger.balances() && report.failed.is_empty();
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    });
    // A thread may hang in a write to a pipe that nobody reads; there is nothing left to wait for.
    runtime.shutdown_background();
    code
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
}

impl Signals {
    fn watch() -> anyhow::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?,
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
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
