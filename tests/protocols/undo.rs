//! Changes of number, at once and after a wait, undos, a deletion, a recovery and new accounts at the same numbers: an owner, a
//! thief and newcomers. Each of them reads, plans by the domain's rules, and writes on the conditions of the store's
//! transaction.

use domain::rules::device_keys::DeviceKeys;
use domain::rules::limits::Limits;
use domain::rules::recovery::RecoveryState;
use domain::rules::session::{Device, Session};
use domain::rules::undo::UndoneChange;
use domain::rules::user::{DelayedChange, Ending, FormerPhone, NewProfile, Recovery, Release, ReleaseReason, User};
use domain::values::ids::{SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::phone::PhoneNumber;
use domain::values::text::OrganizationId;
use domain::values::time::{HOUR, Timestamp};
use stateright::{Model, Property};

use crate::explore;

const START: Timestamp = Timestamp::from_seconds(1_000_000);
/// The owner's number, and two of the thief's.
const PHONES: usize = 3;
const OWN: usize = 0;
/// The owner's session, from before everything, and the thief's.
const OWNERS: u8 = 1;
const THIEFS: u8 = 2;

/// What somebody does once, to the account or with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    /// The thief gives the account this number.
    Change(usize),
    /// The holder of this number takes the change from it back, by a code.
    UndoByCode(usize),
    /// The owner's session takes a change back.
    UndoBySession,
    Delete,
    /// Somebody opens a new account at this number, where that is possible.
    FreshAccount(usize),
    /// The holder of this number takes the deletion back.
    Restore(usize),
    /// The owner's device asks for this number without the old one.
    Ask(usize),
    /// The clock makes the change that is due.
    MakeDue,
    /// Another device refuses the change that waits.
    Refuse,
    /// Another device signs out the one that asked.
    SignOutAsker,
    /// The holder of this number signs in, if it opens the account.
    Prove(usize),
    /// Whoever has this dormant number asks for the account, or opens it.
    Recover(usize),
    /// A device refuses that.
    RefuseRecovery,
}

