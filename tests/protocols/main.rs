//! Models of the central protocols, sign-in, rotation and undo, which run the domain's own transitions. Their properties
//! hold for every interleaving of three clients and a crash after any step. Property tests hold the store's conditional
//! writes to the same transitions.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod guesses;
mod rotation;
mod sign_in;
mod undo;
mod writes;

use stateright::{Checker, Model};

/// Explores every state, and panics with the steps that lead to a violation.
fn explore<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + std::hash::Hash + PartialEq + Send + Sync,
    M::Action: std::fmt::Debug + std::hash::Hash + Clone + PartialEq + Send + Sync,
{
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states, {} steps between them", checker.unique_state_count(), checker.state_count());
    checker.assert_properties();
}
