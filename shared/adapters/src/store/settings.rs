//! Settings: organizations and public keys, which change seldom and are kept in the process for a while.

use std::collections::BTreeMap;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::ids::KeyId;
use domain::limits::Limits;
use domain::organization::Organization;
use domain::signing_keys::{KeySet, PublicKey};
use domain::text::OrganizationId;
use domain::{Timestamp, Unavailable};
use tokio::sync::Mutex;

use super::item::{Corrupt, Row, key, moment, number, text};
use super::{Item, Store};
use crate::config::Table;
use crate::organization::{CheckedOrganization, OrganizationSettings, TestNumberSettings};
use crate::telemetry::trace;

/// For how long an organization that was read is used without asking again. Seconds.
const CACHE_SECONDS: u32 = 60;
/// The most organizations that are kept, absent ones too: names come from strangers.
const CACHED: usize = 256;
/// How often a key is published again because another was published meanwhile.
const PUBLICATIONS: usize = 5;

/// Organizations that were read, and when.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<BTreeMap<OrganizationId, (Timestamp, Option<Organization>)>>);

impl Store {
    /// An organization. The default one needs no item: its settings are then the defaults. `None` if there is no such.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn organization(
        &self,
        id: &OrganizationId,
        default: &Organization,
        now: Timestamp,
    ) -> Result<Option<Organization>, Unavailable> {
        let cached = self.settings.0.lock().await.get(id).cloned();
        if let Some((read_at, organization)) = cached
            && now < read_at.plus(CACHE_SECONDS)
        {
            return Ok(organization);
        }
        let item = self.get("read an organization", Table::Settings, organization_key(id)).await?;
        let organization = match item {
            Some(item) => Some(organization(&item, id, default)?),
            None => (*id == default.id).then(|| default.clone()),
        };
        trace("an organization is read", &organization);
        let mut cache = self.settings.0.lock().await;
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(id.clone(), (now, organization.clone()));
        Ok(organization)
    }

    /// Writes an organization, in place of what there was under its name. The functions see it within a minute.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn put_organization(&self, checked: &CheckedOrganization) -> Result<(), Unavailable> {
        let item = organization_item(&checked.organization.id, &checked.settings);
        let request = self.client.put_item().table_name(self.table(Table::Settings)).set_item(Some(item));
        request.send().await.map(|_| ()).map_err(|error| Unavailable::new("write an organization", error))
    }

    /// The published keys; none before the first rotation.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn key_set(&self) -> Result<KeySet, Unavailable> {
        let item = self.get("read the public keys", Table::Settings, key("keys")).await?;
        Ok(item.as_ref().map(key_set).transpose()?.unwrap_or_default())
    }

    /// Publishes a key as the newest.
    ///
    /// # Errors
    /// When the store is out of reach.
    pub async fn publish_key(&self, public: &PublicKey, now: Timestamp, limits: &Limits) -> Result<(), Unavailable> {
        for _ in 0..PUBLICATIONS {
            let before = self.key_set().await?;
            let after = before.publish(public.clone(), now, limits);
            if after == before {
                return Ok(());
            }
            let request = self
                .client
                .put_item()
                .table_name(self.table(Table::Settings))
                .set_item(Some(key_set_item(&after)))
                .condition_expression("attribute_not_exists(pk) OR revision = :before")
                .expression_attribute_values(":before", number(before.revision));
            match request.send().await {
                Ok(_) => return Ok(()),
                Err(error)
                    if error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) => {}
                Err(error) => return Err(Unavailable::new("publish a key", error)),
            }
        }
        Err(Unavailable::new("publish a key", "others were in the way each time"))
    }
}

fn organization_key(id: &OrganizationId) -> Item {
    key(format!("organization#{}", id.as_str()))
}

/// Reads an organization by the same checks that it was written by.
fn organization(item: &Item, id: &OrganizationId, default: &Organization) -> Result<Organization, Unavailable> {
    let settings = settings(item, id)?.organization(default.default_country, &default.allowed_countries);
    settings.map_err(|invalid| Unavailable::new("read an organization", invalid))
}

