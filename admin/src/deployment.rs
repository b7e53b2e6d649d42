//! Which deployment a command is for: the running `cargo local`, a stack in AWS, or tables that the operator names.

use std::collections::BTreeMap;

use adapters::app::App;
use adapters::clock::Clock;
use adapters::config::{AwsConfig, Config};
use adapters::telemetry::causes;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use clap::Args;
use domain::values::time::Timestamp;

use crate::failure::Failure;

/// The variable of each table and secret, by its logical id in the template. `cargo local` uses the ids as names.
const RESOURCES: [(&str, &str); 9] = [
    ("UsersTable", "USERS_TABLE"),
    ("OtpsTable", "OTPS_TABLE"),
    ("SessionsTable", "SESSIONS_TABLE"),
    ("SettingsTable", "SETTINGS_TABLE"),
    ("NoticesTable", "NOTICES_TABLE"),
    ("SigningKeySecret", "SIGNING_KEY_SECRET"),
    ("CodeKeySecret", "CODE_KEY_SECRET"),
    ("GatewaySecret", "GATEWAY_SECRET"),
    ("PushSecret", "PUSH_SECRET"),
];
/// The functions whose variables, together, are the whole configuration.
const CONFIGURED: [&str; 2] = ["SubmitOtpFunction", "SendOtpFunction"];

/// Without any of these options, a command is for the running `cargo local`.
#[derive(Args, Clone)]
pub struct Target {
    /// Stack in AWS, with your credentials and Region; tables, secrets and limits are those of its functions
    #[arg(long, global = true, value_name = "NAME", help_heading = "Deployment", conflicts_with_all = ["dynamodb_port", "aws_port"])]
    stack: Option<String>,
    /// Name of a table or secret, by its id in the template, such as UsersTable=users; may be repeated
    #[arg(long, global = true, value_name = "ID=NAME", help_heading = "Deployment", value_parser = resource)]
    resource: Vec<(String, String)>,
    /// Endpoint of all AWS services, such as that of an emulator
    #[arg(long, global = true, value_name = "URL", help_heading = "Deployment", conflicts_with_all = ["dynamodb_port", "aws_port"])]
    endpoint: Option<String>,
    /// Region, if it is not that of your AWS configuration
    #[arg(long, global = true, value_name = "NAME", help_heading = "Deployment")]
    region: Option<String>,
    /// DynamoDB port of the running `cargo local` [default: 8000]
    #[arg(long, global = true, value_name = "PORT", help_heading = "Deployment")]
    dynamodb_port: Option<u16>,
    /// Secrets Manager port of the running `cargo local` [default: 4566]
    #[arg(long, global = true, value_name = "PORT", help_heading = "Deployment")]
    aws_port: Option<u16>,
    /// Time on the clock of the running `cargo local`, if it was moved: `now` of GET /local/clock, in epoch seconds
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        help_heading = "Deployment",
        conflicts_with_all = ["stack", "endpoint", "resource"]
    )]
    local_time: Option<i64>,
}

fn resource(text: &str) -> Result<(String, String), String> {
    let (id, name) = text.split_once('=').ok_or("expected ID=NAME, such as UsersTable=users")?;
    if RESOURCES.iter().any(|(known, _)| *known == id) && !name.is_empty() {
        return Ok((id.to_owned(), name.to_owned()));
    }
    let ids = RESOURCES.map(|(id, _)| id).join(", ");
    Err(format!("expected one of {ids}, =, and its name"))
}

/// A deployment that can be reached.
pub struct Deployment {
    pub app: App,
    /// None for `cargo local`.
    pub aws: Option<SdkConfig>,
    /// Whether its configuration is that of the functions, and not the defaults.
    pub has_parameters: bool,
}

impl Target {
    pub fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    pub fn is_local(&self) -> bool {
        self.stack.is_none() && self.endpoint.is_none() && (self.resource.is_empty() || self.has_local_port())
    }

    fn has_local_port(&self) -> bool {
        self.dynamodb_port.is_some() || self.aws_port.is_some()
    }

