//! `latchkey doctor`: whether a deployment can do its work, and what to do if not. It changes nothing and sends nothing.

use std::fmt::Write as _;

use adapters::dynamodb::{AllTables, Store};
use adapters::https;
use adapters::secrets::{CodeKeySecret, GatewaySecret, PushSecret, SigningKeySecret};
use adapters::telemetry::causes;
use aws_config::SdkConfig;
use domain::rules::pumping::CounterScope;
use domain::use_cases::check_code::CodeKeys;
use domain::use_cases::send_otp::SendOtpStore;
use domain::values::gateway::Gateway;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::source_address::SourceAddress;
use serde_json::{Value, json};

use crate::context::Context;
use crate::deployment::Target;
use crate::failure::Failure;
use crate::output::Report;

/// Executions at the same time that an account should have: one caller keeps ten busy.
const ENOUGH_EXECUTIONS: i32 = 1_000;
/// SNS's limit of a new account, in US dollars a month.
const LIMIT_OF_NEW_ACCOUNTS: f64 = 1.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Good,
    /// It works, and should be changed before real traffic.
    Warning,
    Broken,
    /// It does not apply here.
    Skipped,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Broken => "broken",
            Self::Skipped => "skipped",
        }
    }
}

/// What a check found.
struct Finding {
    state: State,
    found: String,
    /// What to do.
    advice: Option<String>,
}

fn good(found: impl Into<String>) -> Finding {
    Finding { state: State::Good, found: found.into(), advice: None }
}

fn warning(found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { state: State::Warning, found: found.into(), advice: Some(advice.into()) }
}

fn broken(found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { state: State::Broken, found: found.into(), advice: Some(advice.into()) }
}

fn skipped(found: &str) -> Finding {
    Finding { state: State::Skipped, found: found.to_owned(), advice: None }
}

pub async fn run(context: &Context, target: &Target) -> Result<Report, Failure> {
    let store = context.store::<AllTables>()?;
    let aws = context.deployment.aws.as_ref();
    let tables = tables(&store).await;
    if target.is_local() && tables.state == State::Broken {
        // Nothing listens there, and each other check would wait for it too.
        return Err(Failure::Unavailable(tables.found));
    }
    let findings = [
        ("credentials", credentials(aws).await),
        ("stack", stack(aws, target).await),
        ("tables", tables),
        ("signing key", signing_key(context, &store).await),
        ("code key", code_key(context).await),
        ("gateways", gateways(context).await),
        ("push", push(context).await),
        ("SNS", sns(context, aws).await),
        ("concurrency", concurrency(aws).await),
        ("API", api(context, aws).await),
        ("a send", send(context, &store).await),
    ];
    let mut text = String::new();
    for (name, Finding { state, found, advice }) in &findings {
        let _ = writeln!(text, "{:8}{name:13}{found}", state.name());
        if let Some(advice) = advice {
            let _ = writeln!(text, "{:21}-> {advice}", "");
        }
    }
    let of = |wanted: State| findings.iter().filter(|(_, finding)| finding.state == wanted).count();
    let (is_broken, warnings) = (of(State::Broken) > 0, of(State::Warning));
    let _ = match (is_broken, warnings) {
        (true, _) => writeln!(text, "\nThis deployment can't do its work: do what stands after the arrows."),
        (false, 0) => writeln!(text, "\nThis deployment is well."),
        (false, _) => writeln!(text, "\nThis deployment works. Before real traffic, do what stands after the arrows."),
    };
    let one = |(name, finding): &(&str, Finding)| {
        let Finding { state, found, advice } = finding;
        json!({"check": name, "state": state.name(), "found": found, "advice": advice})
    };
    let json = json!({"is_broken": is_broken, "checks": findings.iter().map(one).collect::<Vec<Value>>()});
    Ok(Report { is_bad: is_broken, ..Report::new(text, json) })
}

const LOCAL: &str = "not for cargo local";

