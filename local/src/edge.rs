//! The edge, as CloudFront is in the cloud: it shows its secret to the API and says from where a request comes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::response::Response;
use serde_json::{Value, json};

use crate::api_gateway::ApiGateway;
use crate::cloudformation::{InitialSecret, Secret};
use crate::random;
use crate::secrets_manager::store::SecretsManager;

/// The name of its secret, in the form that the template accepts.
pub const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:EdgeSecret";
/// An address of the edge itself, of a block for documents (RFC 5737).
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

struct Edge {
    gateway: Arc<ApiGateway>,
    secrets: Arc<SecretsManager>,
}

pub fn secret() -> Secret {
    Secret { name: SECRET.to_owned(), initial: InitialSecret::Given(json!({"shown": random::hex(32)}).to_string()) }
}

pub fn router(gateway: Arc<ApiGateway>, secrets: Arc<SecretsManager>) -> Router {
    Router::new().fallback(answer).with_state(Arc::new(Edge { gateway, secrets }))
}

async fn answer(
    State(edge): State<Arc<Edge>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let content = edge.secrets.current(SECRET).and_then(|text| serde_json::from_str::<Value>(&text).ok());
    let shown = content.as_ref().and_then(|content| content.get("shown")?.as_str()).unwrap_or_default();
    for (name, value) in [("x-latchkey-edge", shown), ("cloudfront-viewer-address", &peer.to_string())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            request.headers_mut().insert(name, value);
        }
    }
    edge.gateway.serve(ADDRESS, request).await
}
