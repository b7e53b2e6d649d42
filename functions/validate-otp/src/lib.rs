//! `POST /v1/phone/otp/validate`: binding a phone to the caller who proves it by a code.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{AllTables, Store};
use adapters::http::{
    Answer, Code, Edge, Guard, Problem, RawPhoneNumber, Request, Route, organization_of_caller, otp,
    requested_organization, serve,
};
use adapters::secrets::CodeKeySecret;
use adapters::telemetry::{self, Delayed, Fate};
use domain::rules::limits::Limits;
use domain::use_cases::check_code::CodeKeys;
use domain::use_cases::validate_otp::{ValidateOtpRequest, VerifiedPhone, validate_otp};
use domain::values::ids::ChallengeId;
use domain::values::otp_code::OtpCode;
use domain::values::phone::DialledNumber;
use domain::values::text::OrganizationId;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde_json::json;

#[derive(Clone)]
pub struct ValidateOtp {
    app: App,
    store: Store<AllTables>,
    guard: Guard<AllTables>,
    edge: Edge,
    code_keys: CodeKeySecret,
}

/// A request, parsed before anything but the caller is read.
struct ParsedRequest {
    phone: RawPhoneNumber,
    code: OtpCode,
    username: Option<String>,
    challenge_id: Option<ChallengeId>,
    organization: Option<OrganizationId>,
}

impl ParsedRequest {
    fn parse(request: &Request, limits: &Limits) -> Result<Self, Problem> {
        let mut members = request.members()?;
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        // The older system named the phone `phone`. Both names are accepted.
        let (phone, older_phone) = (members.text("phone_number"), members.text("phone"));
        let phone = filled(phone.or(older_phone));
        let phone = phone.map(|phone| members.parse("phone_number", &phone, RawPhoneNumber::parse));
        let code = filled(members.text("otp"));
        let code = code.map(|code| members.parse("otp", &code, otp));
        let (username, challenge_id, organization) = (
            filled(members.text("username")),
            members.challenge_id_of_guess(limits),
            members.parsed("organization_id", OrganizationId::parse),
        );
        members.finish(Some(()))?;
        let (Some(Some(phone)), Some(Some(Some(code)))) = (phone, code) else {
            return Err(Problem::new(Code::InvalidValidationRequest));
        };
        Ok(Self { phone, code, username, challenge_id, organization })
    }
}

impl ValidateOtp {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let store = Store::new(app)?;
        let guard = Guard::new(app, &store);
        Ok(Self { app: app.clone(), store, guard, edge: Edge::new(app), code_keys: CodeKeySecret::new(app)? })
    }

    /// Opens connections and reads what the first request needs.
    pub async fn prepare(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        during_init(async {
            tokio::join!(
                self.app.load_home_country(),
                // One connection. The first request opens the other two, which may resume its TLS session.
                self.store.organization(&default.id, default, now),
                self.code_keys.current(),
                self.edge.read_ahead(),
                self.store.prepare_transactions(),
            )
        })
        .await;
    }

    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("validate-otp", event, |request| async move { self.answer(&request).await }).await
    }

    async fn answer(&self, request: &Request) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let Some((Route::ValidatePhoneOtp, _)) = request.route() else { return Err(Problem::new(Code::NotFound)) };
        let limits = &self.app.config.limits;
        let source = self.edge.source(request).await?;
        let caller = self.guard.caller(request, now).await?;
        let ParsedRequest { phone, code, username, challenge_id, organization } =
            ParsedRequest::parse(request, limits)?;
        let organization = organization_of_caller(organization.as_ref(), &caller)?;
        let organization = requested_organization(&self.store, &self.app.config, Some(organization), now).await?;
        let DialledNumber { number, country, .. } =
            phone.dialled(organization.default_country, &self.app.numbering_plan)?;
        let validation = ValidateOtpRequest {
            notices: self.app.notices(&organization.id, now)?,
            caller: caller.user.clone(),
            session: caller.session.clone(),
            organization: organization.id,
            username,
            phone: number,
            code,
            challenge_id,
            source,
            now,
        };
        telemetry::trace("a code is validated", &validation);
        let VerifiedPhone { pending, former_holder, carrier } =
            validate_otp(&self.store, &self.code_keys, limits, validation).await?;
        if let Some(gateway) = carrier {
            telemetry::code_accepted(gateway, country, now);
        }
        if let Some(former) = former_holder {
            telemetry::phone_reassigned("validate-otp", &former, &caller.user);
        }
        if let Some(change) = pending {
            telemetry::delayed(Delayed::PhoneChange, Fate::Requested, now);
            let message = "The number is yours. It becomes the number of your account at change_due_at.";
            let body = json!({"message": message, "change_due_at": change.due_at.seconds()});
            return Ok(Answer::json(202, &body).uncached());
        }
        Ok(Answer::json(200, &json!({"message": "Success! You have verified your phone number."})).uncached())
    }
}
