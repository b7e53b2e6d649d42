//! Goes through every request that a flow makes, and every way in which it can go wrong.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use adapters::app::Timeouts;
use local::{Aim, Mode, Options, Outgoing, Target};
use serde_json::Value;
use tests::{Person, Reply, Sent, World};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::invariants;

/// What one client does with one account.
pub trait Flow: 'static {
    /// What it is called in the report.
    const NAME: &'static str;
    /// How many tries it takes where nothing goes wrong.
    const TRIES: usize = 1;
    /// Whether it could use up what phones are allowed: codes, tries, sends.
    const TAKES_ALLOWANCES: bool = true;
    /// Whether it begins with gateways that fail, which may not have been asked when it ends.
    const SPOILS_GATEWAYS: bool = false;
    /// Whether its function says that something is out of reach by failing itself, there being no client to tell.
    const DIES_OF_ERRORS: bool = false;

    /// Brings about what the flow starts from.
    async fn begin(world: &World, case: &mut Case);

    /// Makes the request, the same one each time.
    async fn attempt(world: &World, case: &Case) -> Reply;

    /// Whether the client has what it wanted; a retry may learn that the try before it was enough.
    fn is_done(reply: &Reply, _is_retry: bool) -> bool {
        reply.status < 300
    }

    /// Panics unless all is as it should be, after the last answer.
    async fn check(world: &World, case: &Case, reply: Reply);
}

/// Someone of whom nobody has heard before.
pub struct Case {
    /// Tells cases apart.
    pub number: usize,
    /// Their phone.
    pub phone: String,
    /// Another phone of theirs.
    pub other_phone: String,
    /// Their username, if they take one.
    pub username: String,
    /// A key for their retries.
    pub idempotency_key: String,
    /// They themselves, on each device where they are signed in.
    pub devices: Vec<Person>,
    /// A code on its way to them.
    pub sent: Option<Sent>,
}

impl Case {
    fn new(number: usize) -> Self {
        Self {
            number,
            phone: format!("+97798410{number:05}"),
            other_phone: format!("+97798411{number:05}"),
            username: format!("person{number}"),
            idempotency_key: format!("key-of-case-{number}"),
            devices: Vec::new(),
            sent: None,
        }
    }

    /// The device they signed in on first.
    pub fn person(&self) -> &Person {
        &self.devices[0]
    }

    /// The code on its way.
    pub fn code(&self) -> &str {
        &self.sent.as_ref().unwrap().code
    }
}

/// When the request was done all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    No,
    AtOnce,
    BeforeTheRetry,
    AfterTheRetry,
}

/// One way in which a request goes wrong.
#[derive(Clone, Copy, Debug)]
struct Blow {
    name: &'static str,
    mode: Mode,
    code: Option<&'static str>,
    /// Whether every try of the call goes wrong, or the first alone.
    lasts: bool,
    done: Done,
}

impl Blow {
    const fn once(name: &'static str, mode: Mode, done: Done) -> Self {
        Self { name, mode, code: None, lasts: false, done }
    }

    const fn always(name: &'static str, mode: Mode, done: Done) -> Self {
        Self { name, mode, code: None, lasts: true, done }
    }

    const fn refused(name: &'static str, code: &'static str, lasts: bool) -> Self {
        Self { name, mode: Mode::Refuse, code: Some(code), lasts, done: Done::No }
    }

    fn kills(&self) -> bool {
        matches!(self.mode, Mode::Kill | Mode::KillLate)
    }

    /// Whether someone waits for an answer: then it is worth while to wait less.
    fn takes_time(&self) -> bool {
        matches!(self.mode, Mode::Slow | Mode::Timeout | Mode::Late)
    }
}

/// What goes wrong with any request to AWS.
const OF_AWS: [Blow; 7] = [
    Blow::once("failed once", Mode::Error, Done::No),
    Blow::always("failed each time", Mode::Error, Done::No),
    Blow::once("was cut off", Mode::Cut, Done::No),
    Blow::once("was answered slowly", Mode::Slow, Done::AtOnce),
    Blow::once("was answered too late once", Mode::Timeout, Done::AtOnce),
    Blow::always("was answered too late each time", Mode::Timeout, Done::AtOnce),
    Blow::once("was the last of its function", Mode::Kill, Done::AtOnce),
];

