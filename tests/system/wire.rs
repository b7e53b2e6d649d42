//! HTTP calls that no `World` makes: to other processes, and to endpoints that are not routes of the API.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

pub type Http = Client<HttpConnector, Full<Bytes>>;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }
}

/// A client whose address is 127.0.0.`source`.
pub fn client(source: u8) -> Http {
    let mut connector = HttpConnector::new();
    connector.set_local_address(Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, source))));
    Client::builder(TokioExecutor::new()).build(connector)
}

/// # Errors
/// The reason why there is no answer.
pub async fn call(
    client: &Http,
    method: &str,
    (address, path): (SocketAddr, &str),
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Result<Answer, String> {
    let mut request = http::Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = client.request(request).await.map_err(|error| error.to_string())?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, text })
}

pub async fn post(client: &Http, address: SocketAddr, path: &str, body: &Value) -> Result<Answer, String> {
    call(client, "POST", (address, path), &[("content-type", "application/json")], body.to_string()).await
}
