//! The rules of Latchkey, in three layers: `values` <- `rules` <- `use_cases`. A layer imports only itself and the layers
//! before it.
//!
//! Pure: no AWS, HTTP, clock, environment or global randomness. Time and identifiers are arguments; each use case reaches
//! the outside through the port at the top of its file.

pub mod rules;
pub mod use_cases;
pub mod values;
