//! What a problem says to people, in English and Nepali. Programs read `code` and `errors` instead.

use domain::values::language::Languages;
use domain::values::time::{DAY, HOUR, MINUTE};

use super::code::Code;

/// The languages of `detail`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tongue {
    #[default]
    English,
    Nepali,
}

/// The words of a problem: those of its code, or of a case of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    OfCode(Code),
    /// The last attempt at a code was wrong.
    LastWrongCode,
    /// A code was not accepted, and whoever sent it may not learn whether one can still be.
    WrongOrOver,
    /// The account of the number got another number.
    NumberChanged,
    /// A code was sent, and no further one before it expires.
    LastCode,
}

impl Tongue {
    /// The language that a client prefers, by its `Accept-Language` (RFC 9110 §12.5.4).
    pub fn preferred(accept_language: Option<&str>) -> Self {
        let languages = "en,ne".parse::<Languages>().unwrap_or_default();
        match languages.choose(None, accept_language).tag() {
            "ne" => Self::Nepali,
            _ => Self::English,
        }
    }

    /// Its tag (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Nepali => "ne",
        }
    }

    /// How long to wait: the whole time in seconds, minutes, hours or days, rounded up.
    fn wait(self, seconds: u32) -> String {
        let (length, [one, many], nepali) = match seconds {
            0..120 => (1, ["second", "seconds"], "सेकेन्ड"),
            120..7_200 => (MINUTE, ["minute", "minutes"], "मिनेट"),
            7_200..172_800 => (HOUR, ["hour", "hours"], "घण्टा"),
            _ => (DAY, ["day", "days"], "दिन"),
        };
        let count = seconds.div_ceil(length);
        match self {
            Self::English => format!("{count} {}", if count == 1 { one } else { many }),
            Self::Nepali => format!("{} {nepali}", devanagari(count)),
        }
    }
}

fn devanagari(number: u32) -> String {
    let digit = |digit: char| digit.to_digit(10).and_then(|value| char::from_u32(u32::from('०').saturating_add(value)));
    number.to_string().chars().filter_map(digit).collect()
}

impl Words {
    /// `{wait}` in the words becomes the time to wait.
    pub fn say(self, tongue: Tongue, retry_after_seconds: Option<u32>) -> String {
        let [english, nepali] = self.both();
        let words = match tongue {
            Tongue::English => english,
            Tongue::Nepali => nepali,
        };
        match retry_after_seconds {
            Some(seconds) => words.replace("{wait}", &tongue.wait(seconds)),
            None => words.to_owned(),
        }
    }

    const fn both(self) -> [&'static str; 2] {
        match self {
            Self::OfCode(code) => of_code(code),
            Self::LastWrongCode => ["Incorrect OTP. Request a new code.", "कोड मिलेन। नयाँ कोड माग्नुहोस्।"],
            Self::WrongOrOver => {
                ["Incorrect OTP. Try again, or request a new code.", "कोड मिलेन। फेरि प्रयास गर्नुहोस्, वा नयाँ कोड माग्नुहोस्।"]
            }
            Self::LastCode => [
                "No further code is sent for {wait}. Use this one before it expires.",
                "{wait}सम्म अर्को कोड पठाइँदैन। म्याद सकिनुअघि यही कोड प्रयोग गर्नुहोस्।",
            ],
            Self::NumberChanged => [
                "A short time ago, the account of this number got another number. You can take that back.",
                "केही समयअघि यस नम्बरको खातामा अर्को नम्बर राखियो। तपाईं पुरानो नम्बर फर्काउन सक्नुहुन्छ।",
            ],
        }
    }
}

