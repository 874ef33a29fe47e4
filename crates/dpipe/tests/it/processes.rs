//! Processes that dpipe starts: they end with it, however it ends.

use crate::process::{World, wait_until};

fn is_alive(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// One child of each kind, and a grandchild; each writes its number into a file. (In a
/// configuration, `$$` is a dollar.)
const CHILDREN: &str = "
inputs:
  lines: { type: exec, command: 'sleep 1000 & echo $! > grandchild; echo $$$$ > input; echo x; wait' }
filters:
  asked:
    match: lines
    steps:
      - child: { command: ['sh', 'step.sh'], timeout: 1m }
outputs:
  fed: { type: exec, match: asked, command: 'echo $$$$ > output; exec cat', patience: 1ms }
";

const STEP: &str = "\
echo $$ > step
read -r _; echo '{\"dpipe\":1,\"name\":\"x\"}'
while read -r header; do echo \"$header\"; read -r _; echo true; done
";

fn with_children() -> (World, crate::process::Running, Vec<String>) {
    let world = World::new(CHILDREN);
    world.write("step.sh", STEP);
    let running = world.start();
    let files = ["grandchild", "input", "step", "output"];
    wait_until("every child runs", || files.iter().all(|file| world.read(file).ends_with('\n')));
    let children: Vec<String> = files.map(|file| world.read(file).trim().to_owned()).into();
    assert!(children.iter().all(|id| is_alive(id)));
    (world, running, children)
}

#[test]
fn when_dpipe_ends_in_order_every_child_has_ended() {
    let (_world, running, children) = with_children();
    running.stop();
    wait_until("every child has ended", || !children.iter().any(|id| is_alive(id)));
}

#[test]
fn when_dpipe_is_killed_every_child_and_what_it_started_is_killed() {
    let (_world, running, children) = with_children();
    running.kill();
    wait_until("every child has ended", || !children.iter().any(|id| is_alive(id)));
}

#[test]
fn a_command_that_runs_once_ends_a_batch_run() {
    let world = World::new(
        "
inputs: { lines: { type: exec, command: ['seq', '3'], mode: once, codec: text } }
outputs: { out: { type: file, match: lines, path: got } }
",
    );
    let output = world.batch();
    assert!(output.status.success());
    let expected: Vec<String> = (1..=3).map(|n| format!("{{\"message\":\"{n}\"}}")).collect();
    assert_eq!(world.lines("got"), expected);
}