fn settings(item: &Item, id: &OrganizationId) -> Result<OrganizationSettings, Corrupt> {
    let row = Row(item);
    let optional = |name| Ok::<_, Corrupt>(row.optional_text(name)?.map(str::to_owned));
    let list = |name| Ok::<_, Corrupt>(row.optional_text(name)?.map(split));
    Ok(OrganizationSettings {
        id: id.as_str().to_owned(),
        app_name: row.text("app_name")?.to_owned(),
        site: optional("site")?,
        android_app_hash: optional("android_app_hash")?,
        web_domain: optional("web_domain")?,
        languages: list("languages")?,
        default_region: optional("default_region")?,
        allowed_countries: list("allowed_countries")?,
        test_numbers: match item.get("test_numbers") {
            None => Vec::new(),
            Some(AttributeValue::L(numbers)) => numbers.iter().map(test_number).collect::<Result<_, _>>()?,
            Some(_) => return Err(Corrupt::new("test_numbers")),
        },
    })
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(|part| part.trim().to_owned()).collect()
}

fn test_number(value: &AttributeValue) -> Result<TestNumberSettings, Corrupt> {
    let row = Row(value.as_m().map_err(|_| Corrupt::new("test_numbers"))?);
    let member = |name| row.text(name).map(str::to_owned);
    Ok(TestNumberSettings { phone_number: member("phone_number")?, code: member("code")?, until: member("until")? })
}

fn organization_item(id: &OrganizationId, settings: &OrganizationSettings) -> Item {
    let mut item = organization_key(id);
    let members = [
        ("app_name", Some(settings.app_name.clone())),
        ("site", settings.site.clone()),
        ("android_app_hash", settings.android_app_hash.clone()),
        ("web_domain", settings.web_domain.clone()),
        ("languages", settings.languages.as_ref().map(|tags| tags.join(","))),
        ("default_region", settings.default_region.clone()),
        ("allowed_countries", settings.allowed_countries.as_ref().map(|codes| codes.join(","))),
    ];
    item.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value?)))));
    if !settings.test_numbers.is_empty() {
        let number = |number: &TestNumberSettings| {
            let members = [("phone_number", &number.phone_number), ("code", &number.code), ("until", &number.until)];
            AttributeValue::M(members.map(|(name, value)| (name.to_owned(), text(value))).into())
        };
        item.insert("test_numbers".into(), AttributeValue::L(settings.test_numbers.iter().map(number).collect()));
    }
    item
}

fn key_set(item: &Item) -> Result<KeySet, Corrupt> {
    let mut keys = Vec::new();
    if let Some(AttributeValue::L(list)) = item.get("keys") {
        for value in list {
            if let AttributeValue::M(member) = value {
                keys.push(public_key(member)?);
            }
        }
    }
    Ok(KeySet { keys, revision: Row(item).number("revision")? })
}

fn public_key(member: &HashMap<String, AttributeValue>) -> Result<PublicKey, Corrupt> {
    let row = Row(member);
    Ok(PublicKey {
        id: row.parsed("kid", str::parse::<KeyId>)?,
        x: row.text("x")?.to_owned(),
        y: row.text("y")?.to_owned(),
        retires_at: row.optional_moment("retires_at")?,
    })
}

fn key_set_item(keys: &KeySet) -> Item {
    let member = |public: &PublicKey| {
        let mut member = Item::from([
            ("kid".into(), text(public.id.as_str())),
            ("x".into(), text(public.x.as_str())),
            ("y".into(), text(public.y.as_str())),
        ]);
        if let Some(retires_at) = public.retires_at {
            member.insert("retires_at".into(), moment(retires_at));
        }
        AttributeValue::M(member)
    };
    let mut item = key("keys");
    item.insert("keys".into(), AttributeValue::L(keys.keys.iter().map(member).collect()));
    item.insert("revision".into(), number(keys.revision));
    item
}
