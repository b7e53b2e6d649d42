//! Giving a proven phone to a user: at once by a code, or later, when a change that waited is due.

use crate::rules::challenge::{Challenge, Consumption, GuessLane};
use crate::rules::limits::Limits;
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::pumping::VerificationCredit;
use crate::rules::user::{DelayedChange, FormerPhone, PhoneHolder, User};
use crate::values::ids::{ChallengeId, SessionId, UserId};
use crate::values::phone::PhoneNumber;
use crate::values::text::OrganizationId;
use crate::values::time::Timestamp;

/// A code for a phone, to consume.
#[derive(Clone, Debug)]
pub struct ConsumedCode {
    pub organization: OrganizationId,
    pub phone: PhoneNumber,
    /// The caller.
    pub user: UserId,
    /// Not consumed when it was claimed.
    pub challenge: ChallengeId,
    pub lane: GuessLane,
    pub credit: Option<VerificationCredit>,
    pub now: Timestamp,
}

impl ConsumedCode {
    pub fn new(
        challenge: &Challenge,
        lane: GuessLane,
        organization: &OrganizationId,
        phone: &PhoneNumber,
        user: &UserId,
        now: Timestamp,
    ) -> Self {
        Self {
            organization: organization.clone(),
            phone: phone.clone(),
            user: user.clone(),
            challenge: challenge.id.clone(),
            lane,
            credit: challenge.credit.clone(),
            now,
        }
    }

    pub fn consumption(&self) -> Consumption {
        Consumption { at: self.now, idempotency: None, user: self.user.clone(), session: None }
    }
}

/// A proven phone and the user to bind it to, written as one transaction.
#[derive(Clone, Debug)]
pub struct PhoneBinding {
    /// The user as they were read.
    pub user: User,
    pub phone: PhoneNumber,
    /// When the user proved the phone.
    pub proven_at: Timestamp,
    /// The change that waited, if it is made now. Nobody may have refused it.
    pub waited: Option<DelayedChange>,
    /// Whom the phone's lock names: a user who has not proven it for long and loses it, or one who could once take it back.
    pub former_holder: Option<PhoneHolder>,
    /// The numbers that the user may take back after the change.
    pub former_phones: Vec<FormerPhone>,
    /// What the devices and the former number are told of a change.
    pub notices: Vec<Notice>,
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
pub enum BindOutcome {
    /// The phone is the user's. The number they had before is kept for an undo.
    Bound,
    /// Another request consumed the code first, or the change was made.
    AlreadyConsumed,
    /// Another user has the phone.
    PhoneTaken(Option<PhoneHolder>),
    /// The user's phone changed since it was read. Holds the user as they are now.
    UserChanged(Option<Box<User>>),
}

/// Who is told of a change: the devices, except the one whose deed it was, and the former number if it can take the change
/// back.
pub(super) fn notices(
    user: &User,
    to: &PhoneNumber,
    former_phones: &[FormerPhone],
    by: Option<&SessionId>,
    context: Option<&NoticeContext>,
) -> Vec<Notice> {
    let Some(context) = context.filter(|_| user.phone.as_ref() != Some(to)) else { return Vec::new() };
    let to_devices = context.to_devices(AccountEvent::PhoneChanged, &user.id, by);
    let kept = former_phones.iter().find(|kept| user.phone.as_ref() == Some(&kept.phone));
    let to_number =
        kept.map(|kept| context.to_number(AccountEvent::PhoneChanged, &user.id, kept.phone.clone(), kept.until));
    to_devices.into_iter().chain(to_number).collect()
}

/// Whether a phone that names a holder may go to somebody else.
pub(super) fn is_available(holder: &PhoneHolder, limits: &Limits, now: Timestamp) -> bool {
    match holder.release {
        Some(release) => !release.is_pending(now),
        None => holder.is_dormant(limits, now),
    }
}
