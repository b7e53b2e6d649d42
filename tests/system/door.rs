//! The door in front of the API (`door.yaml`), and what the API's template has for it.

use serde_json::{Value, json};

use crate::workspace::{functions, list, logical_id, resource, template_of};

fn door(id: &str) -> Value {
    template_of("door.yaml")["Resources"][id]["Properties"].clone()
}

#[test]
fn the_door_shows_its_secret_and_says_from_where_a_request_comes() {
    let distribution = &door("Distribution")["DistributionConfig"];
    let header = &distribution["Origins"][0]["OriginCustomHeaders"][0];
    assert_eq!(header["HeaderName"], "x-latchkey-edge");
    let newest = "{{resolve:secretsmanager:${EdgeSecret}:SecretString:shown}}";
    assert_eq!(header["HeaderValue"]["Fn::If"][2], json!({"Fn::Sub": newest}));
    assert_eq!(door("EdgeSecret")["GenerateSecretString"]["GenerateStringKey"], "shown");
    let headers = &door("RequestPolicy")["OriginRequestPolicyConfig"]["HeadersConfig"];
    // With the Host header, which proofs of device keys are for.
    assert_eq!(headers["HeaderBehavior"], "allViewerAndWhitelistCloudFront");
    assert_eq!(headers["Headers"], json!(["CloudFront-Viewer-Address"]));
}

#[test]
fn the_door_keeps_nothing_of_a_request() {
    let distribution = &door("Distribution")["DistributionConfig"];
    let behavior = &distribution["DefaultCacheBehavior"];
    // <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html>: CachingDisabled
    assert_eq!(behavior["CachePolicyId"], "4135ea2d-6df8-44a3-9df3-4b5a84be39ad");
    assert_eq!(behavior["ViewerProtocolPolicy"], "https-only");
    // What CloudFront keeps by itself for ten seconds:
    // <https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/HTTPStatusCodes.html>
    let errors = list(&distribution["CustomErrorResponses"]);
    assert!(errors.iter().all(|error| error["ErrorCachingMinTTL"] == 0));
    let codes: Vec<u64> = errors.iter().map(|error| error["ErrorCode"].as_u64().unwrap()).collect();
    assert_eq!(codes, [400, 403, 404, 405, 414, 500, 501, 502, 503, 504]);
    let acl = door("WebAcl");
    let rules = acl["Rules"].as_array().unwrap();
    for rule in rules.iter().chain([&acl]) {
        assert_eq!(rule["VisibilityConfig"]["SampledRequestsEnabled"], false, "{rule}");
    }
    assert_eq!(rules[0]["Statement"]["RateBasedStatement"]["AggregateKeyType"], "IP");
    assert_eq!(rules[1]["Statement"]["ManagedRuleGroupStatement"]["Name"], "AWSManagedRulesAmazonIpReputationList");
}

#[test]
fn functions_that_count_addresses_and_no_others_read_the_edges_secret_where_there_is_an_edge() {
    let named = json!({"Fn::If": ["HasEdge", {"Ref": "EdgeSecretArn"}, {"Ref": "AWS::NoValue"}]});
    for function in functions() {
        let properties = &resource(&logical_id(&function))["Properties"];
        let is_counting = ["send-otp", "submit-otp", "validate-otp"].contains(&function.as_str());
        let variable = &properties["Environment"]["Variables"]["EDGE_SECRET"];
        assert_eq!(*variable, if is_counting { named.clone() } else { Value::Null }, "{function}");
        let conditional = list(&properties["Policies"]).into_iter().filter(|policy| policy["Fn::If"][0] == "HasEdge");
        let statements: Vec<&Value> = conditional.map(|policy| &policy["Fn::If"][1]["Statement"][0]).collect();
        let statement = json!({
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": {"Ref": "EdgeSecretArn"},
        });
        assert_eq!(statements, if is_counting { vec![&statement] } else { Vec::new() }, "{function}");
    }
}

#[test]
fn one_address_calls_the_gateways_and_only_for_functions_that_send() {
    for function in functions() {
        let vpc = &resource(&logical_id(&function))["Properties"]["VpcConfig"]["Fn::If"];
        if ["send-otp", "notify"].contains(&function.as_str()) {
            assert_eq!(
                (&vpc[0], &vpc[1]["SecurityGroupIds"]),
                (&json!("HasStaticEgress"), &json!([{"Ref": "EgressSecurityGroup"}]))
            );
        } else {
            assert_eq!(*vpc, Value::Null, "{function}");
        }
    }
    assert_eq!(resource("EgressRoute")["Properties"]["NatGatewayId"], json!({"Ref": "EgressNatGateway"}));
}
