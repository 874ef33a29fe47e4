//! Runs the configurations of `examples/loghub` over real logs, and holds what comes out against
//! what others found in them: the data set LogHub has, beside each log, a table of its lines taken
//! apart by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::target;
use crate::ci::cargo;
use crate::tidy;

/// A log, and how its table writes times.
struct Log {
    /// The name of its folder; in small letters that of its configuration.
    name: &'static str,
    time: fn(&Row<'_>) -> Option<String>,
}

/// The logs. Times are compared as text from where they begin to be known: lines without a year are
/// compared without.
const LOGS: &[Log] = &[
    Log {
        name: "Android",
        time: |row| Some(format!("-{}T{}Z", row.get("Date")?, row.get("Time")?)),
    },
    Log { name: "Apache", time: apache },
    Log { name: "HDFS", time: hdfs },
    Log { name: "HPC", time: hpc },
    Log {
        name: "Linux",
        time: |row| syslog(row.get("Month")?, row.get("Date")?, row.get("Time")?),
    },
    Log {
        name: "OpenSSH",
        time: |row| syslog(row.get("Date")?, row.get("Day")?, row.get("Time")?),
    },
    Log { name: "Proxifier", time: proxifier },
    Log { name: "Zookeeper", time: zookeeper },
];

fn apache(row: &Row<'_>) -> Option<String> {
    let parts: Vec<&str> = row.get("Time")?.split_whitespace().collect();
    let [_, month, day, time, year] = parts[..] else { return None };
    Some(format!("{year}{}", syslog(month, day, time)?))
}

fn hdfs(row: &Row<'_>) -> Option<String> {
    let pairs =
        |text: &str| Some([text.get(..2)?, text.get(2..4)?, text.get(4..)?].map(str::to_owned));
    let ([year, month, day], [hour, minute, second]) =
        (pairs(row.get("Date")?)?, pairs(row.get("Time")?)?);
    Some(format!("20{year}-{month}-{day}T{hour}:{minute}:{second}.000Z"))
}

fn hpc(row: &Row<'_>) -> Option<String> {
    let seconds: i64 = row.get("Time")?.parse().ok()?;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    // The date of a day, by Howard Hinnant's `civil_from_days`; all days here are after 1970.
    let of_era = days + 719_468;
    let (era, day) = (of_era / 146_097, of_era % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, (shifted + 2) % 12 + 1);
    let year = era * 400 + year + i64::from(month <= 2);
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z"))
}

fn proxifier(row: &Row<'_>) -> Option<String> {
    let (date, time) = row.get("Time")?.split_once(' ')?;
    Some(format!("-{}T{time}.000Z", date.replace('.', "-")))
}

fn zookeeper(row: &Row<'_>) -> Option<String> {
    Some(format!("{}T{}Z", row.get("Date")?, row.get("Time")?.replace(',', ".")))
}

fn syslog(month: &str, day: &str, time: &str) -> Option<String> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.find(month)? / 3 + 1;
    Some(format!("-{month:02}-{:0>2}T{time}.000Z", day.trim()))
}

/// What came of a log.
struct Figures {
    lines: usize,
    events: usize,
    dead: u64,
    flagged: u64,
    /// Events with time, level, component and message.
    typed: usize,
    /// Events whose time and message are those of the table.
    right: usize,
}

/// `cargo xtask bench loghub --data DIR [--debug]`.
pub(super) fn run(args: &[&str]) -> Result<()> {
    let (mut data, mut debug) = (None, false);
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match arg {
            "--data" => data = Some(PathBuf::from(args.next().context("--data wants a folder")?)),
            "--debug" => debug = true,
            other => bail!("`{other}` is none of --data, --debug"),
        }
    }
    let data = data.context("--data says where the logs are")?;
    if !data.is_dir() {
        println!("SKIP: there is no folder {}", data.display());
        return Ok(());
    }
    let (profile, build): (&str, &[&str]) = match debug {
        true => ("debug", &["build", "-p", "dpipe"]),
        false => ("release", &["build", "--release", "-p", "dpipe"]),
    };
    cargo(build)?;
    let program = target()?.join(profile).join("dpipe");
    println!(
        "| log | lines | events | dead | flagged | typed | time and message as in the table |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    let mut short = Vec::new();
    for log in LOGS {
        let text = data.join(log.name).join(format!("{}_2k.log", log.name));
        if !text.is_file() {
            println!("| {} | SKIP: there is no {} |", log.name, text.display());
            continue;
        }
        let figures = measure(log, &program, &data, &text)?;
        let share = |part: usize| 100.0 * part as f64 / figures.lines.max(1) as f64;
        println!(
            "| {} | {} | {} | {} | {} | {:.1} % | {:.1} % |",
            log.name,
            figures.lines,
            figures.events,
            figures.dead,
            figures.flagged,
            share(figures.typed),
            share(figures.right)
        );
        let whole =
            [figures.events, figures.typed, figures.right].map(|part| part == figures.lines);
        if whole != [true; 3] || figures.dead + figures.flagged > 0 {
            short.push(log.name);
        }
    }
    ensure!(short.is_empty(), "less than 100 %: {}", short.join(", "));
    Ok(())
}

