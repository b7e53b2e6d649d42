//! Opening a session for whoever has proven a phone, by a code or by Firebase: the proof is used up, and user, locks and
//! session are written, in one transaction.

use std::future::Future;

use crate::challenge::{Challenge, Consumed, IdempotencyDigest};
use crate::firebase::TokenDigest;
use crate::gateway::Gateway;
use crate::ids::{SessionId, UserId};
use crate::limits::Limits;
use crate::phone::PhoneNumber;
use crate::session::{Rotation, Session};
use crate::text::{DeviceName, FcmToken, OrganizationId};
use crate::user::{Introduction, User};
use crate::{Timestamp, Unavailable};

/// How often a sign-in is tried again because the phone changed hands meanwhile.
const TRIES: usize = 4;

/// Who has a phone, and when they proved it last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub user: UserId,
    /// When they last typed a code, or showed a token, that proved it. None if that was never noted.
    pub proven_at: Option<Timestamp>,
}

impl Holder {
    /// Whether the number may have passed to another person since: nobody has proven it for so long.
    pub fn is_dormant(&self, limits: &Limits, now: Timestamp) -> bool {
        self.proven_at.is_some_and(|proven_at| now >= proven_at.plus(limits.phone_dormant_seconds))
    }
}

/// What someone who proved a dormant number adds to it.
#[derive(Clone, Debug)]
pub enum SecondSignal {
    /// A refresh token of a session of theirs: the account is theirs still.
    RefreshToken {
        /// Whose session.
        user: UserId,
        /// Which.
        session: SessionId,
        /// Which of its tokens.
        presented: u64,
    },
    /// They have no account yet: the number was another person's.
    FreshAccount,
}

/// What comes along with a proof.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The organization to sign in to.
    pub organization: OrganizationId,
    /// What the client says of a new user.
    pub introduction: Introduction,
    /// What opens an account whose number is dormant; nothing else asks for it.
    pub second_signal: Option<SecondSignal>,
    /// Where to push to the device.
    pub fcm_token: Option<FcmToken>,
    /// What the device is called.
    pub device_name: Option<DeviceName>,
    /// When.
    pub now: Timestamp,
    /// A name for the user, if they are new.
    pub new_user: UserId,
    /// A name for the session.
    pub new_session: SessionId,
}

/// What proved the phone. Each opens one session.
#[derive(Clone, Debug)]
pub enum Evidence {
    /// A code.
    Code {
        /// Its challenge, not consumed before.
        challenge: Box<Challenge>,
        /// The client's idempotency key, if it sent one.
        idempotency: Option<IdempotencyDigest>,
    },
    /// An ID token of Firebase.
    Firebase {
        /// Which.
        digest: TokenDigest,
        /// When it is good no more, and may be forgotten.
        until: Timestamp,
    },
}

/// Who is signing in.
#[derive(Clone, Debug)]
pub enum Person {
    /// Nobody has this phone: a user is made.
    New(User),
    /// The user who has this phone.
    Known(UserId),
    /// A user is made, and the phone is taken from whoever had it long ago.
    InPlaceOf {
        /// Who is made.
        new: User,
        /// Who had it.
        former: UserId,
    },
}

/// A sign-in, to be written as one transaction.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The phone that was proven.
    pub phone: PhoneNumber,
    /// By what.
    pub evidence: Evidence,
    /// How that is used up.
    pub consumed: Consumed,
    /// Who.
    pub person: Person,
    /// The organization they sign in to.
    pub organization: OrganizationId,
    /// The session that opens.
    pub session: Session,
}

/// The answer to a sign-in.
#[derive(Clone, Debug)]
pub enum SignInOutcome {
    /// Written; the user as they now are.
    SignedIn(User),
    /// Another request consumed the code first; how.
    AlreadyConsumed(Option<Consumed>),
    /// The phone is not whose we thought; who has it now.
    PhoneChangedHands(Option<Holder>),
}

/// What opening a session needs of the store.
pub trait SignInStore: Sync {
    /// Uses the evidence up, writes user, locks and session: all or nothing.
    fn sign_in(&self, sign_in: &SignIn) -> impl Future<Output = Result<SignInOutcome, Unavailable>> + Send;
    /// Whether a user has the default role alone.
    fn may_use_fixed_code(&self, user: &UserId) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Reads a session.
    fn read_session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<Session>, Unavailable>> + Send;
    /// Reads the user and the session that an earlier request opened.
    fn resume(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<(User, Session)>, Unavailable>> + Send;
}

/// Someone is signed in; tokens are to be made for the session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// On which device.
    pub session: Session,
    /// Whether this sign-in made the user.
    pub is_new_user: bool,
    /// Whether they signed in by a test number's fixed code.
    pub is_test_number: bool,
    /// Whose the phone was, if it was taken from someone who had not proven it for long.
    pub set_aside: Option<UserId>,
    /// The gateway that carried the code, as far as is known; none where the answer to an earlier request is repeated.
    pub carried_by: Option<Gateway>,
}

