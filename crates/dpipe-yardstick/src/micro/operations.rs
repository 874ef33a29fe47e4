//! The operations, in the order in which an event meets them.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Result, ensure};
use dpipe_event::{Buffer, Builder, NewValue, Path, logfile_name};
use dpipe_plugin::template::{Escaping, Template};
use dpipe_query::Query;
use tokio::sync::mpsc;

use super::events::{self, COUNT, Events};
use super::{Operation, nanos, nanos_with};

pub(super) const ALL: &[Operation] = &[
    Operation {
        name: "read line",
        there: "a followed file, line by line",
        here: "blocks of a file, cut at newlines",
        before: 5405.0,
        why: "",
        measure: read_line,
    },
    Operation {
        name: "parse line",
        there: "area, time and rest of an ALS line",
        here: "the same: what an ALS line takes beyond its body as JSON",
        before: 228.0,
        why: "it checks the time's century and the area's letters as well",
        measure: parse_line,
    },
    Operation {
        name: "jsonize",
        there: "the body as a map",
        here: "a whole ALS line, checked, with its index",
        before: 25179.0,
        why: "",
        measure: jsonize,
    },
    Operation {
        name: "channel",
        there: "an event through a channel",
        here: "a batch of 512 through a channel, by event",
        before: 109.0,
        why: "",
        measure: channel,
    },
    Operation {
        name: "file name to logfile name",
        there: "once an event, from a cache behind a lock",
        here: "once a stream; read by each event. As if a stream were a batch of 512",
        before: 86.0,
        why: "",
        measure: logfile,
    },
    Operation {
        name: "regex match",
        there: "`child \\d+ started` in a line of 52 bytes",
        here: "`message:/child \\d+ started/`: the field is found, then the same",
        before: 1570.0,
        why: "it finds the field first, 15 ns or more; the rest is the engine's",
        measure: regex,
    },
    Operation {
        name: "index name",
        there: "prefix of the project, ISO week of a date",
        here: "the same: `fun_{tenant.index_prefix}_%G_w%V`",
        before: 1029.0,
        why: "",
        measure: index_name,
    },
    Operation {
        name: "field value",
        there: "`_log_info.uid` as a number, from the map that `jsonize` made",
        here: "the same, from the line",
        before: 455.0,
        why: "the map took 25 µs to make; here it is looked for in the line",
        measure: field_value,
    },
    Operation {
        name: "set field",
        there: "a key of an empty map",
        here: "a field of an empty event, a string",
        before: 116.0,
        why: "it checks what is in the field's way, and copies key and value as JSON, ready to be \
              written; before, that was left to `marshal payload`",
        measure: set_field,
    },
    Operation {
        name: "pack copy",
        there: "an event, with its map",
        here: "a batch that somebody else holds, by event",
        before: 3438.0,
        why: "",
        measure: copy,
    },
    Operation {
        name: "uuid",
        there: "a UUID",
        here: "the id, a hash of stream and offset",
        before: 1622.0,
        why: "",
        measure: id,
    },
    Operation {
        name: "marshal payload",
        there: "the map as JSON",
        here: "an event with one field set and one removed",
        before: 16673.0,
        why: "",
        measure: marshal,
    },
];

fn read_line(events: &Events) -> Result<f64> {
    const TIMES: usize = 64;
    let path = std::env::temp_dir().join(format!("dpipe-micro-{}", std::process::id()));
    let mut file = std::fs::File::create(&path)?;
    for _ in 0..TIMES {
        file.write_all(&events.lines)?;
    }
    let nanos = nanos(COUNT * TIMES, || {
        let read = crate::lines::each(&path, |line| {
            black_box(line);
            Ok(())
        });
        read.expect("the file was just written");
    });
    std::fs::remove_file(path)?;
    Ok(nanos)
}

fn parse_line(_: &Events) -> Result<f64> {
    let als = Buffer::from(b"us,1393675200250,{}\n".repeat(COUNT));
    let json = Buffer::from(b"{}\n".repeat(COUNT));
    Ok(decode("als", &als)? - decode("json", &json)?)
}

