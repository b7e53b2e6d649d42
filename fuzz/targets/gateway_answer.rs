//! What an SMS gateway answers: its initial, a status, an empty line, a body (for SNS: an error's code and message, a
//! line each). Only a success is taken for one, and what is logged holds no more than codes.

#![no_main]

use adapters::sms::read_answer;
use domain::gateway::Gateway;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|answer: &[u8]| -> Corpus {
    let [initial, high, low, body @ ..] = answer else { return Corpus::Reject };
    let gateway = match initial {
        b'S' => Gateway::Sparrow,
        b'T' => Gateway::Twilio,
        b'A' => Gateway::Sns,
        _ => return Corpus::Reject,
    };
    let status = u16::from_be_bytes([*high, *low]);
    let (kind, why) = read_answer(gateway, status, body);
    assert!(kind != "accepted" || (200..300).contains(&status), "{status}");
    assert!(gateway == Gateway::Sns || why.len() <= 60, "{why}");
    Corpus::Keep
});
