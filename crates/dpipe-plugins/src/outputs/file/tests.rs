use std::fs;
use std::path::Path;

use dpipe_env::RealEnv;
use dpipe_event::{Batch, Buffer, Builder, Frame, JsonLimits, Origin, StreamId, Timestamp};
use dpipe_testkit::{MemoryEnv, OutputCheck, batch, output_mistake, parcel};

use super::*;

mod confinement;

const FOLDER: &str = "/etc/dpipe";

/// A file output in a world in memory.
struct Stage {
    env: MemoryEnv,
    check: OutputCheck,
}

impl Stage {
    fn new(settings: &str) -> Self {
        Self::within(MemoryEnv::new(), settings)
    }

    fn within(env: MemoryEnv, settings: &str) -> Self {
        let check = OutputCheck::new::<Config>(settings, env.clone(), Path::new(FOLDER));
        Stage { env, check }
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        self.env.files().read(&Path::new(FOLDER).join(file)).unwrap()
    }

    fn text(&self, file: &str) -> String {
        String::from_utf8(self.bytes(file)).unwrap()
    }

    /// The files below the configuration's folder.
    fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![Path::new(FOLDER).to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in self.env.files().read_dir(&folder).unwrap() {
                match entry.kind {
                    dpipe_env::EntryKind::Dir => folders.push(entry.path),
                    _ => found
                        .push(entry.path.strip_prefix(FOLDER).unwrap().to_str().unwrap().into()),
                }
            }
        }
        found.sort();
        found
    }
}

/// The lines of a compressed file.
fn unpack(bytes: &[u8], format: Format) -> String {
    let mut text = String::new();
    match format {
        Format::Gzip => {
            let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
            std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        }
        Format::Zstd => text = String::from_utf8(zstd::decode_all(bytes).unwrap()).unwrap(),
        Format::Lines => text = String::from_utf8(bytes.into()).unwrap(),
    }
    text
}

fn is_retry(written: &Written) -> bool {
    matches!(written, Written::Retry { .. })
}

fn reasons(written: Written) -> Vec<(usize, String)> {
    let Written::Refused(refused) = written else { panic!("{written:?} refuses nothing") };
    refused.into_iter().map(|refusal| (refusal.index, refusal.reason)).collect()
}

/// The position and kind of each refusal.
fn kinds(written: Written) -> Vec<(usize, &'static str)> {
    let Written::Refused(refused) = written else { panic!("{written:?} refuses nothing") };
    refused.into_iter().map(|refusal| (refusal.index, refusal.kind)).collect()
}

const COMPRESSED: [(Format, &str); 2] = [
    (Format::Gzip, "path: out.gz\ncompression: gzip"),
    (Format::Zstd, "path: out.zst\ncompression: zstd"),
];

fn path_of(format: Format) -> &'static str {
    match format {
        Format::Lines => "out",
        Format::Gzip => "out.gz",
        Format::Zstd => "out.zst",
    }
}

#[test]
fn lines_are_appended_across_parcels_and_restarts() {
    let mut stage = Stage::new("path: logs/out.jsonl");
    assert_eq!(stage.check.write("{\"a\":1}\n{\"a\":2}"), Written::Delivered);
    assert_eq!(stage.check.write("text"), Written::Delivered);
    stage.check.restart();
    assert_eq!(stage.check.write("{\"a\":3}"), Written::Delivered);
    assert_eq!(
        stage.text("logs/out.jsonl"),
        "{\"a\":1}\n{\"a\":2}\n{\"message\":\"text\"}\n{\"a\":3}\n"
    );
}

#[test]
fn the_data_directory_stands_at_the_front() {
    let mut stage = Stage::new("path: '{data_dir}/copy/{_tenant}/x.jsonl'");
    stage.check.write("{\"a\":1}");
    assert_eq!(stage.text("data/copy/default/x.jsonl"), "{\"a\":1}\n");
}

