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

#[tokio::test]
async fn a_sender_that_has_no_tenant_is_left_out_and_no_other_notices() {
    let world = InputWorld::new();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let acting = async {
        let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        other.send_to(b"none", address).await.unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"one", address).await.unwrap();
        world.until(|world| world.lines().len() == 1).await;
        world.stop();
    };
    let context = crate::net::testing::refusing("127.0.0.2", world.context());
    let (ended, ()) = tokio::join!(Datagrams::new("udp", context).run(socket), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!((world.lines(), world.skipped()["path_without_tenant"]), (vec!["one".into()], 1));
}

#[tokio::test]
async fn datagrams_up_to_the_limit_are_whole_whatever_their_line_end() {
    let mut world = InputWorld::new();
    world.line_bytes_max = 1;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let acting = async {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for (number, text) in ["a", "b\n", "c\r\n", "\r\n", "de", "fghijk"].iter().enumerate() {
            client.send_to(text.as_bytes(), address).await.unwrap();
            world.until(|world| world.lines().len() == number + 1).await;
        }
        world.stop();
    };
    let datagrams = Datagrams::new("udp", world.context());
    let (ended, ()) = tokio::join!(datagrams.run(socket), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(world.lines(), ["a", "b", "c", "", "d", "f"]);
    assert_eq!(world.cut(), [2, 4]);
}

/// A socket that has one datagram after the other, from two senders in turn.
struct Endless(std::sync::atomic::AtomicUsize, &'static [u8]);

impl DatagramSocket for Endless {
    fn readable(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(())
        })
    }

    fn try_receive(&self, room: &mut [u8]) -> io::Result<(usize, Option<IpAddr>)> {
        let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        room[..self.1.len()].copy_from_slice(self.1);
        Ok((self.1.len(), Some(IpAddr::from([127, 0, 0, 1 + (number % 2) as u8]))))
    }
}

#[tokio::test]
async fn empty_datagrams_without_end_are_taken_some_at_a_time() {
    let world = InputWorld::new();
    let acting = async {
        world.sent(4).await;
        world.stop();
    };
    let datagrams = Datagrams::new("udp", world.context());
    let (ended, ()) = tokio::join!(datagrams.run(Endless(0.into(), b"")), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(world.lines().len() / world.chunks() <= 1024);
    assert_eq!(world.gap(), None);
}

#[tokio::test]
async fn a_datagram_takes_up_no_more_credit_than_it_has_bytes() {
    let world = InputWorld::holding_receipts();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let acting = async {
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"one", address).await.unwrap();
        world.sent(1).await;
        assert_eq!(world.lent(), 3);
        world.stop();
        world.settle();
    };
    let datagrams = Datagrams::new("udp", world.context());
    let (ended, ()) = tokio::join!(datagrams.run(socket), acting);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert_eq!(world.lent(), 0);
}

#[test]
fn the_kernel_tells_what_it_threw_away() {
    let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
         1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1234 2 0000000000000000 42\n\
         2: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0000000000000000 7\n";
    assert_eq!((drops_of(table, 8080), drops_of(table, 68), drops_of(table, 1)), (42, 7, 0));
}
