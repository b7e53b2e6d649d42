//! A phone number as a user types it. A parsed number has an E.164 form, which parses to the same number in every country.

#![no_main]

use std::sync::LazyLock;

use domain::values::country::Country;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::phone::{DialledNumber, PhoneNumber};
use libfuzzer_sys::{Corpus, fuzz_target};

static PLAN: LazyLock<NumberingPlan> = LazyLock::new(|| NumberingPlan::new("NP".parse().unwrap()));

fuzz_target!(|text: &str| -> Corpus {
    for country in ["NP", "US", "IT", "AQ"].map(|code| code.parse::<Country>().unwrap()) {
        let Ok(dialled) = DialledNumber::parse(text, country, &PLAN) else { continue };
        let e164 = dialled.number.e164();
        assert_eq!(PhoneNumber::from_e164(e164).as_ref(), Ok(&dialled.number));
        assert_eq!(format!("+{}{}", dialled.calling_code, dialled.national()), e164);
        for other in ["NP", "US", "IT"].map(|code| code.parse::<Country>().unwrap()) {
            assert_eq!(DialledNumber::parse(e164, other, &PLAN).as_ref(), Ok(&dialled), "{e164} in {other}");
        }
    }
    Corpus::Keep
});
