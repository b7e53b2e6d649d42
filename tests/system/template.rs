//! `template.yaml` beside all that must agree with it: the other lists of routes, the policies, the tables.

use std::collections::{BTreeMap, BTreeSet};

use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::World;
use tests::google::{Google, Key, claims, header};
use tests::tap::{Tapped, TappedWorld};

use crate::sample;
use crate::wire::secrets_manager;
use crate::workspace::{functions, list, logical_id, metadata, template, text};

/// One route.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Route {
    pub key: String,
    pub function: String,
    is_guarded: bool,
}

/// The table of DESIGN.md, section 2.
const DESIGN: [(&str, &str, bool); 16] = [
    ("POST /v1/otp/send", "send-otp", false),
    ("POST /v1/otp/submit", "submit-otp", false),
    ("POST /v1/phone/otp/send", "send-otp", true),
    ("POST /v1/phone/otp/validate", "validate-otp", true),
    ("POST /v1/session/refresh", "session", false),
    ("GET /v1/sessions", "session", true),
    ("DELETE /v1/sessions", "session", true),
    ("DELETE /v1/sessions/{session_id}", "session", true),
    ("DELETE /v1/session", "session", true),
    ("GET /v1/me", "account", true),
    ("PATCH /v1/me", "account", true),
    ("DELETE /v1/me", "account", true),
    ("PUT /v1/me/fcm-token", "account", true),
    ("POST /v1/me/sign-in-approval", "account", true),
    ("GET /.well-known/jwks.json", "jwks", false),
    ("GET /.well-known/openid-configuration", "jwks", false),
];

fn resource(id: &str) -> &'static Value {
    &template()["Resources"][id]
}

/// The routes of the template.
pub fn routes() -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for function in functions() {
        for event in resource(&logical_id(&function))["Properties"]["Events"].as_object().into_iter().flatten() {
            let properties = &event.1["Properties"];
            let [method, path] = ["Method", "Path"].map(|name| properties[name].as_str().unwrap());
            let authorizer = &properties["Auth"]["Authorizer"];
            assert!(authorizer.is_null() || authorizer == "LatchkeyAuthorizer", "{authorizer}");
            let is_guarded = !authorizer.is_null();
            routes.insert(Route { key: format!("{method} {path}"), function: function.clone(), is_guarded });
        }
    }
    routes
}

fn keys(is_wanted: impl Fn(&Route) -> bool) -> BTreeSet<String> {
    routes().into_iter().filter(is_wanted).map(|route| route.key).collect()
}

#[test]
fn the_routes_are_those_of_the_design() {
    let designed = DESIGN.map(|(key, function, is_guarded)| Route {
        key: key.to_owned(),
        function: function.to_owned(),
        is_guarded,
    });
    assert_eq!(routes(), designed.into());
}

#[test]
fn cargo_lambda_watch_serves_the_same_routes() {
    let router = metadata()["metadata"]["lambda"]["watch"]["router"].as_object().unwrap();
    let mut served = BTreeSet::new();
    for (path, methods) in router {
        for entry in methods.as_array().unwrap() {
            let key = format!("{} {path}", entry["method"].as_str().unwrap());
            served.insert((key, entry["function"].as_str().unwrap().to_owned()));
        }
    }
    assert_eq!(served, routes().into_iter().map(|route| (route.key, route.function)).collect());
}

#[test]
fn openapi_documents_the_same_routes_and_the_same_guards() {
    let mut documented = BTreeSet::new();
    let mut guarded = BTreeSet::new();
    for (path, methods) in tests::document()["paths"].as_object().unwrap() {
        let operations = methods.as_object().unwrap().iter().filter(|(name, _)| {
            ["get", "put", "post", "patch", "delete", "head", "options", "trace"].contains(&name.as_str())
        });
        for (method, operation) in operations {
            let key = format!("{} {path}", method.to_uppercase());
            if operation["security"].as_array().is_some_and(|schemes| !schemes.is_empty()) {
                guarded.insert(key.clone());
            }
            documented.insert(key);
        }
    }
    assert_eq!(documented, keys(|_| true));
    assert_eq!(guarded, keys(|route| route.is_guarded));
}

