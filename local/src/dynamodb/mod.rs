//! DynamoDB: the embedded engine or another one, the proxy in front of it, and the rules of consumed capacity.

pub mod capacity;
pub mod embedded;
pub mod engine;
pub mod other;
pub mod proxy;
pub mod request;
pub mod stream;