/// The older system's apps show the English words of a validation to people, so those stay as they were.
const fn of_code(code: Code) -> [&'static str; 2] {
    match code {
        Code::MalformedRequest => [
            "The app sent a request that is malformed. Update the app, or tell its support.",
            "एपले पठाएको अनुरोध मिलेन। एप अपडेट गर्नुहोस्, वा एपको सहायता कक्षलाई भन्नुहोस्।",
        ],
        Code::InvalidPhoneNumber => [
            "This is not a mobile phone number. Check it and try again.",
            "यो मोबाइल नम्बर होइन। जाँचेर फेरि प्रयास गर्नुहोस्।",
        ],
        Code::InvalidValidationRequest => {
            ["Invalid phone, username or otp provided.", "फोन नम्बर, प्रयोगकर्ता नाम वा कोड मान्य छैन।"]
        }
        Code::PayloadTooLarge => ["The request is larger than 16 KiB.", "अनुरोध १६ KiB भन्दा ठूलो छ।"],
        Code::UnsupportedMediaType => [
            "The request is not JSON. Send it as application/json.",
            "अनुरोध JSON होइन। application/json का रूपमा पठाउनुहोस्।",
        ],
        Code::NoSuchOrganization => ["The app names an organization that does not exist.", "एपले भनेको संस्था छैन।"],
        Code::CountryNotAllowed => ["No codes are sent to numbers of this country.", "यस देशका नम्बरमा कोड पठाइँदैन।"],
        Code::EdgeRequired => [
            "This request went around the public address of the API. Send it there.",
            "यो अनुरोध API को सार्वजनिक ठेगाना हुँदै आएन। त्यहीँ पठाउनुहोस्।",
        ],
        Code::FirebaseTokenInvalid => [
            "This Firebase sign-in is not valid here. Sign in with Firebase again.",
            "यो Firebase साइन इन यहाँ मान्य छैन। Firebase बाट फेरि साइन इन गर्नुहोस्।",
        ],
        Code::FirebaseTokenExpired => [
            "The Firebase sign-in is too old. Sign in with Firebase again.",
            "Firebase साइन इन धेरै पुरानो भयो। Firebase बाट फेरि साइन इन गर्नुहोस्।",
        ],
        Code::IncorrectOtp => ["Incorrect OTP. Try again", "कोड मिलेन। फेरि प्रयास गर्नुहोस्।"],
        Code::OtpExpired => [
            "This code has expired or was already used. Request a new code.",
            "यस कोडको म्याद सकियो, वा यो प्रयोग भइसक्यो। नयाँ कोड माग्नुहोस्।",
        ],
        Code::TooManyAttempts => {
            ["This code was tried too often. Request a new code.", "यस कोडमा धेरै पटक प्रयास भयो। नयाँ कोड माग्नुहोस्।"]
        }
        Code::TooManyRequests => {
            ["Too many requests. Try again in {wait}.", "धेरै पटक प्रयास भयो। {wait}पछि फेरि प्रयास गर्नुहोस्।"]
        }
        Code::PhoneOrUsernameMistaken => {
            ["Phone number or username is mistaken. Please check.", "फोन नम्बर वा प्रयोगकर्ता नाम मिलेन। कृपया जाँच्नुहोस्।"]
        }
        Code::AlreadyVerified => {
            ["Either phone or user is already verified.", "फोन नम्बर वा प्रयोगकर्ता पहिले नै प्रमाणित भइसकेको छ।"]
        }
        Code::TestNumberRefused => [
            "A test number's fixed code works only for users who have no role except the default one.",
            "परीक्षण नम्बरको तोकिएको कोड डिफल्टबाहेक अर्को भूमिका नभएका प्रयोगकर्ताका लागि मात्र चल्छ।",
        ],
        Code::NotAMember => [
            "Only invited people can sign in here. Ask the administrator for access.",
            "यहाँ निम्तो पाएकाले मात्र साइन इन गर्न सक्छन्। प्रशासकसँग अनुमति माग्नुहोस्।",
        ],
        Code::AccountBlocked => {
            ["This account is blocked. Ask the app's support.", "यो खाता ब्लक गरिएको छ। एपको सहायता कक्षलाई सोध्नुहोस्।"]
        }
        Code::SecondSignalRequired => [
            "This number has not been used here for a long time and may belong to another person now. Approve the sign-in on a \
             device where you are signed in, use a device that signed in before, or create a new account.",
            "यो नम्बर यहाँ धेरै समयदेखि प्रयोग भएको छैन, र अहिले अर्कै व्यक्तिको हुन सक्छ। हाल साइन इन भएको डिभाइसमा यसलाई \
             स्वीकृति दिनुहोस्, पहिले साइन इन गरेको डिभाइस प्रयोग गर्नुहोस्, वा नयाँ खाता बनाउनुहोस्।",
        ],
        Code::NumberReleased => [
            "A short time ago, the account of this number was deleted. You can take that back, or create a new account.",
            "केही समयअघि यस नम्बरको खाता मेटाइयो। तपाईं त्यो खाता फिर्ता ल्याउन वा नयाँ खाता बनाउन सक्नुहुन्छ।",
        ],
        Code::RecoveryPending => [
            "You asked for the account of this number. It opens later, if no device of the account refuses or is used before.",
            "तपाईंले यस नम्बरको खाता माग्नुभएको छ। यो पछि खुल्छ: त्यसअघि खाताको कुनै डिभाइसले नरोके र \
             कुनै डिभाइस प्रयोग नभए मात्र।",
        ],
        Code::RecoveryRefused => [
            "A device of this account refused to give it to whoever has the number. You can create a new account.",
            "यस खाताको एउटा डिभाइसले नम्बर भएको व्यक्तिलाई खाता दिन मानेन। तपाईं नयाँ खाता बनाउन सक्नुहुन्छ।",
        ],
        Code::ChangePending => [
            "Another change of number waits. Cancel it to ask for this one.",
            "नम्बरको अर्को परिवर्तन हुन बाँकी छ। यो माग्न पहिले त्यसलाई रद्द गर्नुहोस्।",
        ],
        Code::UsernameTaken => [
            "Another user has or had this username. Choose a different one.",
            "यो प्रयोगकर्ता नाम अर्कैको हो वा थियो। अर्को छान्नुहोस्।",
        ],
        Code::NoSuchUser => [
            "The account of this sign-in no longer exists. Sign in again.",
            "यस साइन इनको खाता अब छैन। फेरि साइन इन गर्नुहोस्।",
        ],
        Code::TokenRequired => ["Sign in first.", "पहिले साइन इन गर्नुहोस्।"],
        Code::TokenInvalid => {
            ["This sign-in is not valid here. Sign in again.", "यो साइन इन यहाँ मान्य छैन। फेरि साइन इन गर्नुहोस्।"]
        }
        Code::TokenExpired => [
            "This sign-in has expired. Refresh it, or sign in again.",
            "यस साइन इनको म्याद सकियो। नवीकरण गर्नुहोस्, वा फेरि साइन इन गर्नुहोस्।",
        ],
        Code::InvalidDpopProof => [
            "This device could not prove that it may do this. Try again.",
            "यस डिभाइसले आफ्नो अधिकार प्रमाणित गर्न सकेन। फेरि प्रयास गर्नुहोस्।",
        ],
        Code::SessionRevoked => {
            ["This device was signed out. Sign in again.", "यो डिभाइस साइन आउट गरियो। फेरि साइन इन गर्नुहोस्।"]
        }
        Code::RefreshReused => [
            "An old copy of this sign-in was used, so it was ended. Sign in again.",
            "यस साइन इनको पुरानो प्रति प्रयोग भयो, त्यसैले यो अन्त्य गरियो। फेरि साइन इन गर्नुहोस्।",
        ],
        Code::FreshTokenRequired => {
            ["Sign in with a code again, then repeat this.", "कोडले फेरि साइन इन गर्नुहोस्, अनि यो दोहोर्‍याउनुहोस्।"]
        }
        Code::NothingToApprove => [
            "No sign-in waits for this approval. It has ended, has expired or was replaced by a newer one.",
            "यो स्वीकृति पर्खेको कुनै साइन इन छैन। त्यो टुङ्गियो, त्यसको म्याद सकियो, वा त्यसको ठाउँमा नयाँ आयो।",
        ],
        Code::NothingToUndo => [
            "No change of number can be taken back: there was none, its time has passed, it was taken back, or this device \
             signed in after the change.",
            "नम्बरको कुनै परिवर्तन फिर्ता लिन सकिँदैन: परिवर्तन भएको थिएन, समय सकियो, फिर्ता लिइसकियो, वा यो डिभाइस \
             परिवर्तनपछि साइन इन भएको हो।",
        ],
        Code::NothingPending => [
            "Nothing waits that could be cancelled: it was made, was cancelled, or was never asked for.",
            "रद्द गर्न मिल्ने केही छैन: त्यो भइसक्यो, रद्द भइसक्यो, वा कहिल्यै मागिएको थिएन।",
        ],
        Code::NotFound => ["There is nothing at this address.", "यस ठेगानामा केही छैन।"],
        Code::SmsGatewayUnavailable => {
            ["The message could not be sent. Try again in {wait}.", "सन्देश पठाउन सकिएन। {wait}पछि फेरि प्रयास गर्नुहोस्।"]
        }
        Code::ServiceUnavailable => {
            ["The service is unavailable. Try again in {wait}.", "सेवा उपलब्ध छैन। {wait}पछि फेरि प्रयास गर्नुहोस्।"]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_its_largest_unit_and_rounded_up() {
        let waits = [1, 119, 120, 3_089, 7_199, 7_200, 172_799, 172_800].map(|seconds| Tongue::English.wait(seconds));
        let expected =
            ["1 second", "119 seconds", "2 minutes", "52 minutes", "120 minutes", "2 hours", "48 hours", "2 days"];
        assert_eq!(waits, expected);
        assert_eq!(Tongue::Nepali.wait(3_089), "५२ मिनेट");
    }

    #[test]
    fn the_language_is_that_of_the_client_or_english() {
        let tag = |header| Tongue::preferred(header).tag();
        assert_eq!([tag(None), tag(Some("fr")), tag(Some("ne-NP,en;q=0.5")), tag(Some("*"))], ["en", "en", "ne", "en"]);
    }
}
