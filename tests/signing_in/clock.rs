//! Waits by the clock of the world. The clock runs while a test runs, so the time of a call is known only as the range
//! of seconds around it.

use std::ops::RangeInclusive;

use tests::{Reply, World};

/// The first call after a wait that did not get the problem waited for.
pub struct AfterWait {
    pub reply: Reply,
    /// The second from which the problem no longer occurs, according to `retry_after`.
    pub opens_at: i64,
    /// The second or seconds of the call.
    pub called_at: RangeInclusive<i64>,
}

/// Makes a call; returns the reply and the second or seconds of the call.
pub async fn timed(world: &World, call: impl AsyncFn() -> Reply) -> (Reply, RangeInclusive<i64>) {
    let before = world.now();
    let reply = call().await;
    (reply, before..=world.now())
}

/// Waits exactly as long as the problem `code` says. Panics if one second less is enough.
pub async fn wait_out(world: &World, code: &str, call: impl AsyncFn() -> Reply) -> AfterWait {
    let opens_at = loop {
        let (refused, at) = timed(world, &call).await;
        refused.assert_problem(429, code);
        // The end of the wait is known to the second only if the call began and ended in the same second.
        if at.start() == at.end() {
            break at.start() + i64::try_from(refused.number("retry_after")).unwrap();
        }
    };
    advance_to(world, opens_at - 1);
    let (early, called_at) = timed(world, &call).await;
    if early.problem() != (429, code) {
        assert!(*called_at.end() >= opens_at, "{code} ended a second before its retry_after: {early:?}");
        return AfterWait { reply: early, opens_at, called_at };
    }
    assert_eq!(early.number("retry_after"), 1);
    advance_to(world, opens_at);
    let (reply, called_at) = timed(world, &call).await;
    assert_ne!(reply.problem(), (429, code), "{code} did not end after its retry_after");
    AfterWait { reply, opens_at, called_at }
}

/// Advances to the start of the next day, so that no hour ends in the middle of a test.
pub fn start_next_day(world: &World) {
    advance_to(world, (world.now() / 86_400 + 1) * 86_400);
}

fn advance_to(world: &World, time: i64) {
    world.advance(u64::try_from(time - world.now()).unwrap_or_default());
}
