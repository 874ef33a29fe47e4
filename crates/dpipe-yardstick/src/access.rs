//! Workload W4: access logs of a web server. The lines, a bare loop that does what the pipeline does,
//! and a second way to find what must come out.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use memchr::{memchr, memchr2};

/// A line without its newline.
const LINE_BYTES: usize = 247;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 Chrome/33.0.1750.117 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 7_0_6 like Mac OS X) AppleWebKit/537.51.1 Mobile/11B651",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "curl/7.35.0",
];
const PLACES: [&str; 5] = ["shop", "quest", "guild", "static/img", "api/v2/session"];

/// Appends the line of this index, with its newline.
pub(crate) fn write_line(seed: u64, index: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut dice = Dice(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let user = if dice.below(8) == 0 { "anna" } else { "-" };
    let second = index / 500 % 86_400;
    let code = [200, 200, 200, 304, 404, 500][dice.below(6)];
    let method = if dice.below(10) == 0 { "POST" } else { "GET" };
    let referer = if dice.below(3) == 0 { "-" } else { "http://play.example.com/game/index" };
    let tail = format!(
        " HTTP/1.1\" {code} {} \"{referer}\" \"{}\"",
        if code == 304 { "-".to_owned() } else { dice.below(90_000).to_string() },
        AGENTS[dice.below(AGENTS.len())],
    );
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "{}.{}.{}.{} - {user} [01/Mar/2014:{:02}:{:02}:{:02} +0000] \"{method} /{}/{index}?s=",
        1 + dice.below(220),
        dice.below(256),
        dice.below(256),
        dice.below(256),
        second / 3600,
        second / 60 % 60,
        second % 60,
        PLACES[dice.below(PLACES.len())],
    );
    while out.len() - start + tail.len() < LINE_BYTES {
        out.push(b'a' + dice.below(26) as u8);
    }
    out.extend_from_slice(tail.as_bytes());
    out.push(b'\n');
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % limit as u64) as usize
    }
}

/// What must come out for a line, as JSON: found by splitting at quotes and spaces.
pub(crate) fn expected(line: &[u8]) -> Result<String> {
    let line = std::str::from_utf8(line)?;
    let parts: Vec<&str> = line.split('"').collect();
    let [head, request, numbers, referer, _, agent, _] = parts.as_slice() else {
        anyhow::bail!("a line has not three quoted texts: {line}");
    };
    let (clients, time) = head.trim_end().split_once(" [").context("a line has no time")?;
    let mut clients = clients.split(' ');
    let mut requests = request.split(' ');
    let mut numbers = numbers.trim().split(' ');
    let mut json = serde_json::Map::new();
    let mut put = |name: &str, text: Option<&str>| -> Result<()> {
        let text = text.with_context(|| format!("a line has no {name}: {line}"))?;
        let value = match (name, text) {
            ("size", "-") => 0.into(),
            (_, "-") => return Ok(()),
            ("code" | "size", digits) => digits.parse::<u64>()?.into(),
            (_, text) => text.into(),
        };
        json.insert(name.to_owned(), value);
        Ok(())
    };
    put("remote_addr", clients.next())?;
    put("ident", clients.next())?;
    put("user", clients.next())?;
    put("time", time.strip_suffix(']'))?;
    put("method", requests.next())?;
    put("path", requests.next())?;
    put("protocol", requests.next())?;
    put("code", numbers.next())?;
    put("size", numbers.next())?;
    put("referer", Some(referer))?;
    put("user_agent", Some(agent))?;
    Ok(serde_json::Value::Object(json).to_string())
}

/// Reads access logs, takes each line apart by hand and writes it as JSON.
#[derive(Args)]
pub(crate) struct Access {
    /// The files to read, one after the other.
    files: Vec<PathBuf>,
    /// The file to write.
    #[arg(long)]
    into: PathBuf,
}

impl Access {
    pub(crate) fn run(self) -> Result<()> {
        let mut out = BufWriter::with_capacity(256 * 1024, File::create(&self.into)?);
        let mut json = Vec::new();
        for file in &self.files {
            crate::lines::each(file, |line| {
                json.clear();
                rewrite(line, &mut json).context("a line is none of an access log")?;
                Ok(out.write_all(&json)?)
            })?;
        }
        Ok(out.flush()?)
    }
}

/// The least that can be done: each byte is looked at once or twice, and copied once.
fn rewrite(line: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let until = |text: &mut &[u8], byte: u8| -> Option<std::ops::Range<usize>> {
        let start = line.len() - text.len();
        let end = memchr(byte, text)?;
        *text = &text[end + 1..];
        Some(start..start + end)
    };
    let mut put = |name: &str, text: &[u8], is_number: bool| -> Option<()> {
        if text == b"-" && name != "size" {
            return Some(());
        }
        out.extend_from_slice(if out.is_empty() { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        if is_number {
            out.extend_from_slice(if text == b"-" { b"0" } else { text });
            return text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-').then_some(());
        }
        memchr2(b'"', b'\\', text).is_none().then_some(())?;
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        Some(())
    };
    let rest = &mut { line };
    put("remote_addr", &line[until(rest, b' ')?], false)?;
    put("ident", &line[until(rest, b' ')?], false)?;
    put("user", &line[until(rest, b' ')?], false)?;
    until(rest, b'[')?;
    let time = &line[until(rest, b']')?];
    (time.len() == 26).then_some(())?;
    put("time", time, false)?;
    until(rest, b'"')?;
    put("method", &line[until(rest, b' ')?], false)?;
    put("path", &line[until(rest, b' ')?], false)?;
    put("protocol", &line[until(rest, b'"')?], false)?;
    until(rest, b' ')?;
    put("code", &line[until(rest, b' ')?], true)?;
    put("size", &line[until(rest, b' ')?], true)?;
    until(rest, b'"')?;
    put("referer", &line[until(rest, b'"')?], false)?;
    until(rest, b'"')?;
    put("user_agent", &line[until(rest, b'"')?], false)?;
    out.extend_from_slice(b"}\n");
    Some(())
}

/// The first lines of a seed.
pub(crate) fn sample(seed: u64, lines: u64) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for index in 0..lines {
        write_line(seed, index, &mut text);
    }
    ensure!(text.len() as u64 == lines * (LINE_BYTES as u64 + 1), "lines are not of one length");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_of_one_length_and_both_ways_agree() {
        let text = sample(42, 2000).unwrap();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let mut json = Vec::new();
            rewrite(line, &mut json).unwrap();
            assert_eq!(String::from_utf8(json).unwrap(), expected(line).unwrap() + "\n");
        }
    }
}