#[test]
fn events_go_to_the_files_of_their_days() {
    let mut stage = Stage::new("path: 'copy/{_tenant}/%Y-%m-%d.jsonl'");
    let days = "@2024-06-01 {\"a\":1}\n@2024-06-01 {\"a\":2}\n@2024-06-02 {\"a\":3}\n@2024-06-01 {\"a\":4}";
    assert_eq!(stage.check.write(days), Written::Delivered);
    assert_eq!(stage.text("copy/default/2024-06-01.jsonl"), "{\"a\":1}\n{\"a\":2}\n{\"a\":4}\n");
    assert_eq!(stage.text("copy/default/2024-06-02.jsonl"), "{\"a\":3}\n");
}

#[test]
fn events_go_to_the_files_of_their_fields_in_order() {
    let mut stage = Stage::new("path: 'by/{u}.jsonl'");
    let input: String = (0..9).map(|n| format!("{{\"u\":\"u{}\",\"n\":{n}}}\n", n % 3)).collect();
    assert_eq!(stage.check.write(&input), Written::Delivered);
    assert_eq!(stage.check.write("{\"n\":9}"), Written::Delivered);
    let expected = "{\"u\":\"u1\",\"n\":1}\n{\"u\":\"u1\",\"n\":4}\n{\"u\":\"u1\",\"n\":7}\n";
    assert_eq!(stage.text("by/u1.jsonl"), expected);
    assert_eq!(stage.text("by/none.jsonl"), "{\"n\":9}\n");
    assert_eq!(stage.files().len(), 4);
}

#[test]
fn what_was_read_is_written_as_it_was() {
    let mut stage = Stage::new("path: out");
    let input = "{\"a\": 1.50 , \"b\":\"\\u0041\"}\n{\"a\":2}";
    let parcel = parcel(batch(input));
    assert!(parcel.batch().verbatim().is_some());
    stage.check.write_parcel(&parcel);
    assert_eq!(stage.text("out"), format!("{input}\n"));
}

// Rotation.

