//! `latchkey doctor`, on stacks that are well and on broken ones. DynamoDB, Secrets Manager and the API are those of the running
//! system. CloudFormation, Lambda, STS and SNS's account are a stand-in here that answers the SDK's requests with what each
//! test says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tests::World;

use crate::admin::{Ran, run_with};

const ARN: &str = "arn:aws:iam::123456789012:user/sita";
/// Tables and secrets, by their ids in the template, with the variables that name them.
const RESOURCES: [(&str, &str); 8] = [
    ("UsersTable", "USERS_TABLE"),
    ("OtpsTable", "OTPS_TABLE"),
    ("SessionsTable", "SESSIONS_TABLE"),
    ("SettingsTable", "SETTINGS_TABLE"),
    ("NoticesTable", "NOTICES_TABLE"),
    ("SigningKeySecret", "SIGNING_KEY_SECRET"),
    ("CodeKeySecret", "CODE_KEY_SECRET"),
    ("GatewaySecret", "GATEWAY_SECRET"),
];

/// What the stand-in says of the account and its stack.
#[derive(Clone)]
pub struct Account {
    stack_status: &'static str,
    is_in_sandbox: bool,
    spend_limit: &'static str,
    executions: u32,
    /// Of the functions.
    pub variables: BTreeMap<&'static str, String>,
    /// The actions that were asked for, such as `sts:GetCallerIdentity`.
    pub asked: Arc<Mutex<BTreeSet<String>>>,
}

impl Account {
    pub fn of(world: &World) -> Self {
        let mut variables: BTreeMap<_, _> = RESOURCES.map(|(id, variable)| (variable, id.to_owned())).into();
        variables.insert("ISSUER", format!("http://{}", world.system.address()));
        variables.insert("SMS_ROUTES", "977=sparrow,sns;*=sns".to_owned());
        let (stack_status, asked) = ("UPDATE_COMPLETE", Arc::default());
        Self { stack_status, is_in_sandbox: false, spend_limit: "200", executions: 1_000, variables, asked }
    }