#[test]
fn the_authorizer_explains_refusals_on_exactly_the_guarded_routes() {
    let source = text("functions/authorizer/src/lib.rs");
    let (_, list) = source.split_once("OWN_GUARDED_ROUTES: [").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let own: BTreeSet<_> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(own, keys(|route| route.is_guarded));
}

#[tokio::test]
async fn a_route_asks_for_a_token_if_and_only_if_it_is_guarded() {
    let world = World::new().await;
    for (key, _, is_guarded) in DESIGN {
        let (method, path) = key.split_once(' ').unwrap();
        let reply = world.call(method, &path.replace("{session_id}", "ses_0")).send().await;
        assert_eq!(reply.problem() == (401, "token_required"), is_guarded, "{key}: {reply:?}");
    }
}

/// What a function may do, or does: an action on a table or a secret.
type Actions = BTreeSet<(String, String)>;

/// What stands there, if it is there at all.
fn where_it_is(value: &Value) -> &Value {
    value.get("Fn::If").map_or(value, |branches| &branches[1])
}

/// The resource that an entry of a policy names.
fn target(entry: &Value) -> String {
    let entry = where_it_is(entry);
    let target = entry["Fn::GetAtt"].as_str().or(entry["Ref"].as_str()).or(entry.as_str());
    target.unwrap_or_else(|| panic!("{entry}")).trim_end_matches(".Arn").to_owned()
}

fn allowed(function: &str) -> Actions {
    let mut allowed = Actions::new();
    for policy in list(&resource(function)["Properties"]["Policies"]) {
        for statement in list(&policy["Statement"]).into_iter().filter(|statement| statement["Effect"] == "Allow") {
            assert!(statement["NotAction"].is_null() && statement["NotResource"].is_null(), "{statement}");
            for action in list(&statement["Action"]) {
                for entry in list(&statement["Resource"]) {
                    allowed.insert((action.as_str().unwrap().to_owned(), target(entry)));
                }
            }
        }
    }
    allowed
}

fn allowed_by_kind(function: &str, kind: &str) -> Actions {
    allowed(function).into_iter().filter(|(action, _)| action.starts_with(kind)).collect()
}

/// Reading secrets in a batch can be allowed for all of them alone; what it gives is what each one's own policy allows
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html>).
#[test]
fn no_policy_has_a_wildcard_but_for_messages_to_phones_and_secrets_in_a_batch() {
    for function in functions() {
        let wild = allowed(&logical_id(&function)).into_iter().filter(|(action, on)| action.contains('*') || on == "*");
        let wanted: &[&str] = match function.as_str() {
            "send-otp" => &["secretsmanager:BatchGetSecretValue", "sns:Publish"],
            "submit-otp" => &["secretsmanager:BatchGetSecretValue"],
            _ => &[],
        };
        let wanted: Vec<_> = wanted.iter().map(|action| ((*action).to_owned(), "*".to_owned())).collect();
        assert_eq!(wild.collect::<Vec<_>>(), wanted, "{function}");
    }
}

#[test]
fn a_function_knows_the_names_of_the_tables_and_secrets_it_may_use_and_of_no_other() {
    for function in functions().iter().map(|name| logical_id(name)) {
        let variables = resource(&function)["Properties"]["Environment"]["Variables"].as_object().unwrap();
        for (kind, resource_type) in
            [("dynamodb:", "AWS::DynamoDB::Table"), ("secretsmanager:", "AWS::SecretsManager::Secret")]
        {
            let references = variables.values().filter_map(|value| where_it_is(value)["Ref"].as_str());
            let named: BTreeSet<_> = references.filter(|id| resource(id)["Type"] == resource_type).collect();
            let usable = allowed_by_kind(&function, kind);
            let usable = usable.iter().map(|(_, on)| on.as_str()).filter(|on| *on != "*");
            assert_eq!(named, usable.collect(), "{function} {kind}");
        }
    }
}

