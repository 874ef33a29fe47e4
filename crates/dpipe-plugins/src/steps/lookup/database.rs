//! Records of a MaxMind DB, by address.

use std::net::IpAddr;
use std::sync::Arc;

use maxminddb::Reader;
use serde_json::Value;

use super::table::Cells;
use crate::bounded::Bounded;
use crate::keys::Keys;
use crate::watched::Watched;

pub(super) struct Database(Reader<Vec<u8>>);

impl Database {
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Database, String> {
        Reader::from_source(bytes).map(Database).map_err(|error| error.to_string())
    }

    /// The wanted columns of an address's record; nothing if it has none of them.
    fn cells(&self, address: &[u8], columns: Option<&[String]>) -> Option<Cells> {
        let address: IpAddr = std::str::from_utf8(address).ok()?.trim_ascii().parse().ok()?;
        let found = self.0.lookup(address.to_canonical()).ok()?;
        let record: Value = found.decode().ok()??;
        let json = |value: &Value| value.to_string().into_bytes().into();
        let cells: Cells = match columns {
            None => [Some(json(&record))].into(),
            Some(columns) => columns
                .iter()
                .map(|column| {
                    let value =
                        column.split('.').try_fold(&record, |within, key| within.get(key))?;
                    Some(json(value))
                })
                .collect(),
        };
        cells.iter().any(Option::is_some).then_some(cells)
    }
}

/// What a database has of the addresses that were asked for last: decoding a record allocates.
pub(super) struct Records {
    columns: Option<Box<[String]>>,
    keys: Keys,
    seen: Bounded<Option<Cells>>,
    seen_max: usize,
    /// The database that they are from.
    database: Arc<Database>,
}

impl Records {
    pub(super) fn new(
        columns: Option<Box<[String]>>,
        seen_max: usize,
        seed: u64,
        database: &Watched<Database>,
    ) -> Self {
        Records {
            columns,
            keys: Keys::new(seed),
            seen: Bounded::new(seen_max),
            seen_max,
            database: database.table(),
        }
    }

    /// Forgets everything if this is another database.
    pub(super) fn follow(&mut self, database: Arc<Database>) {
        if !Arc::ptr_eq(&self.database, &database) {
            self.seen = Bounded::new(self.seen_max);
            self.database = database;
        }
    }

    pub(super) fn row(&mut self, address: &[u8]) -> Option<&Cells> {
        let key = self.keys.of_text(address);
        match self.seen.get_mut(key) {
            Some(_) => self.seen.renew(key),
            None => {
                let cells = self.database.cells(address, self.columns.as_deref());
                self.seen.insert(key, cells);
            }
        }
        self.seen.get_mut(key).and_then(|cells| cells.as_ref())
    }
}
