use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

/// Noon of 2014-03-01, a Saturday.
const NOW: Timestamp = Timestamp::from_millis(1_393_675_200_000);

fn read_in(zone: &str, now: Timestamp, format: &str, text: &str) -> String {
    let format = TimeFormat::parse_config(format).unwrap();
    match format.read(text.as_bytes(), now, &Zone::parse(zone).unwrap()) {
        Ok(Moment { time, clock: Clock::Once }) => time.to_string(),
        Ok(Moment { time, clock }) => format!("{time} {clock:?}"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(format: &str, text: &str, expected: &str) {
    assert_eq!(read_in("UTC", NOW, format, text), expected, "{text}");
}

#[track_caller]
fn check_unreadable(format: &str, texts: &[&str]) {
    for text in texts {
        check(format, text, "this is not a time of the format");
    }
}

#[test]
fn iso8601_is_read_in_all_its_dress() {
    for text in [
        "2014-03-01T12:00:00.250Z",
        "2014-03-01 12:00:00.250",
        " 2014-03-01t12:00:00,250999z ",
        "2014-03-01T14:00:00.250+02:00",
        "2014-03-01T14:30:00.25 +0230",
        "2014-03-01T09:00:00.250-03",
        "20140301T120000.250Z",
        "2014-03-01 12:00:00.250 UTC",
        "2014-03-01 07:00:00.250 EST",
    ] {
        check("iso8601", text, "2014-03-01T12:00:00.250Z");
    }
    check("iso8601", "2014-03-01", "2014-03-01T00:00:00.000Z");
    check("iso8601", "2014-03-01T12:07", "2014-03-01T12:07:00.000Z");
    check("iso8601", "20140301T1207Z", "2014-03-01T12:07:00.000Z");
    check("iso8601", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z");
    check("iso8601", "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z");
    check_unreadable(
        "iso8601",
        &[
            "",
            "2014",
            "2014-03",
            "2014-13-01",
            "2014-02-29",
            "2014-03-00",
            "2014-03-01T",
            "2014-03-01T12",
            "2014-03-01T24:00:00",
            "2014-03-01T12:60:00",
            "2014-03-01T12:00:61",
            "2014-03-01T12:00:00.",
            "2014-03-01T12:00:00Zx",
            "2014-03-01T12:00:00+25:00",
            "2014-03-01T12:00:00 XYZT",
            "0000-01-01T00:00:00+01:00",
            "2014-03/01",
        ],
    );
}

#[test]
fn mail_syslog_and_web_servers_have_their_own() {
    check("rfc2822", "Sat, 01 Mar 2014 12:00:00 +0000", "2014-03-01T12:00:00.000Z");
    check("rfc2822", "1 Mar 14 07:00 EST (so)", "2014-03-01T12:00:00.000Z");
    check("rfc2822", "Sat, 1 Mar 99 12:00:00 GMT", "1999-03-01T12:00:00.000Z");
    check_unreadable("rfc2822", &["Foo, 01 Mar 2014 12:00:00 +0000", "01 Mar 20145 12:00:00"]);

    check("syslog", "Mar  1 11:59:59", "2014-03-01T11:59:59.000Z");
    check("syslog", "mar 01 2012 11:59:59.5", "2012-03-01T11:59:59.500Z");
    check("syslog", "Mar 1 2012 11:59:59 CET", "2012-03-01T10:59:59.000Z");
    check_unreadable("syslog", &["Mar 11:59:59", "Mar 32 11:59:59", "Mrz 1 11:59:59", "Mar 1"]);

    check("httpd", "01/Mar/2014:12:00:00 +0000", "2014-03-01T12:00:00.000Z");
    check("httpd", "1/March/2014:12:00:00.007 -0130", "2014-03-01T13:30:00.007Z");
    check_unreadable("httpd", &["01/03/2014:12:00:00 +0000", "01/Mar/2014:12:00 +0000"]);
}

#[test]
fn a_missing_year_is_the_nearest_to_the_arrival() {
    let at = |now, text| read_in("UTC", now, "syslog", text);
    let new_year = Timestamp::from_civil(2024, 1, 1, 5_000);
    assert_eq!(at(new_year, "Dec 31 23:59:59"), "2023-12-31T23:59:59.000Z");
    assert_eq!(at(new_year, "Jan  1 00:00:00"), "2024-01-01T00:00:00.000Z");
    let old_year = Timestamp::from_civil(2023, 12, 31, 86_395_000);
    assert_eq!(at(old_year, "Jan  1 00:00:01"), "2024-01-01T00:00:01.000Z");
    // Clocks before UTC are in the new year earlier.
    assert_eq!(
        read_in("+02:00", old_year, "syslog", "Jan  1 01:59:55"),
        "2023-12-31T23:59:55.000Z"
    );
    let leap_day = |year| at(Timestamp::from_civil(year, 3, 1, 0), "Feb 29 00:00:00");
    assert_eq!(leap_day(2025), "2024-02-29T00:00:00.000Z");
    assert_eq!(leap_day(2027), "2028-02-29T00:00:00.000Z");
    assert_eq!(leap_day(1900), "1904-02-29T00:00:00.000Z");
    assert_eq!(at(NOW, "Feb 30 00:00:00"), "this is not a time of the format");
}

#[test]
fn a_time_of_day_alone_is_of_the_nearest_day() {
    let midnight = Timestamp::from_civil(2024, 1, 1, 1_000);
    assert_eq!(read_in("UTC", midnight, "%T", "23:59:59"), "2023-12-31T23:59:59.000Z");
    assert_eq!(read_in("UTC", midnight, "%T", "00:00:00"), "2024-01-01T00:00:00.000Z");
}

#[test]
fn numbers_since_1970_may_have_fractions_signs_and_exponents() {
    check("unix", "1393675200", "2014-03-01T12:00:00.000Z");
    check("unix", "1393675200.0079", "2014-03-01T12:00:00.007Z");
    check("unix", "-1.5", "1969-12-31T23:59:58.500Z");
    check("unix", "-0.5", "1969-12-31T23:59:59.500Z");
    check("unix", "1.3936752e9", "2014-03-01T12:00:00.000Z");
    check("unix_ms", "1393675200250", "2014-03-01T12:00:00.250Z");
    check("unix_ms", "1393675200250.9", "2014-03-01T12:00:00.250Z");
    check("unix_us", "1393675200250999", "2014-03-01T12:00:00.250Z");
    check("unix_us", "-1", "1969-12-31T23:59:59.999Z");
    check("unix_ns", "1393675200250999999", "2014-03-01T12:00:00.250Z");
    check_unreadable("unix", &["", "-", "1393675200250", "1e99", "nan", "1.", "1 2", "0x10"]);
    check_unreadable("unix_ns", &["9999999999999999999"]);
}

#[test]
fn patterns_read_what_they_say() {
    check("%d/%b/%Y:%H:%M:%S %z", "01/Mar/2014:12:00:00 +0000", "2014-03-01T12:00:00.000Z");
    check("%Y-%m-%d %H:%M:%S,%f", "2014-03-01 12:00:00,25", "2014-03-01T12:00:00.250Z");
    check("%Y-%m-%d %H:%M:%S%.f", "2014-03-01 12:00:00", "2014-03-01T12:00:00.000Z");
    check("%F %T%.3f%:z", "2014-03-01 14:00:00.250+02:00", "2014-03-01T12:00:00.250Z");
    check("%Y%m%d%H%M%S%3f", "20140301120000250", "2014-03-01T12:00:00.250Z");
    check("%a %b %e %H:%M:%S %Y", "Sat Mar  1 12:00:00 2014", "2014-03-01T12:00:00.000Z");
    check("%A, %d %B %y", "Saturday, 1 march 14", "2014-03-01T00:00:00.000Z");
    check("%m/%d/%Y %I:%M %p", "3/1/2014 12:05 pm", "2014-03-01T12:05:00.000Z");
    check("%D %r", "03/01/14 12:05:09 AM", "2014-03-01T00:05:09.000Z");
    check("%Y.%j", "2014.060", "2014-03-01T00:00:00.000Z");
    check("%s.%L", "1393675200.250", "2014-03-01T12:00:00.250Z");
    check("[%c]", "[Sat Mar 1 12:00:00 2014]", "2014-03-01T12:00:00.000Z");
    check("100%% %F", "100% 2014-03-01", "2014-03-01T00:00:00.000Z");
    check("%b %d %R", "Mar 1 12:07", "2014-03-01T12:07:00.000Z");
    check("%F%n%T %Z", "2014-03-01   07:00:00 est", "2014-03-01T12:00:00.000Z");
    check("%FT%T", "2014-03-01T12:00:00", "2014-03-01T12:00:00.000Z");
    check_unreadable("%F %T", &["2014-03-01", "2014-03-01 12:00:00 x", "x2014-03-01 12:00:00"]);
    check_unreadable("%F %I %p", &["2014-03-01 13 PM", "2014-03-01 0 AM", "2014-03-01 1 XM"]);
    check_unreadable("%F %T.%3f", &["2014-03-01 12:00:00.25"]);
    check_unreadable("%Y %j", &["2014 366", "2014 0"]);
    check_unreadable("%d.%m.%Y", &["0.1.2014", "29.2.2014", "1.0.2014"]);
}

#[test]
fn zones_are_names_or_offsets() {
    let noon = |zone| read_in(zone, NOW, "iso8601", "2014-07-01T12:00:00");
    assert_eq!(noon("Europe/Berlin"), "2014-07-01T10:00:00.000Z");
    assert_eq!(noon("america/new_york"), "2014-07-01T16:00:00.000Z");
    assert_eq!(noon("Asia/Kolkata"), "2014-07-01T06:30:00.000Z");
    assert_eq!(noon("-03:30"), "2014-07-01T15:30:00.000Z");
    assert_eq!(noon("+0200"), "2014-07-01T10:00:00.000Z");
    let later = read_in("Europe/Berlin", NOW, "iso8601", "2060-07-01T12:00:00");
    assert_eq!(later, "2060-07-01T10:00:00.000Z");
    // An offset that is written holds.
    let offset = read_in("Europe/Berlin", NOW, "iso8601", "2014-07-01T12:00:00Z");
    assert_eq!(offset, "2014-07-01T12:00:00.000Z");
}

#[test]
fn what_clocks_showed_twice_or_never_is_told() {
    let berlin = |text| read_in("Europe/Berlin", NOW, "iso8601", text);
    assert_eq!(berlin("2014-10-26T01:59:59"), "2014-10-25T23:59:59.000Z");
    assert_eq!(berlin("2014-10-26T02:30:00"), "2014-10-26T00:30:00.000Z Twice");
    assert_eq!(berlin("2014-10-26T03:00:00"), "2014-10-26T02:00:00.000Z");
    assert_eq!(berlin("2014-03-30T02:30:00"), "2014-03-30T01:30:00.000Z Never");
    assert_eq!(berlin("2014-03-30T03:00:00"), "2014-03-30T01:00:00.000Z");
    assert_eq!(berlin("2014-10-26T02:30:00+01:00"), "2014-10-26T01:30:00.000Z");
    // The abbreviation tells which.
    assert_eq!(berlin("2014-10-26 02:30:00 CEST"), "2014-10-26T00:30:00.000Z");
    assert_eq!(berlin("2014-10-26 02:30:00 CET"), "2014-10-26T01:30:00.000Z");
    // In India this is not Israel's.
    let india = read_in("Asia/Kolkata", NOW, "iso8601", "2014-10-26 02:30:00 IST");
    assert_eq!(india, "2014-10-25T21:00:00.000Z");
}

#[test]
fn a_format_that_makes_no_time_is_refused_where_it_is_wrong() {
    let wrong = |format: &str| {
        let error = TimeFormat::parse_config(format).unwrap_err();
        format!("{}: {error}", &format[error.range.clone()])
    };
    assert_eq!(wrong("iso8610"), "iso8610: unknown format `iso8610` (did you mean `iso8601`?)");
    assert!(wrong("yyyy-MM-dd").ends_with("and patterns such as `%d/%b/%Y:%H:%M:%S %z`)"));
    assert!(wrong("%F %Q").starts_with("%Q: unknown directive `%Q` (there is %Y %y "));
    assert_eq!(wrong("%F %"), "%: a `%` that stands for itself is written `%%`");
    assert!(wrong("%F %3H").starts_with("%3H: only a fraction (`%f`) has"));
    for (format, missing) in [
        ("%Y", "a year without month (`%m`) and day (`%d`)"),
        ("%Y-%m %H", "a month without its day (`%d`)"),
        ("%d %H", "a day without its month (`%m`)"),
        ("%F %I", "only one of `%I` and `%p`, which make an hour together"),
        ("%F %M", "minutes or seconds without the hour (`%H`)"),
        ("100%%", "neither a date nor a time of day"),
    ] {
        assert_eq!(wrong(format), format!("{format}: the pattern has {missing}"));
    }
    assert_eq!(
        Zone::parse("Europe/Berln").unwrap_err(),
        "unknown time zone `Europe/Berln` (did you mean `Europe/Berlin`?)"
    );
    assert!(Zone::parse("+25:00").unwrap_err().contains("offsets as `+02:00`"));
}

proptest! {
    #[test]
    fn a_pattern_reads_what_another_library_wrote(
        millis in -2_000_000_000_000_i64..4_000_000_000_000,
        format in prop::sample::select(vec![
            "%Y-%m-%dT%H:%M:%S%.3f%:z",
            "%d/%b/%Y:%H:%M:%S.%3f %z",
            "%A, %B %e %Y %I:%M:%S %p %3f %z",
            "%Y%m%d%H%M%S%3f%z",
            "%j %Y %T,%3f %z",
        ]),
    ) {
        let zone = TimeZone::fixed(jiff::tz::offset(-7));
        let time = jiff::Timestamp::from_millisecond(millis).unwrap().to_zoned_datetime(zone);
        let text = strtime::format(format, &time).unwrap();
        let read = TimeFormat::parse_config(format).unwrap();
        let found = read.read(text.as_bytes(), NOW, &Zone::UTC).unwrap();
        prop_assert_eq!(found.time.millis(), millis, "{}", text);
    }

    #[test]
    fn a_zone_is_as_another_library_has_it(
        wall in 0_i64..4_000_000_000,
        name in prop::sample::select(vec!["Europe/Berlin", "America/St_Johns", "Asia/Tokyo"]),
    ) {
        let text = Timestamp::from_millis(wall * 1000).to_string();
        let text = text.trim_end_matches('Z');
        let zone = jiff::tz::TimeZoneDatabase::bundled().get(name).unwrap();
        let there: jiff::civil::DateTime = text.parse().unwrap();
        let expected = zone.to_ambiguous_timestamp(there);
        let format = TimeFormat::parse_config("iso8601").unwrap();
        let found = format.read(text.as_bytes(), NOW, &Zone::parse(name).unwrap()).unwrap();
        prop_assert_eq!(found.clock != Clock::Once, expected.is_ambiguous());
        prop_assert_eq!(found.time.millis(), expected.compatible().unwrap().as_millisecond());
    }

    #[test]
    fn no_text_makes_a_format_panic(text in "[ -~]{0,30}|[0-9TZ:.+/ -]{0,30}") {
        for name in NAMES.into_iter().chain(["%F %T%.f %z", "%b %d %H", "%s", "%I %p %Z"]) {
            let format = TimeFormat::parse_config(name).unwrap();
            _ = format.read(text.as_bytes(), NOW, &Zone::UTC);
        }
    }
}
