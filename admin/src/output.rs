//! What a command prints: for people, or as JSON. Numbers are masked unless the operator asks for them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use domain::values::phone::PhoneNumber;
use domain::values::time::{DAY, HOUR, MINUTE, Timestamp};
use serde_json::Value;

/// Digits of a masked number that are shown at its end, and those that are hidden before them.
const SHOWN_AT_END: usize = 4;
const HIDDEN: usize = 4;
/// What stands in place of a code that is not to be shown.
pub const HIDDEN_CODE: &str = "******";
/// The gap between columns.
const GAP: &str = "  ";

/// The answer of a command. There is none if the command wrote to standard output itself: an empty text and null.
pub struct Report {
    pub text: String,
    pub json: Value,
    /// Whether the command did its work and found that something is wrong.
    pub is_bad: bool,
}

impl Report {
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, is_bad: false }
    }
}

/// How values are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    Masked,
    Revealed,
}

impl Numbers {
    pub fn show(self, phone: &PhoneNumber) -> String {
        match self {
            Self::Masked => masked(phone.e164()),
            Self::Revealed => phone.e164().to_owned(),
        }
    }
}

/// A number without the digits that tell it apart: +97798****0001.
pub fn masked(e164: &str) -> String {
    let length = e164.chars().count();
    let shown = length.saturating_sub(SHOWN_AT_END.saturating_add(HIDDEN)).max(2);
    let start: String = e164.chars().take(shown).collect();
    let end: String = e164.chars().skip(shown.saturating_add(HIDDEN).min(length)).collect();
    format!("{start}{}{end}", "*".repeat(HIDDEN))
}

/// In UTC, to the second.
pub fn time(at: Timestamp) -> String {
    let text = DateTime::from_secs(at.seconds()).fmt(Format::DateTime).unwrap_or_default();
    format!("{} UTC", text.replace('T', " ").trim_end_matches('Z'))
}

/// A duration in its largest whole unit, such as "3 days".
pub fn duration(seconds: u32) -> String {
    let units = [("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1)];
    let in_unit = |(name, length): (&str, u32)| Some((name.to_owned(), seconds.checked_div(length)?));
    let found = units.into_iter().filter_map(in_unit).find(|(_, count)| *count > 0);
    let (name, count) = found.unwrap_or(("second".to_owned(), 0));
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Text from elsewhere, such as a person's name, without what would move the cursor, begin a line or change the order of
/// what stands beside it. The joiners of scripts such as Devanagari stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    // The characters that show nothing and reorder or hide: <https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>.
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_unseen(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Lines of a name and a value, the values below each other.
pub fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in fields {
        let _ = writeln!(text, "{name:width$}{GAP}{}", printable(value));
    }
    text
}

/// Rows in aligned columns below their headings.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let headings = headings.map(str::to_uppercase);
    let rows: Vec<[Cow<'_, str>; N]> = std::iter::once(&headings).chain(rows).map(printable_cells).collect();
    let lines: Vec<&[Cow<'_, str>; N]> = rows.iter().collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut padded = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(padded, "{cell:width$}{GAP}");
        }
        let _ = writeln!(text, "{}", padded.trim_end());
    }
    text
}

fn printable_cells<const N: usize>(cells: &[String; N]) -> [Cow<'_, str>; N] {
    cells.each_ref().map(|cell| printable(cell))
}

/// A number of things, in plain words.
pub fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// Ignores errors: a closed pipe is no reason to fail.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_number_shows_its_start_and_its_last_four_digits() {
        assert_eq!(masked("+9779800000001"), "+97798****0001");
        assert_eq!(masked("+12025550123"), "+120****0123");
        assert_eq!(masked("+1234"), "+1****");
    }

    #[test]
    fn text_from_elsewhere_begins_no_line_and_moves_nothing_on_a_terminal() {
        assert_eq!(printable("सीता O'Neil क्‍ष"), "सीता O'Neil क्‍ष");
        assert_eq!(printable("a\n99 b\u{1b}[2J\u{9b}\u{202e}"), "a\\u{a}99 b\\u{1b}[2J\\u{9b}\\u{202e}");
        let cell = ["a\nb".to_owned()];
        assert_eq!(table(["name"], &[cell]), "NAME\na\\u{a}b\n");
        assert_eq!(fields(&[("name", "a\u{1b}b".to_owned())]), "name  a\\u{1b}b\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "one".to_owned()], ["bbbb".to_owned(), "two".to_owned()]];
        assert_eq!(table(["id", "name"], &rows), "ID    NAME\na     one\nbbbb  two\n");
        assert_eq!(fields(&[("id", "a".to_owned()), ("number", "b".to_owned())]), "id      a\nnumber  b\n");
    }

    #[test]
    fn times_and_durations_are_in_plain_words() {
        assert_eq!(time(Timestamp::from_seconds(1_793_000_000)), "2026-10-26 07:33:20 UTC");
        assert_eq!(duration(90), "1 minute");
        assert_eq!(duration(3 * DAY), "3 days");
        assert_eq!(duration(0), "0 seconds");
    }
}
