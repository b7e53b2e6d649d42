//! A proof of a device's key. Only what a key signed is valid, whatever key the proof contains.

#![no_main]

use adapters::device_proof::SignedProof;
use libfuzzer_sys::fuzz_target;

/// The proofs of RFC 9449 §4.1 and §7.1, which are also seeds.
const SIGNED: [&str; 2] = [include_str!("../src/token-request.proof"), include_str!("../src/resource-request.proof")];

/// ECDSA has several signatures of one text.
fn without_signature(proof: &str) -> Option<&str> {
    Some(proof.rsplit_once('.')?.0)
}

fuzz_target!(|proof: &str| {
    if SignedProof::verify(proof).is_ok() {
        let is_known = SIGNED.into_iter().any(|signed| without_signature(signed) == without_signature(proof));
        assert!(is_known, "an unsigned proof is valid");
    }
});
