//! What is known of files after a crash, and what is found again.

use super::*;

const SOON: Duration = Duration::from_millis(20);

/// A run that ends with this, as a crash would end it: what was sent and not settled is lost.
async fn follow_until_killed(
    world: &InputWorld,
    logs: &Logs,
    settings: Value,
    test: impl AsyncFnOnce(),
) {
    follow(world, logs, settings, async || {
        test().await;
        // As much time as a crash leaves it at the worst.
        pass(SOON).await;
        world.lose();
        world.abandon();
    })
    .await;
}

/// How far the streams have come, by their checkpoints.
fn offsets(checkpoints: &std::collections::BTreeMap<String, String>) -> Vec<u64> {
    let saved = checkpoints.values().filter_map(|json| {
        let saved: Value = serde_json::from_str(json).unwrap();
        saved.get("offset")?.as_u64()
    });
    saved.collect()
}

#[tokio::test(start_paused = true)]
async fn a_position_is_noted_at_once_and_saved_within_a_second() {
    for watch in WAYS {
        let (world, logs) = (holding_receipts(), Logs::new());
        logs.write("a.log", "one\n");
        follow(&world, &logs, json!({ "watch": watch }), async || {
            expect(&world, vec!["one"]).await;
            pass(A_WHILE).await;
            assert_eq!(offsets(&world.checkpoints()), [0]);
            for arrived in [4, 8, 12] {
                world.settle();
                pass(SOON).await;
                assert_eq!(offsets(&world.checkpoints()), [arrived]);
                pass(Duration::from_secs(1)).await;
                assert_eq!(offsets(&world.saved()), [arrived]);
                logs.append("a.log", "two\n");
                world.until(|world| world.lines().len() as u64 == arrived / 4 + 1).await;
            }
            world.settle();
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_there_is_much_to_read_positions_are_noted_all_the_same() {
    let (world, logs) = (world(), Logs::new());
    let line = "a line of a long file\n";
    logs.write("a.log", line.repeat(1 << 20));
    follow(&world, &logs, json!({}), async || {
        // Besides this, time stands still while the input is busy: it is for what was sent.
        world.sent(1).await;
        tokio::time::advance(Duration::from_millis(1)).await;
        world.until(|world| offsets(&world.checkpoints()).iter().any(|&at| at > 0)).await;
        assert!(world.lines().len() < 1 << 19, "{} lines were sent before", world.lines().len());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_whose_link_moved_on_while_nobody_watched_is_read_to_its_end() {
    for (watch, folder) in [(true, "real"), (false, "real"), (true, "."), (false, ".")] {
        let logs = Logs::new();
        fs::create_dir(logs.path("real")).unwrap();
        let real = |n: usize| format!("{folder}/{n}");
        let first = holding_receipts();
        logs.write(&real(1), "one\n");
        symlink(real(1), logs.path("a.log")).unwrap();
        let settings = || json!({ "watch": watch });
        follow_until_killed(&first, &logs, settings(), async || {
            expect(&first, vec!["one"]).await;
        })
        .await;
        logs.append(&real(1), "two\n");
        logs.write(&real(2), "three\n");
        symlink(real(2), logs.path("next")).unwrap();
        logs.rename("next", "a.log");
        let second = first.restarted();
        follow(&second, &logs, settings(), async || {
            // Nothing had arrived before.
            expect(&second, vec!["one", "two", "three"]).await;
            second.settle();
            logs.append(&real(1), "late\n");
            expect(&second, vec!["one", "two", "three", "late"]).await;
            second.settle();
            pass(LONG).await;
        })
        .await;
        assert_eq!(second.skipped().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_file_whose_link_moves_on_is_found_where_it_is() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        fs::create_dir(logs.path("real")).unwrap();
        logs.write("real/1", "one\n");
        symlink("real/1", logs.path("a.log")).unwrap();
        let settings = json!({ "watch": watch, "open_files_max": 1 });
        follow(&world, &logs, settings, async || {
            expect(&world, vec!["one"]).await;
            logs.write("b.log", "other\n");
            expect(&world, vec!["one", "other"]).await;
            logs.append("real/1", "two\n");
            logs.write("real/2", "three\n");
            symlink("real/2", logs.path("next")).unwrap();
            logs.rename("next", "a.log");
            expect(&world, vec!["one", "other", "two", "three"]).await;
            pass(LONG).await;
        })
        .await;
        assert_eq!(world.skipped().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_folder_that_is_reached_by_a_link_new_files_are_noticed() {
    let (world, logs) = (world(), Logs::new());
    fs::create_dir(logs.path("real")).unwrap();
    symlink("real", logs.path("link")).unwrap();
    logs.write("real/a.log", "one\n");
    follow(&world, &logs, json!({ "include": ["link/*.log"] }), async || {
        expect(&world, vec!["one"]).await;
        logs.write("real/b.log", "two\n");
        let soon = expect(&world, vec!["one", "two"]);
        tokio::time::timeout(A_WHILE, soon).await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_empty_when_it_was_seen_is_looked_for_too() {
    let logs = Logs::new();
    let first = holding_receipts();
    logs.write("a.log", "");
    follow_until_killed(&first, &logs, json!({}), async || pass(A_WHILE).await).await;
    logs.append("a.log", "one\n");
    logs.rename("a.log", "out of sight");
    logs.write("a.log", "two\n");
    let second = first.restarted();
    follow(&second, &logs, json!({}), async || {
        expect(&second, vec!["one", "two"]).await;
        second.settle();
        pass(LONG).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_was_empty_when_it_was_seen_goes_on_where_the_original_stood() {
    let logs = Logs::new();
    let (first, text) = (world(), "long line\n".repeat(300));
    logs.write("a.log", &text);
    logs.write("a.log.1", "");
    follow_until_killed(&first, &logs, json!({}), async || {
        first.until(|world| world.lines().len() == 300).await;
    })
    .await;
    logs.append("a.log", "unread\n");
    logs.append("a.log.1", fs::read(logs.path("a.log")).unwrap());
    logs.write("a.log", "fresh\n");
    let second = first.restarted();
    follow(&second, &logs, json!({}), async || {
        expect(&second, vec!["unread", "fresh"]).await;
        pass(LONG).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_a_file_that_came_and_went_empty() {
    let (world, logs) = (world(), Logs::new());
    follow(&world, &logs, json!({}), async || {
        for _ in 0..3 {
            logs.write("a.log", "");
            pass(A_WHILE).await;
            logs.remove("a.log");
            pass(LONG).await;
        }
    })
    .await;
    assert_eq!(world.checkpoints().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_is_kept_until_what_was_read_of_it_has_arrived() {
    type Change = fn(&Logs);
    let changes: [Change; 2] =
        [|logs| logs.remove("a.log"), |logs| logs.rename("a.log", "out of sight")];
    for change in changes {
        let (world, logs) = (holding_receipts(), Logs::new());
        logs.write("a.log", "one\n");
        follow(&world, &logs, json!({}), async || {
            expect(&world, vec!["one"]).await;
            change(&logs);
            pass(LONG).await;
            world.lose();
            expect(&world, vec!["one", "one"]).await;
            world.settle();
            pass(LONG).await;
        })
        .await;
        assert_eq!(world.skipped().len(), 0);
        let again = world.restarted();
        follow(&again, &logs, json!({}), async || pass(LONG).await).await;
        assert!(again.lines().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_renamed_out_of_sight_is_read_again_if_nothing_of_it_had_arrived() {
    let logs = Logs::new();
    let first = holding_receipts();
    logs.write("a.log", "one\n");
    follow_until_killed(&first, &logs, json!({}), async || {
        expect(&first, vec!["one"]).await;
        logs.rename("a.log", "out of sight");
        pass(LONG).await;
    })
    .await;
    let second = first.restarted();
    follow(&second, &logs, json!({}), async || {
        expect(&second, vec!["one"]).await;
        second.settle();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_off_again_and_again_never_holds_the_same_stream_twice() {
    let (first, logs) = (world(), Logs::new());
    logs.write("a.log", "0\n");
    follow(&first, &logs, json!({}), async || {
        expect(&first, vec!["0"]).await;
        logs.write("a.log", "1 and\n");
        expect(&first, vec!["0", "1 and"]).await;
        pass(A_WHILE).await;
    })
    .await;
    // The first stream is forgotten: what is gone for no time is not, and the clock is the real one.
    let gone = first.env.now_millis();
    while first.env.now_millis() <= gone {
        tokio::task::yield_now().await;
    }
    let second = first.restarted();
    follow(&second, &logs, json!({ "forget_after": "0s" }), async || {
        pass(A_WHILE).await;
        logs.write("a.log", "2\n");
        expect(&second, vec!["2"]).await;
        pass(A_WHILE).await;
    })
    .await;
    let generations = |world: &InputWorld| {
        let keys = world.checkpoints().into_keys();
        let mut last: Vec<_> =
            keys.filter_map(|key| Some(key.rsplit_once(':')?.1.to_owned())).collect();
        last.sort();
        last
    };
    assert_eq!(generations(&second), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nothing_arrived_of_is_told_from_the_next_one_of_the_same_file() {
    let logs = Logs::new();
    let first = holding_receipts();
    logs.write("a.log", "one\n");
    follow_until_killed(&first, &logs, json!({}), async || {
        expect(&first, vec!["one"]).await;
    })
    .await;
    // The far side may have the first line, by an id that no other line may have.
    logs.write("a.log", "two\n");
    let second = first.restarted();
    follow(&second, &logs, json!({}), async || {
        expect(&second, vec!["two"]).await;
        second.settle();
        pass(A_WHILE).await;
    })
    .await;
    assert_eq!(second.checkpoints().len(), 1 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_compressed_file_that_was_replaced_by_one_of_its_size_is_read() {
    let (first, logs) = (world(), Logs::new());
    logs.write("a.log.gz", gzip(b"one two three\n"));
    let other = gzip(b"six seven ten\n");
    assert_eq!(other.len(), gzip(b"one two three\n").len());
    follow(&first, &logs, json!({}), async || {
        expect(&first, vec!["one two three"]).await;
        pass(A_WHILE).await;
    })
    .await;
    logs.write("a.log.gz", other);
    let second = first.restarted();
    follow(&second, &logs, json!({}), async || {
        expect(&second, vec!["six seven ten"]).await;
        pass(A_WHILE).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn links_that_come_and_go_are_told_apart() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        fs::create_dir(logs.path("real")).unwrap();
        logs.write("real/x", "one\n");
        symlink("real/x", logs.path("a.log")).unwrap();
        follow(&world, &logs, json!({ "watch": watch }), async || {
            expect(&world, vec!["one"]).await;
            // Another link to the same file.
            logs.rename("a.log", "b.log");
            pass(A_WHILE).await;
            logs.append("real/x", "two\n");
            expect(&world, vec!["one", "two"]).await;
            // Another file under the name that the link leads to.
            logs.append("real/x", "three\n");
            logs.rename("real/x", "real/x.1");
            logs.write("real/x", "four\n");
            expect(&world, vec!["one", "two", "three", "four"]).await;
            logs.append("real/x", "five\n");
            expect(&world, vec!["one", "two", "three", "four", "five"]).await;
            logs.remove("b.log");
            pass(LONG).await;
            logs.append("real/x", "not meant any more\n");
            pass(LONG).await;
        })
        .await;
        assert_eq!(world.lines(), ["one", "two", "three", "four", "five"]);
        assert_eq!(world.skipped().len(), 0);
    }
}
