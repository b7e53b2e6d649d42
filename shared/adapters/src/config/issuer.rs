//! Who issues tokens, and for whom.

use domain::rules::token::Issuer;

use super::variables::{ConfigError, Variables};

/// Reads `ISSUER`, `AUDIENCE` and `CLIENT_ID`.
pub(super) fn read(variables: &Variables) -> Result<Issuer, ConfigError> {
    let issuer = Issuer {
        issuer: variables.url("ISSUER", "https://auth.example.com"),
        audience: variables.text("AUDIENCE").unwrap_or("latchkey").to_owned(),
        client_id: variables.text("CLIENT_ID").unwrap_or("latchkey-app").to_owned(),
    };
    if issuer.audience == issuer.issuer {
        return Err(ConfigError::new("AUDIENCE", "must not be ISSUER, which is the audience of refresh tokens"));
    }
    Ok(issuer)
}
