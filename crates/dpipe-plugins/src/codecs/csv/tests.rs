use proptest::prelude::*;

use super::*;
use crate::codecs::json::JsonDecoder;
use crate::codecs::tests::{body, decode_at, decode_lines, encode, parse, parse_any, refuse};
use crate::columns::Table;

fn table(options: &str) -> Table<Csv> {
    let config: Decode = serde_json::from_str(options).unwrap();
    assert_eq!(config.check(), []);
    config.layout().table(config.cut())
}

fn abc() -> Table<Csv> {
    table(r#"{"columns":["a","b","c"]}"#)
}

fn bodies(table: &mut Table<Csv>, offset: u64, text: &str) -> Vec<String> {
    let (batch, errors) = decode_at(table, offset, text.as_bytes());
    let errors = errors.into_iter().map(|error| error.kind.to_owned());
    batch.iter().map(|event| body(&event)).chain(errors).collect()
}

#[test]
fn fields_are_cut_as_rfc_4180_has_it() {
    for (row, expected) in [
        ("1,x y,z", r#"{"a":"1","b":"x y","c":"z"}"#),
        (",,", r#"{"a":"","b":"","c":""}"#),
        (r#""a,b","say ""hi""",x"#, r#"{"a":"a,b","b":"say \"hi\"","c":"x"}"#),
        (r#""""""","",x"y"#, r#"{"a":"\"\"","b":"","c":"x\"y"}"#),
        ("a, \"b\" ,c", r#"{"a":"a","b":" \"b\" ","c":"c"}"#),
    ] {
        assert_eq!(bodies(&mut abc(), 1, row), [expected], "{row}");
    }
}

#[test]
fn each_broken_row_is_refused_for_its_reason() {
    let refusal = |row: &str| refuse(&mut abc(), row.as_bytes());
    assert_eq!(refusal("1,2"), "uneven_row: the row has 2 fields, and there are 3 columns");
    assert_eq!(refusal("1,2,3,4,5"), "uneven_row: the row has 5 fields, and there are 3 columns");
    let why = "unclosed_quote: a field has no closing quote in this line";
    assert_eq!(refusal("1,\"2,3"), why);
    assert_eq!(refusal("1,\"2\"\"\"\",3"), why);
    let why = "text_after_quote: there is text between a closing quote and the next delimiter";
    assert_eq!(refusal("1,\"2\"x,3"), why);
}

#[test]
fn uneven_rows_can_be_allowed() {
    let mut table = table(r#"{"columns":["a","b"],"uneven":"allow"}"#);
    assert_eq!(parse(&mut table, b"1"), r#"{"a":"1"}"#);
    assert_eq!(parse(&mut table, b"1,2,3,4"), r#"{"a":"1","b":"2","column_3":"3","column_4":"4"}"#);
    let many = ",".repeat(2000);
    assert!(refuse(&mut table, many.as_bytes()).starts_with("uneven_row"));
}

#[test]
fn columns_have_types_and_empty_ones_are_null() {
    let mut table = table(
        r#"{"columns":["a","b","c"],"types":{"a":"int","b":"float","c":"bool"},"delimiter":";","quote":"'"}"#,
    );
    assert_eq!(parse(&mut table, b"007;'1.50';yes"), r#"{"a":7,"b":1.50,"c":true}"#);
    assert_eq!(parse(&mut table, b";;"), r#"{"a":null,"b":null,"c":null}"#);
    assert_eq!(parse(&mut table, b"x;1;"), r#"{"a":"x","b":1,"c":null} !unconvertible"#);
}

#[test]
fn without_a_quote_there_is_none() {
    let mut table = table(r#"{"columns":["a","b"],"quote":""}"#);
    assert_eq!(parse(&mut table, b"\"x,y\""), r#"{"a":"\"x","b":"y\""}"#);
}

#[test]
fn the_first_line_of_a_stream_names_the_columns() {
    let options = r#"{"header":true,"types":{"n":"int"}}"#;
    let text = "\u{feff}n, \"the x\",\n1,2,3\n\n4,5,6\n";
    assert_eq!(
        bodies(&mut table(options), 0, text),
        [r#"{"n":1,"\"the x\"":"2","column_3":"3"}"#, r#"{"n":4,"\"the x\"":"5","column_3":"6"}"#]
    );
    // Another chunk of the same stream.
    let mut table = table(options);
    assert_eq!(bodies(&mut table, 0, "n\n"), [""; 0]);
    assert_eq!(bodies(&mut table, 2, "1\n"), [r#"{"n":1}"#]);
}

#[test]
fn a_stream_that_is_read_from_its_middle_has_no_header() {
    assert_eq!(bodies(&mut table(r#"{"header":true}"#), 7, "1,2\n"), ["no_header"]);
    let mut named = table(r#"{"header":true,"columns":["a"]}"#);
    assert_eq!(bodies(&mut named, 7, "1\n"), [r#"{"a":"1"}"#]);
    assert_eq!(bodies(&mut named, 0, "name\n1\n"), [r#"{"a":"1"}"#]);
}

#[test]
fn options_that_cannot_be_are_refused() {
    let problems = |text: &str| {
        let config: Decode = serde_json::from_str(text).unwrap();
        config.check().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        problems("{}"),
        "error: the columns have no names (give `columns`, or `header: true` where the first \
         line names them)"
    );
    assert_eq!(
        problems(r#"{"columns":["amount","amount"],"types":{"amout":"int"},"quote":","}"#),
        "error: two columns are called `amount`; error: `types` names `amout`, which is no \
         column (did you mean `amount`?); error: `quote` and `delimiter` are the same"
    );
    let why = |text: &str| serde_json::from_str::<Decode>(text).unwrap_err().to_string();
    assert!(why(r#"{"delimiter":"ab"}"#).contains("\"ab\" is not one character of ASCII"));
    assert!(why(r#"{"delimiter":""}"#).contains("the delimiter is empty"));
    assert!(why(r#"{"quote":"\n"}"#).contains("a line end ends a row"));
    assert!(config_error("{}").contains("missing field `columns`"));
}

fn config_error(text: &str) -> String {
    serde_json::from_str::<Encode>(text).unwrap_err().to_string()
}

fn encoder(options: &str) -> CsvEncoder {
    let config: Encode = serde_json::from_str(options).unwrap();
    CsvEncoder { delimiter: config.delimiter.0, columns: config.columns.into() }
}

#[test]
fn a_row_has_the_fields_named_and_stays_one_line() {
    let encoder = encoder(r#"{"delimiter":";","columns":["_time","a.b","c","d","e"]}"#);
    let text = r#"{"a":{"b":"x;\"y\"\n"},"c":null,"d":[1,{"z":"2"}]}"#;
    let (batch, _) = decode_lines(&mut JsonDecoder::default(), text.as_bytes());
    let encoded = String::from_utf8(encode(&encoder, &batch).unwrap()).unwrap();
    assert_eq!(encoded, "1393675200250;\"x;\"\"y\"\"\\n\";;\"[1,{\"\"z\"\":\"\"2\"\"}]\";\n");
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_the_same(
        rows in prop::collection::vec(prop::collection::vec("[^\r\n]{0,6}|[\",]{0,4}", 2), 1..4),
    ) {
        let lines: Vec<_> = rows
            .iter()
            .map(|row| serde_json::json!({ "a": row[0], "b": row[1] }).to_string() + "\n")
            .collect();
        let (batch, _) = decode_lines(&mut JsonDecoder::default(), lines.concat().as_bytes());
        for columns in [vec!["a", "b"], vec!["a"]] {
            let columns = serde_json::json!({ "columns": columns }).to_string();
            let encoded = encode(&encoder(&columns), &batch).unwrap();
            let (again, errors) = decode_lines(&mut table(&columns), &encoded);
            prop_assert_eq!(errors, []);
            prop_assert_eq!(again.len(), rows.len());
            for (event, row) in again.iter().zip(&rows) {
                let path = "a".parse().unwrap();
                let text = event.get(&path).unwrap().as_text().unwrap().into_owned();
                prop_assert_eq!(text, row[0].as_bytes());
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_become_json(
        text in "[a,\" ]{0,20}",
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let options = r#"{"columns":["a","b"],"uneven":"allow","types":{"b":"float"}}"#;
        parse_any(&mut table(options), text.as_bytes());
        parse_any(&mut table(options), &bytes);
        parse_any(&mut abc(), text.as_bytes());
    }
}
