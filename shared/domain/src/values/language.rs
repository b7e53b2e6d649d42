//! The languages of messages. Each is one file in `languages/`, which the build checks.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

#[derive(PartialEq, Eq)]
pub struct Language {
    tag: &'static str,
    word: &'static str,
    sign_in: Sentences,
    verify: Sentences,
    change: Sentences,
    phone_change_pending: &'static str,
    phone_changed: &'static str,
}

/// What a message says about its code.
#[derive(PartialEq, Eq)]
pub(crate) struct Sentences {
    with_code: &'static str,
    above_code: &'static str,
}

/// What the code in a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessagePurpose {
    SignIn,
    /// Verifies the number of somebody who is signed in.
    VerifyNumber,
    /// Gives an account another number.
    ChangeNumber,
}

impl MessagePurpose {
    pub const ALL: [Self; 3] = [Self::SignIn, Self::VerifyNumber, Self::ChangeNumber];

    pub const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::VerifyNumber => "verification",
            Self::ChangeNumber => "change of number",
        }
    }
}

/// What the number of an account is told, without a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberNotice {
    /// The account will get another number.
    ChangePending,
    Changed,
}

/// English, then the others, sorted by tag.
static LANGUAGES: (Language, &[Language]) = include!(concat!(env!("OUT_DIR"), "/languages.rs"));

fn all() -> impl Iterator<Item = &'static Language> {
    std::iter::once(&LANGUAGES.0).chain(LANGUAGES.1)
}

impl Language {
    /// A BCP 47 tag, such as "ne".
    pub const fn tag(&self) -> &'static str {
        self.tag
    }

    /// The language's word for a code. Phones look for it before they offer to fill in a code.
    pub const fn word(&self) -> &'static str {
        self.word
    }

    pub(crate) fn notice(&self, notice: NumberNotice, app: &str, hours: u32) -> String {
        let sentence = match notice {
            NumberNotice::ChangePending => self.phone_change_pending,
            NumberNotice::Changed => self.phone_changed,
        };
        sentence.replace("{hours}", &hours.to_string()).replace("{app}", app)
    }

    pub(crate) const fn sentences(&self, purpose: MessagePurpose) -> &Sentences {
        match purpose {
            MessagePurpose::SignIn => &self.sign_in,
            MessagePurpose::VerifyNumber => &self.verify,
            MessagePurpose::ChangeNumber => &self.change,
        }
    }
}

impl Sentences {
    /// The sentence that contains the code.
    pub(crate) fn with_code(&self, app: &str, code: &str) -> String {
        self.with_code.replace("{code}", code).replace("{app}", app)
    }

    /// The sentence above a line that contains the code.
    pub(crate) fn above_code(&self, app: &str) -> String {
        self.above_code.replace("{app}", app)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag)
    }
}

/// The languages of one organization, its preferred one first. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Languages {
    preferred: &'static Language,
    others: Vec<&'static Language>,
}

impl Default for Languages {
    /// All languages, English first.
    fn default() -> Self {
        Self { preferred: &LANGUAGES.0, others: LANGUAGES.1.iter().collect() }
    }
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no messages are written in {tag:?}; expected {}", tags())]
pub struct UnknownLanguage {
    tag: String,
}

fn tags() -> String {
    all().map(|language| language.tag).collect::<Vec<_>>().join(", ")
}

impl FromStr for Languages {
    type Err = UnknownLanguage;

    /// Reads tags, separated by commas.
    fn from_str(text: &str) -> Result<Self, UnknownLanguage> {
        let named = |tag: &str| {
            let language = all().find(|language| language.tag.eq_ignore_ascii_case(tag.trim()));
            language.ok_or_else(|| UnknownLanguage { tag: tag.trim().to_owned() })
        };
        let (preferred, others) = text.split_once(',').map_or((text, None), |(first, rest)| (first, Some(rest)));
        let others = others.into_iter().flat_map(|others| others.split(',')).map(named);
        Ok(Self { preferred: named(preferred)?, others: others.collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Languages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.preferred.tag)?;
        self.others.iter().try_for_each(|language| write!(f, ",{}", language.tag))
    }
}

impl Languages {
    pub const fn first(&self) -> &'static Language {
        self.preferred
    }

