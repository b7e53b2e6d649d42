//! The resources of `template.yaml` beside routes and policies: timeouts and tables.

use adapters::config::{OPERATION_TIMEOUT, TRANSACTION_TIMEOUT};
use serde_json::{Value, json};

use crate::workspace::{functions, logical_id, resource, template};

/// API Gateway gives up on a function after 30 seconds
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
#[test]
fn the_timeout_of_a_send_leaves_time_for_every_gateway_and_a_slow_database() {
    // Reads of the organization and of the counters, and the reservation. If no gateway accepts, its return takes a few
    // milliseconds, or what is left.
    let database = OPERATION_TIMEOUT * 2 + TRANSACTION_TIMEOUT;
    let needed = (adapters::sms::SENDING_TIME + database).as_secs();
    let timeout = resource("SendOtpFunction")["Properties"]["Timeout"].as_u64().unwrap();
    assert!(needed < timeout && timeout < 30, "{needed} {timeout}");
    let most = &template()["Parameters"]["GatewayTimeoutMilliseconds"]["MaxValue"];
    assert_eq!(u128::from(most.as_u64().unwrap()), adapters::sms::SENDING_TIME.as_millis());
}

#[test]
fn every_function_has_time_for_three_slow_operations_and_a_transaction_that_finishes_late() {
    let needed = (OPERATION_TIMEOUT * 3 + TRANSACTION_TIMEOUT).as_secs();
    let shared = &template()["Globals"]["Function"]["Timeout"];
    for function in functions() {
        let own = &resource(&logical_id(&function))["Properties"]["Timeout"];
        let timeout = own.as_u64().or(shared.as_u64()).unwrap();
        // Nobody waits for a notice, or for what is due.
        assert!(
            needed < timeout && (timeout < 30 || ["due", "notify"].contains(&function.as_str())),
            "{function}: {needed} {timeout}"
        );
    }
}

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html>
#[test]
fn the_throttle_of_each_route_is_what_an_account_carries() {
    let api = &resource("HttpApi")["Properties"];
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
    assert_eq!(template()["Parameters"]["AllowedOrigins"]["Default"], "");
    let cors = &resource("HttpApi")["Properties"]["CorsConfiguration"]["Fn::If"];
    let condition = cors[0].as_str().unwrap();
    assert_eq!(template()["Conditions"][condition], is_configured);
    assert!(!cors[1].as_object().unwrap().keys().any(|setting| condition.contains(setting)), "SAM would rename it");
    assert_eq!(cors[1]["AllowOrigins"], json!({"Ref": "AllowedOrigins"}));
    assert_eq!(cors[2], json!({"Ref": "AWS::NoValue"}));
}

#[test]
fn users_and_settings_outlive_the_stack_and_codes_and_sessions_expire() {
    for (table, outlives, expires_by, recovers) in [
        // Only usernames that were given up have that attribute.
        ("UsersTable", true, Some("kept_until"), true),
        ("SettingsTable", true, None, false),
        ("OtpsTable", false, Some("expires_at"), false),
        ("SessionsTable", false, Some("expires_at"), false),
        ("NoticesTable", false, Some("expires_at"), false),
    ] {
        let properties = &resource(table)["Properties"];
        for policy in ["DeletionPolicy", "UpdateReplacePolicy"] {
            assert_eq!(resource(table)[policy] == "Retain", outlives, "{table}");
        }
        let ttl = expires_by.map(|attribute| json!({"AttributeName": attribute, "Enabled": true}));
        assert_eq!(properties["TimeToLiveSpecification"], ttl.unwrap_or_default(), "{table}");
        assert_eq!(properties["SSESpecification"]["SSEEnabled"], json!(true), "{table}");
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{table}");
        if recovers {
            assert_eq!(properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], json!(true));
        }
    }
    let tables = template()["Resources"].as_object().unwrap().values();
    assert_eq!(tables.filter(|resource| resource["Type"] == "AWS::DynamoDB::Table").count(), 5);
}
