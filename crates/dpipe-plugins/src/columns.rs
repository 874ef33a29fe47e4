//! Rows of columns: what formats of tables have in common once a row is cut into its fields.

use std::collections::BTreeMap;

use dpipe_event::{Builder, Frame, RecordKey, RecordWriter, Timestamp};
use dpipe_plugin::settings::{Problem, nearest};
use dpipe_plugin::{BuildError, DecodeError, Decoder, Parsed, Parser};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::Type;

/// What becomes of a row that has more or fewer fields than there are columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Uneven {
    /// It is a decode error: `uneven_row`.
    #[default]
    Refuse,
    /// Missing fields are left out; further ones are named `column_4` and so on, by their place.
    Allow,
}

/// How a table is to be read.
#[derive(Clone, Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) columns: &'a [String],
    pub(crate) header: bool,
    pub(crate) types: &'a BTreeMap<String, Type>,
    pub(crate) uneven: Uneven,
}

/// Cuts rows into fields.
pub(crate) trait Cut: Send {
    /// Calls `take` with each field.
    fn cut(
        &mut self,
        row: &[u8],
        take: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError>;
}

/// Reads rows.
pub(crate) struct Table<C> {
    cut: C,
    /// None as long as the header was not read.
    columns: Option<Box<[Column]>>,
    has_header: bool,
    types: BTreeMap<String, Type>,
    uneven: Uneven,
}

struct Column {
    key: RecordKey,
    to: Type,
}

/// More fields than this are not named by their place.
const FURTHER_MAX: usize = 1000;

impl Layout<'_> {
    /// What cannot be.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.columns.is_empty() && !self.header {
            let problem = Problem::error("the columns have no names");
            let help = "give `columns`, or `header: true` where the first line names them";
            problems.push(problem.help(help));
        }
        for (at, name) in self.columns.iter().enumerate() {
            if self.columns[..at].contains(name) {
                problems.push(Problem::error(format!("two columns are called `{name}`")));
            }
        }
        let unknown = |name: &&String| !self.columns.is_empty() && !self.columns.contains(*name);
        for name in self.types.keys().filter(unknown) {
            let problem = Problem::error(format!("`types` names `{name}`, which is no column"));
            let help = nearest(name, self.columns).map(|name| format!("did you mean `{name}`?"));
            problems.push(problem.maybe_help(help));
        }
        problems
    }

    /// The reader of a stream.
    pub(crate) fn table<C: Cut>(&self, cut: C) -> Table<C> {
        let (types, uneven) = (self.types.clone(), self.uneven);
        let mut table = Table { cut, columns: None, has_header: self.header, types, uneven };
        if !self.columns.is_empty() {
            let names = self.columns.iter().map(|name| name.as_bytes());
            table.columns = Some(names.map(|name| table.column(name)).collect());
        }
        table
    }

    /// The reader of single rows.
    pub(crate) fn rows<C: Cut>(&self, cut: C) -> Result<Table<C>, BuildError> {
        if self.columns.is_empty() {
            return Err(BuildError::new("single rows have no header: `columns` must name them"));
        }
        Ok(self.table(cut))
    }
}

impl<C: Cut> Table<C> {
    fn column(&self, name: &[u8]) -> Column {
        let name = String::from_utf8_lossy(name);
        let to = self.types.get(&*name).copied().unwrap_or(Type::String);
        Column { key: RecordKey::new(&name), to }
    }

    fn read_header(&mut self, row: &[u8]) -> Result<(), DecodeError> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        self.cut.cut(row, |name| {
            names.push(match name.trim_ascii() {
                b"" => format!("column_{}", names.len() + 1).into_bytes(),
                name => name.to_vec(),
            });
            Ok(())
        })?;
        self.columns = Some(names.iter().map(|name| self.column(name)).collect());
        Ok(())
    }
}

impl<C: Cut> Decoder for Table<C> {
    fn decode(&mut self, frame: &Frame<'_>, events: &mut Builder) -> Result<(), DecodeError> {
        let is_first = events.offset(frame) == 0;
        let row = match frame.bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if is_first => rest,
            _ => frame.bytes,
        };
        if row.is_empty() {
            return Ok(());
        }
        if self.has_header && is_first {
            return match self.columns {
                Some(_) => Ok(()),
                None => self.read_header(row),
            };
        }
        let now = events.received();
        let (_, parsed) = events.push_record(frame, |record| self.parse(row, now, record))?;
        if let Some(flag) = parsed.flag {
            events.flag(flag);
        }
        Ok(())
    }
}

impl<C: Cut> Parser for Table<C> {
    fn parse(
        &mut self,
        row: &[u8],
        _: Timestamp,
        record: &mut RecordWriter<'_>,
    ) -> Result<Parsed, DecodeError> {
        let Some(columns) = &self.columns else {
            let reason = "the first line of the stream, which names the columns, was not read";
            return Err(DecodeError::new("no_header", reason));
        };
        let (mut fields, mut parsed) = (0, Parsed::default());
        let may_be_more = self.uneven == Uneven::Allow;
        self.cut.cut(row, |text| {
            match columns.get(fields) {
                Some(Column { key, to: Type::String }) => record.string(key, text),
                Some(column) if text.is_empty() => record.null(&column.key),
                Some(column) => {
                    let written = column.to.write(&column.key, text, record);
                    parsed.flag = parsed.flag.or((!written).then_some("unconvertible"));
                }
                None if may_be_more && fields < columns.len() + FURTHER_MAX => {
                    record.string_named(format!("column_{}", fields + 1).as_bytes(), text);
                }
                None if may_be_more => return Err(uneven(fields + 1, columns.len())),
                // Counted to the end, to be told.
                None => {}
            }
            fields += 1;
            Ok(())
        })?;
        if fields != columns.len() && !may_be_more {
            return Err(uneven(fields, columns.len()));
        }
        Ok(parsed)
    }
}

fn uneven(fields: usize, columns: usize) -> DecodeError {
    let reason = format!("the row has {fields} fields, and there are {columns} columns");
    DecodeError::new("uneven_row", reason)
}
