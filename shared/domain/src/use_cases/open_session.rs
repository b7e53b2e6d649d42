//! Opening a session for whoever has proven a phone, by a code or with Firebase. One transaction uses up the proof and
//! writes user, locks and session.

use std::future::Future;

use crate::rules::challenge::{Challenge, Consumption, GuessLane, IdempotencyDigest};
use crate::rules::due::{Due, DueKind};
use crate::rules::firebase_token::TokenDigest;
use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::organization::Membership;
use crate::rules::recovery::{RecoveryState, is_in_use};
use crate::rules::session::{Device, PresentedRefreshToken, Session};
use crate::rules::undo::UndoneChange;
use crate::rules::user::{NewProfile, PhoneHolder, Recovery, Release, ReleaseReason, User};
use crate::values::gateway::Gateway;
use crate::values::ids::{SessionId, UserId};
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::phone::PhoneNumber;
use crate::values::text::OrganizationId;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How often a sign-in is retried because the phone changed its holder in between.
const MAX_RETRIES: usize = 4;

/// What the client adds to the proof of a number that the code alone does not open, because it is dormant, or its account
/// was deleted or got another number a short time ago.
#[derive(Clone, Debug)]
pub enum SecondSignal {
    /// The newest refresh token of one of the holder's sessions: the account is still theirs.
    RefreshToken(PresentedRefreshToken),
    /// The person has no account yet: the number belonged to someone else.
    FreshAccount,
    /// The deletion, or the change of number, is to be taken back.
    Restore,
    /// The change of number is to be taken back, and nothing else is wanted.
    UndoChange,
    /// The account is asked for although the devices are gone, or opened because nobody refused that in time.
    Recover,
}

/// Everything that comes with a proof.
#[derive(Clone, Debug)]
pub struct SignInContext {
    pub organization: OrganizationId,
    pub membership: Membership,
    /// Used only for a new user.
    pub profile: NewProfile,
    pub second_signal: Option<SecondSignal>,
    pub device: Device,
    pub now: Timestamp,
    /// The id of the user, if they are new.
    pub new_user: UserId,
    pub new_session: SessionId,
    /// None where nobody is told of sign-ins.
    pub notices: Option<NoticeContext>,
}

/// What proved the phone. Each proof opens one session.
#[derive(Clone, Debug)]
pub enum PhoneProof {
    Code {
        /// Not consumed when it was claimed.
        challenge: Box<Challenge>,
        lane: GuessLane,
        idempotency: Option<IdempotencyDigest>,
    },
    Firebase {
        digest: TokenDigest,
        /// From then on the token may be forgotten.
        valid_until: Timestamp,
        idempotency: Option<IdempotencyDigest>,
        /// Whether the number is a test number of the organization. Firebase may have a fixed code for it.
        is_test_number: bool,
    },
}

impl PhoneProof {
    const fn challenge(&self) -> Option<&Challenge> {
        match self {
            Self::Code { challenge, .. } => Some(challenge),
            Self::Firebase { .. } => None,
        }
    }

    fn idempotency(&self) -> Option<&IdempotencyDigest> {
        match self {
            Self::Code { idempotency, .. } | Self::Firebase { idempotency, .. } => idempotency.as_ref(),
        }
    }

    /// Whether the proof is, or may be, a test number's fixed code.
    const fn is_fixed_code(&self) -> bool {
        match self {
            Self::Code { challenge, .. } => challenge.has_fixed_code,
            Self::Firebase { is_test_number, .. } => *is_test_number,
        }
    }

    fn is_approved_by(&self, user: &UserId) -> bool {
        self.challenge().is_some_and(|challenge| challenge.approved_by.as_ref() == Some(user))
    }
}

/// The user that a sign-in signs in.
#[derive(Clone, Debug)]
pub enum SignInUser {
    /// Nobody has this phone: a user is created.
    New(User),
    Existing(UserId),
    /// Nobody refused the recovery in time.
    Recovered(UserId, Recovery),
    /// A user is created and takes over the phone of a former holder.
    Replacing {
        new: User,
        former: PhoneHolder,
    },
    /// A change of number, or a deletion, or both are taken back.
    Restored(Box<Restoration>),
}

