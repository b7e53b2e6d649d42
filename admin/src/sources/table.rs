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

/// What a file's columns mean.
pub struct Columns<F: Fn(&Row) -> Record> {
    /// Without which no row is a user, each with the names that it may have.
    pub needed: &'static [&'static [&'static str]],
    pub record: F,
}

/// # Errors
/// If the file can't be read, or is no such table.
pub fn read(file: impl Read, each: Each<'_>, columns: Columns<impl Fn(&Row) -> Record>) -> Result<(), String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file);
    let header = reader.headers().map_err(|error| error.to_string())?.clone();
    let is_absent = |names: &&&[&str]| !header.iter().any(|column| names.contains(&column));
    if let Some(names) = columns.needed.iter().find(is_absent) {
        return Err(format!("its first line, the header, has no column {}", names.join(" or ")));
    }
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
        if each((columns.record)(&row)).is_err() {
            break;
        }
    }
    Ok(())
}
