//! An authorizer event of API Gateway, as JSON. The authorizer accepts only signed tokens.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    if let Ok(event) = serde_json::from_slice(event) {
        fuzz::authorize(event);
    }
});
