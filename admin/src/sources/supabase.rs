//! Supabase's table of users: `\copy (select * from auth.users) to 'users.csv' csv header`.
//! <https://supabase.com/docs/guides/auth/users>

use domain::values::time::Timestamp;
use serde_json::Value;

use super::record::{Named, Record};
use super::table::Row;
use super::when::moment;
use adapters::people::Line;

pub const NEEDED: &[&[&str]] = &[&["id"], &["phone"], &["phone_confirmed_at"]];

pub fn record(row: &Row, now: Timestamp) -> Record {
    let id = row.get("id").ok_or("id is missing")?;
    let digits = row.get("phone").ok_or("the user has no number")?;
    if row.get("deleted_at").is_some() {
        return Err("the user was deleted".to_owned());
    }
    let at = |column| row.get(column).map(moment).transpose();
    let confirmed_at = at("phone_confirmed_at")?.ok_or("the number is not confirmed")?;
    let (created_at, last_sign_in_at, banned_until) = (at("created_at")?, at("last_sign_in_at")?, at("banned_until")?);
    let json =
        |column| -> Value { row.get(column).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default() };
    let (profile, app) = (json("raw_user_meta_data"), json("raw_app_meta_data"));
    let of_profile =
        |names: &[&str]| names.iter().find_map(|name| profile.get(*name).and_then(Value::as_str)).map(str::to_owned);
    // The last sign-in proves the number only if there is no other way to sign in.
    let is_by_phone =
        app.get("providers").and_then(Value::as_array).is_some_and(|all| all.iter().all(|one| one == "phone"));
    let proven_at = last_sign_in_at.filter(|_| is_by_phone).map_or(confirmed_at, |at| at.max(confirmed_at));
    Ok(Named {
        origin: format!("supabase {id}"),
        line: Line {
            // Without +, in the table.
            phone_number: Some(format!("+{}", digits.trim_start_matches('+'))),
            phone_proven_at: Some(proven_at),
            username: of_profile(&["username", "preferred_username"]),
            name: of_profile(&["name", "full_name"]),
            image_url: of_profile(&["avatar_url", "picture"]),
            created_at,
            last_sign_in_at,
            blocked_at: banned_until.filter(|until| *until > now.seconds()).map(|_| now.seconds()),
            ..Line::default()
        },
    })
}
