//! The organization that a request is for.

use domain::Timestamp;
use domain::organization::Organization;
use domain::text::OrganizationId;

use crate::config::Config;
use crate::http::optional_member;
use crate::problem::{Code, Problem};
use crate::store::Store;

/// The organization a request names, or the default one if it names none.
///
/// # Errors
/// `malformed_request`, `no_such_organization`, or a 503.
pub async fn requested(
    store: &Store,
    config: &Config,
    name: Option<&str>,
    now: Timestamp,
) -> Result<Organization, Problem> {
    let default = &config.default_organization;
    let id = optional_member("organization_id", name, OrganizationId::parse)?.unwrap_or_else(|| default.id.clone());
    store.organization(&id, default, now).await?.ok_or(Problem::new(Code::NoSuchOrganization))
}