async fn credentials(aws: Option<&SdkConfig>) -> Finding {
    let Some(aws) = aws else { return skipped(LOCAL) };
    match aws_sdk_sts::Client::new(aws).get_caller_identity().send().await {
        Ok(caller) => good(caller.arn.unwrap_or_default()),
        Err(error) => broken(
            format!("AWS does not accept them: {}", causes(&error)),
            "sign in to AWS again, or choose another profile (AWS_PROFILE)",
        ),
    }
}

async fn stack(aws: Option<&SdkConfig>, target: &Target) -> Finding {
    let (Some(aws), Some(name)) = (aws, target.stack()) else { return skipped("no stack is named (--stack)") };
    let answer = aws_sdk_cloudformation::Client::new(aws).describe_stacks().stack_name(name).send().await;
    let status = match answer {
        Ok(answer) => answer.stacks.unwrap_or_default().into_iter().next().and_then(|stack| stack.stack_status),
        Err(error) => {
            return broken(format!("{name} can't be read: {}", causes(&error)), "check its name and the Region");
        }
    };
    let status = status.map(|status| status.as_str().to_owned()).unwrap_or_default();
    match status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" => good(status),
        _ if status.ends_with("_IN_PROGRESS") => warning(status, "wait for the end of the deployment"),
        _ => broken(status, "look at the stack's events for the first failure, correct it, and deploy again"),
    }
}

async fn tables(store: &Store<AllTables>) -> Finding {
    let mut unprotected = Vec::new();
    for table in store.table_states().await {
        match table.status {
            Err(unavailable) => {
                return broken(
                    format!("{} can't be read: {}", table.name, causes(&unavailable)),
                    "check the network and your rights; if the table is gone, restore it to a point in time",
                );
            }
            Ok(status) if status != "ACTIVE" => {
                return broken(format!("{} is {status}", table.name), "wait until it is ACTIVE");
            }
            Ok(_) if table.is_retained && !table.is_protected => unprotected.push(table.name),
            Ok(_) => {}
        }
    }
    if unprotected.is_empty() {
        return good("all are active, and users, settings and notices are protected from deletion");
    }
    warning(
        format!("all are active; {} could be deleted", unprotected.join(" and ")),
        "deploy once more with DeletionProtection=true",
    )
}

async fn signing_key(context: &Context, store: &Store<AllTables>) -> Finding {
    let advice = "check the network and your rights; if there is no key: `latchkey key rotate`, and then the log of \
                  RotateKeysFunction";
    let secret = match SigningKeySecret::new(&context.app) {
        Ok(secret) => secret,
        Err(error) => return broken(error.to_string(), "name it with --resource SigningKeySecret=…"),
    };
    let key = match secret.signing_key(context.now).await {
        Ok(key) => key,
        Err(unavailable) => return broken(causes(&unavailable), advice),
    };
    match store.key_set().await {
        Ok(keys) if keys.valid(context.now).any(|public| public.id == *key.id()) => {
            good(format!("{} signs, and is published", key.id()))
        }
        Ok(_) => broken(format!("{} signs, and is not published", key.id()), advice),
        Err(unavailable) => broken(causes(&unavailable), "see the check of the tables"),
    }
}

async fn code_key(context: &Context) -> Finding {
    let advice = "check the network and your rights; if the key is too short: \
                  `aws secretsmanager rotate-secret --secret-id <CodeKeySecretArn>`";
    match CodeKeySecret::new(&context.app) {
        Err(error) => broken(error.to_string(), "name it with --resource CodeKeySecret=…"),
        Ok(secret) => match secret.current().await {
            Ok(_) => good("codes can be derived"),
            Err(unavailable) => broken(causes(&unavailable), advice),
        },
    }
}

