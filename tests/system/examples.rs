//! The stacks in `examples/`, whose routes are behind the authorizer. A stand-in for API Gateway reads each template, calls the
//! real authorizer as the template says, and reads its answer as that kind of API does.

use serde_json::{Map, Value, json};
use tests::device::{Device, digest};
use tests::{Person, World, person, with};

use crate::workspace::{list, template, template_of, text};

const PHONE: &str = "+9779841000001";
const HOST: &str = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com";
const ARN: &str = "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5";

/// The stack of a team, with one route.
struct Stack {
    template: Value,
    method: String,
    /// As the client sends it.
    path: String,
    route_key: String,
}

/// What the client gets, and with 200 what the function behind the route is told of the caller.
#[derive(Debug, PartialEq)]
enum Reply {
    Ok(Value),
    Refused(u16),
}

impl Stack {
    fn http_api() -> Self {
        let template = template_of("examples/http-api/template.yaml");
        let route_key = of_type(&template, "AWS::ApiGatewayV2::Route")["RouteKey"].as_str().unwrap().to_owned();
        let (method, path) =
            route_key.split_once(' ').map(|(method, path)| (method.to_owned(), path.to_owned())).unwrap();
        assert_eq!(of_type(&template, "AWS::ApiGatewayV2::Stage")["StageName"], "$default");
        Self { template, method, path, route_key }
    }

    fn rest_api() -> Self {
        let template = template_of("examples/rest-api/template.yaml");
        let method = of_type(&template, "AWS::ApiGateway::Method")["HttpMethod"].as_str().unwrap().to_owned();
        let part = of_type(&template, "AWS::ApiGateway::Resource")["PathPart"].as_str().unwrap();
        let stage = of_type(&template, "AWS::ApiGateway::Stage")["StageName"].as_str().unwrap();
        let (path, route_key) = (format!("/{stage}/{part}"), format!("{method} /{part}"));
        Self { template, method, path, route_key }
    }

    fn both() -> [Self; 2] {
        [Self::http_api(), Self::rest_api()]
    }

    fn is_http_api(&self) -> bool {
        types(&self.template).any(|(_, kind)| kind == "AWS::ApiGatewayV2::Api")
    }

    /// The properties of the authorizer.
    fn authorizer(&self) -> &Value {
        let kind = if self.is_http_api() { "AWS::ApiGatewayV2::Authorizer" } else { "AWS::ApiGateway::Authorizer" };
        of_type(&self.template, kind)
    }

    fn url(&self) -> String {
        format!("https://{HOST}{}", self.path)
    }

