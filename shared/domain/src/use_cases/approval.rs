//! Approving a sign-in on another device: a person who proves a dormant number signs in if a device of its account approves.
//! The devices are asked once for each challenge.

use std::future::Future;

use thiserror::Error;

use crate::rules::challenge::{Challenge, Claim};
use crate::rules::notice::{AccountEvent, Notice, NoticeContext};
use crate::rules::session::Session;
use crate::rules::token::Caller;
use crate::rules::user::User;
use crate::values::ids::{ChallengeId, UserId};
use crate::values::phone::PhoneNumber;
use crate::values::text::FcmToken;
use crate::values::time::Timestamp;
use crate::values::unavailable::Unavailable;

/// How many devices are asked: those used last.
pub const MAX_DEVICES: usize = 5;

/// What a device is asked. It contains neither the number nor the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// The challenge by the id that the person who signs in was issued.
    pub challenge: ChallengeId,
    pub expires_at: Timestamp,
}

/// What became of a push to one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    Accepted,
    /// The app is no longer on the device, so its token is useless.
    Unregistered,
    /// Rejected, or it is unknown whether it arrives.
    Failed,
}

pub trait PushGateway: Sync {
    /// Pushes to all devices at the same time and in bounded time. Returns one outcome for each device, in order.
    fn push(
        &self,
        devices: &[FcmToken],
        request: &ApprovalRequest,
        now: Timestamp,
    ) -> impl Future<Output = Vec<PushOutcome>> + Send;
}

pub trait ApprovalRequestStore: Sync {
    /// A user's live sessions, the last used one first.
    fn devices(&self, user: &UserId, now: Timestamp) -> impl Future<Output = Result<Vec<Session>, Unavailable>> + Send;
    /// Records that devices are asked for a challenge. `false` if they already were, or the challenge has ended.
    fn claim_approval_request(
        &self,
        claim: &Claim,
        challenge: &ChallengeId,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
    /// Reverts [`Self::claim_approval_request`], because no device was asked.
    fn release_approval_request(
        &self,
        claim: &Claim,
        challenge: &ChallengeId,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
    /// Removes an FCM token from a session, unless the session has another one by now.
    fn forget_fcm_token(
        &self,
        session: &Session,
        token: &FcmToken,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// Asks the devices of `holder` to approve the sign-in of `claim`. Returns whether any device was asked, now or before.
pub(super) async fn request_approval(
    store: &impl ApprovalRequestStore,
    pushes: Option<&impl PushGateway>,
    holder: &UserId,
    claim: &Claim,
    challenge: &Challenge,
) -> Result<bool, Unavailable> {
    let Some(pushes) = pushes.filter(|_| !challenge.approval_requested) else {
        return Ok(challenge.approval_requested);
    };
    let devices = one_session_for_each_token(store.devices(holder, claim.now).await?, MAX_DEVICES);
    if devices.is_empty() || !store.claim_approval_request(claim, &challenge.id).await? {
        return Ok(false);
    }
    let issued = claim.challenge_id.as_ref().unwrap_or(&challenge.id);
    let request = ApprovalRequest { challenge: issued.clone(), expires_at: challenge.expires_at };
    let tokens: Vec<FcmToken> = devices.iter().map(|(_, token)| token.clone()).collect();
    let outcomes = pushes.push(&tokens, &request, claim.now).await;
    let is_asked = outcomes.contains(&PushOutcome::Accepted);
    if !is_asked {
        store.release_approval_request(claim, &challenge.id).await?;
    }
    for ((session, token), outcome) in devices.iter().zip(&outcomes) {
        if *outcome == PushOutcome::Unregistered {
            // A token that stays is found unregistered again. That must not fail the sign-in.
            let _ = store.forget_fcm_token(session, token).await;
        }
    }
    Ok(is_asked)
}

/// The first `max` of the sessions whose devices can be reached, with their FCM tokens; each token once.
pub(super) fn one_session_for_each_token(sessions: Vec<Session>, max: usize) -> Vec<(Session, FcmToken)> {
    let mut devices: Vec<(Session, FcmToken)> = Vec::new();
    for session in sessions {
        let Some(token) = session.fcm_token.clone() else { continue };
        if devices.len() < max && !devices.iter().any(|(_, asked)| *asked == token) {
            devices.push((session, token));
        }
    }
    devices
}

pub trait ApprovalStore: Sync {
    fn approver(&self, id: &UserId) -> impl Future<Output = Result<Option<User>, Unavailable>> + Send;
    /// Applies [`Challenge::approve`] to the phone's sign-in challenge that issued the id, of whichever organization. `false`
    /// if there is nothing to approve.
    fn approve(
        &self,
        phone: &PhoneNumber,
        challenge: &ChallengeId,
        by: &UserId,
        notice: Option<&Notice>,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, Unavailable>> + Send;
}

#[derive(Debug, Error)]
pub enum ApprovalError {
    #[error("the user no longer exists")]
    NoSuchUser,
    #[error("the caller's number has no such challenge, or it has ended")]
    NothingToApprove,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Approves a sign-in to the caller's own number. If it is `Unavailable`, the request may be repeated; after any other
/// error nothing was approved.
pub async fn approve_sign_in(
    store: &impl ApprovalStore,
    caller: &Caller,
    challenge: &ChallengeId,
    notices: Option<&NoticeContext>,
    now: Timestamp,
) -> Result<(), ApprovalError> {
    let user = &caller.user;
    let approver = store.approver(user).await?.ok_or(ApprovalError::NoSuchUser)?;
    let phone = approver.phone.ok_or(ApprovalError::NothingToApprove)?;
    let notice =
        notices.and_then(|notices| notices.to_devices(AccountEvent::SignInApproved, user, Some(&caller.session)));
    if store.approve(&phone, challenge, user, notice.as_ref(), now).await? {
        Ok(())
    } else {
        Err(ApprovalError::NothingToApprove)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rules::limits::Limits;
    use crate::rules::session::Device;
    use crate::values::ids::SessionId;
    use crate::values::text::OrganizationId;

    #[test]
    fn the_five_devices_used_last_are_asked_and_each_token_once() {
        let session = |n: u8, token: Option<&str>| {
            let (user, id) = (UserId::from_random([1; 16]), SessionId::from_random([n; 16]));
            let token = token.map(|token| FcmToken::parse(token).unwrap());
            let organization = OrganizationId::parse("default").unwrap();
            let device = Device { fcm_token: token, ..Device::default() };
            Session::open(user, id, organization, device, Timestamp::default(), &Limits::default())
        };
        let tokens = [Some("a"), None, Some("b"), Some("a"), Some("c"), Some("d"), Some("e"), Some("f")];
        let sessions = (0..).zip(tokens).map(|(n, token)| session(n, token)).collect();
        let asked: Vec<String> = one_session_for_each_token(sessions, MAX_DEVICES)
            .into_iter()
            .map(|(_, token)| token.as_str().to_owned())
            .collect();
        assert_eq!(asked, ["a", "b", "c", "d", "e"]);
    }
}
