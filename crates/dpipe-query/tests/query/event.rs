//! Events to put queries to.

use std::sync::Arc;

use dpipe_event::{
    Batch, Buffer, Builder, Frame, JsonLimits, NewValue, Origin, Path, StreamId, Timestamp,
};
use dpipe_query::Query;

/// 2014-03-01T12:00:00.250Z
pub(crate) const TIME: i64 = 1_393_675_200_250;

fn batch(body: &[u8], is_json: bool) -> Batch {
    batch_of(Frame { bytes: body, start: 0, original_len: body.len() }, is_json)
}

fn batch_of(frame: Frame<'_>, is_json: bool) -> Batch {
    let body = frame.bytes;
    let mut builder = Builder::new();
    builder.begin(Buffer::from(body.to_vec()), 0, Timestamp::from_millis(TIME));
    if is_json {
        builder.push_json(&frame, 0..body.len(), &JsonLimits::default()).unwrap();
    } else {
        builder.push_text(&frame);
    }
    let origin = Origin {
        tenant: "rs".into(),
        input: "logs".into(),
        file: "/logs/pv.log".into(),
        logfile: "pv".into(),
        host: "".into(),
        stream: StreamId::default(),
    };
    builder.finish(Arc::new(origin), "logs".into())
}

/// Whether the query matches the event with this JSON body.
pub(crate) fn matches(query: &str, json: &str) -> bool {
    let query = Query::parse(query).unwrap_or_else(|error| panic!("{}", error.caret()));
    query.matches(&batch(json.as_bytes(), true).get(0))
}

/// Whether the query matches the event with this JSON body after edits: each sets a field of the
/// root to a JSON value, or removes it.
pub(crate) fn matches_edited(query: &str, json: &str, edits: &[(&str, Option<String>)]) -> bool {
    let mut batch = batch(json.as_bytes(), true);
    for (field, value) in edits {
        let path = Path::parse(field).unwrap();
        match value {
            Some(json) => {
                let value = NewValue::Json(json.as_bytes());
                assert!(batch.edit(0).set(&path, value));
            }
            None => {
                batch.edit(0).remove(&path);
            }
        }
    }
    Query::parse(query).unwrap().matches(&batch.get(0))
}

/// Whether the query matches the event with this line of text.
pub(crate) fn matches_line(query: &str, line: impl AsRef<[u8]>) -> bool {
    Query::parse(query).unwrap().matches(&batch(line.as_ref(), false).get(0))
}

/// Whether the query matches a line of text that was longer before it was cut.
pub(crate) fn matches_cut_line(query: &str, line: &str, original_len: usize) -> bool {
    let frame = Frame { bytes: line.as_bytes(), start: 0, original_len };
    Query::parse(query).unwrap().matches(&batch_of(frame, false).get(0))
}
