//! Finds every request that a flow makes to a vendor, and runs the flow again for each way in which one can fail.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use adapters::config::Timeouts;
use local::{Aim, Mode, Options, Outgoing, Target};
use tests::World;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::flows::{Case, Events, Flow, Request, get_a_code};
use crate::invariants;

/// How often a client repeats a request before it gives up.
const MAX_RETRIES: usize = 4;
/// Longer than any window of the limits.
pub const DAY_SECONDS: u64 = 86_400;

/// When the vendor carries out a request that failed for the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Never,
    AtOnce,
    BeforeRetry,
    AfterRetry,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    name: &'static str,
    mode: Mode,
    code: Option<&'static str>,
    /// Whether the SDK's retries of the request fail too.
    lasts: bool,
    done: Done,
}

impl Fault {
    const fn once(name: &'static str, mode: Mode, done: Done) -> Self {
        Self { name, mode, code: None, lasts: false, done }
    }

    const fn always(name: &'static str, mode: Mode, done: Done) -> Self {
        Self { name, mode, code: None, lasts: true, done }
    }

    const fn refused_once(name: &'static str, code: &'static str) -> Self {
        Self { code: Some(code), ..Self::once(name, Mode::Refuse, Done::Never) }
    }

    const fn refused_always(name: &'static str, code: &'static str) -> Self {
        Self { lasts: true, ..Self::refused_once(name, code) }
    }

    fn kills(&self) -> bool {
        matches!(self.mode, Mode::Kill | Mode::KillLate)
    }

    /// Whether the function waits for an answer.
    fn takes_time(&self) -> bool {
        matches!(self.mode, Mode::Slow | Mode::Timeout | Mode::Late)
    }

    /// Whether the function waits for an answer, or sends the same transaction for long.
    fn needs_short_timeouts(&self) -> bool {
        self.takes_time() || self.lasts || matches!(self.mode, Mode::InProgress(_))
    }
}

const OF_AWS: [Fault; 7] = [
    Fault::once("failed once", Mode::Error, Done::Never),
    Fault::always("failed each time", Mode::Error, Done::Never),
    Fault::once("was cut off", Mode::Cut, Done::Never),
    Fault::once("was answered slowly", Mode::Slow, Done::AtOnce),
    Fault::once("was answered too late once", Mode::Timeout, Done::AtOnce),
    Fault::always("was answered too late each time", Mode::Timeout, Done::AtOnce),
    Fault::once("was the last of its function", Mode::Kill, Done::AtOnce),
];

/// For requests that write, beside those of [`OF_AWS`].
const OF_WRITES: [Fault; 6] = [
    Fault::once("was done and failed", Mode::Lost, Done::AtOnce),
    Fault::once("was done and cut off", Mode::LostInCut, Done::AtOnce),
    Fault::always("was done and cut off each time", Mode::LostInCut, Done::AtOnce),
    Fault::once("was done after its first retry", Mode::Late, Done::BeforeRetry),
    Fault::once("was the last of its function and done before the retry", Mode::KillLate, Done::BeforeRetry),
    Fault::once("was the last of its function and done after the retry", Mode::KillLate, Done::AfterRetry),
];

const OF_DYNAMODB: [Fault; 2] = [
    Fault::refused_once("was throttled once", "ThrottlingException"),
    Fault::refused_always("was throttled each time", "ProvisionedThroughputExceededException"),
];

const OF_DYNAMODB_WRITES: [Fault; 2] = [
    Fault::refused_once("conflicted with a transaction", "TransactionConflict"),
    Fault::refused_always("conflicted with a transaction each time", "TransactionConflict"),
];

const IN_PROGRESS: &str = "TransactionInProgressException";
/// More answers than a transaction has contended attempts, which these must not be counted as.
const LATE: usize = 20;

