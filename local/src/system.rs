//! A running system: starts its parts in the order of their dependencies, and is how tests and benchmarks use them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use adapters::app::App;
use adapters::clock::Clock;
use adapters::config::{Config, Timeouts};
use adapters::telemetry::causes;
use axum::Router;
use domain::values::country::Country;
use domain::values::numbering_plan::NumberingPlan;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::api_gateway::{self, ApiGateway};
use crate::callers::{self, Callers};
use crate::clock::AdjustableClock;
use crate::cloudformation::{InitialSecret, REGION, Template, TemplateError};
use crate::data_folder::DataFolder;
use crate::dynamodb::embedded::Embedded;
use crate::dynamodb::engine::Engine;
use crate::dynamodb::other::Other;
use crate::dynamodb::proxy::{self, Proxy};
use crate::dynamodb::request::DynamodbRequest;
use crate::dynamodb::stream::Streams;
use crate::edge;
use crate::faults::aim::{Aim, Outgoing};
use crate::faults::store::Faults;
use crate::functions::Functions;
use crate::journal::Journal;
use crate::live::{Closing, Live};
use crate::local_routes::{self, Controls};
use crate::options::Options;
use crate::pages;
use crate::parameters;
use crate::schedule;
use crate::secrets_manager::rotation;
use crate::secrets_manager::store::{Refusal, SecretsManager};
use crate::seed::{Seed, SeedError, Seeder};
use crate::server::{self, Server};
use crate::start_error::StartError;
use crate::vendors::context::Context;
use crate::vendors::eventbridge::EventBridge;
use crate::vendors::google::Google;
use crate::vendors::router::{self as vendors, Vendors};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The credentials that the stand-ins for the gateways accept.
const GATEWAY_CREDENTIALS: [(&str, &str); 5] = [
    ("SPARROW_TOKEN", "local"),
    ("SPARROW_IDENTITY", "LATCHKEY"),
    ("TWILIO_ACCOUNT_SID", "AClocal"),
    ("TWILIO_AUTH_TOKEN", "local"),
    ("TWILIO_FROM", "+15005550006"),
];

/// Dropping it stops it without waiting for requests in progress.
pub struct System {
    address: SocketAddr,
    edge_address: Option<SocketAddr>,
    dynamodb_address: SocketAddr,
    aws_address: SocketAddr,
    clock: AdjustableClock,
    faults: Arc<Faults>,
    proxy: Arc<Proxy>,
    streams: Arc<Streams>,
    functions: Arc<Functions>,
    api: Server,
    edge: Option<Server>,
    dynamodb: Router,
    aws: Router,
    backends: [Server; 2],
    live: Closing,
    /// Holds the lock on the data folder.
    _data: DataFolder,
}

impl System {
    /// Starts everything, and returns when the API answers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let seed = options.seed.as_deref().map(|file| Seed::read(file).map_err(|error| seed_error(file, &error)));
        let seed = seed.transpose()?;
        let mut template = read_template(&options, seed.as_ref())?;
        let (api_listener, address) = listen("--port", options.listen, options.port).await?;
        let edge = match options.edge_port {
            Some(port) => {
                template.secrets.push(edge::secret());
                Some(listen("--edge-port", options.listen, port).await?)
            }
            None => None,
        };
        let edge_address = edge.as_ref().map(|(_, address)| *address);
        let (dynamodb_listener, dynamodb_address) = listen("--dynamodb-port", LOOPBACK, options.dynamodb_port).await?;
        let (aws_listener, aws_address) = listen("--aws-port", LOOPBACK, options.aws_port).await?;

        let clock = if options.runs_by_itself {
            AdjustableClock::running()
        } else {
            AdjustableClock::standing_still(options.behind_seconds)
        };
        let data = DataFolder::open(options.data.as_deref(), &clock)?;
        let live = Live::open();
        // Whoever gives DynamoDB more time does not give it to the gateways, whose time is a variable.
        let faults =
            Arc::new(Faults::new(options.timeouts.attempt.min(Timeouts::default().attempt), Arc::clone(&live)));
        let journal = options.console.then(|| Journal::new(clock.clone(), Arc::clone(&live)));
        let vendors = Arc::new(open_vendors(&data, &clock, &live, &faults, &mut template, aws_address)?);
        let engine = open_engine(options.other_dynamodb, &data, &template).await?;
        let proxy = Arc::new(Proxy::new(engine.clone(), Arc::clone(&faults), journal.clone()));
        let dynamodb = callers::no_foreign_page(proxy::router(Arc::clone(&proxy)));
        let aws = callers::no_foreign_page(vendors::router(Arc::clone(&vendors)));
        let serve =
            |listener, router: &Router| Server::start(listener, options.service_callers.clone(), router.clone());
        let backends = [serve(dynamodb_listener, &dynamodb), serve(aws_listener, &aws)];

