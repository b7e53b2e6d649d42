//! `POST /v1/phone/otp/validate`: a code, and the phone is the caller's.

use adapters::config::{ConfigError, Table};
use adapters::guard::Guard;
use adapters::http::{Answer, Request, challenge_id, phone_number, serve};
use adapters::problem::{Code, Problem};
use adapters::secrets::CodeKeySecret;
use adapters::store::Store;
use adapters::{App, organization, telemetry, warm};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::Timestamp;
use domain::challenge::TypedCode;
use domain::code::OtpCode;
use domain::ids::UserId;
use domain::phone::{Country, DialledNumber};
use domain::send_otp::CodeKeys;
use domain::validate_otp::{Verified, validate_otp};
use serde::Deserialize;
use serde_json::json;

/// The function.
#[derive(Clone)]
pub struct ValidateOtp {
    app: App,
    store: Store,
    guard: Guard,
    codes: CodeKeySecret,
}

/// The older system named the phone `phone`; both names serve.
#[derive(Deserialize)]
struct Body {
    phone_number: Option<String>,
    phone: Option<String>,
    otp: Option<String>,
    username: Option<String>,
    challenge_id: Option<String>,
    organization_id: Option<String>,
}

/// The longest code that is read, with its spaces, in characters.
const LONGEST_OTP: usize = 16;

impl ValidateOtp {
    /// Wires it.
    ///
    /// # Errors
    /// When a variable that it needs is not set.
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self {
            app: app.clone(),
            store: Store::new(app, &[Table::Users, Table::Otps, Table::Settings])?,
            guard: Guard::new(app)?,
            codes: CodeKeySecret::new(app)?,
        })
    }

    /// Opens connections and reads what the first request would wait for.
    pub async fn warm(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        warm::ahead(async {
            tokio::join!(
                self.store.organization(&default.id, default, now),
                // A second connection: the claim goes side by side with a read.
                self.store.key_set(),
                self.codes.current(),
                // Last, while the others wait.
                warm::numbering_plan(default.default_country),
            )
        })
        .await;
    }

    /// Serves one request.
    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("validate-otp", &event, |request| self.answer(request)).await
    }

    async fn answer(&self, request: Request<'_>) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        if request.route() != ("POST", "/v1/phone/otp/validate") {
            return Err(Problem::new(Code::NotFound));
        }
        let caller = self.guard.caller(request, now).await?;
        let (validation, country) = self.read(request, caller.user, now).await?;
        let organization = validation.code.organization.clone();
        let caller = validation.caller.clone();
        telemetry::trace("a code is typed to verify a phone", &validation);
        let Verified { is_test_number, set_aside, carried_by } =
            validate_otp(&self.store, &self.codes, &self.app.config.limits, validation).await?;
        if is_test_number {
            telemetry::test_number_used("validate-otp", &organization);
        }
        if let Some(gateway) = carried_by {
            telemetry::code_accepted(gateway, country, now);
        }
        if let Some(former) = set_aside {
            telemetry::account_set_aside("validate-otp", &former, &caller);
        }
        Ok(Answer::json(200, &json!({"message": "Success! You have verified your phone number."})).uncached())
    }

    async fn read(
        &self,
        request: Request<'_>,
        caller: UserId,
        now: Timestamp,
    ) -> Result<(domain::validate_otp::ValidateOtp, Country), Problem> {
        let invalid = || Problem::new(Code::InvalidValidationRequest);
        let body: Body = request.json()?;
        let present = |text: Option<String>| text.filter(|text| !text.trim().is_empty()).ok_or_else(invalid);
        let phone = present(body.phone_number.or(body.phone))?;
        let otp = present(body.otp)?;
        let username = present(body.username)?;
        if otp.chars().count() > LONGEST_OTP {
            return Err(Problem::malformed("otp: expected at most 16 characters."));
        }
        let code = OtpCode::parse(&otp).map_err(|_| invalid())?;
        let challenge_id = challenge_id(body.challenge_id.as_deref())?;
        let name = body.organization_id.as_deref();
        let organization = organization::requested(&self.store, &self.app.config, name, now).await?;
        let DialledNumber { number, country, .. } = phone_number(&phone, organization.default_country)?;
        let fixed = organization.fixed_code(&number, now).cloned();
        let code = TypedCode { code, organization: organization.id, fixed };
        Ok((domain::validate_otp::ValidateOtp { caller, username, phone: number, code, challenge_id, now }, country))
    }
}