/// What a sign-in takes back.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// As they were read.
    pub user: User,
    pub state: AccountState,
    /// When the release of the phone would have ended.
    pub released_until: Timestamp,
    /// None if only a deletion is taken back.
    pub change: Option<UndoneChange>,
}

impl Restoration {
    /// Whether the account did not sign the device out. A deleted one signs out none.
    fn knows(&self, device: &Device) -> bool {
        let is_kept = |key| self.user.device_keys.contains(key);
        self.state == AccountState::Deleted || device.key.as_ref().is_some_and(is_kept)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    Live,
    Deleted,
}

impl SignInUser {
    const fn id(&self) -> &UserId {
        match self {
            Self::Existing(user) | Self::Recovered(user, _) => user,
            Self::New(new) | Self::Replacing { new, .. } => &new.id,
            Self::Restored(restoration) => &restoration.user.id,
        }
    }

    const fn is_new(&self) -> bool {
        matches!(self, Self::New(_) | Self::Replacing { .. })
    }

    /// The user who loses the phone.
    fn former_holder(&self) -> Option<UserId> {
        match self {
            Self::Replacing { former, .. } if former.has_phone() => Some(former.user.clone()),
            _ => None,
        }
    }
}

/// A sign-in, written as one transaction.
#[derive(Clone, Debug)]
pub struct SignIn {
    pub phone: PhoneNumber,
    pub proof: PhoneProof,
    pub consumption: Consumption,
    pub user: SignInUser,
    pub organization: OrganizationId,
    /// Whether an existing user becomes a member of the organization.
    pub joins: bool,
    pub session: Session,
    /// Keys of an existing user's devices that the session's key supersedes.
    pub forgotten_keys: Vec<KeyThumbprint>,
    /// What the user's other devices are told.
    pub notice: Option<Notice>,
}

#[derive(Clone, Debug)]
pub enum SignInOutcome {
    SignedIn {
        /// As they are after the write.
        user: Box<User>,
        /// How many other live sessions the user has, if that could be read.
        other_sessions: Option<u32>,
    },
    /// Another request used up the proof first.
    AlreadyConsumed(Option<Consumption>),
    /// The phone has another holder by now, or the former holder has proven it again, or the recovery was refused.
    HolderChanged(Option<PhoneHolder>),
    /// An operator keeps the user from signing in. Nothing was written.
    Blocked,
}

/// A recovery that is asked for, written as one transaction.
#[derive(Clone, Debug)]
pub struct RecoveryRequest {
    /// As they were read.
    pub user: User,
    pub recovery: Recovery,
    /// When the devices are told again.
    pub reminder: Option<Due>,
    /// What the devices are told.
    pub notice: Option<Notice>,
}

pub trait OpenSessionStore: Sync {
    /// Uses up the proof and writes user, locks and session: all or nothing.
    fn sign_in(&self, sign_in: &SignIn) -> impl Future<Output = Result<SignInOutcome, Unavailable>> + Send;
    fn read_user(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// A user who was deleted a short time ago, while that can be taken back.
    fn read_deleted_user(
        &self,
        id: &UserId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// The user, and then their sessions, so that a sign-in in between shows in neither or in both.
    fn read_user_and_sessions(
        &self,
        user: &UserId,
    ) -> impl Future<Output = Result<Option<(User, Vec<Session>)>, Unavailable>> + Send;
    /// Writes what is asked for, unless the user's number, its last proof or an earlier recovery changed since they were
    /// read. Returns whether it did.
    fn request_recovery(&self, request: &RecoveryRequest) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    fn phone_holder(
        &self,
        phone: &PhoneNumber,
    ) -> impl Future<Output = Result<Option<PhoneHolder>, Unavailable>> + Send;
    fn read_session(
        &self,
        user: &UserId,
        session: &SessionId,
    ) -> impl Future<Output = Result<Option<Session>, Unavailable>> + Send;
    fn read_user_and_session(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<ResumedSession>, Unavailable>> + Send;
}

/// A session that an earlier request opened, with its user.
#[derive(Clone, Debug)]
pub struct ResumedSession {
    pub user: User,
    pub session: Session,
    /// How many other live sessions the user has, if that could be read.
    pub other_sessions: Option<u32>,
}

/// A user is signed in. Tokens are issued for the session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub user: User,
    pub session: Session,
    /// How many other live sessions the user has, if that could be read.
    pub other_sessions: Option<u32>,
    /// Whether this sign-in created the user.
    pub is_new_user: bool,
    /// Whether the proof was, or may have been, a test number's fixed code.
    pub is_test_number: bool,
    /// Whether the account was opened because nobody refused that in time.
    pub is_recovered: bool,
    /// The user who lost the phone, because they had not proven it for long.
    pub former_holder: Option<UserId>,
    /// The gateway that carried the code, as far as is known; none in a replayed answer.
    pub carrier: Option<Gateway>,
}

/// A phone, what proved it, and its holder when it was last read.
pub(super) struct ProvenPhone {
    pub(super) phone: PhoneNumber,
    pub(super) proof: PhoneProof,
    pub(super) holder: Option<PhoneHolder>,
}

#[derive(Debug)]
pub(super) enum OpenOutcome {
    SignedIn(Box<SignedIn>),
    /// The proof was used up before.
    AlreadyConsumed(Option<Consumption>),
    /// The proof was a fixed code, and its user has roles that such a code must not open.
    TestNumberRefused,
    /// The organization admits only its members, and the person is not one of them.
    NotAMember,
    /// An operator keeps the user from signing in.
    Blocked,
    /// The number is dormant. Holds its holder, if one of their devices can approve the sign-in.
    SecondSignalRequired(Option<UserId>),
    /// The number's account was deleted or got another number a short time ago.
    Released(Release),
    /// The client wants a change of number taken back, and there is none.
    NothingToUndo,
    /// The account can be opened later, unless a device refuses.
    RecoveryPending(Recovery),
    /// A device refused.
    RecoveryRefused {
        until: Timestamp,
    },
}

/// What follows from the holder of a proven phone.
enum Choice {
    SignIn(Box<SignInUser>),
    SecondSignalRequired(Option<UserId>),
    Released(Release),
    NothingToUndo,
    Recover(UserId),
}

/// What asking for a recovery did.
enum RecoveryChoice {
    Opens(UserId, Recovery),
    Pending(Recovery),
    Refused {
        until: Timestamp,
    },
    /// The devices are not gone.
    InUse(UserId),
    /// The holder or their account changed in between.
    Stale,
}

/// Opens a session for the holder of the proven phone, who is created as a user if there is none.
pub(super) async fn open_session(
    store: &impl OpenSessionStore,
    limits: &Limits,
    proven: ProvenPhone,
    context: SignInContext,
) -> Result<OpenOutcome, Unavailable> {
    let ProvenPhone { phone, proof, mut holder } = proven;
    let is_test_number = proof.is_fixed_code();
    for _ in 0..MAX_RETRIES {
        if is_test_number || context.membership == Membership::Invited {
            let user = match &holder {
                Some(PhoneHolder { release: Some(_), user, .. }) => match store.read_user(user).await? {
                    Some(user) => Some(user),
                    None => store.read_deleted_user(user, context.now).await?,
                },
                Some(holder) => store.read_user(&holder.user).await?,
                None => None,
            };
            if is_test_number && user.as_ref().is_some_and(|user| !user.may_use_fixed_code()) {
                return Ok(OpenOutcome::TestNumberRefused);
            }
            let is_member = user.is_some_and(|user| user.is_member_of(&context.organization));
            if context.membership == Membership::Invited && !is_member {
                return Ok(OpenOutcome::NotAMember);
            }
        }
        let user = match choose_user(store, limits, &phone, &proof, holder.as_ref(), &context).await? {
            Choice::SignIn(user) => *user,
            Choice::SecondSignalRequired(holder) => return Ok(OpenOutcome::SecondSignalRequired(holder)),
            Choice::Released(release) => return Ok(OpenOutcome::Released(release)),
            Choice::NothingToUndo => return Ok(OpenOutcome::NothingToUndo),
            Choice::Recover(user) => match recover(store, limits, &phone, &user, &context).await? {
                RecoveryChoice::Opens(user, recovery) => SignInUser::Recovered(user, recovery),
                RecoveryChoice::Pending(recovery) => return Ok(OpenOutcome::RecoveryPending(recovery)),
                RecoveryChoice::Refused { until } => return Ok(OpenOutcome::RecoveryRefused { until }),
                RecoveryChoice::InUse(user) => return Ok(OpenOutcome::SecondSignalRequired(Some(user))),
                RecoveryChoice::Stale => {
                    holder = store.phone_holder(&phone).await?;
                    continue;
                }
            },
        };
        if matches!(&user, SignInUser::Restored(restoration) if restoration.user.is_blocked()) {
            return Ok(OpenOutcome::Blocked);
        }
        if user.is_new() && context.membership == Membership::Invited {
            return Ok(OpenOutcome::NotAMember);
        }
        let forgotten_keys = match (&user, &holder, &context.device.key) {
            (SignInUser::Existing(_) | SignInUser::Recovered(..), Some(holder), Some(key)) => {
                holder.device_keys.superseded_by(key)
            }
            _ => Vec::new(),
        };
        let (is_new_user, former_holder) = (user.is_new(), user.former_holder());
        let is_recovered = matches!(user, SignInUser::Recovered(..));
        let notice = notice(&user, holder.as_ref(), &context);
        let sign_in = sign_in(limits, &phone, &proof, user, forgotten_keys, notice, &context);
        match store.sign_in(&sign_in).await? {
            SignInOutcome::SignedIn { user, other_sessions } => {
                let carrier = proof.challenge().and_then(|challenge| challenge.carrier);
                let session = sign_in.session;
                return Ok(OpenOutcome::SignedIn(Box::new(SignedIn {
                    user: *user,
                    session,
                    other_sessions,
                    is_new_user,
                    is_test_number,
                    is_recovered,
                    former_holder,
                    carrier,
                })));
            }
            SignInOutcome::AlreadyConsumed(consumption) => return Ok(OpenOutcome::AlreadyConsumed(consumption)),
            SignInOutcome::HolderChanged(current) => holder = current,
            SignInOutcome::Blocked => return Ok(OpenOutcome::Blocked),
        }
    }
    Err(Unavailable::new("sign in", "the phone's holder changed each time"))
}

async fn choose_user(
    store: &impl OpenSessionStore,
    limits: &Limits,
    phone: &PhoneNumber,
    proof: &PhoneProof,
    holder: Option<&PhoneHolder>,
    context: &SignInContext,
) -> Result<Choice, Unavailable> {
    let now = context.now;
    let sign_in_as = |user| Choice::SignIn(Box::new(user));
    let new = || {
        let (id, profile, organization) = (&context.new_user, &context.profile, &context.organization);
        let device_key = context.device.key.clone();
        User::new(id.clone(), phone.clone(), profile.clone(), organization.clone(), device_key, now)
    };
    let second_signal = context.second_signal.as_ref();
    let wants_undo_alone = matches!(second_signal, Some(SecondSignal::UndoChange));
    let Some(holder) = holder else {
        return Ok(if wants_undo_alone { Choice::NothingToUndo } else { sign_in_as(SignInUser::New(new())) });
    };
    let replacing = || sign_in_as(SignInUser::Replacing { new: new(), former: holder.clone() });
    if holder.release.is_some() {
        // Several people know a fixed code: none of them takes anything back, and none waits for another.
        if proof.is_fixed_code() && !wants_undo_alone {
            return Ok(replacing());
        }
        let restorable = match holder.pending_release(now) {
            Some(release) => restorable(store, phone, holder, release, context).await?.map(|found| (release, found)),
            None => None,
        };
        // The number still knows the devices that the account signed out since.
        let is_known = is_known_device(holder, &context.device, now)
            && restorable.as_ref().is_none_or(|(_, found)| found.knows(&context.device));
        // Nobody had proven the number for long when the account gave it up: whoever has it now may be another person.
        let is_doubtful = holder.is_dormant(limits, now) && !is_known;
        return Ok(match (restorable, second_signal) {
            (Some(_), None | Some(SecondSignal::Restore | SecondSignal::UndoChange)) if is_doubtful => {
                Choice::SecondSignalRequired(None)
            }
            (Some((_, found)), Some(SecondSignal::Restore)) => sign_in_as(SignInUser::Restored(Box::new(found))),
            (Some((_, found)), Some(SecondSignal::UndoChange)) if found.change.is_some() => {
                sign_in_as(SignInUser::Restored(Box::new(found)))
            }
            (_, Some(SecondSignal::UndoChange)) => Choice::NothingToUndo,
            // A change could not be taken back any more, so the number waits. A deletion is its owner's own wish.
            (Some((release, found)), Some(SecondSignal::FreshAccount)) if found.change.is_some() => {
                Choice::Released(release)
            }
            (Some(_), Some(SecondSignal::FreshAccount)) => replacing(),
            (Some((release, _)), _) => Choice::Released(release),
            // The time has passed, or somebody took the change back since: the number is nobody's.
            (None, _) => replacing(),
        });
    }
    if wants_undo_alone {
        return Ok(Choice::NothingToUndo);
    }
    let existing = sign_in_as(SignInUser::Existing(holder.user.clone()));
    if !holder.is_dormant(limits, now) {
        return Ok(existing);
    }
    match second_signal {
        Some(SecondSignal::FreshAccount) => Ok(replacing()),
        _ if proof.is_approved_by(&holder.user) || is_known_device(holder, &context.device, now) => Ok(existing),
        Some(SecondSignal::RefreshToken(token)) if is_of_holder(store, limits, holder, token, now).await? => {
            Ok(existing)
        }
        // Several people know a fixed code.
        Some(SecondSignal::Recover) if !proof.is_fixed_code() => Ok(Choice::Recover(holder.user.clone())),
        _ => Ok(Choice::SecondSignalRequired(Some(holder.user.clone()))),
    }
}

/// Asks for the account of a dormant number, or finds that it may be opened.
async fn recover(
    store: &impl OpenSessionStore,
    limits: &Limits,
    phone: &PhoneNumber,
    user: &UserId,
    context: &SignInContext,
) -> Result<RecoveryChoice, Unavailable> {
    let now = context.now;
    let found = store.read_user_and_sessions(user).await?;
    let Some((user, sessions)) = found.filter(|(user, _)| user.phone.as_ref() == Some(phone)) else {
        return Ok(RecoveryChoice::Stale);
    };
    let recovery = match user.recovery_state(limits, now) {
        RecoveryState::Refused { until } => return Ok(RecoveryChoice::Refused { until }),
        RecoveryState::Waiting(recovery) | RecoveryState::Open(recovery) if is_in_use(&sessions, &recovery) => {
            return Ok(RecoveryChoice::InUse(user.id));
        }
        RecoveryState::Open(recovery) => return Ok(RecoveryChoice::Opens(user.id, recovery)),
        RecoveryState::Waiting(recovery) => return Ok(RecoveryChoice::Pending(recovery)),
        RecoveryState::Closed => Recovery::request(phone.clone(), context.organization.clone(), &sessions, limits, now),
    };
    let reminder = |at| Due { at, kind: DueKind::RecoveryReminder, user: user.id.clone(), requested_at: now };
    let request = RecoveryRequest {
        reminder: recovery.reminder_at().map(reminder),
        notice: context
            .notices
            .as_ref()
            .and_then(|notices| notices.to_devices(AccountEvent::RecoveryRequested, &user.id, None)),
        recovery: recovery.clone(),
        user,
    };
    let is_requested = store.request_recovery(&request).await?;
    Ok(if is_requested { RecoveryChoice::Pending(recovery) } else { RecoveryChoice::Stale })
}

/// What taking back a pending release would restore; none if nothing does any more.
async fn restorable(
    store: &impl OpenSessionStore,
    phone: &PhoneNumber,
    holder: &PhoneHolder,
    release: Release,
    context: &SignInContext,
) -> Result<Option<Restoration>, Unavailable> {
    let now = context.now;
    let found = match store.read_user_and_sessions(&holder.user).await? {
        Some((user, sessions)) => Some((user, sessions, AccountState::Live)),
        None => {
            let deleted = store.read_deleted_user(&holder.user, now).await?;
            deleted.map(|user| (user, Vec::new(), AccountState::Deleted))
        }
    };
    let Some((user, sessions, state)) = found else { return Ok(None) };
    let change = match release.reason {
        ReleaseReason::NumberChanged => match user.clone().undo_change(phone, &sessions, None, now) {
            Some(change) => Some(change),
            None => return Ok(None),
        },
        ReleaseReason::AccountDeleted if state == AccountState::Deleted && user.phone.as_ref() == Some(phone) => None,
        ReleaseReason::AccountDeleted => return Ok(None),
    };
    let change = change.map(|mut change| {
        // The device that takes the change back stays known.
        change.device_keys.retain(|key| context.device.key.as_ref() != Some(key));
        change
    });
    Ok(Some(Restoration { user, state, released_until: release.until, change }))
}

fn sign_in(
    limits: &Limits,
    phone: &PhoneNumber,
    proof: &PhoneProof,
    user: SignInUser,
    forgotten_keys: Vec<KeyThumbprint>,
    notice: Option<Notice>,
    context: &SignInContext,
) -> SignIn {
    let session = Session::open(
        user.id().clone(),
        context.new_session.clone(),
        context.organization.clone(),
        context.device.clone(),
        context.now,
        limits,
    );
    SignIn {
        phone: phone.clone(),
        proof: proof.clone(),
        consumption: Consumption {
            at: context.now,
            idempotency: proof.idempotency().cloned(),
            user: user.id().clone(),
            session: Some(session.id.clone()),
        },
        user,
        organization: context.organization.clone(),
        joins: context.membership == Membership::Open,
        session,
        forgotten_keys,
        notice,
    }
}

/// What the other devices of whoever signs in are told.
fn notice(user: &SignInUser, holder: Option<&PhoneHolder>, context: &SignInContext) -> Option<Notice> {
    let event = match user {
        SignInUser::Existing(_) => {
            let is_known = holder.is_some_and(|holder| is_known_device(holder, &context.device, context.now));
            (!is_known).then_some(AccountEvent::NewDevice)?
        }
        SignInUser::Recovered(..) => AccountEvent::AccountRecovered,
        SignInUser::Restored(restoration) if restoration.change.is_some() => AccountEvent::PhoneChangeUndone,
        SignInUser::New(_) | SignInUser::Replacing { .. } | SignInUser::Restored(_) => return None,
    };
    context.notices.as_ref()?.to_devices(event, user.id(), Some(&context.new_session))
}

/// Whether the device proved a key with which the holder of the phone signed in before.
pub(super) fn is_known_device(holder: &PhoneHolder, device: &Device, now: Timestamp) -> bool {
    // Whoever had the number before, and can no longer take it back, is nobody to it.
    (holder.has_phone() || holder.pending_release(now).is_some())
        && device.key.as_ref().is_some_and(|key| holder.device_keys.contains(key))
}

/// Whether a refresh token is a second signal of a session of the holder's.
async fn is_of_holder(
    store: &impl OpenSessionStore,
    limits: &Limits,
    holder: &PhoneHolder,
    token: &PresentedRefreshToken,
    now: Timestamp,
) -> Result<bool, Unavailable> {
    if token.user != holder.user {
        return Ok(false);
    }
    let session = store.read_session(&token.user, &token.session).await?;
    Ok(session.is_some_and(|session| session.is_second_signal(token, now, limits)))
}

/// What a retry has in common with the request that it repeats.
pub(super) struct Resumption {
    pub(super) organization: OrganizationId,
    pub(super) device_key: Option<KeyThumbprint>,
    pub(super) is_test_number: bool,
}

/// The session that an earlier request opened with the same proof in the same organization and for the same key, if it is
/// still live.
pub(super) async fn resume_session(
    store: &impl OpenSessionStore,
    consumption: &Consumption,
    resumption: &Resumption,
    now: Timestamp,
) -> Result<Option<SignedIn>, Unavailable> {
    let Some(session) = &consumption.session else { return Ok(None) };
    let found = store.read_user_and_session(&consumption.user, session, now).await?;
    let Resumption { organization, device_key, is_test_number } = resumption;
    let is_same = |session: &Session| session.organization == *organization && session.device_key == *device_key;
    let found = found.filter(|found| found.session.is_live(now) && is_same(&found.session) && !found.user.is_blocked());
    Ok(found.map(|ResumedSession { user, session, other_sessions }| {
        let is_new_user = user.created_at == session.created_at;
        let is_test_number = *is_test_number;
        SignedIn {
            user,
            session,
            other_sessions,
            is_new_user,
            is_test_number,
            is_recovered: false,
            former_holder: None,
            carrier: None,
        }
    }))
}
