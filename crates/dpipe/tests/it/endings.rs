//! How runs end, what they say then, and with which code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::process::{Running, World, dpipe, text, wait_until};

/// Follows a file into standard output, which nobody needs to read.
const TO_STDOUT: &str = "
inputs:
  in: { type: file, include: [logs/*.log], read_from: beginning, codec: json }
outputs:
  copy: { type: file, match: in, path: got/out.jsonl }
  out: { type: stdout, match: in }
";

fn numbers(count: usize) -> String {
    (0..count).map(|n| format!("{{\"n\":{n},\"pad\":\"{n:0>100}\"}}\n")).collect()
}

/// What follows the word in a text.
fn after<'a>(text: &'a str, word: &str) -> &'a str {
    text.split_once(word).unwrap_or_else(|| panic!("no `{word}` in\n{text}")).1
}

#[test]
fn a_stuck_output_at_an_ordinary_stop_is_no_fault() {
    let world = World::new(TO_STDOUT);
    world.write("logs/a.log", numbers(2000));
    let running = world.start_by(dpipe().args(["run", "--grace", "1"]));
    wait_until("the other output has all", || world.lines("got/out.jsonl").len() == 2000);
    running.signal(Signal::TERM);
    let ended = running.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
    assert!(ended.said.contains("2,000 events wait for the output `out`"), "{}", ended.said);
    assert!(ended.said.contains("they are read again at the next start"), "{}", ended.said);
    assert!(ended.said.contains("queued 2,000"), "{}", ended.said);
    assert!(ended.said.contains("the books balance"), "{}", ended.said);
    // They are: this time somebody reads.
    let mut running = world.start();
    let lines = BufReader::new(running.stdout()).lines().map_while(Result::ok);
    assert_eq!(lines.take(2000).count(), 2000);
    running.stop();
}

#[test]
fn events_that_cannot_be_read_again_are_said_to_be_lost() {
    let world = World::new(
        "
inputs: { in: { type: stdin, codec: json } }
outputs:
  copy: { type: file, match: in, path: got/out.jsonl }
  out: { type: stdout, match: in }
",
    );
    world.write("numbers", numbers(2000));
    let numbers = std::fs::File::open(world.path("numbers")).unwrap();
    let running = world.start_by(dpipe().args(["run", "--grace", "1"]).stdin(numbers));
    wait_until("the other output has all", || world.lines("got/out.jsonl").len() == 2000);
    running.signal(Signal::TERM);
    let ended = running.ended();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.said);
    assert!(ended.said.contains("2,000 events for the output `out` are LOST"), "{}", ended.said);
    assert!(ended.said.contains("the books balance"), "{}", ended.said);
}

/// Reads two lines of its output, and goes away.
fn head(running: &mut Running) {
    let mut lines = BufReader::new(running.stdout()).lines();
    for _ in 0..2 {
        lines.next().unwrap().unwrap();
    }
}

#[test]
fn a_reader_that_has_enough_ends_the_run_well() {
    for input in ["archive", "file"] {
        let world = World::new(&format!(
            "
inputs: {{ in: {{ type: {input}, include: [logs/*.log], codec: json }} }}
outputs:
  copy: {{ type: file, match: in, path: got/out.jsonl }}
  out: {{ type: stdout, match: in }}
"
        ));
        world.write("logs/a.log", numbers(50_000));
        let mut running = world.start_by(dpipe().args(["run", "--batch"]));
        head(&mut running);
        let ended = running.ended();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
        assert!(ended.said.contains("the books balance"), "{}", ended.said);
        assert!(ended.said.contains("they are read again at the next start"), "{}", ended.said);
        assert!(!ended.said.contains("receipt"), "{}", ended.said);
    }
}

#[test]
fn a_hangup_ends_the_run_in_order_unless_it_is_to_be_ignored() {
    let world = World::new(TO_STDOUT);
    world.write("logs/a.log", numbers(10));
    let running = world.start();
    wait_until("all arrived", || world.lines("got/out.jsonl").len() == 10);
    running.signal(Signal::HUP);
    let ended = running.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
    assert!(ended.said.contains("the books balance"), "{}", ended.said);

    let program = env!("CARGO_BIN_EXE_dpipe");
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$0\" run \"$1\"", program]).stdin(Stdio::null());
    let running = world.start_by(&mut nohup);
    running.signal(Signal::HUP);
    world.append("logs/a.log", &numbers(10));
    wait_until("it goes on", || world.lines("got/out.jsonl").len() == 20);
    running.stop();
}

#[test]
fn a_batch_run_that_left_something_out_says_so_and_fails() {
    let world = World::new(
        "
inputs:
  in:
    type: archive
    include: ['logs/**/*']
    codec: json
    tenant: { from: path, pattern: '/of_(?<tenant>\\w+)/' }
outputs: { out: { type: file, match: in, path: got/out.jsonl } }
",
    );
    world.write("logs/of_a/a.log", numbers(1));
    let output = world.batch();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("\n1 event in "), "{}", text(&output.stderr));
    // The head of a gzip member, and no more.
    let torn = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    std::fs::write(world.path("logs/of_a/b.gz"), torn).unwrap();
    world.write("logs/else/c.log", numbers(1));
    let output = world.batch();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let left_out = after(&said, "\nleft out: ").lines().next().unwrap();
    let mut left_out: Vec<_> = left_out.split(", ").collect();
    left_out.sort_unstable();
    assert_eq!(left_out, ["path_without_tenant 1", "torn_file 1"], "{said}");
    assert!(said.contains("the books balance"), "{said}");
}

/// Answers of the admin API of a running dpipe.
struct Api {
    address: String,
    token: String,
}

impl Api {
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let Api { address, token } = self;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn a_signal_stops_api_inputs_lanes_and_outputs_in_this_order() {
    let world = World::new(TO_STDOUT);
    let config = world.read("dpipe.yaml").replace("\"off\"", "\"127.0.0.1:0\"");
    world.write("dpipe.yaml", &config);
    world.write("logs/a.log", numbers(5000));
    let mut running = world.start();
    let said = running.said();
    let address = after(&said, "admin API http://").split('/').next().unwrap().to_owned();
    assert_eq!(said.matches("admin API").count(), 1, "{said}");
    let token = world.read("dpipe-data/admin.token").trim().to_owned();
    let api = Api { address, token };
    wait_until("the other output has all", || world.lines("got/out.jsonl").len() == 5000);
    assert!(api.ask("POST", "/admin/reload").starts_with("HTTP/1.1 501"), "it takes orders");
    running.signal(Signal::TERM);
    // Nobody reads the pipe yet, so the inputs wait for what they sent to arrive.
    wait_until("the API takes no more orders", || {
        api.ask("POST", "/admin/reload").starts_with("HTTP/1.1 503")
    });
    assert!(api.ask("GET", "/admin/pools").contains("in_hand_events"), "and still tells");
    assert!(!running.said().contains("inputs have stopped"), "{}", running.said());
    let lines = BufReader::new(running.stdout()).lines();
    assert_eq!(lines.map_while(Result::ok).count(), 5000);
    let ended = running.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
    let mut rest = &*ended.said;
    for step in [
        "stopping: ",
        "the inputs have stopped, and their checkpoints are saved",
        "the lanes have drained",
        "the outputs have flushed and closed",
        "the books balance",
    ] {
        rest = after(rest, step);
    }
    // The checkpoint is at the end: nothing comes twice.
    let mut running = world.start();
    let stdout = running.stdout();
    running.stop();
    assert_eq!(BufReader::new(stdout).lines().count(), 0);
}
