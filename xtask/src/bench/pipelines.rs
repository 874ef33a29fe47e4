//! The configurations that are measured, as a user would write them.

use std::fmt::Write as _;
use std::path::Path;

/// What a pipeline does between its input and its outputs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    /// Nothing: lines as they are.
    None,
    /// W2.
    Edit,
    /// W2+.
    Decorate,
    /// A program in Python takes each event apart and writes it anew.
    Child,
}

/// What a pipeline ends in.
#[derive(Clone, Copy)]
pub(super) enum Outputs {
    Blackholes(usize),
    /// Files `0.out`, `1.out`, … beside the configuration.
    Files(usize),
}

/// A pipeline that reads files once.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    /// A glob.
    pub(super) files: &'a str,
    pub(super) codec: &'static str,
    /// The folder of each file names its tenant.
    pub(super) tenants: bool,
    pub(super) steps: Steps,
    pub(super) outputs: Outputs,
}

impl Pipeline<'_> {
    /// Its configuration; `tables` is the folder of `geo.mmdb` and `rates.csv`.
    pub(super) fn config(&self, tables: &Path) -> String {
        let Pipeline { files, codec, .. } = self;
        let mut text = format!(
            "{COMMON}
inputs:
  events:
    type: archive
    include: [\"{files}\"]
    codec: {codec}
"
        );
        if self.tenants {
            text.push_str("    tenant: { from: path, pattern: '/(?<tenant>t\\d+)/' }\n");
        }
        if matches!(self.steps, Steps::Edit | Steps::Decorate) {
            text.push_str(EDIT);
        }
        if self.steps == Steps::Child {
            let program = serde_json::json!(["python3", "-c", STAMP]);
            text.push_str(&CHILD.replace("PROGRAM", &program.to_string()));
        }
        if self.steps == Steps::Decorate {
            text.push_str(&DECORATE.replace("TABLES", &tables.display().to_string()));
        }
        let tag = if self.steps == Steps::None { "events" } else { "steps" };
        let encoder = match (self.steps, *codec) {
            (Steps::None, "json" | "als" | "text") => "raw",
            _ => "json",
        };
        text.push_str("outputs:\n");
        match self.outputs {
            Outputs::Blackholes(count) => {
                for number in 0..count {
                    let _ = writeln!(text, "  out{number}: {{ type: blackhole, match: [{tag}] }}");
                }
            }
            Outputs::Files(count) => {
                for number in 0..count {
                    let _ = writeln!(
                        text,
                        "  out{number}: {{ type: file, match: [{tag}], path: \"{number}.out\", \
                         codec: {encoder} }}"
                    );
                }
            }
        }
        text
    }
}

/// Follows the files of a folder; every line goes into `0.out`.
pub(super) fn following(files: &str, polling: bool) -> String {
    let polling = if polling { "    watch: false\n" } else { "" };
    format!(
        "{COMMON}
inputs:
  events:
    type: file
    include: [\"{files}\"]
    read_from: beginning
    codec: json
{polling}outputs:
  out0: {{ type: file, match: [events], path: \"0.out\", codec: raw }}
"
    )
}

const COMMON: &str = "\
data_dir: ./data
api: { listen: \"127.0.0.1:0\" }";

const EDIT: &str = "\
filters:
  steps:
    match: [events]
    steps:
      - set: { env: prod }
      - remove: [trace, _log_info.snsid]
      - bucket:
          field: _log_info.elapsed
          bounds: [0.01, 0.05, 0.2]
          labels: [lt10ms, lt50ms, lt200ms, ge200ms]
          into: _log_info.elapsed_bucket
      - remove: [_log_info.elapsed]
      - drop: { when: \"_log_info.level:<10\" }
";

const CHILD: &str = "\
filters:
  steps:
    match: [events]
    steps:
      - child: { command: PROGRAM }
";

/// As somebody would write it who knows `docs/child-plugins.md` and nothing else.
const STAMP: &str = r#"
import json, sys
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
stdin.readline()
stdout.write(b'{"dpipe":1,"name":"stamp"}\n')
stdout.flush()
for header in stdin:
    answers = [header]
    for _ in range(json.loads(header)["events"]):
        event = json.loads(stdin.readline())
        event["stamp"] = "seen"
        answers.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    stdout.write(b"".join(answers))
    stdout.flush()
"#;

const DECORATE: &str = "      \
      - geoip: { field: _log_info.ip, into: _cntry, database: \"TABLES/geo.mmdb\" }
      - currency:
          amount: data.amount
          currency: data.currency
          into: _usd
          rates: \"TABLES/rates.csv\"
      - normalize: { field: message, with: [digits] }
";
