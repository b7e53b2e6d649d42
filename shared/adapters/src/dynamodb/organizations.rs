//! Organizations: read through a cache, since they change rarely.

use std::collections::BTreeMap;

use domain::rules::organization::{Access, BlockedNumbers, Organization};
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::{Item, text};
use super::items::audit::Change;
use super::items::blocked_numbers::{block_prefix, blocked_numbers, blocked_numbers_key, unblock_prefix};
use super::items::organization::{
    ORGANIZATION_PREFIX, access, if_organization_is, organization_item, organization_key, organization_of,
    organization_settings,
};
use super::store::{Consistency, Store};
use super::tables::HasSettings;
use super::transaction::Transaction;
use crate::config::{CheckedOrganization, OrganizationSettings};
use crate::expiring::Fetched;
use crate::telemetry::trace;

/// Seconds.
const CACHE_SECONDS: u32 = 60;
const READ: &str = "read an organization";

impl<T: HasSettings> Store<T> {
    /// An organization; none if it does not exist. The default one needs no item: `default` is then used.
    pub async fn organization(
        &self,
        id: &OrganizationId,
        default: &Organization,
        now: Timestamp,
    ) -> Result<Option<Organization>, Unavailable> {
        let fetch = || async {
            let item = self.organization_item(id).await?;
            let organization = self.organization_of_item(item.as_ref(), id, default)?;
            trace("an organization is read", &organization);
            Ok::<_, Unavailable>(Fetched { value: organization, fresh_until: now.plus(CACHE_SECONDS) })
        };
        self.organizations.get(id, now, fetch).await
    }

    /// As [`Self::organization`], with the numbers that get no codes: in one request, so that a start opens one connection.
    /// Only sends need them, so only their function has the code of a batch.
    pub async fn organization_for_sends(
        &self,
        id: &OrganizationId,
        default: &Organization,
        now: Timestamp,
    ) -> Result<Option<Organization>, Unavailable> {
        let fetch = || async {
            let table = self.tables.settings();
            let (key, key_of_blocked) = (organization_key(id), blocked_numbers_key());
            let keys = vec![(table, key.clone()), (table, key_of_blocked.clone())];
            let found = self.get_all(READ, keys, Consistency::Strong).await?;
            let blocked = found.of(table).get(&key_of_blocked).map(blocked_numbers).transpose()?.unwrap_or_default();
            let organization = self.organization_of_item(found.of(table).get(&key), id, default)?;
            let organization = organization.map(|organization| Organization { blocked, ..organization });
            trace("an organization is read", &organization);
            Ok::<_, Unavailable>(Fetched { value: organization, fresh_until: now.plus(CACHE_SECONDS) })
        };
        self.organizations_for_sends.get(id, now, fetch).await
    }

    fn organization_of_item(
        &self,
        item: Option<&Item>,
        id: &OrganizationId,
        default: &Organization,
    ) -> Result<Option<Organization>, Unavailable> {
        let Some(item) = item else { return Ok((*id == default.id).then(|| default.clone())) };
        let settings = organization_settings(item, id)?;
        let (country, countries) = (default.default_country, &default.allowed_countries);
        let organization = settings.organization(country, countries, &self.numbering_plan);
        let organization = organization.map_err(|invalid| Unavailable::new(READ, invalid))?;
        self.check_audience(&organization.access)?;
        Ok(Some(organization))
    }

    /// Of an organization's settings only who may have sessions, and for whom tokens are; none if it does not exist.
    pub async fn access(
        &self,
        id: &OrganizationId,
        default: &Organization,
        now: Timestamp,
    ) -> Result<Option<Access>, Unavailable> {
        let fetch = || async {
            let access = match self.organization_item(id).await?.as_ref().map(access).transpose()? {
                Some(access) => {
                    let access = access.map_err(|invalid| Unavailable::new(READ, invalid))?;
                    self.check_audience(&access)?;
                    Some(access)
                }
                None => (*id == default.id).then(|| default.access.clone()),
            };
            Ok::<_, Unavailable>(Fetched { value: access, fresh_until: now.plus(CACHE_SECONDS) })
        };
        self.accesses.get(id, now, fetch).await
    }

