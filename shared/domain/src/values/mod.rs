//! Values: parsed once, then carried by their type. They import nothing but other values.

pub mod country;
pub mod custom_claims;
pub mod gateway;
pub mod ids;
pub mod key_thumbprint;
pub mod language;
pub mod numbering_plan;
pub mod otp_code;
pub mod phone;
pub mod purpose;
pub mod source_address;
pub mod text;
pub mod time;
pub mod unavailable;
