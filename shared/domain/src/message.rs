//! The text that carries a code.

use std::fmt;

use crate::code::OtpCode;
use crate::organization::Organization;

/// A message with a code in it; `Debug` hides it.
#[derive(Clone)]
pub struct Message(String);

impl Message {
    /// Writes the message: `<#> `, the code, the sentence, the app's hash, as the SMS Retriever API wants it
    /// (<https://developers.google.com/identity/sms-retriever/verify>).
    pub fn compose(organization: &Organization, code: &OtpCode) -> Self {
        let mut text = String::with_capacity(140);
        if organization.android_app_hash.is_some() {
            text.push_str("<#> ");
        }
        text.push_str(&code.reveal());
        text.push_str(" is your ");
        text.push_str(&organization.app_name);
        text.push_str(" code.");
        for last_line in [&organization.site, &organization.android_app_hash].into_iter().flatten() {
            text.push('\n');
            text.push_str(last_line);
        }
        Self(text)
    }

    /// The text, for the gateway alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(…)")
    }
}
