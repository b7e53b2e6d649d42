//! Signing in by an ID token of Firebase phone sign-in, in place of a code of ours: what the token must say, and that
//! each opens one session. Whether its signature holds is for the adapters to say.
//!
//! <https://firebase.google.com/docs/auth/admin/verify-id-tokens#verify_id_tokens_using_a_third-party_jwt_library>

use std::fmt;
use std::future::Future;

use serde::Deserialize;

use crate::challenge::Consumed;
use crate::limits::{HOUR, Limits};
use crate::phone::PhoneNumber;
use crate::sign_in::{Arrival, Evidence, Holder, Opened, SignInStore, SignedIn, open_session, resume};
use crate::text::MalformedText;
use crate::{Timestamp, Unavailable};

/// By how much Google's clock and ours may differ. Seconds; RFC 7519 §4.1.4 suggests no more than a few minutes.
pub const LEEWAY_SECONDS: u32 = 60;
/// How long ago the person may have typed Firebase's code: as long as an ID token lives. One that was minted later, from
/// Firebase's refresh token, proves nothing recent, and our access token would say that it does. Seconds.
const LONGEST_SINCE_SIGN_IN_SECONDS: u32 = HOUR;
/// The longest `sub`, in characters.
const LONGEST_SUBJECT: usize = 128;
/// What `firebase.sign_in_provider` says of a sign-in by phone.
const PHONE: &str = "phone";

/// A Firebase project, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirebaseProject(String);

impl FirebaseProject {
    /// Takes an id (<https://cloud.google.com/resource-manager/docs/creating-managing-projects>).
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, MalformedText> {
        let is_known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if (6..=30).contains(&text.len()) && text.chars().all(is_known) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedText { expected: "a Firebase project id: 6 to 30 lower-case letters, digits or hyphens" })
        }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an ID token says, as far as we ask.
#[derive(Clone, Deserialize)]
pub struct FirebaseClaims {
    iss: String,
    aud: String,
    sub: String,
    iat: Timestamp,
    exp: Timestamp,
    auth_time: Timestamp,
    phone_number: String,
    firebase: FirebaseMember,
}

#[derive(Clone, Deserialize)]
struct FirebaseMember {
    sign_in_provider: String,
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirebaseRefusal {
    /// It is none, not for this project, not of a sign-in by phone, or its one session has ended.
    Invalid,
    /// Its time is over, or it is long since the person signed in.
    Expired,
}

impl FirebaseClaims {
    /// The phone that the token proves.
    ///
    /// # Errors
    /// [`FirebaseRefusal`].
    pub fn proven_phone(&self, project: &FirebaseProject, now: Timestamp) -> Result<PhoneNumber, FirebaseRefusal> {
        let soon = now.plus(LEEWAY_SECONDS);
        let is_ours = self.aud == project.0
            && self.iss.strip_prefix("https://securetoken.google.com/") == Some(&project.0)
            && (1..=LONGEST_SUBJECT).contains(&self.sub.chars().count())
            && self.firebase.sign_in_provider == PHONE
            && self.iat <= soon
            && self.auth_time <= soon;
        let phone = PhoneNumber::from_e164(&self.phone_number).map_err(|_| FirebaseRefusal::Invalid)?;
        if !is_ours {
            return Err(FirebaseRefusal::Invalid);
        }
        let is_recent = now < self.auth_time.plus(LONGEST_SINCE_SIGN_IN_SECONDS).plus(LEEWAY_SECONDS);
        if now < self.good_until() && is_recent { Ok(phone) } else { Err(FirebaseRefusal::Expired) }
    }

    /// From when on the token is refused whatever the clocks.
    pub fn good_until(&self) -> Timestamp {
        self.exp.plus(LEEWAY_SECONDS)
    }
}

/// SHA-256 of what a token's signature covers: enough to know it again, useless to present it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenDigest(String);

impl TokenDigest {
    /// Takes the digest in any text form that is always the same.
    pub fn new(digest: String) -> Self {
        Self(digest)
    }

    /// The digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

/// A token that was verified, submitted.
#[derive(Clone, Debug)]
pub struct SubmitFirebaseToken {
    /// The phone that it proves.
    pub phone: PhoneNumber,
    /// Which token it is.
    pub digest: TokenDigest,
    /// When it is good no more.
    pub until: Timestamp,
    /// What came along.
    pub arrival: Arrival,
}

/// What signing in by Firebase needs of the store.
pub trait FirebaseStore: SignInStore {
    /// Finds the user who has the phone and, side by side, how the token was used before.
    fn find_user_and_use(
        &self,
        phone: &PhoneNumber,
        digest: &TokenDigest,
    ) -> impl Future<Output = Result<(Option<Holder>, Option<Consumed>), Unavailable>> + Send;
}

/// Why nobody was signed in.
#[derive(Debug)]
pub enum SubmitFirebaseError {
    /// The token was not accepted.
    Token(FirebaseRefusal),
    /// The number has been dormant, and may be another person's by now: it takes more than the token.
    SecondSignalRequired,
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for SubmitFirebaseError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Signs in whoever Firebase says holds the phone. The same token, again, gets tokens for the session it opened, and
/// nothing once that has ended.
///
/// # Errors
/// [`SubmitFirebaseError`]; nobody was signed in then, unless it is `Unavailable`: then the request may be repeated.
pub async fn submit_firebase_token(
    store: &impl FirebaseStore,
    limits: &Limits,
    request: SubmitFirebaseToken,
) -> Result<SignedIn, SubmitFirebaseError> {
    let now = request.arrival.now;
    let (holder, used) = store.find_user_and_use(&request.phone, &request.digest).await?;
    let consumed = match used {
        Some(consumed) => Some(consumed),
        None => {
            let evidence = Evidence::Firebase { digest: request.digest, until: request.until };
            match open_session(store, limits, &request.phone, evidence, holder, request.arrival).await? {
                Opened::SignedIn(signed_in) => return Ok(*signed_in),
                Opened::AlreadyConsumed(consumed) => consumed,
                Opened::SecondSignalRequired(_) => return Err(SubmitFirebaseError::SecondSignalRequired),
                Opened::TestNumberRefused => None,
            }
        }
    };
    let ended = SubmitFirebaseError::Token(FirebaseRefusal::Invalid);
    let Some(consumed) = consumed else { return Err(ended) };
    resume(store, &consumed, false, now).await?.ok_or(ended)
}
