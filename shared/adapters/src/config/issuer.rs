//! Who issues tokens, and for whom.

use domain::rules::token::Issuer;

use super::variables::Variables;

/// Reads `ISSUER`, `AUDIENCE` and `CLIENT_ID`.
pub(super) fn read(variables: &Variables) -> Issuer {
    Issuer {
        issuer: variables.url("ISSUER", "https://auth.example.com"),
        audience: variables.text("AUDIENCE").unwrap_or("latchkey").to_owned(),
        client_id: variables.text("CLIENT_ID").unwrap_or("latchkey-app").to_owned(),
    }
}
