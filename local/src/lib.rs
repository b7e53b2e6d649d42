//! The whole of Latchkey on one machine: the functions behind an HTTP API as `template.yaml` declares it, with
//! embedded stand-ins for everything in the world that they touch. It listens on loopback alone.
//!
//! No state is global: any number of systems run side by side in one process.

mod aim;
mod answer;
mod controls;
mod data;
mod engine;
mod faults;
mod functions;
mod gateway;
mod google;
mod inbox;
mod page;
mod random;
mod rotation;
mod secrets_manager;
mod sns;
mod sparrow;
mod template;
mod twilio;
mod vendors;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use adapters::Clock;
use adapters::app::Timeouts;
use axum::Router;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::controls::Controls;
use crate::data::Data;
use crate::engine::{Engine, Front};
use crate::faults::Faults;
use crate::functions::Functions;
use crate::gateway::Gateway;
use crate::google::Google;
use crate::template::{InitialSecret, Template};
use crate::vendors::Vendors;

pub use crate::aim::{Aim, Outgoing};
pub use crate::engine::DynamodbRequest;
pub use crate::faults::{Mode, Target};

/// How long a stop waits for what is running.
const GRACE: Duration = Duration::from_secs(5);

/// What to run, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The API's port; 0 is any free one, as for the others.
    pub port: u16,
    /// DynamoDB's port.
    pub dynamodb_port: u16,
    /// The port of Secrets Manager, SNS and the stand-ins for the gateways.
    pub aws_port: u16,
    /// The folder that outlives a restart; `None` forgets everything.
    pub data: Option<PathBuf>,
    /// The template that says what there is.
    pub template: PathBuf,
    /// Environment variables laid over those of the template, for every function.
    pub overrides: BTreeMap<String, String>,
    /// How long every function waits for AWS.
    pub timeouts: Timeouts,
}

impl Default for Options {
    /// Any free ports, nothing kept, the workspace's own template.
    fn default() -> Self {
        Self {
            port: 0,
            dynamodb_port: 0,
            aws_port: 0,
            data: None,
            template: Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("template.yaml"),
            overrides: BTreeMap::new(),
            timeouts: Timeouts::default(),
        }
    }
}

/// Why a system can't start, in one line.
#[derive(Debug)]
pub enum StartError {
    /// A port can't be had.
    Port {
        /// The option that chooses it.
        option: &'static str,
        /// The port.
        port: u16,
        /// What the operating system says.
        reason: std::io::Error,
    },
    /// The template can't be read or makes no sense.
    Template {
        /// Where it was looked for.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data folder can't be used.
    Data {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A part fails to start.
    Part {
        /// The part.
        name: &'static str,
        /// What it says.
        reason: String,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { option, port, reason } if reason.kind() == std::io::ErrorKind::AddrInUse => {
                write!(f, "port {port} is already in use; choose another with {option}")
            }
            Self::Port { option, port, reason } => {
                write!(f, "port {port} can't be used ({reason}); choose another with {option}")
            }
            Self::Template { path, reason } => write!(f, "{} can't be used: {}", path.display(), one_line(reason)),
            Self::Data { folder, reason } => {
                write!(f, "the data folder {} can't be used: {}", folder.display(), one_line(reason))
            }
            Self::Part { name, reason } => write!(f, "{name} failed: {}", one_line(reason)),
        }
    }
}

impl std::error::Error for StartError {}

/// A running system. Dropping it stops it without waiting for what is running.
pub struct System {
    address: SocketAddr,
    dynamodb_address: SocketAddr,
    aws_address: SocketAddr,
    clock: Clock,
    faults: Arc<Faults>,
    front: Arc<Front>,
    functions: Arc<Functions>,
    engine: Engine,
    api: Server,
    dynamodb: Router,
    aws: Router,
    backends: [Server; 2],
    /// Holds the lock on the data folder.
    _data: Data,
}

impl System {
    /// Starts everything and returns when the API answers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let template = Template::read(&options.template)
            .map_err(|reason| StartError::Template { path: options.template.clone(), reason: reason.to_string() })?;
        let api_listener = listen("--port", options.port).await?;
        let dynamodb_listener = listen("--dynamodb-port", options.dynamodb_port).await?;
        let aws_listener = listen("--aws-port", options.aws_port).await?;
        let address = bound(&api_listener)?;
        let dynamodb_address = bound(&dynamodb_listener)?;
        let aws_address = bound(&aws_listener)?;

