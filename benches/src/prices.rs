//! AWS list prices from `benches/prices.json`, and the cost of requests at these prices.

use serde::Deserialize;

use crate::failure::Failure;
use crate::usage::Counts;

/// The file names the source and the date of each price.
#[derive(Deserialize)]
pub struct Prices {
    /// A function's memory: Lambda bills time multiplied by memory.
    pub memory_gb: f64,
    lambda_request: Price,
    lambda_gb_second: Price,
    dynamodb_read_unit: Price,
    dynamodb_write_unit: Price,
    api_gateway_request: Price,
    log_gb: Price,
    secret_month: Price,
    secret_call: Price,
}

#[derive(Deserialize)]
struct Price {
    usd: f64,
    as_of: String,
}

/// US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    pub api_gateway: f64,
    pub lambda: f64,
    pub dynamodb: f64,
    pub logs: f64,
}

impl Prices {
    pub fn read() -> Result<Self, Failure> {
        Ok(serde_json::from_str(include_str!("../prices.json"))?)
    }

    /// The cost of this many warm requests. An authorizer is not routed: API Gateway bills the request once, and the
    /// function behind the authorizer already has it.
    pub fn cost(&self, counts: &Counts, requests: f64, is_routed: bool) -> Cost {
        let gateway = if is_routed { self.api_gateway_request.usd } else { 0.0 };
        // Billed time is rounded up to the millisecond.
        let gb_seconds = counts.milliseconds.ceil() / 1_000.0 * self.memory_gb;
        Cost {
            api_gateway: requests * gateway,
            lambda: requests * (self.lambda_request.usd + gb_seconds * self.lambda_gb_second.usd),
            dynamodb: requests
                * (counts.reads * self.dynamodb_read_unit.usd + counts.writes * self.dynamodb_write_unit.usd),
            logs: requests * counts.log_bytes / 1e9 * self.log_gb.usd,
        }
    }

    /// The cost of one more millisecond in each of this many requests.
    pub fn millisecond(&self, requests: f64) -> f64 {
        requests * self.memory_gb / 1_000.0 * self.lambda_gb_second.usd
    }

    /// The monthly cost of stored secrets.
    pub fn secrets(&self, secrets: f64) -> f64 {
        secrets * self.secret_month.usd
    }

    /// The cost of calls to Secrets Manager.
    pub fn secret_calls(&self, calls: f64) -> f64 {
        calls * self.secret_call.usd
    }

    /// The dates of the oldest and the newest price.
    pub fn dates(&self) -> (&str, &str) {
        let prices = [
            &self.lambda_request,
            &self.lambda_gb_second,
            &self.dynamodb_read_unit,
            &self.dynamodb_write_unit,
            &self.api_gateway_request,
            &self.log_gb,
            &self.secret_month,
            &self.secret_call,
        ];
        let dates = prices.iter().map(|price| price.as_of.as_str());
        (dates.clone().min().unwrap_or_default(), dates.max().unwrap_or_default())
    }
}

impl Cost {
    pub fn sum(&self) -> f64 {
        self.api_gateway + self.lambda + self.dynamodb + self.logs
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            api_gateway: self.api_gateway + other.api_gateway,
            lambda: self.lambda + other.lambda,
            dynamodb: self.dynamodb + other.dynamodb,
            logs: self.logs + other.logs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Prices;
    use crate::usage::Counts;

    #[test]
    fn a_million_requests_cost_the_list_price_of_each_part() {
        let counts = Counts { milliseconds: 3.2, reads: 2.0, writes: 4.0, log_bytes: 500.0, ..Counts::default() };
        let cost = Prices::read().unwrap().cost(&counts, 1e6, true);
        let near = |left: f64, right: f64| (left - right).abs() < 1e-6;
        assert!(near(cost.api_gateway, 1.0) && near(cost.dynamodb, 0.25 + 2.5) && near(cost.logs, 0.25), "{cost:?}");
        assert!(near(cost.lambda, 0.2 + 4_000.0 * 0.25 * 0.0000133334), "{cost:?}");
        assert!(near(cost.sum(), 4.0 + cost.lambda), "{cost:?}");
    }
}
