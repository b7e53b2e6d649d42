//! The policies of `template.yaml`: each function may do exactly what it does.

use std::collections::{BTreeMap, BTreeSet};

use adapters::http::Route;
use local::{Aim, Mode, Outgoing, Target};
use serde_json::{Value, json};
use tests::device::Device;
use tests::google::{Google, Key, claims, header};
use tests::tap::DynamodbRequest;
use tests::{World, token};

use crate::sample;
use crate::workspace::{functions, list, logical_id, resource};

/// Actions, each with the table or secret that it acts on.
pub type Actions = BTreeSet<(String, String)>;

/// The value of an optional entry where its condition holds.
fn if_present(value: &Value) -> &Value {
    value.get("Fn::If").map_or(value, |branches| &branches[1])
}

/// The resource that an entry of a policy names.
fn target(entry: &Value) -> String {
    let entry = if_present(entry);
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

/// Reading secrets in a batch cannot be limited to some of them. It returns only those that the function may also read
/// one at a time
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_BatchGetSecretValue.html>).
#[test]
fn only_messages_to_phones_and_batches_of_secrets_are_allowed_by_a_wildcard() {
    for function in functions() {
        let wild = allowed(&logical_id(&function)).into_iter().filter(|(action, on)| action.contains('*') || on == "*");
        let wanted: &[&str] = match function.as_str() {
            "notify" => &["sms-voice:SendTextMessage", "sns:Publish"],
            "send-otp" => &["secretsmanager:BatchGetSecretValue", "sms-voice:SendTextMessage", "sns:Publish"],
            "submit-otp" => &["secretsmanager:BatchGetSecretValue"],
            _ => &[],
        };
        let wanted: Vec<_> = wanted.iter().map(|action| ((*action).to_owned(), "*".to_owned())).collect();
        assert_eq!(wild.collect::<Vec<_>>(), wanted, "{function}");
    }
}

/// The right to send by AWS End User Messaging is for SNS, which asks in the name of the function.
#[test]
fn functions_that_send_use_end_user_messaging_through_sns_alone_and_publish_to_no_topic() {
    for function in ["send-otp", "notify"] {
        let policies = list(&resource(&logical_id(function))["Properties"]["Policies"]);
        let statements = || policies.iter().flat_map(|policy| list(&policy["Statement"]));
        let messages = statements().filter(|statement| statement["Action"] == "sms-voice:SendTextMessage");
        let through_sns = json!({"StringEquals": {"aws:CalledViaLast": "sns.amazonaws.com"}});
        assert_eq!(messages.map(|statement| &statement["Condition"]).collect::<Vec<_>>(), [&through_sns], "{function}");
        let topics = json!({"Fn::Sub": "arn:${AWS::Partition}:sns:*:*:*"});
        let denied = statements().filter(|statement| statement["Effect"] == "Deny" && statement["Resource"] == topics);
        assert_eq!(denied.map(|statement| &statement["Action"]).collect::<Vec<_>>(), ["sns:Publish"], "{function}");
    }
}

#[test]
fn a_function_has_the_names_of_exactly_the_tables_and_secrets_that_it_may_use() {
    for function in functions().iter().map(|name| logical_id(name)) {
        let variables = resource(&function)["Properties"]["Environment"]["Variables"].as_object().unwrap();
        for (kind, resource_type) in
            [("dynamodb:", "AWS::DynamoDB::Table"), ("secretsmanager:", "AWS::SecretsManager::Secret")]
        {
            let references = variables.values().filter_map(|value| if_present(value)["Ref"].as_str());
            let named: BTreeSet<_> = references.filter(|id| resource(id)["Type"] == resource_type).collect();
            let usable = allowed_by_kind(&function, kind);
            let usable = usable.iter().map(|(_, on)| on.as_str()).filter(|on| *on != "*");
            assert_eq!(named, usable.collect(), "{function} {kind}");
        }
    }
}

