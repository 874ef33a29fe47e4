//! The programs that people run send to dpipe, and dpipe reads what they write.
//!
//! `cargo xtask services up` installs what is missing of them, and `cargo xtask test` calls it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::{Running, World, text, wait_until};

mod web_servers;

/// A command of a program that has to be there.
fn program(name: &str) -> Command {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&folders).collect();
    // Debian keeps servers where not everybody's PATH leads.
    folders.push("/usr/sbin".into());
    let found = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    let path = found
        .unwrap_or_else(|| panic!("`{name}` is not there; `cargo xtask services up` installs it"));
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// Runs a command, gives it its standard input, and expects that it succeeds.
fn done(command: &mut Command, stdin: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Waits for so many events in `got.jsonl`, and returns them.
fn events(world: &World, how_many: usize) -> Vec<Value> {
    wait_until(&format!("{how_many} events"), || world.lines("got.jsonl").len() >= how_many);
    let lines = world.lines("got.jsonl");
    assert_eq!(lines.len(), how_many, "{lines:?}");
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A world in which one input writes JSON to `got.jsonl`.
fn world_of(input: &str) -> World {
    World::new(&format!(
        "
inputs: {{ in: {{ {input} }} }}
outputs: {{ out: {{ type: file, match: in, path: got.jsonl, codec: json }} }}
"
    ))
}

/// The port that an input took.
fn port(running: &Running) -> String {
    let address = running.listens_at();
    address.rsplit(':').next().unwrap().to_owned()
}

fn check_logged(event: &Value, message: &str) {
    let pid = event["pid"].as_i64();
    assert_eq!(event["app"], "shop", "{event}");
    assert_eq!(event["message"], message, "{event}");
    assert_eq!((&event["facility"], &event["level"]), (&"local3".into(), &"warning".into()));
    assert!(pid.is_some_and(|pid| pid > 0), "{event}");
}

#[test]
fn logger_sends_by_udp() {
    let world = world_of("type: udp, listen: '127.0.0.1:0', codec: syslog");
    let running = world.start();
    let port = port(&running);
    let mut logger = program("logger");
    logger.args(["--rfc5424", "--udp", "--server", "127.0.0.1", "--port", &port]);
    done(
        logger.args(["--tag", "shop", "--id", "--priority", "local3.warning", "pack 7 sold"]),
        b"",
    );
    let event = events(&world, 1).remove(0);
    check_logged(&event, "pack 7 sold");
    assert_eq!(event["sd"]["timeQuality"]["tzKnown"], "1", "{event}");
    running.stop();
}

#[test]
fn logger_sends_by_tcp_with_octet_counts() {
    let world = world_of("type: tcp, listen: '127.0.0.1:0', framing: octet_count, codec: syslog");
    let running = world.start();
    let port = port(&running);
    let mut logger = program("logger");
    logger.args(["--rfc5424", "--tcp", "--octet-count", "--server", "127.0.0.1", "--port", &port]);
    logger.args(["--tag", "shop", "--id", "--priority", "local3.warning", "--msgid", "SALE"]);
    logger.args(["--sd-id", "order@32473", "--sd-param", "pack=\"7\""]);
    done(&mut logger, b"first\nsecond\n");
    let events = events(&world, 2);
    check_logged(&events[0], "first");
    check_logged(&events[1], "second");
    assert_eq!(events[1]["msgid"], "SALE");
    assert_eq!(events[1]["sd"]["order@32473"]["pack"], "7", "{}", events[1]);
    running.stop();
}

#[test]
fn logger_writes_to_a_socket_as_to_dev_log() {
    let world = world_of("type: unix, path: log.sock, kind: datagram, codec: syslog");
    let running = world.start();
    running.listens_at();
    let mut logger = program("logger");
    logger.arg("--socket").arg(world.path("log.sock"));
    done(logger.args(["--tag", "shop", "--id", "--priority", "local3.warning", "sold out"]), b"");
    check_logged(&events(&world, 1)[0], "sold out");
    running.stop();
}

#[test]
fn curl_posts_lines_lists_packed_bodies_and_forms_and_is_answered() {
    let world = world_of("type: http, listen: '127.0.0.1:0', path: /ingest, codec: json");
    let running = world.start();
    let url = format!("http://127.0.0.1:{}/ingest", port(&running));
    let post = |arguments: &[&str], body: &[u8]| -> (String, Value) {
        let mut curl = program("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--write-out",
            "\n%{http_code}",
        ]);
        let output = done(curl.args(arguments).arg(&url), body);
        let said = text(&output.stdout);
        let (answer, code) = said.rsplit_once('\n').unwrap();
        (code.to_owned(), serde_json::from_str(answer).unwrap_or_else(|_| answer.into()))
    };
    let body = ["--data-binary", "@-"];
    let with = |header: &'static str| [&["--header", header], &body[..]].concat();

    let (code, answer) =
        post(&with("Content-Type: application/x-ndjson"), b"{\"n\":1}\n{\"n\":2}\n");
    assert_eq!((&*code, answer.to_string().contains('2')), ("200", true), "{answer}");
    // A 200 says that they have arrived.
    assert_eq!(events(&world, 2)[1]["n"], 2);

    let (code, _) = post(&with("Content-Type: application/json"), b"[{\"n\":3}, {\"n\":4}]");
    assert_eq!(code, "200");
    assert_eq!(events(&world, 4)[3]["n"], 4);

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"{\"n\":5}\n").unwrap();
    let packed = gzip.finish().unwrap();
    let (code, _) = post(&both_of("Content-Type: text/plain", "Content-Encoding: gzip"), &packed);
    assert_eq!(code, "200");
    assert_eq!(events(&world, 5)[4]["n"], 5);

    let (code, _) = post(&["--data-urlencode", "msg@-"], b"{\"n\":6,\"text\":\"a&b=c %41\"}\n");
    assert_eq!(code, "200");
    assert_eq!(events(&world, 6)[5]["text"], "a&b=c %41");

    let (code, _) = post(&both_of("Content-Type: text/plain", "Content-Encoding: br"), b"x");
    assert_eq!(code, "415");
    let (code, answer) = post(&with("Content-Type: application/json"), b"[{\"n\":7}");
    assert_eq!(code, "400", "{answer}");
    assert_eq!(events(&world, 6).len(), 6);
    running.stop();
}

