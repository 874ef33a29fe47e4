//! Where files are is the operator's: events name them only within their folder, and only so many.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use super::*;

/// Values as they stand in JSON.
const HOSTILE: &[&str] = &[
    "..",
    ".",
    "...",
    "../",
    "/..",
    "./.",
    "../../../out",
    "../../../../../../../../etc/cron.d/x",
    "/etc/passwd",
    "/",
    "//",
    "a/b",
    "a/../../b",
    "..\\\\x",
    "..\\\\..\\\\x",
    "C:\\\\x",
    "a\\u0000b",
    "..\\u0000/x",
    "a\\nb",
    "\\u001b[2J",
    "\\u009b2J",
    "\\u007f",
    "",
    "%2e%2e%2f",
    "%2e%2e/%2e%2e/x",
    "..%2fx",
    "..%c0%afx",
    "%252e%252e%252f",
    "..;/x",
    "\u{ff0e}\u{ff0e}\u{ff0f}x",
    "\u{2025}/x",
    "\u{202e}x",
    "~",
    "~root",
    "$HOME",
    "x;rm -rf",
    "con",
    " ",
    ".. ",
    "-rf",
    "secret",
    "link",
    "{data_dir}",
    "%Y",
];

/// Every entry below a folder but for the folder `skip`: its path, and what is known of it.
fn inodes(folder: &Path, skip: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let known = fs::symlink_metadata(&path).unwrap();
            if path == skip {
                continue;
            }
            if known.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, known));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn no_value_leads_out_of_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("conf");
    let base = folder.join("base");
    // What a value could aim at: a file beside the base, and links to it.
    fs::create_dir_all(&base).unwrap();
    fs::create_dir(dir.path().join("etc")).unwrap();
    let secret = dir.path().join("etc/secret");
    fs::write(&secret, "secret").unwrap();
    symlink(&secret, folder.join("link")).unwrap();
    let outside = |path: &Path| -> Vec<_> {
        let known = |(path, known): (PathBuf, fs::Metadata)| {
            (path, known.dev(), known.ino(), known.len(), known.mtime_nsec(), known.nlink())
        };
        inodes(path, &base).into_iter().map(known).collect()
    };
    let before = outside(dir.path());
    let mut check =
        OutputCheck::new::<Config>("path: 'base/{v}/x-{v}/{v}.jsonl'", RealEnv, &folder);
    for value in HOSTILE {
        assert_eq!(check.write(&format!("{{\"v\":\"{value}\"}}")), Written::Delivered, "{value}");
    }
    assert_eq!(outside(dir.path()), before, "something beside the base has changed");

    // Below it, each value has a folder, a folder and a file, all of them its own.
    let inside = inodes(&base, Path::new(""));
    let (folders, files): (Vec<_>, Vec<_>) = inside.iter().partition(|(_, known)| known.is_dir());
    assert_eq!((folders.len(), files.len()), (HOSTILE.len() * 2, HOSTILE.len()));
    for (path, known) in files {
        assert!(known.is_file() && known.nlink() == 1 && known.len() > 0, "{}", path.display());
        let inner = path.strip_prefix(&base).unwrap();
        assert_eq!(inner.components().count(), 3, "{}", inner.display());
        let name = inner.to_str().unwrap();
        assert!(!name.contains('\\') && !name.chars().any(char::is_control), "{name:?}");
    }
}

#[test]
fn a_link_in_the_way_is_not_followed_and_its_events_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (base, out) = (dir.path().join("base"), dir.path().join("out"));
    fs::create_dir(&base).unwrap();
    fs::create_dir(&out).unwrap();
    symlink(&out, base.join("link")).unwrap();
    symlink(out.join("x"), base.join("file")).unwrap();
    fs::create_dir_all(base.join("folder/x.log")).unwrap();
    fs::write(base.join("plain"), "").unwrap();
    for name in ["pipe", "socket"] {
        fs::create_dir(base.join(name)).unwrap();
    }
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        base.join("pipe/x.log"),
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(base.join("socket/x.log")).unwrap();
    let mut check = OutputCheck::new::<Config>("path: 'base/{v}/x.log'", RealEnv, dir.path());
    let input = r#"{"v":"link"}
        {"v":"good"}
        {"v":"folder"}
        {"v":"plain"}
        {"v":"link"}
        {"v":"pipe"}
        {"v":"socket"}"#;
    let written = check.write(input);
    assert_eq!(kinds(written.clone()), [0, 2, 3, 4, 5, 6].map(|at| (at, "bad_name")));
    let refused = reasons(written);
    assert!(refused[0].1.contains("base/link/x.log"), "{refused:?}");
    assert_eq!(fs::read_to_string(base.join("good/x.log")).unwrap(), "{\"v\":\"good\"}\n");
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);

    let mut check = OutputCheck::new::<Config>("path: base/file", RealEnv, dir.path());
    assert!(is_retry(&check.write("{\"a\":1}")), "no event is to blame for a path of the operator");
}

