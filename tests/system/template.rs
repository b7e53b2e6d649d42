//! The resources of `template.yaml` beside routes and policies: timeouts and tables.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use adapters::app::WARM_UP_TIME;
use adapters::config::{OPERATION_TIMEOUT, TRANSACTION_TIMEOUT};
use serde_json::{Value, json};

use crate::workspace::{called_by, functions, list, logical_id, resource, resources, template};

/// API Gateway gives up on a function after 30 seconds
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
const API_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn the_timeout_of_a_send_leaves_time_for_every_gateway_and_a_slow_database() {
    // Reads of the organization and of the counters, and the reservation. If no gateway accepts, its return takes a few
    // milliseconds, or what is left.
    let database = OPERATION_TIMEOUT * 2 + TRANSACTION_TIMEOUT;
    let needed = adapters::sms::SENDING_TIME + database;
    let timeout = Duration::from_secs(resource("SendOtpFunction")["Properties"]["Timeout"].as_u64().unwrap());
    assert!(needed < timeout && timeout < API_TIMEOUT, "{needed:?} {timeout:?}");
    // The warm-up of a cold start is not in the function's time, but in that of API Gateway.
    assert!(WARM_UP_TIME + needed < API_TIMEOUT, "{needed:?}");
    let pattern = template()["Parameters"]["GatewayTimeoutMilliseconds"]["AllowedPattern"].as_str().unwrap();
    let most = pattern.rsplit_once('|').unwrap().1.trim_end_matches(")$");
    assert_eq!(most.parse::<u128>().unwrap(), adapters::sms::SENDING_TIME.as_millis());
}

#[test]
fn every_function_has_time_for_three_slow_operations_and_a_transaction_that_finishes_late() {
    let needed = (OPERATION_TIMEOUT * 3 + TRANSACTION_TIMEOUT).as_secs();
    let shared = &template()["Globals"]["Function"]["Timeout"];
    for function in functions() {
        let own = &resource(&logical_id(&function))["Properties"]["Timeout"];
        let timeout = own.as_u64().or(shared.as_u64()).unwrap();
        // Nobody waits for a notice, an event, or what is due.
        assert!(
            needed < timeout && (timeout < 30 || ["due", "notify", "publish"].contains(&function.as_str())),
            "{function}: {needed} {timeout}"
        );
    }
}

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>
#[test]
fn the_throttle_of_each_route_is_what_an_account_carries() {
    let api = &resource("Stage")["Properties"];
    let of_routes = api["RouteSettings"].as_object().unwrap().values();
    let default = |setting: &Value| &template()["Parameters"][setting["Ref"].as_str().unwrap()]["Default"];
    for settings in of_routes.chain([&api["DefaultRouteSettings"]]) {
        let [rate, burst] = ["ThrottlingRateLimit", "ThrottlingBurstLimit"].map(|name| default(&settings[name]));
        assert_eq!((rate, burst), (&json!(10_000), &json!(5_000)));
    }
}

#[test]
fn no_web_page_may_call_the_api_unless_its_origin_is_configured() {
    let is_configured = json!({"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": "AllowedOrigins"}]}, ""]}]});
    let parameter = &template()["Parameters"]["AllowedOrigins"];
    assert_eq!((&parameter["Type"], &parameter["Default"]), (&json!("CommaDelimitedList"), &json!("")));
    let cors = &resource("Api")["Properties"]["CorsConfiguration"]["Fn::If"];
    assert_eq!(template()["Conditions"][cors[0].as_str().unwrap()], is_configured);
    assert_eq!(cors[1]["AllowOrigins"], json!({"Ref": "AllowedOrigins"}));
    assert_eq!(cors[2], json!({"Ref": "AWS::NoValue"}));
}

/// API Gateway refuses a stage with settings of a route that it does not have.
#[test]
fn the_stage_is_made_after_the_routes_that_it_has_settings_for() {
    let stage = resource("Stage");
    let first = list(&stage["DependsOn"]);
    let routes: BTreeMap<&str, &str> = resources("AWS::ApiGatewayV2::Route")
        .map(|(id, route)| (route["Properties"]["RouteKey"].as_str().unwrap(), id))
        .collect();
    for key in stage["Properties"]["RouteSettings"].as_object().unwrap().keys() {
        assert!(first.contains(&&json!(routes[key.as_str()])), "{key}");
    }
    let permissions = first.iter().filter(|id| id.as_str().unwrap().ends_with("Permission"));
    assert_eq!(first.len() - permissions.count(), routes.len());
}

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging-variables.html>
#[test]
fn the_access_log_has_only_variables_of_http_apis() {
    let format = resource("Stage")["Properties"]["AccessLogSettings"]["Format"].as_str().unwrap();
    // Without those of other kinds of authorizers and of client certificates.
    let known = [
        "accountId",
        "apiId",
        "authorizer.error",
        "domainName",
        "domainPrefix",
        "error.message",
        "error.messageString",
        "error.responseType",
        "extendedRequestId",
        "httpMethod",
        "identity.sourceIp",
        "identity.userAgent",
        "integration.error",
        "integration.integrationStatus",
        "integration.latency",
        "integration.requestId",
        "integration.status",
        "integrationErrorMessage",
        "integrationLatency",
        "integrationStatus",
        "path",
        "protocol",
        "requestId",
        "requestTime",
        "requestTimeEpoch",
        "responseLatency",
        "responseLength",
        "routeKey",
        "stage",
        "status",
    ];
    for used in format.split("$context.").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(known.contains(&used), "{used}");
    }
    let line = format.replace("$context.", "");
    assert!(serde_json::from_str::<Value>(&line).unwrap().is_object());
}

