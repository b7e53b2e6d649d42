//! A request of a function to DynamoDB, as it is recorded.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dynamodb::capacity::Units;

/// One request that reached DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamodbRequest {
    /// For example `TransactWriteItems`.
    pub operation: String,
    /// The tables it names, sorted, without duplicates.
    pub tables: Vec<String>,
    pub body: Value,
    /// What it consumed so far: zero if a fault kept it from the engine.
    pub units: Units,
    pub began: Instant,
    /// `None` until it is answered.
    pub ended: Option<Instant>,
}

impl DynamodbRequest {
    /// From the request to its answer; zero until it is answered.
    pub fn took(&self) -> Duration {
        self.ended.unwrap_or(self.began).duration_since(self.began)
    }
}
