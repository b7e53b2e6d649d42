//! Waits by the clock of the world.

use tests::{Reply, World};

/// The first call after a wait that did not get the problem waited for.
pub struct AfterWait {
    pub reply: Reply,
    /// The second of the call, which is the first in which the problem no longer occurs, according to `retry_after`.
    pub opens_at: i64,
}

/// Waits exactly as long as the problem `code` says. Panics if one second less is enough.
pub async fn wait_out(world: &World, code: &str, call: impl AsyncFn() -> Reply) -> AfterWait {
    let refused = call().await;
    refused.assert_problem(429, code);
    world.advance(refused.number("retry_after") - 1);
    let early = call().await;
    early.assert_problem(429, code);
    assert_eq!(early.number("retry_after"), 1);
    world.advance(1);
    let reply = call().await;
    assert_ne!(reply.problem(), (429, code), "{code} did not end after its retry_after");
    AfterWait { reply, opens_at: world.now() }
}

/// Advances to the start of the next day, so that no hour ends in the middle of a test.
pub fn start_next_day(world: &World) {
    world.advance(86_400 - world.now().unsigned_abs() % 86_400);
}