#[test]
fn only_who_signs_may_read_the_signing_key_and_only_rotation_may_write_it() {
    let on_key = |function: &String| -> Vec<String> {
        let allowed = allowed_by_kind(&logical_id(function), "secretsmanager:");
        allowed.into_iter().filter(|(_, on)| on == "SigningKeySecret").map(|(action, _)| action).collect()
    };
    let by_function: BTreeMap<String, Vec<String>> =
        functions().into_iter().map(|name| (name.clone(), on_key(&name))).filter(|(_, on)| !on.is_empty()).collect();
    let read = ["secretsmanager:GetSecretValue"];
    let rotate = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"];
    let rotate = rotate.map(|action| format!("secretsmanager:{action}"));
    assert_eq!(json!(by_function), json!({"rotate-keys": rotate, "session": read, "submit-otp": read}));
}

/// What a request does, as a policy has to allow it: each step of a transaction by itself.
fn done(request: &Tapped) -> Actions {
    let on =
        |action: &str, part: &Value| (format!("dynamodb:{action}"), part["TableName"].as_str().unwrap().to_owned());
    if let Some(tables) = request.body["RequestItems"].as_object() {
        return tables.keys().map(|table| (format!("dynamodb:{}", request.operation), table.clone())).collect();
    }
    match request.body["TransactItems"].as_array() {
        None => [on(&request.operation, &request.body)].into(),
        Some(steps) => {
            let action =
                |kind: &str| if kind == "ConditionCheck" { "ConditionCheckItem".into() } else { format!("{kind}Item") };
            let parts = steps.iter().flat_map(|step| step.as_object().unwrap());
            parts.map(|(kind, part)| on(&action(kind), part)).collect()
        }
    }
}

/// Functions at work, and what each of them does.
struct Work {
    tapped: TappedWorld,
    done: BTreeMap<String, Actions>,
}

impl Work {
    /// Calls a function and gives the body of its answer, which must be a success.
    async fn invoke(&mut self, function: &str, event: Value) -> Value {
        let (requests, answer) = self.tapped.requests(self.tapped.world.system.invoke(function, event)).await;
        self.done.entry(function.to_owned()).or_default().extend(requests.iter().flat_map(done));
        let answer = answer.unwrap();
        assert!(answer["statusCode"].as_u64().is_none_or(|status| status < 300), "{function}: {answer}");
        serde_json::from_str(answer["body"].as_str().filter(|body| !body.is_empty()).unwrap_or("null")).unwrap()
    }

    /// Calls the function behind a route, which no authorizer spoke to before: the most that it ever does.
    async fn call(&mut self, route: &str, token: &str, body: Value) -> Value {
        let (_, function, _) = DESIGN.iter().find(|(key, ..)| route.starts_with(key)).unwrap();
        let body = (!body.is_null()).then_some(body);
        self.invoke(&logical_id(function), sample::request(route, Some(token), body)).await
    }

    /// Calls an open route, which refuses.
    async fn refuse(&mut self, route: &str, body: Value) -> Value {
        let (_, function, _) = DESIGN.iter().find(|(key, ..)| route == *key).unwrap();
        let (function, event) = (logical_id(function), sample::request(route, None, Some(body)));
        let (requests, answer) = self.tapped.requests(self.tapped.world.system.invoke(&function, event)).await;
        self.done.entry(function).or_default().extend(requests.iter().flat_map(done));
        answer.unwrap()
    }

    async fn send(&mut self, phone: &str) -> String {
        self.call("POST /v1/otp/send", "", json!({"phone_number": phone})).await;
        self.tapped.world.code(phone).await
    }