/// The gateways of the home country, in order, each with whether it can be called.
async fn route(context: &Context) -> Result<Vec<(Gateway, bool)>, String> {
    let config = &context.app.config;
    let code = NumberingPlan::calling_code(config.default_organization.default_country).unwrap_or_default();
    let gateways = config.sms.routes.by_digits(code);
    let secret = GatewaySecret::new(&context.app).map_err(|error| error.to_string())?;
    let credentials = secret.credentials().await;
    let is_complete = |gateway: &Gateway| match &credentials {
        Ok(credentials) => Ok(credentials.are_complete_for(*gateway)),
        Err(_) if *gateway == Gateway::Sns => Ok(true),
        Err(unavailable) => Err(causes(unavailable)),
    };
    gateways.iter().map(|gateway| Ok((*gateway, is_complete(gateway)?))).collect()
}

/// Whether the home country's messages go to this gateway, as long as it accepts them.
async fn is_first(context: &Context, gateway: Gateway) -> bool {
    // If the secret can't be read, the check of the gateways says so.
    let route = route(context).await.unwrap_or_default();
    route.iter().find(|(_, is_complete)| *is_complete).is_some_and(|(first, _)| *first == gateway)
}

async fn gateways(context: &Context) -> Finding {
    let country = context.app.config.default_organization.default_country;
    let fill = "fill the secret GatewaySecretArn, or take the gateway out of SmsRoutes";
    let route = match route(context).await {
        Ok(route) => route,
        Err(reason) => return broken(reason, "check the network and your rights to read GatewaySecretArn"),
    };
    let names = |complete: bool| {
        let with = route.iter().filter(|(_, is_complete)| *is_complete == complete);
        with.map(|(gateway, _)| gateway.name()).collect::<Vec<_>>().join(", ")
    };
    match (names(true), names(false)) {
        (none, _) if none.is_empty() => broken(format!("no gateway of {country} has its credentials"), fill),
        (all, none) if none.is_empty() => good(format!("{country}: {all}")),
        (some, missing) => warning(format!("{country}: {some}; without credentials: {missing}"), fill),
    }
}

async fn push(context: &Context) -> Finding {
    if context.app.config.google.push_project.is_none() {
        return skipped("no FcmProjectId: devices are not asked and not told");
    }
    match PushSecret::new(&context.app) {
        Err(error) => broken(error.to_string(), "name it with --resource PushSecret=…"),
        Ok(secret) => match secret.account().await {
            Ok(account) => good(account.client_email),
            Err(unavailable) => broken(
                causes(&unavailable),
                "check the network and your rights; if it is empty, fill PushSecretArn with the key file of a service account",
            ),
        },
    }
}

async fn sns(context: &Context, aws: Option<&SdkConfig>) -> Finding {
    let Some(aws) = aws else { return skipped(LOCAL) };
    if !context.app.config.sms.routes.use_gateway(Gateway::Sns) {
        return skipped("no route uses it");
    }
    let client = aws_sdk_sns::Client::new(aws);
    let (sandbox, attributes) = tokio::join!(
        client.get_sms_sandbox_account_status().send(),
        client.get_sms_attributes().attributes("MonthlySpendLimit").send()
    );
    match sandbox {
        Ok(sandbox) if sandbox.is_in_sandbox => {
            let advice =
                "leave the sandbox in the console of SNS; until then only verified numbers get messages from it";
            let found = "the account is in the SMS sandbox";
            return if is_first(context, Gateway::Sns).await { broken(found, advice) } else { warning(found, advice) };
        }
        Ok(_) => {}
        Err(error) => return warning(causes(&error), "allow sns:GetSMSSandboxAccountStatus, to see more"),
    }
    let limit: Option<f64> = match attributes {
        Ok(answer) => {
            answer.attributes.unwrap_or_default().get("MonthlySpendLimit").and_then(|limit| limit.parse().ok())
        }
        Err(error) => return warning(causes(&error), "allow sns:GetSMSAttributes, to see more"),
    };
    match limit {
        Some(limit) if limit > LIMIT_OF_NEW_ACCOUNTS => {
            good(format!("out of the sandbox; at most {limit} dollars a month"))
        }
        _ => warning(
            "at most one dollar a month; past it SNS answers success and sends nothing",
            "raise the quota of SMS spending, and then the limit in the console of SNS",
        ),
    }
}