const OF_TRANSACTIONS: [Fault; 4] = [
    Fault::refused_once("was in progress once", IN_PROGRESS),
    Fault::refused_always("was in progress each time", IN_PROGRESS),
    Fault::once("was done late", Mode::InProgress(LATE), Done::AtOnce),
    Fault::once("was done and cut off four times", Mode::LostInCuts(4), Done::AtOnce),
];

const OF_SECRETS: [Fault; 2] = [
    Fault::refused_once("was throttled once", "ThrottlingException"),
    Fault::refused_always("was throttled each time", "ThrottlingException"),
];

/// Functions never repeat a request to a gateway.
const OF_GATEWAYS: [Fault; 9] = [
    Fault::once("was refused", Mode::Refuse, Done::Never),
    Fault::once("failed", Mode::Error, Done::Never),
    Fault::once("was cut off", Mode::Cut, Done::Never),
    Fault::once("was done and failed", Mode::Lost, Done::AtOnce),
    Fault::once("was done and cut off", Mode::LostInCut, Done::AtOnce),
    Fault::once("was answered slowly", Mode::Slow, Done::AtOnce),
    Fault::once("was answered too late", Mode::Timeout, Done::AtOnce),
    Fault::once("was the last of its function", Mode::Kill, Done::AtOnce),
    Fault::once("was the last of its function and done after the retry", Mode::KillLate, Done::AfterRetry),
];

fn is_read(request: &Outgoing) -> bool {
    let reads = ["GetItem", "BatchGetItem", "Query", "GetSecretValue", "DescribeSecret"];
    reads.iter().any(|read| request.what.starts_with(read))
}

fn is_transaction(request: &Outgoing) -> bool {
    request.what.starts_with("TransactWriteItems")
}

fn faults(request: &Outgoing) -> Vec<Fault> {
    let is_read = is_read(request);
    match request.target {
        Target::Dynamodb if is_read => [&OF_AWS[..], &OF_DYNAMODB].concat(),
        Target::Dynamodb => {
            let of_transactions = if is_transaction(request) { &OF_TRANSACTIONS[..] } else { &[] };
            [&OF_AWS[..], &OF_DYNAMODB, &OF_WRITES, &OF_DYNAMODB_WRITES, of_transactions].concat()
        }
        Target::SecretsManager if is_read => [&OF_AWS[..], &OF_SECRETS].concat(),
        Target::SecretsManager => [&OF_AWS[..], &OF_SECRETS, &OF_WRITES].concat(),
        Target::EventBridge => [&OF_AWS[..], &OF_SECRETS, &OF_WRITES].concat(),
        Target::Sparrow | Target::Sns | Target::Twilio | Target::Fcm => OF_GATEWAYS.to_vec(),
    }
}

/// One request of a flow, and how it fails.
#[derive(Clone, Debug)]
struct FaultPoint {
    at: Outgoing,
    /// Whether only functions that have just started make the request.
    is_cold: bool,
    fault: Fault,
}

impl FaultPoint {
    fn name(&self) -> String {
        let Outgoing { target, what, nth } = &self.at;
        format!("{target:?} {what} (no. {nth}) {}", self.fault.name)
    }

    fn aim(&self) -> Aim {
        let Fault { mode, code, lasts, .. } = self.fault;
        Aim { at: self.at.clone(), mode, code, lasts }
    }

    fn is_message(&self) -> bool {
        matches!(self.at.target, Target::Sparrow | Target::Sns | Target::Twilio)
    }

    /// The function itself repeats what fails once, and a 503 means that nothing was lost. A client that lost an answer
    /// or waited long may have to wait for a window.
    fn max_retries(&self) -> usize {
        match (self.fault.lasts, self.fault.done) {
            _ if self.fault.kills() || self.fault.takes_time() => MAX_RETRIES,
            (false, _) if !self.is_message() => 0,
            (_, Done::Never) => 1,
            _ => MAX_RETRIES,
        }
    }
}

