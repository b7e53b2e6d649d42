//! The store's conditional writes, compared with the transitions of the domain that their conditions repeat: for any stored
//! state, a write does what the transition says, or nothing.

use adapters::app::App;
use adapters::clock::Clock;
use adapters::config::Config;
use adapters::dynamodb::{AllTables, Store};
use domain::rules::challenge::{Challenge, ChallengeRecord, Claim, Consumption, IdempotencyDigest};
use domain::rules::code_key::CodeKeyVersion;
use domain::rules::limits::Limits;
use domain::rules::session::{KEPT_AFTER_END_SECONDS, Rotation, Session};
use domain::rules::token::PresentedRefreshToken;
use domain::rules::user::{NewProfile, PhoneHolder, User};
use domain::use_cases::account::AccountStore;
use domain::use_cases::approval::ApprovalStore;
use domain::use_cases::check_code::{CheckCodeStore, CountOutcome};
use domain::use_cases::open_session::{OpenSessionStore, PhoneProof, SignIn, SignInOutcome, SignInUser};
use domain::use_cases::refresh::RefreshStore;
use domain::values::ids::{ChallengeId, SessionId, UserId};
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
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

fn records() -> impl Strategy<Value = ChallengeRecord> {
    let attempts = prop::collection::btree_map((1..4_u8).prop_map(challenge_id), 0..7_u32, 1..3);
    let failures = prop_oneof![0..12_u32, 98..102_u32];
    let closed_until = prop_oneof![Just(Timestamp::default()), moments()];
    (attempts, 0..7_u32, moments(), consumptions(), failures, closed_until).prop_map(
        |(attempts_by_id, attempts_without_id, expires_at, consumption, consecutive_failures, closed_until)| {
            let new = Challenge::new(challenge_id(1), CodeKeyVersion::new("1"), NOW, &Limits::default());
            let challenge = Challenge { attempts_by_id, attempts_without_id, expires_at, consumption, ..new };
            ChallengeRecord { phone: phone(1), challenge, consecutive_failures, closed_until }
        },
    )
}

fn claims() -> impl Strategy<Value = Claim> {
    let ids = prop::option::of((1..4_u8).prop_map(challenge_id));
    (ids, digests()).prop_map(|(challenge_id, idempotency)| Claim {
        purpose: Purpose::SignIn,
        phone: phone(1),
        challenge_id,
        idempotency,
        now: NOW,
    })
}

/// The record as the store's format has it, written down independently of the store.
fn record_item(record: &ChallengeRecord) -> Value {
    let challenge = &record.challenge;
    let attempts: serde_json::Map<_, _> =
        challenge.attempts_by_id.iter().map(|(id, attempts)| (id.to_string(), number(attempts))).collect();
    let mut item = json!({
        "pk": {"S": format!("sign_in#{}", record.phone.e164())},
        "phone": {"S": record.phone.e164()},
        "challenge_id": {"S": challenge.id.as_str()},
        "key_version": {"S": challenge.key_version.as_str()},
        "code_expires_at": number(challenge.expires_at.seconds()),
        "changes_number": {"BOOL": challenge.changes_number},
        "attempts_by_id": {"M": attempts},
        "attempts_without_id": number(challenge.attempts_without_id),
        "consecutive_failures": number(record.consecutive_failures),
        "closed_until": number(record.closed_until.seconds()),
        "expires_at": number(NOW.plus(1_000_000).seconds()),
    });
    if let Some(consumption) = &challenge.consumption {
        item["consumed_at"] = number(consumption.at.seconds());
        item["consumed_user"] = json!({"S": consumption.user.as_str()});
        if let Some(session) = &consumption.session {
            item["consumed_session"] = json!({"S": session.as_str()});
        }
        if let Some(digest) = &consumption.idempotency {
            item["consumed_idempotency"] = json!({"S": digest.as_str()});
        }
    }
    item
}

