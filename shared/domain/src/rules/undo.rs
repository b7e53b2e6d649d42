//! Taking back a change of number or a deletion: within 72 hours, by whoever still has the number, or, for a change, by a
//! device from before it.

use super::limits::Limits;
use super::session::Session;
use super::user::{FormerPhone, User};
use crate::values::ids::SessionId;
use crate::values::key_thumbprint::KeyThumbprint;
use crate::values::phone::PhoneNumber;
use crate::values::time::{DAY, HOUR, Timestamp};

/// How many changes of one user can be taken back at the same time. A further change waits.
pub const MAX_FORMER_PHONES: usize = 5;

/// How long before its end it is decided whether a change can be taken back for longer, because the clock comes once an hour.
/// Seconds.
const DECIDED_BEFORE_SECONDS: u32 = 2 * HOUR;
/// For how much longer at most. Seconds.
const MAX_EXTENSION_SECONDS: u32 = 7 * DAY;

/// A change that its former number may take back for longer.
#[derive(Clone, Debug)]
pub struct LongerUndo {
    /// As they were read.
    pub user: User,
    pub before: FormerPhone,
    pub after: FormerPhone,
    /// All of the user's, with the longer one.
    pub former_phones: Vec<FormerPhone>,
}

impl FormerPhone {
    pub fn decided_at(&self) -> Timestamp {
        self.until.minus(DECIDED_BEFORE_SECONDS).max(self.changed_at)
    }
}

/// A change of number, and all later ones, to take back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UndoneChange {
    /// As they were read.
    pub user: User,
    /// The number that returns.
    pub former: FormerPhone,
    /// Earlier changes, which can still be taken back.
    pub earlier: Vec<FormerPhone>,
    /// The session that made the change, and those opened since. They end.
    pub sessions: Vec<SessionId>,
    /// The keys of their devices, which are no longer known.
    pub device_keys: Vec<KeyThumbprint>,
    pub now: Timestamp,
}

