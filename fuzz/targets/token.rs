//! A token, checked with a fixed key set. Only tokens that the key signed are valid, and only for their own kind.

#![no_main]

use std::sync::LazyLock;

use adapters::tokens::VerifyingKeys;
use domain::rules::signing_keys::{KeySet, PublicKey};
use domain::values::time::Timestamp;
use fuzz::{KEY, KEY_ID, TOKENS, was_signed};
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<VerifyingKeys> = LazyLock::new(|| {
    let (x, y) = (KEY.0.to_owned(), KEY.1.to_owned());
    let keys = vec![PublicKey {
        id: KEY_ID.parse().unwrap(),
        x,
        y,
        published_at: Timestamp::from_seconds(0),
        signs_from: None,
        retires_at: None,
    }];
    let keys = VerifyingKeys::new(&KeySet { keys, revision: 1 }, Timestamp::from_seconds(0));
    let [access, refresh] = TOKENS.map(str::trim_end);
    assert!(keys.access(access).is_ok() && keys.access(refresh).is_err());
    assert!(keys.refresh(refresh).is_ok() && keys.refresh(access).is_err());
    keys
});

fuzz_target!(
    // The checks in KEYS must not count as coverage of the first input.
    init: {
        LazyLock::force(&KEYS);
    },
    |token: &str| {
        let (access, refresh) = (KEYS.access(token), KEYS.refresh(token));
        assert!(access.is_err() || refresh.is_err(), "one token is valid for both kinds");
        assert!(was_signed(token) || access.is_err() && refresh.is_err(), "an unsigned token is valid");
    }
);