        let clock = Clock::adjustable();
        let data = Data::open(options.data.as_deref(), &clock)?;
        let secrets = Arc::new(data.secrets(&clock)?);
        let inbox = Arc::new(data.inbox(&clock)?);
        let faults = Arc::new(Faults::new(options.timeouts.attempt));
        let engine =
            Engine::start(data.database().as_deref(), &template.tables).map_err(|reason| data.broken(reason))?;
        let front = Arc::new(Front::new(engine.address(), Arc::clone(&faults)));

        let gateway_secret =
            template.functions.values().find_map(|environment| environment.get("GATEWAY_SECRET")).cloned();
        let push_secret = template.functions.values().find_map(|environment| environment.get("PUSH_SECRET")).cloned();
        let google = Arc::new(Google::new(clock.clone(), Arc::clone(&secrets), push_secret));
        create_secrets(&secrets, &template, gateway_secret.as_deref())
            .and_then(|()| google.fill_in(&format!("http://{aws_address}/google/token")))
            .map_err(|refusal| data.broken(refusal.message))?;
        let vendors = Arc::new(Vendors {
            faults: Arc::clone(&faults),
            inbox: Arc::clone(&inbox),
            secrets: Arc::clone(&secrets),
            google: Arc::clone(&google),
            gateway_secret,
            functions: OnceLock::new(),
        });
        let dynamodb = engine::router(Arc::clone(&front));
        let aws = vendors::router(Arc::clone(&vendors));
        let backends = [Server::start(dynamodb_listener, dynamodb.clone()), Server::start(aws_listener, aws.clone())];

        let mut overlay = variables(address, dynamodb_address, aws_address);
        overlay.extend(options.overrides);
        let functions =
            Functions::start(&template.functions, &overlay, options.timeouts, &clock, Arc::clone(&faults)).await;
        let functions = Arc::new(functions.map_err(|reason| StartError::Part { name: "a function", reason })?);
        let _ = vendors.functions.set(Arc::clone(&functions));
        for name in secrets.never_rotated() {
            rotation::rotate(&secrets, &functions, &json!({ "SecretId": name })).await.map_err(|refusal| {
                StartError::Part {
                    name: "the first rotation of a secret",
                    reason: format!("{name}: {}", refusal.message),
                }
            })?;
        }
        functions.warm().await;
        front.reset();

        let gateway = Arc::new(Gateway::new(template, Arc::clone(&functions), clock.clone()));
        let controls = Arc::new(Controls::new(inbox, google, Arc::clone(&faults), clock.clone(), data.clock_file()));
        let router = Router::new().fallback(gateway::answer).with_state(gateway);
        let router = page::routes(router).nest("/local", controls::router(controls));
        let api = Server::start(api_listener, router);
        Ok(Self {
            address,
            dynamodb_address,
            aws_address,
            clock,
            faults,
            front,
            functions,
            engine,
            api,
            dynamodb,
            aws,
            backends,
            _data: data,
        })
    }

    /// Where the API answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where DynamoDB answers.
    pub fn dynamodb_address(&self) -> SocketAddr {
        self.dynamodb_address
    }

    /// Where Secrets Manager, SNS and the stand-ins for the gateways answer.
    pub fn aws_address(&self) -> SocketAddr {
        self.aws_address
    }

    /// What answers as DynamoDB, for whoever would serve it on a listener of their own.
    pub fn dynamodb(&self) -> Router {
        self.dynamodb.clone()
    }

    /// What answers at [`System::aws_address`], likewise.
    pub fn aws(&self) -> Router {
        self.aws.clone()
    }

    /// The clock that every function tells the time by.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// The requests that reached DynamoDB since the start or the last reset, in the order of their arrival.
    pub fn dynamodb_requests(&self) -> Vec<DynamodbRequest> {
        self.front.requests()
    }

    /// Forgets the requests counted so far.
    pub fn reset_dynamodb_requests(&self) {
        self.front.reset();
    }