/// Runs a flow with each of its fault points, and panics with the list of those that did harm.
pub fn sweep(flow: Flow) {
    let [usual, short] = match flow.events {
        Events::Off => [&USUAL, &SHORT_TIMEOUTS],
        Events::Published => [&PUBLISHING, &PUBLISHING_WITH_SHORT_TIMEOUTS],
    };
    let cold = usual.run(async move |world: &World| cold_requests(&flow, world).await);
    let warm = usual.run(async move |world: &World| warm_requests(&flow, world).await);
    let (requests, warm) = (cold.recv().unwrap().unwrap(), warm.recv().unwrap().unwrap());
    let points = requests.iter().flat_map(|at| {
        let is_cold = !warm.contains(at);
        faults(at).into_iter().map(move |fault| FaultPoint { at: at.clone(), is_cold, fault })
    });
    let outcomes: Vec<_> = points
        .map(|point| {
            let (name, pool) = (point.name(), if point.fault.needs_short_timeouts() { short } else { usual });
            (name, pool.run(async move |world: &World| run_with_fault(&flow, world, &point).await))
        })
        .collect();
    let points = outcomes.len();
    let mut failures = Vec::new();
    let mut retries: BTreeMap<usize, usize> = BTreeMap::new();
    for (point, outcome) in outcomes {
        match outcome.recv().unwrap() {
            Ok(count) => *retries.entry(count).or_default() += 1,
            Err(why) => failures.push(format!("{point}: {why}")),
        }
    }
    static SWEPT: AtomicUsize = AtomicUsize::new(0);
    let swept = SWEPT.fetch_add(points, Ordering::SeqCst) + points;
    let Flow { name, .. } = flow;
    println!("{name}: {} requests, {points} fault points, retries: {retries:?}; {swept} so far", requests.len());
    assert!(failures.is_empty(), "{name}: {} of {points}\n{}", failures.len(), failures.join("\n"));
}

/// A case with numbers and names that no other has, in any world.
async fn prepare(flow: &Flow, world: &World) -> Case {
    static CASES: AtomicUsize = AtomicUsize::new(1);
    let mut case = Case::new(CASES.fetch_add(1, Ordering::SeqCst));
    flow.prepare(world, &mut case).await;
    case
}

async fn cold_requests(flow: &Flow, world: &World) -> Vec<Outgoing> {
    let case = prepare(flow, world).await;
    world.system.cool();
    requests(flow, world, &case).await
}

async fn warm_requests(flow: &Flow, world: &World) -> Vec<Outgoing> {
    let case = prepare(flow, world).await;
    if let Request::Functions(_) = flow.request {
        // What they do once may not be possible again at once, so they are cold in each case.
        return Vec::new();
    }
    // Another case's request warms the functions.
    let other = prepare(flow, world).await;
    flow.send(world, &other).await;
    world.clear_faults().await;
    requests(flow, world, &case).await
}

/// The requests that the flow makes to vendors without a fault.
async fn requests(flow: &Flow, world: &World, case: &Case) -> Vec<Outgoing> {
    world.system.aim(None);
    let reply = flow.send(world, case).await;
    let requests = world.system.outgoing();
    assert!(flow.requests > 1 || flow.ends_with(&reply, 0), "{reply:?}");
    assert!(!requests.is_empty());
    world.advance(DAY_SECONDS);
    requests
}

/// How many worlds prepare or check at the same time. If more of them share the processor, short timeouts pass without
/// a fault.
static BUSY: Semaphore = Semaphore::const_new(4);

