use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;

use dpipe_env::RealEnv;
use dpipe_testkit::{OutputCheck, output_mistake};

use super::*;

/// A server that gives these answers, one after the other, and says what it was asked.
fn server(answers: &[&str]) -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let (asked, receiver) = mpsc::channel();
    let answers: Vec<String> = answers.iter().map(|answer| answer.to_string()).collect();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut client, _) = listener.accept().unwrap();
            let request = read_request(&mut client);
            let answer =
                format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).unwrap();
            asked.send(request).unwrap();
        }
    });
    (url, receiver)
}

fn read_request(client: &mut TcpStream) -> (String, Vec<u8>) {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = client.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            return (head, bytes[end + 4..].to_vec());
        }
    }
}

fn output(url: &str, more: &str) -> OutputCheck {
    let settings = format!("{{ type: http, url: '{url}'{more} }}");
    OutputCheck::new::<Config>(&settings, RealEnv, Path::new("/"))
}

#[test]
fn a_batch_is_posted_with_the_flush() {
    let (url, asked) = server(&["200 OK"]);
    let mut output = output(&url, "");
    assert_eq!(output.write("{\"a\":1}\n{\"b\":2}"), Written::Held);
    assert_eq!(output.write("{\"c\":3}"), Written::Held);
    assert_eq!(output.flush(), Written::Delivered);
    let (head, body) = asked.recv().unwrap();
    assert!(head.starts_with("post /base http/1.1"), "{head}");
    assert!(head.contains("content-type: application/x-ndjson"), "{head}");
    assert_eq!(body, b"{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
}

#[test]
fn bodies_can_be_lists_and_packed() {
    let (url, asked) = server(&["204 No Content"]);
    let mut output = output(&url, ", body: json_array, compression: gzip");
    output.write("{\"a\":1}\n{\"b\":2}");
    assert_eq!(output.flush(), Written::Delivered);
    let (head, body) = asked.recv().unwrap();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "[{\"a\":1},{\"b\":2}]");
}

#[test]
fn events_go_to_the_path_and_with_the_headers_that_they_make() {
    let (url, asked) = server(&["200 OK", "200 OK"]);
    let more = r#", path: "/in/{k}?x=1", headers: { X-Kind: "k-{k}" }"#;
    let mut output = output(&url, more);
    output.write("{\"k\":\"a/../b c\",\"n\":1}\n{\"k\":\"z\"}\n{\"k\":\"a/../b c\",\"n\":2}");
    assert_eq!(output.flush(), Written::Delivered);
    let (head, body) = asked.recv().unwrap();
    assert!(head.starts_with("post /in/a%2f..%2fb%20c?x=1 "), "{head}");
    assert!(head.contains("x-kind: k-a/../b c"), "{head}");
    assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert!(asked.recv().unwrap().0.starts_with("post /in/z?x=1 "));
}

