//! Organizations: the settings as a person wrote them.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::rules::organization::Access;
use domain::values::text::OrganizationId;

use super::attributes::{Corrupt, Item, Row, key, text};
use crate::config::{InvalidSettings, OrganizationSettings, TestNumberSettings};
use crate::dynamodb::expression::Expression;

pub(in crate::dynamodb) const ORGANIZATION_PREFIX: &str = "organization#";

/// The attributes of the settings.
const MEMBERS: [&str; 11] = [
    "app_name",
    "membership",
    "audience",
    "device_keys",
    "site",
    "android_app_hash",
    "web_domain",
    "languages",
    "default_region",
    "allowed_countries",
    "test_numbers",
];

pub(in crate::dynamodb) fn organization_key(id: &OrganizationId) -> Item {
    key(format!("{ORGANIZATION_PREFIX}{}", id.as_str()))
}

/// The organization whose settings an item has.
pub(in crate::dynamodb) fn organization_of(item: &Item) -> Result<OrganizationId, Corrupt> {
    let id = |pk: &str| pk.strip_prefix(ORGANIZATION_PREFIX).and_then(|id| OrganizationId::parse(id).ok()).ok_or(());
    Row(item).parsed("pk", id)
}

/// The condition that an organization has these settings.
pub(in crate::dynamodb) fn if_organization_is(id: &OrganizationId, settings: &OrganizationSettings) -> Expression {
    let item = organization_item(id, settings);
    MEMBERS.into_iter().fold(Expression::new().if_exists("pk"), |expression, member| {
        expression.if_equals_or_absent(member, item.get(member).cloned())
    })
}

pub(in crate::dynamodb) fn organization_settings(
    item: &Item,
    id: &OrganizationId,
) -> Result<OrganizationSettings, Corrupt> {
    let row = Row(item);
    let optional = |name| Ok::<_, Corrupt>(row.optional_text(name)?.map(str::to_owned));
    let list = |name| Ok::<_, Corrupt>(row.optional_text(name)?.map(split));
    Ok(OrganizationSettings {
        id: id.as_str().to_owned(),
        app_name: row.text("app_name")?.to_owned(),
        membership: optional("membership")?,
        audience: optional("audience")?,
        device_keys: optional("device_keys")?,
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

pub(in crate::dynamodb) fn access(item: &Item) -> Result<Result<Access, InvalidSettings>, Corrupt> {
    let row = Row(item);
    let [membership, audience, device_keys] =
        ["membership", "audience", "device_keys"].map(|name| row.optional_text(name));
    Ok(OrganizationSettings::access(membership?, audience?, device_keys?))
}

fn split(list: &str) -> Vec<String> {
    list.split(',').map(|part| part.trim().to_owned()).collect()
}

fn test_number(value: &AttributeValue) -> Result<TestNumberSettings, Corrupt> {
    let row = Row(value.as_m().map_err(|_| Corrupt::new("test_numbers"))?);
    let member = |name| row.text(name).map(str::to_owned);
    Ok(TestNumberSettings { phone_number: member("phone_number")?, code: member("code")?, until: member("until")? })
}

pub(in crate::dynamodb) fn organization_item(id: &OrganizationId, settings: &OrganizationSettings) -> Item {
    let mut item = organization_key(id);
    let members = [
        ("app_name", Some(settings.app_name.clone())),
        ("membership", settings.membership.clone()),
        ("audience", settings.audience.clone()),
        ("device_keys", settings.device_keys.clone()),
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
