//! What executes the requests to DynamoDB: the embedded engine, or another DynamoDB.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::StatusCode;

use crate::dynamodb::embedded::Embedded;
use crate::dynamodb::other::Other;

#[derive(Clone)]
pub enum Engine {
    Embedded(Embedded),
    Other(Arc<Other>),
}

impl Engine {
    /// Executes a request, and returns the status and the body of its answer.
    pub async fn execute(&self, operation: &str, request: Bytes) -> (StatusCode, String) {
        match self {
            Self::Embedded(embedded) => embedded.execute(operation, request).await,
            Self::Other(other) => other.execute(operation, request).await,
        }
    }
}