#[test]
fn a_header_that_an_event_would_break_out_of_refuses_the_event() {
    let (url, asked) = server(&["200 OK"]);
    let mut output = output(&url, r#", headers: { X-Kind: "{k}" }"#);
    output.write("{\"k\":\"a\\r\\nEvil: 1\"}\n{\"k\":\"good\"}");
    let Written::Refused(refused) = output.flush() else { panic!("one cannot be sent") };
    assert_eq!(refused.iter().map(|r| r.index).collect::<Vec<_>>(), [0]);
    assert!(!asked.recv().unwrap().0.contains("evil"));
}

#[test]
fn an_event_that_makes_a_path_or_header_too_long_is_refused_and_the_others_go() {
    for more in [r#", path: "/in/{k}""#, r#", headers: { X-Kind: "{k}" }"#] {
        let (url, asked) = server(&["200 OK"]);
        let mut output = output(&url, more);
        output.write(&format!("{{\"k\":\"{}\"}}\n{{\"k\":\"good\"}}", "x".repeat(70_000)));
        let Written::Refused(refused) = output.flush() else { panic!("one cannot be sent") };
        assert_eq!(
            refused.iter().map(|r| (r.index, r.kind)).collect::<Vec<_>>(),
            [(0, "bad_target")]
        );
        assert_eq!(asked.recv().unwrap().1, b"{\"k\":\"good\"}\n");
    }
}

#[test]
fn an_event_that_the_encoder_refused_is_not_sent() {
    for (more, expected) in
        [("", "{\"a\":1}\n{\"b\":2}\n"), (", body: json_array", "[{\"a\":1},{\"b\":2}]")]
    {
        let (url, asked) = server(&["200 OK"]);
        let mut output = output(&url, more);
        output.write_parcel(&crate::frames_out::tests::parcel(&["{\"a\":1}\n", "", "{\"b\":2}\n"]));
        assert_eq!(output.flush(), Written::Delivered);
        assert_eq!(asked.recv().unwrap().1, expected.as_bytes());
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let (url, asked) = server(&["503 Busy\r\nRetry-After: 7", "200 OK"]);
    let mut output = output(&url, "");
    output.write("{\"a\":1}");
    let Written::Retry { after, reason } = output.flush() else { panic!("it is to wait") };
    assert_eq!(after, Some(Duration::from_secs(7)));
    assert_eq!(reason, "answered 503");
    output.write("{\"a\":1}");
    assert_eq!(output.flush(), Written::Delivered);
    let _ = asked.recv().unwrap();
    assert_eq!(asked.recv().unwrap().1, b"{\"a\":1}\n");
}

#[test]
fn what_was_answered_before_a_later_request_failed_is_not_sent_again() {
    let (url, asked) = server(&["200 OK", "500 Oh", "200 OK"]);
    let mut output = output(&url, ", path: '/{k}'");
    let events = "{\"k\":\"a\"}\n{\"k\":\"b\"}";
    output.write(events);
    assert!(matches!(output.flush(), Written::Retry { .. }));
    output.write(events);
    assert_eq!(output.flush(), Written::Delivered);
    let paths: Vec<_> = asked.iter().map(|(head, _)| head[5..7].to_owned()).collect();
    assert_eq!(paths, ["/a", "/b", "/b"]);
}

#[test]
fn a_batch_that_is_too_large_is_halved_until_one_event_is_left() {
    let large = "413 Too Large";
    let (url, asked) = server(&[large, "200 OK", large, "200 OK", large]);
    let mut output = output(&url, "");
    output.write("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}");
    let Written::Refused(refused) = output.flush() else { panic!("the last one is too large") };
    assert_eq!(refused.iter().map(|r| r.index).collect::<Vec<_>>(), [3]);
    let sizes: Vec<_> = asked.iter().map(|(_, body)| body.len() / 8).collect();
    assert_eq!(sizes, [4, 2, 2, 1, 1]);
}

#[test]
fn what_the_server_will_not_have_is_refused_with_its_reason() {
    let (url, _asked) = server(&["422 Never"]);
    let mut output = output(&url, "");
    output.write("{\"n\":1}\n{\"n\":2}");
    let Written::Refused(refused) = output.flush() else { panic!("it is refused") };
    assert_eq!(refused.len(), 2);
    assert_eq!(refused[1].reason, "answered 422");
}

#[test]
fn without_a_server_the_events_wait_and_the_reason_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let mut output = output(&url, "");
    output.write("{\"a\":1}");
    let Written::Retry { reason, .. } = output.flush() else { panic!("it is to wait") };
    assert!(reason.contains("refused"), "{reason}");
}

#[test]
fn settings_are_checked() {
    let mistake = |more: &str| output_mistake::<Config>(&format!("{{ type: http, {more} }}"));
    assert!(mistake("url: https://x/").contains("does not speak TLS"));
    assert!(mistake("url: localhost").contains("a scheme and a host"));
    assert!(mistake("url: 'http://x/', path: '{k}'").contains("begins with a slash"));
    assert!(mistake("url: 'http://x/', path: '/a b'").contains("no path of a URL"));
    assert!(mistake("url: 'http://x/', headers: { 'a b': c }").contains("no name of a header"));
    assert!(mistake("url: 'http://x/', headers: { Host: c }").contains("made by dpipe"));
}
