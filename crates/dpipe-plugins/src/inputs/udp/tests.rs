use dpipe_testkit::InputWorld;

use super::*;

#[tokio::test]
async fn each_datagram_is_an_event_of_its_sender() {
    let world = InputWorld::new();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let acting = async {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        for text in ["one\n", "two\nlines\r\n", ""] {
            client.send_to(text.as_bytes(), address).await.unwrap();
        }
        other.send_to(b"three", address).await.unwrap();
        world.until(|world| world.lines().len() == 4).await;
        world.stop();
    };
    let datagrams = Datagrams::new("udp", world.context());
    let (ended, ()) = tokio::join!(datagrams.run(socket), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    let by_sender = world.lines_by_file();
    assert_eq!(by_sender["127.0.0.1"], ["one", "two\nlines", ""]);
    assert_eq!(by_sender["127.0.0.2"], ["three"]);
}

#[test]
fn the_kernel_tells_what_it_threw_away() {
    let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
         1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1234 2 0000000000000000 42\n\
         2: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0000000000000000 7\n";
    assert_eq!((drops_of(table, 8080), drops_of(table, 68), drops_of(table, 1)), (42, 7, 0));
}