/// What more goes wrong with a request that changes something.
const OF_WRITES: [Blow; 6] = [
    Blow::once("was done and failed", Mode::Lost, Done::AtOnce),
    Blow::once("was done and cut off", Mode::LostInCut, Done::AtOnce),
    Blow::always("was done and cut off each time", Mode::LostInCut, Done::AtOnce),
    Blow::once("was done after its second try", Mode::Late, Done::BeforeTheRetry),
    Blow::once("was the last of its function and done before the retry", Mode::KillLate, Done::BeforeTheRetry),
    Blow::once("was the last of its function and done after the retry", Mode::KillLate, Done::AfterTheRetry),
];

const OF_DYNAMODB: [Blow; 2] = [
    Blow::refused("was throttled once", "ThrottlingException", false),
    Blow::refused("was throttled each time", "ProvisionedThroughputExceededException", true),
];

const OF_DYNAMODB_WRITES: [Blow; 2] = [
    Blow::refused("met a transaction", "TransactionConflict", false),
    Blow::refused("met a transaction each time", "TransactionConflict", true),
];

const OF_SECRETS: [Blow; 2] = [
    Blow::refused("was throttled once", "ThrottlingException", false),
    Blow::refused("was throttled each time", "ThrottlingException", true),
];

/// What goes wrong at a gateway: nothing is tried there twice.
const OF_GATEWAYS: [Blow; 9] = [
    Blow::once("was refused", Mode::Refuse, Done::No),
    Blow::once("failed", Mode::Error, Done::No),
    Blow::once("was cut off", Mode::Cut, Done::No),
    Blow::once("was done and failed", Mode::Lost, Done::AtOnce),
    Blow::once("was done and cut off", Mode::LostInCut, Done::AtOnce),
    Blow::once("was answered slowly", Mode::Slow, Done::AtOnce),
    Blow::once("was answered too late", Mode::Timeout, Done::AtOnce),
    Blow::once("was the last of its function", Mode::Kill, Done::AtOnce),
    Blow::once("was the last of its function and done after the retry", Mode::KillLate, Done::AfterTheRetry),
];

fn is_read(request: &Outgoing) -> bool {
    let reads = ["GetItem", "BatchGetItem", "Query", "GetSecretValue", "DescribeSecret"];
    reads.iter().any(|read| request.what.starts_with(read))
}

fn blows(request: &Outgoing) -> Vec<Blow> {
    let is_read = is_read(request);
    match request.target {
        Target::Dynamodb if is_read => [&OF_AWS[..], &OF_DYNAMODB].concat(),
        Target::Dynamodb => [&OF_AWS[..], &OF_DYNAMODB, &OF_WRITES, &OF_DYNAMODB_WRITES].concat(),
        Target::SecretsManager if is_read => [&OF_AWS[..], &OF_SECRETS].concat(),
        Target::SecretsManager => [&OF_AWS[..], &OF_SECRETS, &OF_WRITES].concat(),
        Target::Sparrow | Target::Sns | Target::Twilio | Target::Fcm => OF_GATEWAYS.to_vec(),
    }
}

/// Tries that a client makes in all before it gives up.
const PATIENCE: usize = 5;
/// After a day of the clock every window has passed.
const DAY: u64 = 86_400;

/// A fault point: one request of a flow, and what befalls it.
#[derive(Clone, Debug)]
struct Point {
    at: Outgoing,
    /// Whether only functions that have just started make it.
    is_cold: bool,
    blow: Blow,
}

impl Point {
    fn name(&self) -> String {
        let Outgoing { target, what, nth } = &self.at;
        format!("{target:?} {what} (no. {nth}) {}", self.blow.name)
    }

    fn aim(&self) -> Aim {
        let Blow { mode, code, lasts, .. } = self.blow;
        Aim { at: self.at.clone(), mode, code, lasts }
    }

    fn is_message(&self) -> bool {
        matches!(self.at.target, Target::Sparrow | Target::Sns | Target::Twilio)
    }

