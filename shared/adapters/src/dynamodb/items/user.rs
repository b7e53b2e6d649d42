//! Users, and the locks that make a phone and a username unique: one item for each, which names its user.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::device_keys::DeviceKeys;
use domain::rules::user::{
    DelayedChange, Ending, FormerPhone, PhoneHolder, Recovery, Release, ReleaseReason, Roles, User,
};
use domain::values::custom_claims::CustomClaims;
use domain::values::ids::{SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::phone::PhoneNumber;
use domain::values::text::{ImageUrl, Name, OrganizationId, Source, Username};
use domain::values::time::Timestamp;

use super::attributes::{Corrupt, Item, Row, key, moment, number, text};
use crate::dynamodb::expression::Expression;

/// An attribute with this prefix is a role: a set of organizations, so that joining one is one `ADD`.
pub(in crate::dynamodb) const ROLE_PREFIX: &str = "role_";

/// Since when an operator keeps the user from signing in. Each sign-in of an existing user has its absence as a condition.
pub(in crate::dynamodb) const BLOCKED_AT: &str = "blocked_at";

/// When the user's deletion was last taken back. Without it, a new item is that of a new user, or of one who was imported.
pub(in crate::dynamodb) const RESTORED_AT: &str = "restored_at";

/// An attribute with this prefix is the key of a device, and its value the last sign-in with it. Users have them, and the
/// locks on their phones, so that a send sees them without reading the user.
const DEVICE_KEY_PREFIX: &str = "device_key_";

pub(in crate::dynamodb) fn user_key(id: &UserId) -> Item {
    key(format!("user#{id}"))
}

pub(in crate::dynamodb) fn phone_lock_key(phone: &PhoneNumber) -> Item {
    key(format!("phone#{}", phone.e164()))
}

pub(in crate::dynamodb) fn username_lock_key(username: &Username) -> Item {
    key(format!("username#{}", username.folded()))
}

pub(in crate::dynamodb) fn username_lock(username: &Username, user: &UserId) -> Item {
    lock(username_lock_key(username), user)
}

/// The phone's lock also says when its holder last proved the phone, and has their device keys.
pub(in crate::dynamodb) fn phone_lock(
    phone: &PhoneNumber,
    user: &UserId,
    proven_at: Timestamp,
    keys: &DeviceKeys,
) -> Item {
    let mut item = lock(phone_lock_key(phone), user);
    item.insert("proven_at".into(), moment(proven_at));
    item.extend(key_attributes(keys));
    item
}

fn key_attributes(keys: &DeviceKeys) -> impl Iterator<Item = (String, AttributeValue)> {
    keys.0.iter().map(|(key, at)| (device_key_name(key), moment(*at)))
}

pub(in crate::dynamodb) fn device_key_name(key: &KeyThumbprint) -> String {
    format!("{DEVICE_KEY_PREFIX}{}", key.as_str())
}

/// The device keys of a user's item or of the lock on their phone.
pub(in crate::dynamodb) fn device_keys(item: &Item) -> DeviceKeys {
    let of = |(name, at): (&String, &AttributeValue)| {
        let key = name.strip_prefix(DEVICE_KEY_PREFIX)?.parse().ok()?;
        Some((key, Timestamp::from_seconds(at.as_n().ok()?.parse().ok()?)))
    };
    DeviceKeys(item.iter().filter_map(of).collect())
}

/// Records the sign-in of a device.
pub(in crate::dynamodb) fn know_device(
    expression: Expression,
    key: Option<&KeyThumbprint>,
    forgotten: &[KeyThumbprint],
    now: Timestamp,
) -> Expression {
    let Some(key) = key else { return expression };
    forget_devices(expression.set(&device_key_name(key), moment(now)), forgotten)
}

pub(in crate::dynamodb) fn forget_devices(expression: Expression, keys: &[KeyThumbprint]) -> Expression {
    keys.iter().fold(expression, |expression, key| expression.remove(&device_key_name(key)))
}

fn lock(mut key: Item, user: &UserId) -> Item {
    key.insert("user_id".into(), text(user.as_str()));
    key
}

/// What is kept of a user for an undo of their deletion: all but the devices.
pub(in crate::dynamodb) fn deleted_user(mut item: Item, id: &UserId, until: Timestamp) -> Item {
    item.retain(|name, _| !name.starts_with(DEVICE_KEY_PREFIX));
    item.extend(deleted_user_key(id));
    item.insert("kept_until".into(), moment(until));
    item
}

/// A user who was deleted a short time ago. `kept_until` is the TTL attribute of the table.
pub(in crate::dynamodb) fn deleted_user_key(id: &UserId) -> Item {
    key(format!("deleted#{id}"))
}

/// Why and until when a phone's lock is kept for a user who no longer has the phone.
pub(in crate::dynamodb) fn release(lock: &Item) -> Result<Option<Release>, Corrupt> {
    let row = Row(lock);
    let Some(until) = row.optional_moment("released_until")? else { return Ok(None) };
    let reason = match row.text("release")? {
        "number_changed" => ReleaseReason::NumberChanged,
        "account_deleted" => ReleaseReason::AccountDeleted,
        _ => return Err(Corrupt::new("release")),
    };
    Ok(Some(Release { reason, until }))
}

/// Keeps a phone for the user who gives it up.
pub(in crate::dynamodb) fn release_phone(user: &UserId, release: Release) -> Expression {
    let reason = match release.reason {
        ReleaseReason::NumberChanged => "number_changed",
        ReleaseReason::AccountDeleted => "account_deleted",
    };
    if_phone_of(user)
        .set("released_until", moment(release.until))
        .set("release", text(reason))
        .set("kept_until", moment(release.until))
}

/// The condition that a phone's lock is kept for this user, until this moment.
pub(in crate::dynamodb) fn if_released(user: &UserId, until: Timestamp) -> Expression {
    if_held_by(user).if_equals("released_until", moment(until))
}

/// The condition that this user has the phone.
pub(in crate::dynamodb) fn if_phone_of(user: &UserId) -> Expression {
    if_held_by(user).if_absent("released_until")
}

pub(in crate::dynamodb) fn former_phones_value(former: &[FormerPhone]) -> Option<AttributeValue> {
    let one = |former: &FormerPhone| {
        let members = [
            ("phone", text(former.phone.e164())),
            ("proven_at", moment(former.proven_at)),
            ("changed_at", moment(former.changed_at)),
            ("changed_by", text(former.changed_by.as_str())),
            ("until", moment(former.until)),
        ];
        AttributeValue::M(members.map(|(name, value)| (name.to_owned(), value)).into())
    };
    (!former.is_empty()).then(|| AttributeValue::L(former.iter().map(one).collect()))
}

fn former_phones(row: &Row<'_>) -> Result<Vec<FormerPhone>, Corrupt> {
    const NAME: &str = "former_phones";
    let Some(value) = row.0.get(NAME) else { return Ok(Vec::new()) };
    let one = |value: &AttributeValue| {
        let row = Row(value.as_m().map_err(|_| Corrupt::new(NAME))?);
        Ok(FormerPhone {
            phone: row.parsed("phone", PhoneNumber::from_e164)?,
            proven_at: row.moment("proven_at")?,
            changed_at: row.moment("changed_at")?,
            changed_by: row.parsed("changed_by", str::parse::<SessionId>)?,
            until: row.moment("until")?,
        })
    };
    value.as_l().map_err(|_| Corrupt::new(NAME))?.iter().map(one).collect()
}

pub(in crate::dynamodb) fn delayed_change_value(change: &DelayedChange) -> AttributeValue {
    let mut members = Item::from([
        ("to".to_owned(), text(change.to.e164())),
        ("requested_at".to_owned(), moment(change.requested_at)),
        ("due_at".to_owned(), moment(change.due_at)),
        ("requested_by".to_owned(), text(change.requested_by.as_str())),
        ("device_key".to_owned(), text(change.device_key.as_str())),
        ("organization".to_owned(), text(change.organization.as_str())),
    ]);
    members.extend(change.from.as_ref().map(|phone| ("from".to_owned(), text(phone.e164()))));
    members.extend(change.ended.map(|ending| ("ended".to_owned(), text(ending.name()))));
    if let Some(Ending::Refused { at }) = change.ended {
        members.insert("refused_at".to_owned(), moment(at));
    }
    AttributeValue::M(members)
}

/// Ends a change that waits, because the number changes in another way.
pub(in crate::dynamodb) fn overtake_change(expression: Expression, seen: &User, now: Timestamp) -> Expression {
    match (&seen.delayed_change, seen.overtaken_change(now)) {
        (Some(waiting), Some(ended)) => expression
            .set("delayed_change", delayed_change_value(&ended))
            .if_equals("delayed_change", delayed_change_value(waiting)),
        (None, _) => expression.if_absent("delayed_change"),
        (Some(_), None) => expression,
    }
}

fn delayed_change(row: &Row<'_>) -> Result<Option<DelayedChange>, Corrupt> {
    const NAME: &str = "delayed_change";
    let Some(value) = row.0.get(NAME) else { return Ok(None) };
    let row = Row(value.as_m().map_err(|_| Corrupt::new(NAME))?);
    let ended = match (row.optional_text("ended")?, row.optional_moment("refused_at")?) {
        (None, _) => None,
        (Some(_), Some(at)) => Some(Ending::Refused { at }),
        (Some(_), None) => Some(Ending::Withdrawn),
    };
    Ok(Some(DelayedChange {
        from: row.optional("from", PhoneNumber::from_e164)?,
        to: row.parsed("to", PhoneNumber::from_e164)?,
        requested_at: row.moment("requested_at")?,
        due_at: row.moment("due_at")?,
        requested_by: row.parsed("requested_by", str::parse::<SessionId>)?,
        device_key: row.parsed("device_key", str::parse::<KeyThumbprint>)?,
        organization: row.parsed("organization", OrganizationId::parse)?,
        ended,
    }))
}

pub(in crate::dynamodb) fn recovery_value(recovery: &Recovery) -> AttributeValue {
    let mut members = Item::from([
        ("phone".to_owned(), text(recovery.phone.e164())),
        ("requested_at".to_owned(), moment(recovery.requested_at)),
        ("opens_at".to_owned(), moment(recovery.opens_at)),
        ("organization".to_owned(), text(recovery.organization.as_str())),
        ("sessions".to_owned(), number(recovery.sessions)),
    ]);
    members.extend(recovery.refused_at.map(|at| ("refused_at".to_owned(), moment(at))));
    AttributeValue::M(members)
}

fn recovery(row: &Row<'_>) -> Result<Option<Recovery>, Corrupt> {
    const NAME: &str = "recovery";
    let Some(value) = row.0.get(NAME) else { return Ok(None) };
    let row = Row(value.as_m().map_err(|_| Corrupt::new(NAME))?);
    Ok(Some(Recovery {
        phone: row.parsed("phone", PhoneNumber::from_e164)?,
        requested_at: row.moment("requested_at")?,
        opens_at: row.moment("opens_at")?,
        organization: row.parsed("organization", OrganizationId::parse)?,
        sessions: row.number("sessions")?,
        refused_at: row.optional_moment("refused_at")?,
    }))
}

/// The user whom a phone's lock names, and when they last proved the phone, if that was recorded.
pub(in crate::dynamodb) fn phone_holder(lock: &Item) -> Result<(UserId, Option<Timestamp>), Corrupt> {
    let row = Row(lock);
    Ok((row.parsed("user_id", str::parse::<UserId>)?, row.optional_moment("proven_at")?))
}

/// The condition that a lock is held by this user.
pub(in crate::dynamodb) fn if_held_by(user: &UserId) -> Expression {
    Expression::new().if_equals("user_id", text(user.as_str()))
}

/// The condition that a phone is still held by a user who has not proven it again, or still kept for one.
pub(in crate::dynamodb) fn if_still_held_by(holder: &PhoneHolder) -> Expression {
    let seen = moment(holder.proven_at);
    match holder.release {
        Some(release) => if_released(&holder.user, release.until),
        None => if_phone_of(&holder.user).if_any(|on| [on.absent("proven_at"), on.equals("proven_at", seen)]),
    }
}

/// The condition that a lock is free or held by this user.
pub(in crate::dynamodb) fn if_free_or_held_by(user: &UserId) -> Expression {
    Expression::new().if_any(|on| [on.absent("pk"), on.equals("user_id", text(user.as_str()))])
}

/// The condition that this user may take a username: nobody has it, or they have it, or it was kept for a former owner
/// until now at the latest.
pub(in crate::dynamodb) fn if_available_to(user: &UserId, now: Timestamp) -> Expression {
    Expression::new().if_any(|on| {
        let is_free = on.absent("pk");
        [is_free, on.equals("user_id", text(user.as_str())), on.at_most("kept_until", moment(now))]
    })
}

/// Turns the lock on a username that its user gives up into one that only keeps it for them. `kept_until` is the TTL
/// attribute of the table.
pub(in crate::dynamodb) fn keep_username(user: &UserId, until: Timestamp) -> Expression {
    if_held_by(user).set("kept_until", moment(until))
}

/// Takes the phone from a user who has not proven it for long. The rest of their account is unchanged.
pub(in crate::dynamodb) fn lose_phone(phone: &PhoneNumber, new_holder: &UserId, now: Timestamp) -> Expression {
    Expression::new()
        .set("phone_lost_at", moment(now))
        .set("phone_lost_to", text(new_holder.as_str()))
        .remove_all(&["phone", "phone_proven_at"])
        .if_equals("phone", text(phone.e164()))
}

pub(in crate::dynamodb) fn user(item: &Item) -> Result<User, Corrupt> {
    let row = Row(item);
    let mut roles = Roles::new();
    for (name, value) in item {
        if let Some(role) = name.strip_prefix(ROLE_PREFIX)
            && let Ok(organizations) = value.as_ss()
        {
            let organizations = organizations.iter().filter_map(|id| OrganizationId::parse(id).ok());
            roles.insert(role.to_owned(), organizations.collect::<BTreeSet<_>>());
        }
    }
    Ok(User {
        id: row.parsed("user_id", str::parse::<UserId>)?,
        phone: row.optional("phone", PhoneNumber::from_e164)?,
        phone_proven_at: row.optional_moment("phone_proven_at")?,
        username: row.optional("username", Username::parse)?,
        name: row.optional("name", Name::parse)?,
        image_url: row.optional("image_url", ImageUrl::parse)?,
        source: row.optional("source", Source::parse)?,
        roles,
        created_at: row.moment("created_at")?,
        last_sign_in_at: row.moment("last_sign_in_at")?,
        sign_ins: row.optional_number("sign_ins")?.unwrap_or_default(),
        has_lost_phone: item.contains_key("phone_lost_at"),
        device_keys: device_keys(item),
        former_phones: former_phones(&row)?,
        delayed_change: delayed_change(&row)?.map(Box::new),
        recovery: recovery(&row)?.map(Box::new),
        blocked_at: row.optional_moment(BLOCKED_AT)?,
        claims: row.optional_text("claims")?.map(CustomClaims::stored),
    })
}

pub(in crate::dynamodb) fn user_item(user: &User) -> Item {
    let mut item = lock(user_key(&user.id), &user.id);
    let texts = [
        ("phone", user.phone.as_ref().map(PhoneNumber::e164)),
        ("username", user.username.as_ref().map(Username::as_str)),
        ("name", user.name.as_ref().map(Name::as_str)),
        ("image_url", user.image_url.as_ref().map(ImageUrl::as_str)),
        ("source", user.source.as_ref().map(Source::as_str)),
    ];
    item.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value?)))));
    item.extend(user.phone_proven_at.map(|at| ("phone_proven_at".to_owned(), moment(at))));
    item.insert("created_at".into(), moment(user.created_at));
    item.insert("last_sign_in_at".into(), moment(user.last_sign_in_at));
    item.insert("sign_ins".into(), number(user.sign_ins));
    item.extend(key_attributes(&user.device_keys));
    item.extend(former_phones_value(&user.former_phones).map(|former| ("former_phones".to_owned(), former)));
    item.extend(user.delayed_change.as_ref().map(|it| ("delayed_change".to_owned(), delayed_change_value(it))));
    item.extend(user.recovery.as_ref().map(|it| ("recovery".to_owned(), recovery_value(it))));
    item.extend(user.blocked_at.map(|at| (BLOCKED_AT.to_owned(), moment(at))));
    item.extend(user.claims.as_ref().map(|claims| ("claims".to_owned(), text(claims.as_str()))));
    for (role, organizations) in &user.roles {
        item.insert(format!("{ROLE_PREFIX}{role}"), organization_set(organizations));
    }
    item
}

pub(in crate::dynamodb) fn organization_set<'a>(
    organizations: impl IntoIterator<Item = &'a OrganizationId>,
) -> AttributeValue {
    AttributeValue::Ss(organizations.into_iter().map(|id| id.as_str().to_owned()).collect())
}
