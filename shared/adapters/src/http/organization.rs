//! The organization that a request names.

use domain::rules::organization::Organization;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;

use super::problem::{Code, Problem};
use crate::config::Config;
use crate::dynamodb::{HasSettings, Store};

/// The named organization, or the default one if a request names none.
pub async fn requested_organization<T: HasSettings>(
    store: &Store<T>,
    config: &Config,
    id: Option<&OrganizationId>,
    now: Timestamp,
) -> Result<Organization, Problem> {
    let default = &config.default_organization;
    let organization = store.organization(id.unwrap_or(&default.id), default, now).await?;
    organization.ok_or(Problem::new(Code::NoSuchOrganization))
}