/// API Gateway needs the right to call each function, and functions read events of version 2.0 only.
#[test]
fn the_api_may_call_the_function_of_each_integration() {
    let mut called = BTreeSet::from(["AuthorizerFunction"]);
    for (id, integration) in resources("AWS::ApiGatewayV2::Integration") {
        let properties = &integration["Properties"];
        let kind = (&properties["IntegrationType"], &properties["PayloadFormatVersion"]);
        assert_eq!(kind, (&json!("AWS_PROXY"), &json!("2.0")), "{id}");
        called.insert(called_by(&properties["IntegrationUri"]));
    }
    let allowed: BTreeMap<&str, &str> = resources("AWS::Lambda::Permission")
        .filter(|(_, permission)| permission["Properties"]["Principal"] == "apigateway.amazonaws.com")
        .map(|(_, permission)| {
            let properties = &permission["Properties"];
            assert_eq!(properties["Action"], "lambda:InvokeFunction");
            let source = properties["SourceArn"]["Fn::Sub"].as_str().unwrap();
            (properties["FunctionName"]["Ref"].as_str().unwrap().strip_suffix(".Alias").unwrap(), source)
        })
        .collect();
    let api = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/";
    for (function, source) in &allowed {
        let paths = if *function == "AuthorizerFunction" { "authorizers/${LatchkeyAuthorizer}" } else { "*" };
        assert_eq!(*source, format!("{api}{paths}"), "{function}");
    }
    assert_eq!(allowed.into_keys().collect::<BTreeSet<_>>(), called);
}

#[test]
fn the_authorizer_is_asked_for_each_request_and_answers_simply() {
    let path = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions";
    assert_eq!(
        resource("LatchkeyAuthorizer")["Properties"],
        json!({
            "ApiId": {"Ref": "Api"},
            "Name": "latchkey",
            "AuthorizerType": "REQUEST",
            "AuthorizerUri": {"Fn::Sub": format!("{path}/${{AuthorizerFunction.Arn}}:live/invocations")},
            "AuthorizerPayloadFormatVersion": "2.0",
            "EnableSimpleResponses": true,
            "IdentitySource": [],
            "AuthorizerResultTtlInSeconds": 0,
        })
    );
}

#[test]
fn the_stage_is_the_default_one_and_deploys_by_itself() {
    let stage = &resource("Stage")["Properties"];
    assert_eq!((&stage["StageName"], &stage["AutoDeploy"]), (&json!("$default"), &json!(true)));
    let text = crate::workspace::text("template.yaml");
    assert!(text.find("AWS::ApiGatewayV2::Api").unwrap() < text.find("AWS::Serverless::Function").unwrap());
}

