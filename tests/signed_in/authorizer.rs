//! Which callers pass the guard of every guarded route, and the authorizer as API Gateway calls it for any API.

use serde_json::{Value, json};
use tests::{Call, Person, Reply, World, assert_refused, with};

use crate::tokens::{Key, claims, foreign_key, header, own_key, session_id, signed, symmetric, unsigned};
use crate::{OTHER, PHONE, delete, signed_in};

const DEVICE: &str = "/v1/sessions/ses_00000000000000000000000000";

/// Every guarded route, each with a well-formed body.
fn guarded() -> [(&'static str, &'static str, Value); 11] {
    let phone = json!({"phone_number": "+9779841000009"});
    let proof = json!({"phone_number": "+9779841000009", "otp": "123456", "username": "sita"});
    [
        ("POST", "/v1/phone/otp/send", phone),
        ("POST", "/v1/phone/otp/validate", proof),
        ("GET", "/v1/sessions", Value::Null),
        ("DELETE", "/v1/sessions", Value::Null),
        ("DELETE", DEVICE, Value::Null),
        ("DELETE", "/v1/session", Value::Null),
        ("GET", "/v1/me", Value::Null),
        ("PATCH", "/v1/me", json!({"name": "Sita"})),
        ("DELETE", "/v1/me", Value::Null),
        ("PUT", "/v1/me/fcm-token", json!({"fcm_token": "the:token"})),
        ("POST", "/v1/me/sign-in-approval", json!({"challenge_id": "chl_00000000000000000000000000"})),
    ]
}