#[test]
fn a_full_file_is_followed_by_the_next_number_and_none_is_overwritten() {
    let mut stage = Stage::new("path: logs/out.jsonl\nrotate_size: 16B");
    for n in 1..=5 {
        stage.check.write(&format!("{{\"a\":{n}}}"));
    }
    stage.check.write("{\"a\":\"larger than a file\"}");
    stage.check.restart();
    stage.check.write("{\"a\":6}");
    assert_eq!(
        stage.files(),
        [
            "logs/out.1.jsonl",
            "logs/out.2.jsonl",
            "logs/out.3.jsonl",
            "logs/out.4.jsonl",
            "logs/out.5.jsonl"
        ]
    );
    assert_eq!(stage.text("logs/out.1.jsonl"), "{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(stage.text("logs/out.3.jsonl"), "{\"a\":5}\n");
    assert_eq!(stage.text("logs/out.5.jsonl"), "{\"a\":6}\n");
}

#[test]
fn numbers_go_on_after_the_highest_even_if_lower_ones_were_removed() {
    let env = MemoryEnv::new();
    env.put(format!("{FOLDER}/out.7.log"), "{\"a\":0}\n");
    env.put(format!("{FOLDER}/out.x.log"), "other");
    let mut stage = Stage::within(env, "path: out.log\nrotate_size: 16B");
    stage.check.write("{\"a\":1}");
    stage.check.write("{\"a\":2}");
    assert_eq!(stage.text("out.7.log"), "{\"a\":0}\n{\"a\":1}\n");
    assert_eq!(stage.text("out.8.log"), "{\"a\":2}\n");
}

#[test]
fn compressed_files_are_rotated_between_frames() {
    let mut stage = Stage::new("path: out.zst\ncompression: zstd\nrotate_size: 50B\nfsync: batch");
    for n in 0..4 {
        stage.check.write(&format!("{{\"a\":{n}}}"));
        assert_eq!(stage.check.flush(), Written::Delivered);
    }
    let files = stage.files();
    assert_eq!(files.len(), 2, "{files:?}");
    let text: String = files.iter().map(|file| unpack(&stage.bytes(file), Format::Zstd)).collect();
    assert_eq!(text, "{\"a\":0}\n{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
}

#[test]
fn values_that_look_like_numbers_of_files_do_not_meet() {
    let mut stage = Stage::new("path: 'by/{u}.log'\nrotate_size: 1GiB");
    stage.check.write("{\"u\":\"a\"}\n{\"u\":\"a.1\"}\n{\"u\":\"a.1.1\"}");
    stage.check.restart();
    stage.check.write("{\"u\":\"a\"}\n{\"u\":\"a.1\"}\n{\"u\":\"a.1.1\"}");
    assert_eq!(stage.files(), ["by/a.1.1.1.log", "by/a.1.1.log", "by/a.1.log"]);
    assert_eq!(stage.text("by/a.1.log"), "{\"u\":\"a\"}\n{\"u\":\"a\"}\n");
}

// Torn ends.

#[test]
fn a_torn_line_is_cut_off_wherever_it_was_torn() {
    let whole = "{\"a\":1}\n{\"a\":2}\n";
    for cut in 0..=whole.len() {
        let env = MemoryEnv::new();
        env.put(format!("{FOLDER}/out"), &whole[..cut]);
        let mut stage = Stage::within(env, "path: out");
        assert_eq!(stage.check.write("{\"a\":3}"), Written::Delivered);
        let kept = whole[..cut].rfind('\n').map_or("", |at| &whole[..=at]);
        assert_eq!(stage.text("out"), format!("{kept}{{\"a\":3}}\n"), "cut at {cut}");
    }
}

#[test]
fn the_start_of_a_long_torn_line_is_found() {
    let env = MemoryEnv::new();
    env.put(format!("{FOLDER}/out"), format!("one\n{}", "x".repeat(200_000)));
    let mut stage = Stage::within(env, "path: out");
    stage.check.write("{}");
    assert_eq!(stage.text("out"), "one\n{}\n");
}

#[test]
fn a_torn_frame_is_cut_off_wherever_it_was_torn() {
    for (format, settings) in COMPRESSED {
        let mut stage = Stage::new(settings);
        stage.check.write("{\"a\":1}");
        stage.check.flush();
        let one = stage.bytes(path_of(format));
        stage.check.write("{\"a\":2}");
        stage.check.flush();
        let two = stage.bytes(path_of(format));
        assert!(two.starts_with(&one));
        for cut in 0..=two.len() {
            let env = MemoryEnv::new();
            env.put(format!("{FOLDER}/{}", path_of(format)), &two[..cut]);
            let mut stage = Stage::within(env, settings);
            stage.check.write("{\"a\":3}");
            assert_eq!(stage.check.flush(), Written::Delivered, "{format:?} cut at {cut}");
            let kept = match cut {
                cut if cut == two.len() => "{\"a\":1}\n{\"a\":2}\n",
                cut if cut >= one.len() => "{\"a\":1}\n",
                _ => "",
            };
            let text = unpack(&stage.bytes(path_of(format)), format);
            assert_eq!(text, format!("{kept}{{\"a\":3}}\n"), "{format:?} cut at {cut}");
        }
    }
}

#[test]
fn a_last_frame_without_its_content_is_cut_off() {
    for (format, settings) in COMPRESSED {
        let mut stage = Stage::new(settings);
        stage.check.write("{\"a\":1}");
        stage.check.flush();
        let one = stage.bytes(path_of(format));
        let mut broken = [one.clone(), one.clone()].concat();
        let near_the_end = broken.len() - 12;
        broken[near_the_end..].fill(0);
        for end in [broken, [one.clone(), vec![0; 99]].concat()] {
            let env = MemoryEnv::new();
            env.put(format!("{FOLDER}/{}", path_of(format)), end);
            let mut stage = Stage::within(env, settings);
            stage.check.write("{\"a\":2}");
            assert_eq!(stage.check.flush(), Written::Delivered);
            let text = unpack(&stage.bytes(path_of(format)), format);
            assert_eq!(text, "{\"a\":1}\n{\"a\":2}\n", "{format:?}");
        }
    }
}

#[test]
fn frames_of_every_size_are_walked_over() {
    for (format, settings) in COMPRESSED {
        let mut stage = Stage::new(settings);
        let mut expected = String::new();
        for len in [0, 1, 250, 70_000, 400_000] {
            // Random digits, so that there is more than one block, and one run of the same letter.
            let mut seed = 1_u64;
            let noise: String = (0..len)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    char::from(b'!' + 2 + (seed >> 33) as u8 % 57)
                })
                .collect();
            let line = format!("{{\"a\":\"{}{noise}\"}}", "x".repeat(len));
            stage.check.write(&line);
            stage.check.flush();
            expected.push_str(&line);
            expected.push('\n');
        }
        stage.check.restart();
        stage.check.write("{\"a\":1}");
        assert_eq!(stage.check.flush(), Written::Delivered);
        assert_eq!(unpack(&stage.bytes(path_of(format)), format), expected + "{\"a\":1}\n");
    }
}

