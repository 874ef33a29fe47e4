use dpipe_event::Timestamp;
use dpipe_testkit::{MemoryEnv, batch, output_mistake, parcel};

use super::*;
use crate::standard_output::tests::Paper;

/// The date that [`batch`] gives to events that have none.
const EPOCH_DAY: i64 = 1_000;

struct Stage {
    env: MemoryEnv,
    paper: Paper,
    console: Console,
}

impl Stage {
    fn new(config: Config, is_terminal: bool, plain: bool) -> Self {
        let (env, paper) = (MemoryEnv::new(), Paper::default());
        env.set_now_millis(EPOCH_DAY);
        let screen = Screen { output: StandardOutput::to(paper.clone()), is_terminal, plain };
        let console = Console::new(&config, screen, Arc::new(env.clone()));
        Stage { env, paper, console }
    }

    fn show(&mut self, input: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let parcel = parcel(batch(input));
        assert_eq!(runtime.block_on(self.console.write(&parcel)), Written::Delivered);
        self.paper.take()
    }
}

fn config(settings: &str) -> Config {
    serde_json::from_str(settings).unwrap()
}

/// What is shown without color.
fn show(settings: &str, input: &str) -> String {
    Stage::new(config(settings), false, false).show(input)
}

#[test]
fn a_line_has_time_tag_level_message_and_fields() {
    let shown = show(
        "{}",
        r#"{"uri":"/pay","level":"warning","message":"card refused","n":1.50,"ok":true,"no":null}
           {"level":"info","msg":"hi"}
           plain text"#,
    );
    assert_eq!(
        shown,
        "00:00:00.000  in  WARN   card refused  uri=/pay n=1.50 ok=true no=null\n\
         00:00:00.000  in  INFO   hi\n\
         00:00:00.000  in         plain text\n"
    );
}

