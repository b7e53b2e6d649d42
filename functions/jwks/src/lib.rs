//! `GET /.well-known/jwks.json` and `GET /.well-known/openid-configuration`: what anyone needs to check our tokens.

use adapters::config::{ConfigError, Table};
use adapters::http::{Answer, Request, serve};
use adapters::problem::{Code, Problem};
use adapters::store::Store;
use adapters::tokens::jwks_json;
use adapters::{App, warm};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::signing_keys::KEY_SET_CACHE_SECONDS;
use serde_json::json;

/// The function.
#[derive(Clone)]
pub struct Jwks {
    app: App,
    store: Store,
}

impl Jwks {
    /// Wires it.
    ///
    /// # Errors
    /// When a variable that it needs is not set.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), store: Store::new(app, &[Table::Settings])? })
    }

    /// Opens a connection.
    pub async fn warm(&self) {
        warm::ahead(self.store.key_set()).await;
    }

    /// Serves one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("jwks", &event, |request| self.answer(request)).await
    }

    async fn answer(&self, request: Request<'_>) -> Result<Answer, Problem> {
        let body = match request.route() {
            ("GET", "/.well-known/jwks.json") => jwks_json(&self.store.key_set().await?, self.app.clock.now()),
            ("GET", "/.well-known/openid-configuration") => {
                let issuer = &self.app.config.issuer.issuer;
                json!({
                    "issuer": issuer,
                    "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
                    "response_types_supported": [],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                    "token_endpoint_auth_methods_supported": ["none"],
                })
            }
            _ => return Err(Problem::new(Code::NotFound)),
        };
        Ok(Answer::json(200, &body).with_header("cache-control", &format!("public, max-age={KEY_SET_CACHE_SECONDS}")))
    }
}
