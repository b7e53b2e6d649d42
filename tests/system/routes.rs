//! The routes: every list of them agrees with the route table, and each route asks for a token if and only if it is guarded.

use std::collections::{BTreeMap, BTreeSet};

use adapters::http::{Route, RouteGuard};
use serde_json::json;
use tests::World;

use crate::sample;
use crate::workspace::{called_by, functions, logical_id, metadata, resource, resources};

fn is_guarded(route: Route) -> bool {
    route.guard() == RouteGuard::Authorizer
}

fn keys(routes: impl IntoIterator<Item = Route>) -> BTreeSet<String> {
    routes.into_iter().map(|route| route.to_string()).collect()
}

#[test]
fn the_template_declares_every_route_with_its_function_and_its_guard() {
    let mut declared = BTreeSet::new();
    let names: BTreeMap<String, String> =
        functions().into_iter().map(|function| (logical_id(&function), function)).collect();
    for (_, route) in resources("AWS::ApiGatewayV2::Route") {
        let properties = &route["Properties"];
        let target = properties["Target"]["Fn::Sub"].as_str().unwrap();
        let integration = target.strip_prefix("integrations/${").unwrap().strip_suffix('}').unwrap();
        let function = called_by(&resource(integration)["Properties"]["IntegrationUri"]);
        let guard = (&properties["AuthorizationType"], &properties["AuthorizerId"]);
        let is_guarded = guard == (&json!("CUSTOM"), &json!({"Ref": "LatchkeyAuthorizer"}));
        assert!(is_guarded || guard == (&json!(null), &json!(null)), "{guard:?}");
        declared.insert((properties["RouteKey"].as_str().unwrap().to_owned(), names[function].clone(), is_guarded));
    }
    let routes = Route::ALL.map(|route| (route.to_string(), route.function().to_owned(), is_guarded(route)));
    assert_eq!(declared, BTreeSet::from(routes));
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
    assert_eq!(served, BTreeSet::from(Route::ALL.map(|route| (route.to_string(), route.function().to_owned()))));
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
            // An empty scheme says that a request without a token is served too: then no authorizer guards the route.
            let is_needed = |schemes: &Vec<serde_json::Value>| !schemes.is_empty() && !schemes.contains(&json!({}));
            if operation["security"].as_array().is_some_and(is_needed) {
                guarded.insert(key.clone());
            }
            documented.insert(key);
        }
    }
    assert_eq!(documented, keys(Route::ALL));
    assert_eq!(guarded, keys(Route::ALL.into_iter().filter(|route| is_guarded(*route))));
}

#[tokio::test]
async fn the_authorizer_passes_refusals_on_to_exactly_the_guarded_routes() {
    let world = World::new().await;
    for route in Route::ALL {
        let mut event = sample::read("authorizer/no-token.json");
        event["routeKey"] = json!(route.to_string());
        let answer = world.system.invoke("AuthorizerFunction", event).await.unwrap();
        let is_passed_on = answer["context"]["refusal"] == "token_required";
        assert_eq!((&answer["isAuthorized"], is_passed_on), (&json!(is_guarded(route)), is_guarded(route)), "{route}");
    }
}

#[tokio::test]
async fn a_route_asks_for_a_token_if_and_only_if_it_is_guarded() {
    let world = World::new().await;
    for route in Route::ALL {
        let reply = world.call(route.method(), &route.path().replace("{session_id}", "ses_0")).send().await;
        assert_eq!(reply.problem() == (401, "token_required"), is_guarded(route), "{route}: {reply:?}");
    }
}

#[tokio::test]
async fn a_valid_token_of_a_deleted_user_gets_no_such_user_on_every_guarded_route() {
    let world = World::new().await;
    let person = world.sign_in("+9779841000001").await;
    world.call("DELETE", "/v1/me").as_person(&person).send().await;
    for route in Route::ALL.into_iter().filter(|route| is_guarded(*route)) {
        let path = route.path().replace("{session_id}", "ses_00000000000000000000000000");
        let reply = world.call(route.method(), &path).as_person(&person).send().await;
        assert_eq!(reply.problem(), (403, "no_such_user"), "{route}");
        assert_eq!(reply.headers.get("www-authenticate"), None, "{route}");
    }
}
