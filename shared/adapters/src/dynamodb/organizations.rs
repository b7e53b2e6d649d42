//! Organizations: read through a cache, since they change rarely.

use domain::rules::organization::{Access, Organization};
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::items::attributes::Item;
use super::items::organization::{access, organization_item, organization_key, organization_settings};
use super::store::Store;
use super::tables::HasSettings;
use crate::config::CheckedOrganization;
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
            let organization = match self.organization_item(id).await? {
                Some(item) => {
                    let settings = organization_settings(&item, id)?;
                    let (country, countries) = (default.default_country, &default.allowed_countries);
                    let organization = settings.organization(country, countries, &self.numbering_plan);
                    let organization = organization.map_err(|invalid| Unavailable::new(READ, invalid))?;
                    self.check_audience(&organization.access)?;
                    Some(organization)
                }
                None => (*id == default.id).then(|| default.clone()),
            };
            trace("an organization is read", &organization);
            Ok::<_, Unavailable>(Fetched { value: organization, fresh_until: now.plus(CACHE_SECONDS) })
        };
        self.organizations.get(id, now, fetch).await
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

    async fn organization_item(&self, id: &OrganizationId) -> Result<Option<Item>, Unavailable> {
        self.get(READ, self.tables.settings(), organization_key(id)).await
    }

    /// Writes or replaces an organization. The functions use it within a minute.
    pub async fn put_organization(&self, checked: &CheckedOrganization) -> Result<(), Unavailable> {
        let item = organization_item(&checked.organization.id, &checked.settings);
        let request = self.client.put_item().table_name(self.tables.settings()).set_item(Some(item));
        request.send().await.map(drop).map_err(|error| Unavailable::new("write an organization", error))
    }
}
