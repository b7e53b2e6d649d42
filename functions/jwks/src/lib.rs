//! `GET /.well-known/jwks.json` and `GET /.well-known/openid-configuration`: what others need to verify our tokens.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{SettingsTable, Store};
use adapters::http::{Answer, Code, Problem, Request, Route, serve};
use adapters::tokens::jwks_json;
use domain::rules::signing_keys::KEY_SET_CACHE_SECONDS;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde_json::json;

#[derive(Clone)]
pub struct Jwks {
    app: App,
    store: Store<SettingsTable>,
}

impl Jwks {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), store: Store::new(app)? })
    }

    /// Opens a connection before the first event.
    pub async fn prepare(&self) {
        during_init(self.store.key_set()).await;
    }

    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("jwks", event, |request| async move { self.answer(&request).await }).await
    }

    async fn answer(&self, request: &Request) -> Result<Answer, Problem> {
        let body = match request.route() {
            Some((Route::PublicKeys, _)) => jwks_json(&self.store.key_set().await?, self.app.clock.now()),
            Some((Route::Metadata, _)) => {
                let issuer = &self.app.config.issuer.issuer;
                json!({
                    "issuer": issuer,
                    "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
                    "response_types_supported": [],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["ES256"],
                    "token_endpoint_auth_methods_supported": ["none"],
                    "dpop_signing_alg_values_supported": ["ES256"],
                })
            }
            _ => return Err(Problem::new(Code::NotFound)),
        };
        Ok(Answer::json(200, &body).with_header("cache-control", &format!("public, max-age={KEY_SET_CACHE_SECONDS}")))
    }
}
