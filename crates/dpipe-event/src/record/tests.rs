use proptest::prelude::*;

use super::*;
use crate::{Batch, Buffer, Builder, Frame, Origin, StreamId, Timestamp};

/// What the scanner makes of the same bytes.
fn scanned(json: &[u8]) -> Vec<Node> {
    let mut tape = Vec::new();
    Scanner::default().scan(json, 0, json.len(), &Limits::default(), &mut tape).unwrap();
    tape
}

#[derive(Clone, Debug)]
enum Member {
    Text(Vec<u8>, Vec<u8>),
    Number(Vec<u8>),
    Bool(bool),
    List(Vec<Vec<u8>>),
    Object(Vec<Member>),
    Json(String),
    MembersOf(String),
}

fn write(member: &Member, to: &mut RecordWriter<'_>) {
    let limits = Limits::default();
    match member {
        Member::Text(key, text) => to.string_named(key, text),
        Member::Number(digits) => to.number(&RecordKey::new("n\"é"), digits),
        Member::Bool(yes) => to.bool_named(b"b", *yes),
        Member::List(items) => to.list(&RecordKey::new("list"), |list| {
            for item in items {
                list.element(item);
            }
        }),
        Member::Object(members) => to.object(&RecordKey::new("o"), |object| {
            for member in members {
                write(member, object);
            }
        }),
        Member::Json(json) => to.json_named(b"json", json.as_bytes(), &limits).unwrap(),
        Member::MembersOf(json) => to.members_of(json.as_bytes(), &limits).unwrap(),
    }
}

fn member() -> impl Strategy<Value = Member> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..6);
    let object = r#"(\{\}| \{ "a" : \[1, \{"x":"\\n"\}\] , "\\u0062":null\} |\{"k":""\})"#;
    let leaf = prop_oneof![
        (bytes(), bytes()).prop_map(|(key, text)| Member::Text(key, text)),
        "[-0-9.eE+a]{0,5}".prop_map(|digits| Member::Number(digits.into_bytes())),
        any::<bool>().prop_map(Member::Bool),
        prop::collection::vec(bytes(), 0..3).prop_map(Member::List),
        prop_oneof![Just("7"), Just(" \"a\\tb\" "), Just("[[1],{}]")]
            .prop_map(|json| Member::Json(json.to_owned())),
        object.prop_map(Member::MembersOf),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Member::Object)
    })
}

proptest! {
    #[test]
    fn the_tape_is_the_one_that_a_scan_of_the_bytes_gives(
        members in prop::collection::vec(member(), 0..6)
    ) {
        let mut record = Record::new();
        let filled: Result<(), ()> = record.fill(|to| {
            members.iter().for_each(|member| write(member, to));
            Ok(())
        });
        filled.unwrap();
        prop_assert_eq!(&record.tape, &scanned(record.json()), "{}", String::from_utf8_lossy(record.json()));
    }
}

fn builder() -> (Buffer, Builder) {
    let buffer = Buffer::from(b"one\ntwo\n".to_vec());
    let mut builder = Builder::new();
    builder.begin(buffer.clone(), 0, Timestamp::from_millis(5));
    (buffer, builder)
}

fn finish(mut builder: Builder) -> Batch {
    let origin = Origin {
        tenant: "t".into(),
        input: "in".into(),
        file: "".into(),
        logfile: "".into(),
        host: "".into(),
        stream: StreamId::default(),
    };
    builder.finish(origin.into(), "in".into())
}

fn bodies(batch: &Batch) -> Vec<String> {
    batch.iter().map(|event| String::from_utf8(event.body_text().into_owned()).unwrap()).collect()
}

#[test]
fn a_record_of_any_width_is_looked_through_for_a_key_that_stands_twice() {
    let mut record = Record::new();
    for width in [1, 7, 70, 3000, 9000] {
        for twice in [None, Some(0), Some(width - 1)] {
            let filled: Result<(), ()> = record.fill(|to| {
                (0..width).for_each(|n| to.null_named(format!("a_long_key_{n}").as_bytes()));
                if let Some(n) = twice {
                    to.string_named(format!("a_long_key_{n}").as_bytes(), b"");
                }
                Ok(())
            });
            filled.unwrap();
            let marked = record.tape.iter().filter(|node| node.has_key_twice()).count();
            assert_eq!(marked, usize::from(twice.is_some()), "{width}");
            assert_eq!(record.tape[0].has_key_twice(), marked == 1);
        }
    }
}

