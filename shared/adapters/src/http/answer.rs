//! The response to a client.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderName, HeaderValue};
use serde::Serialize;

#[derive(Clone, Debug)]
pub struct Answer {
    pub(super) status: u16,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Answer {
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        // Our own types always serialize.
        let body = serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned());
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: Some(body) }
    }

    /// 204.
    pub const fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: None }
    }

    /// Sets or replaces a header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(present, _)| *present != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Forbids caching, for tokens and what belongs to the caller only.
    pub fn uncached(self) -> Self {
        self.with_header("cache-control", "no-store")
    }

    pub(super) fn into_response(self, request_id: &str) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status);
        response.body = self.body.map(Body::Text);
        for (name, value) in
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).chain([("x-request-id", request_id)])
        {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
