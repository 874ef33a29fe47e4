//! `/metrics`: what Prometheus scrapes.

use std::time::SystemTime;

use dpipe_engine::{
    FilterPool, LanePool, Ledger, Line, Mended, OutputPool, Pools, Role, TenantPool,
};

use crate::Running;
use crate::exposition::{Exposition, Format, Kind};
use crate::process::Process;

/// All metrics of a running dpipe.
pub(crate) fn write(format: Format, version: &str, running: &dyn Running) -> String {
    let mut text = Exposition::new(format);
    let info = [([("version", version)], 1)];
    text.family(Kind::Info, "dpipe_build", "What runs.", info);
    let uptime = running.uptime();
    let seconds = [([], uptime.as_secs_f64())];
    text.family(Kind::Gauge, "dpipe_uptime_seconds", "How long it has been running.", seconds);
    ledger(&mut text, &running.ledger());
    pools(&mut text, &running.pools());
    mended(&mut text, &running.mended());
    process(&mut text, &Process::read());
    if let Ok(since) = (SystemTime::now() - uptime).duration_since(SystemTime::UNIX_EPOCH) {
        // Whole seconds: two readings, a moment apart, of two clocks.
        let started = [([], since.as_secs())];
        let help = "When it was started, since 1970.";
        text.family(Kind::Gauge, "process_start_time_seconds", help, started);
    }
    text.end()
}

fn ledger(text: &mut Exposition, ledger: &Ledger) {
    let faults = [([], ledger.faults.len())];
    let help = "What does not add up in the books.";
    text.family(Kind::Gauge, "dpipe_ledger_faults", help, faults);

    let mut each = |kind, name, help, roles: &[Role], value: fn(&Line) -> u64| {
        let lines = ledger.lines.iter().filter(|line| roles.contains(&line.role));
        let samples = lines.map(|line| {
            let labels =
                [("tenant", &*line.tenant), ("node", &*line.node), ("role", line.role.word())];
            (labels, value(line))
        });
        text.family(kind, name, help, samples);
    };
    use Role::{Filter, Input, Output, Unmatched};
    let all = &[Input, Filter, Output, Unmatched];
    let count = Kind::Counter;
    each(count, "dpipe_in_events", "Events taken in.", all, |line| line.taken);
    let help = "Raw bytes taken in: by inputs with all line ends, by the others the events' own.";
    each(count, "dpipe_in_bytes", help, all, |line| line.bytes);
    let help = "Events that a node made itself.";
    each(count, "dpipe_born_events", help, &[Input, Filter], |line| line.born);
    each(count, "dpipe_out_events", "Events published.", &[Input, Filter], |line| line.out);
    let help = "Events delivered.";
    each(count, "dpipe_delivered_events", help, &[Output], |line| line.delivered);
    let help = "Events in a node's hands, or waiting for an output.";
    each(Kind::Gauge, "dpipe_in_flight_events", help, all, |line| line.in_flight);

    let mut tallies = |name, help, why, tally: fn(&Line) -> &dpipe_engine::Tally| {
        let samples = ledger.lines.iter().flat_map(|line| {
            tally(line).iter().map(move |(reason, events)| {
                let labels = [
                    ("tenant", &*line.tenant),
                    ("node", &*line.node),
                    ("role", line.role.word()),
                    (why, *reason),
                ];
                (labels, *events)
            })
        });
        text.family(Kind::Counter, name, help, samples);
    };
    let help = "Events that a node removed.";
    tallies("dpipe_filtered_events", help, "reason", |line| &line.filtered);
    tallies("dpipe_dead_events", "Events in the dead letters.", "reason", |line| &line.dead);
    tallies("dpipe_dropped_events", "Events given up.", "reason", |line| &line.dropped);
    let help = "Events that live, but that something was odd about.";
    tallies("dpipe_flagged_events", help, "what", |line| &line.flagged);
    let help = "What inputs left out before it became an event.";
    tallies("dpipe_skipped", help, "reason", |line| &line.skipped);
}

