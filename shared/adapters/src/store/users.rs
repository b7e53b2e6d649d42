//! Users, and the locks beside them: one item that says whose a phone is, one that says whose a username is.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::ids::UserId;
use domain::phone::PhoneNumber;
use domain::sign_in::Holder;
use domain::text::{ImageUrl, Name, OrganizationId, Source, Username};
use domain::user::{Roles, User};
use domain::{Timestamp, Unavailable};

use super::item::{Corrupt, Row, key, moment, text};
use super::{Item, Store};
use crate::config::Table;

/// Attributes of this prefix are roles: a set of organizations each, so that joining one is one `ADD`.
pub(super) const ROLE_PREFIX: &str = "role_";

pub(super) fn user_key(id: &UserId) -> Item {
    key(format!("user#{id}"))
}

pub(super) fn phone_lock_key(phone: &PhoneNumber) -> Item {
    key(format!("phone#{}", phone.e164()))
}

pub(super) fn username_lock_key(username: &Username) -> Item {
    key(format!("username#{}", username.folded()))
}

/// A lock, held by `user`.
pub(super) fn lock(mut key: Item, user: &UserId) -> Item {
    key.insert("user_id".into(), text(user.as_str()));
    key
}

/// A phone's lock, which also says when its holder proved the phone last.
pub(super) fn phone_lock(phone: &PhoneNumber, user: &UserId, proven_at: Timestamp) -> Item {
    let mut item = lock(phone_lock_key(phone), user);
    item.insert("proven_at".into(), moment(proven_at));
    item
}

/// Whose a phone is.
pub(super) fn holder(item: &Item) -> Result<Holder, Corrupt> {
    let row = Row(item);
    Ok(Holder { user: row.parsed("user_id", str::parse::<UserId>)?, proven_at: row.optional_moment("proven_at")? })
}

/// Takes the phone from a user who has not proven it for long, as a step of a transaction. All else of theirs stays.
pub(super) fn set_aside(
    table: &str,
    former: &UserId,
    phone: &PhoneNumber,
    new: &UserId,
    now: Timestamp,
) -> UpdateBuilder {
    Update::builder()
        .table_name(table)
        .set_key(Some(user_key(former)))
        .update_expression("SET set_aside_at = :now, set_aside_for = :new REMOVE phone")
        .condition_expression("phone = :phone")
        .expression_attribute_values(":phone", text(phone.e164()))
        .expression_attribute_values(":new", text(new.as_str()))
        .expression_attribute_values(":now", moment(now))
}

/// Reads a user.
pub(super) fn user(item: &Item) -> Result<User, Corrupt> {
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
        username: row.optional("username", Username::parse)?,
        name: row.optional("name", Name::parse)?,
        image_url: row.optional("image_url", ImageUrl::parse)?,
        source: row.optional("source", Source::parse)?,
        roles,
        created_at: row.moment("created_at")?,
        last_sign_in_at: row.moment("last_sign_in_at")?,
    })
}

/// Writes a user.
pub(super) fn user_item(user: &User) -> Item {
    let mut item = lock(user_key(&user.id), &user.id);
    let texts = [
        ("phone", user.phone.as_ref().map(PhoneNumber::e164)),
        ("username", user.username.as_ref().map(Username::as_str)),
        ("name", user.name.as_ref().map(Name::as_str)),
        ("image_url", user.image_url.as_ref().map(ImageUrl::as_str)),
        ("source", user.source.as_ref().map(Source::as_str)),
    ];
    item.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value?)))));
    item.insert("created_at".into(), moment(user.created_at));
    item.insert("last_sign_in_at".into(), moment(user.last_sign_in_at));
    for (role, organizations) in &user.roles {
        item.insert(format!("{ROLE_PREFIX}{role}"), organization_set(organizations));
    }
    item
}

/// Organizations, as a set attribute.
pub(super) fn organization_set<'a>(organizations: impl IntoIterator<Item = &'a OrganizationId>) -> AttributeValue {
    AttributeValue::Ss(organizations.into_iter().map(|id| id.as_str().to_owned()).collect())
}

impl Store {
    pub(super) async fn read_user(&self, id: &UserId) -> Result<Option<Item>, Unavailable> {
        self.get("read a user", Table::Users, user_key(id)).await
    }

    /// Whether there is such a user.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn user_exists(&self, id: &UserId) -> Result<bool, Unavailable> {
        Ok(self.read_user(id).await?.is_some())
    }

    pub(super) async fn find_user(&self, id: &UserId) -> Result<Option<User>, Unavailable> {
        let item = self.read_user(id).await?;
        Ok(item.as_ref().map(user).transpose()?)
    }

    pub(super) async fn find_holder(&self, phone: &PhoneNumber) -> Result<Option<Holder>, Unavailable> {
        let item = self.get("find who has a phone", Table::Users, phone_lock_key(phone)).await?;
        Ok(item.as_ref().map(holder).transpose()?)
    }
}