    pub async fn reach(&self) -> Result<Deployment, Failure> {
        let mut variables: BTreeMap<String, String> =
            RESOURCES.iter().map(|(id, variable)| ((*variable).to_owned(), (*id).to_owned())).collect();
        if self.is_local() {
            variables.extend(self.named());
            variables.extend(self.local_variables());
            let clock = match self.local_time {
                Some(seconds) => Clock::new(move || Timestamp::from_seconds(seconds)),
                None => Clock::system(),
            };
            let app = App::new(Config::from_variables(&variables)?, clock)?;
            return Ok(Deployment { app, aws: None, has_parameters: true });
        }
        let aws = self.aws().await;
        if let Some(stack) = &self.stack {
            variables = variables_of(&aws, stack).await?;
        }
        variables.extend(self.named());
        let mut config = Config::from_variables(&variables)?;
        config.aws = self.endpoints(&aws)?;
        let app = App::with_aws(config, Clock::system(), aws.clone());
        Ok(Deployment { app, aws: Some(aws), has_parameters: self.stack.is_some() })
    }

    fn named(&self) -> impl Iterator<Item = (String, String)> {
        let variable = |id: &str| RESOURCES.iter().find(|(known, _)| *known == id).map(|(_, variable)| *variable);
        self.resource.iter().filter_map(move |(id, name)| Some((variable(id)?.to_owned(), name.clone())))
    }

    fn local_variables(&self) -> [(String, String); 5] {
        let [dynamodb, aws] = [(self.dynamodb_port, 8000), (self.aws_port, 4566)]
            .map(|(port, default)| format!("http://127.0.0.1:{}", port.unwrap_or(default)));
        [
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// As with every AWS tool: from the environment, or wherever the SDK finds it.
    async fn aws(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        loader.load().await
    }

    /// The endpoints of the environment, unless the operator gave one.
    fn endpoints(&self, aws: &SdkConfig) -> Result<AwsConfig, Failure> {
        let mut config = Config::from_environment()?.aws;
        let of_all = aws.endpoint_url().map(str::to_owned);
        for endpoint in [&mut config.dynamodb_endpoint, &mut config.secrets_manager_endpoint, &mut config.sns_endpoint]
        {
            if self.endpoint.is_some() || endpoint.is_none() {
                endpoint.clone_from(&of_all);
            }
        }
        Ok(config)
    }
}

/// The names that CloudFormation gave to a stack's resources, by their logical ids.
pub async fn resources_of(aws: &SdkConfig, stack: &str) -> Result<BTreeMap<String, String>, Failure> {
    let client = aws_sdk_cloudformation::Client::new(aws);
    let (mut names, mut next) = (BTreeMap::new(), None);
    loop {
        let page = client.list_stack_resources().stack_name(stack).set_next_token(next).send().await;
        let page = page.map_err(|error| {
            let advice = "Check the name, the Region (--region) and your credentials.";
            Failure::Refused(format!("the stack {stack} can't be read: {}. {advice}", causes(&error)))
        })?;
        for resource in page.stack_resource_summaries.unwrap_or_default() {
            names.extend(resource.logical_resource_id.zip(resource.physical_resource_id));
        }
        next = page.next_token;
        if next.is_none() {
            return Ok(names);
        }
    }
}

/// The variables of the stack's functions, without those of Lambda.
async fn variables_of(aws: &SdkConfig, stack: &str) -> Result<BTreeMap<String, String>, Failure> {
    let names = resources_of(aws, stack).await?;
    let client = aws_sdk_lambda::Client::new(aws);
    let mut variables = BTreeMap::new();
    for id in CONFIGURED {
        let name = names.get(id).ok_or_else(|| format!("the stack {stack} has no {id}: is it one of Latchkey?"))?;
        let function = client.get_function_configuration().function_name(name).send().await.map_err(|error| {
            format!(
                "the variables of {name} can't be read: {}. They need lambda:GetFunctionConfiguration.",
                causes(&error)
            )
        })?;
        variables.extend(function.environment.and_then(|environment| environment.variables).unwrap_or_default());
    }
    variables.retain(|name, _| !name.starts_with("AWS_"));
    Ok(variables)
}
