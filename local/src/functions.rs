//! The eight functions as the cloud has them: each with its own environment, called with JSON and answering in JSON.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use adapters::app::Timeouts;
use adapters::{App, Clock, Config, ConfigError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::faults::Faults;
use crate::lock;

/// The functions by their logical ids in the template.
pub struct Functions {
    processes: BTreeMap<String, Process>,
    faults: Arc<Faults>,
}

/// A function, and what it begins from: at its start, and at the next event after it died.
struct Process {
    app: App,
    function: Mutex<Option<Arc<Function>>>,
}

enum Function {
    Account(account::Account),
    Authorizer(authorizer::Authorizer),
    Jwks(jwks::Jwks),
    RotateKeys(rotate_keys::RotateKeys),
    SendOtp(Box<send_otp::SendOtp>),
    Session(session::Session),
    SubmitOtp(submit_otp::SubmitOtp),
    ValidateOtp(validate_otp::ValidateOtp),
}

impl Functions {
    /// Builds each function from its own variables, with `overlay` laid over them.
    pub async fn start(
        environments: &BTreeMap<String, BTreeMap<String, String>>,
        overlay: &BTreeMap<String, String>,
        timeouts: Timeouts,
        clock: &Clock,
        faults: Arc<Faults>,
    ) -> Result<Self, String> {
        let mut processes = BTreeMap::new();
        for (id, environment) in environments {
            let mut variables = environment.clone();
            variables.extend(overlay.clone());
            let mut config = Config::from_variables(&variables).map_err(|error| format!("{id}: {error}"))?;
            config.aws.timeouts = timeouts;
            let app = App::new(config, clock.clone()).map_err(|error| format!("{id}: {error}"))?;
            let function = Function::new(id, &app).map_err(|error| format!("{id}: {error}"))?;
            let function = function.ok_or_else(|| format!("the template's {id} is no function of this workspace"))?;
            processes.insert(id.clone(), Process { app, function: Mutex::new(Some(Arc::new(function))) });
        }
        Ok(Self { processes, faults })
    }

    /// Does what each function does before its first event: connections, keys and settings are at hand afterwards.
    pub async fn warm(&self) {
        let mut warming = JoinSet::new();
        for (id, process) in &self.processes {
            let Ok(function) = process.function(id) else { continue };
            warming.spawn(async move { function.warm().await });
        }
        while warming.join_next().await.is_some() {}
    }

    /// Ends every function's process, so that its next event is a cold start's: nothing that was read or learned is at
    /// hand.
    pub fn cool(&self) {
        self.processes.values().for_each(Process::end);
    }

    /// Calls a function with an event. As in Lambda it runs to its end even if the caller has gone, and its panic is
    /// this call's failure alone. If it is made to die, nothing of its process is left.
    pub async fn invoke(&self, id: &str, event: Value) -> Result<Value, String> {
        let process = self.processes.get(id).ok_or_else(|| format!("there is no function {id}"))?;
        let function = process.function(id)?;
        let mut deaths = self.faults.deaths();
        let mut run = tokio::spawn(async move { function.handle(event).await });
        tokio::select! {
            outcome = &mut run => outcome.map_err(|error| error.to_string())?,
            Ok(()) = deaths.changed() => {
                run.abort();
                let _ = run.await;
                process.end();
                Err("it was killed, as asked".to_owned())
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
        let function = Function::new(id, &self.app).map_err(|error| error.to_string())?;
        let function = Arc::new(function.ok_or_else(|| format!("there is no function {id}"))?);
        *running = Some(Arc::clone(&function));
        Ok(function)
    }

    fn end(&self) {
        *lock(&self.function) = None;
    }
}

impl Function {
    fn new(id: &str, app: &App) -> Result<Option<Self>, ConfigError> {
        Ok(Some(match id {
            "AccountFunction" => Self::Account(account::Account::new(app)?),
            "AuthorizerFunction" => Self::Authorizer(authorizer::Authorizer::new(app)?),
            "JwksFunction" => Self::Jwks(jwks::Jwks::new(app)?),
            "RotateKeysFunction" => Self::RotateKeys(rotate_keys::RotateKeys::new(app)?),
            "SendOtpFunction" => Self::SendOtp(Box::new(send_otp::SendOtp::new(app)?)),
            "SessionFunction" => Self::Session(session::Session::new(app)?),
            "SubmitOtpFunction" => Self::SubmitOtp(submit_otp::SubmitOtp::new(app)?),
            "ValidateOtpFunction" => Self::ValidateOtp(validate_otp::ValidateOtp::new(app)?),
            _ => return Ok(None),
        }))
    }

    async fn warm(&self) {
        match self {
            Self::Account(function) => function.warm().await,
            Self::Authorizer(function) => function.warm().await,
            Self::Jwks(function) => function.warm().await,
            Self::RotateKeys(_) => {}
            Self::SendOtp(function) => function.warm().await,
            Self::Session(function) => function.warm().await,
            Self::SubmitOtp(function) => function.warm().await,
            Self::ValidateOtp(function) => function.warm().await,
        }
    }

    async fn handle(&self, event: Value) -> Result<Value, String> {
        match self {
            Self::Account(function) => answer(&function.handle(read(event)?).await),
            Self::Jwks(function) => answer(&function.handle(read(event)?).await),
            Self::SendOtp(function) => answer(&function.handle(read(event)?).await),
            Self::Session(function) => answer(&function.handle(read(event)?).await),
            Self::SubmitOtp(function) => answer(&function.handle(read(event)?).await),
            Self::ValidateOtp(function) => answer(&function.handle(read(event)?).await),
            Self::Authorizer(function) => {
                let verdict = function.handle(read(event)?).await.map_err(|error| error.to_string())?;
                answer(&verdict)
            }
            Self::RotateKeys(function) => {
                function.handle(read(event)?).await.map_err(|error| error.to_string())?;
                Ok(Value::Null)
            }
        }
    }
}

fn read<Event: DeserializeOwned>(event: Value) -> Result<Event, String> {
    serde_json::from_value(event).map_err(|error| format!("not an event of its kind: {error}"))
}

fn answer(answer: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(answer).map_err(|error| error.to_string())
}
