//! What every kind of file gives: records, one after the other.

use adapters::people::Line;

/// A record: a line and its name, or why it can't be imported.
pub type Record = Result<Named, String>;

pub struct Named {
    pub line: Line,
    /// Unique in the file, and the same at each export.
    pub origin: String,
}

/// Whoever reads wants no more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enough;

pub type Each<'a> = &'a mut dyn FnMut(Record) -> Result<(), Enough>;
