//! Tables of rows with a key each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Map, Value};

/// The cells of a row, as JSON, in the order in which they are wanted; a single one where it is the
/// whole row.
pub(super) type Cells = Box<[Option<Box<[u8]>>]>;

/// How a table is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Lines of values with this byte between.
    Delimited(u8),
    Json,
}

/// What is wanted of a table.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) form: Form,
    /// The column of the key.
    pub(super) key: Option<String>,
    /// The columns; all of them as one object where there are none.
    pub(super) columns: Option<Box<[String]>>,
    pub(super) ignore_case: bool,
}

/// Rows by their key.
pub(super) struct Table {
    rows: HashMap<Box<[u8]>, Cells>,
}

impl Table {
    pub(super) fn row(&self, key: &[u8]) -> Option<&Cells> {
        self.rows.get(key)
    }

    pub(super) fn parse(bytes: Vec<u8>, wanted: &Wanted) -> Result<Table, String> {
        let mut table = Table { rows: HashMap::new() };
        match wanted.form {
            Form::Delimited(delimiter) => table.read_lines(&bytes, delimiter, wanted)?,
            Form::Json => table.read_json(&bytes, wanted)?,
        }
        Ok(table)
    }

    fn read_lines(&mut self, bytes: &[u8], delimiter: u8, wanted: &Wanted) -> Result<(), String> {
        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).trim(csv::Trim::All).from_reader(bytes);
        let names: Vec<String> =
            reader.headers().map_err(told)?.iter().map(str::to_owned).collect();
        let place = |column: &String| {
            names
                .iter()
                .position(|name| name == column)
                .ok_or_else(|| format!("it has no column `{column}`, but `{}`", names.join("`, `")))
        };
        let key = wanted.key.as_ref().map_or(Ok(0), place)?;
        let places: Option<Vec<usize>> = wanted
            .columns
            .as_ref()
            .map(|columns| columns.iter().map(place).collect())
            .transpose()?;
        let mut record = csv::StringRecord::new();
        while reader.read_record(&mut record).map_err(told)? {
            let text = |at: usize| record.get(at).filter(|text| !text.is_empty());
            let json = |at: usize| Some(Value::from(text(at)?).to_string().into_bytes().into());
            let cells: Cells = match &places {
                Some(places) => places.iter().map(|at| json(*at)).collect(),
                None => {
                    let cell =
                        |(at, name): (usize, &String)| Some((name.clone(), text(at)?.into()));
                    let row: Map<_, _> = names.iter().enumerate().filter_map(cell).collect();
                    [Some(Value::Object(row).to_string().into_bytes().into())].into()
                }
            };
            let line = record.position().map_or(0, csv::Position::line);
            self.add(text(key).unwrap_or_default(), cells, wanted)
                .map_err(|message| format!("line {line}: {message}"))?;
        }
        Ok(())
    }

    fn read_json(&mut self, bytes: &[u8], wanted: &Wanted) -> Result<(), String> {
        match serde_json::from_slice(bytes).map_err(|error| error.to_string())? {
            Value::Object(rows) => {
                if wanted.key.is_some() {
                    return Err("it is an object, whose names are the keys, so `key` has no \
                                meaning"
                        .into());
                }
                for (key, row) in rows {
                    let cells = cells(&row, wanted).map_err(|what| format!("`{key}`: {what}"))?;
                    self.add(&key, cells, wanted)?;
                }
            }
            Value::Array(rows) => {
                let column = wanted
                    .key
                    .as_ref()
                    .ok_or("it is an array, so `key` has to say by which member rows are found")?;
                for (number, row) in rows.iter().enumerate() {
                    let in_row = |what: String| format!("row {number}: {what}");
                    let key = match row.get(column) {
                        Some(Value::String(key)) => key.clone(),
                        Some(Value::Number(key)) => key.to_string(),
                        _ => return Err(in_row(format!("it has no key `{column}`"))),
                    };
                    let cells = cells(row, wanted).map_err(in_row)?;
                    self.add(&key, cells, wanted).map_err(in_row)?;
                }
            }
            _ => return Err("it is neither an object nor an array".into()),
        }
        Ok(())
    }

    fn add(&mut self, key: &str, cells: Cells, wanted: &Wanted) -> Result<(), String> {
        if key.is_empty() {
            return Err("the key is empty".into());
        }
        let mut key = key.as_bytes().to_vec();
        if wanted.ignore_case {
            key.make_ascii_lowercase();
        }
        match self.rows.entry(key.into()) {
            Entry::Occupied(there) => {
                Err(format!("the key `{}` came before", String::from_utf8_lossy(there.key())))
            }
            Entry::Vacant(place) => {
                place.insert(cells);
                Ok(())
            }
        }
    }
}

fn cells(row: &Value, wanted: &Wanted) -> Result<Cells, String> {
    let json = |value: &Value| Some(value.to_string().into_bytes().into());
    match &wanted.columns {
        None => Ok([json(row)].into()),
        Some(columns) => {
            let row = row.as_object().ok_or("it is no object, so it has no columns")?;
            Ok(columns.iter().map(|column| json(row.get(column)?)).collect())
        }
    }
}

fn told(error: csv::Error) -> String {
    error.to_string()
}
