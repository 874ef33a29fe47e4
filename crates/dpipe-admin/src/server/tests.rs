use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use super::*;
use crate::fake::{self, Fake, TOKEN};

fn serving(fake: &Arc<Fake>) -> Serving {
    let server = AdminServer::bind("127.0.0.1:0").unwrap();
    server.serve(fake.clone(), TOKEN.into(), fake::about()).unwrap()
}

/// Sends a request; `HOST` in it is the server's address. Returns everything that comes back.
fn exchange(serving: &Serving, request: &str) -> String {
    let mut stream = TcpStream::connect(serving.address()).unwrap();
    let request = request.replace("HOST", &serving.address().to_string());
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_free_port_is_taken_and_named() {
    let server = AdminServer::bind("localhost:0").unwrap();
    assert_ne!(server.address().port(), 0);
    assert!(server.address().ip().is_loopback());
}

#[test]
fn a_port_in_use_is_an_error_that_names_it_and_the_likely_cause() {
    let first = AdminServer::bind("127.0.0.1:0").unwrap();
    let address = first.address();
    let error = AdminServer::bind(&address.to_string()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "the admin API cannot listen on {address}: the port is in use, probably by another \
             dpipe; set `api.listen` to another port, or to 127.0.0.1:0 for a free one"
        )
    );
}

#[test]
fn an_address_off_the_loopback_is_refused() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9876"] {
        let error = AdminServer::bind(listen).unwrap_err();
        assert!(matches!(error, BindError::NotLoopback { .. }), "{listen}");
        assert!(error.to_string().contains(listen), "{error}");
    }
}

#[test]
fn what_is_no_address_is_named() {
    for listen in ["", "9876", "localhost", "127.0.0.1", "localhost:http", "example.com:80"] {
        let error = AdminServer::bind(listen).unwrap_err();
        assert!(matches!(error, BindError::Address { .. }), "{listen}");
        assert!(error.to_string().contains(&format!("`{listen}`")), "{error}");
    }
}

#[test]
fn requests_are_answered_over_the_wire() {
    let serving = serving(&Arc::default());
    let answer = exchange(&serving, "GET /admin/ping HTTP/1.1\r\nHost: HOST\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"pong\": true"), "{answer}");
    let answer = exchange(&serving, "HEAD /admin/ping HTTP/1.1\r\nHost: HOST\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = exchange(&serving, "GET /admin/ping HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    serving.stop();
}

#[test]
fn a_shutdown_is_answered_even_though_it_stops_the_server() {
    let fake = Arc::new(Fake::default());
    let serving = serving(&fake);
    let request = format!(
        "POST /admin/shutdown HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 2\r\n\r\n{{}}"
    );
    let answer = exchange(&serving, &request);
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert!(fake.stopping.load(Ordering::SeqCst));
    serving.stop();
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let serving = serving(&Arc::default());
    let request = format!(
        "POST /admin/shutdown HTTP/1.1\r\nHost: HOST\r\nContent-Length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    );
    // The length alone decides: nothing of the body has been sent.
    assert!(exchange(&serving, &request).starts_with("HTTP/1.1 413 "));
    let request = format!(
        "POST /admin/shutdown HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{}\r\n",
        BODY_BYTES_MAX + 1,
        "a".repeat(BODY_BYTES_MAX + 1)
    );
    assert!(exchange(&serving, &request).starts_with("HTTP/1.1 413 "));
    serving.stop();
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let serving = serving(&Arc::default());
    let request = format!("GET /{} HTTP/1.1\r\nHost: HOST\r\n\r\n", "a".repeat(HEAD_BYTES_MAX));
    let mut stream = TcpStream::connect(serving.address()).unwrap();
    // The server may close while we still write, and a reset may eat its answer.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    serving.stop();
}

#[test]
fn a_stopped_server_no_longer_listens() {
    let serving = serving(&Arc::default());
    let address = serving.address();
    // A client that asks nothing does not hold it up.
    let _silent = TcpStream::connect(address).unwrap();
    serving.stop();
    assert!(AdminServer::bind(&address.to_string()).is_ok());
}

#[test]
fn a_broken_connection_does_not_stop_the_server() {
    let serving = serving(&Arc::default());
    drop(TcpStream::connect(serving.address()).unwrap());
    let _ = exchange(&serving, "not HTTP\r\n\r\n");
    let answer = exchange(&serving, "GET /health HTTP/1.1\r\nHost: HOST\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    serving.stop();
}
