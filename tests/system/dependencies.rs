//! Which members the workspace has, and what each of them may depend on.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::workspace::{cargo, functions, metadata, text};

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn packages() -> &'static [Value] {
    metadata()["packages"].as_array().unwrap()
}

/// The members that a member depends on.
fn dependencies(member: &str) -> BTreeSet<String> {
    let package = packages().iter().find(|package| package["name"] == member);
    let dependencies = package.unwrap_or_else(|| panic!("no member {member}"))["dependencies"].as_array().unwrap();
    let own = dependencies.iter().filter(|dependency| dependency["path"].is_string());
    own.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_workspace_has_exactly_these_members() {
    let members = packages().iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect();
    let libraries_and_tests = set(["domain", "adapters", "latchkey-admin", "local", "tests"]);
    let benches = set(["benches", "bench-growth", "bench-hello", "bench-import", "bench-shards", "bench-yardstick"]);
    let functions = set([
        "account",
        "authorizer",
        "due",
        "jwks",
        "notify",
        "publish",
        "rotate-keys",
        "send-otp",
        "session",
        "submit-otp",
        "validate-otp",
    ]);
    assert_eq!(libraries_and_tests.into_iter().chain(benches).chain(functions).collect::<BTreeSet<_>>(), members);
}

#[test]
fn each_member_depends_only_on_the_members_below_it() {
    assert_eq!(dependencies("domain"), set([]));
    assert_eq!(dependencies("adapters"), set(["domain"]));
    for function in functions() {
        assert_eq!(dependencies(&function), set(["adapters", "domain"]), "{function}");
    }
    assert_eq!(dependencies("local"), &functions() | &set(["adapters", "domain"]));
    assert_eq!(dependencies("latchkey-admin"), set(["adapters", "domain"]));
    assert_eq!(dependencies("tests"), set(["adapters", "domain", "local"]));
    assert_eq!(dependencies("benches"), set(["local"]));
    assert_eq!(dependencies("bench-growth"), set(["tests"]));
    assert_eq!(dependencies("bench-import"), set(["tests"]));
    assert_eq!(dependencies("bench-shards"), set(["domain"]));
    // The functions are compared with these two, so they use none of our code.
    assert_eq!(dependencies("bench-hello"), set([]));
    assert_eq!(dependencies("bench-yardstick"), set([]));
}

#[test]
fn no_function_talks_to_aws_but_through_the_adapters() {
    for function in functions() {
        let package = packages().iter().find(|package| package["name"] == *function).unwrap();
        let names = package["dependencies"].as_array().unwrap().iter().map(|dependency| dependency["name"].as_str());
        assert!(names.flatten().all(|name| !name.starts_with("aws-sdk")), "{function}");
    }
}

#[test]
fn the_domain_depends_on_no_crate_for_aws_http_async_logs_time_or_randomness() {
    let tree =
        cargo(&["tree", "--package", "domain", "--edges", "normal", "--prefix", "none", "--offline", "--locked"]);
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("hmac"), "{tree}");
    let forbidden = [
        "aws",
        "lambda",
        "http",
        "hyper",
        "axum",
        "tokio",
        "futures",
        "tracing",
        "reqwest",
        "getrandom",
        "rand",
        "chrono",
        "time",
    ];
    let found: Vec<_> = crates
        .iter()
        .filter(|name| name.split(['-', '_']).next().is_some_and(|word| forbidden.contains(&word)))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_member_has_the_lints_and_the_version_of_the_workspace() {
    for package in packages() {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package["name"]);
        assert!(manifest.contains("version.workspace = true"), "{}", package["name"]);
        assert_eq!(package["publish"], Value::Array(Vec::new()), "{}", package["name"]);
    }
}

#[test]
fn fuzzing_uses_the_versions_that_are_deployed() {
    let locked = |file: &str| -> BTreeSet<(String, String)> {
        let text = text(file);
        let value = |package: &str, name: &str| {
            package.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim_matches('"').to_owned()
        };
        let packages = text.split("[[package]]\n").skip(1);
        packages.map(|package| (value(package, "name = "), value(package, "version = "))).collect()
    };
    let (deployed, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    // The fuzzing engine is not in the main workspace.
    let engine = ["arbitrary", "fuzz", "libfuzzer-sys"];
    let others: Vec<_> = fuzzed.difference(&deployed).filter(|(name, _)| !engine.contains(&name.as_str())).collect();
    assert!(others.is_empty(), "run cargo update --manifest-path fuzz/Cargo.toml for these: {others:?}");
}