#[test]
fn a_write_that_counts_an_attempt_does_what_a_claim_says() {
    let (engine, limits) = (Engine::start(), Limits::default());
    engine.check((records(), claims()), async |engine, (record, claim)| {
        engine.put("OtpsTable", record_item(&record)).await;
        let claimed = record.claim(&claim, &limits);
        match engine.store.count_attempt(&claim, &limits).await.unwrap() {
            CountOutcome::Counted(next) => prop_assert_eq!(Ok(next), claimed),
            CountOutcome::NotCounted(seen) => {
                prop_assert_eq!(seen.as_ref(), Some(&record));
                let Ok(next) = claimed else { return Ok(()) };
                let has_delay = record.consecutive_failures > limits.undelayed_failures();
                prop_assert!(has_delay || record.challenge.consumption.is_some(), "the first write must count this");
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
fn a_second_write_counts_nothing_if_the_record_has_changed() {
    let (engine, limits) = (Engine::start(), Limits::default());
    engine.check((records(), records(), claims()), async |engine, (seen, stored, claim)| {
        let counted = |record: &ChallengeRecord| {
            let Challenge { attempts_by_id, attempts_without_id, consumption, .. } = &record.challenge;
            let failures = (record.consecutive_failures, record.closed_until);
            (attempts_by_id.clone(), *attempts_without_id, consumption.is_some(), failures)
        };
        let Ok(next) = seen.claim(&claim, &limits) else { return Ok(()) };
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
        let written = engine.store.approve(&record.phone, &id, &by, NOW).await.unwrap();
        prop_assert_eq!(written, record.challenge.approve(&id, &by, NOW).is_some());
        Ok(())
    });
}

fn default_organization() -> OrganizationId {
    OrganizationId::parse("default").unwrap()
}

fn new_user(id: &UserId, phone: &PhoneNumber) -> User {
    User::new(id.clone(), phone.clone(), NewProfile::default(), default_organization(), NOW)
}

/// A sign-in at `NOW` by the code of the record, which opens the session `n`.
fn sign_in(record: &ChallengeRecord, user: SignInUser, id: UserId, n: u8) -> SignIn {
    let session = Session::open(id.clone(), SessionId::from_random([n; 16]), None, None, NOW, &Limits::default());
    SignIn {
        phone: record.phone.clone(),
        proof: PhoneProof::Code { challenge: Box::new(record.challenge.clone()), idempotency: None },
        consumption: Consumption { at: NOW, idempotency: None, user: id, session: Some(session.id.clone()) },
        user,
        organization: default_organization(),
        session,
    }
}

#[test]
fn a_deletion_planned_before_a_sign_in_of_the_same_second_deletes_nothing() {
    let engine = Engine::start();
    let challenge = Challenge::new(challenge_id(1), CodeKeyVersion::new("1"), NOW, &Limits::default());
    let record = ChallengeRecord { phone: phone(1), challenge, consecutive_failures: 0, closed_until: NOW };
    let id = UserId::from_random([1; 16]);
    engine.runtime.block_on(async {
        for (n, user) in [(1, SignInUser::New(new_user(&id, &record.phone))), (2, SignInUser::Existing(id.clone()))] {
            let seen = engine.store.account(&id).await.unwrap();
            engine.put("OtpsTable", record_item(&record)).await;
            let sign_in = sign_in(&record, user, id.clone(), n);
            assert!(matches!(engine.store.sign_in(&sign_in).await.unwrap(), SignInOutcome::SignedIn(_)));
            if let Some(seen) = seen {
                assert!(!engine.store.delete_account(&seen.user, &sign_in.session.id, NOW).await.unwrap());
            }
        }
        let seen = engine.store.account(&id).await.unwrap().unwrap();
        assert!(engine.store.delete_account(&seen.user, &SessionId::from_random([1; 16]), NOW).await.unwrap());
        assert_eq!(engine.store.account(&id).await.unwrap(), None);
    });
}

#[test]
fn a_number_that_its_holder_proves_again_is_not_taken_over_by_a_plan_made_before() {
    let engine = Engine::start();
    let challenge = Challenge::new(challenge_id(1), CodeKeyVersion::new("1"), NOW, &Limits::default());
    let record = ChallengeRecord { phone: phone(1), challenge, consecutive_failures: 0, closed_until: NOW };
    let id = UserId::from_random([1; 16]);
    let seen = PhoneHolder { user: id.clone(), proven_at: NOW.minus(1) };
    engine.runtime.block_on(async {
        for (n, user) in [(1, SignInUser::New(new_user(&id, &record.phone))), (2, SignInUser::Existing(id.clone()))] {
            engine.put("OtpsTable", record_item(&record)).await;
            let sign_in = sign_in(&record, user, id.clone(), n);
            assert!(matches!(engine.store.sign_in(&sign_in).await.unwrap(), SignInOutcome::SignedIn(_)));
        }
        let new_id = UserId::from_random([2; 16]);
        let takeover = |former: PhoneHolder| {
            let user = SignInUser::Replacing { new: new_user(&new_id, &record.phone), former };
            sign_in(&record, user, new_id.clone(), 3)
        };
        engine.put("OtpsTable", record_item(&record)).await;
        let outcome = engine.store.sign_in(&takeover(seen)).await.unwrap();
        let SignInOutcome::HolderChanged(Some(holder)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(holder, PhoneHolder { user: id.clone(), proven_at: NOW });
        assert_eq!(engine.store.account(&new_id).await.unwrap(), None);
        assert!(matches!(engine.store.sign_in(&takeover(holder)).await.unwrap(), SignInOutcome::SignedIn(_)));
    });
}

#[test]
fn a_write_that_consumes_a_code_does_what_a_consumption_says() {
    let engine = Engine::start();
    engine.check((records(), 0..u8::MAX), async |engine, (record, n)| {
        engine.put("OtpsTable", record_item(&record)).await;
        let lock = json!({"TableName": "UsersTable", "Key": {"pk": {"S": format!("phone#{}", record.phone.e164())}}});
        engine.world.dynamodb("DeleteItem", lock).await;
        let user_id = UserId::from_random([n; 16]);
        let user = new_user(&user_id, &record.phone);
        let key = json!({"TableName": "UsersTable", "Key": {"pk": {"S": format!("user#{user_id}")}}});
        engine.world.dynamodb("DeleteItem", key).await;
        let sign_in = sign_in(&record, SignInUser::New(user), user_id, n);
        let consumed = record.consume(sign_in.consumption.clone());
        match engine.store.sign_in(&sign_in).await.unwrap() {
            SignInOutcome::SignedIn(_) => prop_assert!(consumed.is_some()),
            SignInOutcome::AlreadyConsumed(earlier) => {
                prop_assert!(consumed.is_none());
                prop_assert_eq!(earlier, record.challenge.consumption);
            }
            SignInOutcome::HolderChanged(_) => prop_assert!(false, "the phone has no holder"),
        }
        Ok(())
    });
}

#[test]
fn a_write_that_rotates_a_session_does_what_a_rotation_says() {
    let (engine, limits) = (Engine::start(), Limits::default());
    let states = (1..5_u64, 0..6_u64, moments(), moments(), moments(), any::<bool>());
    engine.check(states, async |engine, (counter, presented, last_used_at, idle_until, ends_at, is_old)| {
        let (user, id) = (UserId::from_random([1; 16]), SessionId::from_random([1; 16]));
        let opened = Session::open(user.clone(), id.clone(), None, None, NOW.minus(1_000), &limits);
        let session = Session { counter, last_used_at, idle_until, ends_at, ..opened };
        let mut item = json!({
            "user_id": {"S": user.as_str()}, "session_id": {"S": id.as_str()}, "counter": number(counter),
            "created_at": number(session.created_at.seconds()), "last_used_at": number(last_used_at.seconds()),
            "expires_at": number(idle_until.seconds()), "ends_at": number(ends_at.seconds()),
        });
        // An item from before the records of ended sessions were kept has no `idle_until`.
        if !is_old {
            item["idle_until"] = number(idle_until.seconds());
            item["expires_at"] = number(idle_until.plus(KEPT_AFTER_END_SECONDS).seconds());
        }
        engine.put("SessionsTable", item).await;
        let token = PresentedRefreshToken { user, session: id, counter: presented };
        let (rotation, _) = engine.store.rotate_and_read_user(&token, NOW, &limits).await.unwrap();
        prop_assert_eq!(&rotation, &session.rotate(presented, NOW, &limits));
        prop_assert!(!matches!(rotation, Rotation::Revoked) || presented > counter);
        Ok(())
    });
}