fn pools(text: &mut Exposition, pools: &Pools) {
    let bytes = [([], pools.bytes_in_flight)];
    text.family(Kind::Gauge, "dpipe_in_flight_bytes", "Raw bytes in flight.", bytes);
    let bytes = [([], pools.bytes_in_flight_max)];
    text.family(Kind::Gauge, "dpipe_in_flight_max_bytes", "The most there may be.", bytes);

    let mut tenants = |name, help, value: fn(&TenantPool) -> usize| {
        let samples = pools.tenants.iter().map(|pool| ([("tenant", &*pool.tenant)], value(pool)));
        text.family(Kind::Gauge, name, help, samples);
    };
    let help = "Raw bytes of a tenant in flight.";
    tenants("dpipe_tenant_in_flight_bytes", help, |pool| pool.bytes_in_flight);
    let help = "The most there may be of a tenant.";
    tenants("dpipe_tenant_in_flight_max_bytes", help, |pool| pool.bytes_in_flight_max);

    waiting(text, pools);

    let mut queues = |name, help, value: fn(&OutputPool) -> f64| {
        let samples = pools.outputs.iter().map(|pool| ([("node", &*pool.output)], value(pool)));
        text.family(Kind::Gauge, name, help, samples);
    };
    let help = "Batches that an output has not delivered.";
    queues("dpipe_queue_batches", help, |pool| pool.batches as f64);
    let help = "Events that an output has not delivered.";
    queues("dpipe_queue_events", help, |pool| pool.events as f64);
    let help = "Raw bytes that an output has not delivered.";
    queues("dpipe_queue_bytes", help, |pool| pool.bytes as f64);
    let help = "Of these events, those that the output is at, or holds until its next flush.";
    queues("dpipe_queue_in_hand_events", help, |pool| pool.in_hand_events as f64);
    let help = "How long the oldest batch has not been delivered.";
    queues("dpipe_queue_oldest_seconds", help, |pool| seconds(pool.oldest_millis));
    let help = "How long an output has been at what it was asked to do last; 0 if at nothing.";
    queues("dpipe_queue_unanswered_seconds", help, |pool| seconds(pool.unanswered_millis));
    let help = "How long the attempts of an output have been failing; 0 if the last one did not.";
    queues("dpipe_queue_failing_seconds", help, |pool| seconds(pool.failing_millis));
    let help = "Attempts of an output that have failed since one went well.";
    queues("dpipe_queue_failed_attempts", help, |pool| f64::from(pool.attempts));
    let help = "Whether the inputs behind an output wait for it.";
    queues("dpipe_queue_full", help, |pool| f64::from(u8::from(pool.full)));
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// What waits elsewhere than at outputs.
fn waiting(text: &mut Exposition, pools: &Pools) {
    let names: Vec<_> = pools.lanes.iter().map(|pool| pool.lane.to_string()).collect();
    let mut lanes = |name, help, value: fn(&LanePool) -> f64| {
        let samples = names.iter().zip(&pools.lanes);
        let samples = samples.map(|(lane, pool)| ([("lane", &**lane)], value(pool)));
        text.family(Kind::Gauge, name, help, samples);
    };
    let help = "Chunks that a lane is not done with.";
    lanes("dpipe_lane_chunks", help, |pool| pool.chunks as f64);
    let help = "Their bytes.";
    lanes("dpipe_lane_bytes", help, |pool| pool.bytes as f64);
    let help = "How long the oldest chunk has been there.";
    lanes("dpipe_lane_oldest_seconds", help, |pool| seconds(pool.oldest_millis));

    let mut filters = |name, help, value: fn(&FilterPool) -> f64| {
        let samples = pools
            .filters
            .iter()
            .map(|pool| ([("tenant", &*pool.tenant), ("node", &*pool.filter)], value(pool)));
        text.family(Kind::Gauge, name, help, samples);
    };
    let help = "Events that were put aside, because the filter panics over one after the other.";
    filters("dpipe_filter_waiting_events", help, |pool| pool.events as f64);
    let help = "How long the filter has been panicking over the first of them.";
    filters("dpipe_filter_failing_seconds", help, |pool| seconds(pool.failing_millis));

    let letters = [([], pools.dead_letters.letters)];
    let help = "Dead letters that are not on disk yet.";
    text.family(Kind::Gauge, "dpipe_dead_letters_waiting", help, letters);
    let oldest = [([], seconds(pools.dead_letters.oldest_millis))];
    let help = "How long the oldest of them has waited.";
    text.family(Kind::Gauge, "dpipe_dead_letters_oldest_seconds", help, oldest);
}

fn mended(text: &mut Exposition, mended: &Mended) {
    let panics = mended.nodes.iter().flat_map(|node| {
        node.panics.iter().map(move |(plugin, panics)| {
            let role = ("role", node.role.word());
            ([("node", &*node.node), role, ("plugin", *plugin)], *panics)
        })
    });
    text.family(Kind::Counter, "dpipe_panics", "Panics of plugins that were caught.", panics);
    let restarts = mended
        .nodes
        .iter()
        .map(|node| ([("node", &*node.node), ("role", node.role.word())], node.restarts));
    text.family(Kind::Counter, "dpipe_restarts", "Plugins that were built anew.", restarts);
    let outputs = mended.nodes.iter().filter(|node| node.role == Role::Output);
    let retries = outputs.map(|node| ([("node", &*node.node)], node.retries));
    let help = "Parcels that were brought to an output once more.";
    text.family(Kind::Counter, "dpipe_retries", help, retries);
    let noted = mended.noted.iter();
    let noted = noted.map(|noted| ([("node", &*noted.node), ("what", noted.what)], noted.count));
    text.family(Kind::Counter, "dpipe_noted", "What else happened to inputs.", noted);
}

fn process(text: &mut Exposition, process: &Process) {
    let help = "Processor time used.";
    let seconds = process.cpu_seconds.map(|seconds| ([], seconds));
    text.family(Kind::Counter, "process_cpu_seconds", help, seconds);
    let mut gauge = |name, help, value: Option<u64>| {
        text.family(Kind::Gauge, name, help, value.map(|value| ([], value)));
    };
    gauge("process_resident_memory_bytes", "Memory in use.", process.resident_bytes);
    gauge("process_open_fds", "Open files and connections.", process.open_fds);
    gauge("process_threads", "Threads.", process.threads);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use std::sync::Arc;

    #[test]
    fn every_term_of_the_books_is_a_metric() {
        let text = write(Format::Prometheus, "1.2.3", &Arc::new(Fake::default()));
        for line in [
            r#"dpipe_build_info{version="1.2.3"} 1"#,
            "dpipe_uptime_seconds 100",
            "dpipe_ledger_faults 0",
            r#"dpipe_in_events_total{tenant="blue",node="logs",role="input"} 20"#,
            r#"dpipe_in_bytes_total{tenant="blue",node="logs",role="input"} 2000"#,
            r#"dpipe_out_events_total{tenant="red",node="thin",role="filter"} 5"#,
            r#"dpipe_delivered_events_total{tenant="blue",node="copy",role="output"} 12"#,
            r#"dpipe_in_flight_events{tenant="blue",node="copy",role="output"} 6"#,
            r#"dpipe_filtered_events_total{tenant="red",node="thin",role="filter",reason="drop"} 5"#,
            r#"dpipe_dead_events_total{tenant="blue",node="logs",role="input",reason="not_json"} 2"#,
            r#"dpipe_flagged_events_total{tenant="red",node="thin",role="filter",what="unknown_currency"} 1"#,
            "dpipe_in_flight_bytes 600",
            r#"dpipe_tenant_in_flight_max_bytes{tenant="blue"} 500"#,
            r#"dpipe_queue_batches{node="copy"} 2"#,
            r#"dpipe_queue_in_hand_events{node="copy"} 2"#,
            r#"dpipe_queue_oldest_seconds{node="copy"} 1.5"#,
            r#"dpipe_queue_unanswered_seconds{node="copy"} 0.25"#,
            r#"dpipe_queue_failing_seconds{node="copy"} 1.25"#,
            r#"dpipe_queue_failed_attempts{node="copy"} 4"#,
            r#"dpipe_queue_full{node="copy"} 0"#,
            r#"dpipe_lane_chunks{lane="0"} 1"#,
            r#"dpipe_lane_oldest_seconds{lane="0"} 0.02"#,
            r#"dpipe_filter_waiting_events{tenant="red",node="thin"} 4"#,
            r#"dpipe_filter_failing_seconds{tenant="red",node="thin"} 2"#,
            "dpipe_dead_letters_waiting 3",
            "dpipe_dead_letters_oldest_seconds 0.5",
            r#"dpipe_panics_total{node="logs",role="input",plugin="decoder"} 0"#,
            r#"dpipe_panics_total{node="thin",role="filter",plugin="step"} 1"#,
            r#"dpipe_restarts_total{node="logs",role="input"} 0"#,
            r#"dpipe_restarts_total{node="thin",role="filter"} 2"#,
            r#"dpipe_retries_total{node="copy"} 3"#,
            r#"dpipe_skipped_total{tenant="blue",node="logs",role="input",reason="damaged_file"} 4"#,
            r#"dpipe_noted_total{node="logs",what="run_failed"} 5"#,
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn a_node_that_nothing_came_to_has_its_zeros() {
        let mut fake = Fake::default();
        fake.ledger.lines = vec![crate::fake::line("idle", Role::Output, "blue")];
        let text = write(Format::Prometheus, "1.2.3", &Arc::new(fake));
        for name in ["dpipe_in_events_total", "dpipe_delivered_events_total"] {
            let line = format!(r#"{name}{{tenant="blue",node="idle",role="output"}} 0"#);
            assert!(text.lines().any(|written| written == line), "{line}\nis not in\n{text}");
        }
    }

    #[test]
    fn a_family_stands_together_and_is_described_once() {
        let text = write(Format::OpenMetrics, "1.2.3", &Arc::new(Fake::default()));
        let families: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        let mut family = "";
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => family = rest.split(' ').next().unwrap(),
                None => assert!(line.starts_with('#') || line.starts_with(family), "{line}"),
            }
        }
        let mut once = families.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), families.len());
    }
}
