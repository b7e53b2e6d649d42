//! What some work asks of a world's DynamoDB, and what that consumes.

use std::time::{Duration, Instant};

use crate::World;

pub use local::{DynamodbRequest, Units, item_size};

/// The delay of each answer: far longer than it takes to send two concurrent requests, and far shorter than the two
/// seconds after which the SDK retries.
const DELAY: Duration = Duration::from_millis(300);

/// What some work asked of DynamoDB.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Requests one after another; concurrent ones count as one.
    pub in_a_row: usize,
    /// All requests.
    pub requests: usize,
    pub units: Units,
}

impl World {
    /// What `work` asks of DynamoDB.
    pub async fn requests<T>(&self, work: impl Future<Output = T>) -> (Vec<DynamodbRequest>, T) {
        self.system.reset_dynamodb_requests();
        let done = work.await;
        (self.system.take_dynamodb_requests(), done)
    }

    /// How many requests `work` makes in a row.
    pub async fn requests_in_a_row<T>(&self, work: impl Future<Output = T>) -> (usize, T) {
        let (cost, done) = self.cost(work).await;
        (cost.in_a_row, done)
    }

    /// What `work` asks of DynamoDB, in figures. Each answer is delayed, so that requests that do not wait for
    /// another's answer overlap.
    pub async fn cost<T>(&self, work: impl Future<Output = T>) -> (Cost, T) {
        self.system.delay_dynamodb_answers(DELAY);
        let (requests, done) = self.requests(work).await;
        self.system.delay_dynamodb_answers(Duration::ZERO);
        (Cost::of(requests), done)
    }
}

impl Cost {
    fn of(mut requests: Vec<DynamodbRequest>) -> Self {
        requests.sort_by_key(|request| request.ended);
        let mut cost = Self { requests: requests.len(), ..Self::default() };
        let mut last: Option<Instant> = None;
        for request in requests {
            cost.units.reads += request.units.reads;
            cost.units.writes += request.units.writes;
            if last.is_none_or(|last| request.began >= last) {
                cost.in_a_row += 1;
                last = request.ended;
            }
        }
        cost
    }
}