#[test]
fn a_file_that_is_not_dpipes_own_is_left_alone() {
    let foreign = |format| -> Vec<u8> {
        match format {
            Format::Gzip => {
                let mut encoder = flate2::GzBuilder::new().write(Vec::new(), Default::default());
                std::io::Write::write_all(&mut encoder, b"theirs\n").unwrap();
                encoder.finish().unwrap()
            }
            _ => b"theirs\n".to_vec(),
        }
    };
    for (format, settings) in COMPRESSED {
        let env = MemoryEnv::new();
        env.put(format!("{FOLDER}/{}", path_of(format)), foreign(format));
        let mut stage = Stage::within(env, settings);
        stage.check.write("{\"a\":1}");
        let Written::Retry { reason, .. } = stage.check.flush() else { panic!("it was taken") };
        assert!(reason.contains(path_of(format)) && reason.contains("not compressed"), "{reason}");
        assert_eq!(stage.bytes(path_of(format)), foreign(format));
    }
}

// Receipts.

#[test]
fn events_are_held_until_their_frame_is_whole() {
    for (format, settings) in COMPRESSED {
        let mut stage = Stage::new(settings);
        assert_eq!(stage.check.write("{\"a\":1}"), Written::Held);
        assert_eq!(stage.check.write("{\"a\":2}\n{\"a\":3}"), Written::Held);
        assert_eq!(stage.files(), [""; 0]);
        assert_eq!(stage.check.flush(), Written::Delivered);
        let text = unpack(&stage.bytes(path_of(format)), format);
        assert_eq!(text, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
        let flush = stage.check.spec().flush_policy().unwrap();
        assert_eq!((flush.bytes, flush.when_idle), (1 << 20, false));
    }
}

#[test]
fn with_fsync_events_are_held_until_the_disk_has_them() {
    let mut stage = Stage::new("path: out\nfsync: batch");
    assert!(stage.check.spec().flush_policy().unwrap().when_idle);
    assert_eq!(stage.check.write("{\"a\":1}"), Written::Held);
    stage.env.set_syncs_fail(true);
    let Written::Retry { reason, .. } = stage.check.flush() else { panic!("it was delivered") };
    assert!(reason.contains("cannot sync `/etc/dpipe/out`"), "{reason}");
    assert_eq!(stage.text("out"), "");
    stage.env.set_syncs_fail(false);
    stage.check.write("{\"a\":1}");
    assert_eq!(stage.check.flush(), Written::Delivered);
    assert_eq!(stage.text("out"), "{\"a\":1}\n");
}

#[test]
fn a_file_that_has_to_be_closed_early_is_synced_first() {
    let mut stage = Stage::new("path: 'by/{u}'\nfsync: batch\nopen_files_max: 1");
    stage.check.write("{\"u\":1}\n{\"u\":2}\n{\"u\":3}");
    assert_eq!(stage.check.flush(), Written::Delivered);
    assert_eq!(stage.env.syncs(), 3);
}

#[test]
fn without_compression_and_fsync_nothing_is_held() {
    assert_eq!(Stage::new("path: out").check.spec().flush_policy(), None);
}

#[test]
fn a_receipt_says_what_it_means() {
    let means = |settings| Stage::new(settings).check.spec().receipt_means();
    assert!(means("path: out").contains("power failure"));
    assert!(means("path: out\nfsync: batch").ends_with("synced to disk"));
    assert!(means(COMPRESSED[0].1).contains("whole gzip member"));
}

// Failures.

#[test]
fn a_full_disk_leaves_no_half_lines_and_no_doubles() {
    for (format, extra) in [
        (Format::Lines, ""),
        (Format::Lines, "fsync: batch"),
        (Format::Gzip, "compression: gzip"),
        (Format::Zstd, "compression: zstd"),
    ] {
        let mut stage = Stage::new(&format!("path: {}\n{extra}", path_of(format)));
        stage.check.write("{\"a\":1}");
        stage.check.flush();
        let before = stage.bytes(path_of(format));
        for room in 0..12 {
            stage.env.set_room(Some(room));
            let mut written = stage.check.write("{\"a\":2}\n{\"a\":3}");
            if written == Written::Held {
                written = stage.check.flush();
            }
            let Written::Retry { reason, .. } = written else { panic!("{room} bytes are too few") };
            assert!(reason.contains(&format!("`{FOLDER}/{}`", path_of(format))), "{reason}");
            assert_eq!(stage.bytes(path_of(format)), before, "{format:?} with room for {room}");
        }
        stage.env.set_room(None);
        stage.check.write("{\"a\":2}\n{\"a\":3}");
        assert_eq!(stage.check.flush(), Written::Delivered);
        let text = unpack(&stage.bytes(path_of(format)), format);
        assert_eq!(text, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", "{format:?} {extra}");
    }
}

#[test]
fn a_parcel_for_several_files_is_in_all_of_them_or_in_none() {
    for settings in [
        "path: 'by/{u}'\nopen_files_max: 2",
        "path: 'by/%F'\nopen_files_max: 2",
        "path: 'by/{u}'\nrotate_size: 5B",
        "path: 'by/{u}'\nfsync: batch\nopen_files_max: 1",
    ] {
        let mut stage = Stage::new(settings);
        let input: String = (1..=5).map(|n| format!("@2024-06-0{n} {{\"u\":{n}}}\n")).collect();
        stage.env.set_room(Some(30));
        let mut written = stage.check.write(&input);
        if written == Written::Held {
            written = stage.check.flush();
        }
        assert!(is_retry(&written), "{settings}");
        let all = |stage: &Stage| -> String {
            stage.files().iter().map(|file| stage.text(file)).collect()
        };
        assert_eq!(all(&stage), "", "{settings}");
        stage.env.set_room(None);
        stage.check.write(&input);
        assert_eq!(stage.check.flush(), Written::Delivered);
        let expected: String = (1..=5).map(|n| format!("{{\"u\":{n}}}\n")).collect();
        assert_eq!(all(&stage), expected, "{settings}");
    }
}

#[test]
fn a_second_output_on_the_same_file_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = OutputCheck::new::<Config>("path: out", RealEnv, dir.path());
    let mut second = OutputCheck::new::<Config>("path: out", RealEnv, dir.path());
    assert_eq!(first.write("{\"a\":1}"), Written::Delivered);
    let Written::Retry { reason, .. } = second.write("{\"a\":2}") else { panic!("it was taken") };
    assert!(reason.contains("another output or another dpipe"), "{reason}");
    first.close();
    assert_eq!(second.write("{\"a\":2}"), Written::Delivered);
    assert_eq!(fs::read_to_string(dir.path().join("out")).unwrap(), "{\"a\":1}\n{\"a\":2}\n");
}

// Files that come and go.

#[test]
fn a_file_that_was_moved_away_is_begun_anew_within_a_second() {
    let mut stage = Stage::new("path: out");
    stage.check.write("{\"a\":1}");
    stage.env.files().rename(Path::new("/etc/dpipe/out"), Path::new("/etc/dpipe/old")).unwrap();
    stage.env.set_now_millis(1000);
    stage.check.write("{\"a\":2}");
    assert_eq!(stage.text("old"), "{\"a\":1}\n");
    assert_eq!(stage.text("out"), "{\"a\":2}\n");
}

#[test]
fn a_file_that_was_emptied_is_written_from_its_start() {
    let mut stage = Stage::new("path: out");
    stage.check.write("{\"a\":1}");
    stage
        .env
        .files()
        .open(Path::new("/etc/dpipe/out"), dpipe_env::Open::Write)
        .unwrap()
        .set_len(0)
        .unwrap();
    stage.env.set_now_millis(1000);
    stage.check.write("{\"a\":2}");
    assert_eq!(stage.text("out"), "{\"a\":2}\n");
}

#[test]
fn files_beyond_the_bound_and_idle_ones_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let base = dir.path().canonicalize().unwrap();
        let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
        links
            .filter(|link| fs::read_link(link.path()).is_ok_and(|to| to.starts_with(&base)))
            .count()
    };
    let env = MovedClock::default();
    let settings = "path: 'by/{u}'\nopen_files_max: 3\nclose_after: 5s";
    let mut check = OutputCheck::new::<Config>(settings, env.clone(), dir.path());
    for n in 0..9 {
        assert_eq!(check.write(&format!("{{\"u\":{n}}}")), Written::Delivered);
    }
    assert_eq!(open(), 3);
    env.set(4_999);
    check.tick();
    assert_eq!(open(), 3);
    check.write("{\"u\":8}");
    env.set(5_000);
    check.tick();
    assert_eq!(open(), 1, "one was used since");
    assert_eq!(fs::read_to_string(dir.path().join("by/8")).unwrap().lines().count(), 2);
}