fn jsonize(events: &Events) -> Result<f64> {
    decode("als", &events.lines)
}

fn decode(codec: &str, lines: &Buffer) -> Result<f64> {
    let mut decoder = events::decoder(codec)?;
    let mut builder = Builder::new();
    Ok(nanos(COUNT, || {
        events::decode(&mut *decoder, lines, &mut builder).expect("the lines are good");
    }))
}

fn channel(events: &Events) -> Result<f64> {
    const BATCHES: usize = 64;
    let batch = Arc::new(events.batch.clone());
    let (sender, mut receiver) = mpsc::channel(BATCHES);
    Ok(nanos(COUNT * BATCHES, || {
        for _ in 0..BATCHES {
            sender.try_send(batch.clone()).expect("the channel has room for all");
        }
        while let Ok(batch) = receiver.try_recv() {
            black_box(batch);
        }
    }))
}

fn logfile(events: &Events) -> Result<f64> {
    let path = "/var/funplus/logs/fp_rstory/history/session_mm_20131208230103_1";
    Ok(nanos(COUNT, || {
        black_box(logfile_name(black_box(path)));
        for index in 0..COUNT {
            black_box(&*events.batch.get(index).origin().logfile);
        }
    }))
}

fn regex(_: &Events) -> Result<f64> {
    let line = "adfasdf  asdfas dfasdf child 12 started with asdfasf";
    let batch = events::batch("json", &format!("{{\"uri\":\"/\",\"message\":\"{line}\"}}\n"))?;
    let query = Query::parse(r"message:/child \d+ started/")?;
    Ok(each(|index| assert!(black_box(query.matches(&batch.get(index))))))
}

fn index_name(_: &Events) -> Result<f64> {
    // 2011-01-19 22:15
    let batch = events::batch("als", "us,1295475300000,{}\n")?;
    let template = Template::parse("fun_{tenant.index_prefix}_%G_w%V")?;
    let template = events::with_index_prefix("rs", |context| template.bind(context));
    let mut name = Vec::new();
    let nanos = each(|index| {
        name.clear();
        let event = batch.get(index);
        template.render(&event, Escaping::None, &mut name).expect("there is no limit to a text");
        black_box(&name);
    });
    ensure!(name == b"fun_rs_2011_w03", "the name is {}", name.escape_ascii());
    Ok(nanos)
}

fn field_value(events: &Events) -> Result<f64> {
    let path = Path::parse("_log_info.uid")?;
    let value = |index| events.batch.get(index).get(&path).and_then(|value| value.as_i64());
    Ok(each(|index| _ = black_box(value(index))))
}

fn set_field(_: &Events) -> Result<f64> {
    let path = Path::parse("foo")?;
    let empty = events::batch("json", "{}\n")?;
    let batch = || empty.clone();
    Ok(nanos_with(COUNT, batch, |mut batch| {
        for index in 0..COUNT {
            batch.edit(index).set(&path, NewValue::String(b"bar"));
        }
        black_box(batch);
    }))
}

fn copy(events: &Events) -> Result<f64> {
    Ok(nanos(COUNT, || _ = black_box(events.batch.clone())))
}

fn id(events: &Events) -> Result<f64> {
    Ok(each(|index| _ = black_box(events.batch.get(index).id())))
}

fn marshal(events: &Events) -> Result<f64> {
    let mut batch = events.batch.clone();
    let (env, trace) = (Path::parse("env")?, Path::parse("trace")?);
    for index in 0..COUNT {
        batch.edit(index).set(&env, NewValue::String(b"prod"));
        batch.edit(index).remove(&trace);
    }
    let mut out = Vec::new();
    Ok(each(|index| {
        out.clear();
        batch.get(index).write_json(&mut out);
        black_box(&out);
    }))
}

/// Nanoseconds that `act` takes on an event.
fn each(mut act: impl FnMut(usize)) -> f64 {
    nanos(COUNT, || (0..COUNT).for_each(&mut act))
}
