//! A sign-in approved on another device: whoever proves a dormant number is let in where a device that is signed in to
//! its account says so. The devices are asked once for each challenge.

use std::future::Future;

use crate::challenge::Challenge;
use crate::ids::{ChallengeId, UserId};
use crate::phone::PhoneNumber;
use crate::session::Session;
use crate::text::FcmToken;
use crate::user::User;
use crate::{Timestamp, Unavailable};

/// How many devices are asked: those used last.
pub const MOST_ASKED: usize = 5;

/// What a device is asked: whether its person is signing in elsewhere. It tells neither the number nor the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The challenge to approve, as whoever signs in knows it.
    pub challenge: ChallengeId,
    /// Until when an approval serves.
    pub expires_at: Timestamp,
}

/// What became of a question to one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is on its way.
    Taken,
    /// The app is not on that device any more: its token is good for nothing.
    Unregistered,
    /// Nobody knows that it arrives.
    Failed,
}

/// Pushes to devices.
pub trait Pushes: Sync {
    /// Asks each device, all at once and in bounded time, and says what became of each in their order.
    fn push(
        &self,
        devices: &[FcmToken],
        question: &Question,
        now: Timestamp,
    ) -> impl Future<Output = Vec<Pushed>> + Send;
}

/// What asking devices needs of the store.
pub trait AskStore: Sync {
    /// A user's sessions that are in force, the one used last first.
    fn devices(&self, user: &UserId, now: Timestamp) -> impl Future<Output = Result<Vec<Session>, Unavailable>> + Send;
    /// Notes that devices are being asked for a challenge. `false` if they were already, or it is over.
    fn claim_asking(
        &self,
        phone: &PhoneNumber,
        challenge: &ChallengeId,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Notes that no device was asked after all.
    fn give_back_asking(
        &self,
        phone: &PhoneNumber,
        challenge: &ChallengeId,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Removes an FCM token from a session, if it still is that one.
    fn forget_fcm_token(
        &self,
        session: &Session,
        token: &FcmToken,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Asks the devices of `holder` to approve the sign-in that `challenge` is for; `shown` is the id by which whoever signs
/// in knows it. Says whether any was asked, now or before.
pub(crate) async fn ask_devices(
    store: &impl AskStore,
    pushes: Option<&impl Pushes>,
    holder: &UserId,
    phone: &PhoneNumber,
    challenge: &Challenge,
    shown: Option<&ChallengeId>,
    now: Timestamp,
) -> Result<bool, Unavailable> {
    let Some(pushes) = pushes.filter(|_| !challenge.is_approval_asked) else {
        return Ok(challenge.is_approval_asked);
    };
    let devices = to_ask(store.devices(holder, now).await?);
    if devices.is_empty() || !store.claim_asking(phone, &challenge.id).await? {
        return Ok(false);
    }
    let question = Question { challenge: shown.unwrap_or(&challenge.id).clone(), expires_at: challenge.expires_at };
    let tokens: Vec<FcmToken> = devices.iter().map(|(_, token)| token.clone()).collect();
    let pushed = pushes.push(&tokens, &question, now).await;
    for ((session, token), _) in devices.iter().zip(&pushed).filter(|(_, pushed)| **pushed == Pushed::Unregistered) {
        store.forget_fcm_token(session, token).await?;
    }
    let is_asked = pushed.contains(&Pushed::Taken);
    if !is_asked {
        store.give_back_asking(phone, &challenge.id).await?;
    }
    Ok(is_asked)
}

/// The devices to ask, with their FCM tokens, each token once.
fn to_ask(sessions: Vec<Session>) -> Vec<(Session, FcmToken)> {
    let mut devices: Vec<(Session, FcmToken)> = Vec::new();
    for session in sessions {
        let Some(token) = session.fcm_token.clone() else { continue };
        if devices.len() < MOST_ASKED && !devices.iter().any(|(_, asked)| *asked == token) {
            devices.push((session, token));
        }
    }
    devices
}

/// What approving a sign-in needs of the store.
pub trait ApprovalStore: Sync {
    /// Reads the caller.
    fn approver(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// [`Challenge::approve`] for the phone's sign-in. `false` where there is nothing to approve.
    fn approve(
        &self,
        phone: &PhoneNumber,
        challenge: &ChallengeId,
        by: &UserId,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

/// Why nothing was approved.
#[derive(Debug)]
pub enum ApprovalError {
    /// The user is gone.
    NoSuchUser,
    /// The caller's number has no such challenge, or it has expired or was used.
    NothingToApprove,
    /// Something is out of reach.
    Unavailable(Unavailable),
}

impl From<Unavailable> for ApprovalError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

/// Approves the sign-in to the caller's own number that `challenge` is for.
///
/// # Errors
/// [`ApprovalError`]; nothing was approved then, unless it is `Unavailable`: then the same request may be repeated.
pub async fn approve_sign_in(
    store: &impl ApprovalStore,
    caller: &UserId,
    challenge: &ChallengeId,
    now: Timestamp,
) -> Result<(), ApprovalError> {
    let approver = store.approver(caller).await?.ok_or(ApprovalError::NoSuchUser)?;
    let phone = approver.phone.ok_or(ApprovalError::NothingToApprove)?;
    if store.approve(&phone, challenge, caller, now).await? { Ok(()) } else { Err(ApprovalError::NothingToApprove) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ids::SessionId;
    use crate::limits::Limits;

    #[test]
    fn the_five_devices_used_last_are_asked_and_none_twice() {
        let session = |n: u8, token: Option<&str>| {
            let (user, id) = (UserId::from_random([1; 16]), SessionId::from_random([n; 16]));
            let token = token.map(|token| FcmToken::parse(token).unwrap());
            Session::open(user, id, None, token, Timestamp::default(), &Limits::default())
        };
        let tokens = [Some("a"), None, Some("b"), Some("a"), Some("c"), Some("d"), Some("e"), Some("f")];
        let sessions = (0..).zip(tokens).map(|(n, token)| session(n, token)).collect();
        let asked: Vec<String> = to_ask(sessions).into_iter().map(|(_, token)| token.as_str().to_owned()).collect();
        assert_eq!(asked, ["a", "b", "c", "d", "e"]);
    }
}