/// The machine, but for its clock.
#[derive(Clone, Default)]
struct MovedClock(Arc<std::sync::atomic::AtomicI64>);

impl MovedClock {
    fn set(&self, millis: i64) {
        self.0.store(millis, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Env for MovedClock {
    fn now_millis(&self) -> i64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn random(&self) -> u64 {
        0
    }
    fn files(&self) -> &dyn dpipe_env::Files {
        RealEnv.files()
    }
    fn host_name(&self) -> String {
        String::new()
    }
}

// Settings.

#[test]
fn a_mistake_in_the_settings_is_named() {
    for (settings, message) in [
        ("path: '{_tenant}.log'", "needs a folder"),
        ("path: 'logs/{u'", "output.yaml:1:"),
        ("path: x\nrotate_size: 0", "`rotate_size` must be more than 0"),
        ("path: x\nflush_size: 0", "`flush_size` must be more than 0"),
        ("path: x\nopen_files_max: 0", "`open_files_max` must be at least 1"),
        ("path: x\ncompression_level: 3", "`compression_level` without `compression`"),
        ("path: x.gz\ncompression: gzip\ncompression_level: 10", "1 to 9"),
        ("path: x.zst\ncompression: zstd\ncompression_level: 0", "1 to 19"),
        ("path: x.gz", "warning: the file `x.gz` is not compressed"),
        ("path: x\ncompression: zstd", "let the path end in `.zst`"),
        ("path: x\ncompress: zstd", "compress"),
        ("fsync: batch", "path"),
    ] {
        let found = output_mistake::<Config>(settings);
        assert!(found.contains(message), "{settings}: {found}");
    }
}