    async fn sign_in(&mut self, phone: &str) -> Value {
        let code = self.send(phone).await;
        self.call("POST /v1/otp/submit", "", json!({"phone_number": phone, "otp": code})).await
    }
}

/// Has a device asked to approve a sign-in that FCM knows no more, and approves it there all the same.
async fn ask_a_device_that_is_gone(work: &mut Work, phone: &str) {
    let owner = work.sign_in(phone).await;
    let token = owner["access_token"].as_str().unwrap();
    work.call("PUT /v1/me/fcm-token", token, json!({"fcm_token": "a-token-of-that-device"})).await;
    work.tapped.world.advance(86_400);
    let owner = work.call("POST /v1/session/refresh", "", json!({"refresh_token": owner["refresh_token"]})).await;
    let code = work.send(phone).await;
    let at = Outgoing { target: Target::Fcm, what: "a push".to_owned(), nth: 1 };
    let aim = Aim { at, mode: Mode::Refuse, code: Some("UNREGISTERED"), lasts: false };
    work.tapped.world.system.aim(Some(aim));
    let waits = work.refuse("POST /v1/otp/submit", json!({"phone_number": phone, "otp": code})).await;
    assert_eq!(waits["statusCode"], json!(403), "{waits}");
    let sent = work.tapped.world.post("/v1/otp/send", json!({"phone_number": phone}));
    let challenge = {
        work.tapped.world.advance(31);
        sent.send().await.text("challenge_id")
    };
    let approval = json!({"challenge_id": challenge});
    work.call("POST /v1/me/sign-in-approval", owner["access_token"].as_str().unwrap(), approval).await;
}

/// Least privilege, both ways: with less, a flow would break; with more, nobody would miss it.
#[tokio::test]
async fn a_policy_allows_exactly_the_requests_that_its_function_makes() {
    let google = Google::serving("max-age=19204").await;
    let variables = [&google.variables()[..], &[("PHONE_DORMANT_DAYS", "1")]].concat();
    let tapped = TappedWorld::with(&variables).await;
    let mut work = Work { tapped, done: BTreeMap::new() };
    let [phone, other_phone] = ["+9779841000001", "+9779841000002"];
    // What was read while starting has to be read anew.
    work.tapped.world.advance(600);

    let code = work.send(phone).await;
    let mut submit = sample::request("POST /v1/otp/submit", None, Some(json!({"phone_number": phone, "otp": code})));
    submit["headers"]["idempotency-key"] = json!("a-key-of-this-submission");
    let first = work.invoke("SubmitOtpFunction", submit.clone()).await;
    let again = work.invoke("SubmitOtpFunction", submit).await;
    assert_eq!((&first["is_new_user"], &first["user"]), (&json!(true), &again["user"]));
    work.tapped.world.advance(600);
    let known = work.sign_in(phone).await;
    assert_eq!(known["is_new_user"], json!(false));

    let claims = claims(&work.tapped.world, phone);
    let token = Key::of_google().sign(&header(), &claims);
    let by_firebase = work.call("POST /v1/otp/submit", "", json!({"firebase_id_token": token})).await;
    assert_eq!(by_firebase["user"]["user_id"], known["user"]["user_id"]);

    let token = known["access_token"].as_str().unwrap().to_owned();
    let sessions = work.call("GET /v1/sessions", &token, Value::Null).await;
    let is_current = |session: &&Value| session["current"] == json!(true);
    let earlier = sessions["sessions"].as_array().unwrap().iter().find(|session| !is_current(session)).unwrap();
    let earlier = earlier["session_id"].as_str().unwrap();
    work.call(&format!("DELETE /v1/sessions/{earlier}"), &token, Value::Null).await;
    work.call("POST /v1/session/refresh", "", json!({"refresh_token": known["refresh_token"]})).await;

    for username in ["first-name", "second-name"] {
        work.call("PATCH /v1/me", &token, json!({"username": username})).await;
    }
    work.call("PUT /v1/me/fcm-token", &token, json!({"fcm_token": "a-token-of-this-device"})).await;
    work.call("GET /v1/me", &token, Value::Null).await;
    let change = json!({"phone_number": other_phone, "change": true});
    work.call("POST /v1/phone/otp/send", &token, change).await;
    let code = work.tapped.world.code(other_phone).await;
    let proof = json!({"phone_number": other_phone, "otp": code, "username": "second-name"});
    work.call("POST /v1/phone/otp/validate", &token, proof).await;
    work.invoke("AuthorizerFunction", sample::authorization(&token)).await;
    work.call("DELETE /v1/me", &token, Value::Null).await;

    for (route, phone) in [("DELETE /v1/session", "+9779841000003"), ("DELETE /v1/sessions", "+9779841000004")] {
        let again = work.sign_in(phone).await;
        work.call(route, again["access_token"].as_str().unwrap(), Value::Null).await;
    }
    work.tapped.world.fault("sparrow", "refuse", 1).await;
    work.tapped.world.fault("sns", "refuse", 1).await;
    let refused = work.refuse("POST /v1/otp/send", json!({"phone_number": "+9779841000005"})).await;
    assert_eq!(refused["statusCode"], json!(503));
    ask_a_device_that_is_gone(&mut work, "+9779841000006").await;
    for route in ["GET /.well-known/jwks.json", "GET /.well-known/openid-configuration"] {
        work.call(route, "", Value::Null).await;
    }
    let address = work.tapped.world.system.aws_address();
    let rotation = json!({"SecretId": "SigningKeySecret"});
    let (requests, answer) = work.tapped.requests(secrets_manager(address, "RotateSecret", &rotation)).await;
    answer.ok();
    work.done.insert("RotateKeysFunction".to_owned(), requests.iter().flat_map(done).collect());

    for function in functions().iter().map(|name| logical_id(name)) {
        assert_eq!(work.done[&function], allowed_by_kind(&function, "dynamodb:"), "{function}");
    }
}