    /// How many tries are enough. What fails once is tried again by the function itself, and a 503 means that nothing
    /// was lost; whoever lost an answer, or waited long, may have to wait for a window.
    fn most_tries(&self) -> usize {
        match (self.blow.lasts, self.blow.done) {
            _ if self.blow.kills() || self.blow.takes_time() => PATIENCE,
            (false, _) if !self.is_message() => 1,
            (_, Done::No) => 2,
            _ => PATIENCE,
        }
    }
}

/// Runs a flow once for each of its fault points, and panics with all those that did harm.
pub fn sweep<F: Flow>() {
    let learn = |is_cold| Pool::of(false).ask(move |world, runtime| runtime.block_on(requests::<F>(world, is_cold)));
    let (cold, warm) = (learn(true), learn(false));
    let (requests, warm) = (cold.recv().unwrap().unwrap(), warm.recv().unwrap().unwrap());
    let points = requests.iter().flat_map(|at| {
        let is_cold = !warm.contains(at);
        blows(at).into_iter().map(move |blow| Point { at: at.clone(), is_cold, blow })
    });
    let points: Vec<Point> = points.collect();
    let outcomes: Vec<_> = points
        .iter()
        .map(|point| {
            let case = point.clone();
            let pool = Pool::of(point.blow.takes_time());
            (point, pool.ask(move |world, runtime| runtime.block_on(strike::<F>(world, &case))))
        })
        .collect();
    let mut failures = Vec::new();
    let mut tries: BTreeMap<usize, usize> = BTreeMap::new();
    for (point, outcome) in outcomes {
        match outcome.recv().unwrap() {
            Ok(taken) => *tries.entry(taken).or_default() += 1,
            Err(why) => failures.push(format!("{}: {why}", point.name())),
        }
    }
    static SWEPT: AtomicUsize = AtomicUsize::new(0);
    let swept = SWEPT.fetch_add(points.len(), Ordering::SeqCst) + points.len();
    println!(
        "{}: {} requests, {} fault points, tries: {tries:?}; {swept} so far",
        F::NAME,
        requests.len(),
        points.len()
    );
    assert!(failures.is_empty(), "{}: {} of {}\n{}", F::NAME, failures.len(), points.len(), failures.join("\n"));
}

/// A case of its own for each point, in all worlds.
fn next_case() -> Case {
    static CASES: AtomicUsize = AtomicUsize::new(1);
    Case::new(CASES.fetch_add(1, Ordering::SeqCst))
}

/// The requests that a flow makes where nothing goes wrong, of functions that have just started or of others.
async fn requests<F: Flow>(world: &World, is_cold: bool) -> Vec<Outgoing> {
    let mut case = next_case();
    F::begin(world, &mut case).await;
    if is_cold {
        world.system.cool();
    } else {
        // Whoever calls for the first time warms the functions for the next.
        let mut other = next_case();
        F::begin(world, &mut other).await;
        F::attempt(world, &other).await;
        assert_eq!(world.call("DELETE", "/local/faults").send().await.status, 204);
    }
    world.system.aim(None);
    let reply = F::attempt(world, &case).await;
    let requests = world.system.outgoing();
    assert!(F::TRIES > 1 || F::is_done(&reply, false), "{reply:?}");
    assert!(!requests.is_empty());
    world.advance(DAY);
    requests
}

/// How many worlds do what takes the machine's time and not the clock's: too many at once, and a hasty one runs out of
/// it without any fault.
static BUSY: Semaphore = Semaphore::const_new(4);

