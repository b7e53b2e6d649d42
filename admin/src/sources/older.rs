//! Users of the system that Latchkey replaced, as CSV: one row for each, roles as `role:organization|organization;role:organization`.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Named, Record};
use super::table::Row;
use super::when::moment;
use adapters::people::Line;

pub const NEEDED: &[&[&str]] = &[&["phone_number", "phone"]];

pub fn record(row: &Row) -> Record {
    let phone_number = row.owned(&["phone_number", "phone"]).ok_or("the user has no number")?;
    let id = row.any(&["user_id", "id"]).unwrap_or(&phone_number).to_owned();
    let at = |columns: &[&str]| row.any(columns).map(moment).transpose();
    Ok(Named {
        origin: format!("older {id}"),
        line: Line {
            phone_proven_at: at(&["phone_proven_at", "verified_at"])?,
            username: row.owned(&["username"]),
            name: row.owned(&["name"]),
            image_url: row.owned(&["image_url"]),
            source: row.owned(&["source"]),
            roles: row.get("roles").map(roles).transpose()?.unwrap_or_default(),
            created_at: at(&["created_at", "date_joined"])?,
            last_sign_in_at: at(&["last_sign_in_at", "last_login"])?,
            phone_number: Some(phone_number),
            ..Line::default()
        },
    })
}

fn roles(text: &str) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let role = |part: &str| {
        let (role, organizations) = part.split_once(':')?;
        let organizations = organizations.split('|').map(|id| id.trim().to_owned()).collect();
        Some((role.trim().to_owned(), organizations))
    };
    let parts = text.split(';').filter(|part| !part.trim().is_empty());
    let roles: Option<BTreeMap<_, _>> = parts.map(role).collect();
    roles.ok_or_else(|| "roles: expected role:organization|organization;role:organization".to_owned())
}
