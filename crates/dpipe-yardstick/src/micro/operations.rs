//! The operations, in the order in which an event meets them.

use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;

use anyhow::Result;
use dpipe_event::{Buffer, Builder, NewValue, Path, logfile_name};
use dpipe_plugin::template::{Escaping, Template};
use dpipe_query::Query;
use tokio::sync::mpsc;

use super::events::{self, COUNT, Events};
use super::{Operation, nanos, nanos_with};

pub(super) const ALL: &[Operation] = &[
    Operation {
        name: "read line",
        how: "blocks of a file, cut at newlines",
        before: 5405.0,
        reason: "",
        measure: read_line,
    },
    Operation {
        name: "parse line",
        how: "area and time of an ALS line; an event is made",
        before: 228.0,
        reason: "it makes an event of an empty body, too: a scan and a slot",
        measure: parse_line,
    },
    Operation {
        name: "jsonize",
        how: "an ALS line, checked whole, with its index",
        before: 25179.0,
        reason: "",
        measure: jsonize,
    },
    Operation {
        name: "channel",
        how: "a batch of 512 through a channel, by event",
        before: 109.0,
        reason: "",
        measure: channel,
    },
    Operation {
        name: "file name to logfile name",
        how: "once a file; here once a call",
        before: 86.0,
        reason: "it is done once a file, no more once an event",
        measure: logfile,
    },
    Operation {
        name: "regex match",
        how: "`message:/order [0-9]+ of/`",
        before: 1570.0,
        reason: "",
        measure: regex,
    },
    Operation {
        name: "index name",
        how: "`fun_{_area}_%Y_%m`",
        before: 1029.0,
        reason: "",
        measure: index_name,
    },
    Operation {
        name: "field value",
        how: "`_log_info.uid`",
        before: 455.0,
        reason: "",
        measure: field_value,
    },
    Operation {
        name: "set field",
        how: "`env`, a string",
        before: 116.0,
        reason: "it copies the value's text once, and checks what is in the field's way",
        measure: set_field,
    },
    Operation {
        name: "pack copy",
        how: "a batch that somebody else holds, by event",
        before: 3438.0,
        reason: "",
        measure: copy,
    },
    Operation {
        name: "uuid",
        how: "the id, from stream and offset",
        before: 1622.0,
        reason: "",
        measure: id,
    },
    Operation {
        name: "marshal payload",
        how: "an event with one field set and one removed",
        before: 16673.0,
        reason: "",
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
    let lines = Buffer::from(b"us,1393675200250,{}\n".repeat(COUNT));
    decode(&lines)
}

fn jsonize(events: &Events) -> Result<f64> {
    decode(&events.lines)
}

fn decode(lines: &Buffer) -> Result<f64> {
    let mut decoder = events::als()?;
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

fn logfile(_: &Events) -> Result<f64> {
    let path = "/mnt/logs/fp_rstory/payment.20140301.log";
    Ok(each(|_| _ = black_box(logfile_name(black_box(path)))))
}

fn regex(events: &Events) -> Result<f64> {
    let query = Query::parse("message:/order [0-9]+ of/")?;
    Ok(each(|index| _ = black_box(query.matches(&events.batch.get(index)))))
}

fn index_name(events: &Events) -> Result<f64> {
    let template = Template::parse("fun_{_area}_%Y_%m")?;
    let mut name = Vec::new();
    Ok(each(|index| {
        name.clear();
        let event = events.batch.get(index);
        template.render(&event, Escaping::None, &mut name).expect("there is no limit to a text");
        black_box(&name);
    }))
}

fn field_value(events: &Events) -> Result<f64> {
    let path = Path::parse("_log_info.uid")?;
    Ok(each(|index| _ = black_box(events.batch.get(index).get(&path))))
}

fn set_field(events: &Events) -> Result<f64> {
    let path = Path::parse("env")?;
    let batch = || events.batch.clone();
    Ok(nanos_with(COUNT, batch, |mut batch| {
        for index in 0..COUNT {
            batch.edit(index).set(&path, NewValue::String(b"prod"));
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
