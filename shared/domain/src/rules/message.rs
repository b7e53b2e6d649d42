//! The message that carries a code: how each organization's reads. Every message fits one segment: what would be longer loses
//! lines, and the build checks what is left then. Who writes an organization is told if a sign-in's message would lose any.

use std::fmt;

use thiserror::Error;

use crate::values::language::{Language, Languages, MessagePurpose, NumberNotice};
use crate::values::otp_code::OtpCode;
use crate::values::text::{AndroidAppHash, AppName, Site, WebDomain};

/// Septets in one segment of the GSM 7-bit alphabet (3GPP TS 23.038 §4).
const GSM_SEPTETS: usize = 160;
/// UTF-16 units in one segment of anything else (3GPP TS 23.038 §4).
const UCS2_UNITS: usize = 70;
/// Bytes that the SMS Retriever reads (<https://developers.google.com/identity/sms-retriever/verify>). The guide names no
/// encoding; a message that fits in UTF-8 fits in each.
const RETRIEVER_BYTES: usize = 140;

/// The characters of one septet (3GPP TS 23.038 §6.2.1).
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                         abcdefghijklmnopqrstuvwxyzäöñüà";
/// The characters of two septets (3GPP TS 23.038 §6.2.1.1).
const GSM_EXTENSION: &str = "\u{c}^{}\\[~]|€";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageParts {
    pub app_name: AppName,
    /// On a line of its own.
    pub site: Option<Site>,
    /// With it, the SMS Retriever hands the message to the Android app.
    pub android_app_hash: Option<AndroidAppHash>,
    /// With it, browsers and iOS fill in the code on this domain only.
    pub web_domain: Option<WebDomain>,
    pub languages: Languages,
}

/// How an organization's messages read. Every message fits one segment, in each of the organization's languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageFormat(MessageParts);

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "the message in {} is {} {} too long: it has {}, of {} allowed",
    language.tag(), length.counted.saturating_sub(length.allowed), length.unit, length.counted, length.allowed
)]
pub struct TooLong {
    language: &'static Language,
    length: Length,
}

/// The length of a message, in the unit of the tightest limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    pub counted: usize,
    pub allowed: usize,
    pub unit: &'static str,
}

impl MessageFormat {
    pub const fn new(parts: MessageParts) -> Self {
        Self(parts)
    }

    /// Refuses a format whose sign-in messages lose lines, with the excess.
    pub fn check(&self) -> Result<(), TooLong> {
        // All codes have the same length, so one sample represents all of them.
        for language in self.languages().iter() {
            let length = self.whole().write(language, MessagePurpose::SignIn, "123456").length();
            if length.counted > length.allowed {
                return Err(TooLong { language, length });
            }
        }
        Ok(())
    }

    pub const fn parts(&self) -> &MessageParts {
        &self.0
    }

    pub const fn languages(&self) -> &Languages {
        &self.0.languages
    }

    /// A message with a sample code.
    pub fn sample(&self, language: &Language, purpose: MessagePurpose) -> Message {
        self.fitting(language, purpose, "123456")
    }

    pub fn write(&self, language: &Language, purpose: MessagePurpose, code: &OtpCode) -> Message {
        self.fitting(language, purpose, &code.reveal())
    }

    /// What the number of an account is told, in the organization's preferred language: the language of a request is chosen
    /// by whoever changes the number.
    pub fn notice(&self, notice: NumberNotice, hours: u32) -> Message {
        let language = self.languages().first();
        let write = |app: &str| Message { text: language.notice(notice, app, hours), for_retriever: false };
        shortened(self.0.app_name.as_str()).map(write).find(Message::fits).unwrap_or_else(|| write(""))
    }

    fn whole(&self) -> Lines<'_> {
        let MessageParts { site, android_app_hash, web_domain, app_name, .. } = &self.0;
        Lines {
            app: app_name.as_str(),
            site: site.as_ref(),
            hash: android_app_hash.as_ref(),
            domain: web_domain.as_ref(),
        }
    }

    /// The message with as much of the format as fits. It may lose the site, then the app's hash, then the domain, then the
    /// end of the app's name.
    fn fitting(&self, language: &Language, purpose: MessagePurpose, code: &str) -> Message {
        let whole = self.whole();
        let bare = Lines { site: None, hash: None, domain: None, ..whole };
        let fewer = [whole, Lines { site: None, ..whole }, Lines { hash: None, site: None, ..whole }, bare];
        let shorter = shortened(whole.app).skip(1).map(|app| Lines { app, ..bare });
        let mut candidates = fewer.into_iter().chain(shorter).map(|lines| lines.write(language, purpose, code));
        let bare = || Lines { app: "", ..bare }.write(language, purpose, code);
        candidates.find(Message::fits).unwrap_or_else(bare)
    }
}

