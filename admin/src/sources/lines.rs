//! JSON lines of our own.

use std::io::BufRead;

use super::record::{Each, Named, Record};
use adapters::people::Line;

pub fn read(file: impl BufRead, each: Each<'_>) -> Result<(), String> {
    for line in file.lines() {
        let text = line.map_err(|error| error.to_string())?;
        if !text.trim().is_empty() && each(record(&text)).is_err() {
            break;
        }
    }
    Ok(())
}

fn record(text: &str) -> Record {
    // The parser's error would quote the line.
    let line: Line =
        serde_json::from_str(text).map_err(|error| format!("not a user of Latchkey, at column {}", error.column()))?;
    let name = line.user_id.as_ref().or(line.phone_number.as_ref()).ok_or("user_id, phone_number: one is needed")?;
    Ok(Named { origin: format!("lines {name}"), line })
}
