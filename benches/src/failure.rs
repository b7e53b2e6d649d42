//! Any failed step stops the benchmark.

pub type Failure = Box<dyn std::error::Error>;
