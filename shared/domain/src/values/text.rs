//! Short texts that people write, each checked once and then carried by its type.

use std::fmt;

use thiserror::Error;

use super::otp_code::DIGITS;

/// Why a text was refused. It never contains the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected {expected}")]
pub struct MalformedText {
    /// What a person should write instead.
    pub expected: &'static str,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, MalformedText> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) { Ok(Self(text.to_owned())) } else { Err(MalformedText { expected: $expected }) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

fn is_printable(text: &str, max_characters: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= max_characters && !text.chars().any(char::is_control)
}

fn is_identifier(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

text!(
    /// The tenant whose app a person signs in to.
    OrganizationId, "1 to 64 letters, digits, hyphens or underscores", is_identifier
);
text!(
    /// What a user may do in an organization, in the words of its backends.
    Role, "1 to 64 letters, digits, hyphens or underscores", is_identifier
);

/// Whether a text may stand beside the code in a message: one line that browsers do not mistake for `@domain #code`,
/// without anything that looks like a code.
fn fits_beside_code(text: &str, max_characters: usize) -> bool {
    let is_code = |run: &str| run.chars().count() >= DIGITS;
    is_printable(text, max_characters)
        && text.trim() == text
        && !text.starts_with('@')
        && !text.contains(['\u{2028}', '\u{2029}'])
        && !text.split(|c: char| !c.is_numeric()).any(is_code)
}

text!(
    /// An app's name in messages; at most 40 characters.
    AppName, "1 to 40 printable characters on one line, without six digits in a row and not starting with @",
    |text| fits_beside_code(text, 40)
);
text!(
    /// The line of a message that names its site; at most 60 characters.
    Site, "1 to 60 printable characters on one line, without six digits in a row and not starting with @",
    |text| fits_beside_code(text, 60)
);
text!(
    /// An Android app's hash, by which the SMS Retriever finds its messages
    /// (<https://developers.google.com/identity/sms-retriever/verify#computing_your_apps_hash_string>).
    AndroidAppHash, "11 characters of base64, such as FA+9qCX9VSu",
    |text| text.len() == 11 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
);
text!(
    /// The domain that a code is bound to on the web and on iOS (<https://wicg.github.io/sms-one-time-codes/>).
    WebDomain, "a domain name in lower case, such as example.com, without six digits in a row",
    |text| text.len() <= 253 && text.contains('.') && fits_beside_code(text, 253) && text.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
);
text!(
    /// A person's name as they write it, at most 100 characters.
    Name, "1 to 100 printable characters",
    |text| is_printable(text, 100)
);
text!(
    /// The URL of a person's picture: an http or https URL of at most 2,048 characters, ASCII as all URLs (RFC 3986 §2).
    ImageUrl, "an http or https URL of at most 2048 visible ASCII characters",
    |text| text.len() <= 2048
        && ["https://", "http://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        && text.bytes().all(|byte| byte.is_ascii_graphic())
);
text!(
    /// Where a sign-in came from, in the app's own words ("android", "web"), at most 64 characters.
    Source, "1 to 64 printable characters",
    |text| is_printable(text, 64)
);
text!(
    /// A person's name for their device, at most 100 characters.
    DeviceName, "1 to 100 printable characters",
    |text| is_printable(text, 100)
);
text!(
    /// A username: ASCII only, so that no letter of another script looks like one of these.
    Username, "3 to 30 letters, digits, dots, hyphens or underscores",
    |text| (3..=30).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
);

impl Username {
    /// The case-insensitive form, which is unique among users.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Compares without regard to case.
    pub fn is(&self, other: &str) -> bool {
        self.0.eq_ignore_ascii_case(other)
    }
}

/// A registration token of Firebase Cloud Messaging. Whoever has it can push to the device.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FcmToken(String);

impl FcmToken {
    /// Accepts 1 to 4,096 visible ASCII characters, since FCM documents no format.
    pub fn parse(text: &str) -> Result<Self, MalformedText> {
        if (1..=4096).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedText { expected: "an FCM token of 1 to 4096 visible characters" })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FcmToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FcmToken(…)")
    }
}
