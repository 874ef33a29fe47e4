//! Synthetic events of an online game: for demos, load and benchmarks.
//!
//! An event is a pure function of (seed, index), so that any part of a workload can be made again,
//! on any machine. They look like logs of games in service: few users do most, messages hold
//! numbers, some fields are null, some text is not ASCII, and escapes occur. A line takes about 500
//! bytes.

use dpipe_event::Timestamp;

/// No line is longer than this, its newline included.
pub const LINE_BYTES_MAX: usize = 1024;

/// The areas that events come from when nobody names others, the busiest first.
pub const AREAS: [&str; 10] = ["us", "de", "fr", "br", "jp", "se", "gb", "ph", "cn", "nl"];

/// Makes events from a seed.
#[derive(Clone, Debug)]
pub struct GameEvents {
    seed: u64,
    areas: Box<[Box<str>]>,
}

impl GameEvents {
    /// Events of these areas, the busiest first; of [`AREAS`] if there are none.
    #[must_use]
    pub fn new(seed: u64, areas: &[impl AsRef<str>]) -> Self {
        let areas = match areas {
            [] => AREAS.iter().map(|&area| area.into()).collect(),
            areas => areas.iter().map(|area| area.as_ref().into()).collect(),
        };
        GameEvents { seed, areas }
    }

    /// Appends the event of this index as an als line, `area,timestamp,{json}`, with its newline.
    pub fn write_als(&self, index: u64, time: Timestamp, out: &mut Vec<u8>) {
        let mut dice = Dice::of(self.seed, index);
        let area = dice.low(self.areas.len() as u64) as usize;
        text(out, &self.areas[area]);
        out.push(b',');
        integer(out, time.millis());
        out.push(b',');
        write_body(&mut dice, out);
        out.push(b'\n');
    }

    /// Appends the event of this index as a line of JSON, with its newline.
    pub fn write_json(&self, index: u64, out: &mut Vec<u8>) {
        let mut dice = Dice::of(self.seed, index);
        dice.low(self.areas.len() as u64);
        write_body(&mut dice, out);
        out.push(b'\n');
    }
}

/// What happens in the game: the call, and what its message says, where `#` is a number, `@` the
/// player's name.
const CALLS: [(&str, &str); 10] = [
    ("Fight.attack", "user @ hit monster # for # points in round #"),
    ("Chat.send", "@ says \\\"gg #, see you at #:#\\\""),
    ("Quest.finish", "quest # finished by @ after # tries"),
    ("Shop.buy", "@ bought item # for # coins"),
    ("Payment.confirm", "order # of @ confirmed by provider, receipt 0x#f#a#"),
    ("Session.login", "login of @ from device #, build 1.#.#"),
    ("Guild.join", "@ joined guild \\\"K\u{f6}nige #\\\""),
    ("Mail.read", "mail # read\\n\\tfrom: @"),
    ("Friend.gift", "@ sent gift # to friend #, \u{2764} x#"),
    ("Map.load", "tile #/#/# loaded in # ms"),
];

/// As they stand in JSON: some of them escaped.
const NAMES: [&str; 12] = [
    "anna",
    "bob77",
    "Zo\u{eb}",
    "\u{30e6}\u{30ad}",
    "x_Killer_x",
    "Jos\\u00e9",
    "mei",
    "O'Neil",
    "\u{141}ukasz",
    "tom",
    "\\\"Ace\\\"",
    "lena",
];

/// Networks that players come from: most public, some private, one of IPv6.
const NETWORKS: [&str; 14] = [
    "81.2.69.",
    "81.65.52.",
    "8.8.8.",
    "175.16.199.",
    "216.160.83.",
    "89.160.20.",
    "202.196.224.",
    "133.11.9.",
    "200.147.35.",
    "2a01:e0a:",
    "10.0.3.",
    "192.168.1.",
    "172.16.40.",
    "8.8.8.",
];

const CURRENCIES: [&str; 8] = ["USD", "EUR", "GBP", "BRL", "JPY", "SEK", "PHP", "CNY"];

const AGENTS: [&str; 4] = [
    " (Android 4.4.2; SM-G900F; Build/KOT49H; 1080x1920) wifi",
    " (iPhone; iOS 7.1.2; 640x1136; de_DE) cell",
    " (Windows NT 6.1; Flash 13,0,0,214; 1366x768) lan",
    " (iPad; iOS 7.0.4; 1536x2048; fr_FR; tablet) wifi",
];

const TRACES: [&str; 4] = [
    "#0 /srv/game/Db.php(112): query()\\n#1 /srv/game/User.php(48): load()\\n#2 index.php(9)",
    "Fight::round -> Fight::damage -> Stats::get \\\"hp\\\" (cache miss)",
    "#0 C:\\\\game\\\\Shop.cs:77\\n#1 C:\\\\game\\\\Item.cs:210",
    "worker-3: queue=mail depth=12 lag=0.4s retry=false, slow path taken twice in a row",
];

