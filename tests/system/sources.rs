//! What the sources may not contain, and the names that a function has in every place.

use std::collections::BTreeSet;
use std::path::Path;

use crate::workspace::{cargo, functions, logical_id, metadata, names, resource, rust_files, template, text};

/// The files in these folders that have one of the words outside a comment.
fn files_with(folders: &[&str], words: &[&str]) -> Vec<String> {
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
    let words = ["env::var", "env::vars", "option_env!", "use std::env"];
    let mut files = files_with(&["shared", "functions", "admin", "local", "benches"], &words);
    // Cargo passes a build script its folder in a variable. The yardstick uses none of our modules.
    files.retain(|file| !["shared/domain/build.rs", "benches/yardstick/src/main.rs"].contains(&file.as_str()));
    let is_one_of_config = files.len() == 1 && files[0].starts_with("shared/adapters/src/config");
    assert!(is_one_of_config, "read the environment in one file of adapters::config only: {files:?}");
}

#[test]
fn the_domain_and_the_functions_have_no_clock_and_no_randomness_of_their_own() {
    let words = ["SystemTime", "Instant", "getrandom", "rand::", "thread_rng", "SystemRandom", "chrono"];
    assert_eq!(files_with(&["shared/domain", "functions"], &words), [""; 0]);
    let clocks = files_with(&["shared/adapters"], &["SystemTime"]);
    assert_eq!(clocks.len(), 1, "the adapters have one clock: {clocks:?}");
}

#[test]
fn every_source_file_starts_with_its_description() {
    let sources = ["shared", "functions", "admin", "local", "benches"].map(rust_files).concat();
    assert!(sources.len() > 40, "{sources:?}");
    let silent: Vec<_> = sources.into_iter().filter(|file| !text(file).starts_with("//! ")).collect();
    assert!(silent.is_empty(), "begin these files with a `//!` comment: {silent:?}");
}

#[test]
fn a_function_has_one_name_in_every_place() {
    let functions = functions();
    assert_eq!(names("events", Path::is_dir), functions, "folders of events/");
    let resources = template()["Resources"].as_object().unwrap().iter();
    let declared = resources.filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
    let declared: BTreeSet<_> = declared.map(|(id, _)| id.clone()).collect();
    assert_eq!(declared, functions.iter().map(|name| logical_id(name)).collect(), "functions of template.yaml");
    for function in &functions {
        let resource_of_function = resource(&logical_id(function));
        assert_eq!(resource_of_function["Metadata"]["BuildProperties"]["Binary"], **function);
        let group = resource_of_function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"].as_str().unwrap();
        assert_eq!(group, logical_id(function).replace("Function", "LogGroup"));
    }
}

#[test]
fn a_function_is_a_library_and_a_main_that_only_wires_it() {
    let packages = metadata()["packages"].as_array().unwrap();
    for function in functions() {
        let package = packages.iter().find(|package| package["name"] == *function);
        let targets = package.unwrap_or_else(|| panic!("no package {function}"))["targets"].as_array().unwrap();
        let kinds: BTreeSet<_> = targets.iter().map(|target| target["kind"][0].as_str().unwrap()).collect();
        assert_eq!((targets.len(), kinds), (2, BTreeSet::from(["bin", "lib"])), "{function}");
        let sources = format!("functions/{function}/src");
        assert_eq!(names(&sources, |_| true), ["lib.rs", "main.rs"].map(str::to_owned).into(), "{function}");
        let lines = text(&format!("{sources}/main.rs")).lines().count();
        assert!(lines <= 25, "{sources}/main.rs does more than wire: it has {lines} lines");
    }
}

#[test]
fn every_fuzz_target_has_a_program_and_a_corpus_of_at_most_25_files() {
    let manifest = ["metadata", "--manifest-path", "fuzz/Cargo.toml"];
    let manifest = cargo(&[&manifest[..], &["--no-deps", "--format-version", "1", "--offline"]].concat());
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let programs = manifest["packages"][0]["targets"].as_array().unwrap().iter();
    let programs = programs.filter(|target| target["kind"][0] == "bin");
    let programs: BTreeSet<_> = programs.map(|target| target["name"].as_str().unwrap().to_owned()).collect();
    let targets = names("fuzz/targets", |_| true).into_iter();
    let targets: BTreeSet<_> = targets.map(|file| file.trim_end_matches(".rs").to_owned()).collect();
    assert_eq!(targets, programs, "programs of fuzz/Cargo.toml");
    assert_eq!(targets, names("fuzz/corpus", |_| true), "folders of fuzz/corpus/");
    let compiler = text("fuzz/rustc");
    for target in targets {
        assert!(compiler.contains(&format!(" {target}")), "add {target} to the crates in fuzz/rustc");
        let files = names(&format!("fuzz/corpus/{target}"), |_| true).len();
        assert!((1..=25).contains(&files), "fuzz/corpus/{target} has {files} files: keep 1 to 25");
    }
}