#[test]
fn a_name_that_is_too_long_is_refused_and_the_others_are_written() {
    for settings in ["path: 'base/{v}.log'", "path: 'base/{v}.log'\nfsync: batch"] {
        let dir = tempfile::tempdir().unwrap();
        let mut check = OutputCheck::new::<Config>(settings, RealEnv, dir.path());
        let (long, longer) = ("x".repeat(252), "x".repeat(256));
        check.write("{\"v\":\"ok\"}");
        let input = format!("{{\"v\":\"{longer}\"}}\n{{\"v\":\"ok\"}}\n{{\"v\":\"{long}\"}}");
        let written = check.write(&input);
        let (first, written) =
            if written == Written::Held { (1, check.flush()) } else { (0, written) };
        let refused = kinds(written.clone());
        assert_eq!(refused, [(first, "bad_name"), (first + 2, "bad_name")]);
        let refused = reasons(written);
        assert!(refused[0].1.contains("255"), "{refused:?}");
        let written = fs::read_to_string(dir.path().join("base/ok.log")).unwrap();
        assert_eq!(written, "{\"v\":\"ok\"}\n{\"v\":\"ok\"}\n");
    }
}

#[test]
fn an_event_that_the_encoder_has_refused_is_not_refused_again() {
    for settings in ["path: 'base/{v}.log'", "path: 'base/{v}.log'\nfsync: batch"] {
        let dir = tempfile::tempdir().unwrap();
        let mut check = OutputCheck::new::<Config>(settings, RealEnv, dir.path());
        for long in [300, 252] {
            let event = format!("{{\"v\":\"{}\"}}", "x".repeat(long));
            let batch = Arc::new(batch(&format!("{event}\n{event}")));
            let bytes = format!("{event}\n").into_bytes();
            let ends = vec![0, bytes.len() as u32];
            let encoded = Arc::new(dpipe_plugin::Encoded::Own { bytes, ends });
            let written = check.write_parcel(&Parcel::new(batch, Some(encoded)));
            let written = if written == Written::Held { check.flush() } else { written };
            let refused = reasons(written);
            assert_eq!(refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1], "{settings}");
        }
    }
}

#[test]
fn events_can_name_only_so_many_new_files_in_an_hour() {
    let mut stage = Stage::new("path: 'by/{u}'\nnew_files_per_hour: 2");
    stage.env.put(format!("{FOLDER}/by/old"), "");
    let refused = reasons(stage.check.write(
        "{\"u\":\"a\"}\n{\"u\":\"b\"}\n{\"u\":\"c\"}\n{\"u\":\"old\"}\n{\"u\":\"a\"}\n{\"u\":\"d\"}",
    ));
    assert_eq!(refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 5]);
    assert!(refused[0].1.contains("new_files_per_hour"));
    assert_eq!(kinds(stage.check.write("{\"u\":\"c\"}")), [(0, "new_files")]);
    stage.env.set_now_millis(3_600_000);
    assert_eq!(stage.check.write("{\"u\":\"c\"}"), Written::Delivered);

    let mut by_day = Stage::new("path: 'by/%F'\nnew_files_per_hour: 1");
    assert_eq!(by_day.check.write("@2024-06-01 {}\n@2024-06-02 {}"), Written::Delivered);
}

#[test]
fn a_write_that_is_tried_again_names_its_new_files_once() {
    let mut stage = Stage::new("path: 'by/{u}'\nnew_files_per_hour: 3");
    let events = "{\"u\":1}\n{\"u\":2}\n{\"u\":3}";
    stage.env.set_room(Some(0));
    for _ in 0..5 {
        assert!(is_retry(&stage.check.write(events)));
    }
    stage.env.set_room(None);
    assert_eq!(stage.check.write(events), Written::Delivered);
    assert_eq!(stage.files().len(), 3);
    assert_eq!(kinds(stage.check.write("{\"u\":4}")), [(0, "new_files")]);
}

#[test]
fn the_bound_on_new_files_is_each_tenants_own() {
    let mut stage = Stage::new("path: 'by/{_tenant}/{u}'\nnew_files_per_hour: 1");
    assert_eq!(
        stage.check.write_parcel(&parcel(of_tenant("a", "{\"u\":1}\n"))),
        Written::Delivered
    );
    assert_eq!(
        stage.check.write_parcel(&parcel(of_tenant("b", "{\"u\":1}\n"))),
        Written::Delivered
    );
    assert_eq!(reasons(stage.check.write_parcel(&parcel(of_tenant("a", "{\"u\":2}\n")))).len(), 1);
}

fn of_tenant(tenant: &str, line: &str) -> Batch {
    let mut builder = Builder::new();
    builder.begin(Buffer::from(line.as_bytes().to_vec()), 0, Timestamp::default());
    let bytes = line.trim_end().as_bytes();
    let frame = Frame { bytes, start: 0, original_len: bytes.len() };
    builder.push_json(&frame, 0..bytes.len(), &JsonLimits::default()).unwrap();
    let origin = Origin {
        tenant: tenant.into(),
        input: "in".into(),
        file: "".into(),
        logfile: "".into(),
        host: "".into(),
        stream: StreamId::default(),
    };
    builder.finish(Arc::new(origin), "in".into())
}
