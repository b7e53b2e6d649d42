//! From a phone number to tokens, and every way that it is refused.

mod sign_in;
