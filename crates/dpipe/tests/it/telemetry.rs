//! What dpipe tells of itself, as events.

use serde_json::Value;

use crate::process::{World, wait_until};

/// Lines for `out` go through a child that cannot be started, which dpipe logs.
const CONFIG: &str = "
inputs:
  own: { type: telemetry, every: 100ms, log: info }
  lines: { type: file, include: [in.log], read_from: beginning, codec: text }
filters:
  failing: { match: lines, steps: [{ child: { command: [no-such-program], on_failure: pass } }] }
outputs:
  own_events: { type: file, match: own, path: got }
  out: { type: file, match: failing, path: out }
";

fn events(world: &World) -> Vec<Value> {
    let whole = |line: &String| serde_json::from_str(line).ok();
    world.lines("got").iter().filter_map(whole).collect()
}

#[test]
fn figures_and_log_lines_of_dpipe_become_events() {
    let world = World::new(CONFIG);
    world.write("in.log", "one\ntwo\n");
    let running = world.start();
    wait_until("the books tell of the lines", || {
        events(&world).iter().any(|event| {
            event["node"] == "lines" && event["role"] == "input" && event["in_events"] == 2
        })
    });
    wait_until("the failure became an event", || {
        let is_it = |event: &Value| {
            event["kind"] == "log"
                && event["level"] == "error"
                && event["fields"]["node"] == "failing"
                && event["message"].as_str().is_some_and(|text| text.contains("no-such-program"))
        };
        events(&world).iter().any(is_it)
    });
    wait_until("the queues were told of", || {
        events(&world).iter().any(|event| event["kind"] == "queue" && event["node"] == "out")
    });
    running.stop();
}

#[test]
fn lines_about_an_output_of_its_own_events_do_not_become_events() {
    let world = World::new(
        "
inputs: { own: { type: telemetry, every: 1h } }
outputs:
  dead: { type: exec, match: own, command: [no-such-program] }
  got: { type: file, match: own, path: got }
",
    );
    let running = world.start();
    running.wait_for("attempts=8");
    running.signal(rustix::process::Signal::TERM);
    running.wait_for("the input has ended");
    let about = |event: &Value| event["fields"]["output"] == "dead";
    assert!(!events(&world).is_empty());
    assert!(!events(&world).iter().any(about), "{:?}", events(&world));
}