async fn concurrency(aws: Option<&SdkConfig>) -> Finding {
    let Some(aws) = aws else { return skipped(LOCAL) };
    let limit = match aws_sdk_lambda::Client::new(aws).get_account_settings().send().await {
        Ok(settings) => settings.account_limit.map(|limit| limit.concurrent_executions).unwrap_or_default(),
        Err(error) => return warning(causes(&error), "allow lambda:GetAccountSettings, to see more"),
    };
    if limit >= ENOUGH_EXECUTIONS {
        return good(format!("{limit} executions at the same time"));
    }
    let advice = "raise the quota Concurrent executions of Lambda to at least 1000";
    warning(format!("{limit} executions at the same time, which one caller can keep busy"), advice)
}

/// Whether the API answers under the issuer's name.
async fn api(context: &Context, aws: Option<&SdkConfig>) -> Finding {
    if aws.is_none() {
        return skipped(LOCAL);
    }
    let issuer = &context.app.config.issuer.issuer;
    let url = format!("{issuer}/.well-known/openid-configuration");
    let advice = "check DomainName, its DNS entry (output DomainTarget) and CertificateArn, or the proxy in front";
    match https::page(&url).await {
        Err(reason) => broken(format!("{issuer} does not answer: {reason}"), advice),
        Ok((200, body)) => match serde_json::from_slice::<Value>(&body) {
            Ok(metadata) if metadata.get("issuer").and_then(Value::as_str) == Some(issuer) => good(issuer.as_str()),
            _ => broken(format!("{issuer} answers, but is not this deployment"), advice),
        },
        Ok((status, _)) => broken(format!("{issuer} answers {status}"), advice),
    }
}

/// Whether the next number of the home country would get a code.
async fn send(context: &Context, store: &Store<AllTables>) -> Finding {
    let config = &context.app.config;
    let (default, limits, now) = (&config.default_organization, &config.limits, context.now);
    let country = default.default_country;
    let organization = match store.organization_for_sends(&default.id, default, now).await {
        Ok(organization) => organization.unwrap_or_else(|| default.clone()),
        Err(unavailable) => return broken(causes(&unavailable), "correct the settings of the default organization"),
    };
    if let Err(too_long) = organization.format.check() {
        return warning(format!("a message loses a part: {too_long}"), "shorten AppName, AppSite or WebDomain");
    }
    if !organization.sends_to(country) {
        return broken(format!("no code is sent to {country}"), "add it to AllowedCountries");
    }
    // No number is so short, so nothing but the country is looked at.
    let code = NumberingPlan::calling_code(country).unwrap_or_default();
    let Ok(phone) = PhoneNumber::from_e164(&format!("+{code}000")) else { return skipped("the country has no code") };
    if organization.blocked.contains(&phone) {
        return broken(format!("numbers of {country} are blocked"), "see `latchkey number blocked`");
    }
    let scope = CounterScope { organization: default.id.clone(), country, source: SourceAddress::of(None) };
    let purpose = Purpose::SignIn { organization: default.id.clone() };
    let read = store.read_send_state(&purpose, &phone, None, Some(&scope), limits, now).await;
    let highest = store.highest_verified_day(&scope, now).await;
    let decision = match (read, highest) {
        (Ok(mut state), Ok(highest)) => {
            state.counts.highest_verified_day = highest;
            state.counts.decide(limits, now)
        }
        (Err(unavailable), _) | (_, Err(unavailable)) => {
            return broken(causes(&unavailable), "see the check of the tables");
        }
    };
    match decision.refused_until {
        Some(_) => broken(
            format!("the messages to {country} are used up for now"),
            "see docs/operate.md, budgets; raise CountrySendsPerDay only if no one causes messages for money",
        ),
        None => good(format!("a number of {country} would get a code")),
    }
}