/// Calls every guarded route; returns each reply with its route.
async fn call_everywhere(world: &World, prepare: impl Fn(Call<'_>) -> Call<'_>) -> Vec<(String, Reply)> {
    let mut replies = Vec::new();
    for (method, path, body) in guarded() {
        let call = world.call(method, path);
        let call = if body.is_null() { call } else { call.json(body) };
        replies.push((format!("{method} {path}"), prepare(call).send().await));
    }
    replies
}

/// Panics unless every guarded route answers with the same problem and the same `WWW-Authenticate`.
async fn assert_everywhere(
    world: &World,
    prepare: impl Fn(Call<'_>) -> Call<'_>,
    (status, code, challenge): (u16, &str, Option<&str>),
) {
    for (route, reply) in call_everywhere(world, prepare).await {
        assert_eq!(reply.problem(), (status, code), "{route}");
        assert_eq!(reply.body["type"], format!("urn:latchkey:problem:{code}"), "{route}");
        assert_eq!(reply.headers["content-type"], "application/problem+json", "{route}");
        assert_eq!(reply.headers.get("www-authenticate").map(String::as_str), challenge, "{route}");
    }
}

fn invalid_token(description: &str) -> String {
    format!(r#"Bearer realm="latchkey", error="invalid_token", error_description="{description}""#)
}

/// Variants of `token`, each with one fault.
pub fn forgeries(token: &str, own: &Key) -> Vec<(&'static str, String)> {
    let (head, payload) = (header(token), claims(token));
    let foreign = foreign_key();
    let parts: Vec<&str> = token.split('.').collect();
    let other_head = |changes: Value| signed(&with(&head, changes), &payload, own);
    let other_claims = |changes: Value| signed(&head, &with(&payload, changes), own);
    let somebody = with(&payload, json!({"sub": "usr_00000000000000000000000000"}));
    let foreign_jwk = json!({"kty": "EC", "crv": "P-256", "x": foreign.x, "y": foreign.y});
    let point = [vec![4], decoded(&own.x), decoded(&own.y)].concat();
    let jwk =
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": head["kid"], "x": own.x, "y": own.y});
    let hs256 = with(&head, json!({"alg": "HS256"}));
    let encoded = |claims: &Value| unsigned(&head, claims).split('.').nth(1).unwrap().to_owned();
    let none = |alg: &str| with(&head, json!({"alg": alg}));
    vec![
        ("garbage", "not-a-token".to_owned()),
        ("three words", "a.b.c".to_owned()),
        ("an altered payload", format!("{}.{}.{}", parts[0], encoded(&somebody), parts[2])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("no third part", format!("{}.{}", parts[0], parts[1])),
        ("a signature of zeros", format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86))),
        ("alg none", format!("{}.", unsigned(&none("none"), &payload))),
        ("alg None, with the signature", format!("{}.{}", unsigned(&none("None"), &payload), parts[2])),
        ("alg ES384", other_head(json!({"alg": "ES384"}))),
        ("HS256 with the public point", symmetric(&hs256, &payload, &point)),
        (
            "HS256 with the public point in base64url",
            symmetric(&hs256, &payload, format!("{}{}", own.x, own.y).as_bytes()),
        ),
        ("HS256 with the published key as JSON", symmetric(&hs256, &payload, jwk.to_string().as_bytes())),
        ("a foreign key under our key id", signed(&head, &payload, &foreign)),
        ("a foreign key in the token's header", signed(&with(&head, json!({"jwk": foreign_jwk})), &payload, &foreign)),
        ("an unknown kid", other_head(json!({"kid": "key_00000000000000000000000000"}))),
        ("no kid", other_head(json!({"kid": null}))),
        ("no typ", other_head(json!({"typ": null}))),
        ("another typ", other_head(json!({"typ": "JWT"}))),
        ("an unknown critical header", other_head(json!({"crit": ["b64"], "b64": true}))),
        ("another issuer", other_claims(json!({"iss": "https://auth.example.com"}))),
        ("no expiry", other_claims(json!({"exp": null}))),
        ("not yet valid", other_claims(json!({"nbf": payload["nbf"].as_i64().unwrap() + 3600}))),
        ("no user", other_claims(json!({"sub": null}))),
        ("no session", other_claims(json!({"sid": null}))),
        ("no organization", other_claims(json!({"org": null}))),
        ("a session of another form", other_claims(json!({"sid": "1"}))),
        ("too long", other_claims(json!({"padding": "x".repeat(9_000)}))),
    ]
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

// Every guarded route.

#[tokio::test]
async fn without_a_token_every_guarded_route_asks_for_one() {
    let world = World::new().await;
    let bare = (401, "token_required", Some(r#"Bearer realm="latchkey""#));
    assert_everywhere(&world, |call| call, bare).await;
    for authorization in ["Bearer", "Bearer ", "Basic c2l0YTpzZWNyZXQ=", "sita"] {
        assert_everywhere(&world, |call| call.header("authorization", authorization), bare).await;
    }
    let reply = world.call("GET", "/v1/me").send().await;
    assert_refused(&reply, "token_required", json!({}));
}

#[tokio::test]
async fn no_forgery_passes_any_guarded_route_and_none_costs_a_read() {
    let (world, person) = signed_in().await;
    let own = own_key(&world).await;
    let challenge = invalid_token("the token is not valid");
    world.system.reset_dynamodb_requests();
    for (what, token) in forgeries(&person.access, &own) {
        world.keep_secret(&token);
        for (route, reply) in call_everywhere(&world, |call| call.bearer(&token)).await {
            assert_eq!(reply.problem(), (401, "token_invalid"), "{what}: {route}");
            assert_eq!(reply.headers["www-authenticate"], challenge, "{what}: {route}");
        }
    }
    assert_eq!(world.system.dynamodb_requests().len(), 0, "{:?}", world.system.dynamodb_requests());
    // Whether an organization has this audience is known only to its settings.
    let elsewhere = with(&claims(&person.access), json!({"aud": "elsewhere"}));
    let elsewhere = signed(&header(&person.access), &elsewhere, &own);
    assert_everywhere(&world, |call| call.bearer(&elsewhere), (401, "token_invalid", Some(&challenge))).await;
    // The forgeries are valid but for their one fault: the same token with the right signature passes.
    let same = signed(&header(&person.access), &claims(&person.access), &own);
    world.me(&Person { access: same, ..person }).await;
}

#[tokio::test]
async fn a_token_is_refused_everywhere_from_the_second_it_expires() {
    let (world, person) = signed_in().await;
    world.advance(900 - 60);
    world.me(&person).await;
    world.advance(61);
    let challenge = invalid_token("the token expired");
    world.system.reset_dynamodb_requests();
    assert_everywhere(&world, |call| call.as_person(&person), (401, "token_expired", Some(&challenge))).await;
    assert!(world.system.dynamodb_requests().iter().all(|request| !request.tables.contains(&"SessionsTable".into())));
}

#[tokio::test]
async fn a_token_of_a_revoked_session_is_refused_everywhere() {
    let (world, person) = signed_in().await;
    delete(&world, &person, "/v1/session").await;
    let challenge = invalid_token("the session was revoked");
    assert_everywhere(&world, |call| call.as_person(&person), (401, "session_revoked", Some(&challenge))).await;
}

#[tokio::test]
async fn a_missing_token_is_reported_before_a_malformed_body() {
    let world = World::new().await;
    for (method, path, _) in guarded() {
        let call = world.call(method, path).bytes("application/json", b"{".to_vec());
        call.send().await.assert_problem(401, "token_required");
    }
}

#[tokio::test]
async fn the_authorization_scheme_is_case_insensitive() {
    let (world, person) = signed_in().await;
    for scheme in ["bearer", "BEARER"] {
        let call = world.call("GET", "/v1/me").header("authorization", &format!("{scheme} {}", person.access));
        call.send().await.ok();
    }
}

// The authorizer, as an HTTP API calls it.

/// What an event for the authorizer and one for a function behind it have in common.
fn event(route: &str, headers: Value) -> Value {
    let (method, path) = route.split_once(' ').unwrap_or(("GET", "/"));
    json!({
        "version": "2.0", "routeKey": route, "rawPath": path, "rawQueryString": "", "headers": headers,
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example.com", "domainPrefix": "api",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.1", "userAgent": ""},
            "requestId": "request", "routeKey": route, "stage": "$default", "time": "21/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1_795_255_200_000_i64,
        },
    })
}

async fn authorize(world: &World, route: &str, variables: Value, headers: Value) -> Result<Value, String> {
    let mut event = event(route, headers);
    let http = &event["requestContext"]["http"];
    let method_and_path = format!("{}{}", http["method"].as_str().unwrap(), http["path"].as_str().unwrap());
    event["routeArn"] = json!(format!("arn:aws:execute-api:us-east-1:123456789012:api/$default/{method_and_path}"));
    event["type"] = json!("REQUEST");
    event["stageVariables"] = variables;
    world.system.invoke("AuthorizerFunction", event).await
}

fn explain() -> Value {
    json!({"LatchkeyRefusals": "explain"})
}

fn bearer(token: &str) -> Value {
    json!({"authorization": format!("Bearer {token}")})
}

fn authorized(person: &Person) -> Value {
    json!({"isAuthorized": true, "context": {
        "user_id": person.user_id, "session_id": session_id(&person.access), "fresh": claims(&person.access)["fresh"],
        "organization_id": "default", "roles": r#"{"default":["default"]}"#,
    }})
}

fn denied() -> Value {
    json!({"isAuthorized": false, "context": {}})
}

fn passed_on(refusal: &str) -> Value {
    json!({"isAuthorized": true, "context": {"refusal": refusal}})
}

#[tokio::test]
async fn a_valid_token_is_authorized_on_any_route_and_identifies_the_caller() {
    let (world, person) = signed_in().await;
    for (route, variables) in
        [("GET /v1/me", explain()), ("GET /v1/me", Value::Null), ("GET /orders", Value::Null), ("$default", json!({}))]
    {
        let answer = authorize(&world, route, variables, bearer(&person.access)).await.unwrap();
        assert_eq!(answer, authorized(&person));
        assert_eq!(answer["context"]["fresh"], true);
    }
    let later = world.refreshed(&person).await;
    let answer = authorize(&world, "GET /orders", Value::Null, bearer(&later.access)).await.unwrap();
    assert_eq!(answer, authorized(&later));
    assert_eq!(answer["context"]["fresh"], false);
}

#[tokio::test]
async fn the_name_of_the_authorization_header_is_case_insensitive() {
    let (world, person) = signed_in().await;
    for name in ["authorization", "Authorization", "AUTHORIZATION"] {
        let headers = json!({name: format!("Bearer {}", person.access)});
        assert_eq!(authorize(&world, "GET /orders", Value::Null, headers).await.unwrap(), authorized(&person));
    }
}

#[tokio::test]
async fn a_refusal_is_passed_on_to_our_own_routes_and_denies_every_other() {
    let world = World::new().await;
    let (expired, revoked) = (world.sign_in(PHONE).await, world.sign_in(OTHER).await);
    world.advance(900);
    let revoked = Person { access: world.refresh(&revoked.refresh).await.text("access_token"), ..revoked };
    delete(&world, &revoked, "/v1/session").await;
    let refusals = [
        ("token_required", json!({})),
        ("token_invalid", bearer("not-a-token")),
        ("token_expired", bearer(&expired.access)),
        ("session_revoked", bearer(&revoked.access)),
    ];
    for (refusal, headers) in refusals {
        for (method, path, _) in guarded() {
            let route = format!("{method} {}", if path == DEVICE { "/v1/sessions/{session_id}" } else { path });
            let authorize = |variables| authorize(&world, &route, variables, headers.clone());
            assert_eq!(authorize(explain()).await.unwrap(), passed_on(refusal), "{route}");
            for variables in [Value::Null, json!({}), json!({"LatchkeyRefusals": "deny"}), json!({"Other": "explain"})]
            {
                assert_eq!(authorize(variables.clone()).await.unwrap(), denied(), "{route} {variables}");
            }
        }
        for route in ["GET /orders", "$default", "POST /v1/me", "GET /v1/me/", "POST /v1/otp/send", "ANY /{proxy+}"] {
            for variables in [Value::Null, explain()] {
                assert_eq!(authorize(&world, route, variables, headers.clone()).await.unwrap(), denied(), "{route}");
            }
        }
    }
}

#[tokio::test]
async fn the_authorizer_denies_every_forgery() {
    let (world, person) = signed_in().await;
    for (what, token) in forgeries(&person.access, &own_key(&world).await) {
        assert_eq!(authorize(&world, "GET /orders", Value::Null, bearer(&token)).await.unwrap(), denied(), "{what}");
    }
}

#[tokio::test]
async fn the_authorizer_reads_the_session_and_nothing_else() {
    let (world, person) = signed_in().await;
    world.system.reset_dynamodb_requests();
    authorize(&world, "GET /orders", Value::Null, bearer(&person.access)).await.unwrap();
    let requests = world.system.dynamodb_requests();
    let requests: Vec<_> = requests.iter().map(|it| (it.operation.as_str(), it.tables.join(","))).collect();
    assert_eq!(requests, [("GetItem", "SessionsTable".to_owned())]);
}

#[tokio::test]
async fn while_the_store_is_down_callers_get_service_unavailable_and_no_401() {
    let (world, person) = signed_in().await;
    let unreachable_store = || world.fault("dynamodb", "error", 3);
    unreachable_store().await;
    let own = authorize(&world, "GET /v1/me", explain(), bearer(&person.access)).await;
    assert_eq!(own.unwrap(), passed_on("service_unavailable"));
    unreachable_store().await;
    assert!(authorize(&world, "GET /orders", Value::Null, bearer(&person.access)).await.is_err());
    unreachable_store().await;
    let reply = world.call("GET", "/v1/me").as_person(&person).send().await;
    reply.assert_problem(503, "service_unavailable");
    assert_eq!(reply.headers["retry-after"], reply.number("retry_after").to_string());
    world.me(&person).await;
}

// The authorizer, as a REST API calls it.

const METHOD_ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:api/live/GET/orders";

/// An event with these headers, each of which has several values.
fn rest_event(headers: Value) -> Value {
    let last = |values: &Value| values.as_array().unwrap().last().unwrap().clone();
    let single: Value = headers.as_object().unwrap().iter().map(|(name, all)| (name.clone(), last(all))).collect();
    json!({
        "type": "REQUEST", "methodArn": METHOD_ARN, "resource": "/orders", "path": "/orders", "httpMethod": "GET",
        "headers": single, "multiValueHeaders": headers, "stageVariables": null,
        "requestContext": {"path": "/live/orders", "stage": "live", "resourcePath": "/orders", "httpMethod": "GET"},
    })
}

async fn ask(world: &World, event: Value) -> Result<Value, String> {
    world.system.invoke("AuthorizerFunction", event).await
}

fn policy(effect: &str, principal: &str, context: Value) -> Value {
    let statement = json!({"Action": "execute-api:Invoke", "Effect": effect, "Resource": METHOD_ARN});
    json!({
        "principalId": principal, "context": context,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    })
}

fn denying() -> Value {
    policy("Deny", "nobody", json!({}))
}

#[tokio::test]
async fn a_rest_api_gets_a_policy_for_the_called_method_and_the_same_context() {
    let (world, person) = signed_in().await;
    let expected = policy("Allow", &person.user_id, authorized(&person)["context"].clone());
    for name in ["Authorization", "authorization", "AUTHORIZATION"] {
        let event = rest_event(json!({name: [format!("Bearer {}", person.access)]}));
        assert_eq!(ask(&world, event.clone()).await.unwrap(), expected);
        assert_eq!(ask(&world, with(&event, json!({"multiValueHeaders": null}))).await.unwrap(), expected);
        // As an HTTP API asks whose authorizer has payload format 1.0.
        assert_eq!(ask(&world, with(&event, json!({"version": "1.0"}))).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_rest_api_gets_a_denial_whatever_its_route_and_stage_variables_are() {
    let (world, person) = signed_in().await;
    let own = json!({"path": "/v1/me", "resource": "/v1/me", "routeKey": "GET /v1/me", "stageVariables": explain()});
    assert_eq!(ask(&world, rest_event(json!({}))).await.unwrap(), denying());
    for (what, token) in forgeries(&person.access, &own_key(&world).await) {
        let event = rest_event(json!({"Authorization": [format!("Bearer {token}")]}));
        assert_eq!(ask(&world, with(&event, own.clone())).await.unwrap(), denying(), "{what}");
    }
    delete(&world, &person, "/v1/session").await;
    let event = rest_event(json!({"Authorization": [format!("Bearer {}", person.access)]}));
    assert_eq!(ask(&world, with(&event, own)).await.unwrap(), denying());
}

#[tokio::test]
async fn a_request_that_repeats_the_authorization_header_is_denied() {
    let (world, person) = signed_in().await;
    let good = format!("Bearer {}", person.access);
    for values in [[&*good, "Bearer not-a-token"], ["Bearer not-a-token", &*good], [&*good, &*good]] {
        assert_eq!(ask(&world, rest_event(json!({"Authorization": values}))).await.unwrap(), denying());
        let joined = json!({"authorization": values.join(",")});
        assert_eq!(authorize(&world, "GET /orders", Value::Null, joined).await.unwrap(), denied());
    }
}

#[tokio::test]
async fn while_the_store_is_down_a_rest_api_gets_an_error_and_no_denial() {
    let (world, person) = signed_in().await;
    world.fault("dynamodb", "error", 3).await;
    let event = rest_event(json!({"Authorization": [format!("Bearer {}", person.access)]}));
    assert!(ask(&world, event.clone()).await.is_err());
    assert!(ask(&world, event).await.is_ok());
}

// A guarded function that is invoked with any authorizer context, or none.

/// Status, and the user's id or the problem's code.
async fn account(world: &World, authorization: Option<&str>, authorizer: Option<Value>) -> (i64, Value) {
    let headers = authorization.map_or(json!({}), |authorization| json!({"Authorization": authorization}));
    let mut event = event("GET /v1/me", headers);
    event["isBase64Encoded"] = json!(false);
    if let Some(authorizer) = authorizer {
        event["requestContext"]["authorizer"] = authorizer;
    }
    let answer = world.system.invoke("AccountFunction", event).await.unwrap();
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let what = if answer["statusCode"] == 200 { body["user_id"].clone() } else { body["code"].clone() };
    (answer["statusCode"].as_i64().unwrap(), what)
}

#[tokio::test]
async fn a_session_that_ended_by_age_registers_no_fcm_token() {
    let (world, person) = signed_in().await;
    world.advance(31 * 86_400);
    let mut event = event("PUT /v1/me/fcm-token", json!({"FCM-TOKEN": "the:token"}));
    event["isBase64Encoded"] = json!(false);
    let caller = json!({
        "user_id": person.user_id, "session_id": session_id(&person.access), "organization_id": "default", "fresh": false,
    });
    event["requestContext"]["authorizer"] = json!({"lambda": caller});
    let answer = world.system.invoke("AccountFunction", event).await.unwrap();
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!((&answer["statusCode"], &body["code"]), (&json!(401), &json!("session_revoked")));
    assert_eq!(world.items("SessionsTable").await[0].get("fcm_token_at"), None);
}

#[tokio::test]
async fn a_function_without_an_authorizer_context_checks_the_token_itself() {
    let (world, person) = signed_in().await;
    let valid = format!("Bearer {}", person.access);
    let own = own_key(&world).await;
    for no_context in
        [None, Some(Value::Null), Some(json!({})), Some(json!({"lambda": {}})), Some(json!({"lambda": null}))]
    {
        let account = async |it: Option<String>| account(&world, it.as_deref(), no_context.clone()).await;
        assert_eq!(account(Some(valid.clone())).await, (200, json!(person.user_id)));
        assert_eq!(account(None).await, (401, json!("token_required")));
        for (what, token) in forgeries(&person.access, &own) {
            assert_eq!(account(Some(format!("Bearer {token}"))).await, (401, json!("token_invalid")), "{what}");
        }
    }
    delete(&world, &person, "/v1/session").await;
    assert_eq!(account(&world, Some(&valid), None).await, (401, json!("session_revoked")));
}

#[tokio::test]
async fn an_incomplete_context_or_one_of_another_kind_of_authorizer_identifies_nobody() {
    let (world, person) = signed_in().await;
    let whole = json!({
        "user_id": person.user_id, "session_id": session_id(&person.access), "organization_id": "default", "fresh": true,
    });
    let passes = json!({"lambda": whole});
    assert_eq!(account(&world, None, Some(passes)).await, (200, json!(person.user_id)));
    for authorizer in [
        json!({"lambda": with(&whole, json!({"user_id": null}))}),
        json!({"lambda": with(&whole, json!({"session_id": null}))}),
        json!({"lambda": with(&whole, json!({"organization_id": null}))}),
        json!({"lambda": with(&whole, json!({"user_id": "1"}))}),
        json!({"lambda": with(&whole, json!({"user_id": 1}))}),
        json!({"jwt": {"claims": {"sub": person.user_id}, "scopes": null}}),
        json!({"iam": {"accountId": "123456789012", "userId": person.user_id}}),
        json!({"user_id": person.user_id, "session_id": session_id(&person.access)}),
    ] {
        assert_eq!(account(&world, None, Some(authorizer.clone())).await.0, 401, "{authorizer}");
    }
}

#[tokio::test]
async fn a_refusal_by_the_authorizer_stands_even_if_the_token_is_valid() {
    let (world, person) = signed_in().await;
    let valid = format!("Bearer {}", person.access);
    let known = json!({"user_id": person.user_id, "session_id": session_id(&person.access), "fresh": true});
    for refusal in ["token_required", "token_invalid", "token_expired", "session_revoked"] {
        for context in [json!({"refusal": refusal}), with(&known, json!({"refusal": refusal}))] {
            let answer = account(&world, Some(&valid), Some(json!({"lambda": context}))).await;
            assert_eq!(answer, (401, json!(refusal)));
        }
    }
    let unknown = json!({"lambda": {"refusal": "something_new"}});
    assert_eq!(account(&world, Some(&valid), Some(unknown)).await, (503, json!("service_unavailable")));
}
