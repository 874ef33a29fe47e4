use std::time::Duration;

use dpipe_event::{Buffer as Bytes, Builder, Frame, Origin, Progress, StreamId, Timestamp};
use dpipe_plugin::settings::ByteSize;
use tokio::time::advance;

use super::*;

fn queue(memory: u64, when_full: WhenFull) -> Queue {
    Queue::new(&Buffer { memory: ByteSize::new(memory), when_full }, Arc::new(Notify::new()))
}

fn shipment(events: usize, bytes: usize) -> Shipment {
    let mut builder = Builder::new();
    builder.begin(Bytes::from(b"x\n".to_vec()), 0, Timestamp::default());
    for _ in 0..events {
        builder.push_text(&Frame { bytes: b"x", start: 0, original_len: 1 });
    }
    let origin = Origin {
        tenant: "t".into(),
        input: "in".into(),
        file: "f".into(),
        logfile: "f".into(),
        host: "h".into(),
        stream: StreamId::default(),
    };
    Shipment {
        batch: Arc::new(builder.finish(Arc::new(origin), "in".into())),
        encodings: Arc::default(),
        tenant: Arc::new(Tenant::alone("t")),
        bytes,
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_runner_has_is_there_until_it_is_settled() {
    let queue = queue(1000, WhenFull::Block);
    let stream = Progress::new(0, || {});
    queue.push(shipment(3, 30), stream.open(30, None));
    advance(Duration::from_millis(100)).await;
    queue.push(shipment(2, 20), stream.open(50, None));
    advance(Duration::from_millis(50)).await;
    let (ticket, _) = queue.try_take().unwrap();
    let depth = queue.depth();
    assert_eq!((depth.batches, depth.events, depth.bytes), (2, 5, 50));
    assert_eq!((depth.in_hand_batches, depth.in_hand_events, depth.in_hand_bytes), (1, 3, 30));
    assert_eq!(depth.oldest_millis, 150);
    assert!(queue.done(ticket, 1).is_none());
    assert_eq!(queue.depth().events, 4);
    queue.done(ticket, 2).unwrap().settle();
    assert!(queue.done(ticket, 1).is_none());
    let depth = queue.depth();
    assert_eq!((depth.batches, depth.in_hand_bytes, depth.oldest_millis), (1, 0, 50));
    assert_eq!(stream.settled(), 30);
}

#[tokio::test(start_paused = true)]
async fn shipments_may_be_settled_in_another_order() {
    let queue = queue(1000, WhenFull::Block);
    let stream = Progress::new(0, || {});
    let tickets: Vec<_> = (1..=3)
        .map(|n| {
            queue.push(shipment(1, 1), stream.open(n, None));
            queue.try_take().unwrap().0
        })
        .collect();
    for n in [1, 2, 0] {
        queue.done(tickets[n], 1).unwrap().settle();
    }
    assert_eq!((stream.settled(), queue.depth().batches), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_abandoned_is_told_and_is_no_loss() {
    let queue = queue(1000, WhenFull::Block);
    let stream = Progress::new(0, || {});
    queue.push(shipment(3, 30), stream.open(30, None));
    queue.push(shipment(2, 20), stream.open(50, None));
    let (ticket, _) = queue.try_take().unwrap();
    assert!(queue.done(ticket, 1).is_none());
    let left = queue.abandon();
    assert_eq!(left.iter().map(|left| left.events).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(&*left[0].input, "in");
    assert_eq!((stream.settled(), stream.lost_receipts()), (0, 0));
    assert_eq!(queue.depth().batches, 0);
}

#[tokio::test(start_paused = true)]
async fn trouble_lasts_from_the_first_failure_until_something_arrives() {
    let queue = queue(1000, WhenFull::Block);
    queue.asks();
    advance(Duration::from_secs(2)).await;
    assert_eq!(queue.depth().unanswered_millis, 2000);
    assert_eq!(queue.failed(false, "no route"), 1);
    advance(Duration::from_secs(3)).await;
    assert_eq!(queue.failed(false, "refused"), 2);
    let depth = queue.depth();
    assert_eq!((depth.unanswered_millis, depth.failing_millis, depth.attempts), (0, 3000, 2));
    assert_eq!(depth.last_error.as_deref(), Some("refused"));
    // The output holds what it was given: if only writes had failed, all would be well.
    queue.went_well(false);
    assert_eq!(queue.depth().last_error, None);
    queue.failed(true, "disk full");
    queue.went_well(false);
    assert_eq!(queue.depth().attempts, 1);
    queue.went_well(true);
    assert_eq!(queue.depth().attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn the_gate_closes_over_the_bound_and_opens_with_room_to_spare() {
    let queue = queue(100, WhenFull::Block);
    for _ in 0..3 {
        assert!(queue.push(shipment(1, 40), Receipt::unwatched()).is_empty());
    }
    assert!(queue.is_full());
    queue.try_take();
    assert!(queue.is_full(), "80 of 100 are more than three quarters");
    queue.try_take();
    assert!(!queue.is_full());
}

#[tokio::test(start_paused = true)]
async fn where_it_may_drop_the_oldest_that_waits_goes_first() {
    let queue = queue(100, WhenFull::DropOldest);
    let dropped: usize =
        (0..4).map(|_| queue.push(shipment(1, 40), Receipt::unwatched()).len()).sum();
    assert_eq!((dropped, queue.depth().bytes, queue.is_full()), (2, 80, false));
}
