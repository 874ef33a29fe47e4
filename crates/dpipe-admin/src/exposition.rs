//! Writes metrics in the text formats of Prometheus (0.0.4) and OpenMetrics (1.0.0).
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>.

use std::fmt::{Display, Write};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

/// What a family of metrics is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Only grows; its samples are named `…_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Is always 1, and says something with its labels; its sample is named `…_info`.
    Info,
}

/// A text in the making.
pub(crate) struct Exposition {
    format: Format,
    text: String,
}

impl Format {
    /// The format that a client likes best, by its `Accept` headers.
    pub(crate) fn accepted<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
        let (mut open_metrics, mut plain) = (0.0, 0.0);
        for range in accept.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0_f32, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => version = Some(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            match (kind.as_str(), version) {
                ("application/openmetrics-text", None | Some("1.0.0")) => {
                    open_metrics = quality.max(open_metrics);
                }
                ("text/plain", None | Some("0.0.4")) => plain = quality.max(plain),
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= plain {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Exposition {
    pub(crate) fn new(format: Format) -> Self {
        Exposition { format, text: String::new() }
    }

    /// Adds a family; nothing, if it has no samples. `name` is without the suffix of its kind.
    pub(crate) fn family<'a, const N: usize, V: Display>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, &'a str); N], V)>,
    ) {
        let suffix = match kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
            Kind::Info => "_info",
        };
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        // OpenMetrics names families without the suffix; Prometheus does not tell families from
        // samples, and knows no info.
        let (family_suffix, kind_name) = match (self.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
            (Format::OpenMetrics, Kind::Info) => ("", "info"),
            (Format::Prometheus, Kind::Counter) => (suffix, "counter"),
            (Format::Prometheus, Kind::Info) => (suffix, "gauge"),
            (_, Kind::Gauge) => (suffix, "gauge"),
        };
        self.put(format_args!("# HELP {name}{family_suffix} {help}\n"));
        self.put(format_args!("# TYPE {name}{family_suffix} {kind_name}\n"));
        for (labels, value) in samples {
            self.put(format_args!("{name}{suffix}"));
            let mut open = '{';
            for (label, value) in labels {
                self.put(format_args!("{open}{label}=\"{}\"", Escaped(value)));
                open = ',';
            }
            if N > 0 {
                self.text.push('}');
            }
            self.put(format_args!(" {value}\n"));
        }
    }

    /// The whole text.
    pub(crate) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes everything");
    }
}

/// A label's value as both formats want it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut text = Exposition::new(format);
        let node = |value| [("node", value), ("role", "input")];
        text.family(Kind::Counter, "a_events", "Events.", [(node("x"), 1), (node("y"), 2)]);
        text.family(Kind::Gauge, "b_seconds", "Seconds.", [([], 0.5)]);
        text.family(Kind::Info, "c", "What it is.", [([("version", "1.2")], 1)]);
        text.family(Kind::Gauge, "nothing", "Without samples.", std::iter::empty::<([_; 0], u8)>());
        text.end()
    }

    #[test]
    fn the_format_of_prometheus_names_counters_and_infos_with_their_suffix() {
        let expected = "\
# HELP a_events_total Events.
# TYPE a_events_total counter
a_events_total{node=\"x\",role=\"input\"} 1
a_events_total{node=\"y\",role=\"input\"} 2
# HELP b_seconds Seconds.
# TYPE b_seconds gauge
b_seconds 0.5
# HELP c_info What it is.
# TYPE c_info gauge
c_info{version=\"1.2\"} 1
";
        assert_eq!(written(Format::Prometheus), expected);
    }

    #[test]
    fn open_metrics_names_families_without_their_suffix_and_ends_with_eof() {
        let expected = "\
# HELP a_events Events.
# TYPE a_events counter
a_events_total{node=\"x\",role=\"input\"} 1
a_events_total{node=\"y\",role=\"input\"} 2
# HELP b_seconds Seconds.
# TYPE b_seconds gauge
b_seconds 0.5
# HELP c What it is.
# TYPE c info
c_info{version=\"1.2\"} 1
# EOF
";
        assert_eq!(written(Format::OpenMetrics), expected);
    }

    #[test]
    fn quotes_backslashes_and_line_ends_in_labels_are_escaped() {
        let mut text = Exposition::new(Format::Prometheus);
        text.family(Kind::Gauge, "a", "A.", [([("tenant", "x\"\\\n} 9\né")], 1)]);
        assert_eq!(text.end().lines().last(), Some(r#"a{tenant="x\"\\\n} 9\né"} 1"#));
    }

    #[test]
    fn the_client_chooses_the_format() {
        let accepted = |accept: &'static str| Format::accepted([accept].into_iter());
        assert_eq!(Format::accepted(std::iter::empty()), Format::Prometheus);
        for open_metrics in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8; q=0.6,\
             text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3",
        ] {
            assert_eq!(accepted(open_metrics), Format::OpenMetrics, "{open_metrics}");
        }
        for prometheus in [
            "*/*",
            "text/html,*/*;q=0.8",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0",
            "text/plain;version=0.0.4,application/openmetrics-text;q=0.5",
        ] {
            assert_eq!(accepted(prometheus), Format::Prometheus, "{prometheus}");
        }
    }
}
