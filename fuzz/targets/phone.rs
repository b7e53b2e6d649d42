//! A phone number as somebody typed it. What is read is E.164, and reads again as the same number anywhere.

#![no_main]

use domain::phone::{Country, DialledNumber, PhoneNumber};
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|text: &str| -> Corpus {
    for country in ["NP", "US", "IT", "AQ"].map(|code| code.parse::<Country>().unwrap()) {
        let Ok(dialled) = DialledNumber::parse(text, country) else { continue };
        let e164 = dialled.number.e164();
        assert_eq!(PhoneNumber::from_e164(e164).as_ref(), Ok(&dialled.number));
        assert_eq!(format!("+{}{}", dialled.calling_code, dialled.national()), e164);
        for elsewhere in ["NP", "US", "IT"].map(|code| code.parse::<Country>().unwrap()) {
            assert_eq!(DialledNumber::parse(e164, elsewhere).as_ref(), Ok(&dialled), "{e164} in {elsewhere}");
        }
    }
    Corpus::Keep
});
