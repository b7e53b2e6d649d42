//! The eight functions as the cloud has them: each with its own environment, called with JSON and answering in JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapters::{App, Clock, Config, ConfigError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::task::JoinSet;

/// The functions by their logical ids in the template.
pub struct Functions(BTreeMap<String, Arc<Function>>);

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
        clock: &Clock,
    ) -> Result<Self, String> {
        let mut functions = BTreeMap::new();
        for (id, environment) in environments {
            let mut variables = environment.clone();
            variables.extend(overlay.clone());
            let config = Config::from_variables(&variables).map_err(|error| format!("{id}: {error}"))?;
            let app = App::new(config, clock.clone()).await;
            let function = Function::new(id, &app).map_err(|error| format!("{id}: {error}"))?;
            let function = function.ok_or_else(|| format!("the template's {id} is no function of this workspace"))?;
            functions.insert(id.clone(), Arc::new(function));
        }
        Ok(Self(functions))
    }

    /// Does what each function does before its first event: connections, keys and settings are at hand afterwards.
    pub async fn warm(&self) {
        let mut warming = JoinSet::new();
        for function in self.0.values() {
            let function = Arc::clone(function);
            warming.spawn(async move { function.warm().await });
        }
        while warming.join_next().await.is_some() {}
    }

    /// Calls a function with an event. As in Lambda it runs to its end even if the caller has gone, and its panic is
    /// this call's failure alone.
    pub async fn invoke(&self, id: &str, event: Value) -> Result<Value, String> {
        let function = self.0.get(id).cloned().ok_or_else(|| format!("there is no function {id}"))?;
        let run = tokio::spawn(async move { function.handle(event).await });
        run.await.map_err(|error| error.to_string())?
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