        let home = home(&template)?;
        let called_at = edge_address.unwrap_or(address);
        let issuer = match options.hosts.first() {
            Some(host) => format!("http://{host}:{}", called_at.port()),
            None => format!("http://{called_at}"),
        };
        if options.console {
            template.stage_variables.insert("LatchkeyDocumentation".to_owned(), format!("{issuer}/docs"));
        }
        let mut variables = variables(issuer, dynamodb_address, aws_address);
        variables.extend(options.overrides);
        let (timeouts, functions_clock) = (options.timeouts, clock.for_functions());
        let functions =
            Functions::start(&template.functions, &variables, timeouts, functions_clock.clone(), Arc::clone(&faults))
                .map_err(|reason| StartError::Part { name: "a function", reason })?;
        let functions = Arc::new(functions);
        let _ = vendors.functions.set(Arc::clone(&functions));
        run_first_rotations(&vendors.context.secrets, &functions).await?;
        let app = administration(&template, &variables, timeouts, functions_clock)?;
        if let (Some(seed), Some(file)) = (&seed, &options.seed) {
            seed.write(&app).await.map_err(|error| seed_error(file, &error))?;
        }
        functions.warm().await;

        let sources = std::mem::take(&mut template.event_sources);
        let streams = Arc::new(Streams::new(engine, Arc::clone(&functions), sources, clock.clone()));
        if options.runs_by_itself {
            proxy.feed(Arc::clone(&streams));
            tokio::spawn(Arc::clone(&streams).run());
            let schedules = std::mem::take(&mut template.schedules);
            tokio::spawn(schedule::run(Arc::clone(&functions), schedules, clock.clone()));
        }

