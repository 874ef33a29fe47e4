use std::path::{Path, PathBuf};

use dpipe_env::Env;
use dpipe_plugin::Shared;
use dpipe_testkit::{InputWorld, MemoryEnv};
use serde_json::{Value, json};

use super::*;

/// A journal of seven entries that systemd-journald wrote.
const JOURNAL: &[u8] = include_bytes!("shop.journal.zst");

/// A folder with the journal, if this machine has what reads it.
fn journal() -> Option<(tempfile::TempDir, PathBuf)> {
    std::process::Command::new("journalctl").arg("--version").output().ok()?;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop.journal");
    std::fs::write(&path, zstd::decode_all(JOURNAL).unwrap()).unwrap();
    Some((dir, path))
}

fn build(json: Value) -> Box<dyn Input> {
    let config: Config = serde_json::from_value(json).unwrap();
    let env: Arc<dyn Env> = Arc::new(MemoryEnv::new());
    let shared = Shared::default();
    let context = BuildContext {
        env: &env,
        node: "in",
        step: 0,
        data_dir: Path::new("/"),
        config_dir: Path::new("/"),
        shared: &shared,
        decoder: None,
    };
    config.build(&context).unwrap()
}

fn messages(world: &InputWorld) -> Vec<Value> {
    let message = |line: &String| serde_json::from_str::<Value>(line).unwrap()["MESSAGE"].take();
    world.lines().iter().map(message).collect()
}

#[tokio::test]
async fn a_journal_is_read_to_its_end_and_no_entry_twice() {
    let Some((_dir, path)) = journal() else { return };
    let world = InputWorld::new();
    let json = json!({ "files": [path], "follow": false });
    assert_eq!(world.run(build(json.clone())).await.unwrap(), Ended::Exhausted);
    let found = messages(&world);
    assert_eq!(found.len(), 7);
    assert_eq!(found[2..4], ["order taken", "two\nlines"]);
    assert_eq!(found[4], json!([99, 97, 102, 233]));
    assert!(world.checkpoints()[KEY].contains("i=7;"), "{:?}", world.checkpoints());
    world.run(build(json)).await.unwrap();
    assert_eq!(messages(&world).len(), 7);
}

#[tokio::test]
async fn what_has_not_arrived_comes_again_at_the_same_offsets() {
    let Some((_dir, path)) = journal() else { return };
    let json = json!({ "files": [path] });
    let world = InputWorld::holding_receipts();
    let running = world.run(build(json.clone()));
    let crash = async {
        world.until(|world| world.lines().len() >= 7).await;
        world.stop();
        world.abandon();
    };
    let (ended, ()) = tokio::join!(running, crash);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(world.checkpoints().is_empty());
    // The fields come in another order each time, and take as much room.
    let lengths =
        |world: &InputWorld| -> Vec<usize> { world.lines().iter().map(String::len).collect() };
    let again = InputWorld::new().with_checkpoints_of(&world);
    let running = again.run(build(json));
    let stopping = async {
        again.until(|world| world.lines().len() >= 7).await;
        again.stop();
    };
    let (_, ()) = tokio::join!(running, stopping);
    assert_eq!((lengths(&again), again.gap()), (lengths(&world), None));
}

#[tokio::test]
async fn it_can_begin_with_the_next_entry_and_remembers_where_that_was() {
    let Some((_dir, path)) = journal() else { return };
    let world = InputWorld::new();
    let json = json!({ "files": [path], "follow": false, "read_from": "end" });
    assert_eq!(world.run(build(json)).await.unwrap(), Ended::Exhausted);
    assert!(world.lines().is_empty());
    assert!(world.checkpoints()[KEY].contains("i=7;"), "{:?}", world.checkpoints());
}

/// A program in the place of journalctl, which prints how it was called, and entries.
fn fake(lines: &str) -> (tempfile::TempDir, String) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journalctl");
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    (dir, path.to_string_lossy().into_owned())
}

#[tokio::test]
async fn journalctl_is_asked_for_what_was_configured() {
    let (_dir, program) = fake("for each in \"$@\"; do echo \"$each\"; done");
    let world = InputWorld::new();
    let json = json!({
        "program": program, "units": ["a.service", "b*"], "current_boot_only": true,
        "include_kernel": false, "directory": "journal", "follow": false
    });
    world.run(build(json)).await.unwrap();
    assert_eq!(
        world.lines(),
        [
            "--output=json",
            "--all",
            "--quiet",
            "--no-pager",
            "--boot",
            "--unit=a.service",
            "--unit=b*",
            "--directory=/journal",
            "_TRANSPORT=audit",
            "_TRANSPORT=driver",
            "_TRANSPORT=journal",
            "_TRANSPORT=stdout",
            "_TRANSPORT=syslog"
        ]
    );
}

#[tokio::test]
async fn when_journalctl_ends_it_goes_on_after_what_has_arrived() {
    let entry = |n: u32| {
        format!("{{\"__CURSOR\":\"c{n}\",\"MESSAGE\":\"a \\\\\"__CURSOR\\\\\":\\\\\"x\"}}")
    };
    let lines = format!(
        "case \"$*\" in *after-cursor=c1*) echo '{}'; sleep 1000;; *) echo '{}'; exit 3;; esac",
        entry(2),
        entry(1)
    );
    let (_dir, program) = fake(&lines);
    let world = InputWorld::new();
    let json = json!({ "program": program });
    let error = world.run(build(json.clone())).await.unwrap_err();
    assert!(error.message.ends_with("` ended: exit status: 3"), "{}", error.message);
    let running = world.run(build(json));
    let stopping = async {
        world.until(|world| world.lines().len() == 2).await;
        world.stop();
    };
    let (ended, ()) = tokio::join!(running, stopping);
    assert_eq!((ended.unwrap(), world.gap()), (Ended::Stopped, None));
    let len = entry(1).replace("\\\\", "\\").len() as u64 + 1;
    assert_eq!(world.checkpoints()[KEY], format!("{{\"cursor\":\"c2\",\"offset\":{}}}", 2 * len));
}

#[tokio::test]
async fn without_credit_nothing_is_read() {
    let (_dir, program) = fake("yes");
    let world = InputWorld::without_credit();
    let running = world.run(build(json!({ "program": program })));
    let stopping = async {
        world.asked_for_credit().await;
        world.stop();
    };
    let (ended, ()) = tokio::join!(running, stopping);
    assert_eq!(ended.unwrap(), Ended::Stopped);
    assert!(world.lines().is_empty());
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let wrong = |json| {
        let config: Config = serde_json::from_value(json).unwrap();
        let problems = InputSpec::check(&config);
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>()
    };
    assert!(wrong(json!({})).is_empty());
    assert_eq!(
        wrong(json!({ "units": [""], "directory": "a", "files": ["b"], "program": " " })),
        [
            "`directory` and `files` name two journals",
            "a name in `units` is empty",
            "`program` is empty"
        ]
    );
}