fn write_body(dice: &mut Dice, out: &mut Vec<u8>) {
    let (call, message) = CALLS[dice.low(CALLS.len() as u64) as usize];
    let uid = dice.few(16);
    // What belongs to a user is the same in all of its events.
    let mut user = Dice::of(0x75736572, uid);
    let name = NAMES[user.below(NAMES.len() as u64) as usize];
    let network = NETWORKS[user.below(NETWORKS.len() as u64) as usize];
    let host = user.below(254) + 1;

    text(out, "{\"uri\":\"");
    if dice.one_in(50) {
        text(out, "/health");
    } else {
        text(out, "/api/");
        text(out, call);
        text(out, "?uid=");
        number(out, uid);
        text(out, "&v=");
        number(out, dice.below(40));
    }
    text(out, "\",\"_log_info\":{\"uid\":");
    number(out, uid);
    text(out, ",\"script_id\":");
    number(out, 10_000_000_000_000_000 + dice.below(80_000_000_000_000_000));
    text(out, ",\"serial\":");
    number(out, dice.below(64));
    text(out, ",\"host\":\"game-");
    number(out, dice.below(24));
    text(out, ".internal\",\"ip\":\"");
    text(out, network);
    if network.ends_with(':') {
        text(out, ":");
    }
    number(out, host);
    text(out, "\",\"call\":\"");
    text(out, call);
    text(out, "\",\"level\":");
    number(out, user.below(36));
    text(out, ",\"elapsed\":0.");
    // From a quarter of a millisecond to half a second, short ones more often.
    let micros = 256 << dice.below(11);
    let micros = micros + dice.below(micros);
    digits(out, micros, 6);
    text(out, ",\"snsid\":\"");
    number(out, 100_000_000_000_000 + user.below(900_000_000_000_000));
    text(out, "\",\"payment\":");
    if user.one_in(6) {
        number(out, user.below(500));
    } else {
        text(out, "null");
    }
    text(out, "},\"message\":\"");
    write_message(message, name, dice, out);
    text(out, "\",\"data\":");
    if call == "Payment.confirm" || call == "Shop.buy" {
        text(out, "{\"amount\":");
        number(out, dice.below(200));
        text(out, ".");
        digits(out, dice.below(100), 2);
        text(out, ",\"currency\":\"");
        text(out, CURRENCIES[user.below(CURRENCIES.len() as u64) as usize]);
        text(out, "\",\"items\":[");
        number(out, dice.below(900));
        text(out, ",");
        number(out, dice.below(900));
        text(out, "]}");
    } else if dice.one_in(3) {
        text(out, "null");
    } else {
        text(out, "{\"room\":");
        number(out, dice.few(12));
        text(out, ",\"first\":");
        text(out, if dice.one_in(8) { "true" } else { "false" });
        text(out, "}");
    }
    text(out, ",\"trace\":\"");
    text(out, TRACES[dice.below(TRACES.len() as u64) as usize]);
    text(out, "\",\"agent\":\"Game/1.");
    number(out, user.below(20));
    text(out, AGENTS[user.below(AGENTS.len() as u64) as usize]);
    text(out, "\"}");
}

