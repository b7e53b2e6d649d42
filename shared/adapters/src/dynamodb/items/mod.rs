//! Items: how each kind of record is stored, and how it is read back.

pub(super) mod attributes;
pub(super) mod audit;
pub(super) mod blocked_numbers;
pub(super) mod challenge;
pub(super) mod due;
pub(super) mod failures;
pub(super) mod firebase_token;
pub(super) mod image;
pub(super) mod notice;
pub(super) mod organization;
pub(super) mod public_keys;
pub(super) mod session;
pub(super) mod user;