/// DynamoDB and Secrets Manager use a key in the name of whoever calls them.
#[test]
fn every_function_may_use_the_key_of_the_operator_and_everything_stored_is_encrypted_with_it() {
    let key = json!({"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}]});
    for (kind, property) in [
        ("AWS::DynamoDB::Table", "/Properties/SSESpecification/KMSMasterKeyId"),
        ("AWS::SecretsManager::Secret", "/Properties/KmsKeyId"),
        ("AWS::Logs::LogGroup", "/Properties/KmsKeyId"),
    ] {
        for (id, resource) in resources(kind) {
            assert_eq!(resource.pointer(property), Some(&key), "{id}");
        }
    }
    let roles = list(&resource("KmsKeyPolicy")["Properties"]["Roles"]).into_iter();
    let role =
        |role: &Value| role.get("Fn::If").map_or(role, |branches| &branches[1])["Ref"].as_str().unwrap().to_owned();
    let roles: BTreeSet<String> = roles.map(role).collect();
    // The first rotation starts before that policy exists, so its function has the right by itself.
    let others = functions().into_iter().filter(|function| function != "rotate-keys");
    assert_eq!(roles, others.map(|function| format!("{}Role", logical_id(&function))).collect());
    let own =
        resource("RotateKeysFunction")["Properties"]["Policies"][0]["Statement"].as_array().unwrap().last().unwrap();
    let shared = &resource("KmsKeyPolicy")["Properties"]["PolicyDocument"]["Statement"][0];
    assert_eq!((&own["Fn::If"][0], &own["Fn::If"][1]["Action"]), (&json!("HasKmsKey"), &shared["Action"]));
}

/// A late line makes the group of a stack anew that was deleted or rolled back, and the next stack could not make it.
#[test]
fn no_log_group_has_a_name_that_another_stack_may_need() {
    let named: Vec<&str> = resources("AWS::Logs::LogGroup")
        .filter(|(_, group)| !group["Properties"]["LogGroupName"].is_null())
        .map(|(id, group)| {
            assert!(group["Properties"]["LogGroupName"].to_string().contains("AWS::StackId"), "{id}");
            id
        })
        .collect();
    assert_eq!(named, ["AccessLogGroup"]);
}

#[test]
fn functions_are_built_for_the_architecture_on_which_they_run() {
    let architectures = list(&template()["Globals"]["Function"]["Architectures"]);
    assert!([json!("arm64"), json!("x86_64")].contains(architectures[0]) && architectures.len() == 1);
    for function in functions() {
        assert_eq!(resource(&logical_id(&function))["Properties"].get("Architectures"), None, "{function}");
    }
}

#[test]
fn the_metrics_of_a_stack_have_a_namespace_of_their_own() {
    let namespace = &template()["Globals"]["Function"]["Environment"]["Variables"]["METRICS_NAMESPACE"];
    assert_eq!(namespace, &json!({"Fn::Sub": "Latchkey/${AWS::StackName}"}));
}

#[test]
fn users_notices_and_settings_outlive_the_stack_and_codes_and_sessions_expire() {
    for (table, outlives, expires_by) in [
        // Only usernames that were given up have that attribute.
        ("UsersTable", true, Some("kept_until")),
        // Of a change of number, the user says that it waits, and this table when it is due.
        ("NoticesTable", true, Some("expires_at")),
        ("SettingsTable", true, None),
        ("OtpsTable", false, Some("expires_at")),
        ("SessionsTable", false, Some("expires_at")),
    ] {
        let properties = &resource(table)["Properties"];
        assert_policies(table, outlives);
        let ttl = expires_by.map(|attribute| json!({"AttributeName": attribute, "Enabled": true}));
        assert_eq!(properties["TimeToLiveSpecification"], ttl.unwrap_or_default(), "{table}");
        assert_eq!(properties["SSESpecification"]["SSEEnabled"], json!(true), "{table}");
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{table}");
        if outlives {
            assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], json!(true));
            assert_eq!(properties["DeletionProtectionEnabled"], json!({"Ref": "DeletionProtection"}), "{table}");
        }
    }
    assert_eq!(resources("AWS::DynamoDB::Table").count(), 5);
}

/// An import may contain nothing but what it imports: no transform, and no outputs.
#[test]
fn tables_yaml_declares_the_tables_that_outlive_the_stack_and_nothing_else() {
    let import = crate::workspace::template_of("tables.yaml");
    let sections: Vec<_> = import.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(sections, ["AWSTemplateFormatVersion", "Conditions", "Description", "Parameters", "Resources"]);
    let outlive = resources("AWS::DynamoDB::Table").filter(|(_, table)| table["DeletionPolicy"] != "Delete");
    let mut expected = json!({});
    for (id, table) in outlive {
        expected[id] = table.clone();
        // The end of a failed import must not delete them.
        expected[id]["DeletionPolicy"] = json!("Retain");
    }
    assert_eq!(import["Resources"], expected);
    for (name, condition) in import["Conditions"].as_object().unwrap() {
        assert_eq!(template()["Conditions"][name], *condition, "{name}");
    }
    for (name, parameter) in import["Parameters"].as_object().unwrap() {
        assert_eq!(template()["Parameters"][name]["Default"], parameter["Default"], "{name}");
    }
}

/// The signing key is made anew.
#[test]
fn secrets_that_people_fill_in_and_the_keys_of_codes_and_events_outlive_the_stack() {
    for (secret, outlives) in [
        ("CodeKeySecret", true),
        ("EventKeySecret", true),
        ("GatewaySecret", true),
        ("PushSecret", true),
        ("SigningKeySecret", false),
    ] {
        assert_policies(secret, outlives);
    }
    assert_eq!(resources("AWS::SecretsManager::Secret").count(), 5);
}

/// A first creation that fails must leave nothing behind, or the next one finds it in its way.
fn assert_policies(id: &str, outlives: bool) {
    let expected = if outlives { ["RetainExceptOnCreate", "Retain"] } else { ["Delete", "Delete"] };
    for (policy, expected) in ["DeletionPolicy", "UpdateReplacePolicy"].into_iter().zip(expected) {
        assert_eq!(resource(id)[policy].as_str().unwrap_or("Delete"), expected, "{id}");
    }
}
