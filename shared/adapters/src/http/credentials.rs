//! What a request presents to be believed: an access token in its `Authorization` header, and a proof of a device's key in
//! its `DPoP` header (RFC 9449).

use aws_lambda_events::apigw::{ApiGatewayCustomAuthorizerRequestTypeRequest, ApiGatewayV2CustomAuthorizerV2Request};
use aws_lambda_events::http::header::{AUTHORIZATION, HOST};
use aws_lambda_events::http::{HeaderMap, Method};
use domain::rules::device_proof::{ProofRefusal, ProofTarget};
use domain::rules::token::Issuer;
use domain::use_cases::authorize::AuthorizeError;
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::time::Timestamp;

use super::routes::Route;
use crate::device_proof::{SignedProof, access_token_digest, normalized};

const PROOF: &str = "dpop";

/// The headers of a request, and where it was sent to.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// The domain that API Gateway saw, for a request without a `Host` header.
    pub(super) domain: Option<&'a str>,
    /// Whether the request is for one of our own routes.
    pub(super) is_own_route: bool,
}

/// How an access token is presented (RFC 6750 §2.1, RFC 9449 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Dpop,
}

impl<'a> Credentials<'a> {
    /// Of an authorizer's event in payload format 2.0.
    pub fn of_http_api(event: &'a ApiGatewayV2CustomAuthorizerV2Request) -> Self {
        let context = &event.request_context;
        Self {
            headers: &event.headers,
            method: context.http.method.as_str(),
            path: event.raw_path.as_deref().unwrap_or_default(),
            domain: context.domain_name.as_deref(),
            is_own_route: event.route_key.as_deref().and_then(Route::of_key).is_some(),
        }
    }

    /// Of an authorizer's event of a REST API, none of which is ours. Only its context has the path as the client sent it,
    /// with the stage or the base path.
    pub fn of_rest_api(event: &'a ApiGatewayCustomAuthorizerRequestTypeRequest) -> Self {
        // Of repeated headers, `headers` has only the last one. An event without the other member is documented too.
        let all = &event.multi_value_headers;
        Self {
            headers: if all.is_empty() { &event.headers } else { all },
            method: event.http_method.as_ref().map(Method::as_str).unwrap_or_default(),
            path: event.request_context.path.as_deref().unwrap_or_default(),
            domain: None,
            is_own_route: false,
        }
    }

    pub(super) fn access_token(&self) -> Result<(Scheme, &'a str), AuthorizeError> {
        // A backend that reads the header itself may read the other one. HTTP APIs join them by commas, which no token has.
        if self.headers.get_all(AUTHORIZATION).iter().count() > 1 {
            return Err(AuthorizeError::TokenInvalid);
        }
        let authorization = self.text(AUTHORIZATION.as_str()).unwrap_or_default().trim();
        let (scheme, token) = authorization.split_once(' ').ok_or(AuthorizeError::TokenRequired)?;
        // The scheme is case-insensitive (RFC 9110 §11.1).
        if scheme.eq_ignore_ascii_case("bearer") {
            Ok((Scheme::Bearer, token.trim()))
        } else if scheme.eq_ignore_ascii_case("dpop") {
            Ok((Scheme::Dpop, token.trim()))
        } else {
            Err(AuthorizeError::TokenRequired)
        }
    }

    /// The key that the request proves, or none if it has no proof. A proof that accompanies an access token must be made
    /// for it.
    pub fn proven_key(
        &self,
        issuer: &Issuer,
        access_token: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<KeyThumbprint>, ProofRefusal> {
        let mut proofs = self.headers.get_all(PROOF).iter();
        let Some(proof) = proofs.next() else { return Ok(None) };
        let proof = proof.to_str().map_err(|_| ProofRefusal::Malformed)?;
        // HTTP APIs join repeated headers by commas, which no proof contains.
        if proofs.next().is_some() || proof.contains(',') {
            return Err(ProofRefusal::Repeated);
        }
        let proof = SignedProof::verify(proof)?;
        let digest = access_token.map(access_token_digest);
        let target =
            ProofTarget { method: self.method, urls: &self.urls(issuer), access_token_digest: digest.as_deref() };
        proof.claims.check(&target, now)?;
        Ok(Some(proof.key))
    }

    /// The URLs by which a client may have sent the request: the one that arrived, and for our own routes the issuer's, which
    /// differs behind a proxy.
    fn urls(&self, issuer: &Issuer) -> Vec<String> {
        let host = self.text(HOST.as_str()).or(self.domain);
        let scheme = self.text("x-forwarded-proto").filter(|scheme| *scheme == "http").unwrap_or("https");
        let arrived = host.map(|host| format!("{scheme}://{host}{}", self.path));
        let issued = self.is_own_route.then(|| format!("{}{}", issuer.issuer, self.path));
        arrived.into_iter().chain(issued).filter_map(|url| normalized(&url)).collect()
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}
