//! The system, through its HTTP face.

mod sign_in;