    /// Refresh tokens have the issuer as their audience, so no access token may have it.
    fn check_audience(&self, access: &Access) -> Result<(), Unavailable> {
        match &access.audience {
            Some(audience) if **audience == *self.issuer => {
                Err(Unavailable::new(READ, "the organization's audience is the issuer"))
            }
            _ => Ok(()),
        }
    }

    /// The numbers that get no codes.
    pub async fn blocked_numbers(&self) -> Result<BlockedNumbers, Unavailable> {
        let item = self.get("read the blocked numbers", self.tables.settings(), blocked_numbers_key()).await?;
        Ok(item.as_ref().map(blocked_numbers).transpose()?.unwrap_or_default())
    }

    /// Blocks the numbers that begin so. Functions know it within a minute. Returns false if there are too many already.
    pub async fn block_numbers(&self, prefix: &str, change: &Change) -> Result<bool, Unavailable> {
        let build = || {
            let added = block_prefix(prefix);
            Transaction::new("block numbers").update((), self.tables.settings(), blocked_numbers_key(), added)
        };
        Ok(self.transact_recorded(change, build).await?.is_done())
    }

    /// Takes a block back. Returns false if there is none.
    pub async fn unblock_numbers(&self, prefix: &str, change: &Change) -> Result<bool, Unavailable> {
        let build = || {
            let removed = unblock_prefix(prefix);
            Transaction::new("unblock numbers").update((), self.tables.settings(), blocked_numbers_key(), removed)
        };
        Ok(self.transact_recorded(change, build).await?.is_done())
    }

    async fn organization_item(&self, id: &OrganizationId) -> Result<Option<Item>, Unavailable> {
        self.get(READ, self.tables.settings(), organization_key(id)).await
    }

    /// The settings of an organization as somebody wrote them; none if there are none.
    pub async fn organization_settings(
        &self,
        id: &OrganizationId,
    ) -> Result<Option<OrganizationSettings>, Unavailable> {
        let item = self.organization_item(id).await?;
        Ok(item.as_ref().map(|item| organization_settings(item, id)).transpose()?)
    }

    /// The settings of all organizations that have some, by their ids. Reads the whole table.
    pub async fn all_organizations(&self) -> Result<BTreeMap<String, OrganizationSettings>, Unavailable> {
        let (mut found, mut from) = (BTreeMap::new(), None);
        loop {
            let request = self
                .client
                .scan()
                .table_name(self.tables.settings())
                .filter_expression("begins_with(pk, :prefix)")
                .expression_attribute_values(":prefix", text(ORGANIZATION_PREFIX))
                .set_exclusive_start_key(from);
            let page = request.send().await.map_err(|error| Unavailable::new("list the organizations", error))?;
            for item in page.items.unwrap_or_default() {
                let id = organization_of(&item)?;
                found.insert(id.as_str().to_owned(), organization_settings(&item, &id)?);
            }
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }

    /// Writes an organization, unless its settings are others than `seen` by now. Returns whether it did. The functions use
    /// it within a minute.
    pub async fn replace_organization(
        &self,
        seen: Option<&OrganizationSettings>,
        checked: &CheckedOrganization,
        change: &Change,
    ) -> Result<bool, Unavailable> {
        let id = &checked.organization.id;
        let build = || {
            let unchanged = match seen {
                Some(seen) => if_organization_is(id, seen),
                None => Expression::new().if_absent("pk"),
            };
            let item = organization_item(id, &checked.settings);
            Transaction::new("write an organization").put((), self.tables.settings(), item, unchanged)
        };
        Ok(self.transact_recorded(change, build).await?.is_done())
    }
}
