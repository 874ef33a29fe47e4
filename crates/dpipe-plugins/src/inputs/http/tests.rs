use std::net::SocketAddr;

use dpipe_testkit::InputWorld;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Serves on a free port while `act` asks.
async fn serve(world: &InputWorld, settings: &str, act: impl AsyncFnOnce(SocketAddr)) {
    let config = format!(r#"{{"listen":"127.0.0.1:0"{settings}}}"#);
    let config: Config = serde_json::from_str(&config).unwrap();
    let listener = TcpListener::bind(config.listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acting = async {
        act(address).await;
        world.stop();
    };
    let (ended, ()) = tokio::join!(server::run(config, listener, world.context()), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
}

/// A request on a connection of its own; returns the status and the whole answer.
async fn ask(address: SocketAddr, request: &str, body: &[u8]) -> (u16, String) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let length = if request.contains("chunked") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let head = format!("{request}\r\nHost: x\r\nConnection: close\r\n{length}\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(body).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

async fn post(address: SocketAddr, headers: &str, body: &str) -> (u16, String) {
    ask(address, &format!("POST / HTTP/1.1{headers}"), body.as_bytes()).await
}

#[tokio::test]
async fn lines_values_and_forms_are_taken_and_counted() {
    let world = InputWorld::new();
    serve(&world, "", async |address| {
        let (status, answer) = post(address, "", "one\ntwo").await;
        assert_eq!(status, 200);
        assert!(answer.ends_with("{\"events\":2}\n"), "{answer}");
        let json = "\r\nContent-Type: application/json";
        assert_eq!(post(address, json, r#"[{"a":1},{"b":2}]"#).await.0, 200);
        let form = "\r\nContent-Type: application/x-www-form-urlencoded";
        assert_eq!(post(address, form, "msg=us%2C1").await.0, 200);
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked";
        let body = b"4\r\nthre\r\n5\r\ne\nfou\r\n1\r\nr\r\n0\r\n\r\n";
        assert_eq!(ask(address, chunked, body).await.0, 200);
        let zstd = zstd::encode_all(&b"packed\n"[..], 1).unwrap();
        let packed = "POST / HTTP/1.1\r\nContent-Encoding: zstd";
        assert_eq!(ask(address, packed, &zstd).await.0, 200);
        assert_eq!(post(address, "", "").await.0, 200);
    })
    .await;
    let expected = ["one", "two", r#"{"a":1}"#, r#"{"b":2}"#, "us,1", "three", "four", "packed"];
    assert_eq!(world.lines(), expected);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_as_a_whole() {
    let world = InputWorld::new();
    serve(&world, r#","path":"/in","body_bytes_max":"1KiB""#, async |address| {
        let to = |what: &str| format!("{what} HTTP/1.1");
        assert_eq!(ask(address, &to("POST /elsewhere"), b"x").await.0, 404);
        let (status, answer) = ask(address, &to("GET /in"), b"").await;
        assert!(status == 405 && answer.to_lowercase().contains("allow: post"), "{answer}");
        assert_eq!(ask(address, &to("POST /in"), &[b'x'; 2000]).await.0, 413);
        let json = to("POST /in") + "\r\nContent-Type: application/json";
        let (status, answer) = ask(address, &json, br#"{"a":1}{"b":"#).await;
        assert!(status == 400 && answer.contains("not JSON at byte 12"), "{answer}");
        let packed = to("POST /in") + "\r\nContent-Encoding: br";
        assert_eq!(ask(address, &packed, b"x").await.0, 415);
        assert_eq!(ask(address, &to("GET /health"), b"").await.0, 200);
    })
    .await;
    assert!(world.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_until_the_events_have_arrived() {
    let world = InputWorld::holding_receipts();
    serve(&world, "", async |address| {
        let asked = tokio::spawn(async move { post(address, "", "one\n").await.0 });
        world.sent(1).await;
        assert!(!asked.is_finished());
        world.settle();
        assert_eq!(asked.await.unwrap(), 200);
        let (status, _) = post(address, "", "two\n").await;
        assert_eq!(status, 504, "nobody settles it");
        world.settle();
    })
    .await;
}

#[tokio::test]
async fn an_answer_from_memory_waits_for_nothing() {
    let world = InputWorld::holding_receipts();
    serve(&world, r#","acknowledge":"memory""#, async |address| {
        assert_eq!(post(address, "", "one\n").await.0, 200);
        world.settle();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_room_a_client_is_asked_to_come_again() {
    let world = InputWorld::without_credit();
    serve(&world, "", async |address| {
        let (status, answer) = post(address, "", "one\n").await;
        assert!(status == 503 && answer.to_lowercase().contains("retry-after: 1"), "{answer}");
        assert_eq!(ask(address, "GET /health HTTP/1.1", b"").await.0, 503);
    })
    .await;
    assert!(world.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_credit_counts_among_what_is_unfinished() {
    let world = InputWorld::without_credit();
    let settings = r#","wait":"1h","bounds":{"unfinished_bytes_max":"1KiB"}"#;
    serve(&world, settings, async |address| {
        let waiting = tokio::spawn(async move { post(address, "", &"a".repeat(1000)).await.0 });
        world.asked_for_credit().await;
        assert_eq!(post(address, "", &"b".repeat(600)).await.0, 503);
        assert_eq!(world.skipped()["unfinished_bytes"], 1);
        waiting.abort();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_again_under_its_key_is_taken_once() {
    let world = InputWorld::new();
    serve(&world, "", async |address| {
        let key = "\r\nIdempotency-Key: 1f";
        assert_eq!(post(address, key, "one\n").await.0, 200);
        let (status, answer) = post(address, key, "one\n").await;
        assert!(status == 200 && answer.contains("idempotent-replayed: true"), "{answer}");
        assert_eq!(post(address, "\r\nIdempotency-Key: 2f", "two\n").await.0, 200);
    })
    .await;
    assert_eq!(world.lines(), ["one", "two"]);
}

#[tokio::test]
async fn a_client_that_has_no_tenant_is_left_out_and_no_other_notices() {
    let world = InputWorld::new();
    let config: Config = serde_json::from_str(r#"{"listen":"127.0.0.1:0"}"#).unwrap();
    let listener = TcpListener::bind(config.listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    let acting = async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut client = socket.connect(address).await.unwrap();
        assert!(matches!(client.read(&mut [0]).await, Ok(0) | Err(_)));
        assert_eq!(post(address, "", "one\n").await.0, 200);
        world.stop();
    };
    let context = crate::net::testing::refusing("127.0.0.2", world.context());
    let (ended, ()) = tokio::join!(server::run(config, listener, context), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
}

#[test]
fn settings_are_checked() {
    let check = |settings: &str| {
        let config: Config = serde_json::from_str(settings).unwrap();
        config.check().iter().map(ToString::to_string).collect::<String>()
    };
    assert_eq!(check(r#"{"listen":"127.0.0.1:1"}"#), "");
    assert!(check(r#"{"listen":"[::]:1"}"#).contains("can be reached"));
    assert!(check(r#"{"listen":"[::1]:1","path":"in"}"#).contains("begins with a slash"));
    assert!(check(r#"{"listen":"[::1]:1","path":"/health"}"#).contains("another path"));
}
