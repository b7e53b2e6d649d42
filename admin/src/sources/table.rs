//! CSV with a header.

use std::collections::BTreeMap;
use std::io::Read;

use super::record::{Each, Record};

/// The cells of a row by their columns, without those that are empty.
pub struct Row(BTreeMap<String, String>);

impl Row {
    pub fn get(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }

    /// The first of the columns that has a value.
    pub fn any(&self, columns: &[&str]) -> Option<&str> {
        columns.iter().find_map(|column| self.get(column))
    }

    pub fn owned(&self, columns: &[&str]) -> Option<String> {
        self.any(columns).map(str::to_owned)
    }

    pub fn is_true(&self, column: &str) -> bool {
        self.get(column).is_some_and(|value| ["true", "t", "1", "yes"].contains(&value.to_lowercase().as_str()))
    }
}

pub fn read(file: impl Read, each: Each<'_>, record: impl Fn(&Row) -> Record) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    for cells in reader.records() {
        let cells = match cells {
            Ok(cells) => cells,
            Err(error) if error.is_io_error() => return Err(error.to_string()),
            Err(_) => {
                if each(Err("not a row of CSV in UTF-8".to_owned())).is_err() {
                    break;
                }
                continue;
            }
        };
        let named = header.iter().zip(cells.iter()).filter(|(_, cell)| !cell.is_empty());
        let row = Row(named.map(|(column, cell)| (column.to_owned(), cell.to_owned())).collect());
        if each(record(&row)).is_err() {
            break;
        }
    }
    Ok(())
}
