//! An event of API Gateway for a function, as JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|event: &[u8]| {
    if let Ok(event) = serde_json::from_slice(event) {
        fuzz::serve(event);
    }
});
