//! The resources of `template.yaml` beside routes and policies: timeouts and tables.

use serde_json::json;

use crate::workspace::{resource, template};

/// API Gateway gives up on a function after 30 seconds
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
#[test]
fn the_timeout_of_a_send_leaves_time_for_every_gateway_and_a_slow_database() {
    // Reads of the organization and of the counters, the reservation, and its return if no gateway accepts.
    let database = adapters::config::OPERATION_TIMEOUT * 4;
    let needed = (adapters::sms::SENDING_TIME + database).as_secs();
    let timeout = resource("SendOtpFunction")["Properties"]["Timeout"].as_u64().unwrap();
    assert!(needed < timeout && timeout < 30, "{needed} {timeout}");
    let most = &template()["Parameters"]["GatewayTimeoutMilliseconds"]["MaxValue"];
    assert_eq!(u128::from(most.as_u64().unwrap()), adapters::sms::SENDING_TIME.as_millis());
}

#[test]
fn users_and_settings_outlive_the_stack_and_codes_and_sessions_expire() {
    for (table, outlives, expires_by, recovers) in [
        // Only usernames that were given up have that attribute.
        ("UsersTable", true, Some("kept_until"), true),
        ("SettingsTable", true, None, false),
        ("OtpsTable", false, Some("expires_at"), false),
        ("SessionsTable", false, Some("expires_at"), false),
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
    assert_eq!(tables.filter(|resource| resource["Type"] == "AWS::DynamoDB::Table").count(), 4);
}