    /// Serves the account, and returns where.
    async fn serve(self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(Arc::new(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}

async fn answer(State(account): State<Arc<Account>>, headers: HeaderMap, uri: Uri, body: Bytes) -> impl IntoResponse {
    // The scope of a signature names the service: Credential=<key>/<day>/<region>/<service>/aws4_request.
    let service = headers[header::AUTHORIZATION].to_str().unwrap().split('/').nth(3).unwrap().to_owned();
    let asked = |action: &str| account.asked.lock().unwrap().insert(format!("{service}:{action}"));
    let json = |value: Value| ([(header::CONTENT_TYPE, "application/json")], value.to_string());
    let xml = |action: &str, result: &str| {
        let text = format!("<{action}Response><{action}Result>{result}</{action}Result></{action}Response>");
        ([(header::CONTENT_TYPE, "text/xml")], text)
    };
    if uri.path().ends_with("/configuration") {
        asked("GetFunctionConfiguration");
        return json(json!({"Environment": {"Variables": account.variables}}));
    }
    if uri.path().ends_with("/account-settings") {
        asked("GetAccountSettings");
        return json(json!({"AccountLimit": {"ConcurrentExecutions": account.executions}}));
    }
    let form = String::from_utf8(body.into()).unwrap();
    let action = form.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned();
    asked(&action);
    let result = match action.as_str() {
        "GetCallerIdentity" => format!("<Arn>{ARN}</Arn><UserId>U</UserId><Account>123456789012</Account>"),
        "ListStackResources" => {
            let member = |id: &str| {
                format!(
                    "<member><LogicalResourceId>{id}</LogicalResourceId><PhysicalResourceId>auth-{id}</PhysicalResourceId></member>"
                )
            };
            let members: String = ["SubmitOtpFunction", "SendOtpFunction"].map(member).concat();
            format!("<StackResourceSummaries>{members}</StackResourceSummaries>")
        }
        "DescribeStacks" => format!(
            "<Stacks><member><StackName>auth</StackName><StackStatus>{}</StackStatus></member></Stacks>",
            account.stack_status
        ),
        "GetSMSSandboxAccountStatus" => format!("<IsInSandbox>{}</IsInSandbox>", account.is_in_sandbox),
        "GetSMSAttributes" => format!(
            "<attributes><entry><key>MonthlySpendLimit</key><value>{}</value></entry></attributes>",
            account.spend_limit
        ),
        other => panic!("the stand-in knows no {other}"),
    };
    xml(&action, &result)
}

/// Runs a command for the stack `auth` of an account.
pub async fn in_aws(world: &World, account: Account, arguments: &[&str]) -> Ran {
    let (account, system) = (format!("http://{}", account.serve().await), &world.system);
    let mut variables: Vec<_> = ["CLOUDFORMATION", "LAMBDA", "STS", "SNS"]
        .map(|service| (format!("AWS_ENDPOINT_URL_{service}"), account.clone()))
        .into();
    variables.extend([
        ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), format!("http://{}", system.dynamodb_address())),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), format!("http://{}", system.aws_address())),
    ]);
    let fixed = [("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    variables.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let arguments: Vec<String> = arguments.iter().chain(&["--stack", "auth"]).map(|text| (*text).to_owned()).collect();
    let run = move || {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        run_with(&variables, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // The stand-in answers meanwhile.
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The checks that are in a state, each with what it found and what it says to do.
fn checks(answer: &Value, state: &str) -> Vec<(String, String)> {
    let all = answer["checks"].as_array().unwrap().iter();
    let found = |check: &Value| {
        let advice = check["advice"].as_str().unwrap_or_default();
        (check["check"].as_str().unwrap().to_owned(), format!("{} -> {advice}", check["found"].as_str().unwrap()))
    };
    all.filter(|check| check["state"] == state).map(found).collect()
}

async fn protect_tables(world: &World) {
    for table in ["UsersTable", "SettingsTable", "NoticesTable"] {
        world.dynamodb("UpdateTable", json!({"TableName": table, "DeletionProtectionEnabled": true})).await;
    }
}

async fn set_secret(world: &World, name: &str, value: &str) {
    world.secrets_manager("PutSecretValue", json!({"SecretId": name, "SecretString": value})).await;
}

/// Panics unless exactly this check finds the deployment broken, for this reason and with this advice.
async fn assert_broken(world: &World, account: Account, check: &str, parts: [&str; 2]) {
    let answer = in_aws(world, account, &["doctor", "--json"]).await.bad_json();
    let broken = checks(&answer, "broken");
    assert_eq!(broken.len(), 1, "{answer:#}");
    assert_eq!(broken[0].0, check);
    assert!(parts.iter().all(|part| broken[0].1.contains(part)), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_stack_is_well() {
    let world = World::new().await;
    protect_tables(&world).await;
    let text = in_aws(&world, Account::of(&world), &["doctor"]).await.ok();
    assert!(text.ends_with("\nThis deployment is well.\n"), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("ok      credentials  {ARN}"));
    assert_eq!(lines[1], "ok      stack        UPDATE_COMPLETE");
    assert!(!text.contains("->"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_account_works_and_is_told_what_to_raise_before_real_traffic() {
    let world = World::new().await;
    let account = Account { spend_limit: "1", executions: 10, ..Account::of(&world) };
    let answer = in_aws(&world, account, &["doctor", "--json"]).await.json();
    let warnings: Vec<_> = checks(&answer, "warning").into_iter().map(|(check, _)| check).collect();
    assert_eq!(
        (warnings, checks(&answer, "broken").len()),
        (["tables", "SNS", "concurrency"].map(str::to_owned).into(), 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_the_gateways_credentials_is_broken() {
    let world = World::new().await;
    set_secret(&world, "GatewaySecret", "{}").await;
    let mut account = Account::of(&world);
    account.variables.insert("SMS_ROUTES", "977=sparrow".to_owned());
    assert_broken(&world, account, "gateways", ["no gateway of NP", "fill the secret GatewaySecretArn"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_whose_key_is_not_published_is_broken() {
    let world = World::new().await;
    world.dynamodb("DeleteItem", json!({"TableName": "SettingsTable", "Key": {"pk": {"S": "keys"}}})).await;
    assert_broken(&world, Account::of(&world), "signing key", ["is not published", "latchkey key rotate"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_a_table_is_broken() {
    let world = World::new().await;
    world.dynamodb("DeleteTable", json!({"TableName": "SessionsTable"})).await;
    assert_broken(
        &world,
        Account::of(&world),
        "tables",
        ["SessionsTable can't be read", "restore it to a point in time"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_with_a_short_code_key_is_broken() {
    let world = World::new().await;
    set_secret(&world, "CodeKeySecret", "short").await;
    assert_broken(&world, Account::of(&world), "code key", ["fewer than 32 bytes", "rotate-secret"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_in_the_sandbox_of_sns_is_broken_only_if_its_country_has_no_gateway_before_sns() {
    let world = World::new().await;
    let account = Account { is_in_sandbox: true, ..Account::of(&world) };
    let answer = in_aws(&world, account.clone(), &["doctor", "--json"]).await.json();
    let warnings = checks(&answer, "warning");
    let (_, of_sns) = warnings.iter().find(|(check, _)| check == "SNS").unwrap();
    assert!(of_sns.contains("is in the SMS sandbox -> leave the sandbox"), "{of_sns}");
    let mut sns_first = account.clone();
    sns_first.variables.insert("SMS_ROUTES", "977=sns,sparrow".to_owned());
    assert_broken(&world, sns_first, "SNS", ["is in the SMS sandbox", "leave the sandbox"]).await;
    // Sparrow comes first, and can't be called.
    set_secret(&world, "GatewaySecret", "{}").await;
    assert_broken(&world, account, "SNS", ["is in the SMS sandbox", "leave the sandbox"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_whose_domain_leads_nowhere_is_broken() {
    let world = World::new().await;
    let mut account = Account::of(&world);
    account.variables.insert("ISSUER", "http://127.0.0.1:9".to_owned());
    assert_broken(&world, account, "API", ["does not answer", "its DNS entry"]).await;
    let mut account = Account::of(&world);
    account.variables.insert("ISSUER", format!("http://localhost:{}", world.system.address().port()));
    assert_broken(&world, account, "API", ["is not this deployment", "its DNS entry"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_was_rolled_back_is_broken() {
    let world = World::new().await;
    let account = Account { stack_status: "UPDATE_ROLLBACK_FAILED", ..Account::of(&world) };
    assert_broken(&world, account, "stack", ["UPDATE_ROLLBACK_FAILED", "deploy again"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_whose_country_is_blocked_or_used_up_sends_nothing() {
    let world = World::new().await;
    let mut account = Account::of(&world);
    account.variables.insert("COUNTRY_SENDS_PER_DAY", "1".to_owned());
    world.send_code("+9779841000001").await;
    let used_up = account.clone();
    assert_broken(&world, used_up, "a send", ["the messages to NP are used up", "CountrySendsPerDay"]).await;
    account.variables.remove("COUNTRY_SENDS_PER_DAY");
    crate::admin::latchkey(&world, &["number", "block", "+977", "--yes"]).ok();
    assert_broken(&world, account, "a send", ["numbers of NP are blocked", "latchkey number blocked"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_local_is_checked_for_what_it_has() {
    let world = World::new().await;
    let answer = crate::admin::latchkey(&world, &["doctor", "--json"]).json();
    let skipped: Vec<_> = checks(&answer, "skipped").into_iter().map(|(check, _)| check).collect();
    assert_eq!(skipped, ["credentials", "stack", "push", "SNS", "concurrency", "API"]);
    assert_eq!(checks(&answer, "broken"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_aws_a_change_is_logged_with_whose_credentials_made_it_and_tables_are_those_of_the_functions() {
    let world = World::new().await;
    let sita = world.sign_in("+9779841000001").await;
    let role = ["user", "add-role", &sita.user_id, "admin", "--as", "hari"];
    in_aws(&world, Account::of(&world), &role).await.ok();
    let entries = in_aws(&world, Account::of(&world), &["audit", "--json"]).await.json()["entries"].clone();
    assert_eq!((&entries[0]["by"], &entries[0]["action"]), (&json!(format!("{ARN} as hari")), &json!("user.add_role")));
    let mut account = Account::of(&world);
    account.variables.insert("USERS_TABLE", "OtherTable".to_owned());
    let refusal = in_aws(&world, account, &["user", "show", &sita.user_id]).await.refused();
    assert!(refusal.contains("Check the names, the Region and what your credentials allow."), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_aws_a_test_number_of_the_default_organization_is_added_to_what_the_parameters_say() {
    let world = World::new().await;
    let mut account = Account::of(&world);
    let parameters = [
        ("APP_NAME", "Himal"),
        ("APP_SITE", "himal.example"),
        ("ANDROID_APP_HASH", "FA+9qCX9VSu"),
        ("WEB_DOMAIN", "sign.himal.example"),
        ("LANGUAGES", "en"),
        ("DEVICE_KEYS", "required"),
    ];
    account.variables.extend(parameters.map(|(name, value)| (name, value.to_owned())));
    let until = format!("{}-12-31", 1970 + world.now() / 31_556_952);
    let add = ["test-number", "add", "+9779800000000", "--code", "135790", "--until", &until];
    in_aws(&world, account.clone(), &add).await.ok();
    let shown = in_aws(&world, account, &["organization", "show", "default", "--json"]).await.json();
    let expected = json!({
        "id": "default", "app_name": "Himal", "site": "himal.example", "android_app_hash": "FA+9qCX9VSu",
        "web_domain": "sign.himal.example", "languages": ["en"], "device_keys": "required",
        "test_numbers": [{"phone_number": "+97798****0000", "code": "******", "until": until}],
    });
    assert_eq!(shown, expected);
}