    /// Counts the functions' requests to vendors anew, and makes one to come go wrong; with `None`, none.
    pub fn aim(&self, aim: Option<Aim>) {
        self.faults.aim(aim);
    }

    /// The functions' requests to vendors since aim was taken, in the order of their arrival.
    pub fn outgoing(&self) -> Vec<Outgoing> {
        self.faults.outgoing()
    }

    /// Does what [`Mode::Late`] and [`Mode::KillLate`] held back, and returns when it is done.
    pub async fn do_late_requests(&self) {
        self.faults.do_late_requests().await;
    }

    /// Ends every function's process, so that its next event is a cold start's: nothing that was read or learned is at
    /// hand.
    pub fn cool(&self) {
        self.functions.cool();
    }

    /// Does what each function's process does before its first event.
    pub async fn warm(&self) {
        self.functions.warm().await;
    }

    /// Calls a function, named as the template names it, with an event of any making.
    ///
    /// # Errors
    /// What the function fails with.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, String> {
        self.functions.invoke(function, event).await
    }

    /// Finishes what is running, closes the data and returns.
    pub async fn stop(self) {
        self.api.stop().await;
        for backend in self.backends {
            backend.stop().await;
        }
        let _ = timeout(GRACE, self.engine.stop()).await;
    }
}

/// One listener and what answers on it; dropping it stops it.
struct Server {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, mut stopped) = watch::channel(());
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Small answers, one at a time: waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
        });
        let serve = axum::serve(listener, service).with_graceful_shutdown(async move {
            let _ = stopped.changed().await;
        });
        let task = tokio::spawn(async move {
            let _ = serve.await;
        });
        Self { stop, task }
    }

    async fn stop(self) {
        let Self { stop, mut task } = self;
        drop(stop);
        if timeout(GRACE, &mut task).await.is_err() {
            task.abort();
        }
    }
}

async fn listen(option: &'static str, port: u16) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener.map_err(|reason| StartError::Port { option, port, reason })
}

fn bound(listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Part { name: "a listener", reason: error.to_string() })
}

/// The variables that differ on one machine: where the world is, and who we are.
fn variables(api: SocketAddr, dynamodb: SocketAddr, aws: SocketAddr) -> BTreeMap<String, String> {
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{dynamodb}")),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", format!("http://{aws}")),
        ("AWS_ENDPOINT_URL_SNS", format!("http://{aws}")),
        ("SPARROW_BASE_URL", format!("http://{aws}/sparrow")),
        ("TWILIO_BASE_URL", format!("http://{aws}/twilio")),
        ("FCM_BASE_URL", format!("http://{aws}/google")),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_REGION", template::REGION.to_owned()),
        ("ISSUER", format!("http://{api}")),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Creates the secrets that are missing, the gateways' with credentials that the stand-ins take.
fn create_secrets(
    secrets: &secrets_manager::SecretsManager,
    template: &Template,
    gateway_secret: Option<&str>,
) -> Result<(), secrets_manager::Refusal> {
    let declared = template.secrets.iter().map(|secret| {
        let mut secret = secret.clone();
        if let (Some(name), InitialSecret::Given(value)) = (gateway_secret, &mut secret.initial)
            && name == secret.name
        {
            let mut credentials = serde_json::from_str::<Value>(value).unwrap_or_default();
            if !credentials.is_object() {
                credentials = json!({});
            }
            if let Some(credentials) = credentials.as_object_mut() {
                let stand_ins = [
                    ("SPARROW_TOKEN", "local"),
                    ("SPARROW_IDENTITY", "LATCHKEY"),
                    ("TWILIO_ACCOUNT_SID", "AClocal"),
                    ("TWILIO_AUTH_TOKEN", "local"),
                    ("TWILIO_FROM", "+15005550006"),
                ];
                credentials.extend(stand_ins.map(|(name, value)| (name.to_owned(), json!(value))));
            }
            *value = credentials.to_string();
        }
        secret
    });
    secrets.create(&declared.collect::<Vec<_>>(), &template.rotations)
}

/// A lock that a panic elsewhere does not break: what it guards is never left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