fn both_of(one: &'static str, other: &'static str) -> [&'static str; 6] {
    ["--header", one, "--header", other, "--data-binary", "@-"]
}

#[test]
fn socat_sends_lines_by_tcp() {
    let world = world_of("type: tcp, listen: '127.0.0.1:0', codec: text");
    let running = world.start();
    let mut socat = program("socat");
    socat.arg("-u").arg("STDIN").arg(format!("TCP:127.0.0.1:{}", port(&running)));
    done(&mut socat, b"one\r\ntwo\nlast without an end");
    let messages: Vec<_> = events(&world, 3).iter().map(|e| e["message"].clone()).collect();
    assert_eq!(messages, ["one", "two", "last without an end"]);
    running.stop();
}

#[test]
fn an_exception_that_python_logs_is_one_event() {
    let world = world_of("type: file, include: [app.log], multiline: python");
    let running = world.start();
    world.write(
        "app.py",
        "
import logging, sys
logging.basicConfig(filename=sys.argv[1], format='%(asctime)s %(levelname)s %(message)s')
def pay(amount):
    return 100 / amount
logging.warning('before')
try:
    try:
        pay(0)
    except ZeroDivisionError as error:
        raise ValueError('no price') from error
except ValueError:
    logging.exception('payment failed')
logging.warning('after')
",
    );
    done(program("python3").arg(world.path("app.py")).arg(world.path("app.log")), b"");
    let events = events(&world, 3);
    let message = events[1]["message"].as_str().unwrap();
    assert!(message.contains("ERROR payment failed\nTraceback (most recent call last):\n"));
    assert!(message.contains("in pay\n"), "{message}");
    assert!(message.contains("was the direct cause of the following exception"), "{message}");
    assert!(message.ends_with("\nValueError: no price"), "{message}");
    assert!(events[2]["message"].as_str().unwrap().ends_with("WARNING after"));
    running.stop();
}

#[test]
fn an_exception_that_java_logs_is_one_event_with_its_causes() {
    let world = world_of("type: file, include: [app.log], multiline: java");
    let running = world.start();
    world.write(
        "Main.java",
        r#"
import java.util.logging.*;

public class Main {
    static void pay(int amount) {
        try {
            System.out.println(100 / amount);
        } catch (ArithmeticException error) {
            throw new IllegalStateException("no price", error);
        }
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("java.util.logging.SimpleFormatter.format",
            "%1$tF %1$tT %4$s %5$s%6$s%n");
        Logger log = Logger.getLogger("shop");
        log.setUseParentHandlers(false);
        FileHandler file = new FileHandler(arguments[0]);
        file.setFormatter(new SimpleFormatter());
        log.addHandler(file);
        log.info("before");
        try {
            pay(0);
        } catch (IllegalStateException error) {
            log.log(Level.SEVERE, "payment failed", error);
        }
        log.info("after");
    }
}
"#,
    );
    done(program("java").arg(world.path("Main.java")).arg(world.path("app.log")), b"");
    let events = events(&world, 3);
    let message = events[1]["message"].as_str().unwrap();
    assert!(message.contains("payment failed\njava.lang.IllegalStateException: no price\n\tat "));
    assert!(message.contains("\nCaused by: java.lang.ArithmeticException: / by zero\n\tat "));
    assert!(message.trim_end().ends_with("more"), "{message}");
    assert!(events[2]["message"].as_str().unwrap().ends_with("after"));
    running.stop();
}