#[test]
fn only_functions_that_use_a_key_may_read_it_and_only_rotation_may_write_it() {
    let on_key = |function: &String, key: &str| -> Vec<String> {
        let allowed = allowed_by_kind(&logical_id(function), "secretsmanager:");
        allowed.into_iter().filter(|(_, on)| on == key).map(|(action, _)| action).collect()
    };
    let by_function = |key: &str| -> BTreeMap<String, Vec<String>> {
        let all = functions().into_iter().map(|name| (name.clone(), on_key(&name, key)));
        all.filter(|(_, on)| !on.is_empty()).collect()
    };
    let read = ["secretsmanager:GetSecretValue"];
    let rotate = ["DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"];
    let rotate = rotate.map(|action| format!("secretsmanager:{action}"));
    let signing = json!({"rotate-keys": rotate, "session": read, "submit-otp": read});
    assert_eq!(json!(by_function("SigningKeySecret")), signing);
    let code = json!({"rotate-keys": rotate, "send-otp": read, "submit-otp": read, "validate-otp": read});
    assert_eq!(json!(by_function("CodeKeySecret")), code);
}

/// SAM lets a function that a stream calls read every stream of the account.
#[test]
fn a_function_may_read_the_streams_that_call_it_and_no_other() {
    for function in functions().iter().map(|name| logical_id(name)) {
        let properties = &resource(&function)["Properties"];
        let events = properties["Events"].as_object().into_iter().flatten().map(|(_, event)| event);
        let streams = events.filter(|event| event["Type"] == "DynamoDB").map(|event| &event["Properties"]["Stream"]);
        let streams: BTreeSet<String> = streams.map(ToString::to_string).collect();
        let statements = list(&properties["Policies"][0]["Statement"]).into_iter();
        let mut others = statements.filter(|statement| !statement["NotResource"].is_null());
        let Some(others_are_denied) = others.next() else {
            assert!(streams.is_empty(), "{function}");
            continue;
        };
        let reads = ["DescribeStream", "GetRecords", "GetShardIterator"].map(|action| format!("dynamodb:{action}"));
        assert_eq!((&others_are_denied["Effect"], &others_are_denied["Action"]), (&json!("Deny"), &json!(reads)));
        let allowed = list(&others_are_denied["NotResource"]).into_iter().map(ToString::to_string);
        assert_eq!(allowed.collect::<BTreeSet<_>>(), streams, "{function}");
    }
}

