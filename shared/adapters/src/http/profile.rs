//! A user as they see themselves.

use std::collections::BTreeMap;

use domain::rules::limits::Limits;
use domain::rules::user::User;
use domain::values::time::Timestamp;
use serde_json::{Value, json};

pub fn user_json(user: &User, limits: &Limits, now: Timestamp) -> Value {
    let roles: BTreeMap<&String, Vec<&str>> = user
        .roles
        .iter()
        .map(|(role, organizations)| (role, organizations.iter().map(|id| id.as_str()).collect()))
        .collect();
    let mut json = json!({
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
    });
    if let (Some(due_at), Some(members)) = (user.phone_proof_due_at(limits, now), json.as_object_mut()) {
        members.insert("phone_proof_due_at".into(), json!(due_at.seconds()));
    }
    let newest = user.former_phones.iter().max_by_key(|former| former.changed_at).filter(|former| now < former.until);
    if let (Some(former), Some(members)) = (newest, json.as_object_mut()) {
        let change = json!({"changed_at": former.changed_at.seconds(), "undo_until": former.until.seconds()});
        members.insert("phone_change".into(), change);
    }
    if let (Some(change), Some(members)) = (user.pending_change(now), json.as_object_mut()) {
        let change = json!({
            "phone_number": change.to.e164(),
            "requested_at": change.requested_at.seconds(),
            "due_at": change.due_at.seconds(),
        });
        members.insert("pending_phone_change".into(), change);
    }
    if let (Some(recovery), Some(members)) = (user.pending_recovery(limits, now), json.as_object_mut()) {
        let recovery = json!({
            "requested_at": recovery.requested_at.seconds(),
            "opens_at": recovery.opens_at.seconds(),
            "closes_at": recovery.closes_at().seconds(),
        });
        members.insert("recovery".into(), recovery);
    }
    json
}