#[test]
fn dates_are_shown_from_the_first_one_on_that_is_not_today() {
    let mut stage = Stage::new(Config::default(), false, false);
    stage.env.set_now_millis(Timestamp::from_civil(2024, 6, 1, 5).millis());
    let (today, yesterday) = (r#"@2024-06-01 {"message":"x"}"#, r#"@2024-05-31 {"message":"x"}"#);
    assert_eq!(stage.show(today), "12:00:00.000  in  x\n");
    assert_eq!(stage.show(yesterday), "2024-05-31 12:00:00.000  in  x\n");
    assert_eq!(stage.show(today), "2024-06-01 12:00:00.000  in  x\n");
}

#[test]
fn nested_fields_are_shown_by_their_paths() {
    let shown = show("{}", r#"{"a":{"b":{"c":{"d":{"e":1}}},"x":[1,{"y":2}],"z":{}}}"#);
    assert_eq!(shown, "00:00:00.000  in  a.b.c.d={\"e\":1} a.x=[1,{\"y\":2}] a.z={}\n");
}

#[test]
fn a_value_that_does_not_stand_alone_is_quoted() {
    let shown = show("{}", r#"{"a":"x y","b":"k=v","c":"","d":"say \"hi\"","e f":"plain"}"#);
    let expected = r#"a="x y" b="k=v" c="" d="say \"hi\"" "e f"=plain"#;
    assert_eq!(shown, format!("00:00:00.000  in  {expected}\n"));
}

#[test]
fn a_level_that_is_a_number_is_a_field_like_others() {
    assert_eq!(show("{}", r#"{"level":23}"#), "00:00:00.000  in  level=23\n");
    assert_eq!(show("{}", r#"{"level":"boss"}"#), "00:00:00.000  in  level=boss\n");
    assert_eq!(
        show("{}", r#"{"level":23,"severity":"error"}"#),
        "00:00:00.000  in  ERROR  level=23\n"
    );
}

#[test]
fn only_chosen_fields_are_shown_in_their_order() {
    let shown = show(
        r#"{"fields":["b.c","_file","missing"]}"#,
        r#"{"message":"m","a":1,"b":{"c":2,"d":3}}"#,
    );
    assert_eq!(shown, "00:00:00.000  in  m  b.c=2 _file=in.log\n");
}

#[test]
fn a_long_value_is_cut() {
    let shown = show(r#"{"value_length_max":4}"#, r#"{"message":"123456","k":"12345"}"#);
    assert_eq!(shown, "00:00:00.000  in  1234…  k=1234…\n");
}

#[test]
fn fields_beyond_counting_are_only_counted() {
    let fields: Vec<String> = (0..70).map(|n| format!("\"k{n}\":{n}")).collect();
    let shown = show("{}", &format!("{{{}}}", fields.join(",")));
    assert!(shown.ends_with("k63=63 … 6 more fields\n"), "{shown}");
}

#[test]
fn nothing_from_a_log_reaches_the_terminal_as_a_control() {
    let mut stage =
        Stage::new(Config { color: ColorWhen::Always, ..Config::default() }, true, false);
    let hostile =
        r#"{"\u001b[2J":"\u001b]0;x\u0007","message":"\u202e\u009b1m\r\n","level":"\u001b[1m"}"#;
    let shown = stage.show(&format!("{hostile}\n\u{1b}[31mtext\u{7f}"));
    // What dpipe itself writes is taken out; nothing may be left that a terminal acts on.
    let own = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    let rest = own.replace_all(&shown, "");
    assert!(rest.chars().all(|c| c == '\n' || !c.is_control()), "{rest:?}");
    assert!(!rest.contains('\u{202e}'));
    assert_eq!(rest.matches('\n').count(), 2);
    // Of the sequences that the log tried to bring in, none was taken out as dpipe's own.
    assert!(rest.contains(r"\u{1b}[2J=") && rest.contains(r"\u{1b}[31mtext\u{7f}"), "{rest:?}");
}

#[test]
fn there_is_color_on_a_terminal_unless_somebody_minds() {
    let colored = |color, is_terminal, plain| {
        let mut stage = Stage::new(Config { color, ..Config::default() }, is_terminal, plain);
        stage.show(r#"{"level":"error","message":"x"}"#).contains('\u{1b}')
    };
    assert!(colored(ColorWhen::Auto, true, false));
    assert!(!colored(ColorWhen::Auto, false, false));
    assert!(!colored(ColorWhen::Auto, true, true));
    assert!(colored(ColorWhen::Always, false, true));
    assert!(!colored(ColorWhen::Never, true, false));
}

#[test]
fn the_message_has_the_color_of_its_level_or_tag() {
    let shown = |color_by| {
        let config = Config { color: ColorWhen::Always, color_by, ..Config::default() };
        Stage::new(config, true, false).show(r#"{"level":"error","message":"boom"}"#)
    };
    assert!(shown(ColorBy::Level).contains("\u{1b}[31mboom\u{1b}[0m"));
    let tag = paint::style_of_name("in").render().to_string();
    assert!(shown(ColorBy::Tag).contains(&format!("{tag}boom\u{1b}[0m")));
    assert!(shown(ColorBy::None).contains("  boom\n") || shown(ColorBy::None).contains(" boom"));
    assert!(!shown(ColorBy::None).contains("mboom"));
}

#[test]
fn the_bell_rings_at_most_once_a_second() {
    let beep = r#"{"beep":{"when":"level:error"}}"#;
    let mut stage = Stage::new(config(beep), true, true);
    let bells = |stage: &mut Stage, now, event| {
        stage.env.set_now_millis(now);
        stage.show(event).matches('\u{7}').count()
    };
    let (bad, good) = ("{\"level\":\"error\"}\n{\"level\":\"error\"}", r#"{"level":"info"}"#);
    assert_eq!(bells(&mut stage, 10_000, good), 0);
    assert_eq!(bells(&mut stage, 10_000, bad), 1);
    assert_eq!(bells(&mut stage, 10_999, bad), 0);
    assert_eq!(bells(&mut stage, 11_000, good), 0);
    assert_eq!(bells(&mut stage, 11_000, bad), 1);
    assert_eq!(bells(&mut stage, 5_000, bad), 1, "the clock was set back");
    let mut file = Stage::new(config(beep), false, true);
    assert_eq!(bells(&mut file, 10_000, bad), 0, "a file has no bell");
}

#[test]
fn a_mistake_in_the_settings_is_named() {
    assert_eq!(
        output_mistake::<Config>("value_length_max: 0"),
        "error: `value_length_max` must be at least 1"
    );
    assert!(output_mistake::<Config>("color: red").contains("auto"));
    assert!(output_mistake::<Config>("beep: { when: 'level:(' }").contains("output.yaml:1:"));
}
