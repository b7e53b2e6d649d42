//! Faults on demand: what can fail and how (`fault`), one fault at one chosen request (`aim`), and the queue of faults
//! with their execution (`store`).

pub mod aim;
pub mod fault;
pub mod store;