/// A name, then without its last character, and so on.
fn shortened(name: &str) -> impl Iterator<Item = &str> {
    let cut = name.char_indices().rev().map(|(end, _)| name.split_at(end).0.trim_end());
    std::iter::once(name).chain(cut)
}

/// What of a format a message contains.
#[derive(Clone, Copy)]
struct Lines<'a> {
    app: &'a str,
    site: Option<&'a Site>,
    hash: Option<&'a AndroidAppHash>,
    domain: Option<&'a WebDomain>,
}

impl Lines<'_> {
    /// The code appears once: in the sentence or, bound to a domain, on the last line as `@domain #code`, where browsers
    /// look for it (<https://wicg.github.io/sms-one-time-codes/>). The app's hash comes last. `<#>` comes first, because
    /// older versions of the SMS Retriever require it.
    fn write(self, language: &Language, purpose: MessagePurpose, code: &str) -> Message {
        let sentences = language.sentences(purpose);
        let sentence = match self.domain {
            Some(_) => sentences.above_code(self.app),
            None => sentences.with_code(self.app, code),
        };
        let mut lines = vec![if self.hash.is_some() { format!("<#> {sentence}") } else { sentence }];
        lines.extend(self.site.map(|site| site.as_str().to_owned()));
        let bound = self.domain.map(|domain| format!("@{} #{code}", domain.as_str()));
        let hash = self.hash.map(|hash| hash.as_str().to_owned());
        let last: Vec<String> = bound.into_iter().chain(hash).collect();
        if !last.is_empty() {
            lines.push(last.join(" "));
        }
        Message { text: lines.join("\n"), for_retriever: self.hash.is_some() }
    }
}

/// Contains a code, so `Debug` hides it.
#[derive(Clone)]
pub struct Message {
    text: String,
    for_retriever: bool,
}

impl Message {
    /// For the gateway only.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    fn fits(&self) -> bool {
        let Length { counted, allowed, .. } = self.length();
        counted <= allowed
    }

    pub fn length(&self) -> Length {
        let bytes = self.text.len();
        if self.for_retriever && bytes > RETRIEVER_BYTES {
            return Length { counted: bytes, allowed: RETRIEVER_BYTES, unit: "bytes" };
        }
        match gsm_septets(&self.text) {
            Some(counted) => Length { counted, allowed: GSM_SEPTETS, unit: "GSM 7-bit characters" },
            None => Length { counted: self.text.encode_utf16().count(), allowed: UCS2_UNITS, unit: "UCS-2 characters" },
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message(…)")
    }
}

