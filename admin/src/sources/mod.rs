//! The files that users are imported from. Each record becomes a line of ours, and a name that it has in its system.

mod cognito;
mod firebase;
mod lines;
mod older;
mod record;
mod supabase;
mod table;
pub mod when;

use std::path::Path;

use clap::ValueEnum;
use domain::values::time::Timestamp;

use self::record::Each;
pub use self::record::{Enough, Record};
use self::table::Columns;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON lines, as `latchkey export` writes them
    Lines,
    /// The JSON file of `firebase auth:export`
    Firebase,
    /// CSV with the header of a Cognito user pool
    Cognito,
    /// CSV of Supabase's table auth.users
    Supabase,
    /// CSV of the system that Latchkey replaced
    Older,
}

impl Format {
    /// As it is given on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Reads a file record by record, however large it is.
///
/// # Errors
/// If the file is none of the format, or can't be read any further.
pub fn read(format: Format, path: &Path, now: Timestamp, each: Each<'_>) -> Result<(), String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let file = std::io::BufReader::new(file);
    match format {
        Format::Lines => lines::read(file, each),
        Format::Firebase => firebase::read(file, each),
        Format::Cognito => table::read(file, each, Columns { needed: cognito::NEEDED, record: cognito::record }),
        Format::Supabase => {
            let record = |row: &_| supabase::record(row, now);
            table::read(file, each, Columns { needed: supabase::NEEDED, record })
        }
        Format::Older => table::read(file, each, Columns { needed: older::NEEDED, record: older::record }),
    }
}
