use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use crate::{
    Batch, Buffer, Builder, Frame, JsonLimits, NewValue, Origin, Path, Selection, StreamId,
    Timestamp,
};

fn origin() -> Arc<Origin> {
    Arc::new(Origin {
        tenant: "t".into(),
        input: "in".into(),
        file: "/a/pv.log".into(),
        logfile: "pv".into(),
        host: "".into(),
        stream: StreamId::derive(&[0; 32], &[b"s"]),
    })
}

/// A batch of one JSON event a line.
fn json_batch(lines: &[&str]) -> Batch {
    batch(lines, |builder, frame| {
        let limits = JsonLimits::default();
        builder.push_json(frame, 0..frame.bytes.len(), &limits).unwrap();
    })
}

fn batch(lines: &[&str], mut push: impl FnMut(&mut Builder, &Frame<'_>)) -> Batch {
    let text: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
    let buffer = Buffer::from(text.into_bytes());
    let mut builder = Builder::new();
    builder.begin(buffer.clone(), 1000, Timestamp::from_millis(5));
    let mut start = 0;
    for line in lines {
        let bytes = &buffer[start..start + line.len()];
        push(&mut builder, &Frame { bytes, start: start as u32, original_len: bytes.len() });
        start += line.len() + 1;
    }
    builder.finish(origin(), "in".into())
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn body(batch: &Batch) -> String {
    let mut out = Vec::new();
    batch.get(0).write_json(&mut out);
    String::from_utf8(out).unwrap()
}

fn text_at(batch: &Batch, at: &str) -> Option<String> {
    let mut out = Vec::new();
    batch.get(0).get(&path(at))?.write_json(&mut out);
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn fields_are_found_at_any_depth() {
    let batch = json_batch(&[r#"{"a":{"b":[1,{"c":"x\ny"}]},"n":123456789012345678901234567890}"#]);
    assert_eq!(text_at(&batch, "a.b[1].c").as_deref(), Some(r#""x\ny""#));
    assert_eq!(text_at(&batch, "a.b[0]").as_deref(), Some("1"));
    assert_eq!(text_at(&batch, "n").as_deref(), Some("123456789012345678901234567890"));
    assert_eq!(text_at(&batch, "a.b").as_deref(), Some(r#"[1,{"c":"x\ny"}]"#));
    assert_eq!(text_at(&batch, "a.x"), None);
    assert_eq!(text_at(&batch, "a.b.c"), None);
    assert_eq!(text_at(&batch, "a[0]"), None);
}

#[test]
fn edits_are_merged_in_place_and_keep_the_order_of_keys() {
    let mut batch =
        json_batch(&[r#"{"trace":"x", "i": {"level":3,"snsid":"9","e":0.1} ,"z":1.10}"#]);
    let mut event = batch.edit(0);
    assert!(event.set(&path("env"), NewValue::String(b"prod")));
    assert!(event.remove(&path("trace")));
    assert!(event.remove(&path("i.snsid")));
    assert!(event.remove(&path("i.e")));
    assert!(event.set(&path("i.bucket"), NewValue::String(b"lt50ms")));
    assert!(!event.remove(&path("i.snsid")));
    assert_eq!(body(&batch), r#"{"i": {"level":3,"bucket":"lt50ms"},"z":1.10,"env":"prod"}"#);
    assert_eq!(text_at(&batch, "i").as_deref(), Some(r#"{"level":3,"bucket":"lt50ms"}"#));
    assert_eq!(text_at(&batch, "i.e"), None);
    assert_eq!(text_at(&batch, "i.bucket").as_deref(), Some(r#""lt50ms""#));
}

#[test]
fn objects_on_the_way_are_created_but_never_put_in_the_place_of_a_scalar() {
    let mut batch = json_batch(&[r#"{"s":1,"l":[1,2]}"#]);
    let mut event = batch.edit(0);
    assert!(event.set(&path("a.b.c"), NewValue::Integer(1)));
    assert!(event.set(&path("a.b.d"), NewValue::Bool(true)));
    assert!(!event.set(&path("s.x"), NewValue::Null));
    assert!(event.set(&path("l[1]"), NewValue::Null));
    assert!(!event.set(&path("l[2]"), NewValue::Null));
    assert!(!event.set(&path("l.k"), NewValue::Null));
    assert!(!event.set(&path("_time"), NewValue::Null));
    assert_eq!(body(&batch), r#"{"s":1,"l":[1,null],"a":{"b":{"c":1,"d":true}}}"#);
}

#[test]
fn the_last_duplicate_counts_and_an_edit_ends_all_of_them() {
    let line = r#"{"k":1,"a":0,"k":2,"k":3}"#;
    let mut batch = json_batch(&[line]);
    assert_eq!(text_at(&batch, "k").as_deref(), Some("3"));
    assert_eq!(body(&batch), line);
    batch.edit(0).set(&path("k"), NewValue::Integer(4));
    assert_eq!(body(&batch), r#"{"a":0,"k":4}"#);
    batch.edit(0).remove(&path("k"));
    assert_eq!(body(&batch), r#"{"a":0}"#);
}

#[test]
fn events_that_have_a_key_twice_are_counted_as_they_are_decoded() {
    let mut builder = Builder::new();
    let lines = [
        r#"{"a":1,"b":{"a":1}}"#,
        r#"{"a":1,"b":2,"a":3}"#,
        r#"{"a":1,"b":{"k":1,"\u006b":2}}"#,
        r#"{"k":1,"a":[{"k":1},{"k":2}]}"#,
        r#"{"a":[{"k":1},{"k":2,"k":2}]} x"#,
    ];
    let text = lines.join("\n");
    for _ in 0..2 {
        builder.begin(Buffer::from(text.clone().into_bytes()), 0, Timestamp::default());
        let mut start = 0;
        for line in lines {
            let (bytes, limits) = (line.as_bytes(), JsonLimits::default());
            let frame = Frame { bytes, start: start as u32, original_len: bytes.len() };
            let decoded = builder.push_json(&frame, 0..bytes.len(), &limits);
            assert_eq!(decoded.is_ok(), !line.ends_with('x'));
            start += line.len() + 1;
        }
        assert_eq!(builder.len(), 4);
        assert_eq!(builder.flagged(), [("duplicate_key", 2)]);
    }
    let frame = Frame { bytes: b"", start: 0, original_len: 0 };
    builder.push_made(&frame, br#"{"a":{"k":1,"k":2}}"#, &JsonLimits::default()).unwrap();
    let record = builder.push_record(&frame, |record| {
        record.string_named(b"a\"b", b"1");
        record.json_named(b"a\"b", b"[2]", &JsonLimits::default())
    });
    assert!(record.is_ok());
    assert_eq!(builder.flagged(), [("duplicate_key", 4)]);
    let batch = builder.finish(origin(), "in".into());
    let value = batch.get(5).get(&path(r#""a\"b""#)).unwrap();
    assert!(matches!(value, crate::Value::Array(json) if *json == *b"[2]"));
}

#[test]
fn a_batch_of_one_event_holds_little_more_than_that() {
    let one = |text: &str| {
        let mut batch = json_batch(&[text]);
        batch.edit(0).set_body(text.as_bytes()).unwrap();
        batch.memory_bytes()
    };
    let text = r#"{"a":1}"#;
    assert!(one(text) < 8 * text.len() + 256, "{}", one(text));
    let many = json_batch(&[text; 16]);
    assert!(many.memory_bytes() > one(text) + 512, "hints");
    assert!(many.get(7).get(&path("a")).is_some());
}

#[test]
fn text_is_a_message_until_somebody_sets_a_field() {
    let mut batch = batch(&["say \"hi\""], |builder, frame| {
        builder.push_text(frame);
    });
    assert_eq!(text_at(&batch, "message").as_deref(), Some(r#""say \"hi\"""#));
    assert_eq!(body(&batch), r#"{"message":"say \"hi\""}"#);
    assert_eq!(batch.verbatim(), Some(&b"say \"hi\"\n"[..]));
    batch.edit(0).set(&path("n"), NewValue::Integer(1));
    assert_eq!(body(&batch), r#"{"message":"say \"hi\"","n":1}"#);
    assert_eq!(batch.verbatim(), None);
    assert_eq!(batch.get(0).raw(), b"say \"hi\"");
}

#[test]
fn a_rename_moves_the_value_as_it_is_now() {
    let mut batch = json_batch(&[r#"{"a":{"x":1},"b":2}"#]);
    batch.edit(0).set(&path("a.y"), NewValue::Integer(2));
    assert!(batch.edit(0).rename(&path("a"), &path("c.d")));
    assert_eq!(body(&batch), r#"{"b":2,"c":{"d":{"x":1,"y":2}}}"#);
    assert!(!batch.edit(0).rename(&path("b"), &path("c.d.x.z")));
    assert!(!batch.edit(0).rename(&path("nope"), &path("b")));
    assert!(batch.edit(0).rename(&path("c.d.x"), &path("b")));
    assert_eq!(body(&batch), r#"{"b":1,"c":{"d":{"y":2}}}"#);
}

#[test]
fn keep_leaves_only_what_is_named_and_what_is_below() {
    let mut batch = json_batch(&[r#"{"a":{"x":1,"y":[1,2]},"b":2,"c":{"d":3}}"#]);
    batch.edit(0).set(&path("n"), NewValue::Integer(7));
    batch.edit(0).keep(&[path("a.y[1]"), path("c"), path("n"), path("nope.x")]);
    assert_eq!(body(&batch), r#"{"a":{"y":[2]},"c":{"d":3},"n":7}"#);
}

#[test]
fn a_clone_is_edited_by_itself() {
    let mut one = json_batch(&[r#"{"a":1}"#]);
    one.edit(0).set(&path("b"), NewValue::Integer(1));
    let mut other = one.clone();
    other.edit(0).set(&path("b"), NewValue::Integer(2));
    other.edit(0).remove(&path("a"));
    assert_eq!(body(&one), r#"{"a":1,"b":1}"#);
    assert_eq!(body(&other), r#"{"b":2}"#);
}

#[test]
fn selected_events_are_discarded_or_taken_out() {
    let mut all = json_batch(&[r#"{"n":0}"#, r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    let odd = |e: &crate::EventRef<'_>| e.get(&path("n")).unwrap().as_i64().unwrap() % 2 == 1;
    let taken = all.take(&Selection::of(&all, odd));
    let numbers = |batch: &Batch| -> Vec<i64> {
        batch.iter().map(|e| e.get(&path("n")).unwrap().as_i64().unwrap()).collect()
    };
    assert_eq!((numbers(&all), numbers(&taken)), (vec![0, 2], vec![1, 3]));
    assert_eq!(all.discard(&Selection::of(&all, |e| e.offset() == 1000)), 1);
    assert_eq!(numbers(&all), [2]);
    assert_eq!(all.get(0).offset(), 1016);
    assert_eq!(all.verbatim(), Some(&b"{\"n\":2}\n"[..]));
    assert!(all.bodies_are_lines());
    assert_eq!(taken.verbatim(), None);
}

#[test]
fn metadata_reads_like_fields() {
    let batch = json_batch(&[r#"{"_time":"own","x":1}"#]);
    assert_eq!(text_at(&batch, "_time").as_deref(), Some("5"));
    assert_eq!(text_at(&batch, r#""_time""#).as_deref(), Some(r#""own""#));
    assert_eq!(text_at(&batch, "logfile").as_deref(), Some(r#""pv""#));
    assert_eq!(text_at(&batch, "_offset").as_deref(), Some("1000"));
    assert_eq!(text_at(&batch, "_host"), None);
    assert_eq!(text_at(&batch, "_id").unwrap().len(), 34);
}

#[test]
fn only_one_object_is_a_json_event() {
    let limits = JsonLimits::default();
    let mut errors = Vec::new();
    let lines = ["[1]", "1", "{\"a\":1} x", "{\"a\":}", ""];
    let made = batch(&lines, |builder, frame| {
        let error = builder.push_json(frame, 0..frame.bytes.len(), &limits).map(|_| ());
        errors.push(error.unwrap_err().to_string());
    });
    assert!(made.is_empty());
    assert_eq!(errors[0], "expected an object at byte 0");
    assert_eq!(errors.len(), 5);
}

#[derive(Clone, Debug)]
enum Op {
    Set(usize, Json),
    Remove(usize),
    Rename(usize, usize),
    Keep(Vec<usize>),
}

const PATHS: [&str; 9] = ["a", "b", "a.b", "a.c", "a.b.c", "c[0]", "c[1].a", "c", "\"x.y\".a"];

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        "[a-z\"\\\\\u{e9}\n]{0,6}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::Array),
            prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "x.y"]), inner), 0..4)
                .prop_map(|pairs| Json::Object(
                    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
                )),
        ]
    })
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..PATHS.len();
    prop_oneof![
        3 => (at.clone(), json_value()).prop_map(|(p, v)| Op::Set(p, v)),
        2 => at.clone().prop_map(Op::Remove),
        1 => (at.clone(), at.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => prop::collection::vec(at, 1..4).prop_map(Op::Keep),
    ]
}

/// The same edits on a DOM, as plainly as they can be written.
mod model {
    use super::{Json, Map};
    use crate::{Path, Segment};

    pub(super) fn get<'a>(root: &'a Json, path: &[Segment]) -> Option<&'a Json> {
        path.iter().try_fold(root, |at, segment| match segment {
            Segment::Key(key) => at.as_object()?.get(&**key),
            Segment::Index(index) => at.as_array()?.get(*index as usize),
        })
    }

    pub(super) fn set(at: &mut Json, path: &[Segment], value: Json) -> bool {
        let Some((segment, rest)) = path.split_first() else {
            *at = value;
            return true;
        };
        match (segment, at) {
            (Segment::Key(key), Json::Object(map)) => {
                if let Some(child) = map.get_mut(&**key) {
                    return set(child, rest, value);
                }
                if rest.iter().any(|s| matches!(s, Segment::Index(_))) {
                    return false;
                }
                let mut made = Json::Object(Map::new());
                if rest.is_empty() {
                    made = value;
                } else {
                    set(&mut made, rest, value);
                }
                map.insert(key.to_string(), made);
                true
            }
            (Segment::Index(index), Json::Array(list)) => {
                list.get_mut(*index as usize).is_some_and(|child| set(child, rest, value))
            }
            _ => false,
        }
    }

    pub(super) fn remove(at: &mut Json, path: &[Segment]) -> bool {
        let (segment, rest) = path.split_first().unwrap();
        match (segment, at) {
            (Segment::Key(key), Json::Object(map)) if rest.is_empty() => {
                map.shift_remove(&**key).is_some()
            }
            (Segment::Key(key), Json::Object(map)) => {
                map.get_mut(&**key).is_some_and(|child| remove(child, rest))
            }
            (Segment::Index(index), Json::Array(list)) if rest.is_empty() => {
                let there = (*index as usize) < list.len();
                if there {
                    list.remove(*index as usize);
                }
                there
            }
            (Segment::Index(index), Json::Array(list)) => {
                list.get_mut(*index as usize).is_some_and(|child| remove(child, rest))
            }
            _ => false,
        }
    }

    pub(super) fn keep(at: &Json, paths: &[&[Segment]]) -> Json {
        let below = |leads: &dyn Fn(&Segment) -> bool, child: &Json| {
            let rest: Vec<&[Segment]> =
                paths.iter().filter(|p| leads(&p[0])).map(|p| &p[1..]).collect();
            match rest.is_empty() {
                true => None,
                false if rest.iter().any(|p| p.is_empty()) => Some(child.clone()),
                false => Some(keep(child, &rest)),
            }
        };
        match at {
            Json::Object(map) => Json::Object(
                map.iter()
                    .filter_map(|(key, child)| {
                        let leads = |s: &Segment| matches!(s, Segment::Key(k) if **k == **key);
                        Some((key.clone(), below(&leads, child)?))
                    })
                    .collect(),
            ),
            Json::Array(list) => Json::Array(
                list.iter()
                    .enumerate()
                    .filter_map(|(i, child)| {
                        below(&|s| matches!(s, Segment::Index(k) if *k as usize == i), child)
                    })
                    .collect(),
            ),
            scalar => scalar.clone(),
        }
    }

    pub(super) fn segments(path: &Path) -> &[Segment] {
        path.segments()
    }
}

proptest! {
    /// Array elements shift when one is removed, which later paths see in the DOM at once and in the
    /// overlay only after a rebuild; so element removals are left to the tests above.
    #[test]
    fn edits_agree_with_a_dom(
        start in json_value().prop_filter("an object", Json::is_object),
        ops in prop::collection::vec(op(), 0..8),
    ) {
        let mut dom = start.clone();
        let line = start.to_string();
        let mut batch = json_batch(&[&line]);
        let paths: Vec<Path> = PATHS.iter().map(|p| path(p)).collect();
        for op in ops {
            let mut event = batch.edit(0);
            match op {
                Op::Set(p, value) => {
                    let done = event.set(&paths[p], NewValue::Json(value.to_string().as_bytes()));
                    prop_assert_eq!(done, model::set(&mut dom, model::segments(&paths[p]), value));
                }
                Op::Remove(p) => {
                    if PATHS[p].ends_with(']') { continue; }
                    let done = event.remove(&paths[p]);
                    prop_assert_eq!(done, model::remove(&mut dom, model::segments(&paths[p])));
                }
                Op::Rename(a, b) => {
                    if PATHS[a].ends_with(']') || a == b { continue; }
                    let done = event.rename(&paths[a], &paths[b]);
                    let (from, to) = (model::segments(&paths[a]), model::segments(&paths[b]));
                    let mut copy = dom.clone();
                    let moved = match model::get(&dom, from).cloned() {
                        Some(value) => model::set(&mut copy, to, value),
                        None => false,
                    };
                    prop_assert_eq!(done, moved);
                    if moved {
                        if !to.starts_with(from) && !from.starts_with(to) { model::remove(&mut copy, from); }
                        dom = copy;
                    }
                }
                Op::Keep(list) => {
                    if list.iter().any(|&p| PATHS[p].contains('[')) { continue; }
                    let kept: Vec<Path> = list.iter().map(|&p| paths[p].clone()).collect();
                    event.keep(&kept);
                    let all: Vec<_> = kept.iter().map(model::segments).collect();
                    dom = model::keep(&dom, &all);
                }
            }
            let now: Json = serde_json::from_str(&body(&batch)).unwrap();
            prop_assert_eq!(&now, &dom);
            for (text, p) in PATHS.iter().zip(&paths) {
                let seen = text_at(&batch, text).map(|t| serde_json::from_str::<Json>(&t).unwrap());
                prop_assert_eq!(seen.as_ref(), model::get(&dom, model::segments(p)), "at {}", text);
            }
        }
    }
}

proptest! {
    /// Where one event has a field is a hint for the next; here they differ, and have keys twice.
    #[test]
    fn what_other_events_look_like_does_not_mislead(
        bodies in prop::collection::vec(
            prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "x.y"]), json_value()), 0..6),
            1..8,
        ),
    ) {
        let lines: Vec<String> = bodies.iter().map(|members| {
            let members: Vec<_> =
                members.iter().map(|(key, value)| format!("{}:{value}", json!(key))).collect();
            format!("{{{}}}", members.join(","))
        }).collect();
        let mut batch = json_batch(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let paths: Vec<Path> = PATHS.iter().map(|p| path(p)).collect();
        for edited in [false, true] {
            for (index, line) in lines.iter().enumerate() {
                let mut dom: Json = serde_json::from_str(line).unwrap();
                if edited {
                    let (field, number) = (path("b"), NewValue::Integer(7));
                    prop_assert!(batch.edit(index).set(&field, number));
                    model::set(&mut dom, model::segments(&field), 7.into());
                }
                for p in &paths {
                    let seen = batch.get(index).get(p).map(|value| {
                        let mut out = Vec::new();
                        value.write_json(&mut out);
                        serde_json::from_slice::<Json>(&out).unwrap()
                    });
                    prop_assert_eq!(seen.as_ref(), model::get(&dom, model::segments(p)), "{} {}", line, p);
                }
            }
        }
    }
}

#[test]
fn long_chains_of_edits_are_merged_too() {
    let mut batch = json_batch(&[r#"{"a":{}}"#]);
    let mut expected = json!({"a": {}});
    for n in 0..100 {
        batch.edit(0).set(&path(&format!("a.k{n}")), NewValue::Integer(n));
        expected["a"][format!("k{n}")] = n.into();
    }
    assert_eq!(serde_json::from_str::<Json>(&body(&batch)).unwrap(), expected);
}