/// Runs the flow with one fault, and holds what must be true after any. Answers how many tries it took.
async fn strike<F: Flow>(world: &World, point: &Point) -> usize {
    let mut case = next_case();
    let busy = BUSY.acquire().await.unwrap();
    F::begin(world, &mut case).await;
    drop(busy);
    if point.is_cold || point.is_message() {
        // A gateway that failed before would be tried last.
        world.system.cool();
    }
    world.system.aim(Some(point.aim()));
    let mut tries = 0;
    let reply = loop {
        let reply = F::attempt(world, &case).await;
        if tries == 0 {
            assert!(world.system.outgoing().contains(&point.at), "it was never made");
            world.system.aim(None);
            if F::SPOILS_GATEWAYS {
                assert_eq!(world.call("DELETE", "/local/faults").send().await.status, 204);
            }
            if point.blow.done == Done::BeforeTheRetry {
                world.system.do_late_requests().await;
            }
        }
        tries += 1;
        if F::is_done(&reply, tries > 1) {
            break reply;
        }
        assert!(tries < PATIENCE, "given up after {tries} tries: {reply:?}");
        wait_as_told(world, &reply, tries == 1 && (F::DIES_OF_ERRORS || point.blow.kills()));
    };
    let most = point.most_tries() + (F::TRIES - 1) + usize::from(F::DIES_OF_ERRORS);
    assert!(tries <= most, "it took {tries} tries, and {most} should be enough");
    let _busy = BUSY.acquire().await.unwrap();
    world.system.do_late_requests().await;
    F::check(world, &case, reply).await;
    invariants::hold(world).await;
    world.advance(DAY);
    if F::TAKES_ALLOWANCES && !is_read(&point.at) {
        // Whatever was used up is there again. What a read leaves behind, the write before it has left.
        world.sign_in(&case.phone).await;
    }
    world.assert_silent();
    tries
}

/// Puts the clock forward as far as a refusal says.
fn wait_as_told(world: &World, reply: &Reply, may_be_dead: bool) {
    if reply.is_of_a_dead_function() {
        assert!(may_be_dead, "nobody killed it");
        return;
    }
    assert!([429, 503].contains(&reply.status), "no retry mends this: {reply:?}");
    world.advance(reply.number("retry_after"));
}

type Job = Box<dyn FnOnce(&World, &Runtime) + Send>;

/// Threads with a world each, which they keep from one case to the next.
struct Pool(Mutex<Sender<Job>>);

impl Pool {
    /// In hasty worlds nobody waits for long: there are many of them, since most of the time they wait.
    fn of(is_hasty: bool) -> &'static Self {
        static PATIENT: OnceLock<Pool> = OnceLock::new();
        static HASTY: OnceLock<Pool> = OnceLock::new();
        if is_hasty {
            HASTY.get_or_init(|| Self::new(14, hasty))
        } else {
            PATIENT.get_or_init(|| Self::new(3, patient))
        }
    }

    fn new(threads: usize, options: fn() -> Options) -> Self {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || work(&receiver, options));
        }
        Self(Mutex::new(sender))
    }

    /// Has a world do something; its panic is the answer if it panics.
    fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&World, &Runtime) -> T + Send + 'static,
    ) -> Receiver<Result<T, String>> {
        let (sender, answer) = channel();
        let job: Job = Box::new(move |world, runtime| {
            let outcome = catch_unwind(AssertUnwindSafe(|| what(world, runtime)));
            let is_broken = outcome.is_err();
            let _ = sender.send(outcome.map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
            }));
            // The world may be half way through something.
            assert!(!is_broken);
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send(job).unwrap();
        answer
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, options: fn() -> Options) {
    loop {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(World::of(options()));
        // Past the first minutes of the very first key.
        world.advance(DAY);
        let broke = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(job) = job else { return };
                job(&world, &runtime);
            }
        }));
        if broke.is_ok() {
            return;
        }
    }
}

/// A world as in the cloud, with all three gateways.
fn patient() -> Options {
    let variables = [("SMS_ROUTES", "977=sparrow,sns,twilio")];
    let overrides = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Options { overrides: overrides.into(), ..Options::default() }
}

/// One in which nobody waits long for an answer.
fn hasty() -> Options {
    let mut options = patient();
    options.overrides.insert("GATEWAY_TIMEOUT_MILLISECONDS".to_owned(), "500".to_owned());
    options.timeouts = Timeouts {
        attempt: Duration::from_millis(1_000),
        operation: Duration::from_millis(2_500),
        ..Timeouts::default()
    };
    options
}

/// The sessions of a user that are in the table.
pub async fn sessions(world: &World, user_id: &str) -> Vec<Value> {
    world.items("SessionsTable").await.into_iter().filter(|session| session["user_id"]["S"] == user_id).collect()
}
