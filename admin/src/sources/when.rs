//! Moments, as the systems write them.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

const EXPECTED: &str = "a date: expected epoch seconds, RFC 3339, or as PostgreSQL writes it";
/// In epoch seconds, the year 5138: a larger number is one of milliseconds.
const LARGEST_SECONDS: i64 = 100_000_000_000;

/// Epoch seconds of epoch milliseconds.
pub fn of_milliseconds(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map(|milliseconds| milliseconds.div_euclid(1_000)).map_err(|_| EXPECTED.to_owned())
}

/// Epoch seconds of `1767225600`, `2026-01-01T00:00:00Z`, `2026-01-01 00:00:00.5+00`, `2026-01-01`; without a zone it is UTC.
pub fn moment(text: &str) -> Result<i64, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if number > LARGEST_SECONDS { number.div_euclid(1_000) } else { number });
    }
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00Z"));
    let (time, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, "Z"),
    };
    let zone = match zone.len() {
        3 => format!("{zone}:00"),
        _ => zone.to_owned(),
    };
    let text = format!("{day}T{time}{zone}");
    let format = if zone == "Z" { Format::DateTime } else { Format::DateTimeWithOffset };
    DateTime::from_str(&text, format).map(|at| at.secs()).map_err(|_| EXPECTED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_each_system_writes_them() {
        for text in [
            "1767268800",
            "1767268800000",
            "2026-01-01T12:00:00Z",
            "2026-01-01T12:00:00.123Z",
            "2026-01-01 12:00:00.123456+00",
            "2026-01-01 17:45:00+05:45",
            "2026-01-01 12:00:00",
        ] {
            assert_eq!(moment(text), Ok(1_767_268_800), "{text}");
        }
        assert_eq!(moment("2026-01-01"), Ok(1_767_225_600));
        assert_eq!(of_milliseconds("1767268800999"), Ok(1_767_268_800));
        for wrong in ["", "soon", "2026-13-01", "2026-01-01 25:00:00"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
