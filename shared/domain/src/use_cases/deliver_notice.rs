//! Delivering a notice: to each device by a push, or to a number by SMS. A notice is removed once it is delivered, so that a
//! repeated delivery finds nothing.

use std::future::Future;

use thiserror::Error;

use super::approval::{PushOutcome, one_session_for_each_token};
use super::send_otp::{SendFailure, SmsGateways};
use crate::rules::notice::{AccountEvent, MAX_DEVICES, Notice, Recipient};
use crate::rules::organization::Organization;
use crate::rules::session::Session;
use crate::values::ids::{NoticeId, UserId};
use crate::values::language::NumberNotice;
use crate::values::numbering_plan::NumberingPlan;
use crate::values::phone::{DialledNumber, PhoneNumber};
use crate::values::text::FcmToken;
use crate::values::time::{HOUR, Timestamp};
use crate::values::unavailable::Unavailable;

pub trait NoticeGateway: Sync {
    /// Pushes to all devices at the same time and in bounded time. Returns one outcome for each device, in order.
    fn push_notice(
        &self,
        devices: &[FcmToken],
        notice: &Notice,
        now: Timestamp,
    ) -> impl Future<Output = Vec<PushOutcome>> + Send;
}

pub trait DeliverNoticeStore: Sync {
    /// A notice that is not delivered yet.
    fn pending_notice(
        &self,
        user: &UserId,
        id: &NoticeId,
    ) -> impl Future<Output = Result<Option<Notice>, Unavailable>> + Send;
    /// A user's live sessions, the last used one first.
    fn devices(&self, user: &UserId, now: Timestamp) -> impl Future<Output = Result<Vec<Session>, Unavailable>> + Send;
    /// Removes an FCM token from a session, unless the session has another one by now.
    fn forget_fcm_token(
        &self,
        session: &Session,
        token: &FcmToken,
    ) -> impl Future<Output = Result<(), Unavailable>> + Send;
    fn remove_notice(&self, notice: &Notice) -> impl Future<Output = Result<(), Unavailable>> + Send;
}

/// What became of a notice that needs no further delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Delivered,
    /// The user has no other device that can be reached.
    NobodyToTell,
    /// A gateway says that the number cannot receive messages, or blocked the message.
    Refused,
}

impl Delivery {
    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::NobodyToTell => "nobody_to_tell",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug, Error)]
pub enum DeliverNoticeError {
    #[error("FCM accepted {accepted} of {devices} pushes")]
    Pushes { accepted: usize, devices: usize },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// How notices go out.
pub struct NoticeChannels<'a, Pushes, Messages> {
    /// None if the deployment pushes nothing.
    pub pushes: Option<&'a Pushes>,
    pub messages: &'a Messages,
    pub organization: &'a Organization,
    pub plan: &'a NumberingPlan,
}

/// Delivers a notice that is pending. After an error the notice stays and the delivery may be repeated; a device that was
/// told is then told again, with the same id.
pub async fn deliver_notice(
    store: &impl DeliverNoticeStore,
    channels: &NoticeChannels<'_, impl NoticeGateway, impl SmsGateways>,
    notice: &Notice,
    now: Timestamp,
) -> Result<Delivery, DeliverNoticeError> {
    let delivery = match &notice.recipient {
        Recipient::Number { phone, until } => text(channels, notice.event, phone, now.seconds_until(*until)).await?,
        Recipient::Devices(devices) => {
            let sessions = store.devices(&notice.user, now).await?;
            // A device that is signed in again was not signed out by somebody else.
            let is_signed_in =
                |token: &FcmToken| sessions.iter().any(|session| session.fcm_token.as_ref() == Some(token));
            let devices: Vec<FcmToken> = devices.iter().filter(|token| !is_signed_in(token)).cloned().collect();
            let outcomes = push(channels.pushes, &devices, notice, now).await;
            told(&outcomes)?
        }
        Recipient::DevicesBut(by) => {
            let mut others = store.devices(&notice.user, now).await?;
            if let Some(by) = by {
                // An earlier session of the same device has the same token.
                let own = others.iter().find(|session| session.id == *by).and_then(|session| session.fcm_token.clone());
                others.retain(|session| session.id != *by && (own.is_none() || session.fcm_token != own));
            }
            let devices = one_session_for_each_token(others, MAX_DEVICES);
            let tokens: Vec<FcmToken> = devices.iter().map(|(_, token)| token.clone()).collect();
            let outcomes = push(channels.pushes, &tokens, notice, now).await;
            for ((session, token), outcome) in devices.iter().zip(&outcomes) {
                if *outcome == PushOutcome::Unregistered {
                    // A token that stays is found unregistered again.
                    let _ = store.forget_fcm_token(session, token).await;
                }
            }
            told(&outcomes)?
        }
    };
    store.remove_notice(notice).await?;
    Ok(delivery)
}

async fn push(
    pushes: Option<&impl NoticeGateway>,
    devices: &[FcmToken],
    notice: &Notice,
    now: Timestamp,
) -> Vec<PushOutcome> {
    match pushes {
        Some(pushes) if !devices.is_empty() => pushes.push_notice(devices, notice, now).await,
        _ => Vec::new(),
    }
}

fn told(outcomes: &[PushOutcome]) -> Result<Delivery, DeliverNoticeError> {
    let count = |wanted: PushOutcome| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    match (count(PushOutcome::Accepted), count(PushOutcome::Failed)) {
        (0, 0) => Ok(Delivery::NobodyToTell),
        (_, 0) => Ok(Delivery::Delivered),
        (accepted, _) => Err(DeliverNoticeError::Pushes { accepted, devices: outcomes.len() }),
    }
}

async fn text(
    channels: &NoticeChannels<'_, impl NoticeGateway, impl SmsGateways>,
    event: AccountEvent,
    number: &PhoneNumber,
    seconds: u32,
) -> Result<Delivery, Unavailable> {
    let NoticeChannels { messages, organization, plan, .. } = channels;
    // A number that the numbering plan no longer has cannot be told.
    let Ok(to) = DialledNumber::parse(number.e164(), organization.default_country, plan) else {
        return Ok(Delivery::Refused);
    };
    let notice = match event {
        AccountEvent::PhoneChanged => NumberNotice::Changed,
        _ => NumberNotice::ChangePending,
    };
    match messages.send(&to, &organization.format.notice(notice, seconds.div_ceil(HOUR))).await {
        Ok(_) => Ok(Delivery::Delivered),
        Err(SendFailure::NumberRefused | SendFailure::Blocked) => Ok(Delivery::Refused),
        Err(SendFailure::NoGateway(unavailable)) => Err(unavailable),
    }
}