    /// The preferred language first.
    pub fn iter(&self) -> impl Iterator<Item = &'static Language> {
        std::iter::once(self.preferred).chain(self.others.iter().copied())
    }

    /// The language of a message: the app's `locale`, else the client's `Accept-Language`, else the organization's
    /// preferred language.
    ///
    /// `locale` is a language tag, or a locale as Android and POSIX write it ("ne_NP", "ne_NP.UTF-8"); `accept_language`
    /// is the header of RFC 9110 §12.5.4. Both are looked up as RFC 4647 §3.4 says; unreadable parts are ignored.
    pub fn choose(&self, locale: Option<&str>, accept_language: Option<&str>) -> &'static Language {
        let by_locale = locale.and_then(|locale| self.look_up(&locale.replace('_', "-")));
        by_locale.or_else(|| self.accepted(accept_language?)).unwrap_or(self.preferred)
    }

    fn accepted(&self, header: &str) -> Option<&'static Language> {
        let mut ranges: Vec<(f32, &str)> = header.split(',').filter_map(range).collect();
        // A stable sort: of two with the same quality, the first in the header wins.
        ranges.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        ranges.into_iter().find_map(|(_, range)| if range == "*" { Some(self.preferred) } else { self.look_up(range) })
    }

    /// Drops subtags from the end until the rest names a language.
    fn look_up(&self, range: &str) -> Option<&'static Language> {
        let mut rest = range.split(['.', '@']).next()?.trim();
        loop {
            if let Some(language) = self.iter().find(|language| language.tag.eq_ignore_ascii_case(rest)) {
                return Some(language);
            }
            (rest, _) = rest.rsplit_once('-')?;
        }
    }
}

/// A language range and its quality; `None` if the quality is 0 or unreadable.
fn range(text: &str) -> Option<(f32, &str)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let quality = match parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))) {
        Some(quality) => quality.trim().parse().ok()?,
        None => 1.0,
    };
    (quality > 0.0 && quality <= 1.0).then_some((quality, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(own: &str, locale: Option<&str>, accept_language: Option<&str>) -> &'static str {
        own.parse::<Languages>().map_or("none", |languages| languages.choose(locale, accept_language).tag())
    }

    #[test]
    fn the_locale_decides_then_the_header_then_the_organization() {
        for (own, locale, header, expected) in [
            ("en,ne", Some("ne"), Some("en"), "ne"),
            ("en,ne", Some("ne-NP"), None, "ne"),
            ("en,ne", Some("ne_NP"), None, "ne"),
            ("en,ne", Some("ne_NP.UTF-8"), None, "ne"),
            ("en,ne", Some("NE-Deva-NP"), None, "ne"),
            ("en,ne", Some("fr"), Some("ne"), "ne"),
            ("en,ne", Some("nep"), None, "en"),
            ("en,ne", Some(""), Some(""), "en"),
            ("en,ne", None, Some("ne-NP,ne;q=0.9,en;q=0.8"), "ne"),
            ("en,ne", None, Some("en;q=0.5, ne;q=0.9"), "ne"),
            ("en,ne", None, Some("fr, en;q=0, ne;q=0.1"), "ne"),
            ("ne,en", None, Some("fr, *;q=0.5"), "ne"),
            ("ne,en", None, Some("fr"), "ne"),
            ("ne,en", None, Some("en;q=NaN, en;q=2, ;;=,q"), "ne"),
            ("ne", Some("en"), Some("en"), "ne"),
            ("ne,en", None, None, "ne"),
        ] {
            assert_eq!(chosen(own, locale, header), expected, "{own} {locale:?} {header:?}");
        }
    }

    #[test]
    fn an_organization_chooses_its_languages_and_their_order() {
        assert_eq!("ne, en".parse::<Languages>().map(|languages| languages.to_string()), Ok("ne,en".to_owned()));
        for text in ["", "xx", "en,", "en;ne"] {
            assert!(text.parse::<Languages>().is_err(), "{text}");
        }
        let refused = "en,xx".parse::<Languages>().map_err(|error| error.to_string());
        assert_eq!(refused, Err("no messages are written in \"xx\"; expected en, ne".to_owned()));
        assert_eq!(Languages::default().iter().next().map(Language::tag), Some("en"));
    }
}