/// The septets of a text; `None` if it has a character outside the GSM 7-bit alphabet.
fn gsm_septets(text: &str) -> Option<usize> {
    text.chars().try_fold(0_usize, |sum, c| {
        let septets = if GSM_BASIC.contains(c) { 1 } else { 2 };
        (septets == 1 || GSM_EXTENSION.contains(c)).then(|| sum.saturating_add(septets))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests {
    use std::cell::Cell;

    use proptest::option::of as maybe;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    const CONFIGURATIONS: u32 = 22_000;

    fn parts() -> impl Strategy<Value = MessageParts> {
        let name = prop_oneof![
            "[A-Za-z0-9 .&'-]{1,40}",
            "[ -~]{1,40}",
            "[अ-ह ा-ौA-Za-z]{1,20}",
            "[A-Za-zéàñÄß€^{}~|çõ—“ 🔑]{1,40}",
            "\\PC{1,40}",
        ];
        let domain = "[a-z0-9]{1,12}(-[a-z0-9]{1,8})?\\.([a-z0-9]{1,20}\\.)?[a-z]{2,12}";
        let languages = prop_oneof![Just("en"), Just("ne"), Just("en,ne"), Just("ne,en")];
        (name.clone(), maybe(name), maybe("[A-Za-z0-9+/]{11}"), maybe(domain), languages).prop_filter_map(
            "not a valid text",
            |(app_name, site, hash, domain, languages)| {
                Some(MessageParts {
                    app_name: AppName::parse(&app_name).ok()?,
                    site: site.map(|site| Site::parse(&site)).transpose().ok()?,
                    android_app_hash: hash.map(|hash| AndroidAppHash::parse(&hash)).transpose().ok()?,
                    web_domain: domain.map(|domain| WebDomain::parse(&domain)).transpose().ok()?,
                    languages: languages.parse().unwrap(),
                })
            },
        )
    }

    /// A second implementation of the count, independent of the one under test.
    fn is_one_segment(text: &str) -> bool {
        let septets = |c: char| match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | ' ' | '\n' => 1,
            '!'..='?' if c != '`' => 1,
            '@' | '_' | '£' | '¥' | '¤' | '§' | '¡' | '¿' => 1,
            'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' | 'Æ' | 'æ' | 'ß' | 'É' => 1,
            'Ä' | 'Ö' | 'Ñ' | 'Ü' | 'ä' | 'ö' | 'ñ' | 'ü' | 'à' => 1,
            'Δ' | 'Φ' | 'Γ' | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' => 1,
            '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => 2,
            _ => 1_000,
        };
        let gsm: usize = text.chars().map(septets).sum();
        gsm <= 160 || (gsm >= 1_000 && text.encode_utf16().count() <= 70)
    }

    /// Checks what the SMS Retriever, browsers and people need.
    fn is_good(
        text: &str,
        code: &str,
        language: &Language,
        parts: &MessageParts,
        has_all_lines: bool,
    ) -> Result<(), TestCaseError> {
        let hash = parts.android_app_hash.as_ref().map_or("", |hash| hash.as_str());
        let hash = if has_all_lines || text.starts_with("<#> ") { hash } else { "" };
        let last_line = text.lines().next_back().unwrap();
        let before_hash = text.strip_suffix(hash).unwrap();
        prop_assert_eq!(before_hash.matches(code).count(), 1, "the code must stand once");
        let digits: Vec<&str> =
            before_hash.split(|c: char| !c.is_numeric()).filter(|run| run.chars().count() >= 6).collect();
        prop_assert_eq!(digits, [code], "nothing else may look like a code");
        prop_assert!(text.contains(language.word()), "the word for a code is missing");
        prop_assert!(is_one_segment(text));
        if !hash.is_empty() {
            prop_assert!(text.starts_with("<#> ") && text.len() <= 140 && text.ends_with(hash));
        }
        if let Some(domain) = &parts.web_domain {
            let bound = format!("@{} #{code}", domain.as_str());
            let is_bound = text.contains(&bound);
            prop_assert!(is_bound || !has_all_lines);
            let whole = if hash.is_empty() { bound } else { format!("{bound} {hash}") };
            prop_assert!(!is_bound || last_line == whole);
        }
        Ok(())
    }

    #[test]
    fn phones_can_read_every_message_of_every_accepted_format() {
        let (accepted, refused) = (Cell::new(0_u32), Cell::new(0_u32));
        let mut runner = TestRunner::new(Config {
            cases: CONFIGURATIONS,
            max_global_rejects: 400_000,
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&(parts(), 0_u32..1_000_000), |(parts, number)| {
                let code = OtpCode::parse(&format!("{number:06}")).unwrap();
                let format = MessageFormat::new(parts.clone());
                let checked = format.check();
                for language in parts.languages.iter() {
                    for purpose in MessagePurpose::ALL {
                        let message = format.write(language, purpose, &code);
                        let has_all_lines = checked.is_ok() && purpose == MessagePurpose::SignIn;
                        is_good(message.reveal(), &code.reveal(), language, &parts, has_all_lines)?;
                    }
                }
                match checked {
                    Ok(()) => accepted.set(accepted.get() + 1),
                    Err(TooLong { language, length }) => {
                        refused.set(refused.get() + 1);
                        let text = format.whole().write(language, MessagePurpose::SignIn, &code.reveal());
                        prop_assert!(!is_one_segment(text.reveal()) || text.reveal().len() > 140);
                        prop_assert!(length.counted > length.allowed);
                    }
                }
                Ok(())
            })
            .unwrap();
        println!("{} formats accepted, {} refused", accepted.get(), refused.get());
        assert!(accepted.get() >= 10_000 && refused.get() >= 1_000);
    }

    #[test]
    fn a_notice_to_a_number_fits_one_segment_and_contains_nothing_like_a_code_or_a_link() {
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let formats = (parts(), 1_u32..=720);
        runner
            .run(&formats, |(parts, hours)| {
                for notice in [NumberNotice::ChangePending, NumberNotice::Changed] {
                    let message = MessageFormat(parts.clone()).notice(notice, hours);
                    let text = message.reveal();
                    prop_assert!(is_one_segment(text), "{text}");
                    let sentence = parts.languages.first().notice(notice, "", hours);
                    let own = sentence.split(|c: char| !c.is_numeric()).filter(|digits| !digits.is_empty());
                    prop_assert_eq!(own.collect::<Vec<_>>(), [hours.to_string()]);
                    prop_assert!(!["/", "www.", "@", "#"].iter().any(|part| sentence.contains(part)));
                }
                Ok(())
            })
            .unwrap();
    }

    fn written_for(
        purpose: MessagePurpose,
        app_name: &str,
        site: Option<&str>,
        hash: Option<&str>,
        domain: Option<&str>,
        language: usize,
    ) -> String {
        let parts = MessageParts {
            app_name: AppName::parse(app_name).unwrap(),
            site: site.map(|site| Site::parse(site).unwrap()),
            android_app_hash: hash.map(|hash| AndroidAppHash::parse(hash).unwrap()),
            web_domain: domain.map(|domain| WebDomain::parse(domain).unwrap()),
            languages: "en,ne".parse().unwrap(),
        };
        let language = parts.languages.iter().nth(language).unwrap();
        let format = MessageFormat::new(parts);
        format.write(language, purpose, &OtpCode::parse("123456").unwrap()).reveal().to_owned()
    }

    fn written(site: Option<&str>, hash: Option<&str>, domain: Option<&str>, language: usize) -> String {
        written_for(MessagePurpose::SignIn, "Himal", site, hash, domain, language)
    }

    #[test]
    fn a_message_says_what_its_code_does() {
        let of = |purpose, language| written_for(purpose, "Himal", None, None, None, language);
        let [verify, change] = [MessagePurpose::VerifyNumber, MessagePurpose::ChangeNumber];
        assert_eq!(of(verify, 0), "123456 is your code to verify this number for Himal. Don't share it.");
        assert_eq!(of(change, 0), "123456 is your code to CHANGE the number of your Himal account. Don't share it.");
        assert_eq!(of(verify, 1), "123456 Himal मा नम्बर प्रमाणित गर्ने कोड हो। कसैलाई नदिनुहोस्।");
        assert_eq!(of(change, 1), "123456 Himal खाताको नम्बर फेर्ने कोड हो। कसैलाई नदिनुहोस्।");
        let bound = written_for(change, "Himal", None, None, Some("himal.example"), 0);
        assert_eq!(
            bound,
            "Your code to CHANGE the number of your Himal account. Don't share it:\n@himal.example #123456"
        );
    }

    #[test]
    fn a_message_that_says_more_than_fits_loses_lines_and_then_the_end_of_the_apps_name() {
        let (site, hash, domain) = (Some("himal.example"), Some("FA+9qCX9VSu"), Some("himal.example"));
        let change = MessagePurpose::ChangeNumber;
        let nepali = |name, site, hash, domain| written_for(change, name, site, hash, domain, 1);
        assert_eq!(nepali("Himal", site, None, None), "123456 Himal खाताको नम्बर फेर्ने कोड हो। कसैलाई नदिनुहोस्।");
        assert_eq!(nepali("Himal", None, hash, None), "123456 Himal खाताको नम्बर फेर्ने कोड हो। कसैलाई नदिनुहोस्।");
        let named = "123456 Himalayan Mountai खाताको नम्बर फेर्ने कोड हो। कसैलाई नदिनुहोस्।";
        assert_eq!(nepali("Himalayan Mountain Guides", None, None, domain), named);
    }

    #[test]
    fn a_message_has_the_documented_format() {
        let (hash, domain) = (Some("FA+9qCX9VSu"), Some("himal.example"));
        assert_eq!(written(None, None, None, 0), "123456 is your Himal code.");
        assert_eq!(
            written(Some("himal.example"), hash, None, 0),
            "<#> 123456 is your Himal code.\nhimal.example\nFA+9qCX9VSu"
        );
        assert_eq!(written(None, None, domain, 0), "Your Himal code:\n@himal.example #123456");
        assert_eq!(written(None, hash, domain, 0), "<#> Your Himal code:\n@himal.example #123456 FA+9qCX9VSu");
        assert_eq!(written(None, None, None, 1), "123456 तपाईंको Himal कोड हो।");
        assert_eq!(written(None, hash, None, 1), "<#> 123456 तपाईंको Himal कोड हो।\nFA+9qCX9VSu");
    }

    #[test]
    fn a_format_that_is_too_long_is_refused_with_the_excess() {
        let parts = |name: &str, languages: &str| MessageParts {
            app_name: AppName::parse(name).unwrap(),
            site: Some(Site::parse("a long line about the site that the messages are from").unwrap()),
            android_app_hash: None,
            web_domain: None,
            languages: languages.parse().unwrap(),
        };
        assert!(MessageFormat::new(parts("Himal", "en")).check().is_ok());
        let refused = |name, languages| MessageFormat::new(parts(name, languages)).check().unwrap_err().to_string();
        let expected = "the message in ne is 12 UCS-2 characters too long: it has 82, of 70 allowed";
        assert_eq!(refused("Himal", "en,ne"), expected);
        // One letter outside the GSM alphabet makes the whole message UCS-2.
        let expected = "the message in en is 10 UCS-2 characters too long: it has 80, of 70 allowed";
        assert_eq!(refused("Himāl", "en"), expected);
    }

    #[test]
    fn the_gsm_alphabet_is_the_standard_one() {
        assert_eq!(GSM_BASIC.chars().count(), 127, "128 places, one of them the escape");
        assert_eq!(gsm_septets("a€[]~"), Some(9));
        for outside in ["`", "ç", "á", "—", "क", "🔑"] {
            assert_eq!(gsm_septets(outside), None, "{outside}");
        }
    }
}
