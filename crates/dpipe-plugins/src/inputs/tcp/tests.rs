use dpipe_testkit::InputWorld;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Serves on a free port while `act` connects.
async fn serve(
    world: &InputWorld,
    framing: Framing,
    bounds: Bounds,
    act: impl AsyncFnOnce(std::net::SocketAddr),
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Service { plugin: "tcp", framing, bounds };
    let acting = async {
        act(address).await;
        world.stop();
    };
    let (ended, ()) = tokio::join!(service.run(listener, world.context()), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
}

async fn send(address: std::net::SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(bytes).await.unwrap();
    client
}

/// Waits until the other side has closed.
async fn is_closed(mut client: TcpStream) -> bool {
    let mut byte = [0];
    matches!(client.read(&mut byte).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn lines_of_many_clients_arrive_each_in_its_order() {
    let world = InputWorld::new();
    serve(&world, Framing::Newline, Bounds::default(), async |address| {
        let mut clients = Vec::new();
        for name in ["a", "b", "c"] {
            clients.push(send(address, format!("{name}1\n{name}2\r\n{name}").as_bytes()).await);
        }
        for client in &mut clients {
            client.write_all(b"3\nlast").await.unwrap();
        }
        drop(clients);
        world.until(|world| world.lines().len() == 12).await;
    })
    .await;
    for lines in world.lines_by_file().values() {
        let name = &lines[0][..1];
        let expected = ["1", "2", "3"].map(|number| format!("{name}{number}"));
        assert_eq!(lines[..3], expected);
        assert_eq!(lines[3], "last");
    }
    assert_eq!(world.lines_by_file().len(), 3);
    assert!(world.skipped().is_empty());
}

#[tokio::test]
async fn a_client_that_announces_too_much_is_closed_and_no_other_notices() {
    let mut world = InputWorld::new();
    world.line_bytes_max = 100;
    serve(&world, Framing::OctetCount, Bounds::default(), async |address| {
        let mut good = send(address, b"3 one").await;
        assert!(is_closed(send(address, b"2 ok101 x").await).await);
        assert!(is_closed(send(address, b"GET / HTTP/1.1\r\n").await).await);
        good.write_all(b"3 two").await.unwrap();
        world.until(|world| world.lines().len() == 3).await;
    })
    .await;
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["ok", "one", "two"]);
    assert_eq!(world.skipped()["frame_too_long"], 1);
    assert_eq!(world.skipped()["bad_frame_length"], 1);
}

#[tokio::test]
async fn a_client_that_has_no_tenant_is_left_out_and_no_other_notices() {
    let world = InputWorld::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (framing, bounds) = (Framing::Newline, Bounds::default());
    let service = Service { plugin: "tcp", framing, bounds };
    let acting = async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        assert!(is_closed(socket.connect(address).await.unwrap()).await);
        let _good = send(address, b"one\n").await;
        world.until(|world| world.lines().len() == 1).await;
        world.stop();
    };
    let context = crate::net::testing::refusing("127.0.0.2", world.context());
    let (ended, ()) = tokio::join!(service.run(listener, context), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(world.skipped()["path_without_tenant"], 1);
}

#[tokio::test]
async fn clients_beyond_the_bound_are_turned_away() {
    let world = InputWorld::new();
    let bounds = Bounds { connections_per_address_max: 1, ..Bounds::default() };
    serve(&world, Framing::Newline, bounds, async |address| {
        let first = send(address, b"one\n").await;
        world.until(|world| world.lines().len() == 1).await;
        assert!(is_closed(TcpStream::connect(address).await.unwrap()).await);
        drop(first);
        // Its place is free again once its end was seen.
        while world.lines().len() == 1 {
            drop(send(address, b"two\n").await);
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(world.skipped()["too_many_connections_of_address"] >= 1);
}

#[tokio::test(start_paused = true)]
async fn clients_that_stall_are_closed_on_time() {
    let world = InputWorld::new();
    let bounds = Bounds {
        idle_after: dpipe_plugin::settings::Period::seconds(30),
        frame_within: dpipe_plugin::settings::Period::seconds(5),
        ..Bounds::default()
    };
    serve(&world, Framing::Newline, bounds, async |address| {
        let silent = TcpStream::connect(address).await.unwrap();
        let slow = send(address, b"whole\nhal").await;
        assert!(is_closed(slow).await);
        assert!(is_closed(silent).await);
    })
    .await;
    assert_eq!(world.lines(), ["whole"]);
    assert_eq!(world.skipped()["frame_too_slow"], 1);
    assert_eq!(world.skipped()["unfinished_frame"], 1);
    assert_eq!(world.skipped()["idle"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_blamed_for_a_wait_that_is_not_its_own() {
    let world = InputWorld::new();
    let frame_within = dpipe_plugin::settings::Period::seconds(5);
    let bounds = Bounds { frame_within, ..Bounds::default() };
    serve(&world, Framing::Newline, bounds, async |address| {
        let mut client = send(address, b"ha").await;
        world.asked_for_credit().await;
        world.starve("127.0.0.1");
        client.write_all(b"l").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(20)).await;
        world.feed();
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        client.write_all(b"f\n").await.unwrap();
        world.until(|world| !world.lines().is_empty() || !world.skipped().is_empty()).await;
    })
    .await;
    assert_eq!((world.lines(), world.skipped().len()), (vec!["half".into()], 0));
}

#[tokio::test]
async fn an_event_that_a_stop_leaves_no_time_for_is_counted() {
    let rule = serde_json::json!({ "continuation": "^ ", "timeout": "1h" });
    let mut world = InputWorld::new();
    world.multiline = Some(std::sync::Arc::new(serde_json::from_value(rule).unwrap()));
    serve(&world, Framing::Newline, Bounds::default(), async |address| {
        let _client = send(address, b"one\n two\n").await;
        world.asked_for_credit().await;
        world.starve("127.0.0.1");
        world.abandon();
    })
    .await;
    assert!(world.lines().is_empty());
    assert_eq!(world.skipped()["unfinished_frame"], 1);
}

#[tokio::test]
async fn memory_for_unfinished_frames_is_bounded_over_all_clients() {
    let world = InputWorld::new();
    let bounds = Bounds {
        unfinished_bytes_max: dpipe_plugin::settings::ByteSize::kib(8),
        ..Bounds::default()
    };
    serve(&world, Framing::Newline, bounds, async |address| {
        assert!(is_closed(send(address, &[b'x'; 20_000]).await).await);
        let _good = send(address, b"one\n").await;
        world.until(|world| world.lines().len() == 1).await;
    })
    .await;
    assert_eq!(world.skipped()["unfinished_bytes"], 1);
}

#[tokio::test]
async fn without_credit_nothing_is_read_and_a_stop_is_not_held_up() {
    let world = InputWorld::without_credit();
    serve(&world, Framing::Newline, Bounds::default(), async |address| {
        let _client = send(address, b"one\n").await;
        world.asked_for_credit().await;
    })
    .await;
    assert!(world.lines().is_empty());
}

#[tokio::test]
async fn a_stop_waits_until_what_was_read_has_arrived() {
    let world = InputWorld::holding_receipts();
    serve(&world, Framing::Newline, Bounds::default(), async |address| {
        let _client = send(address, b"one\n").await;
        world.sent(1).await;
        world.stop();
        world.settle();
    })
    .await;
    assert_eq!(world.lines(), ["one"]);
}

#[test]
fn listening_where_others_can_connect_has_to_be_said() {
    let config = |more: &str| -> Config {
        serde_json::from_str(&format!(r#"{{"listen":"0.0.0.0:5140"{more}}}"#)).unwrap()
    };
    let problems = config("").check();
    assert!(problems[0].to_string().contains("can be reached from other machines"));
    assert!(config(r#","allow_insecure":true"#).check().is_empty());
}
