use dpipe_testkit::InputWorld;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::*;

fn unix(path: &Path, settings: &str) -> Box<Unix> {
    let settings = format!(r#"{{"path":"x"{settings}}}"#);
    Box::new(Unix { path: path.to_owned(), config: serde_json::from_str(&settings).unwrap() })
}

/// Runs the input while `act` sends to its socket.
async fn run(world: &InputWorld, input: Box<Unix>, act: impl AsyncFnOnce()) {
    let path = input.path.clone();
    let acting = async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
        act().await;
        world.stop();
    };
    let (ended, ()) = tokio::join!(world.run(input), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(!path.exists(), "the socket's file is gone");
}

#[tokio::test]
async fn connections_send_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let world = InputWorld::new();
    run(&world, unix(&path, ""), async || {
        let mut client = UnixStream::connect(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        client.write_all(b"one\ntwo\n").await.unwrap();
        world.until(|world| world.lines().len() == 2).await;
    })
    .await;
    assert_eq!(world.lines(), ["one", "two"]);
}

#[tokio::test]
async fn a_datagram_is_an_event_and_a_long_one_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut world = InputWorld::new();
    world.line_bytes_max = 10;
    run(&world, unix(&path, r#","kind":"datagram","mode":"660""#), async || {
        let client = UnixDatagram::unbound().unwrap();
        for text in ["one\nline\n", "0123456789abc", "two"] {
            client.send_to(text.as_bytes(), &path).await.unwrap();
        }
        world.until(|world| world.lines().len() == 3).await;
    })
    .await;
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, ["0123456789", "one\nline", "two"]);
    assert_eq!(world.cut().len(), 1);
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    clear(&path).unwrap();
    assert!(!path.exists());
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(clear(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let file = dir.path().join("f");
    std::fs::write(&file, "x").unwrap();
    assert!(clear(&file).is_err() && file.exists());
    let datagram = dir.path().join("d");
    let socket = std::os::unix::net::UnixDatagram::bind(&datagram).unwrap();
    assert!(clear(&datagram).is_err());
    drop(socket);
    clear(&datagram).unwrap();
}
