//! Looks a field up in a table of yours, and adds what stands there.
//!
//! | table | a row |
//! |---|---|
//! | `.csv`, `.tsv` | a line, under a first line with the names of the columns; values are strings, and an empty one is none |
//! | `.json` | a member of one object, by its name; or an object of one array, by the column of `key:` |
//! | `.mmdb` | a record of a MaxMind DB, by the network that the address is in; a column is a path, `country.iso_code` |
//!
//! The value of `field:`, a string or a number by its digits, is compared with the keys of the rows. Of
//! the row that has it, the columns that `into:` names go into their fields; or, where `into:` is a
//! single path, the whole row goes there. The table is read again when it changes; a new one that is no
//! good leaves the old one in force. An event without the field, or with `null`, is left as it is.
//!
//! Flagged: `unknown_key`, where no row has the key: the fields get their `defaults:`, if there are any;
//! `unwritable`, where something else than an object is in the way of a field.
//!
//! ```yaml
//! lookup:
//!   field: server
//!   table: data/servers.csv
//!   key: name
//!   into: { datacenter: server_info.datacenter, team: server_info.team }
//!   defaults: { team: unknown }
//! ```

mod database;
mod into;
mod table;

use std::sync::Arc;

use dpipe_event::{Batch, EventMut, NewValue, Path, Selection, Value};
use dpipe_plugin::settings::{ByteSize, Problem};
use dpipe_plugin::{BuildContext, BuildError, FieldPath, Step, StepConfig, StepContext, StepSpec};
use schemars::JsonSchema;
use serde::Deserialize;

use self::database::{Database, Records};
use self::into::{Constant, Into};
use self::table::{Cells, Form, Table};
use crate::pairs::Pairs;
use crate::watched::Watched;

/// What to look up where, and what to take from there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The field that holds the key.
    field: FieldPath,
    /// The file with the table; its ending says what it is.
    table: String,
    /// The column that the rows are found by; the default is the first one.
    key: Option<String>,
    /// Which column goes into which field; or the field that gets the whole row.
    into: Into,
    /// What the fields get where there is no row, by column.
    defaults: Option<Pairs<String, Constant>>,
    /// Whether keys are the same in upper and lower case (of ASCII).
    #[serde(default)]
    ignore_case: bool,
    /// What stands between the values of a line; the default is a comma, or a tab in a `.tsv`.
    delimiter: Option<char>,
    /// How large the file may be.
    #[serde(default = "default_table_bytes_max")]
    table_bytes_max: ByteSize,
    /// How many addresses each lane remembers what a `.mmdb` has of them.
    #[serde(default = "default_cache_max")]
    cache_max: usize,
}

fn default_table_bytes_max() -> ByteSize {
    ByteSize::mib(128)
}

fn default_cache_max() -> usize {
    5000
}

/// What a file is.
enum Kind {
    Table(Form),
    Database,
}

impl Config {
    fn kind(&self) -> Option<Kind> {
        let (_, ending) = self.table.rsplit_once('.')?;
        let delimited = |default: u8| {
            let delimiter = match self.delimiter {
                None => default,
                Some(delimiter) if delimiter.is_ascii() => delimiter as u8,
                Some(_) => return None,
            };
            Some(Kind::Table(Form::Delimited(delimiter)))
        };
        match ending {
            "csv" => delimited(b','),
            "tsv" => delimited(b'\t'),
            "json" => Some(Kind::Table(Form::Json)),
            "mmdb" => Some(Kind::Database),
            _ => None,
        }
    }
}

impl StepConfig for Config {
    const NAME: &'static str = "lookup";
}

