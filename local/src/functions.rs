//! The functions, as Lambda runs them: each has its own environment, and takes and returns JSON.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use adapters::app::App;
use adapters::clock::Clock;
use adapters::config::{Config, ConfigError, Timeouts};
use lambda_http::lambda_runtime::{Context, LambdaEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::faults::store::Faults;
use crate::lock::lock;
use crate::random;

/// The functions by their logical ids in the template.
pub struct Functions {
    processes: BTreeMap<String, Process>,
    faults: Arc<Faults>,
}

struct Process {
    app: App,
    /// `None` from its death until the next event, which starts it again.
    function: Mutex<Option<Arc<Function>>>,
}

enum Function {
    Account(account::Account),
    Authorizer(authorizer::Authorizer),
    Due(due::DueWork),
    Jwks(jwks::Jwks),
    Notify(Box<notify::Notify>),
    Publish(publish::Publish),
    RotateKeys(rotate_keys::RotateKeys),
    SendOtp(Box<send_otp::SendOtp>),
    Session(session::Session),
    SubmitOtp(submit_otp::SubmitOtp),
    ValidateOtp(validate_otp::ValidateOtp),
}

impl Functions {
    /// Starts each function with its own variables, of which `overrides` replaces some.
    pub fn start(
        environments: &BTreeMap<String, BTreeMap<String, String>>,
        overrides: &BTreeMap<String, String>,
        timeouts: Timeouts,
        clock: Clock,
        faults: Arc<Faults>,
    ) -> Result<Self, String> {
        let mut processes = BTreeMap::new();
        for (id, environment) in environments {
            let mut variables = environment.clone();
            variables.extend(overrides.clone());
            if let Some(endpoint) = variables.get_mut("AWS_ENDPOINT_URL_DYNAMODB") {
                // A path of its own: the journal tells by it which function asks.
                endpoint.push('/');
                endpoint.push_str(id);
            }
            let mut config = Config::from_variables(&variables).map_err(|error| format!("{id}: {error}"))?;
            config.aws.timeouts = timeouts;
            let app = App::new(config, clock.clone()).map_err(|error| format!("{id}: {error}"))?;
            let process = Process { app, function: Mutex::default() };
            process.function(id)?;
            processes.insert(id.clone(), process);
        }
        Ok(Self { processes, faults })
    }

    /// Does what each function does before its first event: afterwards it has its connections, keys and settings.
    pub async fn warm(&self) {
        let mut warming = JoinSet::new();
        for (id, process) in &self.processes {
            let Ok(function) = process.function(id) else { continue };
            warming.spawn(async move { function.prepare().await });
        }
        while warming.join_next().await.is_some() {}
    }

    /// Ends every function's process: its next event is a cold start.
    pub fn cool(&self) {
        self.processes.values().for_each(Process::end);
    }

    /// Calls a function with an event. As in Lambda it runs to its end even if the caller has disconnected, and a panic
    /// fails only this call. If a fault kills it, its whole process ends.
    pub async fn invoke(&self, id: &str, event: Value) -> Result<Value, String> {
        let process = self.processes.get(id).ok_or_else(|| format!("the function {id} does not exist"))?;
        let function = process.function(id)?;
        let mut deaths = self.faults.deaths();
        // Boxed: otherwise the type of this task is too deep for the compiler's limit in a release build.
        let mut run = tokio::spawn(async move { Box::pin(function.handle(event)).await });
        tokio::select! {
            outcome = &mut run => outcome.map_err(|error| error.to_string())?,
            Ok(()) = deaths.changed() => {
                run.abort();
                let _ = run.await;
                process.end();
                Err("it was killed by an injected fault".to_owned())
            }
        }
    }
}

impl Process {
    fn function(&self, id: &str) -> Result<Arc<Function>, String> {
        let mut running = lock(&self.function);
        if let Some(function) = running.as_ref() {
            return Ok(Arc::clone(function));
        }
        let function = Arc::new(Function::new(id, &self.app)?);
        *running = Some(Arc::clone(&function));
        Ok(function)
    }

    fn end(&self) {
        *lock(&self.function) = None;
    }
}

impl Function {
    fn new(id: &str, app: &App) -> Result<Self, String> {
        let wrong = |error: ConfigError| format!("{id}: {error}");
        Ok(match id {
            "AccountFunction" => Self::Account(account::Account::new(app).map_err(wrong)?),
            "AuthorizerFunction" => Self::Authorizer(authorizer::Authorizer::new(app).map_err(wrong)?),
            "DueFunction" => Self::Due(due::DueWork::new(app).map_err(wrong)?),
            "JwksFunction" => Self::Jwks(jwks::Jwks::new(app).map_err(wrong)?),
            "NotifyFunction" => Self::Notify(Box::new(notify::Notify::new(app).map_err(wrong)?)),
            "PublishFunction" => Self::Publish(publish::Publish::new(app).map_err(wrong)?),
            "RotateKeysFunction" => Self::RotateKeys(rotate_keys::RotateKeys::new(app).map_err(wrong)?),
            "SendOtpFunction" => Self::SendOtp(Box::new(send_otp::SendOtp::new(app).map_err(wrong)?)),
            "SessionFunction" => Self::Session(session::Session::new(app).map_err(wrong)?),
            "SubmitOtpFunction" => Self::SubmitOtp(submit_otp::SubmitOtp::new(app).map_err(wrong)?),
            "ValidateOtpFunction" => Self::ValidateOtp(validate_otp::ValidateOtp::new(app).map_err(wrong)?),
            _ => return Err(format!("the template's {id} is not a function of this workspace")),
        })
    }

    async fn prepare(&self) {
        match self {
            Self::Account(function) => function.prepare().await,
            Self::Authorizer(function) => function.prepare().await,
            Self::Jwks(function) => function.prepare().await,
            Self::Due(_) | Self::Notify(_) | Self::Publish(_) | Self::RotateKeys(_) => {}
            Self::SendOtp(function) => function.prepare().await,
            Self::Session(function) => function.prepare().await,
            Self::SubmitOtp(function) => function.prepare().await,
            Self::ValidateOtp(function) => function.prepare().await,
        }
    }

    async fn handle(&self, event: Value) -> Result<Value, String> {
        match self {
            Self::Account(function) => answer(&function.handle(read(event)?).await),
            Self::Jwks(function) => answer(&function.handle(read(event)?).await),
            Self::Notify(function) => answer(&function.handle(call(event)?).await),
            Self::Publish(function) => answer(&function.handle(call(event)?).await),
            Self::SendOtp(function) => answer(&function.handle(read(event)?).await),
            Self::Session(function) => answer(&function.handle(read(event)?).await),
            Self::SubmitOtp(function) => answer(&function.handle(read(event)?).await),
            Self::ValidateOtp(function) => answer(&function.handle(read(event)?).await),
            Self::Authorizer(function) => {
                answer(&function.handle(read(event)?).await.map_err(|error| error.to_string())?)
            }
            Self::Due(function) => answer(&function.handle(call(event)?).await.map_err(|error| error.to_string())?),
            Self::RotateKeys(function) => {
                function.handle(call(event)?).await.map_err(|error| error.to_string())?;
                Ok(Value::Null)
            }
        }
    }
}

/// A call that no request of the API causes has an id of Lambda.
fn call<Event: DeserializeOwned>(event: Value) -> Result<LambdaEvent<Event>, String> {
    let mut context = Context::default();
    context.request_id = random::uuid();
    Ok(LambdaEvent::new(read(event)?, context))
}

fn read<Event: DeserializeOwned>(event: Value) -> Result<Event, String> {
    serde_json::from_value(event).map_err(|error| format!("the event does not fit the function: {error}"))
}

fn answer(answer: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}
