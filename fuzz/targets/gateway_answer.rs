//! An SMS gateway's answer: the gateway's letter, a status in two bytes, a body (for SNS: an error's code and its message,
//! one line each). Only a 2xx status may mean success, and the logged reason is short.

#![no_main]

use adapters::sms::read_response;
use domain::values::gateway::Gateway;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|answer: &[u8]| -> Corpus {
    let [letter, high, low, body @ ..] = answer else { return Corpus::Reject };
    let gateway = match letter {
        b'S' => Gateway::Sparrow,
        b'T' => Gateway::Twilio,
        b'A' => Gateway::Sns,
        _ => return Corpus::Reject,
    };
    let status = u16::from_be_bytes([*high, *low]);
    let (kind, why) = read_response(gateway, status, body);
    assert!(kind != "accepted" || (200..300).contains(&status), "accepted with status {status}");
    assert!(gateway == Gateway::Sns || why.len() <= 60, "the reason is too long to log: {why}");
    Corpus::Keep
});
