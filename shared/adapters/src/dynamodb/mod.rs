//! DynamoDB: each port of the domain in the file named after its use case. A verb is one conditional write, one transaction,
//! or reads that run at the same time.
//!
//! Reads are strongly consistent, except those of past days. TTL deletes late, so every condition checks the expiry itself.

mod account;
mod administration;
mod approval;
mod audit;
mod authorize;
mod bind_phone;
mod check_code;
mod contention;
mod counters;
mod deliver_notice;
mod do_due;
mod expression;
mod items;
mod open_session;
mod organizations;
mod publish;
mod refresh;
mod refuse;
mod send_otp;
mod sessions;
mod signing_keys;
mod store;
mod stream;
mod submit_firebase;
mod submit_otp;
mod tables;
mod transaction;
mod transfer;
mod undo_change;
mod validate_otp;

pub use self::administration::{Person, RoleChange, SignOut, TableState};
pub use self::items::audit::{AuditEntry, Change};
pub use self::store::Store;
pub use self::stream::{BatchResponse, StreamEvent, StreamRecord};
pub use self::tables::{
    AllTables, DeviceTables, DueTables, HasNotices, HasOtps, HasSessions, HasSettings, HasUsers, NoticeTables,
    OtpsTable, SessionTables, SettingsTable, TableSet,
};
pub use self::transfer::{Cursor, ImportOutcome, USERS_IN_BATCH, UsersPage, import_units};
