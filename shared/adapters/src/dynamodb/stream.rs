//! What Lambda passes on of a table's stream, and how a function says what to pass on again.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>

use domain::values::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who removes an item at the end of its life.
const TTL: &str = "dynamodb.amazonaws.com";

/// Records in the order of their writes. Of each, what is used.
#[derive(Deserialize)]
pub struct StreamEvent {
    #[serde(rename = "Records")]
    pub records: Vec<StreamRecord>,
}

#[derive(Deserialize)]
pub struct StreamRecord {
    /// Of this record alone, and the same in each delivery.
    #[serde(rename = "eventID")]
    pub(super) id: String,
    #[serde(rename = "eventName")]
    name: String,
    dynamodb: Change,
    #[serde(rename = "userIdentity")]
    identity: Option<Identity>,
}

#[derive(Deserialize)]
struct Change {
    /// In epoch seconds.
    #[serde(rename = "ApproximateCreationDateTime")]
    at: f64,
    #[serde(rename = "Keys")]
    keys: Map<String, Value>,
    #[serde(rename = "OldImage")]
    before: Option<Map<String, Value>>,
    #[serde(rename = "NewImage")]
    after: Option<Map<String, Value>>,
    #[serde(rename = "SequenceNumber")]
    sequence_number: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "principalId")]
    principal: String,
}

impl StreamRecord {
    /// Whether the item is new.
    pub fn is_insertion(&self) -> bool {
        self.name == "INSERT"
    }

    /// A text of the item's key; empty if it has none of that name.
    pub fn key(&self, name: &str) -> &str {
        self.dynamodb.keys.get(name).and_then(|value| value.get("S")?.as_str()).unwrap_or_default()
    }

    /// By which Lambda is told to pass the record on again.
    pub fn sequence_number(&self) -> String {
        self.dynamodb.sequence_number.clone()
    }

    pub(super) fn is_end_of_life(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.principal == TTL)
    }

    /// The item before the write, in DynamoDB's JSON.
    pub(super) const fn before(&self) -> Option<&Map<String, Value>> {
        self.dynamodb.before.as_ref()
    }

    /// The item after the write.
    pub(super) const fn after(&self) -> Option<&Map<String, Value>> {
        self.dynamodb.after.as_ref()
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_seconds(self.dynamodb.at as i64)
    }
}

/// The records that failed, by their sequence numbers. Lambda passes on all records from the first of them.
#[derive(Default, Serialize)]
pub struct BatchResponse {
    #[serde(rename = "batchItemFailures")]
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    #[serde(rename = "itemIdentifier")]
    sequence_number: String,
}

impl FromIterator<String> for BatchResponse {
    fn from_iter<I: IntoIterator<Item = String>>(sequence_numbers: I) -> Self {
        Self { failures: sequence_numbers.into_iter().map(|sequence_number| Failure { sequence_number }).collect() }
    }
}
