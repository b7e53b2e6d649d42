//! What every function starts with: configuration, clock, numbering plan, and one AWS configuration for all clients.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::SdkConfig;
use domain::rules::notice::{NoticeContext, Notices};
use domain::values::ids::NoticeId;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedAsyncSleep, SharedCredentialsProvider, StalledStreamProtectionConfig,
};

use crate::clock::Clock;
use crate::config::{Config, ConfigError, Timeouts};
use crate::{https, random, telemetry};

/// How long a start prepares the first event. API Gateway's time for a request includes it.
pub const WARM_UP_TIME: Duration = Duration::from_millis(1_500);
/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub config: Arc<Config>,
    pub clock: Clock,
    pub numbering_plan: Arc<NumberingPlan>,
    pub(crate) aws: SdkConfig,
    secrets_manager: Arc<OnceLock<aws_sdk_secretsmanager::Client>>,
}

impl App {
    /// Reads the environment and starts the log: once for each cold start.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let config = Config::from_environment()?;
        telemetry::start(&config.log_level, &config.metrics_namespace);
        Self::new(config, Clock::system())
    }

    /// # Errors
    /// When the configuration lacks the region or the credentials.
    pub fn new(config: Config, clock: Clock) -> Result<Self, ConfigError> {
        let (region, (id, secret)) = config.aws.identity()?;
        let credentials = Credentials::new(id, secret, config.aws.session_token.clone(), None, "environment");
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(https::aws_client(&config.aws))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            // Each attempt has a timeout that includes the body of its response, so nothing stalls longer.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Ok(Self::with_aws(config, clock, aws))
    }

    /// Takes an AWS configuration from elsewhere, except for attempts and timeouts.
    pub fn with_aws(config: Config, clock: Clock, aws: SdkConfig) -> Self {
        telemetry::trace("configured", &config);
        let Timeouts { connect, attempt, operation, .. } = config.aws.timeouts;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(Duration::from_millis(50));
        let aws = aws.into_builder().timeout_config(timeouts).retry_config(retries).build();
        let numbering_plan = Arc::new(NumberingPlan::new(config.default_organization.default_country));
        Self { config: Arc::new(config), clock, numbering_plan, aws, secrets_manager: Arc::default() }
    }

    /// For what users are told of a request; none if the deployment tells nobody.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn notices(&self, organization: &OrganizationId, now: Timestamp) -> Result<Option<NoticeContext>, Unavailable> {
        if self.config.notices == Notices::Off {
            return Ok(None);
        }
        let id = || random::bytes().map(NoticeId::from_random);
        let push_id = self.config.google.push_project.as_ref().map(|_| id()).transpose()?;
        Ok(Some(NoticeContext { push_id, sms_id: id()?, organization: organization.clone(), at: now }))
    }

    /// The configuration of a client that only one function has.
    pub const fn aws(&self) -> &SdkConfig {
        &self.aws
    }

    /// Loads what numbers of the home country need, on a thread of its own, while this one opens connections.
    pub async fn load_home_country(&self) {
        let plan = Arc::clone(&self.numbering_plan);
        let _ = spawn_blocking(move || plan.load_home_country()).await;
    }

    /// One client for all secrets, because making one takes as long as a request.
    pub(crate) fn secrets_manager(&self) -> &aws_sdk_secretsmanager::Client {
        self.secrets_manager.get_or_init(|| {
            let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.aws);
            config.set_endpoint_url(self.config.aws.secrets_manager_endpoint.clone());
            aws_sdk_secretsmanager::Client::from_conf(config.build())
        })
    }

    /// Replaces the HTTP client, for the fuzz targets.
    #[cfg(fuzzing)]
    pub fn with_http_client(self, client: aws_smithy_runtime_api::client::http::SharedHttpClient) -> Self {
        Self { aws: self.aws.into_builder().http_client(client).build(), secrets_manager: Arc::default(), ..self }
    }
}

/// Runs work during Lambda's init, for at most [`WARM_UP_TIME`]. The first event does what is left, and reports what failed.
pub async fn during_init<T>(work: impl Future<Output = T>) {
    let _ = timeout(WARM_UP_TIME, work).await;
}