/// Runs the flow with one fault, checks what must be true after it, and returns the number of retries.
async fn run_with_fault(flow: &Flow, world: &World, point: &FaultPoint) -> usize {
    let busy = BUSY.acquire().await.unwrap();
    let case = prepare(flow, world).await;
    drop(busy);
    if point.is_cold || point.is_message() {
        // A warm function tries a gateway that failed before last.
        world.system.cool();
    }
    world.system.aim(Some(point.aim()));
    let invokes_functions = matches!(flow.request, Request::Functions(_));
    let mut retries = 0;
    let reply = loop {
        let reply = flow.send(world, &case).await;
        if retries == 0 {
            assert!(world.system.outgoing().contains(&point.at), "the flow did not make the request");
            world.system.aim(None);
            // The flow may not have reached each gateway that its preparation made fail.
            world.clear_faults().await;
            if point.fault.done == Done::BeforeRetry {
                world.system.do_late_requests().await;
            }
        }
        if flow.ends_with(&reply, retries) {
            break reply;
        }
        assert!(retries < MAX_RETRIES, "failed after {retries} retries: {reply:?}");
        if reply.is_of_a_dead_function() {
            assert!(retries == 0 && (invokes_functions || point.fault.kills()), "a function died without a fault");
        } else {
            assert!([429, 503].contains(&reply.status), "no retry is documented for this answer: {reply:?}");
            world.advance(reply.number("retry_after"));
        }
        retries += 1;
    };
    let max_retries = point.max_retries() + (flow.requests - 1) + usize::from(invokes_functions);
    assert!(retries <= max_retries, "{retries} retries were needed; {max_retries} must be enough");
    let _busy = BUSY.acquire().await.unwrap();
    world.system.do_late_requests().await;
    (flow.check)(world, &case, &reply).await;
    invariants::check(world).await;
    world.advance(DAY_SECONDS);
    if !is_read(&point.at) {
        // All limits are available again. A failed read used up no more than the write before it.
        get_a_code(world, &case.phone).await;
    }
    world.assert_silent();
    retries
}

type Job = Box<dyn FnOnce(&World, &Runtime) + Send>;

/// Threads that keep a world each from one case to the next.
struct Pool(Sender<Job>);

static USUAL: LazyLock<Pool> = LazyLock::new(|| Pool::new(3, three_gateways));
/// Its worlds wait most of the time, so there are many.
static SHORT_TIMEOUTS: LazyLock<Pool> = LazyLock::new(|| Pool::new(14, short_timeouts));
static PUBLISHING: LazyLock<Pool> = LazyLock::new(|| Pool::new(1, || publishing(three_gateways())));
static PUBLISHING_WITH_SHORT_TIMEOUTS: LazyLock<Pool> = LazyLock::new(|| Pool::new(4, || publishing(short_timeouts())));

impl Pool {
    fn new(threads: usize, options: fn() -> Options) -> Self {
        let (sender, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || do_jobs(&receiver, options));
        }
        Self(sender)
    }

    /// Runs `work` in one of the worlds. The answer is its result or its panic's message.
    fn run<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&World) -> T + Send + 'static,
    ) -> Receiver<Result<T, String>> {
        let (sender, answer) = channel();
        let job: Job = Box::new(move |world, runtime| {
            let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work(world))));
            let is_broken = outcome.is_err();
            let _ = sender.send(outcome.map_err(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
            }));
            assert!(!is_broken, "the world is in an unknown state: replace it");
        });
        self.0.send(job).unwrap();
        answer
    }
}

fn do_jobs(jobs: &Mutex<Receiver<Job>>, options: fn() -> Options) {
    loop {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(World::of(options()));
        // Functions also read the previous signing key until the current one is minutes old.
        world.advance(DAY_SECONDS);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(job) = job else { return };
                job(&world, &runtime);
            }
        }));
        if ended.is_ok() {
            return;
        }
    }
}

fn three_gateways() -> Options {
    let overrides = [("SMS_ROUTES".to_owned(), "977=sparrow,sns,twilio".to_owned())];
    Options { overrides: overrides.into(), ..Options::default() }
}

fn publishing(options: Options) -> Options {
    Options { parameters: Options::publishing(), ..options }
}

fn short_timeouts() -> Options {
    let mut options = three_gateways();
    options.overrides.insert("GATEWAY_TIMEOUT_MILLISECONDS".to_owned(), "500".to_owned());
    options.timeouts = Timeouts {
        attempt: Duration::from_millis(1_000),
        operation: Duration::from_millis(2_500),
        transaction: Duration::from_millis(4_000),
        ..Timeouts::default()
    };
    options
}
