//! DynamoDB: the embedded engine, the proxy in front of it, and the rules of consumed capacity.

pub mod capacity;
pub mod engine;
pub mod proxy;
pub mod stream;
