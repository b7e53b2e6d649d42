//! A Cognito user pool, as CSV with the header that Cognito itself uses to import users.
//! <https://docs.aws.amazon.com/cognito/latest/developerguide/cognito-user-pools-using-import-tool.html>

use super::record::{Named, Record};
use super::table::Row;
use super::when::moment;
use adapters::people::Line;

pub const NEEDED: &[&[&str]] = &[&["cognito:username", "sub"], &["phone_number"], &["phone_number_verified"]];

pub fn record(row: &Row) -> Record {
    let id = row.any(&["sub", "cognito:username"]).ok_or("cognito:username is missing")?;
    let phone_number = row.owned(&["phone_number"]).ok_or("the user has no number")?;
    if !row.is_true("phone_number_verified") {
        return Err("the number is not verified".to_owned());
    }
    let updated_at = row.get("updated_at").map(moment).transpose()?;
    Ok(Named {
        origin: format!("cognito {id}"),
        line: Line {
            phone_number: Some(phone_number),
            username: row.owned(&["preferred_username"]),
            name: row.owned(&["name"]),
            image_url: row.owned(&["picture"]),
            created_at: updated_at,
            ..Line::default()
        },
    })
}