#[test]
fn a_record_that_failed_leaves_nothing_behind() {
    let (buffer, mut builder) = builder();
    let frame = |start: usize| Frame {
        bytes: &buffer[start..start + 3],
        start: start as u32,
        original_len: 3,
    };
    let key = RecordKey::new("k");
    let failed = builder.push_record(&frame(0), |to| {
        to.string(&key, b"half");
        Err::<(), _>("broken")
    });
    assert_eq!(failed.err(), Some("broken"));
    let pushed = builder.push_record(&frame(4), |to| {
        to.string(&key, b"whole");
        Ok::<_, ()>(7)
    });
    assert_eq!(pushed.unwrap().1, 7);
    let batch = finish(builder);
    assert_eq!(bodies(&batch), [r#"{"k":"whole"}"#]);
    assert_eq!(batch.get(0).raw(), b"two");
    let value = batch.get(0).get(&"k".parse().unwrap()).unwrap();
    assert_eq!(&*value.as_text().unwrap(), b"whole");
}

#[test]
fn members_that_are_merged_replace_those_that_are_there() {
    let (buffer, mut builder) = builder();
    let frame = Frame { bytes: &buffer[..3], start: 0, original_len: 3 };
    let limits = Limits::default();
    let json = br#"{"a":1,"b":{"x":1},"a":2,"c":3}"#;
    builder.push_made(&frame, json, &limits).unwrap();
    builder.push_text(&frame);
    let mut batch = finish(builder);
    let mut record = Record::new();
    let filled: Result<(), ()> = record.fill(|to| {
        to.number_named(b"a", b"9");
        to.string_named(b"b", b"new");
        to.string_named(b"d\"", b"first");
        to.string_named(b"d\"", b"last");
        Ok(())
    });
    filled.unwrap();
    let nested = "b.x".parse().unwrap();
    batch.edit(0).set(&nested, crate::NewValue::Integer(5));
    batch.edit(0).remove(&"c".parse().unwrap());
    assert!(batch.edit(0).merge(&record, None));
    assert!(batch.edit(1).merge(&record, None));
    assert!(batch.edit(1).merge(&record, Some(&"deep.er".parse().unwrap())));
    assert_eq!(
        bodies(&batch),
        [
            r#"{"b":"new","a":9,"d\"":"last"}"#,
            r#"{"message":"one","a":9,"b":"new","d\"":"last","deep":{"er":{"a":9,"b":"new","d\"":"first","d\"":"last"}}}"#,
        ]
    );
}

#[test]
fn a_member_is_found_by_its_name_however_its_key_was_written() {
    let (buffer, mut builder) = builder();
    let frame = Frame { bytes: &buffer[..3], start: 0, original_len: 3 };
    let limits = Limits::default();
    builder.push_made(&frame, b"{}", &limits).unwrap();
    let mut batch = finish(builder);
    let mut record = Record::new();
    let json = br#"{"gr\u00f6\u00dfe":1,"a\/b":2,"q\"":3}"#;
    record.fill(|to| to.members_of(json, &limits)).unwrap();
    assert!(batch.edit(0).merge(&record, None));
    let [size, slash, quote] =
        ["größe", "a/b", r#""q\"""#].map(|path| path.parse::<crate::Path>().unwrap());
    assert!(batch.get(0).get(&size).is_some() && batch.get(0).get(&quote).is_some());
    assert!(batch.edit(0).set(&size, crate::NewValue::Integer(9)));
    assert!(batch.edit(0).remove(&slash));
    assert!(batch.edit(0).merge(&record, None));
    assert!(batch.edit(0).remove(&slash));
    assert_eq!(bodies(&batch), [r#"{"größe":1,"q\"":3}"#]);
}