/// The actions that a policy must allow for a request: a transaction needs one for each of its steps.
pub fn actions(request: &DynamodbRequest) -> Actions {
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

/// The logical id of the function behind a route, whose path may have an id in place of `{session_id}`.
fn function_of(route: &str) -> String {
    let (method, path) = route.split_once(' ').unwrap();
    let (known, _) = Route::find(method, path).unwrap_or_else(|| panic!("no route {route}"));
    logical_id(known.function())
}

/// Functions that are called, and the actions of each.
struct Work {
    world: World,
    done: BTreeMap<String, Actions>,
}

impl Work {
    async fn record<T>(&mut self, function: &str, work: impl AsyncFnOnce(&World) -> T) -> T {
        let (requests, answer) = self.world.requests(work(&self.world)).await;
        self.done.entry(function.to_owned()).or_default().extend(requests.iter().flat_map(actions));
        answer
    }

    async fn answer(&mut self, function: &str, event: Value) -> Value {
        self.record(function, async |world| world.system.invoke(function, event).await.unwrap()).await
    }

    /// Calls a function, which must succeed, and returns the body of its answer.
    async fn invoke(&mut self, function: &str, event: Value) -> Value {
        let answer = self.answer(function, event).await;
        assert!(answer["statusCode"].as_u64().is_none_or(|status| status < 300), "{function}: {answer}");
        serde_json::from_str(answer["body"].as_str().filter(|body| !body.is_empty()).unwrap_or("null")).unwrap()
    }

    /// Calls the function behind a route, past the authorizer: the function then does the most that it ever does.
    async fn call(&mut self, route: &str, token: &str, body: Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let token = (!token.is_empty()).then_some(token);
        self.invoke(&function_of(route), sample::request(route, token, body)).await
    }

    async fn refused(&mut self, route: &str, body: Value, status: u16) {
        let answer = self.answer(&function_of(route), sample::request(route, None, Some(body))).await;
        assert_eq!(answer["statusCode"], json!(status), "{answer}");
    }

    async fn send(&mut self, phone: &str) -> String {
        self.call("POST /v1/otp/send", "", json!({"phone_number": phone})).await;
        self.world.code(phone).await
    }

    async fn sign_in(&mut self, phone: &str) -> Value {
        let code = self.send(phone).await;
        self.call("POST /v1/otp/submit", "", json!({"phone_number": phone, "otp": code})).await
    }
}

fn answer_that_the_next_push_has_no_device(world: &World) {
    let at = Outgoing { target: Target::Fcm, what: "a push".to_owned(), nth: 1 };
    world.system.aim(Some(Aim { at, mode: Mode::Refuse, code: Some("UNREGISTERED"), lasts: false }));
}

/// Tells a device of a sign-in although FCM no longer knows its token.
async fn tell_an_unregistered_device(work: &mut Work, phone: &str) {
    let owner = work.sign_in(phone).await;
    let token = owner["access_token"].as_str().unwrap();
    work.call("PUT /v1/me/fcm-token", token, json!({"fcm_token": "a-token-of-that-device"})).await;
    work.world.advance(31);
    work.sign_in(phone).await;
    answer_that_the_next_push_has_no_device(&work.world);
    work.record("NotifyFunction", async |world| world.system.deliver_streams().await).await;
}

/// Asks a device to approve a sign-in although FCM no longer knows its token, and approves the sign-in there.
async fn ask_an_unregistered_device(work: &mut Work, phone: &str) {
    let owner = work.sign_in(phone).await;
    let token = owner["access_token"].as_str().unwrap();
    work.call("PUT /v1/me/fcm-token", token, json!({"fcm_token": "a-token-of-that-device"})).await;
    work.world.advance(86_400);
    let owner = work.call("POST /v1/session/refresh", "", json!({"refresh_token": owner["refresh_token"]})).await;
    let code = work.send(phone).await;
    answer_that_the_next_push_has_no_device(&work.world);
    work.refused("POST /v1/otp/submit", json!({"phone_number": phone, "otp": code}), 403).await;
    work.world.advance(31);
    let challenge = work.world.send_code(phone).await.challenge_id;
    let approval = json!({"challenge_id": challenge});
    work.call("POST /v1/me/sign-in-approval", owner["access_token"].as_str().unwrap(), approval).await;
}

async fn end_a_session_with_a_device_key(work: &mut Work, phone: &str) {
    let code = work.send(phone).await;
    let device = Device::new();
    let submit = async |world: &World| world.submit(phone, &code).proven_by(&device).send().await;
    let bound = work.record("SubmitOtpFunction", submit).await;
    let session = token::claims(&bound.text("refresh_token"))["sid"].as_str().unwrap().to_owned();
    work.world.advance(31);
    let other = work.sign_in(phone).await;
    let token = other["access_token"].as_str().unwrap();
    work.call(&format!("DELETE /v1/sessions/{session}"), token, Value::Null).await;
}

async fn change_the_number_and_change_it_back(work: &mut Work, [phone, other]: [&str; 2]) {
    let owner = work.sign_in(phone).await;
    let token = owner["access_token"].as_str().unwrap();
    work.call("PATCH /v1/me", token, json!({"username": "mover"})).await;
    for number in [other, phone] {
        work.world.advance(31);
        work.call("POST /v1/phone/otp/send", token, json!({"phone_number": number, "change": true})).await;
        let code = work.world.code(number).await;
        let proof = json!({"phone_number": number, "otp": code, "username": "mover"});
        work.call("POST /v1/phone/otp/validate", token, proof).await;
    }
}

/// A device without the old number asks for one whose holder has not proven it for long, and gets it. Before, it cancels a
/// request for a third one, and afterwards it returns to its former number in the same way.
async fn wait_for_a_number_of_somebody_who_is_gone(work: &mut Work, [phone, taken, third]: [&str; 3]) {
    work.sign_in(taken).await;
    work.world.advance(86_400);
    let device = Device::new();
    let code = work.send(phone).await;
    let bound = work.world.submit(phone, &code).proven_by(&device).send().await.ok();
    let token = bound["access_token"].as_str().unwrap();
    work.call("PATCH /v1/me", token, json!({"username": "waiting"})).await;
    for number in [third, taken, phone] {
        work.world.advance(3 * 86_400);
        let refresh = work.world.post("/v1/session/refresh", json!({"refresh_token": bound["refresh_token"]}));
        let access = refresh.proven_by(&device).send().await.text("access_token");
        let send = work.world.post("/v1/phone/otp/send", json!({"phone_number": number, "change": true}));
        send.bearer(&access).proven_by(&device).send().await.ok();
        let proof = json!({"phone_number": number, "otp": work.world.code(number).await, "username": "waiting"});
        work.call("POST /v1/phone/otp/validate", &access, proof).await;
        if number == third {
            work.call("POST /v1/phone/change/cancel", &access, Value::Null).await;
        } else {
            work.world.advance(3 * 86_400);
            work.invoke("DueFunction", json!({})).await;
        }
    }
}

/// Least privilege: without any of its permissions a function would fail, and it has none that it does not use.
#[tokio::test]
async fn a_policy_allows_exactly_the_requests_that_its_function_makes() {
    let google = Google::serving("max-age=19204").await;
    let variables = [&google.variables()[..], &[("PHONE_DORMANT_DAYS", "1"), ("UNDO_HOURS", "720")]].concat();
    let world = World::publishing(&variables).await;
    let mut work = Work { world, done: BTreeMap::new() };
    let [phone, other_phone] = ["+9779841000001", "+9779841000002"];
    // What the start read has expired by then, so the functions read it again.
    work.world.advance(600);

    let code = work.send(phone).await;
    let mut submit = sample::request("POST /v1/otp/submit", None, Some(json!({"phone_number": phone, "otp": code})));
    submit["headers"]["idempotency-key"] = json!("a-key-of-this-submission");
    let first = work.invoke("SubmitOtpFunction", submit.clone()).await;
    let again = work.invoke("SubmitOtpFunction", submit).await;
    assert_eq!((&first["is_new_user"], &first["user"]), (&json!(true), &again["user"]));
    work.world.advance(600);
    let known = work.sign_in(phone).await;
    assert_eq!(known["is_new_user"], json!(false));
    work.world.advance(600);
    let code = work.send(phone).await;
    // A refresh token, as a second signal, makes it read the keys.
    let alone = json!({
        "phone_number": phone, "otp": code, "sign_out_others": true, "fcm_token": "of-an-earlier-device",
        "refresh_token": known["refresh_token"],
    });
    work.call("POST /v1/otp/submit", "", alone).await;
    work.world.advance(600);
    let known = work.sign_in(phone).await;

    let claims = claims(&work.world, phone);
    let token = Key::of_google().sign(&header(), &claims);
    let by_firebase = work.call("POST /v1/otp/submit", "", json!({"firebase_id_token": token})).await;
    assert_eq!(by_firebase["user"]["user_id"], known["user"]["user_id"]);

    let token = known["access_token"].as_str().unwrap().to_owned();
    let sessions = work.call("GET /v1/sessions", &token, Value::Null).await;
    let is_current = |session: &&Value| session["current"] == json!(true);
    let earlier = sessions["sessions"].as_array().unwrap().iter().rfind(|session| !is_current(session)).unwrap();
    let earlier = earlier["session_id"].as_str().unwrap();
    work.call(&format!("DELETE /v1/sessions/{earlier}"), &token, Value::Null).await;
    work.call("POST /v1/session/refresh", "", json!({"refresh_token": known["refresh_token"]})).await;
    end_a_session_with_a_device_key(&mut work, "+9779841000007").await;
    change_the_number_and_change_it_back(&mut work, ["+9779841000008", "+9779841000009"]).await;

    for username in ["first-name", "second-name"] {
        work.call("PATCH /v1/me", &token, json!({"username": username})).await;
    }
    work.call("PUT /v1/me/fcm-token", &token, json!({"fcm_token": "a-token-of-this-device"})).await;
    work.call("GET /v1/me", &token, Value::Null).await;
    let change = json!({"phone_number": other_phone, "change": true});
    work.call("POST /v1/phone/otp/send", &token, change).await;
    let code = work.world.code(other_phone).await;
    let proof = json!({"phone_number": other_phone, "otp": code, "username": "second-name"});
    work.call("POST /v1/phone/otp/validate", &token, proof).await;
    work.invoke("AuthorizerFunction", sample::authorization(&token)).await;
    work.world.advance(600);
    let code = work.send(phone).await;
    let undo = json!({"phone_number": phone, "otp": code});
    let returned = work.call("POST /v1/phone/change/undo", "", undo).await;
    let token = returned["access_token"].as_str().unwrap().to_owned();
    work.call("DELETE /v1/me", &token, Value::Null).await;
    // A refusal reads the user, to tell a deleted account from a revoked session.
    work.answer("AuthorizerFunction", sample::authorization(&token)).await;
    let refused = sample::request("POST /v1/phone/otp/send", Some(&token), Some(json!({"phone_number": phone})));
    assert_eq!(work.answer("SendOtpFunction", refused).await["statusCode"], json!(403));
    let proof = json!({"phone_number": phone, "otp": "000000", "username": "second-name"});
    let refused = sample::request("POST /v1/phone/otp/validate", Some(&token), Some(proof));
    assert_eq!(work.answer("ValidateOtpFunction", refused).await["statusCode"], json!(403));

    for (route, phone) in [("DELETE /v1/session", "+9779841000003"), ("DELETE /v1/sessions", "+9779841000004")] {
        let again = work.sign_in(phone).await;
        work.call(route, again["access_token"].as_str().unwrap(), Value::Null).await;
    }
    work.world.fault("sparrow", "refuse", 1).await;
    work.world.fault("sns", "refuse", 1).await;
    work.refused("POST /v1/otp/send", json!({"phone_number": "+9779841000005"}), 503).await;
    ask_an_unregistered_device(&mut work, "+9779841000006").await;
    for route in ["GET /.well-known/jwks.json", "GET /.well-known/openid-configuration"] {
        work.call(route, "", Value::Null).await;
    }
    work.record("NotifyFunction", async |world| world.system.deliver_streams().await).await;
    tell_an_unregistered_device(&mut work, "+9779841000010").await;
    wait_for_a_number_of_somebody_who_is_gone(&mut work, ["+9779841000011", "+9779841000012", "+9779841000013"]).await;
    work.answer("PublishFunction", sample::read("publish/full-counter.json")).await;
    for secret in ["SigningKeySecret", "CodeKeySecret"] {
        let rotation = json!({"SecretId": secret});
        work.record("RotateKeysFunction", async |world| world.secrets_manager("RotateSecret", rotation).await).await;
    }

    for function in functions().iter().map(|name| logical_id(name)) {
        assert_eq!(work.done[&function], allowed_by_kind(&function, "dynamodb:"), "{function}");
    }
}
