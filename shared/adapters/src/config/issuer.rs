//! Who issues tokens, and for whom.

use domain::rules::token::{AccessTokenBinding, Issuer};

use super::variables::{ConfigError, Variables};

/// Reads `ISSUER`, `AUDIENCE`, `CLIENT_ID` and `ACCESS_TOKEN_BINDING`.
pub(super) fn read(variables: &Variables) -> Result<Issuer, ConfigError> {
    let issuer = Issuer {
        issuer: variables.url("ISSUER", "https://auth.example.com"),
        audience: variables.text("AUDIENCE").unwrap_or("latchkey").to_owned(),
        client_id: variables.text("CLIENT_ID").unwrap_or("latchkey-app").to_owned(),
        binding: variables.parsed("ACCESS_TOKEN_BINDING", str::parse::<AccessTokenBinding>)?.unwrap_or_default(),
    };
    if issuer.audience == issuer.issuer {
        return Err(ConfigError::new("AUDIENCE", "must not be ISSUER, which is the audience of refresh tokens"));
    }
    Ok(issuer)
}
