//! What API Gateway asks the authorizer, as JSON. Nobody passes without a token that was signed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    if let Ok(event) = serde_json::from_slice(event) {
        fuzz::authorize(event);
    }
});
