//! What every function is made of: its configuration, the clock, and one AWS configuration for all clients.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedAsyncSleep, SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::SdkConfig;
use domain::Timestamp;
use lambda_runtime::Error;

use crate::config::{Config, ConfigError};
use crate::{https, telemetry};

/// How long all tries of one call may take together; it fits several times into the functions' timeouts.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(4_000);
/// Tries of one call, the first included.
const ATTEMPTS: u32 = 3;

/// How long AWS may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long to wait for a connection.
    pub connect: Duration,
    /// How long one try of a call may take. DynamoDB answers in single-digit milliseconds; a try this slow is lost.
    pub attempt: Duration,
    /// How long all tries of one call may take together.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(1_000),
            attempt: Duration::from_millis(2_000),
            operation: OPERATION_TIMEOUT,
        }
    }
}

/// Tells the time. A handler asks it once.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_seconds: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The machine's clock, which [`Clock::advance`] puts forward for all who share it.
    pub fn adjustable() -> Self {
        Self::default()
    }

    /// Puts the clock forward.
    pub fn advance(&self, seconds: u64) {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let _ = self
            .ahead_seconds
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |ahead| Some(ahead.saturating_add(seconds)));
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let machine = i64::try_from(machine).unwrap_or(i64::MAX);
        Timestamp::from_seconds(machine.saturating_add(self.ahead_seconds.load(Ordering::SeqCst)))
    }
}

/// One process's configuration, clock and AWS configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// What the operator configured.
    pub config: Arc<Config>,
    /// What time it is.
    pub clock: Clock,
    pub(crate) aws: SdkConfig,
    secrets_manager: Arc<OnceLock<aws_sdk_secretsmanager::Client>>,
}

impl App {
    /// Reads the environment and starts the log: once per cold start.
    ///
    /// # Errors
    /// When a variable is missing or can't be understood; the error names it.
    pub fn from_environment() -> Result<Self, Error> {
        let config = Config::from_environment()?;
        telemetry::start(&config.log_level);
        Ok(Self::new(config, Clock::system())?)
    }

    /// Builds one of parts.
    ///
    /// # Errors
    /// When the configuration does not say where AWS is and who calls. Lambda always does; to search for it as the
    /// SDK's loader does would read files, and put a megabyte into each binary.
    pub fn new(config: Config, clock: Clock) -> Result<Self, ConfigError> {
        let unset = |variable| move || ConfigError::new(variable, "it is not set; Lambda sets it");
        let region = config.aws.region.clone().ok_or_else(unset("AWS_REGION"))?;
        let (id, secret) = config.aws.credentials.clone().ok_or_else(unset("AWS_ACCESS_KEY_ID"))?;
        let credentials = Credentials::new(id, secret, config.aws.session_token.clone(), None, "environment");
        let aws = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(https::aws_client(&config.aws))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            // Each try has its time, the body of its answer included: nothing stalls for longer.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Ok(Self::with_aws(config, clock, aws))
    }

    /// Builds one over an AWS configuration that was found some other way. Tries and timeouts are ours.
    pub fn with_aws(config: Config, clock: Clock, aws: SdkConfig) -> Self {
        telemetry::trace("configured", &config);
        let Timeouts { connect, attempt, operation } = config.aws.timeouts;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        let retries =
            RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(Duration::from_millis(50));
        let aws = aws.into_builder().timeout_config(timeouts).retry_config(retries).build();
        Self { config: Arc::new(config), clock, aws, secrets_manager: Arc::default() }
    }

    /// The client of Secrets Manager for all who read secrets: to make one takes as long as to make a request.
    pub(crate) fn secrets_manager(&self) -> &aws_sdk_secretsmanager::Client {
        self.secrets_manager.get_or_init(|| {
            let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.aws);
            config.set_endpoint_url(self.config.aws.secrets_manager_endpoint.clone());
            aws_sdk_secretsmanager::Client::from_conf(config.build())
        })
    }

    /// The same over another HTTP client, with which the fuzz targets stand in AWS's place.
    #[cfg(fuzzing)]
    pub fn with_http_client(self, client: aws_smithy_runtime_api::client::http::SharedHttpClient) -> Self {
        Self { aws: self.aws.into_builder().http_client(client).build(), secrets_manager: Arc::default(), ..self }
    }
}