/// API Gateway gives up on a function after 30 seconds
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
#[test]
fn a_send_has_time_for_every_gateway_and_for_the_store_at_its_slowest() {
    // The organization, what is planned on, the allowance; afterwards its return.
    let store = adapters::app::OPERATION_TIMEOUT * 4;
    let needed = (adapters::sms::SENDING_TIME + store).as_secs();
    let timeout = resource("SendOtpFunction")["Properties"]["Timeout"].as_u64().unwrap();
    assert!(needed < timeout && timeout < 30, "{needed} {timeout}");
    let most = &template()["Parameters"]["GatewayTimeoutMilliseconds"]["MaxValue"];
    assert_eq!(u128::from(most.as_u64().unwrap()), adapters::sms::SENDING_TIME.as_millis());
}

#[test]
fn users_and_settings_outlive_the_stack_and_what_passes_expires_by_itself() {
    for (table, outlives, expires, recovers) in [
        ("UsersTable", true, false, true),
        ("SettingsTable", true, false, false),
        ("OtpsTable", false, true, false),
        ("SessionsTable", false, true, false),
    ] {
        let properties = &resource(table)["Properties"];
        for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert_eq!(resource(table)[policy] == "Retain", outlives, "{table}");
        }
        let ttl = json!({"AttributeName": "expires_at", "Enabled": true});
        assert_eq!(properties["TimeToLiveSpecification"] == ttl, expires, "{table}");
        assert_eq!(properties["SSESpecification"]["SSEEnabled"], json!(true), "{table}");
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{table}");
        if recovers {
            assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], json!(true));
        }
    }
    let tables = template()["Resources"].as_object().unwrap().values();
    assert_eq!(tables.filter(|resource| resource["Type"] == "AWS::DynamoDB::Table").count(), 4);
}