        let seeder = Seeder { app, functions: Arc::clone(&functions) };
        let controls = Arc::new(Controls {
            live: Arc::clone(&live),
            journal: journal.clone(),
            settings: settings(&template),
            seeder,
            inbox: Arc::clone(&vendors.context.inbox),
            home,
            plan: NumberingPlan::new(home),
            google: Arc::clone(&vendors.google),
            eventbridge: Arc::clone(&vendors.eventbridge),
            faults: Arc::clone(&vendors.faults),
            clock: clock.clone(),
            clock_file: data.clock_file(),
            advancing: Mutex::default(),
        });
        let gateway = Arc::new(ApiGateway::new(template, Arc::clone(&functions), clock.clone(), journal));
        let callers = Callers::by_names(options.hosts);
        let edge = edge.map(|(listener, _)| {
            let edge = edge::router(Arc::clone(&gateway), Arc::clone(&vendors.context.secrets));
            serve_api(listener, &callers, Arc::clone(&controls), edge)
        });
        let api = serve_api(api_listener, &callers, controls, api_gateway::router(gateway));
        Ok(Self {
            address,
            edge_address,
            dynamodb_address,
            aws_address,
            clock,
            faults,
            proxy,
            streams,
            functions,
            api,
            edge,
            dynamodb,
            aws,
            backends,
            live: Closing(live),
            _data: data,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the edge, if there is one.
    pub fn edge_address(&self) -> Option<SocketAddr> {
        self.edge_address
    }

    pub fn dynamodb_address(&self) -> SocketAddr {
        self.dynamodb_address
    }

    /// The address of Secrets Manager, SNS and the other vendors.
    pub fn aws_address(&self) -> SocketAddr {
        self.aws_address
    }

    /// DynamoDB, to be served on another listener.
    pub fn dynamodb(&self) -> Router {
        self.dynamodb.clone()
    }

    /// What answers at [`System::aws_address`], to be served on another listener.
    pub fn aws(&self) -> Router {
        self.aws.clone()
    }

    /// The clock of every function.
    pub fn clock(&self) -> &AdjustableClock {
        &self.clock
    }

    /// Discards the recorded requests to DynamoDB, and records all requests from here on. Nothing is recorded before
    /// the first call.
    pub fn reset_dynamodb_requests(&self) {
        self.proxy.restart_recording();
    }

    /// The requests to DynamoDB since the last reset, oldest first.
    pub fn dynamodb_requests(&self) -> Vec<DynamodbRequest> {
        self.proxy.recorded()
    }

    /// The same, and ends the recording.
    pub fn take_dynamodb_requests(&self) -> Vec<DynamodbRequest> {
        let requests = self.proxy.recorded();
        self.proxy.stop_recording();
        requests
    }

    /// Delays every answer of DynamoDB from here on; zero ends it.
    pub fn delay_dynamodb_answers(&self, delay: Duration) {
        self.proxy.delay_answers(delay);
    }

    /// Leaves the second half of the keys unprocessed in the next `batches` BatchGetItem requests, as DynamoDB does
    /// under load.
    pub fn halve_dynamodb_batches(&self, batches: usize) {
        self.proxy.halve_batches(batches);
    }

    /// Restarts the count of the functions' requests to vendors, and makes a future one fail; with `None`, none.
    pub fn aim(&self, aim: Option<Aim>) {
        self.faults.aim(aim);
    }

    /// The functions' requests to vendors since the last [`System::aim`], oldest first.
    pub fn outgoing(&self) -> Vec<Outgoing> {
        self.faults.outgoing()
    }

    /// Executes the requests that `Mode::Late` and `Mode::KillLate` held back, and returns when they are
    /// done.
    pub async fn do_late_requests(&self) {
        self.faults.do_late_requests().await;
    }

    /// Ends every function's process: its next event is a cold start.
    pub fn cool(&self) {
        self.functions.cool();
    }

    /// Does what each function's process does before its first event.
    pub async fn warm(&self) {
        self.functions.warm().await;
    }

    /// Calls the functions of the streams with everything that was written, and returns when they are done.
    pub async fn deliver_streams(&self) {
        self.streams.deliver().await;
    }

    /// Calls a function, by its logical id in the template.
    ///
    /// # Errors
    /// The function's own error.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, String> {
        self.functions.invoke(function, event).await
    }

    /// Finishes the requests in progress and returns.
    pub async fn stop(self) {
        drop(self.live);
        if let Some(edge) = self.edge {
            edge.stop().await;
        }
        self.api.stop().await;
        for backend in self.backends {
            backend.stop().await;
        }
    }
}

/// Reads the template with the values of the options and of the seed.
fn read_template(options: &Options, seed: Option<&Seed>) -> Result<Template, StartError> {
    let fault = |error: TemplateError| {
        let path = options.template.clone().unwrap_or_else(|| "the built-in template".into());
        StartError::Template { path, reason: error.to_string() }
    };
    let text = Template::text(options.template.as_deref()).map_err(fault)?;
    let mut parameters = options.parameters.clone();
    if options.edge_port.is_some() {
        parameters.insert("EdgeSecretArn".to_owned(), edge::SECRET.to_owned());
    }
    if let (Some(seed), Some(file)) = (seed, &options.seed) {
        let seeded = seed.parameters().map_err(|error| seed_error(file, &error))?;
        parameters::check(&text, &seeded).map_err(|refused| seed_error(file, &refused.into()))?;
        parameters.extend(seeded);
    }
    Template::read(&text, &parameters).map_err(fault)
}

fn seed_error(file: &Path, error: &SeedError) -> StartError {
    StartError::Seed { file: file.to_owned(), reason: causes(error) }
}

/// What writes the seed: it knows all tables, and the settings of all functions.
fn administration(
    template: &Template,
    overrides: &BTreeMap<String, String>,
    timeouts: Timeouts,
    clock: Clock,
) -> Result<App, StartError> {
    let mut variables: BTreeMap<String, String> = template.functions.values().flatten().map(owned).collect();
    variables.extend(overrides.clone());
    if let Some(endpoint) = variables.get_mut("AWS_ENDPOINT_URL_DYNAMODB") {
        endpoint.push('/');
        endpoint.push_str(proxy::OWN);
    }
    let app = Config::from_variables(&variables).and_then(|mut config| {
        config.aws.timeouts = timeouts;
        App::new(config, clock)
    });
    app.map_err(|error| StartError::Part { name: "the seed", reason: error.to_string() })
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// The address is one by which this machine can call the listener.
async fn listen(option: &'static str, ip: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let listen = async {
        let listener = server::listen(ip, port).await?;
        let mut address = listener.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { LOOPBACK } else { Ipv6Addr::LOCALHOST.into() });
        }
        Ok((listener, address))
    };
    listen.await.map_err(|reason| StartError::Port { option, port, reason })
}