impl User {
    /// The numbers that can be taken back after a change to `to` by the session `by`. If there would be too many, or if the
    /// last change was in the same second, by the same or by another clock: the moment when the change is possible. So the
    /// times of changes are in the order of the changes, and each of them identifies one.
    pub fn former_phones_after(
        &self,
        to: &PhoneNumber,
        by: &SessionId,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Vec<FormerPhone>, Timestamp> {
        if let Some(last) = self.former_phones.last().filter(|last| now <= last.changed_at) {
            let then = last.changed_at.plus(1);
            return Err(self.former_phones_after(to, by, then, limits).err().unwrap_or(then));
        }
        let mut former = self.former_phones.clone();
        former.retain(|former| now < former.until);
        if let Some(returned) = former.iter().position(|former| former.phone == *to) {
            // A change back takes back what came after: whoever has the numbers in between must not return to them.
            former.truncate(returned);
        } else if let Some(phone) = self.phone.clone().filter(|phone| phone != to) {
            former.push(FormerPhone {
                phone,
                proven_at: self.phone_proven_at.unwrap_or(self.created_at),
                changed_at: now,
                changed_by: by.clone(),
                until: now.plus(limits.undo_seconds),
            });
        }
        match former.iter().map(|former| former.until).min() {
            Some(first) if former.len() > MAX_FORMER_PHONES => Err(first),
            _ => Ok(former),
        }
    }

    /// The former number to which this session may return: the one that the user had when the session was opened.
    pub fn former_phone_of(&self, session: &Session, now: Timestamp) -> Option<&FormerPhone> {
        let pending = self.former_phones.iter().filter(|former| now < former.until);
        pending.filter(|former| session.created_at < former.changed_at).min_by_key(|former| former.changed_at)
    }

    /// A day more for the change that was made then. None if it is final, was taken back, or had as much as there is.
    pub fn with_longer_undo(self, changed_at: Timestamp, limits: &Limits, now: Timestamp) -> Option<LongerUndo> {
        let is_pending = |former: &&FormerPhone| former.changed_at == changed_at && now < former.until;
        let before = self.former_phones.iter().find(is_pending)?.clone();
        let latest = changed_at.plus(limits.undo_seconds).plus(MAX_EXTENSION_SECONDS);
        let after = FormerPhone { until: before.until.plus(DAY), ..before.clone() };
        let longer = |former: &FormerPhone| if *former == before { after.clone() } else { former.clone() };
        let former_phones = self.former_phones.iter().map(longer).collect();
        (after.until <= latest).then_some(LongerUndo { user: self, before, after, former_phones })
    }

    /// Whether the user may take this number back.
    pub fn may_return_to(&self, phone: &PhoneNumber, now: Timestamp) -> bool {
        self.former_phones.iter().any(|former| former.phone == *phone && now < former.until)
    }

    /// Takes back the change from `phone`, and all later ones. `sessions` are all of the user's; the one that asks is kept.
    pub fn undo_change(
        self,
        phone: &PhoneNumber,
        sessions: &[Session],
        asking: Option<&SessionId>,
        now: Timestamp,
    ) -> Option<UndoneChange> {
        let is_pending = |former: &FormerPhone| former.phone == *phone && now < former.until;
        let index = self.former_phones.iter().position(is_pending)?;
        // The numbers of later changes are nobody's then. Their locks stay until they end, because somebody may have them.
        let earlier = self.former_phones.iter().take(index).cloned().collect();
        let former = self.former_phones.get(index)?.clone();
        let ended = sessions.iter().filter(|session| {
            asking != Some(&session.id) && (session.created_at >= former.changed_at || session.id == former.changed_by)
        });
        let ended: Vec<&Session> = ended.collect();
        let mut device_keys: Vec<KeyThumbprint> =
            ended.iter().filter_map(|session| session.device_key.clone()).collect();
        let since = self.device_keys.0.iter().filter(|(_, at)| **at >= former.changed_at).map(|(key, _)| key.clone());
        device_keys.extend(since);
        device_keys.sort();
        device_keys.dedup();
        let own = asking.and_then(|asking| sessions.iter().find(|session| session.id == *asking));
        device_keys.retain(|key| self.device_keys.0.contains_key(key));
        device_keys.retain(|key| own.and_then(|own| own.device_key.as_ref()) != Some(key));
        let sessions = ended.iter().map(|session| session.id.clone()).collect();
        Some(UndoneChange { user: self, former, earlier, sessions, device_keys, now })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::rules::session::Device;
    use crate::rules::user::NewProfile;
    use crate::values::ids::UserId;
    use crate::values::text::OrganizationId;

    const START: Timestamp = Timestamp::from_seconds(1_000_000);

    fn phone(n: u8) -> PhoneNumber {
        PhoneNumber::from_e164(&format!("+97798410000{n:02}")).unwrap()
    }

    fn session(n: u8, at: Timestamp) -> Session {
        let organization = OrganizationId::parse("default").unwrap();
        let id = SessionId::from_random([n; 16]);
        let device = Device { key: Some(format!("{n:043}").parse().unwrap()), ..Device::default() };
        Session::open(UserId::from_random([1; 16]), id, organization, device, at, &Limits::default())
    }

    fn user() -> User {
        let organization = OrganizationId::parse("default").unwrap();
        User::new(UserId::from_random([1; 16]), phone(0), NewProfile::default(), organization, None, START)
    }

    /// A user after changes to the numbers 1 to `n`, a minute apart.
    fn changed(n: u8) -> User {
        let mut user = user();
        for n in 1..=n {
            let now = START.plus(60 * u32::from(n));
            let by = SessionId::from_random([9; 16]);
            user.former_phones = user.former_phones_after(&phone(n), &by, now, &Limits::default()).unwrap();
            (user.phone, user.phone_proven_at) = (Some(phone(n)), Some(now));
        }
        user
    }

    #[test]
    fn an_undo_returns_to_the_number_of_the_time_when_the_session_was_opened() {
        let user = changed(3);
        for (opened, expected) in
            [(0, Some(0)), (59, Some(0)), (60, Some(1)), (119, Some(1)), (179, Some(2)), (180, None)]
        {
            let former = user.former_phone_of(&session(1, START.plus(opened)), START.plus(200));
            assert_eq!(former.map(|former| former.phone.clone()), expected.map(phone), "{opened}");
        }
        // A change that is final is none to take back, but a later one still is.
        let undo_seconds = Limits::default().undo_seconds;
        let at = |moment| user.former_phone_of(&session(1, START), moment).map(|former| former.phone.clone());
        assert_eq!(at(START.plus(60).plus(undo_seconds)), Some(phone(1)));
        assert_eq!(at(START.plus(180).plus(undo_seconds)), None);
    }

    #[test]
    fn an_undo_takes_back_the_later_changes_and_leaves_the_earlier_ones() {
        let sessions = [session(1, START), session(2, START.plus(120)), session(9, START)];
        let undone = changed(3).undo_change(&phone(1), &sessions, None, START.plus(200)).unwrap();
        let phones = |former: &[FormerPhone]| former.iter().map(|former| former.phone.clone()).collect::<Vec<_>>();
        assert_eq!(undone.former.phone, phone(1));
        assert_eq!(phones(&undone.earlier), [phone(0)]);
        assert_eq!(undone.sessions, [sessions[1].id.clone(), sessions[2].id.clone()]);
        assert_eq!(undone.device_keys, [], "none of them is known");
        let own = changed(3).undo_change(&phone(1), &sessions, Some(&sessions[2].id), START.plus(200)).unwrap();
        assert_eq!(own.sessions, [sessions[1].id.clone()], "the session that asks is kept");
    }

    /// Whoever changes the number time and again must not make one of their own changes the first that can be taken back.
    #[test]
    fn no_changes_in_any_order_and_at_any_speed_take_the_first_number_from_whoever_has_it() {
        const NUMBERS: u8 = 4;
        let by = SessionId::from_random([9; 16]);
        let is_kept = |user: &User| user.phone == Some(phone(0)) || user.may_return_to(&phone(0), START.plus(9));
        // Each step: the number, whether by a change or by an undo, and whether a second later.
        let steps: Vec<(u8, bool, u32)> = (0..NUMBERS)
            .flat_map(|number| [true, false].map(|undoes| (number, undoes)))
            .flat_map(|(number, undoes)| [0, 1].map(|seconds| (number, undoes, seconds)))
            .collect();
        let mut reached = vec![(user(), START)];
        for _ in 0..4 {
            let mut next = Vec::new();
            for (user, at) in &reached {
                for (number, undoes, seconds) in &steps {
                    let (mut user, at, to) = (user.clone(), at.plus(*seconds), phone(*number));
                    if *undoes {
                        let Some(undone) = user.clone().undo_change(&to, &[], None, at) else { continue };
                        user.former_phones = undone.earlier;
                    } else {
                        let Ok(former) = user.former_phones_after(&to, &by, at, &Limits::default()) else { continue };
                        user.former_phones = former;
                    }
                    user.phone = Some(to);
                    assert!(is_kept(&user), "{user:?}");
                    next.push((user, at));
                }
            }
            next.sort_by_key(|(user, at)| (format!("{:?}", (&user.phone, &user.former_phones)), *at));
            next.dedup();
            reached = next;
        }
        assert!(reached.len() > 100);
    }

    #[test]
    fn only_five_changes_can_be_taken_back_at_once_and_a_sixth_waits() {
        let user = changed(5);
        let by = SessionId::from_random([9; 16]);
        let now = START.plus(400);
        let room_at = START.plus(60).plus(Limits::default().undo_seconds);
        assert_eq!(user.former_phones_after(&phone(6), &by, now, &Limits::default()), Err(room_at));
        // Returning to a former number needs no further room, and takes back what came after it.
        let returned = |n| user.former_phones_after(&phone(n), &by, now, &Limits::default()).unwrap();
        assert_eq!((returned(0).len(), returned(3).len()), (0, 3));
        assert!(user.former_phones_after(&phone(6), &by, room_at, &Limits::default()).is_ok());
    }
}
