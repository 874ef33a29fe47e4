//! Web servers write access logs, which the codec `combined` reads.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{done, events, program};
use crate::process::{World, wait_until};

/// A server that runs; ended with the test.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a server by a configuration for a port; another one, if somebody was faster there.
    fn start(world: &World, start: impl Fn(u16) -> Command) -> Server {
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let said = File::create(world.path("server.said")).unwrap();
            let mut child =
                start(port).stdout(Stdio::null()).stderr(Stdio::from(said)).spawn().unwrap();
            let mut ended = false;
            wait_until("the server runs or has given up", || {
                ended = child.try_wait().unwrap().is_some();
                ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            if !ended {
                return Server { child, port };
            }
        }
        panic!("the server does not start: {}", world.read("server.said"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Follows `access.log` while `visit` has the server write it, and looks at what was read.
fn visited(world: &World, server: &Server) {
    let running = world.start();
    let url = format!("http://127.0.0.1:{}", server.port);
    let visit = |path: &str, arguments: &[&str]| {
        let mut curl = program("curl");
        curl.args(["--silent", "--show-error", "--max-time", "30", "--output", "/dev/null"]);
        done(curl.args(arguments).arg(format!("{url}{path}")), b"");
    };
    visit("/there.txt?q=a%20b", &["--user-agent", "a \"quoted\" agent", "--referer", "http://x/y"]);
    visit("/nowhere", &["--request", "POST", "--data", "x=1"]);
    let events = events(world, 2);
    let first = &events[0];
    let all = format!("{first}\n{}", events[1]);
    assert!(first["request"].as_str().is_none_or(|line| line.starts_with("GET ")), "{all}");
    let values: Vec<&Value> = first.as_object().unwrap().values().collect();
    let has = |wanted: &Value| values.contains(&wanted);
    assert!(has(&"127.0.0.1".into()) && has(&"GET".into()), "{all}");
    assert!(has(&"/there.txt?q=a%20b".into()) && has(&200.into()), "{all}");
    assert!(has(&"http://x/y".into()), "{all}");
    assert!(all.contains(r#"a \"quoted\" agent"#), "{all}");
    assert!(events[1].to_string().contains("404") && events[1].to_string().contains("POST"));
    // The time is that of the log line, to the second, and not that of the reading.
    let time = first["_time"].as_str().unwrap();
    assert!(time.ends_with(".000Z"), "{all}");
    running.stop();
}

fn world() -> World {
    let world = World::new(
        "
inputs: { in: { type: file, include: [access.log], codec: combined } }
outputs: { out: { type: file, match: in, path: got.jsonl, codec: { type: json, metadata: [_time] } } }
",
    );
    world.write("www/there.txt", "here I am\n");
    world
}

fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_access_log_of_nginx_is_read() {
    let world = world();
    let folder = shown(&world.path(""));
    let server = Server::start(&world, |port| {
        world.write(
            "nginx.conf",
            format!(
                "
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"
            ),
        );
        let mut nginx = program("nginx");
        nginx.arg("-e").arg("stderr").arg("-c").arg(world.path("nginx.conf"));
        nginx
    });
    visited(&world, &server);
}

#[test]
fn the_access_log_of_apache_is_read() {
    let world = world();
    let folder = shown(&world.path(""));
    let server = Server::start(&world, |port| {
        world.write(
            "apache.conf",
            format!(
                r#"
ServerRoot "{folder}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{folder}/apache.pid"
Mutex file:{folder}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
ErrorLog "{folder}/error.log"
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{{Referer}}i\" \"%{{User-Agent}}i\"" combined
CustomLog "{folder}/access.log" combined
DocumentRoot "{folder}/www"
"#
            ),
        );
        let mut apache = program("apache2");
        apache.arg("-D").arg("FOREGROUND").arg("-f").arg(world.path("apache.conf"));
        apache
    });
    visited(&world, &server);
}