fn write_message(message: &str, name: &str, dice: &mut Dice, out: &mut Vec<u8>) {
    for byte in message.bytes() {
        match byte {
            b'#' => number(out, dice.few(14)),
            b'@' => text(out, name),
            _ => out.push(byte),
        }
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: u64) {
    text(out, itoa::Buffer::new().format(number));
}

fn integer(out: &mut Vec<u8>, number: i64) {
    text(out, itoa::Buffer::new().format(number));
}

/// The last `count` digits of a number, zeros before them.
fn digits(out: &mut Vec<u8>, number: u64, count: u32) {
    for place in (0..count).rev() {
        out.push(b'0' + (number / 10u64.pow(place) % 10) as u8);
    }
}

/// Random numbers: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", 2014).
struct Dice(u64);

impl Dice {
    fn of(seed: u64, index: u64) -> Dice {
        let mut dice = Dice(seed ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Dice(dice.roll())
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Below `limit`, all alike.
    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(limit)) >> 64) as u64
    }

    /// Below `limit`, lower ones more often.
    fn low(&mut self, limit: u64) -> u64 {
        let (a, b) = (self.below(limit), self.below(limit));
        a.min(b)
    }

    /// From 1 to 2^bits, as by Zipf's law: twice the number is half as frequent.
    fn few(&mut self, bits: u64) -> u64 {
        let half = 1 << self.below(bits);
        half + self.below(half)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    fn lines(seed: u64, count: u64) -> Vec<String> {
        let events = GameEvents::new(seed, &[] as &[&str]);
        let line = |index| {
            let mut out = Vec::new();
            events.write_json(index, &mut out);
            assert_eq!(out.pop(), Some(b'\n'));
            String::from_utf8(out).unwrap()
        };
        (0..count).map(line).collect()
    }

    fn parsed() -> Vec<Value> {
        lines(1, 5000).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_events_everywhere() {
        assert_eq!(lines(7, 50), lines(7, 50));
        assert_ne!(lines(7, 1), lines(8, 1));
        let mut hash = fnv(0, b"");
        for line in lines(42, 1000) {
            hash = fnv(hash, line.as_bytes());
        }
        assert_eq!(hash, EXPECTED, "workloads of earlier measurements cannot be made again");
    }

    const EXPECTED: u64 = 1_026_279_497_096_088_055;

    /// FNV-1a.
    fn fnv(hash: u64, bytes: &[u8]) -> u64 {
        let hash = if hash == 0 { 0xcbf2_9ce4_8422_2325 } else { hash };
        bytes.iter().fold(hash, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
    }

    #[test]
    fn a_line_takes_about_five_hundred_bytes_and_never_more_than_the_limit() {
        let lines = lines(1, 5000);
        let mean = lines.iter().map(String::len).sum::<usize>() / lines.len();
        assert!((470..=530).contains(&mean), "{mean}");
        let longest = lines.iter().map(String::len).max().unwrap();
        let longest_head = 255 + ",1393675200250,\n".len();
        assert!(longest + longest_head < LINE_BYTES_MAX - 50, "{longest}");
    }

    #[test]
    fn an_als_line_is_head_and_body_of_the_same_event() {
        let events = GameEvents::new(1, &["us", "eu"]);
        let time = Timestamp::from_millis(1_393_675_200_250);
        let (mut als, mut json) = (Vec::new(), Vec::new());
        events.write_als(3, time, &mut als);
        events.write_json(3, &mut json);
        let als = String::from_utf8(als).unwrap();
        let (area, rest) = als.split_once(',').unwrap();
        assert!(["us", "eu"].contains(&area));
        assert_eq!(rest, format!("1393675200250,{}", String::from_utf8(json).unwrap()));
    }

    #[test]
    fn few_users_do_most_and_keep_what_is_theirs() {
        let mut events_of: HashMap<u64, usize> = HashMap::new();
        let mut address_of: HashMap<u64, String> = HashMap::new();
        for event in parsed() {
            let uid = event["_log_info"]["uid"].as_u64().unwrap();
            *events_of.entry(uid).or_default() += 1;
            let address = event["_log_info"]["ip"].as_str().unwrap().to_owned();
            address.parse::<std::net::IpAddr>().unwrap();
            assert_eq!(*address_of.entry(uid).or_insert_with(|| address.clone()), address);
        }
        let mut counts: Vec<usize> = events_of.values().copied().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let top: usize = counts.iter().take(counts.len() / 10).sum();
        assert!(top > 5000 / 2, "{top} of 5000 events are of the busiest tenth of users");
    }

    #[test]
    fn everything_that_a_workload_needs_occurs() {
        let events = parsed();
        let share = |test: &dyn Fn(&Value) -> bool| {
            events.iter().filter(|event| test(event)).count() as f64 / events.len() as f64
        };
        let elapsed = |e: &Value| e["_log_info"]["elapsed"].as_f64().unwrap();
        assert!(share(&|e| elapsed(e) < 0.01) > 0.3);
        assert!(share(&|e| elapsed(e) >= 0.01 && elapsed(e) < 0.2) > 0.1);
        assert!(share(&|e| elapsed(e) >= 0.2) > 0.05);
        let low = share(&|e| e["_log_info"]["level"].as_u64().unwrap() < 10);
        assert!((0.15..0.45).contains(&low), "{low}");
        assert!(share(&|e| e["data"]["amount"].is_number()) > 0.05);
        assert!(share(&|e| e["data"].is_null()) > 0.1);
        assert!(share(&|e| e["_log_info"]["payment"].is_null()) > 0.5);
        assert!(share(&|e| e["uri"] == "/health") > 0.005);
        assert!(share(&|e| !e["message"].as_str().unwrap().is_ascii()) > 0.05);
        assert!(share(&|e| e["message"].as_str().unwrap().contains('"')) > 0.05);
        assert!(share(&|e| e["message"].as_str().unwrap().contains(char::is_numeric)) > 0.9);
        let of = |path: &str| -> HashSet<String> {
            events.iter().filter_map(|e| e.pointer(path)?.as_str().map(str::to_owned)).collect()
        };
        assert_eq!(of("/data/currency").len(), CURRENCIES.len());
        assert_eq!(of("/_log_info/call").len(), CALLS.len());
    }
}