/// The variables that differ from the cloud's: the services' addresses, the credentials and the issuer.
fn variables(issuer: String, dynamodb: SocketAddr, aws: SocketAddr) -> BTreeMap<String, String> {
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{dynamodb}")),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", format!("http://{aws}")),
        ("AWS_ENDPOINT_URL_SNS", format!("http://{aws}")),
        ("AWS_ENDPOINT_URL_EVENTBRIDGE", format!("http://{aws}")),
        ("SPARROW_BASE_URL", format!("http://{aws}/sparrow")),
        ("TWILIO_BASE_URL", format!("http://{aws}/twilio")),
        ("FCM_BASE_URL", format!("http://{aws}/google")),
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("ISSUER", issuer),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn open_engine(
    other_dynamodb: Option<SocketAddr>,
    data: &DataFolder,
    template: &Template,
) -> Result<Engine, StartError> {
    let Some(address) = other_dynamodb else {
        let embedded = Embedded::open(data.database().as_deref(), &template.tables);
        return embedded.map(Engine::Embedded).map_err(|reason| data.broken(reason));
    };
    let other = Other::open(address, &template.tables).await;
    other
        .map(|other| Engine::Other(Arc::new(other)))
        .map_err(|reason| StartError::Part { name: "the other DynamoDB", reason })
}

/// Opens the secrets and the inbox, and creates the missing secrets.
fn open_vendors(
    data: &DataFolder,
    clock: &AdjustableClock,
    live: &Arc<Live>,
    faults: &Arc<Faults>,
    template: &mut Template,
    address: SocketAddr,
) -> Result<Vendors, StartError> {
    let secrets = Arc::new(data.secrets(clock)?);
    let inbox = Arc::new(data.inbox(clock, Arc::clone(live))?);
    let named_by = |variable: &str| template.functions.values().find_map(|variables| variables.get(variable).cloned());
    let gateway_secret = named_by("GATEWAY_SECRET");
    let google = Google::new(clock.clone(), Arc::clone(live), Arc::clone(&secrets), named_by("PUSH_SECRET"));
    let eventbridge = EventBridge::new(clock.clone(), named_by("EVENT_BUS"));
    create_secrets(&secrets, template, gateway_secret.as_deref())
        .and_then(|()| google.ensure_key_file(&format!("http://{address}/google/token")))
        .map_err(|refusal| data.broken(refusal.message))?;
    let context = Context { inbox, secrets, gateway_secret };
    Ok(Vendors {
        context,
        google: Arc::new(google),
        eventbridge: Arc::new(eventbridge),
        faults: Arc::clone(faults),
        functions: OnceLock::new(),
    })
}

/// Creates the missing secrets, the gateways' one with the credentials that the stand-ins accept.
fn create_secrets(
    secrets: &SecretsManager,
    template: &mut Template,
    gateway_secret: Option<&str>,
) -> Result<(), Refusal> {
    let is_gateway_secret = |name: &str| gateway_secret == Some(name);
    if let Some(secret) = template.secrets.iter_mut().find(|secret| is_gateway_secret(&secret.name)) {
        secret.initial = InitialSecret::Given(json!(BTreeMap::from(GATEWAY_CREDENTIALS)).to_string());
    }
    secrets.create(&template.secrets, &template.rotations)
}

async fn run_first_rotations(secrets: &SecretsManager, functions: &Functions) -> Result<(), StartError> {
    for name in secrets.never_rotated() {
        let rotated = rotation::rotate(secrets, functions, &json!({ "SecretId": name })).await;
        rotated.map_err(|Refusal { message, .. }| StartError::Part {
            name: "the first rotation of a secret",
            reason: format!("{name}: {message}"),
        })?;
    }
    Ok(())
}

/// The country of national numbers, as the functions read it.
fn home(template: &Template) -> Result<Country, StartError> {
    let code = template.functions.values().find_map(|variables| variables.get("DEFAULT_REGION"));
    NumberingPlan::country(code.map_or("NP", String::as_str))
        .map_err(|unknown| StartError::Part { name: "the template", reason: format!("DefaultRegion: {unknown}") })
}

/// What the console has to know of the configuration.
fn settings(template: &Template) -> Value {
    let named_by = |variable: &str| template.functions.values().find_map(|variables| variables.get(variable));
    let number = |variable: &str| named_by(variable).and_then(|value| value.parse::<u32>().ok());
    json!({
        "organization": named_by("DEFAULT_ORGANIZATION"),
        "app_name": named_by("APP_NAME"),
        "country": named_by("DEFAULT_REGION"),
        "code_lifetime_seconds": number("CODE_LIFETIME_SECONDS"),
        "phone_dormant_days": number("PHONE_DORMANT_DAYS"),
        "undo_hours": number("UNDO_HOURS"),
    })
}

/// Serves the pages, the routes under `/local`, and the API.
fn serve_api(listener: TcpListener, callers: &Callers, controls: Arc<Controls>, api: Router) -> Server {
    let router = pages::router().nest("/local", local_routes::router(controls)).fallback_service(api);
    Server::start(listener, callers.clone(), router)
}
