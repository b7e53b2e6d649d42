//! What users are told of their accounts. A notice is written in the transaction of what it tells of, and delivered afterwards,
//! so that it is neither lost nor waited for.

use std::str::FromStr;

use thiserror::Error;

use crate::values::ids::{NoticeId, SessionId, UserId};
use crate::values::phone::PhoneNumber;
use crate::values::text::{FcmToken, OrganizationId};
use crate::values::time::Timestamp;

/// How many devices a notice reaches.
pub const MAX_DEVICES: usize = 20;

/// Whether users are told what happens to their accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notices {
    #[default]
    On,
    Off,
}

#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("expected on or off")]
pub struct UnknownNotices;

impl FromStr for Notices {
    type Err = UnknownNotices;

    fn from_str(text: &str) -> Result<Self, UnknownNotices> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err(UnknownNotices),
        }
    }
}

/// What happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AccountEvent {
    /// A device that was not known for the number signed in.
    NewDevice,
    SignInApproved,
    PhoneChangeRequested,
    /// A change of number will be made unless somebody refuses it.
    PhoneChangePending,
    /// It will be made within a day.
    PhoneChangeDue,
    /// It will not be made.
    PhoneChangeStopped,
    PhoneChanged,
    PhoneChangeUndone,
    /// Whoever has the dormant number asked for the account.
    RecoveryRequested,
    /// Whoever has the number can open the account within a day.
    RecoveryDue,
    RecoveryStopped,
    /// Whoever has the number opened the account.
    AccountRecovered,
    UsernameChanged,
    /// Another device ended the session of this one.
    SignedOut,
    AccountDeleted,
}

impl AccountEvent {
    pub const ALL: [Self; 15] = [
        Self::NewDevice,
        Self::SignInApproved,
        Self::PhoneChangeRequested,
        Self::PhoneChangePending,
        Self::PhoneChangeDue,
        Self::PhoneChangeStopped,
        Self::PhoneChanged,
        Self::PhoneChangeUndone,
        Self::RecoveryRequested,
        Self::RecoveryDue,
        Self::RecoveryStopped,
        Self::AccountRecovered,
        Self::UsernameChanged,
        Self::SignedOut,
        Self::AccountDeleted,
    ];

    /// The name in pushes, metrics and the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NewDevice => "new_device",
            Self::SignInApproved => "sign_in_approved",
            Self::PhoneChangeRequested => "phone_change_requested",
            Self::PhoneChangePending => "phone_change_pending",
            Self::PhoneChangeDue => "phone_change_due",
            Self::PhoneChangeStopped => "phone_change_stopped",
            Self::PhoneChanged => "phone_changed",
            Self::PhoneChangeUndone => "phone_change_undone",
            Self::RecoveryRequested => "recovery_requested",
            Self::RecoveryDue => "recovery_due",
            Self::RecoveryStopped => "recovery_stopped",
            Self::AccountRecovered => "account_recovered",
            Self::UsernameChanged => "username_changed",
            Self::SignedOut => "signed_out",
            Self::AccountDeleted => "account_deleted",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recipient {
    /// The devices of the user's sessions, except the one whose deed it was.
    DevicesBut(Option<SessionId>),
    /// These devices, because their sessions have ended by the time of the delivery.
    Devices(Vec<FcmToken>),
    /// By SMS, a number of the account that can stop a change of number, or take it back, until then.
    Number { phone: PhoneNumber, until: Timestamp },
}

/// One thing that one user is told, by one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    pub id: NoticeId,
    pub event: AccountEvent,
    pub user: UserId,
    pub organization: OrganizationId,
    pub recipient: Recipient,
    pub at: Timestamp,
}

/// What the notices of one request have in common; none where a deployment tells nobody.
#[derive(Clone, Debug)]
pub struct NoticeContext {
    /// None where no device can be reached.
    pub push_id: Option<NoticeId>,
    pub sms_id: NoticeId,
    pub organization: OrganizationId,
    pub at: Timestamp,
}

impl NoticeContext {
    /// What the user's devices are told, except the one whose deed it was.
    pub fn to_devices(&self, event: AccountEvent, user: &UserId, by: Option<&SessionId>) -> Option<Notice> {
        Some(self.notice(self.push_id.as_ref()?, event, user, Recipient::DevicesBut(by.cloned())))
    }

    /// What devices are told whose sessions end; none if none of them can be reached.
    pub fn to_ended(&self, event: AccountEvent, user: &UserId, mut devices: Vec<FcmToken>) -> Option<Notice> {
        devices.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        devices.dedup();
        devices.truncate(MAX_DEVICES);
        let id = self.push_id.as_ref().filter(|_| !devices.is_empty())?;
        Some(self.notice(id, event, user, Recipient::Devices(devices)))
    }

    pub fn to_number(&self, event: AccountEvent, user: &UserId, phone: PhoneNumber, until: Timestamp) -> Notice {
        self.notice(&self.sms_id, event, user, Recipient::Number { phone, until })
    }

    fn notice(&self, id: &NoticeId, event: AccountEvent, user: &UserId, recipient: Recipient) -> Notice {
        Notice {
            id: id.clone(),
            event,
            user: user.clone(),
            organization: self.organization.clone(),
            recipient,
            at: self.at,
        }
    }
}
