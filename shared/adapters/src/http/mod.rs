//! The HTTP edge: an API Gateway event (payload 2.0) in, a response out, one line in the log between.

mod answer;
mod code;
mod credentials;
mod edge;
mod guard;
mod members;
mod organization;
mod problem;
mod profile;
mod request;
mod routes;
mod serve;
mod words;

pub use self::answer::Answer;
pub use self::code::Code;
pub use self::credentials::Credentials;
pub use self::edge::Edge;
pub use self::guard::{Authorized, Guard, REFUSAL, RefreshTokenError, refusal_members};
pub use self::members::{Members, RawPhoneNumber, challenge_id, otp};
pub use self::organization::{organization_of_caller, requested_organization};
pub use self::problem::{Problem, RequestError};
pub use self::profile::user_json;
pub use self::request::Request;
pub use self::routes::{Route, RouteGuard};
pub use self::serve::serve;
pub use self::words::{Tongue, Words};