    /// A request with these headers.
    async fn call(&self, world: &World, headers: &[(&str, &str)]) -> Reply {
        if self
            .identity_sources()
            .iter()
            .any(|source| !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(source)))
        {
            return Reply::Refused(401);
        }
        let authorizer = self.authorizer();
        let event = if authorizer["AuthorizerPayloadFormatVersion"] == "2.0" {
            self.event_2_0(headers)
        } else {
            assert_eq!(authorizer["Type"], "REQUEST", "an authorizer of a type or a format that is not played here");
            self.event_of_rest_api(headers)
        };
        match world.system.invoke("AuthorizerFunction", event).await {
            Err(_) => Reply::Refused(500),
            Ok(answer) if authorizer["EnableSimpleResponses"] == true => simple(&answer),
            Ok(answer) => self.policy(&answer),
        }
    }

    /// The headers without which API Gateway does not call the authorizer.
    fn identity_sources(&self) -> Vec<String> {
        let sources = &self.authorizer()["IdentitySource"];
        let sources = list(sources).into_iter().filter_map(Value::as_str).flat_map(|text| text.split(','));
        sources.map(|source| source.trim().rsplit_once(".header.").unwrap().1.to_owned()).collect()
    }

    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html>
    fn event_2_0(&self, headers: &[(&str, &str)]) -> Value {
        let mut joined = Map::new();
        for (name, value) in transport().into_iter().chain(headers.iter().copied()) {
            let name = name.to_ascii_lowercase();
            let earlier =
                joined.get(&name).map(|earlier| format!("{},", earlier.as_str().unwrap())).unwrap_or_default();
            joined.insert(name, json!(format!("{earlier}{value}")));
        }
        json!({
            "version": "2.0", "type": "REQUEST", "routeArn": format!("{ARN}/$default/{}{}", self.method, self.path),
            "identitySource": null, "routeKey": self.route_key, "rawPath": self.path, "rawQueryString": "",
            "headers": joined,
            "requestContext": {
                "accountId": "123456789012", "apiId": "a1b2c3d4e5", "domainName": HOST, "domainPrefix": "a1b2c3d4e5",
                "http": {
                    "method": self.method, "path": self.path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.1",
                    "userAgent": "okhttp/5.3.2",
                },
                "requestId": "BDBm2vIQlSOnSQ0=", "routeKey": self.route_key, "stage": "$default",
                "time": "21/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_255_200_000_i64,
            },
        })
    }

    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html>
    fn event_of_rest_api(&self, headers: &[(&str, &str)]) -> Value {
        let (mut last, mut all) = (Map::new(), Map::new());
        for (name, value) in transport().into_iter().chain(headers.iter().copied()) {
            last.insert(name.to_owned(), json!(value));
            let values = all.entry(name).or_insert_with(|| json!([]));
            values.as_array_mut().unwrap().push(json!(value));
        }
        let (_, path) = self.route_key.split_once(' ').unwrap();
        let stage = self.path.split('/').nth(1).unwrap();
        json!({
            "type": "REQUEST", "methodArn": self.method_arn(), "resource": path, "path": path, "httpMethod": self.method,
            "headers": last, "multiValueHeaders": all, "queryStringParameters": {},
            "multiValueQueryStringParameters": {}, "pathParameters": {}, "stageVariables": {},
            "requestContext": {
                "resourceId": "2gxmpl", "resourcePath": path, "httpMethod": self.method, "path": self.path,
                "accountId": "123456789012", "protocol": "HTTP/1.1", "stage": stage, "domainPrefix": "a1b2c3d4e5",
                "requestId": "e8b2f9c4-3c1e-4d53-9c0b-1d6a4d3f7c55", "domainName": HOST, "apiId": "a1b2c3d4e5",
                "identity": {"sourceIp": "203.0.113.1", "userAgent": "okhttp/5.3.2", "apiKey": null},
            },
        })
    }

    fn method_arn(&self) -> String {
        let (_, path) = self.route_key.split_once(' ').unwrap();
        let stage = self.path.split('/').nth(1).unwrap();
        format!("{ARN}/{stage}/{}{path}", self.method)
    }

    /// Reads a policy. Its context may hold texts, numbers and booleans, and arrives as texts.
    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html>
    fn policy(&self, answer: &Value) -> Reply {
        let policy = &answer["policyDocument"];
        let (Some(principal), Some(statements), "2012-10-17") = (
            answer["principalId"].as_str(),
            policy["Statement"].as_array(),
            policy["Version"].as_str().unwrap_or_default(),
        ) else {
            return Reply::Refused(500);
        };
        let arn = self.method_arn();
        let effects = |wanted: &str| {
            let is_of_this = |it: &&Value| it["Action"] == "execute-api:Invoke" && it["Resource"] == arn.as_str();
            statements.iter().filter(is_of_this).any(|it| it["Effect"] == wanted)
        };
        if effects("Deny") || !effects("Allow") {
            return Reply::Refused(403);
        }
        let mut context = Map::from_iter([("principalId".to_owned(), json!(principal))]);
        for (name, value) in answer["context"].as_object().unwrap() {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                _ => return Reply::Refused(500),
            };
            context.insert(name.clone(), json!(text));
        }
        Reply::Ok(Value::Object(context))
    }
}

fn simple(answer: &Value) -> Reply {
    match answer["isAuthorized"].as_bool() {
        Some(true) => Reply::Ok(answer["context"].clone()),
        Some(false) => Reply::Refused(403),
        None => Reply::Refused(500),
    }
}

/// What API Gateway adds to a request's headers.
fn transport() -> [(&'static str, &'static str); 3] {
    [("Host", HOST), ("X-Forwarded-For", "203.0.113.1"), ("X-Forwarded-Proto", "https")]
}

fn types(template: &Value) -> impl Iterator<Item = (&String, &Value)> {
    template["Resources"].as_object().unwrap().iter().map(|(id, resource)| (id, &resource["Type"]))
}

/// The properties of the only resource of a type.
fn of_type<'a>(template: &'a Value, wanted: &str) -> &'a Value {
    let ids: Vec<_> = types(template).filter(|(_, kind)| *kind == wanted).map(|(id, _)| id).collect();
    assert_eq!(ids.len(), 1, "{wanted}");
    &template["Resources"][ids[0]]["Properties"]
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What the function behind the route is told of `person`, who signed in a moment ago.
fn context(stack: &Stack, person: &Person) -> Value {
    let session = tests::token::claims(&person.access)["sid"].clone();
    let context = with(&stored_context(), json!({"user_id": person.user_id, "session_id": session}));
    if stack.is_http_api() {
        return context;
    }
    with(&context, json!({"fresh": "true", "principalId": person.user_id}))
}

/// The context with which `tests/examples/stacks.py` calls the functions of the stacks.
fn stored_context() -> Value {
    serde_json::from_str(&text("tests/examples/context.json")).unwrap()
}

#[tokio::test]
async fn a_good_token_passes_each_stack_and_tells_its_function_who_calls() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    for stack in Stack::both() {
        let reply = stack.call(&world, &[("Authorization", &bearer(&person.access))]).await;
        assert_eq!(reply, Reply::Ok(context(&stack, &person)));
    }
}

