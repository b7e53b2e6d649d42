//! `POST /v1/otp/send` and `POST /v1/phone/otp/send`: sending a code.

use adapters::app::{App, during_init};
use adapters::config::ConfigError;
use adapters::dynamodb::{AllTables, Store};
use adapters::http::{
    Answer, Code, Edge, Guard, Problem, RawPhoneNumber, Request, Route, Tongue, Words, organization_of_caller, serve,
};
use adapters::secrets::{CodeKeySecret, read_together};
use adapters::sms::Gateways;
use adapters::{random, telemetry};
use domain::rules::device_keys::DeviceKeyPolicy;
use domain::rules::organization::Organization;
use domain::use_cases::send_otp::{
    SendContext, SendOtpError, SendPurpose, SendRequest, SentOtp, SmsGateways, send_otp,
};
use domain::values::ids::ChallengeId;
use domain::values::text::{MalformedText, OrganizationId, Source};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use serde_json::json;

#[derive(Clone)]
pub struct SendOtp {
    app: App,
    store: Store<AllTables>,
    guard: Guard<AllTables>,
    edge: Edge,
    code_keys: CodeKeySecret,
    gateways: Gateways,
}

/// The longest language tag that BCP 47 (RFC 5646 §4.4.1) asks implementations to support.
const MAX_LOCALE_CHARACTERS: usize = 35;

/// A request, parsed before anything is read for it.
struct ParsedRequest {
    phone: RawPhoneNumber,
    organization: Option<OrganizationId>,
    locale: Option<String>,
    change: bool,
}

impl ParsedRequest {
    fn parse(request: &Request) -> Result<Self, Problem> {
        let mut members = request.members()?;
        members.parsed("source", Source::parse);
        let (phone, organization, locale) = (
            members.required("phone_number", RawPhoneNumber::parse),
            members.parsed("organization_id", OrganizationId::parse),
            members.parsed("locale", locale),
        );
        let change = members.flag("change");
        members.finish(phone).map(|phone| Self { phone, organization, locale, change })
    }
}

fn locale(text: &str) -> Result<String, MalformedText> {
    if text.chars().count() > MAX_LOCALE_CHARACTERS {
        return Err(MalformedText { expected: "a language tag of at most 35 characters" });
    }
    Ok(text.to_owned())
}

impl SendOtp {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        let store = Store::new(app)?;
        let guard = Guard::new(app, &store);
        Ok(Self {
            app: app.clone(),
            store,
            guard,
            edge: Edge::new(app),
            code_keys: CodeKeySecret::new(app)?,
            gateways: Gateways::new(app)?,
        })
    }

    /// Opens connections and reads what the first request needs.
    pub async fn prepare(&self) {
        let now = self.app.clock.now();
        let default = &self.app.config.default_organization;
        let readers = [Some(self.code_keys.reader()), self.gateways.credentials_reader(), self.edge.reader()];
        let readers: Vec<_> = readers.into_iter().flatten().collect();
        during_init(async {
            tokio::join!(
                self.app.load_home_country(),
                self.store.organization_for_sends(&default.id, default, now),
                async {
                    read_together(&readers).await;
                    self.gateways.connect_ahead(default.default_country).await;
                },
                self.gateways.load_roots(),
                self.store.prepare_transactions(),
            )
        })
        .await;
    }

    pub async fn handle(&self, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
        serve("send-otp", event, |request| async move { self.answer(&request).await }).await
    }

    async fn answer(&self, request: &Request) -> Result<Answer, Problem> {
        let now = self.app.clock.now();
        let source = self.edge.source(request).await?;
        let (purpose, parsed) = match request.route() {
            Some((Route::SendOtp, _)) => (SendPurpose::SignIn, ParsedRequest::parse(request)?),
            Some((Route::SendPhoneOtp, _)) => {
                let caller = self.guard.caller(request, now).await?;
                let mut parsed = ParsedRequest::parse(request)?;
                parsed.organization = Some(organization_of_caller(parsed.organization.as_ref(), &caller)?.clone());
                (SendPurpose::VerifyPhone { caller, change: parsed.change }, parsed)
            }
            _ => return Err(Problem::new(Code::NotFound)),
        };
        let config = &self.app.config;
        let (id, default) = (parsed.organization.as_ref(), &config.default_organization);
        let organization = self.store.organization_for_sends(id.unwrap_or(&default.id), default, now).await?;
        let organization = organization.ok_or_else(Problem::no_such_organization)?;
        let proven = request.credentials().proven_key(&config.issuer, None, now);
        let languages = organization.format.languages();
        let notices = self.app.notices(&organization.id, now)?;
        let send = SendRequest {
            purpose,
            phone: parsed.phone.dialled(organization.default_country, &self.app.numbering_plan)?,
            device_key: organization.access.device_keys.device_key(proven)?,
            source,
            now,
            new_id: ChallengeId::from_random(random::bytes()?),
            shard_seed: random::number()?,
            notices,
            language: languages.choose(parsed.locale.as_deref(), request.header("accept-language")),
        };
        telemetry::trace("a code is requested", &send);
        let (limits, country) = (&config.limits, send.phone.country);
        let first_gateway = self.gateways.first_choice(&send.phone);
        let context =
            SendContext::resolve(&organization, limits, first_gateway, send).map_err(SendOtpError::Context)?;
        let report = |budget| telemetry::send_over_budget(budget, country, limits.budget_mode, now);
        let other_ways = other_ways(&organization, context.is_of_a_device());
        let sent = send_otp(&self.store, &self.code_keys, &self.gateways, &context, report).await;
        let refused = |error| Problem::from(error).or_else_by(&other_ways, limits.code_lifetime_seconds);
        let sent = sent.map_err(refused)?;
        if sent.is_test_number {
            telemetry::test_number_used("send-otp", &organization.id);
        }
        Ok(render(&sent, &other_ways, request.tongue()))
    }
}

/// How a person may get a code although the limits that everybody shares are used up. Strangers learn nothing of whether the
/// number has such a device.
fn other_ways(organization: &Organization, is_of_a_device: bool) -> Vec<&'static str> {
    let may_prove = organization.access.device_keys != DeviceKeyPolicy::Off && !is_of_a_device;
    may_prove.then_some("known_device").into_iter().collect()
}

fn render(sent: &SentOtp, other_ways: &[&'static str], tongue: Tongue) -> Answer {
    let mut body = json!({
        "message": "sent otp",
        "challenge_id": sent.challenge.as_str(),
        "expires_in": sent.expires_in_seconds,
        "resend_in": sent.resend_in_seconds,
        "attempts_left": sent.attempts_left,
    });
    if let Some(members) = body.as_object_mut() {
        if let Some(seconds) = sent.change_waits_seconds {
            members.insert("change_in".into(), json!(seconds));
        }
        if sent.resend_in_seconds > sent.expires_in_seconds {
            members.insert("detail".into(), json!(Words::LastCode.say(tongue, Some(sent.resend_in_seconds))));
            members.insert("other_ways".into(), json!(other_ways));
        }
    }
    Answer::json(200, &body).with_header("content-language", tongue.tag()).uncached()
}
