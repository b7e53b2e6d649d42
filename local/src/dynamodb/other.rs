//! A DynamoDB that somebody else runs. Emulators keep the tables of each account apart, and take the account from the access
//! key, so a system has an account of its own there.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::cloudformation::{REGION, Table};
use crate::random;

/// The operations on streams are of an API of their own.
const OF_STREAMS: [&str; 4] = ["DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"];

pub struct Other {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    authorization: String,
}

impl Other {
    /// Creates the tables in a new account.
    pub async fn open(address: SocketAddr, tables: &[Table]) -> Result<Self, String> {
        let scope = format!("{}/20260101/{REGION}/dynamodb/aws4_request", random::account());
        // Emulators read the scope and check no signature.
        let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let other = Self { client: Client::builder(TokioExecutor::new()).build_http(), address, authorization };
        for table in tables {
            other.create(table).await.map_err(|reason| format!("table {}: {reason}", table.name))?;
        }
        Ok(other)
    }

    pub async fn execute(&self, operation: &str, request: Bytes) -> (StatusCode, String) {
        self.send(operation, request).await.unwrap_or_else(|reason| {
            let body = json!({ "__type": "InternalServerError", "message": reason });
            (StatusCode::INTERNAL_SERVER_ERROR, body.to_string())
        })
    }

    async fn create(&self, table: &Table) -> Result<(), String> {
        self.change("CreateTable", &table.create).await?;
        let Some(attribute) = &table.ttl_attribute else { return Ok(()) };
        let expiry = json!({ "AttributeName": attribute, "Enabled": true });
        let request = json!({ "TableName": table.name, "TimeToLiveSpecification": expiry });
        self.change("UpdateTimeToLive", &request).await
    }

    async fn change(&self, operation: &str, request: &Value) -> Result<(), String> {
        let (status, answer) = self.send(operation, request.to_string().into()).await?;
        if status.is_success() { Ok(()) } else { Err(answer) }
    }

    async fn send(&self, operation: &str, request: Bytes) -> Result<(StatusCode, String), String> {
        let api = if OF_STREAMS.contains(&operation) { "DynamoDBStreams_20120810" } else { "DynamoDB_20120810" };
        let request = Request::post(format!("http://{}/", self.address))
            .header("authorization", &self.authorization)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("{api}.{operation}"))
            .body(Full::new(request))
            .map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| format!("{}: {error}", self.address))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }
}
