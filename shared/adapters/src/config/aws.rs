//! How AWS is reached.

use std::fmt;
use std::time::Duration;

use super::variables::{ConfigError, Variables};

/// How long all attempts of one call may take together; it fits several times into the functions' timeouts.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(4_000);
/// How long a transaction of DynamoDB is sent again while it is not known whether it is written.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_millis(8_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// Of one attempt. DynamoDB answers in single-digit milliseconds, so a slower attempt is lost.
    pub attempt: Duration,
    /// Of all attempts together.
    pub operation: Duration,
    /// Of all attempts at one transaction of DynamoDB.
    pub transaction: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(1_000),
            attempt: Duration::from_millis(2_000),
            operation: OPERATION_TIMEOUT,
            transaction: TRANSACTION_TIMEOUT,
        }
    }
}

#[derive(Clone, Default)]
pub struct AwsConfig {
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`: Lambda sets both.
    pub credentials: Option<(String, String)>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<String>,
    /// `SSL_CERT_FILE`, `SSL_CERT_DIR`: whether either is set. AWS's endpoints must then have a certificate that the system
    /// trusts, and otherwise one of Amazon's own roots.
    pub trusts_system: bool,
    /// `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub secrets_manager_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SNS`.
    pub sns_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_EVENTBRIDGE`.
    pub eventbridge_endpoint: Option<String>,
    /// No variable changes these.
    pub timeouts: Timeouts,
}

impl fmt::Debug for AwsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsConfig(…)")
    }
}

impl AwsConfig {
    pub(super) fn read(variables: &Variables) -> Self {
        Self {
            region: variables.owned("AWS_REGION"),
            credentials: variables.owned("AWS_ACCESS_KEY_ID").zip(variables.owned("AWS_SECRET_ACCESS_KEY")),
            session_token: variables.owned("AWS_SESSION_TOKEN"),
            trusts_system: variables.text("SSL_CERT_FILE").or_else(|| variables.text("SSL_CERT_DIR")).is_some(),
            dynamodb_endpoint: variables.owned("AWS_ENDPOINT_URL_DYNAMODB"),
            secrets_manager_endpoint: variables.owned("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
            sns_endpoint: variables.owned("AWS_ENDPOINT_URL_SNS"),
            eventbridge_endpoint: variables.owned("AWS_ENDPOINT_URL_EVENTBRIDGE"),
            timeouts: Timeouts::default(),
        }
    }

    /// The region, and the credentials.
    ///
    /// # Errors
    /// When a variable is missing. Lambda always sets them. The SDK's loader would search files and the network for them,
    /// and would put a megabyte into each binary.
    pub fn identity(&self) -> Result<(&str, &(String, String)), ConfigError> {
        let unset = |variable| move || ConfigError::new(variable, "not set, although Lambda sets it");
        let region = self.region.as_deref().ok_or_else(unset("AWS_REGION"))?;
        Ok((region, self.credentials.as_ref().ok_or_else(unset("AWS_ACCESS_KEY_ID"))?))
    }
}
