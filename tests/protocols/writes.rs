//! The store's conditional writes, compared with the transitions of the domain that their conditions repeat: for any stored
//! state, a write does what the transition says, or nothing.

use std::collections::BTreeMap;

use adapters::app::App;
use adapters::clock::Clock;
use adapters::config::Config;
use adapters::dynamodb::{AllTables, Store};
use domain::rules::challenge::{Challenge, ChallengeRecord, Claim, Consumption, GuessLane, IdempotencyDigest};
use domain::rules::code_key::CodeKeyVersion;
use domain::rules::device_keys::DeviceKeys;
use domain::rules::failures::Failures;
use domain::rules::limits::Limits;
use domain::rules::session::{Device, KEPT_AFTER_END_SECONDS, PresentedRefreshToken, Rotation, Session};
use domain::rules::user::{NewProfile, PhoneHolder, User};
use domain::use_cases::account::AccountStore;
use domain::use_cases::approval::ApprovalStore;
use domain::use_cases::check_code::{CheckCodeStore, CountOutcome};
use domain::use_cases::open_session::{OpenSessionStore, PhoneProof, SignIn, SignInOutcome, SignInUser};
use domain::use_cases::refresh::RefreshStore;
use domain::values::ids::{ChallengeId, SessionId, UserId};
use domain::values::key_thumbprint::KeyThumbprint;
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::source_address::SourceAddress;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use serde_json::{Value, json};
use tests::World;
use tokio::runtime::Runtime;

const NOW: Timestamp = Timestamp::from_seconds(1_000_000);
const CASES: u32 = 400;

/// A store on the embedded engine, and a property that is tested on many stored states.
struct Engine {
    runtime: Runtime,
    world: World,
    store: Store<AllTables>,
}

