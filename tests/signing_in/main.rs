//! From a phone number to tokens, and every way that it is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod approvals;
mod bad_input;
mod clock;
mod edge;
mod firebase;
mod gateways;
mod guessing;
mod known_devices;
mod late_transactions;
mod messages;
mod metrics;
mod organizations;
mod other_sessions;
mod pumping;
mod races;
mod recovery;
mod recycled_numbers;
mod send_otp;
mod setup;
mod sign_in;
mod submit_otp;
mod test_numbers;
