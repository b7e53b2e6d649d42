//! Waiting by the world's clock. It ticks on while a test runs, so a moment is known as the seconds around a call.

use std::ops::RangeInclusive;

use tests::{Reply, World};

/// A call that was answered other than "later".
pub struct Opened {
    /// What it was answered.
    pub reply: Reply,
    /// From which second on it was, as the refusals before it had said.
    pub opens: i64,
    /// The second it was made in, or one of the two.
    pub at: RangeInclusive<i64>,
}

/// Calls, and tells when that was.
pub async fn timed(world: &World, call: impl AsyncFn() -> Reply) -> (Reply, RangeInclusive<i64>) {
    let before = world.now();
    let reply = call().await;
    (reply, before..=world.now())
}

/// Waits exactly as long as the refusal `code` says to: a second less must not be enough.
pub async fn wait_out(world: &World, code: &str, call: impl AsyncFn() -> Reply) -> Opened {
    let opens = loop {
        let (refused, at) = timed(world, &call).await;
        refused.assert_problem(429, code);
        // Only a refusal that began and ended in one second says to the second when the wait ends.
        if at.start() == at.end() {
            break at.start() + i64::try_from(refused.number("retry_after")).unwrap();
        }
    };
    advance_to(world, opens - 1);
    let (early, at) = timed(world, &call).await;
    if early.problem() != (429, code) {
        assert!(*at.end() >= opens, "{code} ended a second before it said it would: {early:?}");
        return Opened { reply: early, opens, at };
    }
    assert_eq!(early.number("retry_after"), 1);
    advance_to(world, opens);
    let (reply, at) = timed(world, &call).await;
    assert_ne!(reply.problem(), (429, code), "waiting as long as told was not enough");
    Opened { reply, opens, at }
}

/// Begins the next day of the clock, so that none of its hours ends in the middle of a test.
pub fn next_day(world: &World) {
    advance_to(world, (world.now() / 86_400 + 1) * 86_400);
}

fn advance_to(world: &World, moment: i64) {
    world.advance(u64::try_from(moment - world.now()).unwrap_or_default());
}
