//! What happens to files, and the lines that come of it. Time is tokio's and passes when there is
//! nothing to do.

mod restarts;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dpipe_env::{Env, RealEnv};
use dpipe_plugin::{BuildContext, Ended, InputSpec, Shared};
use dpipe_testkit::InputWorld;
use serde_json::{Value, json};

use super::Config;
use crate::reading::content::tests::{gzip, lines, zstandard};

/// A folder with logs.
struct Logs(tempfile::TempDir);

impl Logs {
    fn new() -> Self {
        Logs(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = fs::OpenOptions::new().append(true).create(true).open(self.path(name));
        file.unwrap().write_all(bytes.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn pack(&self, from: &str, to: &str) {
        self.write(to, gzip(&fs::read(self.path(from)).unwrap()));
        self.remove(from);
    }
}

fn world() -> InputWorld {
    on_this_machine(InputWorld::new())
}

fn holding_receipts() -> InputWorld {
    on_this_machine(InputWorld::holding_receipts())
}

fn on_this_machine(mut world: InputWorld) -> InputWorld {
    world.env = Arc::new(RealEnv);
    world
}

/// Follows `*.log*` with these settings, besides, until the test has run.
async fn follow(world: &InputWorld, logs: &Logs, settings: Value, test: impl AsyncFnOnce()) {
    let mut all = json!({ "include": ["*.log*"] });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let config: Config = serde_json::from_value(all).unwrap();
    assert!(config.check().is_empty());
    let env: Arc<dyn Env> = Arc::new(RealEnv);
    let input = config.build(&BuildContext {
        env: &env,
        node: "in",
        step: 0,
        data_dir: Path::new("/nowhere"),
        config_dir: logs.0.path(),
        shared: &Shared::default(),
        decoder: None,
    });
    let testing = async {
        let in_time = tokio::time::timeout(Duration::from_secs(1000), test()).await;
        if in_time.is_err() {
            panic!("{:#?}\n{:#?}", world.lines_by_file(), world.checkpoints());
        }
        world.stop();
    };
    let (ended, ()) = tokio::join!(world.run(input.unwrap()), testing);
    assert_eq!(ended.unwrap(), Ended::Stopped);
}

/// Waits until these lines were sent, in whatever order, and no others.
async fn expect(world: &InputWorld, mut expected: Vec<&str>) {
    expected.sort_unstable();
    world
        .until(|world| {
            let mut lines = world.lines();
            lines.sort_unstable();
            assert!(lines.len() <= expected.len(), "too many lines: {lines:?}");
            lines == expected
        })
        .await;
}

/// Lets the input do what it wants to do, for a while.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

const A_WHILE: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(100);

/// Both ways to learn of changes.
const WAYS: [bool; 2] = [true, false];

#[tokio::test(start_paused = true)]
async fn lines_are_read_as_they_come() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        logs.write("a.log", "one\ntwo\n");
        follow(&world, &logs, json!({ "watch": watch }), async || {
            expect(&world, vec!["one", "two"]).await;
            logs.append("a.log", "three\n");
            logs.write("b.log", "four\r\n");
            logs.write("b.txt", "not meant\n");
            expect(&world, vec!["one", "two", "three", "four"]).await;
        })
        .await;
        assert_eq!(world.gap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renamed_file_is_followed_under_its_new_name() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        logs.write("a.log", "one\n");
        follow(&world, &logs, json!({ "watch": watch }), async || {
            expect(&world, vec!["one"]).await;
            logs.append("a.log", "two\n");
            logs.rename("a.log", "a.log.1");
            logs.append("a.log.1", "three\n");
            logs.write("a.log", "four\n");
            expect(&world, vec!["one", "two", "three", "four"]).await;
            logs.rename("a.log.1", "a.log.2");
            logs.rename("a.log", "a.log.1");
            logs.append("a.log.2", "five\n");
            logs.append("a.log.1", "six\n");
            expect(&world, vec!["one", "two", "three", "four", "five", "six"]).await;
            pass(LONG).await;
        })
        .await;
        assert_eq!(world.lines().len(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_renamed_out_of_sight_is_read_to_its_end() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        logs.write("a.log", "one\n");
        follow(&world, &logs, json!({ "watch": watch, "include": ["a.log"] }), async || {
            expect(&world, vec!["one"]).await;
            logs.rename("a.log", "old");
            logs.write("a.log", "three\n");
            logs.append("old", "two\n");
            expect(&world, vec!["one", "two", "three"]).await;
            pass(A_WHILE).await;
            logs.append("old", "late");
            pass(A_WHILE).await;
            logs.append("old", " line\n");
            expect(&world, vec!["one", "two", "three", "late line"]).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_file_before_is_finished_before_the_one_that_takes_its_name() {
    let (world, logs) = (world(), Logs::new());
    let old: String = (0..50_000).map(|n| format!("old line {n}\n")).collect();
    logs.write("a.log", "start\n");
    follow(&world, &logs, json!({ "include": ["a.log"] }), async || {
        expect(&world, vec!["start"]).await;
        logs.append("a.log", &old);
        logs.rename("a.log", "a.old");
        logs.write("a.log", "new\n");
        world.until(|world| world.lines().len() == 50_002).await;
    })
    .await;
    assert_eq!(world.lines().last().unwrap(), "new");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_file_is_read_to_its_end() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        logs.write("a.log", "one\n");
        follow(&world, &logs, json!({ "watch": watch }), async || {
            expect(&world, vec!["one"]).await;
            world.starve("a.log");
            let mut open = fs::OpenOptions::new().append(true).open(logs.path("a.log")).unwrap();
            open.write_all(b"two\n").unwrap();
            pass(A_WHILE).await;
            logs.remove("a.log");
            open.write_all(b"three\nlast").unwrap();
            pass(A_WHILE).await;
            world.feed();
            expect(&world, vec!["one", "two", "three"]).await;
            drop(open);
            expect(&world, vec!["one", "two", "three", "last"]).await;
            pass(LONG).await;
        })
        .await;
        assert_eq!(world.skipped().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_cut_off_is_read_anew() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        logs.write("a.log", "one\ntwo\n");
        follow(&world, &logs, json!({ "watch": watch }), async || {
            expect(&world, vec!["one", "two"]).await;
            logs.write("a.log", "3\n");
            expect(&world, vec!["one", "two", "3"]).await;
            // It grows beyond where it was read to, at once.
            logs.write("a.log", "four\nfive\n");
            expect(&world, vec!["one", "two", "3", "four", "five"]).await;
            pass(A_WHILE).await;
        })
        .await;
        // The generations are told apart, and each has a position of its own.
        assert_eq!(world.checkpoints().len(), 1 + 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_goes_on_where_the_original_stood_when_that_was_cut_off() {
    for (watch, head) in [(true, ""), (false, ""), (true, "long"), (false, "long")] {
        let (world, logs) = (world(), Logs::new());
        let head = if head.is_empty() { "1\n".to_owned() } else { "long line\n".repeat(300) };
        let known = head.lines().count();
        logs.write("a.log", &head);
        follow(&world, &logs, json!({ "watch": watch }), async || {
            world.until(|world| world.lines().len() == known).await;
            world.starve("a.log");
            logs.append("a.log", "unread\n");
            pass(A_WHILE).await;
            logs.copy("a.log", "a.log.1");
            logs.write("a.log", "");
            logs.append("a.log", "fresh\n");
            pass(Duration::from_secs(1)).await;
            world.feed();
            world.until(|world| world.lines().len() == known + 2).await;
            pass(LONG).await;
            logs.rename("a.log.1", "a.log.2");
            logs.copy("a.log", "a.log.1");
            logs.write("a.log", "fresher\n");
            world.until(|world| world.lines().len() == known + 3).await;
            pass(LONG).await;
        })
        .await;
        let lines = world.lines();
        assert_eq!(lines.len(), known + 3, "watch: {watch}");
        for line in ["unread", "fresh", "fresher"] {
            assert_eq!(lines.iter().filter(|other| *other == line).count(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_copy_is_a_file_of_its_own() {
    let (world, logs) = (world(), Logs::new());
    logs.write("a.log", "one\n");
    follow(&world, &logs, json!({}), async || {
        expect(&world, vec!["one"]).await;
        logs.copy("a.log", "b.log");
        expect(&world, vec!["one", "one"]).await;
        logs.append("a.log", "two\n");
        logs.append("b.log", "three\n");
        expect(&world, vec!["one", "one", "two", "three"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn files_with_the_same_content_are_all_read() {
    let (world, logs) = (world(), Logs::new());
    let same = "the same line in every file\n".repeat(100);
    logs.write("0.log", &same);
    follow(&world, &logs, json!({}), async || {
        world.until(|world| world.lines().len() == 100).await;
        for n in 1..100 {
            logs.write(&format!("{n}.log"), &same);
        }
        world.until(|world| world.lines().len() == 100 * 100).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_file_that_replaces_one_with_the_same_first_line_is_read_whole() {
    let (world, logs) = (world(), Logs::new());
    logs.write("a.log", "header\none\n");
    follow(&world, &logs, json!({ "include": ["a.log"] }), async || {
        expect(&world, vec!["header", "one"]).await;
        logs.remove("a.log");
        logs.write("a.log", "header\ntwo\n");
        expect(&world, vec!["header", "one", "header", "two"]).await;
        logs.write("b", "header\ntwo\n");
        logs.rename("b", "a.log");
        expect(&world, vec!["header", "one", "header", "two", "header", "two"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rotated_file_that_is_compressed_is_not_read_again() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        let text = String::from_utf8(lines(3000)).unwrap();
        logs.write("a.log", &text);
        follow(&world, &logs, json!({ "watch": watch }), async || {
            world.until(|world| world.lines().len() == 3000).await;
            logs.append("a.log", "last\n");
            logs.rename("a.log", "a.log.1");
            logs.write("a.log", "new\n");
            pass(A_WHILE).await;
            logs.pack("a.log.1", "a.log.1.gz");
            pass(LONG).await;
            logs.rename("a.log.1.gz", "a.log.2.gz");
            pass(LONG).await;
        })
        .await;
        assert_eq!(world.lines().len(), 3002, "watch: {watch}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_file_is_found_in_a_new_folder() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        let settings = json!({ "watch": watch, "include": ["deep/**/*.log"] });
        follow(&world, &logs, settings, async || {
            pass(A_WHILE).await;
            fs::create_dir(logs.path("deep")).unwrap();
            pass(A_WHILE).await;
            fs::create_dir_all(logs.path("deep/er")).unwrap();
            logs.write("deep/er/a.log", "one\n");
            expect(&world, vec!["one"]).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn excluded_files_are_left_out() {
    let (world, logs) = (world(), Logs::new());
    logs.write("post.log", "no\n");
    logs.write("a.log", "yes\n");
    follow(&world, &logs, json!({ "exclude": ["post*", "session*"] }), async || {
        expect(&world, vec!["yes"]).await;
        logs.write("session_1.log", "no\n");
        logs.rename("a.log", "session_a.log");
        logs.append("session_a.log", "the end of it\n");
        expect(&world, vec!["yes", "the end of it"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_swapped_leads_to_the_next_file_after_the_last_one() {
    for watch in WAYS {
        let (world, logs) = (world(), Logs::new());
        fs::create_dir(logs.path("real")).unwrap();
        logs.write("real/1", "one\n");
        symlink("real/1", logs.path("a.log")).unwrap();
        follow(&world, &logs, json!({ "watch": watch }), async || {
            expect(&world, vec!["one"]).await;
            logs.append("real/1", "two\n");
            expect(&world, vec!["one", "two"]).await;
            logs.append("real/1", "three\n");
            logs.write("real/2", "four\n");
            symlink("real/2", logs.path("next")).unwrap();
            logs.rename("next", "a.log");
            expect(&world, vec!["one", "two", "three", "four"]).await;
            logs.append("real/2", "five\n");
            expect(&world, vec!["one", "two", "three", "four", "five"]).await;
        })
        .await;
        assert_eq!(world.lines(), ["one", "two", "three", "four", "five"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_without_its_end_is_kept_back_until_the_file_is_quiet() {
    let (world, logs) = (world(), Logs::new());
    logs.write("a.log", "one\ntw");
    follow(&world, &logs, json!({ "idle_line_after": "10s" }), async || {
        expect(&world, vec!["one"]).await;
        for _ in 0..4 {
            pass(A_WHILE).await;
            logs.append("a.log", "o");
        }
        assert_eq!(world.lines(), ["one"]);
        logs.append("a.log", "\nthree");
        expect(&world, vec!["one", "twoooo", "three"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lines_of_one_event_are_joined_and_the_last_event_waits_for_more() {
    let (mut world, logs) = (world(), Logs::new());
    let rule = json!({ "continuation": "^ ", "timeout": "5s" });
    world.multiline = Some(Arc::new(serde_json::from_value(rule).unwrap()));
    logs.write("a.log", "one\n a\r\n b\ntwo\n c");
    logs.write("b.log", " lost\n");
    follow(&world, &logs, json!({ "idle_line_after": "60s" }), async || {
        world.until(|world| world.lines() == ["one\n a\r\n b"]).await;
        // Within the time, a line that continues the event is taken for one.
        logs.append("a.log", "\n d\n e");
        world.until(|world| world.lines().contains(&"two\n c\n d".to_owned())).await;
        // The event was given out: what would have continued it is one of its own.
        logs.append("a.log", "\n f\nthree\n");
        world.until(|world| world.lines().contains(&" e\n f".to_owned())).await;
    })
    .await;
    let mut lines = world.lines();
    lines.sort();
    assert_eq!(lines, [" e\n f", " lost", "one\n a\r\n b", "two\n c\n d"]);
    assert_eq!(world.gap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_line_over_the_limit_is_cut() {
    let logs = Logs::new();
    let mut world = world();
    world.line_bytes_max = 100;
    logs.write("a.log", format!("one\n{}\ntwo\n{}", "x".repeat(200_000), "y".repeat(300)));
    follow(&world, &logs, json!({}), async || {
        world.until(|world| world.lines().len() == 3).await;
        logs.append("a.log", "y\nthree\n");
        world.until(|world| world.lines().len() == 5).await;
    })
    .await;
    let (x, y) = ("x".repeat(100), "y".repeat(100));
    assert_eq!(world.lines(), ["one", &x, "two", &y, "three"]);
    assert_eq!(world.cut(), [200_000, 301]);
    assert_eq!(world.gap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_without_credit_does_not_hold_up_others() {
    let (world, logs) = (world(), Logs::new());
    world.starve("poor");
    logs.write("poor.log", "poor\n");
    logs.write("rich.log", "one\n");
    follow(&world, &logs, json!({}), async || {
        expect(&world, vec!["one"]).await;
        logs.append("rich.log", "two\n");
        expect(&world, vec!["one", "two"]).await;
        world.feed();
        expect(&world, vec!["one", "two", "poor"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn files_take_turns() {
    let (world, logs) = (world(), Logs::new());
    let long: String = (0..100_000).map(|n| format!("a long file {n}\n")).collect();
    logs.write("a.log", &long);
    logs.write("b.log", "short\n");
    follow(&world, &logs, json!({}), async || {
        world.until(|world| world.lines().len() == 100_001).await;
    })
    .await;
    let at = world.lines().iter().position(|line| line == "short").unwrap();
    assert!(at < 10_000, "the short file came after {at} lines of the long one");
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_the_last_run_ended() {
    let logs = Logs::new();
    let first = world();
    logs.write("a.log", "one\ntwo\npart");
    logs.write("b.log", "three\n");
    follow(&first, &logs, json!({}), async || expect(&first, vec!["one", "two", "three"]).await)
        .await;
    logs.append("a.log", "ly\n");
    logs.write("c.log", "four\n");
    let second = first.restarted();
    follow(&second, &logs, json!({ "read_from": "end" }), async || {
        expect(&second, vec!["partly", "four"]).await;
        pass(LONG).await;
    })
    .await;
    assert_eq!(second.lines().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_to_files_between_two_runs_their_lines_come_once() {
    type Change = fn(&Logs);
    let changes: [(&str, Change, &[&str]); 9] = [
        ("nothing", |_| {}, &[]),
        ("renamed", |logs| logs.rename("a.log", "a.log.1"), &["more"]),
        ("renamed out of sight", |logs| logs.rename("a.log", "old"), &["more"]),
        (
            "rotated twice",
            |logs| {
                logs.rename("a.log", "a.log.2");
                logs.write("a.log.1", "between\n");
                logs.write("a.log", "new\n");
            },
            &["more", "between", "new"],
        ),
        ("compressed", |logs| logs.pack("a.log", "a.log.1.gz"), &["more"]),
        (
            "copied and cut off",
            |logs| {
                logs.copy("a.log", "a.log.1");
                logs.write("a.log", "new\n");
            },
            &["more", "new"],
        ),
        ("cut off and grown beyond", |logs| logs.write("a.log", "x\n".repeat(2)), &["x", "x"]),
        (
            "replaced by one with the same beginning",
            |logs| {
                logs.remove("a.log");
                logs.write("a.log", "line 0\nother\n");
            },
            &["line 0", "other"],
        ),
        (
            "moved through another file system",
            |logs| {
                logs.copy("a.log", "b.log");
                logs.remove("a.log");
            },
            &["more"],
        ),
    ];
    for (what, change, expected) in changes {
        for count in [3, 300] {
            let (first, logs) = (world(), Logs::new());
            let text: String = (0..count).map(|n| format!("line {n}\n")).collect();
            logs.write("a.log", &text);
            let all = || first.until(|world| world.lines().len() == count);
            follow(&first, &logs, json!({}), async || all().await).await;
            if what != "nothing" {
                logs.append("a.log", "more\n");
            }
            change(&logs);
            let second = first.restarted();
            // A short file that only looks alike is read again: better twice than not at all.
            let doubtful = count == 3 && what == "moved through another file system";
            let again = if doubtful { text.lines().collect() } else { Vec::new() };
            let expected = [&again[..], expected].concat();
            follow(&second, &logs, json!({}), async || {
                expect(&second, expected.clone()).await;
                pass(LONG).await;
            })
            .await;
            assert_eq!(second.lines().len(), expected.len(), "{what}: {:?}", second.lines());
            let third = second.restarted();
            follow(&third, &logs, json!({}), async || pass(LONG).await).await;
            assert!(third.lines().is_empty(), "{what}, third run: {:?}", third.lines());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn positions_do_not_run_ahead_of_what_has_arrived() {
    let logs = Logs::new();
    let first = holding_receipts();
    logs.write("a.log", "one\n");
    follow(&first, &logs, json!({}), async || {
        expect(&first, vec!["one"]).await;
        first.settle();
        pass(A_WHILE).await;
        logs.append("a.log", "two\n");
        expect(&first, vec!["one", "two"]).await;
        pass(A_WHILE).await;
        first.lose();
    })
    .await;
    let second = first.restarted();
    follow(&second, &logs, json!({}), async || {
        expect(&second, vec!["two"]).await;
        second.settle();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_gets_lost_on_the_way_is_sent_again() {
    let (world, logs) = (holding_receipts(), Logs::new());
    logs.write("a.log", "one\n");
    follow(&world, &logs, json!({}), async || {
        expect(&world, vec!["one"]).await;
        world.settle();
        logs.append("a.log", "two\n");
        expect(&world, vec!["one", "two"]).await;
        world.lose();
        expect(&world, vec!["one", "two", "two"]).await;
        world.settle();
    })
    .await;
    let again = world.restarted();
    follow(&again, &logs, json!({}), async || pass(LONG).await).await;
    assert!(again.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_what_was_sent() {
    let logs = Logs::new();
    let first = holding_receipts();
    logs.write("a.log", "one\n");
    let stopping = async {
        expect(&first, vec!["one"]).await;
        first.stop();
        pass(A_WHILE).await;
        first.settle();
    };
    tokio::join!(follow(&first, &logs, json!({}), async || first.sent(1).await), stopping);
    let second = first.restarted();
    follow(&second, &logs, json!({}), async || pass(LONG).await).await;
    assert!(second.lines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn at_the_very_first_start_reading_may_begin_at_the_end() {
    let logs = Logs::new();
    let first = world();
    logs.write("a.log", "old\nhalf a ");
    logs.write("b.log.gz", gzip(b"old\n"));
    follow(&first, &logs, json!({ "read_from": "end" }), async || {
        pass(A_WHILE).await;
        logs.append("a.log", "line\n");
        logs.write("c.log", "new\n");
        expect(&first, vec!["half a line", "new"]).await;
    })
    .await;
    logs.write("d.log", "later\n");
    let second = first.restarted();
    follow(&second, &logs, json!({ "read_from": "end" }), async || {
        expect(&second, vec!["later"]).await;
        pass(LONG).await;
    })
    .await;
    assert_eq!(second.lines().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn compressed_files_are_read_as_what_they_contain() {
    let (world, logs) = (world(), Logs::new());
    logs.write("a.log", gzip(b"one\ntwo"));
    logs.write("b.log", zstandard(b"three\n"));
    let packed = gzip(&lines(5000));
    logs.write("c.log", &packed[..20_000]);
    follow(&world, &logs, json!({}), async || {
        world.until(|world| world.lines().len() > 100).await;
        logs.append("c.log", &packed[20_000..]);
        world.until(|world| world.lines().len() == 5003).await;
    })
    .await;
    assert_eq!(world.gap(), None);
    let again = world.restarted();
    follow(&again, &logs, json!({}), async || {
        pass(LONG).await;
        assert!(again.lines().is_empty());
        // What was read to its end is closed; it may grow by a member all the same.
        logs.append("a.log", gzip(b"more\n"));
        expect(&again, vec!["more"]).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_is_reported_and_what_stood_before_is_kept() {
    let (world, logs) = (world(), Logs::new());
    let mut packed = [gzip(&lines(100)), gzip(&lines(5000))].concat();
    let middle = packed.len() / 2;
    packed[middle..middle + 100].fill(0xff);
    logs.write("a.log.gz", &packed);
    logs.write("b.log", "other\n");
    logs.write("c.log.gz", &gzip(&lines(100))[..1000]);
    follow(&world, &logs, json!({}), async || {
        world.until(|world| world.skipped().len() == 2).await;
        pass(LONG).await;
    })
    .await;
    let files = world.lines_by_file();
    let of = |name: &str| &files[logs.path(name).to_str().unwrap()];
    assert!(of("a.log.gz").len() > 100);
    assert_eq!(of("b.log"), &["other"]);
    assert!(of("c.log.gz").len() > 10);
    assert_eq!(world.skipped(), [("damaged_file", 1), ("torn_file", 1)].into());
}

#[tokio::test(start_paused = true)]
async fn thousands_of_files_are_followed_with_few_of_them_open() {
    let (world, logs) = (world(), Logs::new());
    for n in 0..2000 {
        logs.write(&format!("{n}.log"), format!("first {n}\n"));
    }
    follow(&world, &logs, json!({ "open_files_max": 50 }), async || {
        world.until(|world| world.lines().len() == 2000).await;
        let open = fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(open < 300, "{open} open files");
        for n in (0..2000).step_by(7) {
            logs.append(&format!("{n}.log"), format!("second {n}\n"));
            logs.rename(&format!("{n}.log"), &format!("moved_{n}.log"));
        }
        world.until(|world| world.lines().len() == 2000 + 2000_usize.div_ceil(7)).await;
    })
    .await;
    assert_eq!(world.gap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_position_is_forgotten_long_after_its_file_is_gone() {
    let (first, logs) = (world(), Logs::new());
    logs.write("a.log", "one\n");
    follow(&first, &logs, json!({}), async || {
        expect(&first, vec!["one"]).await;
        pass(A_WHILE).await;
        logs.remove("a.log");
        pass(LONG).await;
    })
    .await;
    assert_eq!(first.checkpoints().len(), 2);
    let second = first.restarted();
    follow(&second, &logs, json!({ "forget_after": "0s" }), async || pass(A_WHILE).await).await;
    assert_eq!(second.checkpoints().len(), 1);
}
