//! Folders of files, and the lines that come of them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dpipe_env::{Env, RealEnv};
use dpipe_plugin::{BuildContext, Ended, InputError, InputSpec, Shared};
use dpipe_testkit::InputWorld;
use serde_json::{Value, json};

use super::Config;
use crate::reading::content::tests::{gzip, gzip_best, lines, zstandard};

fn on_this_machine(mut world: InputWorld) -> InputWorld {
    world.env = Arc::new(RealEnv);
    world
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

async fn read(world: &InputWorld, dir: &Path, settings: Value) -> Result<Ended, InputError> {
    let mut all = json!({ "include": ["**/*"] });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let config: Config = serde_json::from_value(all).unwrap();
    assert!(config.check().is_empty() && config.ends());
    let env: Arc<dyn Env> = Arc::new(RealEnv);
    let input = config.build(&BuildContext {
        env: &env,
        node: "in",
        step: 0,
        data_dir: Path::new("/nowhere"),
        config_dir: dir,
        shared: &Shared::default(),
        decoder: None,
    });
    world.run(input.unwrap()).await
}

async fn read_all(dir: &Path, settings: Value) -> InputWorld {
    let world = on_this_machine(InputWorld::new());
    assert_eq!(read(&world, dir, settings).await.unwrap(), Ended::Exhausted);
    assert_eq!(world.gap(), None);
    world
}

#[tokio::test(start_paused = true)]
async fn files_are_read_in_the_order_of_their_paths() {
    let dir = folder(&[
        ("b/2.log", b"three\nfour"),
        ("a/1.log", b"one\ntwo\n"),
        ("c.log.gz", &gzip(b"five\nsix")),
        ("d", &zstandard(b"seven\n")),
        ("e.tmp", b"not meant\n"),
        ("f.log", b""),
    ]);
    let world = read_all(dir.path(), json!({ "parallel": 1, "exclude": ["*.tmp"] })).await;
    assert_eq!(world.lines(), ["one", "two", "three", "four", "five", "six", "seven"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_with_two_names_is_read_once() {
    let dir = folder(&[("a.log", b"one\n")]);
    fs::hard_link(dir.path().join("a.log"), dir.path().join("b.log")).unwrap();
    std::os::unix::fs::symlink("a.log", dir.path().join("c.log")).unwrap();
    assert_eq!(read_all(dir.path(), json!({})).await.lines(), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn finished_files_are_not_read_again_and_new_lines_and_files_are() {
    let (long, packed) = (lines(3000), gzip(&lines(3000)));
    let dir = folder(&[("a.log", &long), ("b.log.gz", &packed), ("c.log", b"")]);
    let first = read_all(dir.path(), json!({})).await;
    assert_eq!(first.lines().len(), 6000);
    fs::write(dir.path().join("a.log"), [&long[..], b"more\n"].concat()).unwrap();
    fs::write(dir.path().join("d.log"), "new\n").unwrap();
    let second = first.restarted();
    assert_eq!(read(&second, dir.path(), json!({})).await.unwrap(), Ended::Exhausted);
    assert_eq!(second.lines(), ["more", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_replaced_is_read_whole() {
    let dir = folder(&[("a.log", b"one\ntwo\n")]);
    let first = read_all(dir.path(), json!({})).await;
    fs::write(dir.path().join("a.log"), "three and more\n").unwrap();
    let second = first.restarted();
    assert_eq!(read(&second, dir.path(), json!({})).await.unwrap(), Ended::Exhausted);
    assert_eq!(second.lines(), ["three and more"]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_file_that_was_replaced_by_one_of_its_size_is_read_whole() {
    let of = |text: &[u8]| [text.to_vec(), gzip(text), zstandard(text)];
    let (before, after) = (of(b"one two three\n"), of(b"six seven ten\n"));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.len(), after.len());
        let dir = folder(&[("a", before), ("b", before)]);
        let first = read_all(dir.path(), json!({})).await;
        assert_eq!(first.lines(), ["one two three"; 2]);
        fs::write(dir.path().join("a"), after).unwrap();
        let second = first.restarted();
        assert_eq!(read(&second, dir.path(), json!({})).await.unwrap(), Ended::Exhausted);
        assert_eq!(second.lines(), ["six seven ten"]);
        let third = second.restarted();
        assert_eq!(read(&third, dir.path(), json!({})).await.unwrap(), Ended::Exhausted);
        assert!(third.lines().is_empty());
    }
}

/// Files of tenants that are called like their folders.
fn tenants() -> InputWorld {
    on_this_machine(InputWorld::new()).with_a_tenant_by_folder()
}

#[tokio::test(start_paused = true)]
async fn a_tenant_without_credit_leaves_its_place_to_others() {
    let dir = folder(&[
        ("poor/1", b"poor 1\n"),
        ("poor/2", b"poor 2\n"),
        ("rich/1", b"rich 1\n"),
        ("rich/2", b"rich 2\n"),
    ]);
    for parallel in [1, 2, 10] {
        let world = tenants();
        world.starve("poor");
        let feeding = async {
            world.until(|world| world.lines() == ["rich 1", "rich 2"]).await;
            world.feed();
        };
        let reading = read(&world, dir.path(), json!({ "parallel": parallel }));
        let (ended, ()) = tokio::join!(reading, feeding);
        assert_eq!(ended.unwrap(), Ended::Exhausted);
        assert_eq!(world.lines().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_lost_its_credit_on_the_way_goes_on_later() {
    for pack in [|bytes: &[u8]| bytes.to_vec(), gzip] {
        let long = pack(&lines(20_000));
        // More than may stay open.
        let names: Vec<String> = (0..100).map(|n| format!("poor_{n:02}/1")).collect();
        let mut files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &*long)).collect();
        files.push(("rich/1", b"rich 1\n"));
        let dir = folder(&files);
        let world = tenants();
        let starving = async {
            // Each gets so much that it has begun.
            for n in 0..100 {
                world.starve_all_but(&format!("poor_{n:02}"));
                world.sent(n + 1).await;
            }
            world.starve("poor");
            world.until(|world| world.lines_by_file().len() == 101).await;
            world.feed();
        };
        let (ended, ()) = tokio::join!(read(&world, dir.path(), json!({})), starving);
        assert_eq!(ended.unwrap(), Ended::Exhausted);
        assert_eq!(world.gap(), None);
        assert_eq!(world.lines().len(), 100 * 20_000 + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_position_is_noted_at_once_and_saved_within_a_second() {
    let dir = folder(&[("poor/1", b"six\n"), ("rich/1", b"one\n"), ("rich/2", b"two\n")]);
    let world = on_this_machine(InputWorld::holding_receipts()).with_a_tenant_by_folder();
    world.starve("poor");
    let is_at_4 = |positions: std::collections::BTreeMap<String, String>| {
        positions.values().filter(|json| json.contains("\"offset\":4")).count()
    };
    let settling = async {
        world.sent(2).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(is_at_4(world.checkpoints()), 0);
        world.settle();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(is_at_4(world.checkpoints()), 2);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(is_at_4(world.saved()), 2);
        world.feed();
        world.sent(3).await;
        world.settle();
    };
    let (ended, ()) = tokio::join!(read(&world, dir.path(), json!({})), settling);
    assert_eq!(ended.unwrap(), Ended::Exhausted);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_goes_on_where_it_was() {
    for pack in [|bytes: &[u8]| bytes.to_vec(), gzip, zstandard] {
        let dir = folder(&[("a", &pack(&lines(100_000))), ("b", &pack(&lines(10)))]);
        let first = on_this_machine(InputWorld::holding_receipts());
        let stopping = async {
            first.sent(5).await;
            first.settle();
            first.sent(10).await;
            first.stop();
            first.lose();
        };
        let (ended, ()) = tokio::join!(read(&first, dir.path(), json!({})), stopping);
        assert_eq!(ended.unwrap(), Ended::Stopped);
        let second = on_this_machine(InputWorld::new()).with_checkpoints_of(&first);
        assert_eq!(read(&second, dir.path(), json!({})).await.unwrap(), Ended::Exhausted);
        let mut all = first.lines();
        let twice = all.len() + second.lines().len() - 100_010;
        assert!(twice > 0 && second.lines().len() < 100_010, "{twice} lines were read twice");
        all.extend(second.lines());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 100_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_is_reported_and_the_others_are_read() {
    let mut damaged = [gzip(&lines(100)), gzip(&lines(5000))].concat();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 100].fill(0xff);
    let dir = folder(&[
        ("a", &damaged),
        ("b", &gzip(&lines(5000))[..20_000]),
        ("c", b"whole\n"),
        ("d", &gzip_best(&vec![b'x'; 8 << 20]).repeat(20)),
    ]);
    let world = read_all(dir.path(), json!({})).await;
    let files = world.lines_by_file();
    let of = |name: &str| &files[dir.path().join(name).to_str().unwrap()];
    assert!(of("a").len() > 100 && of("a")[99].starts_with("99 "));
    assert!(of("b").len() > 100);
    assert_eq!(of("c"), &["whole"]);
    let skipped = [("damaged_file", 1), ("torn_file", 1), ("decompression_limit", 1)];
    assert_eq!(world.skipped(), skipped.into());
    assert_eq!(files.len(), 3, "a bomb without a line end has no line");
    // What was the matter is looked at again, what was read is not.
    fs::write(dir.path().join("b"), gzip(&lines(5000))).unwrap();
    let second = world.restarted();
    assert_eq!(read(&second, dir.path(), json!({})).await.unwrap(), Ended::Exhausted);
    let more = second.lines_by_file();
    let (before, after) = (of("b"), &more[dir.path().join("b").to_str().unwrap()]);
    assert_eq!(after.last().unwrap().split(' ').next(), Some("4999"));
    assert!(before.len() + after.len() <= 5001);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_grew_too_much_is_read_on_when_the_limit_is_raised() {
    let line = "cannot connect to the database, trying again";
    let text = format!("{line}\n").repeat(100_000);
    let dir = folder(&[("a", &gzip_best(text.as_bytes()))]);
    let first = read_all(dir.path(), json!({ "decompression": { "ahead_max": "1MiB" } })).await;
    assert_eq!(first.skipped(), [("decompression_limit", 1)].into());
    let before = first.lines().len();
    assert!((1..100_000).contains(&before), "{before}");
    let second = first.restarted();
    assert_eq!(read(&second, dir.path(), json!({})).await.unwrap(), Ended::Exhausted);
    assert!(second.lines().iter().all(|read| read == line));
    assert_eq!(before + second.lines().len(), 100_000);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_when_everything_has_arrived() {
    let dir = folder(&[("a", b"one\n"), ("b", b"two\n")]);
    let world = on_this_machine(InputWorld::holding_receipts());
    let running = read(&world, dir.path(), json!({}));
    tokio::pin!(running);
    tokio::select! {
        biased;
        ended = &mut running => panic!("it ended before: {ended:?}"),
        () = world.sent(2) => {}
    }
    world.settle();
    assert_eq!(running.await.unwrap(), Ended::Exhausted);
}

#[tokio::test(start_paused = true)]
async fn what_got_lost_on_the_way_is_read_again() {
    let dir = folder(&[("a", b"one\n")]);
    let first = on_this_machine(InputWorld::holding_receipts());
    let losing = async {
        first.sent(1).await;
        first.lose();
    };
    let (ended, ()) = tokio::join!(read(&first, dir.path(), json!({})), losing);
    assert!(ended.unwrap_err().to_string().contains("got lost"));
    let second = on_this_machine(InputWorld::new()).with_checkpoints_of(&first);
    read(&second, dir.path(), json!({})).await.unwrap();
    assert_eq!(second.lines(), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn it_stops_though_there_is_no_credit() {
    let dir = folder(&[("a", b"one\n")]);
    let world = on_this_machine(InputWorld::without_credit());
    let stopping = async {
        world.asked_for_credit().await;
        world.stop();
    };
    let (ended, ()) = tokio::join!(read(&world, dir.path(), json!({})), stopping);
    assert_eq!(ended.unwrap(), Ended::Stopped);
}