fn measure(log: &Log, program: &Path, data: &Path, text: &Path) -> Result<Figures> {
    let name = log.name.to_lowercase();
    let out = std::env::temp_dir().join(format!("dpipe-loghub-{}", std::process::id()));
    let ran = Command::new(program)
        .args(["run", "--batch"])
        .arg(tidy::root().join(format!("examples/loghub/{name}.yaml")))
        .env("LOGHUB", data)
        .env("LOGHUB_OUT", &out)
        .env_remove("YEAR")
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(ran.status.success() && said.contains("the books balance"), "{name}:\n{said}");
    let events = fs::read_to_string(out.join(&name).join("events.jsonl")).unwrap_or_default();
    fs::remove_dir_all(&out).with_context(|| format!("cannot remove {}", out.display()))?;
    let events: Vec<Value> =
        events.lines().map(serde_json::from_str).collect::<Result<_, _>>().context(name)?;

    let table = text.with_file_name(format!("{}_2k.log_structured.csv", log.name));
    let table = fs::read_to_string(&table).with_context(|| format!("no {}", table.display()))?;
    let mut rows = table.trim_start_matches('\u{feff}').lines().map(cells);
    let head = rows.next().context("the table is empty")?;
    let rows = rows.map(|cells| Row { head: &head, cells });
    let lines = String::from_utf8_lossy(&fs::read(text)?).lines().count();
    Ok(Figures {
        lines,
        events: events.len(),
        dead: counted(&said, "dead: "),
        flagged: counted(&said, "flagged: "),
        typed: events.iter().filter(|event| is_typed(event)).count(),
        right: events.iter().zip(rows).filter(|(event, row)| is_right(log, event, row)).count(),
    })
}

fn is_typed(event: &Value) -> bool {
    ["_time", "level", "component", "message"]
        .iter()
        .all(|field| event[field].as_str().is_some_and(|text| !text.is_empty()))
}

fn is_right(log: &Log, event: &Value, row: &Row<'_>) -> bool {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let time = (log.time)(row).is_some_and(|time| text("_time").ends_with(&time));
    // In the table the client of a request is part of the message; with us it is a field.
    let message = match text("client") {
        "" => text("message").to_owned(),
        client => format!("[client {client}] {}", text("message")),
    };
    time && row.get("Content").is_some_and(|content| content.trim() == message.trim())
}

/// The sum of what the books count under a word.
fn counted(books: &str, word: &str) -> u64 {
    let tallies = books.lines().filter_map(|line| line.split_once(word)?.1.split(';').next());
    let counts =
        tallies.flat_map(|tally| tally.split(", ")).filter_map(|term| term.split(' ').nth(1));
    counts.filter_map(|count| count.replace(',', "").parse::<u64>().ok()).sum()
}

/// A row of a table.
struct Row<'a> {
    head: &'a [String],
    cells: Vec<String>,
}

impl Row<'_> {
    fn get(&self, column: &str) -> Option<&str> {
        let index = self.head.iter().position(|name| name == column)?;
        self.cells.get(index).map(String::as_str)
    }
}

/// The cells of a line of CSV; a quote within quotes is written twice.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cells.last_mut().expect("there is a cell").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cells.last_mut().expect("there is a cell").push(c),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_taken_apart_at_commas_outside_of_quotes() {
        assert_eq!(cells(r#"1,"a, ""b""",,c"#), ["1", r#"a, "b""#, "", "c"]);
    }

    #[test]
    fn what_the_books_count_is_added_up() {
        let books = "in  default  2  1  dead: no_match 1, bad 2; flagged: bad_timestamp 1,200\n\
                     out default  1  1  flagged: odd 3\n";
        assert_eq!((counted(books, "dead: "), counted(books, "flagged: ")), (3, 1203));
    }

    #[test]
    fn each_table_writes_times_in_its_own_way() {
        let head = ["Date", "Time"].map(str::to_owned);
        let row = |date: &str, time: &str| Row {
            head: &head,
            cells: vec![date.to_owned(), time.to_owned()],
        };
        let time = |name: &str, date: &str, time: &str| {
            let log = LOGS.iter().find(|log| log.name == name).unwrap();
            (log.time)(&row(date, time)).unwrap()
        };
        assert_eq!(time("Apache", "", "Sun Dec 04 04:47:44 2005"), "2005-12-04T04:47:44.000Z");
        assert_eq!(time("HDFS", "081109", "203615"), "2008-11-09T20:36:15.000Z");
        assert_eq!(time("HPC", "", "1077804742"), "2004-02-26T14:12:22.000Z");
        assert_eq!(time("HPC", "", "951782400"), "2000-02-29T00:00:00.000Z");
        assert_eq!(time("Proxifier", "", "10.30 16:49:06"), "-10-30T16:49:06.000Z");
        assert_eq!(time("Zookeeper", "2015-07-29", "17:41:44,747"), "2015-07-29T17:41:44.747Z");
        assert_eq!(syslog("Jun", "9", "15:16:01").unwrap(), "-06-09T15:16:01.000Z");
    }
}