impl StepSpec for Config {
    fn build(&self, context: &BuildContext<'_>) -> Result<Box<dyn Step>, BuildError> {
        let bytes_max = self.table_bytes_max.bytes();
        let checked = move |bytes: &[u8]| match bytes.len() as u64 > bytes_max {
            true => Err(format!("it is larger than {}", ByteSize::new(bytes_max))),
            false => Ok(()),
        };
        let source = match self.kind() {
            Some(Kind::Table(form)) => {
                let wanted = table::Wanted {
                    form,
                    key: self.key.clone(),
                    columns: self.into.columns(),
                    ignore_case: self.ignore_case,
                };
                let way = format!("{wanted:?} {bytes_max}");
                let table = Watched::open_as(context, &self.table, &way, move |bytes| {
                    checked(&bytes)?;
                    Table::parse(bytes, &wanted)
                });
                Source::Table(table.map_err(|error| error.about("table"))?)
            }
            _ => {
                let way = format!("{bytes_max}");
                let database = Watched::open_as(context, &self.table, &way, move |bytes| {
                    checked(&bytes)?;
                    Database::parse(bytes)
                });
                let database = database.map_err(|error| error.about("table"))?;
                let seed = context.env.random();
                let records = Records::new(self.into.columns(), self.cache_max, seed, &database);
                Source::Database(database, records)
            }
        };
        let targets = self.into.targets();
        let mut defaults = vec![None; targets.len()];
        for (column, Constant(value)) in self.defaults.iter().flat_map(|pairs| &pairs.0) {
            match &self.into {
                Into::Columns(pairs) => {
                    for (default, (name, _)) in defaults.iter_mut().zip(&pairs.0) {
                        if name == column {
                            *default = Some(value.to_string().into_bytes().into());
                        }
                    }
                }
                Into::Row(_) => {}
            }
        }
        if let (Into::Row(_), Some(pairs)) = (&self.into, &self.defaults) {
            let row: serde_json::Map<_, _> =
                pairs.0.iter().map(|(column, value)| (column.clone(), value.0.clone())).collect();
            defaults[0] = Some(serde_json::Value::Object(row).to_string().into_bytes().into());
        }
        Ok(Box::new(Lookup {
            field: self.field.0.clone(),
            ignore_case: self.ignore_case,
            outputs: Outputs { targets, defaults },
            source,
            key: Vec::new(),
        }))
    }

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.kind() {
            None if self.delimiter.is_some_and(|delimiter| !delimiter.is_ascii()) => {
                problems.push(Problem::error("`delimiter` is not a character of ASCII"));
            }
            None => {
                let message =
                    "the name of the table ends in none of `.csv`, `.tsv`, `.json`, `.mmdb`";
                problems.push(Problem::error(message));
            }
            Some(Kind::Database) if self.key.is_some() => {
                let message = "a `.mmdb` is looked up by addresses, so `key` has no meaning";
                problems.push(Problem::error(message));
            }
            Some(_) => {}
        }
        if let (Into::Columns(columns), Some(defaults)) = (&self.into, &self.defaults) {
            for (column, _) in &defaults.0 {
                if !columns.0.iter().any(|(name, _)| name == column) {
                    let message = format!("`defaults` names `{column}`, which `into` does not");
                    problems.push(Problem::error(message));
                }
            }
        }
        if self.cache_max == 0 {
            problems.push(Problem::error("`cache_max` is 0"));
        }
        problems
    }
}

struct Lookup {
    field: Path,
    ignore_case: bool,
    outputs: Outputs,
    source: Source,
    /// The key of an event.
    key: Vec<u8>,
}

enum Source {
    Table(Arc<Watched<Table>>),
    Database(Arc<Watched<Database>>, Records),
}

/// Where the columns go.
struct Outputs {
    targets: Box<[Path]>,
    /// The JSON that a field gets where there is nothing for it.
    defaults: Vec<Option<Box<[u8]>>>,
}

impl Step for Lookup {
    fn run(&mut self, batch: &mut Batch, selection: &Selection, context: &mut StepContext) {
        let (mut unknown, mut unwritable) = (0, 0);
        let (key, outputs, field, ignore_case) =
            (&mut self.key, &self.outputs, &self.field, self.ignore_case);
        match &mut self.source {
            Source::Table(table) => {
                let table = table.table();
                batch.each(selection, |event| {
                    if read_key(event, field, ignore_case, key) {
                        let row = table.row(key);
                        unknown += usize::from(row.is_none());
                        unwritable += usize::from(!outputs.write(event, row));
                    }
                });
            }
            Source::Database(database, records) => {
                records.follow(database.table());
                batch.each(selection, |event| {
                    if read_key(event, field, false, key) {
                        let row = records.row(key);
                        unknown += usize::from(row.is_none());
                        unwritable += usize::from(!outputs.write(event, row));
                    }
                });
            }
        }
        context.flagged("unknown_key", unknown);
        context.flagged("unwritable", unwritable);
    }

    fn tick(&mut self, context: &mut StepContext) {
        match &self.source {
            Source::Table(table) => table.look(context),
            Source::Database(database, _) => database.look(context),
        }
    }
}

/// Leaves the key of an event in `key`; false if it has none.
fn read_key(event: &EventMut<'_>, field: &Path, ignore_case: bool, key: &mut Vec<u8>) -> bool {
    key.clear();
    match event.as_ref().get(field) {
        None | Some(Value::Null) => return false,
        Some(value) => value.write_text(key),
    }
    if ignore_case {
        key.make_ascii_lowercase();
    }
    true
}

impl Outputs {
    /// Writes a row, or the defaults where there is nothing; returns whether nothing was in the way.
    fn write(&self, event: &mut EventMut<'_>, row: Option<&Cells>) -> bool {
        let mut written = true;
        for (at, (target, default)) in self.targets.iter().zip(&self.defaults).enumerate() {
            let cell = row.and_then(|row| row[at].as_deref()).or(default.as_deref());
            if let Some(json) = cell {
                written &= event.set(target, NewValue::Json(json));
            }
        }
        written
    }
}

#[cfg(test)]
mod tests;
