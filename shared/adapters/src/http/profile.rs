//! A user as they see themselves.

use std::collections::BTreeMap;

use domain::rules::user::User;
use serde_json::{Value, json};

pub fn user_json(user: &User) -> Value {
    let roles: BTreeMap<&String, Vec<&str>> = user
        .roles
        .iter()
        .map(|(role, organizations)| (role, organizations.iter().map(|id| id.as_str()).collect()))
        .collect();
    json!({
        "user_id": user.id.as_str(),
        "phone_number": user.phone.as_ref().map(|phone| phone.e164()),
        "phone_verified": user.phone.is_some(),
        "username": user.username.as_ref().map(|username| username.as_str()),
        "name": user.name.as_ref().map(|name| name.as_str()),
        "image_url": user.image_url.as_ref().map(|url| url.as_str()),
        "source": user.source.as_ref().map(|source| source.as_str()),
        "roles": roles,
        "created_at": user.created_at.seconds(),
        "last_sign_in_at": user.last_sign_in_at.seconds(),
    })
}