/// A write that is planned.
#[derive(Clone, Debug, Hash, PartialEq)]
enum Plan {
    Change {
        seen: User,
        former: Vec<FormerPhone>,
        to: usize,
    },
    Undo(UndoneChange),
    Delete(User),
    FreshAccount {
        at: usize,
        seen: Option<Lock>,
    },
    /// Takes back a deletion, and the change before it if there is one.
    Undelete {
        at: usize,
        seen: Lock,
        undone: Option<UndoneChange>,
    },
    Ask {
        seen: User,
        change: DelayedChange,
    },
    MakeDue {
        seen: User,
        change: DelayedChange,
        former: Vec<FormerPhone>,
    },
    Refuse(DelayedChange),
    SignOutAsker,
    Prove(usize),
    AskRecovery {
        seen: User,
        recovery: Recovery,
    },
    OpenRecovery {
        at: usize,
        recovery: Recovery,
    },
    RefuseRecovery(Recovery),
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Progress {
    Begins,
    Planned(Box<Plan>),
    Done,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Lock {
    user: UserId,
    release: Option<Release>,
}

#[derive(Clone, Debug, Hash, PartialEq)]
struct State {
    /// The account; none if it is deleted.
    account: Option<User>,
    deleted: Option<User>,
    /// The holders of new accounts, each with its number.
    newcomers: Vec<(UserId, usize)>,
    locks: [Option<Lock>; PHONES],
    /// Those of the account.
    sessions: Vec<Session>,
    progress: Vec<Progress>,
    now: Timestamp,
    waits_left: u8,
    history: History,
}

/// What happened, for the properties alone.
#[derive(Clone, Debug, Default, Hash, PartialEq)]
struct History {
    /// Somebody refused the change that waited, or proved the number since.
    refused_change: bool,
    /// A device refused the recovery. Whoever proves the number does not: then the code alone opens the account.
    refused_recovery: bool,
    made_after_refusal: bool,
    opened_after_refusal: bool,
    made: bool,
    recovered: bool,
}

#[derive(Clone, Debug, Hash, PartialEq)]
enum Action {
    Plan(usize),
    /// Writes if the conditions hold; otherwise plans again.
    Write(usize),
    /// Past the end of every undo.
    Wait,
}

struct Undo {
    deeds: Vec<Deed>,
    waits: u8,
    limits: Limits,
    /// What is reached in some order.
    goal: fn(&State) -> bool,
}

fn phone(n: usize) -> PhoneNumber {
    PhoneNumber::from_e164(&format!("+97798410000{n:02}")).unwrap()
}

fn place(phone: &PhoneNumber) -> usize {
    (0..PHONES).find(|n| self::phone(*n) == *phone).unwrap()
}

fn account() -> UserId {
    UserId::from_random([1; 16])
}

fn session_id(n: u8) -> SessionId {
    SessionId::from_random([n; 16])
}

fn owners_key() -> KeyThumbprint {
    "A".repeat(43).parse().unwrap()
}

fn organization() -> OrganizationId {
    OrganizationId::parse("default").unwrap()
}

impl State {
    fn lock(&self, phone: usize) -> Option<&Lock> {
        self.locks[phone].as_ref()
    }

    /// Whether the account has this number.
    fn has(&self, phone: usize) -> bool {
        self.lock(phone).is_some_and(|lock| lock.user == account() && lock.release.is_none())
    }
}

impl Undo {
    fn plan(&self, state: &State, client: usize) -> Option<Plan> {
        let now = state.now;
        match self.deeds[client] {
            Deed::Change(to) => {
                let seen = state.account.clone()?;
                // The thief's token is of a session that is still open.
                state.sessions.iter().find(|session| session.id == session_id(THIEFS))?;
                let former = seen.former_phones_after(&phone(to), &session_id(THIEFS), now, &self.limits).ok()?;
                Some(Plan::Change { seen, former, to })
            }
            Deed::UndoByCode(at) => {
                let lock = state.lock(at)?;
                let release = lock.release.filter(|release| release.is_pending(now))?;
                (lock.user == account() && release.reason == ReleaseReason::NumberChanged).then_some(())?;
                let (user, is_deleted) = match &state.account {
                    Some(user) => (user.clone(), false),
                    None => (state.deleted.clone()?, true),
                };
                let undone = user.undo_change(&phone(at), &state.sessions, None, now)?;
                Some(if is_deleted {
                    Plan::Undelete { at, seen: lock.clone(), undone: Some(undone) }
                } else {
                    Plan::Undo(undone)
                })
            }
            Deed::UndoBySession => {
                let user = state.account.clone()?;
                let own = state.sessions.iter().find(|session| session.id == session_id(OWNERS))?;
                let former = user.former_phone_of(own, now)?.phone.clone();
                user.undo_change(&former, &state.sessions, Some(&session_id(OWNERS)), now).map(Plan::Undo)
            }
            Deed::Delete => state.account.clone().map(Plan::Delete),
            Deed::FreshAccount(at) => {
                let seen = state.lock(at).cloned();
                let is_available = seen.as_ref().is_none_or(|lock| match lock.release {
                    None => false,
                    Some(release) => {
                        !release.is_pending(now)
                            || release.reason == ReleaseReason::AccountDeleted
                            || !state
                                .account
                                .iter()
                                .chain(&state.deleted)
                                .any(|user| user.may_return_to(&phone(at), now))
                    }
                });
                is_available.then_some(Plan::FreshAccount { at, seen })
            }
            Deed::Restore(at) => {
                let seen = state.lock(at)?.clone();
                let release = seen.release.filter(|release| release.is_pending(now))?;
                let was_here = state.deleted.as_ref()?.phone == Some(phone(at));
                let is_deletion = release.reason == ReleaseReason::AccountDeleted;
                (was_here && is_deletion).then_some(Plan::Undelete { at, seen, undone: None })
            }
            Deed::Ask(to) => {
                let seen = state.account.clone()?;
                let may_ask =
                    seen.phone != Some(phone(to)) && seen.may_ask_for_change(&owners_key(), &self.limits, now).is_ok();
                let change = DelayedChange {
                    from: seen.phone.clone(),
                    to: phone(to),
                    requested_at: now,
                    due_at: now.plus(self.limits.delayed_change_seconds),
                    requested_by: session_id(OWNERS),
                    device_key: owners_key(),
                    organization: organization(),
                    ended: None,
                };
                may_ask.then_some(Plan::Ask { seen, change })
            }
            Deed::MakeDue => {
                let seen = state.account.clone()?;
                let change = seen.pending_change(now).filter(|change| change.due_at <= now)?.clone();
                let former = seen.former_phones_after(&change.to, &change.requested_by, now, &self.limits).ok()?;
                Some(Plan::MakeDue { seen, change, former })
            }
            Deed::SignOutAsker => state.account.is_some().then_some(Plan::SignOutAsker),
            Deed::Refuse => state.account.as_ref()?.pending_change(now).cloned().map(Plan::Refuse),
            Deed::Prove(at) => (state.has(at) && !self.is_dormant(state)).then_some(Plan::Prove(at)),
            Deed::Recover(at) => {
                (state.has(at) && self.is_dormant(state)).then_some(())?;
                let seen = state.account.clone()?;
                match seen.recovery_state(&self.limits, now) {
                    RecoveryState::Closed => {
                        let recovery = Recovery::request(phone(at), organization(), &state.sessions, &self.limits, now);
                        Some(Plan::AskRecovery { seen, recovery })
                    }
                    RecoveryState::Open(recovery) => Some(Plan::OpenRecovery { at, recovery }),
                    RecoveryState::Waiting(_) | RecoveryState::Refused { .. } => None,
                }
            }
            Deed::RefuseRecovery => {
                state.account.as_ref()?.pending_recovery(&self.limits, now).map(Plan::RefuseRecovery)
            }
        }
    }

    /// Writes all of a plan, or nothing if a condition of its transaction fails.
    fn write(&self, state: &mut State, plan: Plan, client: usize) -> Option<()> {
        let until = state.now.plus(self.limits.undo_seconds);
        match plan {
            Plan::Change { seen, former, to } => {
                let user = state.account.as_mut()?;
                let is_same = (&user.phone, &user.former_phones) == (&seen.phone, &seen.former_phones);
                let is_free = state.locks[to].as_ref().is_none_or(|lock| {
                    lock.user == user.id || lock.release.is_some_and(|release| !release.is_pending(state.now))
                });
                let before = seen.phone.as_ref().map(place).filter(|before| *before != to);
                let is_released = |before: usize| {
                    let lock = state.locks[before].as_ref();
                    lock.is_some_and(|lock| lock.user == user.id && lock.release.is_none())
                };
                (is_same && is_free && before.is_none_or(is_released)).then_some(())?;
                let is_overtaken = user.delayed_change == seen.delayed_change;
                is_overtaken.then_some(())?;
                if let Some(ended) = seen.overtaken_change(state.now) {
                    user.delayed_change = Some(Box::new(ended));
                }
                (user.phone, user.phone_proven_at) = (Some(phone(to)), Some(state.now));
                user.former_phones = former;
                if let Some(before) = before {
                    let former = user.former_phones.iter().find(|former| former.phone == phone(before));
                    state.locks[before] = former.map(|former| {
                        let release = Some(Release { reason: ReleaseReason::NumberChanged, until: former.until });
                        Lock { user: user.id.clone(), release }
                    });
                }
                state.locks[to] = Some(Lock { user: account(), release: None });
            }
            Plan::Undo(undone) => {
                let user = state.account.as_mut()?;
                let seen = &undone.user;
                let is_same = (&user.phone, &user.former_phones, user.sign_ins)
                    == (&seen.phone, &seen.former_phones, seen.sign_ins);
                let returns = place(&undone.former.phone);
                let lock = state.locks[returns].as_ref()?;
                let is_kept =
                    lock.user == user.id && lock.release.map(|release| release.until) == Some(undone.former.until);
                (is_same && is_kept).then_some(())?;
                if let Some(present) = user.phone.as_ref().map(place) {
                    let lock = state.locks[present].as_ref()?;
                    (lock.user == user.id && lock.release.is_none()).then_some(())?;
                    state.locks[present] = None;
                }
                (user.delayed_change == seen.delayed_change).then_some(())?;
                if let Some(ended) = seen.overtaken_change(state.now) {
                    user.delayed_change = Some(Box::new(ended));
                }
                user.phone = Some(undone.former.phone.clone());
                user.former_phones = undone.earlier;
                state.locks[returns] = Some(Lock { user: account(), release: None });
                state.sessions.retain(|session| !undone.sessions.contains(&session.id));
                user.device_keys.0.retain(|key, _| !undone.device_keys.contains(key));
            }
            Plan::Delete(seen) => {
                let user = state.account.as_ref()?;
                (user.phone == seen.phone && user.sign_ins == seen.sign_ins).then_some(())?;
                let present = user.phone.as_ref().map(place)?;
                let lock = state.locks[present].as_ref()?;
                (lock.user == user.id && lock.release.is_none()).then_some(())?;
                let release = Some(Release { reason: ReleaseReason::AccountDeleted, until });
                state.locks[present] = Some(Lock { user: account(), release });
                let devices = DeviceKeys::default();
                state.deleted = state.account.take().map(|user| User { device_keys: devices, ..user });
                state.sessions.clear();
            }
            Plan::FreshAccount { at, seen } => {
                (state.locks[at] == seen).then_some(())?;
                let id = UserId::from_random([10 + u8::try_from(client).unwrap(); 16]);
                state.locks[at] = Some(Lock { user: id.clone(), release: None });
                state.newcomers.push((id, at));
            }
            Plan::Undelete { at, seen, undone } => {
                (state.locks[at].as_ref() == Some(&seen)).then_some(())?;
                let user = state.deleted.take()?;
                let former_phones = undone.map_or(user.former_phones.clone(), |undone| undone.earlier);
                state.locks[at] = Some(Lock { user: account(), release: None });
                state.account =
                    Some(User { phone: Some(phone(at)), former_phones, sign_ins: user.sign_ins + 1, ..user });
            }
            Plan::Ask { seen, change } => {
                let user = state.account.as_mut()?;
                let is_same = (&user.phone, user.phone_proven_at, &user.delayed_change)
                    == (&seen.phone, seen.phone_proven_at, &seen.delayed_change);
                (is_same && user.device_keys.contains(&owners_key())).then_some(())?;
                user.delayed_change = Some(Box::new(change));
                state.history.refused_change = false;
            }
            Plan::MakeDue { seen, change, former } => {
                let user = state.account.as_mut()?;
                let is_same = (&user.phone, user.phone_proven_at, &user.former_phones)
                    == (&seen.phone, seen.phone_proven_at, &seen.former_phones);
                let is_pending = user.delayed_change.as_deref() == Some(&change);
                let knows = seen.device_keys.0.keys().all(|key| user.device_keys.contains(key));
                (is_same && is_pending && knows).then_some(())?;
                let to = place(&change.to);
                let is_free = state.locks[to].as_ref().is_none_or(|lock| {
                    lock.user == user.id || lock.release.is_some_and(|release| !release.is_pending(state.now))
                });
                let before = seen.phone.as_ref().map(place)?;
                let lock = state.locks[before].as_ref()?;
                (is_free && lock.user == user.id && lock.release.is_none()).then_some(())?;
                (user.phone, user.phone_proven_at) = (Some(change.to), Some(change.requested_at));
                (user.former_phones, user.delayed_change) = (former, None);
                let former = user.former_phones.iter().find(|former| former.phone == phone(before));
                state.locks[before] = former.map(|former| {
                    let release = Some(Release { reason: ReleaseReason::NumberChanged, until: former.until });
                    Lock { user: account(), release }
                });
                state.locks[to] = Some(Lock { user: account(), release: None });
                state.history.made = true;
                state.history.made_after_refusal |= state.history.refused_change;
            }
            Plan::Refuse(seen) => {
                let user = state.account.as_mut()?;
                (user.delayed_change.as_deref() == Some(&seen)).then_some(())?;
                user.delayed_change = Some(Box::new(seen.ended(Ending::Refused { at: state.now })));
                state.history.refused_change = true;
            }
            Plan::SignOutAsker => {
                let user = state.account.as_mut()?;
                user.device_keys.0.remove(&owners_key());
                state.sessions.retain(|session| session.id != session_id(OWNERS));
                state.history.refused_change |= user.delayed_change.is_some();
            }
            Plan::Prove(at) => {
                let lock = state.locks[at].as_ref()?;
                let user = state.account.as_mut()?;
                (lock.user == user.id && lock.release.is_none()).then_some(())?;
                *user = user.clone().signed_in(None, None, state.now);
                state.history.refused_change |= user.delayed_change.is_some();
            }
            Plan::AskRecovery { seen, recovery } => {
                let user = state.account.as_mut()?;
                let is_same = (&user.phone, user.phone_proven_at, &user.recovery)
                    == (&seen.phone, seen.phone_proven_at, &seen.recovery);
                is_same.then_some(())?;
                user.recovery = Some(Box::new(recovery));
                state.history.refused_recovery = false;
            }
            Plan::OpenRecovery { at, recovery } => {
                let lock = state.locks[at].as_ref()?;
                let user = state.account.as_mut()?;
                (lock.user == user.id && lock.release.is_none()).then_some(())?;
                (user.recovery.as_deref() == Some(&recovery)).then_some(())?;
                *user = User { recovery: None, ..user.clone().signed_in(None, None, state.now) };
                state.history.recovered = true;
                state.history.opened_after_refusal |= state.history.refused_recovery;
            }
            Plan::RefuseRecovery(seen) => {
                let user = state.account.as_mut()?;
                (user.recovery.as_deref() == Some(&seen)).then_some(())?;
                user.recovery = Some(Box::new(Recovery { refused_at: Some(state.now), ..seen }));
                state.history.refused_recovery = true;
            }
        }
        Some(())
    }
}

impl Model for Undo {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let key = Some(owners_key());
        let user = User::new(account(), phone(OWN), NewProfile::default(), organization(), key.clone(), START);
        let session = |n: u8, after: u32| {
            let device = Device { key: key.clone().filter(|_| n == OWNERS), ..Device::default() };
            Session::open(account(), session_id(n), organization(), device, START.plus(after), &self.limits)
        };
        let mut locks = [const { None }; PHONES];
        locks[OWN] = Some(Lock { user: account(), release: None });
        vec![State {
            account: Some(user),
            deleted: None,
            newcomers: Vec::new(),
            locks,
            sessions: vec![session(OWNERS, 0), session(THIEFS, 60)],
            progress: vec![Progress::Begins; self.deeds.len()],
            now: START.plus(120),
            waits_left: self.waits,
            history: History::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (client, progress) in state.progress.iter().enumerate() {
            match progress {
                Progress::Begins => actions.push(Action::Plan(client)),
                Progress::Planned(_) => actions.push(Action::Write(client)),
                Progress::Done => {}
            }
        }
        if state.waits_left > 0 {
            actions.push(Action::Wait);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Plan(client) => {
                state.progress[client] =
                    self.plan(last, client).map_or(Progress::Done, |plan| Progress::Planned(Box::new(plan)));
            }
            Action::Write(client) => {
                let Progress::Planned(plan) = &last.progress[client] else { return None };
                state.progress[client] = match self.write(&mut state, Plan::clone(plan), client) {
                    Some(()) => Progress::Done,
                    // Nothing is written, also where a condition failed after others held.
                    None => return self.replanned(last, client),
                };
                state.now = state.now.plus(1);
            }
            Action::Wait => {
                state.waits_left -= 1;
                state.now = state.now.plus(73 * HOUR);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("an account has at most one number, and its lock", |_, state: &State| {
                let held: Vec<usize> = (0..PHONES).filter(|n| state.has(*n)).collect();
                match &state.account {
                    Some(user) => held == user.phone.iter().map(place).collect::<Vec<_>>(),
                    None => held.is_empty(),
                }
            }),
            Property::always("nobody ends without a number", |_, state: &State| {
                let has = state.account.as_ref().is_none_or(|user| user.phone.is_some());
                let newcomers = state
                    .newcomers
                    .iter()
                    .all(|(id, at)| state.lock(*at).is_some_and(|lock| lock.user == *id && lock.release.is_none()));
                has && newcomers
            }),
            Property::always("an account is either there or deleted", |_, state: &State| {
                state.account.is_none() || state.deleted.is_none()
            }),
            Property::always("whoever may take a change back still finds the number kept", |_, state: &State| {
                state.account.iter().flat_map(|user| &user.former_phones).all(|former| {
                    let lock = state.lock(place(&former.phone));
                    let is_kept = lock.is_some_and(|lock| {
                        lock.user == account() && lock.release.map(|release| release.until) == Some(former.until)
                    });
                    is_kept || state.now >= former.until
                })
            }),
            Property::always("nothing that was refused is granted", |_, state: &State| {
                !state.history.made_after_refusal && !state.history.opened_after_refusal
            }),
            Property::sometimes("the goal is reached", |model, state: &State| (model.goal)(state)),
        ]
    }
}

impl Undo {
    fn is_dormant(&self, state: &State) -> bool {
        let proven_at = state.account.as_ref().and_then(|user| user.phone_proven_at);
        proven_at.is_some_and(|at| state.now >= at.plus(self.limits.phone_dormant_seconds))
    }

    fn replanned(&self, last: &State, client: usize) -> Option<State> {
        let mut state = last.clone();
        state.progress[client] =
            self.plan(last, client).map_or(Progress::Done, |plan| Progress::Planned(Box::new(plan)));
        // The same plan would fail for ever.
        (state.progress[client] != last.progress[client]).then_some(state)
    }
}

fn is_taken_back(state: &State) -> bool {
    state.has(OWN) && state.sessions.iter().all(|session| session.id != session_id(THIEFS))
}

fn explore_deeds(name: &str, deeds: &[Deed], waits: u8) {
    explore(name, Undo { deeds: deeds.to_vec(), waits, limits: Limits::default(), goal: is_taken_back });
}

#[test]
fn a_change_that_waits_beside_refusals_changes_undos_and_newcomers_leaves_each_number_one_holder() {
    use Deed::{Ask, Change, Delete, FreshAccount, MakeDue, Prove, Refuse, Restore, SignOutAsker, UndoByCode};
    let explore = |name, deeds: &[Deed], waits| {
        explore(
            name,
            Undo { deeds: deeds.to_vec(), waits, limits: Limits::default(), goal: |state| state.history.made },
        );
    };
    explore("a change that waits, and its refusals", &[Ask(1), MakeDue, Refuse, Prove(OWN)], 2);
    explore("a change that waits, and the end of its session", &[Ask(1), MakeDue, SignOutAsker, UndoByCode(OWN)], 2);
    explore("two changes that wait", &[Ask(1), Ask(2), MakeDue, MakeDue], 2);
    explore("a change that waits, and a thief's at once", &[Ask(1), Change(2), MakeDue, UndoByCode(OWN)], 2);
    explore(
        "a change that waits, and an undo",
        &[Ask(1), MakeDue, UndoByCode(OWN), FreshAccount(OWN), FreshAccount(1)],
        2,
    );
    explore("a change that waits, and a deletion", &[Ask(1), MakeDue, Delete, Restore(OWN), FreshAccount(1)], 1);
}

#[test]
fn a_recovery_beside_refusals_and_changes_opens_nothing_that_was_refused() {
    use Deed::{Ask, Change, FreshAccount, MakeDue, Prove, Recover, RefuseRecovery};
    // One wait makes the number dormant and opens what was asked for before it.
    let limits = Limits { phone_dormant_seconds: 70 * HOUR, recovery_seconds: 72 * HOUR, ..Limits::default() };
    let explore = |name, deeds: &[Deed], waits| {
        let (deeds, limits) = (deeds.to_vec(), limits.clone());
        explore(name, Undo { deeds, waits, limits, goal: |state| state.history.recovered });
    };
    explore("a recovery and its refusal", &[Recover(OWN), Recover(OWN), RefuseRecovery, Prove(OWN)], 3);
    explore("a recovery and a change", &[Recover(OWN), Recover(OWN), Change(1), FreshAccount(OWN)], 3);
    explore("a recovery and a change that waits", &[Recover(OWN), Recover(OWN), Ask(1), MakeDue, Prove(OWN)], 3);
}

#[test]
fn changes_undos_and_new_accounts_at_once_leave_each_number_one_holder_and_the_account_a_number() {
    use Deed::{Change, FreshAccount, UndoByCode, UndoBySession};
    explore_deeds("two changes and their undos", &[Change(1), Change(2), UndoByCode(OWN), UndoBySession], 1);
    explore_deeds("an undo and a new account", &[Change(1), UndoByCode(OWN), FreshAccount(OWN), FreshAccount(1)], 1);
    explore_deeds("a number in between", &[Change(1), Change(2), FreshAccount(1), UndoByCode(OWN), UndoByCode(1)], 0);
    explore_deeds("there and back", &[Change(1), Change(OWN), UndoByCode(OWN), UndoByCode(1), UndoBySession], 0);
}

#[test]
fn a_deletion_beside_changes_and_undos_is_taken_back_whole_or_not_at_all() {
    use Deed::{Change, Delete, FreshAccount, Restore, UndoByCode, UndoBySession};
    explore_deeds("a deletion after a change", &[Change(1), Delete, UndoByCode(OWN), Restore(1), UndoBySession], 1);
    explore_deeds(
        "a deletion and a new account",
        &[Change(1), Delete, FreshAccount(1), Restore(1), UndoByCode(OWN)],
        1,
    );
    explore_deeds("a deletion before a change", &[Delete, Restore(OWN), Change(1), UndoByCode(OWN)], 1);
}
