//! The two protocols on which everything rests, checked for every interleaving of three clients with a crash after any
//! step, on the very transitions that the domain runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod rotation;
mod sign_in;

use stateright::{Checker, Model};

/// Explores all that can happen, and panics with the steps that lead to whatever must not.
fn explore<M>(what: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + std::hash::Hash + PartialEq + Send + Sync,
    M::Action: std::fmt::Debug + std::hash::Hash + Clone + PartialEq + Send + Sync,
{
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{what}: {} states, {} steps between them", checker.unique_state_count(), checker.state_count());
    checker.assert_properties();
}
