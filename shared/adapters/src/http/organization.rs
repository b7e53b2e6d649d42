//! The organization that a request names.

use domain::rules::organization::Organization;
use domain::rules::token::Caller;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;

use super::problem::{Problem, RequestError};
use crate::config::Config;
use crate::dynamodb::{HasSettings, Store};

/// The organization of a caller's session. A request of theirs may name no other.
pub fn organization_of_caller<'a>(
    named: Option<&OrganizationId>,
    caller: &'a Caller,
) -> Result<&'a OrganizationId, Problem> {
    match named {
        Some(named) if *named != caller.organization => {
            let expected = "expected the organization that the access token was issued for, or none";
            Err(Problem::malformed([RequestError::member("organization_id", expected)]))
        }
        _ => Ok(&caller.organization),
    }
}

/// The named organization, or the default one if a request names none.
pub async fn requested_organization<T: HasSettings>(
    store: &Store<T>,
    config: &Config,
    id: Option<&OrganizationId>,
    now: Timestamp,
) -> Result<Organization, Problem> {
    let default = &config.default_organization;
    let organization = store.organization(id.unwrap_or(&default.id), default, now).await?;
    organization.ok_or_else(Problem::no_such_organization)
}
