//! Use cases: one async function for each thing a client can ask for, with its port and its error.

pub mod account;
pub mod approval;
pub mod authorize;
pub mod bind_phone;
pub mod check_code;
pub mod deliver_notice;
pub mod do_due;
pub mod open_session;
pub mod refresh;
pub mod refuse;
pub mod send_otp;
pub mod sessions;
pub mod submit_firebase;
pub mod submit_otp;
pub mod undo_change;
pub mod validate_otp;