impl Engine {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(World::new());
        let endpoint = format!("http://{}", world.system.dynamodb_address());
        let variables = [
            ("USERS_TABLE", "UsersTable"),
            ("OTPS_TABLE", "OtpsTable"),
            ("SESSIONS_TABLE", "SessionsTable"),
            ("SETTINGS_TABLE", "SettingsTable"),
            ("NOTICES_TABLE", "NoticesTable"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let app = App::new(Config::from_variables(&variables).unwrap(), Clock::system()).unwrap();
        let store = Store::new(&app).unwrap();
        Self { runtime, world, store }
    }

    fn check<S: Strategy>(&self, states: S, property: impl AsyncFn(&Self, S::Value) -> Result<(), TestCaseError>) {
        let mut runner = TestRunner::new(Runs { cases: CASES, failure_persistence: None, ..Runs::default() });
        runner.run(&states, |state| self.runtime.block_on(property(self, state))).unwrap();
    }

    async fn put(&self, table: &str, item: Value) {
        self.world.dynamodb("PutItem", json!({"TableName": table, "Item": item})).await;
    }
}

fn phone(n: u8) -> PhoneNumber {
    PhoneNumber::from_e164(&format!("+97798410000{n:02}")).unwrap()
}

fn challenge_id(n: u8) -> ChallengeId {
    ChallengeId::from_random([n; 16])
}

fn number(n: impl ToString) -> Value {
    json!({"N": n.to_string()})
}

/// A moment shortly before or after `NOW`, or the moment itself.
fn moments() -> impl Strategy<Value = Timestamp> {
    (-70..70_i64).prop_map(|seconds| Timestamp::from_seconds(NOW.seconds() + seconds))
}

fn digests() -> impl Strategy<Value = Option<IdempotencyDigest>> {
    prop::option::of("[ab]").prop_map(|key| key.map(IdempotencyDigest::new))
}

fn consumptions() -> impl Strategy<Value = Option<Consumption>> {
    let consumption = (moments(), digests(), any::<bool>()).prop_map(|(at, idempotency, is_sign_in)| Consumption {
        at,
        idempotency,
        user: UserId::from_random([7; 16]),
        session: is_sign_in.then(|| SessionId::from_random([7; 16])),
    });
    prop::option::of(consumption)
}

fn failures() -> impl Strategy<Value = Failures> {
    let consecutive = prop_oneof![0..12_u32, 98..102_u32];
    let closed_until = prop_oneof![Just(Timestamp::default()), moments()];
    let used_in_closure = prop::collection::btree_set((1..4_u8).prop_map(challenge_id), 0..3);
    (consecutive, closed_until, used_in_closure).prop_map(|(consecutive, closed_until, used_in_closure)| Failures {
        consecutive,
        closed_until,
        used_in_closure,
    })
}

fn challenges() -> impl Strategy<Value = Challenge> {
    let issued = prop::collection::btree_map((1..4_u8).prop_map(challenge_id), 0..7_u32, 1..3);
    (issued, 0..7_u32, moments(), consumptions(), any::<bool>()).prop_map(
        |(issued, guesses_before, expires_at, consumption, has_fixed_code)| Challenge {
            issued,
            guesses_before,
            expires_at,
            consumption,
            has_fixed_code,
            ..Challenge::new(challenge_id(1), CodeKeyVersion::new("1"), NOW, &Limits::default())
        },
    )
}

fn records() -> impl Strategy<Value = ChallengeRecord> {
    (prop::option::weighted(0.9, challenges()), failures(), failures(), failures(), 0..12_u32).prop_map(
        |(challenge, with_id, without_id, of_known_devices, guesses_without_id)| ChallengeRecord {
            challenge,
            with_id,
            without_id,
            of_known_devices,
            guesses_without_id,
        },
    )
}

fn live_record() -> ChallengeRecord {
    let challenge = Challenge::new(challenge_id(1), CodeKeyVersion::new("1"), NOW, &Limits::default());
    ChallengeRecord { challenge: Some(challenge), ..ChallengeRecord::default() }
}

fn claims() -> impl Strategy<Value = Claim> {
    let ids = prop::option::of((1..4_u8).prop_map(challenge_id));
    (ids, digests()).prop_map(|(challenge_id, idempotency)| Claim {
        purpose: Purpose::SignIn { organization: default_organization() },
        phone: phone(1),
        lane: GuessLane::of(challenge_id.as_ref()),
        challenge_id,
        idempotency,
        source: SourceAddress::of(None),
        now: NOW,
    })
}

/// Claims of known devices too, in the lane that they change to.
fn lanes() -> impl Strategy<Value = Claim> {
    (claims(), any::<bool>()).prop_map(|(claim, is_known)| match claim.lane {
        GuessLane::WithId if is_known => Claim { lane: GuessLane::KnownDevice, ..claim },
        _ => claim,
    })
}

#[test]
fn a_write_that_counts_an_attempt_of_a_known_device_does_what_the_rule_says() {
    let (engine, limits) = (Engine::start(), Limits::default());
    engine.check((records(), lanes()), async |engine, (record, claim)| {
        engine.put("OtpsTable", record_item(&record)).await;
        let Ok(next) = record.count(&claim, &limits) else { return Ok(()) };
        match engine.store.count_attempt_from(&claim, &record, &next).await.unwrap() {
            CountOutcome::Counted(written) => prop_assert_eq!(written, next),
            CountOutcome::NotCounted(_) => prop_assert!(false, "the record had not changed"),
        }
        Ok(())
    });
}

/// The record as the store's format has it, written down independently of the store.
fn record_item(record: &ChallengeRecord) -> Value {
    let mut item = json!({
        "pk": {"S": format!("codes#{}", phone(1).e164())},
        "guesses_without_id": number(record.guesses_without_id),
        "expires_at": number(NOW.plus(1_000_000).seconds()),
    });
    for (names, failures) in [
        (["failures", "closed_until", "used_in_closure"], &record.with_id),
        (["failures_without_id", "closed_without_id_until", "used_in_closure_without_id"], &record.without_id),
        (
            ["failures_of_known_devices", "closed_to_known_devices_until", "used_in_closure_of_known_devices"],
            &record.of_known_devices,
        ),
    ] {
        let [consecutive, closed_until, used_in_closure] = names;
        item[consecutive] = number(failures.consecutive);
        item[closed_until] = number(failures.closed_until.seconds());
        if !failures.used_in_closure.is_empty() {
            let ids = failures.used_in_closure.iter().map(ToString::to_string);
            item[used_in_closure] = json!({"SS": ids.collect::<Vec<_>>()});
        }
    }
    if let Some(challenge) = &record.challenge {
        item["challenge#default"] = json!({"M": challenge_members(challenge)});
    }
    item
}

fn challenge_members(challenge: &Challenge) -> Value {
    let issued = challenge.issued.iter().map(|(id, attempts)| (id.to_string(), number(attempts)));
    let issued: serde_json::Map<_, _> = issued.collect();
    let mut members = json!({
        "id": {"S": challenge.id.as_str()},
        "key_version": {"S": challenge.key_version.as_str()},
        "code_expires_at": number(challenge.expires_at.seconds()),
        "changes_number": {"BOOL": challenge.changes_number},
        "has_fixed_code": {"BOOL": challenge.has_fixed_code},
        "issued": {"M": issued},
        "guesses_before": number(challenge.guesses_before),
    });
    if let Some(consumption) = &challenge.consumption {
        members["consumed_at"] = number(consumption.at.seconds());
        members["consumed_user"] = json!({"S": consumption.user.as_str()});
        if let Some(session) = &consumption.session {
            members["consumed_session"] = json!({"S": session.as_str()});
        }
        if let Some(digest) = &consumption.idempotency {
            members["consumed_idempotency"] = json!({"S": digest.as_str()});
        }
    }
    members
}

#[test]
fn a_write_that_counts_an_attempt_does_what_the_rule_says() {
    // No source runs out of guesses here.
    let limits = Limits { source_guesses_per_hour: u32::MAX, source_guesses_per_day: u32::MAX, ..Limits::default() };
    let engine = Engine::start();
    engine.check((records(), claims()), async |engine, (record, claim)| {
        engine.put("OtpsTable", record_item(&record)).await;
        let counted = record.count(&claim, &limits);
        match engine.store.count_guess(&claim, &limits).await.unwrap().attempt {
            CountOutcome::Counted(next) => prop_assert_eq!(Ok(next), counted),
            CountOutcome::NotCounted(seen) => {
                prop_assert_eq!(&seen, &record);
                let Ok(next) = counted else { return Ok(()) };
                let failures = if claim.challenge_id.is_some() { &record.with_id } else { &record.without_id };
                let is_consumed = record.challenge.as_ref().is_some_and(|challenge| challenge.consumption.is_some());
                prop_assert!(!failures.has_room(NOW, &limits) || is_consumed, "the first write must count this");
                match engine.store.count_attempt_from(&claim, &record, &next).await.unwrap() {
                    CountOutcome::Counted(written) => prop_assert_eq!(written, next),
                    CountOutcome::NotCounted(_) => prop_assert!(false, "the record had not changed"),
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_second_write_counts_nothing_if_what_it_counts_has_changed() {
    let (engine, limits) = (Engine::start(), Limits::default());
    engine.check((records(), records(), lanes()), async |engine, (seen, stored, claim)| {
        let counted = |record: &ChallengeRecord| {
            let numbers = |failures: &Failures| (failures.consecutive, failures.closed_until);
            let Some(id) = &claim.challenge_id else { return (numbers(&record.without_id), None) };
            let of = |challenge: &Challenge| (challenge.issued.get(id).copied(), challenge.consumption.is_some());
            let failures = match claim.lane {
                GuessLane::KnownDevice => &record.of_known_devices,
                GuessLane::WithId | GuessLane::WithoutId => &record.with_id,
            };
            (numbers(failures), record.challenge.as_ref().map(of))
        };
        let Ok(next) = seen.count(&claim, &limits) else { return Ok(()) };
        engine.put("OtpsTable", record_item(&stored)).await;
        let outcome = engine.store.count_attempt_from(&claim, &seen, &next).await.unwrap();
        prop_assert_eq!(matches!(outcome, CountOutcome::Counted(_)), counted(&seen) == counted(&stored));
        Ok(())
    });
}

#[test]
fn a_write_that_approves_does_what_an_approval_says() {
    let engine = Engine::start();
    engine.check((records(), 1..5_u8), async |engine, (record, n)| {
        engine.put("OtpsTable", record_item(&record)).await;
        let (id, by) = (challenge_id(n), UserId::from_random([9; 16]));
        let written = engine.store.approve(&phone(1), &id, &by, None, NOW).await.unwrap();
        prop_assert_eq!(written, record.challenge.is_some_and(|challenge| challenge.approve(&id, &by, NOW).is_some()));
        Ok(())
    });
}

fn default_organization() -> OrganizationId {
    OrganizationId::parse("default").unwrap()
}

fn new_user(id: &UserId, phone: &PhoneNumber) -> User {
    User::new(id.clone(), phone.clone(), NewProfile::default(), default_organization(), None, NOW)
}

/// The lane in which the code of the sign-in `n` was guessed.
fn lane(n: u8) -> GuessLane {
    match n % 3 {
        0 => GuessLane::WithId,
        1 => GuessLane::WithoutId,
        _ => GuessLane::KnownDevice,
    }
}

/// A sign-in at `NOW` by the code of the challenge, which opens the session `n`.
fn sign_in(challenge: &Challenge, user: SignInUser, id: UserId, n: u8) -> SignIn {
    let session = SessionId::from_random([n; 16]);
    let session =
        Session::open(id.clone(), session, default_organization(), Device::default(), NOW, &Limits::default());
    SignIn {
        phone: phone(1),
        proof: PhoneProof::Code { challenge: Box::new(challenge.clone()), lane: lane(n), idempotency: None },
        consumption: Consumption { at: NOW, idempotency: None, user: id, session: Some(session.id.clone()) },
        user,
        organization: default_organization(),
        joins: true,
        session,
        forgotten_keys: Vec::new(),
        notice: None,
    }
}

#[test]
fn a_deletion_planned_before_a_sign_in_of_the_same_second_deletes_nothing() {
    let engine = Engine::start();
    let (record, challenge) = (live_record(), live_record().challenge.unwrap());
    let id = UserId::from_random([1; 16]);
    engine.runtime.block_on(async {
        for (n, user) in [(1, SignInUser::New(new_user(&id, &phone(1)))), (2, SignInUser::Existing(id.clone()))] {
            let seen = engine.store.account(&id).await.unwrap();
            engine.put("OtpsTable", record_item(&record)).await;
            let sign_in = sign_in(&challenge, user, id.clone(), n);
            assert!(matches!(engine.store.sign_in(&sign_in).await.unwrap(), SignInOutcome::SignedIn { .. }));
            if let Some(seen) = seen {
                assert!(!engine.store.delete_account(&seen.user, &sign_in.session.id, NOW, None, NOW).await.unwrap());
            }
        }
        let seen = engine.store.account(&id).await.unwrap().unwrap();
        assert!(
            engine.store.delete_account(&seen.user, &SessionId::from_random([1; 16]), NOW, None, NOW).await.unwrap()
        );
        assert_eq!(engine.store.account(&id).await.unwrap(), None);
    });
}

#[test]
fn a_number_that_its_holder_proves_again_is_not_taken_over_by_a_plan_made_before() {
    let engine = Engine::start();
    let (record, challenge) = (live_record(), live_record().challenge.unwrap());
    let id = UserId::from_random([1; 16]);
    let seen =
        PhoneHolder { user: id.clone(), proven_at: NOW.minus(1), device_keys: DeviceKeys::default(), release: None };
    engine.runtime.block_on(async {
        for (n, user) in [(1, SignInUser::New(new_user(&id, &phone(1)))), (2, SignInUser::Existing(id.clone()))] {
            engine.put("OtpsTable", record_item(&record)).await;
            let sign_in = sign_in(&challenge, user, id.clone(), n);
            assert!(matches!(engine.store.sign_in(&sign_in).await.unwrap(), SignInOutcome::SignedIn { .. }));
        }
        let new_id = UserId::from_random([2; 16]);
        let takeover = |former: PhoneHolder| {
            let user = SignInUser::Replacing { new: new_user(&new_id, &phone(1)), former };
            sign_in(&challenge, user, new_id.clone(), 3)
        };
        engine.put("OtpsTable", record_item(&record)).await;
        let outcome = engine.store.sign_in(&takeover(seen)).await.unwrap();
        let SignInOutcome::HolderChanged(Some(holder)) = outcome else { panic!("{outcome:?}") };
        assert_eq!((&holder.user, holder.proven_at), (&id, NOW));
        assert_eq!(engine.store.account(&new_id).await.unwrap(), None);
        assert!(matches!(engine.store.sign_in(&takeover(holder)).await.unwrap(), SignInOutcome::SignedIn { .. }));
    });
}

#[test]
fn a_write_that_consumes_a_code_does_what_a_consumption_says() {
    let engine = Engine::start();
    engine.check((records(), challenges(), 0..u8::MAX), async |engine, (record, challenge, n)| {
        let record = ChallengeRecord { challenge: Some(challenge.clone()), ..record };
        engine.put("OtpsTable", record_item(&record)).await;
        let user_id = UserId::from_random([n; 16]);
        for pk in [format!("phone#{}", phone(1).e164()), format!("user#{user_id}")] {
            engine.world.dynamodb("DeleteItem", json!({"TableName": "UsersTable", "Key": {"pk": {"S": pk}}})).await;
        }
        let user = new_user(&user_id, &phone(1));
        let sign_in = sign_in(&challenge, SignInUser::New(user), user_id, n);
        let consumed = record.consume(lane(n), sign_in.consumption.clone());
        match engine.store.sign_in(&sign_in).await.unwrap() {
            SignInOutcome::SignedIn { .. } => {
                let expected = consumed.map(|record| record_item(&record));
                let key = json!({"TableName": "OtpsTable", "Key": {"pk": record_item(&record)["pk"]}});
                let written = engine.world.dynamodb("GetItem", key).await["Item"].clone();
                let Some(expected) = expected else { panic!("a consumed code was consumed again") };
                // An absent count is zero.
                let counted = |item: &Value| {
                    let members = item.as_object().unwrap().clone().into_iter();
                    members.filter(|(_, value)| *value != number(0)).collect::<BTreeMap<_, _>>()
                };
                prop_assert_eq!(counted(&written), counted(&expected));
            }
            SignInOutcome::AlreadyConsumed(earlier) => {
                prop_assert!(consumed.is_none());
                prop_assert_eq!(earlier, challenge.consumption);
            }
            SignInOutcome::HolderChanged(_) => prop_assert!(false, "the phone has no holder"),
            SignInOutcome::Blocked => prop_assert!(false, "nobody is blocked"),
        }
        Ok(())
    });
}

#[test]
fn a_write_that_rotates_a_session_does_what_a_rotation_says() {
    let (engine, limits) = (Engine::start(), Limits::default());
    let key = |n: u8| (n > 0).then(|| KeyThumbprint::try_from(char::from(b'a' + n).to_string().repeat(43)).unwrap());
    let states = (1..5_u64, 0..6_u64, moments(), moments(), moments(), (0..3_u8, 0..3_u8));
    engine.check(states, async |engine, (counter, presented, last_used_at, idle_until, ends_at, (own, shown))| {
        let (user, id) = (UserId::from_random([1; 16]), SessionId::from_random([1; 16]));
        let organization = default_organization();
        let opened =
            Session::open(user.clone(), id.clone(), organization.clone(), Device::default(), NOW.minus(1_000), &limits);
        let session = Session { counter, last_used_at, idle_until, ends_at, device_key: key(own), ..opened };
        let mut item = json!({
            "user_id": {"S": user.as_str()}, "session_id": {"S": id.as_str()}, "organization": {"S": "default"},
            "counter": number(counter),
            "created_at": number(session.created_at.seconds()), "last_used_at": number(last_used_at.seconds()),
            "idle_until": number(idle_until.seconds()), "ends_at": number(ends_at.seconds()),
            "expires_at": number(idle_until.plus(KEPT_AFTER_END_SECONDS).seconds()),
        });
        if let Some(key) = key(own) {
            item["device_key"] = json!({"S": key.as_str()});
        }
        engine.put("SessionsTable", item).await;
        let token =
            PresentedRefreshToken { user, session: id, organization, counter: presented, device_key: key(shown) };
        let (rotation, _) = engine.store.rotate_and_read_user(&token, NOW, &limits).await.unwrap();
        prop_assert_eq!(&rotation, &session.rotate(&token, NOW, &limits));
        prop_assert!(!matches!(rotation, Rotation::Revoked) || presented > counter || own != shown);
        prop_assert!(!matches!(rotation, Rotation::Rotated(_) | Rotation::Replayed(_)) || own == shown);
        Ok(())
    });
}
