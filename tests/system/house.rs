//! The rules of the house (DESIGN.md, section 1): who may use whom, what is read where, and what is called how.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::workspace::{cargo, functions, logical_id, metadata, names, rust_files, template, text};

/// The crates of the workspace that a member names in its Cargo.toml.
fn uses(member: &str) -> BTreeSet<String> {
    let packages = metadata()["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == member);
    let dependencies = package.unwrap_or_else(|| panic!("no member {member}"))["dependencies"].as_array().unwrap();
    let own = dependencies.iter().filter(|dependency| dependency["path"].is_string());
    own.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn members() -> BTreeSet<String> {
    let packages = metadata()["packages"].as_array().unwrap();
    packages.iter().map(|package| package["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_workspace_has_the_members_that_the_design_names() {
    let mut wanted = set(["domain", "adapters", "local", "tests", "benches", "bench-hello", "bench-yardstick"]);
    wanted.extend(set([
        "account",
        "authorizer",
        "jwks",
        "rotate-keys",
        "send-otp",
        "session",
        "submit-otp",
        "validate-otp",
    ]));
    wanted.extend(set(["bench-growth", "bench-shards"]));
    assert_eq!(members(), wanted);
}

#[test]
fn nobody_uses_whom_they_may_not_use() {
    assert_eq!(uses("domain"), set([]));
    assert_eq!(uses("adapters"), set(["domain"]));
    let mut used_by_local = functions();
    for function in functions() {
        assert_eq!(uses(&function), set(["adapters", "domain"]), "{function}");
    }
    used_by_local.insert("adapters".to_owned());
    assert_eq!(uses("local"), used_by_local);
    assert_eq!(uses("tests"), set(["adapters", "domain", "local"]));
    assert_eq!(uses("bench-growth"), set(["tests"]));
    assert_eq!(uses("bench-shards"), set(["domain"]));
    assert_eq!(uses("benches"), set(["local"]));
    // What the functions are measured by stands on none of our code.
    assert_eq!(uses("bench-hello"), set([]));
    assert_eq!(uses("bench-yardstick"), set([]));
}

#[test]
fn the_domain_reaches_nothing_of_aws_http_async_logs_or_randomness() {
    let tree =
        cargo(&["tree", "--package", "domain", "--edges", "normal", "--prefix", "none", "--offline", "--locked"]);
    let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(reached.contains("hmac"), "{tree}");
    let outside = [
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
    let is_outside = |name: &&&str| {
        outside.iter().any(|word| name.split(['-', '_']).next() == Some(word) || name.starts_with("rand_"))
    };
    let found: Vec<_> = reached.iter().filter(is_outside).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// The lines of these folders' sources, without comments, in which one of the words stands.
fn lines_with(folders: &[&str], words: &[&str]) -> BTreeSet<String> {
    let files = folders.iter().flat_map(|folder| rust_files(folder));
    let found = files.filter(|file| {
        text(file).lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
            words.iter().any(|word| {
                line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
            })
        })
    });
    found.collect()
}

#[test]
fn environment_variables_are_read_in_one_module() {
    let mut read = lines_with(
        &["shared", "functions", "local", "benches"],
        &["env::var", "env::vars", "option_env!", "use std::env"],
    );
    // Cargo tells a build where to write by a variable; what is built reads none.
    read.remove("shared/domain/build.rs");
    // What the functions are measured by has none of their modules.
    read.remove("benches/yardstick/src/main.rs");
    assert_eq!(read, set(["shared/adapters/src/config.rs"]));
}

#[test]
fn the_domain_and_the_functions_have_no_clock_and_no_randomness_of_their_own() {
    let words = ["SystemTime", "Instant", "getrandom", "rand::", "thread_rng", "SystemRandom", "chrono"];
    assert_eq!(lines_with(&["shared/domain", "functions"], &words), set([]));
    let clocks = lines_with(&["shared/adapters"], &["SystemTime"]);
    assert_eq!(clocks, set(["shared/adapters/src/app.rs"]), "one clock for all adapters");
}

#[test]
fn a_function_has_one_name_in_every_place() {
    let functions = functions();
    assert_eq!(names("events", std::path::Path::is_dir), functions, "folders of events/");
    let resources = template()["Resources"].as_object().unwrap();
    let declared: BTreeSet<_> = resources
        .iter()
        .filter(|(_, is)| is["Type"] == "AWS::Serverless::Function")
        .map(|(id, _)| id.clone())
        .collect();
    assert_eq!(declared, functions.iter().map(|name| logical_id(name)).collect(), "functions of template.yaml");
    for function in &functions {
        let resource = &resources[&logical_id(function)];
        assert_eq!(resource["Metadata"]["BuildProperties"]["Binary"], **function);
        let group = resource["Properties"]["LoggingConfig"]["LogGroup"]["Ref"].as_str().unwrap();
        let group = resources[group]["Properties"]["LogGroupName"]["Fn::Sub"].as_str().unwrap();
        assert_eq!(group, format!("/${{AWS::StackName}}/{function}"));
        assert!(members().contains(function), "no package {function}");
        assert!(is_defined(function), "functions/{function}/src/lib.rs defines no {}", type_name(function));
    }
}

fn type_name(function: &str) -> String {
    logical_id(function).trim_end_matches("Function").to_owned()
}

fn is_defined(function: &str) -> bool {
    text(&format!("functions/{function}/src/lib.rs")).contains(&format!("pub struct {} {{", type_name(function)))
}

#[test]
fn a_function_is_a_library_and_a_main_that_only_wires_it() {
    for function in functions() {
        let main = text(&format!("functions/{function}/src/main.rs"));
        assert!(main.lines().count() <= 25, "functions/{function}/src/main.rs does more than wire");
        assert_eq!(rust_files(&format!("functions/{function}/src")).len(), 2, "{function}");
    }
}

#[test]
fn every_source_says_at_its_head_what_lives_in_it() {
    let sources = ["shared", "functions", "local", "benches"].map(rust_files).concat();
    assert!(sources.len() > 40, "{sources:?}");
    let silent: Vec<_> = sources.into_iter().filter(|file| !text(file).starts_with("//! ")).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn every_member_takes_the_lints_and_the_version_of_the_workspace() {
    for package in metadata()["packages"].as_array().unwrap() {
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package["name"]);
        assert!(manifest.contains("version.workspace = true"), "{}", package["name"]);
        assert_eq!(package["publish"], Value::Array(Vec::new()), "{}", package["name"]);
    }
}

#[test]
fn every_fuzz_target_has_its_program_and_its_corpus() {
    let targets = rust_files("fuzz/targets");
    let manifest = text("fuzz/Cargo.toml");
    for target in &targets {
        let name = target.trim_start_matches("fuzz/targets/").trim_end_matches(".rs");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"targets/{name}.rs\"")), "{name}");
        assert!(names(&format!("fuzz/corpus/{name}"), |_| true).len() > 10, "{name}");
        assert!(text("fuzz/rustc").contains(&format!(" {name}")), "fuzz/rustc does not know {name}");
    }
    assert_eq!(targets.len(), names("fuzz/corpus", |_| true).len());
}

#[test]
fn what_is_fuzzed_is_built_of_the_versions_that_are_deployed() {
    let locked = |file: &str| -> BTreeSet<(String, String)> {
        let text = text(file);
        let value = |package: &str, name: &str| {
            package.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim_matches('"').to_owned()
        };
        text.split("[[package]]\n")
            .skip(1)
            .map(|package| (value(package, "name = "), value(package, "version = ")))
            .collect()
    };
    let (deployed, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    // The engine, which the main workspace does not have.
    let engine = ["arbitrary", "fuzz", "libfuzzer-sys"];
    let strays: Vec<_> = fuzzed.difference(&deployed).filter(|(name, _)| !engine.contains(&name.as_str())).collect();
    assert!(strays.is_empty(), "cargo update --manifest-path fuzz/Cargo.toml: {strays:?}");
}
