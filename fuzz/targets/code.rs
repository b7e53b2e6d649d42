//! A code as a user types it. A parsed code has six ASCII digits, and they parse to the same code.

#![no_main]

use domain::values::otp_code::OtpCode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(code) = OtpCode::parse(text) {
        let digits = code.reveal();
        assert!(digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
        assert!(OtpCode::parse(&digits).is_ok_and(|again| again.matches(&code)));
        assert!(!format!("{code:?}").contains(&digits), "Debug shows the code");
    }
});
