//! What happens at its time, without a request.

use crate::values::ids::UserId;
use crate::values::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DueKind {
    /// People are told once more of a change that waits.
    ChangeReminder,
    /// A change of number is made.
    Change,
    /// The devices are told once more that whoever has the number asks for the account.
    RecoveryReminder,
    /// A change of number becomes final, unless the former number had no codes left to take it back.
    UndoEnd,
}

impl DueKind {
    pub const ALL: [Self; 4] = [Self::ChangeReminder, Self::Change, Self::RecoveryReminder, Self::UndoEnd];

    /// The name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChangeReminder => "change_reminder",
            Self::Change => "change",
            Self::RecoveryReminder => "recovery_reminder",
            Self::UndoEnd => "undo_end",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Due {
    pub at: Timestamp,
    pub kind: DueKind,
    pub user: UserId,
    /// When the change or the recovery was asked for, or the change was made that can be taken back. Without it on the user,
    /// nothing is due.
    pub requested_at: Timestamp,
}