#[tokio::test]
async fn each_stack_refuses_a_missing_a_wrong_an_expired_and_a_revoked_token() {
    let world = World::new().await;
    let (expired, revoked) = (world.sign_in(PHONE).await, world.sign_in("+9779841000002").await);
    world.advance(900);
    let revoked = world.refreshed(&revoked).await;
    let good = world.refreshed(&expired).await;
    for stack in Stack::both() {
        let call = async |token: &str| stack.call(&world, &[("Authorization", &bearer(token))]).await;
        assert_eq!(stack.call(&world, &[]).await, Reply::Refused(403));
        for wrong in ["", "not-a-token", &expired.access, &good.refresh] {
            assert_eq!(call(wrong).await, Reply::Refused(403));
        }
        assert!(matches!(call(&good.access).await, Reply::Ok(_)));
        assert!(matches!(call(&revoked.access).await, Reply::Ok(_)));
    }
    assert_eq!(world.call("DELETE", "/v1/session").as_person(&revoked).send().await.status, 204);
    for stack in Stack::both() {
        let reply = stack.call(&world, &[("Authorization", &bearer(&revoked.access))]).await;
        assert_eq!(reply, Reply::Refused(403));
    }
}

#[tokio::test]
async fn each_stack_answers_500_and_no_refusal_while_the_store_is_down() {
    let world = World::new().await;
    let person = world.sign_in(PHONE).await;
    for stack in Stack::both() {
        world.fault("dynamodb", "error", 3).await;
        let reply = stack.call(&world, &[("Authorization", &bearer(&person.access))]).await;
        assert_eq!(reply, Reply::Refused(500));
    }
}

#[tokio::test]
async fn a_bound_token_passes_each_stack_with_a_proof_for_the_url_that_the_client_called() {
    let world = World::with(&[("ACCESS_TOKEN_BINDING", "all")]).await;
    let device = Device::new();
    let code = world.send_code(PHONE).await.code;
    let person = person(PHONE, &world.submit(PHONE, &code).proven_by(&device).send().await);
    let authorization = format!("DPoP {}", person.access);
    let proof = |method: &str, url: &str| {
        let claims = json!({
            "jti": "e1j3V_bKic8-LAEB", "htm": method, "htu": url, "iat": world.now(), "ath": digest(&person.access),
        });
        device.sign(&device.header(), &claims)
    };
    for stack in Stack::both() {
        let good = proof("GET", &stack.url());
        let call = async |headers: &[(&str, &str)]| stack.call(&world, headers).await;
        let passes = call(&[("Authorization", &authorization), ("DPoP", &good)]).await;
        assert_eq!(passes, Reply::Ok(context(&stack, &person)));
        for wrong in [proof("POST", &stack.url()), proof("GET", &format!("https://{HOST}/others"))] {
            assert_eq!(call(&[("Authorization", &authorization), ("DPoP", &wrong)]).await, Reply::Refused(403));
        }
        let twice = [("Authorization", authorization.as_str()), ("DPoP", &good), ("DPoP", &good)];
        assert_eq!(call(&twice).await, Reply::Refused(403));
        assert_eq!(call(&[("Authorization", &authorization)]).await, Reply::Refused(403));
        assert_eq!(call(&[("Authorization", &bearer(&person.access)), ("DPoP", &good)]).await, Reply::Refused(403));
    }
}

#[test]
fn each_stack_asks_for_every_request_and_lets_only_its_own_authorizer_call_ours() {
    let [http_api, rest_api] = Stack::both();
    assert_eq!(http_api.authorizer()["AuthorizerType"], "REQUEST");
    for stack in [&http_api, &rest_api] {
        assert_eq!(stack.authorizer()["AuthorizerResultTtlInSeconds"], 0);
        assert_eq!(stack.identity_sources(), [""; 0]);
        let uri = stack.authorizer()["AuthorizerUri"]["Fn::Sub"].as_str().unwrap();
        assert!(uri.ends_with(":lambda:path/2015-03-31/functions/${AuthorizerArn}/invocations"), "{uri}");
        let permission = &stack.template["Resources"]["AuthorizerPermission"];
        let source =
            "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/authorizers/${Authorizer}";
        assert_eq!(permission["Type"], "AWS::Lambda::Permission");
        let expected = json!({
            "Action": "lambda:InvokeFunction", "FunctionName": {"Ref": "AuthorizerArn"},
            "Principal": "apigateway.amazonaws.com", "SourceArn": {"Fn::Sub": source},
        });
        assert_eq!(permission["Properties"], expected);
    }
    for route in [
        of_type(&http_api.template, "AWS::ApiGatewayV2::Route"),
        of_type(&rest_api.template, "AWS::ApiGateway::Method"),
    ] {
        assert_eq!(
            (&route["AuthorizationType"], &route["AuthorizerId"]),
            (&json!("CUSTOM"), &json!({"Ref": "Authorizer"}))
        );
    }
}

#[test]
fn the_parameter_of_each_stack_is_an_output_of_ours() {
    for stack in Stack::both() {
        let parameters: Vec<_> = stack.template["Parameters"].as_object().unwrap().keys().collect();
        assert_eq!(parameters, ["AuthorizerArn"]);
    }
    assert_eq!(template()["Outputs"]["AuthorizerArn"]["Value"], json!({"Ref": "AuthorizerFunction.Alias"}));
}
