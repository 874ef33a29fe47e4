use super::*;

fn line(node: &str, role: Role) -> Line {
    Line {
        node: node.into(),
        role,
        tenant: "default".into(),
        taken: 0,
        born: 0,
        out: 0,
        delivered: 0,
        filtered: Vec::new(),
        dead: Vec::new(),
        dropped: Vec::new(),
        flagged: Vec::new(),
        skipped: Vec::new(),
        in_flight: 0,
        bytes: 0,
        missing: 0,
    }
}

fn report(lines: Vec<Line>) -> Report {
    Report {
        ledger: Ledger { lines, faults: Vec::new() },
        drained: true,
        undelivered: Vec::new(),
        unwritten_letters: 0,
        closed: false,
        failed: Vec::new(),
        broken: Vec::new(),
        elapsed: Duration::from_millis(2400),
    }
}

#[test]
fn thousands_are_set_apart() {
    assert_eq!(
        [0, 12, 123, 1234, 1_234_567].map(grouped),
        ["0", "12", "123", "1,234", "1,234,567"]
    );
}

#[test]
fn a_pace_is_as_exact_as_it_is_worth() {
    let millis = Duration::from_millis;
    assert_eq!(pace(11, millis(2400)), "11 events in 2.4 s, 4.6 a second");
    assert_eq!(pace(1, millis(40)), "1 event in 0.04 s, 25.0 a second");
    assert_eq!(pace(2000, millis(1500)), "2,000 events in 1.5 s, 1,333 a second");
    assert_eq!(pace(0, millis(0)), "0 events in 0.00 s, 0.0 a second");
}

#[test]
fn what_is_published_and_what_is_delivered_have_columns_of_their_own() {
    let lines = vec![
        Line {
            taken: 1200,
            born: 3,
            out: 1200,
            dead: vec![("bad_json", 3)],
            ..line("in", Role::Input)
        },
        Line {
            taken: 1200,
            delivered: 1000,
            dead: vec![("refused", 1), ("panic", 2)],
            in_flight: 197,
            ..line("out", Role::Output)
        },
        Line { taken: 7, dropped: vec![("unmatched", 7)], ..line("f.odd", Role::Unmatched) },
    ];
    let wanted = "\
node               tenant      in  published  delivered  otherwise
in                 default  1,200      1,200             born 3, dead: bad_json 3
out                default  1,200                 1,000  dead: refused 1, dead: panic 2, queued 197
f.odd (unmatched)  default      7                        dropped: unmatched 7
1,200 events in 2.4 s, 500 a second
the books balance
";
    assert_eq!(print(&report(lines)), wanted);
}

#[test]
fn whatever_went_otherwise_is_said_with_its_number() {
    let undelivered = |node: &str, again, lost| Undelivered {
        node: node.into(),
        role: Role::Output,
        again,
        lost,
    };
    let report = Report {
        drained: false,
        undelivered: vec![undelivered("a", 2000, 0), undelivered("b", 1, 1)],
        unwritten_letters: 1,
        failed: vec!["web".into()],
        broken: vec!["lane 0 panicked: oh".into()],
        ledger: Ledger {
            lines: vec![
                Line { skipped: vec![("torn_file", 1)], ..line("a", Role::Input) },
                Line {
                    skipped: vec![("path_without_tenant", 2), ("torn_file", 1)],
                    ..line("b", Role::Input)
                },
            ],
            faults: vec!["1 receipt was lost".into()],
        },
        ..report(Vec::new())
    };
    let wanted = "\
left out: torn_file 2, path_without_tenant 2
2,000 events wait for the output `a`; they are read again at the next start
1 event waits for the output `b`; it is read again at the next start
1 event for the output `b` is LOST: no input can read such events again
1 dead letter could not be written, and what was refused counts as not settled
the input `web` failed and was given up
DPIPE FAILED: lane 0 panicked: oh
THE BOOKS DO NOT BALANCE: 1 receipt was lost
";
    let text = print(&report);
    let said: String = text.lines().skip(4).map(|line| format!("{line}\n")).collect();
    assert_eq!(said, wanted);
}