/// What became of a proof.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A session is open.
    SignedIn(Box<SignedIn>),
    /// The proof was used before; how.
    AlreadyConsumed(Option<Consumed>),
    /// It was a fixed code, and its user has roles that a code known to several people must not open.
    TestNumberRefused,
    /// The number has been dormant: the proof alone opens nothing of its holder's.
    SecondSignalRequired(UserId),
}

/// Opens a session for the holder of `phone`, who is made a user if they are none.
pub(crate) async fn open_session(
    store: &impl SignInStore,
    limits: &Limits,
    phone: &PhoneNumber,
    evidence: Evidence,
    mut holder: Option<Holder>,
    arrival: Arrival,
) -> Result<Opened, Unavailable> {
    let (challenge, idempotency) = match &evidence {
        Evidence::Code { challenge, idempotency } => (Some(challenge), idempotency.clone()),
        Evidence::Firebase { .. } => (None, None),
    };
    let is_test_number = challenge.is_some_and(|challenge| challenge.fixed_code_of.is_some());
    let carried_by = challenge.and_then(|challenge| challenge.carried_by);
    let approved_by = challenge.and_then(|challenge| challenge.approved_by.as_ref());
    let now = arrival.now;
    for _ in 0..TRIES {
        if let Some(holder) = holder.as_ref().filter(|_| is_test_number)
            && !store.may_use_fixed_code(&holder.user).await?
        {
            return Ok(Opened::TestNumberRefused);
        }
        let new = || {
            User::new(
                arrival.new_user.clone(),
                phone.clone(),
                arrival.introduction.clone(),
                arrival.organization.clone(),
                now,
            )
        };
        let person = match &holder {
            None => Person::New(new()),
            Some(holder) if !holder.is_dormant(limits, now) => Person::Known(holder.user.clone()),
            Some(holder) => match &arrival.second_signal {
                Some(SecondSignal::FreshAccount) => Person::InPlaceOf { new: new(), former: holder.user.clone() },
                _ if approved_by == Some(&holder.user) => Person::Known(holder.user.clone()),
                Some(signal) if is_theirs(store, limits, holder, signal, now).await? => {
                    Person::Known(holder.user.clone())
                }
                _ => return Ok(Opened::SecondSignalRequired(holder.user.clone())),
            },
        };
        let (user, set_aside) = match &person {
            Person::Known(user) => (user.clone(), None),
            Person::New(new) => (new.id.clone(), None),
            Person::InPlaceOf { new, former } => (new.id.clone(), Some(former.clone())),
        };
        let is_new_user = !matches!(person, Person::Known(_));
        let session = Session::open(
            user.clone(),
            arrival.new_session.clone(),
            arrival.device_name.clone(),
            arrival.fcm_token.clone(),
            now,
            limits,
        );
        let sign_in = SignIn {
            phone: phone.clone(),
            evidence: evidence.clone(),
            consumed: Consumed { at: now, idempotency: idempotency.clone(), user, session: Some(session.id.clone()) },
            person,
            organization: arrival.organization.clone(),
            session,
        };
        match store.sign_in(&sign_in).await? {
            SignInOutcome::SignedIn(user) => {
                let session = sign_in.session;
                let signed_in = SignedIn { user, session, is_new_user, is_test_number, set_aside, carried_by };
                return Ok(Opened::SignedIn(Box::new(signed_in)));
            }
            SignInOutcome::AlreadyConsumed(consumed) => return Ok(Opened::AlreadyConsumed(consumed)),
            SignInOutcome::PhoneChangedHands(now_with) => holder = now_with,
        }
    }
    Err(Unavailable::new("sign in", "the phone kept changing hands"))
}

/// Whether the signal is a current refresh token of a session of the holder's.
async fn is_theirs(
    store: &impl SignInStore,
    limits: &Limits,
    holder: &Holder,
    signal: &SecondSignal,
    now: Timestamp,
) -> Result<bool, Unavailable> {
    let SecondSignal::RefreshToken { user, session, presented } = signal else { return Ok(false) };
    if *user != holder.user {
        return Ok(false);
    }
    let session = store.read_session(user, session).await?;
    let rotation = session.map(|session| session.rotate(*presented, now, limits));
    Ok(matches!(rotation, Some(Rotation::Rotated(_) | Rotation::Repeated(_))))
}

/// The session that an earlier request opened with the same proof, if it is still there.
pub(crate) async fn resume(
    store: &impl SignInStore,
    consumed: &Consumed,
    is_test_number: bool,
    now: Timestamp,
) -> Result<Option<SignedIn>, Unavailable> {
    let Some(session) = &consumed.session else { return Ok(None) };
    let resumed = store.resume(&consumed.user, session).await?;
    Ok(resumed.filter(|(_, session)| session.is_live(now)).map(|(user, session)| {
        let is_new_user = user.created_at == session.created_at;
        SignedIn { user, session, is_new_user, is_test_number, set_aside: None, carried_by: None }
    }))
}
