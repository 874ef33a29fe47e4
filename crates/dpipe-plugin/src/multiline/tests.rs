use super::*;

fn multiline(settings: &str) -> Multiline {
    let value: serde_json::Value = serde_json::from_str(settings).unwrap();
    serde_json::from_value(value).unwrap()
}

/// The events of a text, however it is read: in one piece, and with each line as it comes.
#[track_caller]
fn events(settings: &str, text: &str) -> Vec<String> {
    let rule = multiline(settings);
    let whole = cut(&rule, text, text.len());
    for step in [1, 7, 40] {
        assert_eq!(cut(&rule, text, step), whole, "read by {step}");
    }
    whole
}

fn cut(rule: &Multiline, text: &str, step: usize) -> Vec<String> {
    let bytes = text.as_bytes();
    let (mut events, mut start) = (Vec::new(), 0);
    for end in (step..bytes.len()).step_by(step).chain([bytes.len()]) {
        let mut parts = Vec::new();
        let is_all = end == bytes.len();
        let next = rule.cut(&bytes[..end], start, 1 << 20, is_all, &mut parts);
        for Part { start, len } in parts {
            events.push(text[start as usize..(start + len) as usize].to_owned());
        }
        start = next;
    }
    assert_eq!(start, bytes.len());
    events
}

#[test]
fn a_start_begins_an_event_and_what_comes_before_the_first_is_one_too() {
    let text = "lost\nend\n2026-01-01 a\r\n  more\r\n\n2026-01-02 b\n";
    assert_eq!(
        events(r#"{"start":"^\\d{4}-"}"#, text),
        ["lost\nend", "2026-01-01 a\r\n  more\r\n", "2026-01-02 b"]
    );
}

#[test]
fn a_continuation_joins_the_line_before() {
    let text = "one\n  a\n  b\ntwo\nthree\n  c";
    assert_eq!(events(r#"{"continuation":"^\\s"}"#, text), ["one\n  a\n  b", "two", "three\n  c"]);
}

#[test]
fn an_end_is_the_last_line_of_its_event() {
    assert_eq!(
        events(r#"{"end":";$"}"#, "select\n1;\nselect 2;\nopen"),
        ["select\n1;", "select 2;", "open"]
    );
}

#[test]
fn an_event_is_cut_when_it_has_too_many_lines_or_bytes() {
    let rule = multiline(r#"{"continuation":"^ ","lines_max":2}"#);
    assert_eq!(cut(&rule, "a\n b\n c\n d\n", 3), ["a\n b", " c\n d"]);
    let rule = multiline(r#"{"continuation":"^ "}"#);
    let mut parts = Vec::new();
    let next = rule.cut(b"a\n 23\n 7\n 8\n", 0, 8, false, &mut parts);
    assert_eq!((parts, next), (vec![Part { start: 0, len: 8 }], 9));
}

#[test]
fn what_the_next_line_may_continue_is_kept_back() {
    let rule = multiline(r#"{"start":"^-"}"#);
    let mut parts = Vec::new();
    assert_eq!(rule.cut(b"-a\nb\n-c\nd\n-e", 0, 99, false, &mut parts), 5);
    assert_eq!(parts, [Part { start: 0, len: 4 }]);
}

#[test]
fn java_traces_are_one_event_with_the_message_above() {
    let logged = "2026-11-24 10:00:00 ERROR boom\njava.lang.IllegalStateException: outer\n\tat a.B.c(B.java:5)\n\tat a.B.main(B.java:2)\nCaused by: java.io.IOException: inner\n\tat a.B.d(B.java:9)\n\t... 1 more";
    let own =
        "Exception in thread \"main\" java.lang.RuntimeException: x\n\tat Main.main(Main.java:3)";
    let text = format!("INFO before\n{logged}\nINFO between\n{own}\nINFO after\n");
    assert_eq!(
        events(r#""java""#, &text),
        ["INFO before", logged, "INFO between", own, "INFO after"]
    );
}

#[test]
fn the_blank_line_below_a_trace_of_java_util_logging_belongs_to_it() {
    let logged = "SEVERE: boom\njava.lang.IllegalStateException: x\n\tat a.B.c(B.java:5)\n";
    let text = format!("INFO before\n{logged}\nINFO after\n\nINFO end\n");
    assert_eq!(events(r#""java""#, &text), ["INFO before", logged, "INFO after", "", "INFO end"]);
}

#[test]
fn python_traces_are_one_event_with_the_exceptions_that_follow() {
    let logged = "ERROR:root:boom\nTraceback (most recent call last):\n  File \"x.py\", line 3, in f\n    1/0\n    ~^~\nZeroDivisionError: division by zero\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"x.py\", line 5, in <module>\n    raise KeyError('a')\nKeyError: 'a'";
    let text = format!("INFO:root:before\n{logged}\nINFO:root:after\nINFO:root:end\n");
    assert_eq!(
        events(r#""python""#, &text),
        ["INFO:root:before", logged, "INFO:root:after", "INFO:root:end"]
    );
}

#[test]
fn go_panics_are_one_event_with_their_goroutines() {
    let panic = "panic: runtime error: index out of range [5] with length 3\n\ngoroutine 1 [running]:\nmain.(*T).f(0xc000012345, 0x5)\n\t/src/main.go:8 +0x1d\nmain.main()\n\t/src/main.go:12 +0x2b\nexit status 2";
    let text = format!("2026/11/24 start\n{panic}\n2026/11/24 again\n");
    assert_eq!(events(r#""go""#, &text), ["2026/11/24 start", panic, "2026/11/24 again"]);
}

#[test]
fn php_ruby_and_dotnet_traces_are_one_event_each() {
    let php = "PHP Fatal error:  Uncaught Exception: boom in /a.php:3\nStack trace:\n#0 /a.php(7): f()\n#1 {main}\n  thrown in /a.php on line 3";
    assert_eq!(events(r#""php""#, &format!("a\n{php}\nb\n")), ["a", php, "b"]);
    let ruby =
        "a.rb:2:in `f': boom (RuntimeError)\n\tfrom a.rb:5:in `g'\n\tfrom a.rb:8:in `<main>'";
    assert_eq!(events(r#""ruby""#, &format!("a\n{ruby}\nb\n")), ["a", ruby, "b"]);
    let dotnet = "fail: App[0]\nSystem.InvalidOperationException: outer\n ---> System.IO.IOException: inner\n   at A.B() in /a.cs:line 3\n   --- End of inner exception stack trace ---\n   at A.Main()";
    assert_eq!(events(r#""dotnet""#, &format!("a\n{dotnet}\nb\n")), ["a", dotnet, "b"]);
}

#[test]
fn settings_name_one_rule() {
    let mistake = |settings: &str| {
        let value: serde_json::Value = serde_json::from_str(settings).unwrap();
        serde_json::from_value::<Multiline>(value).unwrap_err().to_string()
    };
    assert!(mistake(r#"{"start":"a","end":"b"}"#).contains("expected one of"));
    assert!(mistake(r#"{"timeout":"1s"}"#).contains("expected one of"));
    assert!(mistake(r#""cobol""#).contains("unknown variant"));
    assert!(mistake(r#"{"start":"a","lines_max":0}"#).contains("lines_max"));
}
