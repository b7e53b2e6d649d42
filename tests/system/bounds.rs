//! The limits in `.ci/bounds`: the number of crates in each function is tested here, its size by `.ci/size`.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::{cargo, functions, text};

/// The functions of `.ci/bounds`, and the most crates that each may have.
fn bounds() -> BTreeMap<String, usize> {
    let text = text(".ci/bounds");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let bound = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [function, crates, bytes] = fields[..] else { panic!("{line}") };
        assert!(bytes.parse::<u64>().is_ok_and(|bytes| bytes <= 9 << 20), "{line}: more than 9 MiB");
        (function.to_owned(), crates.parse().unwrap())
    };
    lines.map(bound).collect()
}

/// The crates that are compiled into a function, by name and version.
fn crates(function: &str) -> BTreeSet<String> {
    let edges = ["--edges", "normal,no-proc-macro", "--target", "x86_64-unknown-linux-gnu"];
    let tree =
        cargo(&[&["tree", "--package", function, "--prefix", "none", "--offline", "--locked"], &edges[..]].concat());
    tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn each_function_has_its_limits() {
    assert_eq!(bounds().into_keys().collect::<BTreeSet<_>>(), functions());
}

#[test]
fn no_function_has_more_crates_than_its_limit() {
    for (function, most) in bounds() {
        let crates = crates(&function);
        assert!(crates.iter().any(|name| name.starts_with("adapters v")), "{crates:?}");
        assert!(crates.len() <= most, "{function} has {} crates, .ci/bounds allows {most}: {crates:#?}", crates.len());
    }
}

#[test]
fn no_function_has_a_crate_that_only_cargo_local_and_the_tests_need() {
    for function in functions() {
        let strays = ["aws-config", "aws-sdk-sts", "axum", "dynoxide-rs", "rusqlite"];
        let stray = |name: &&String| strays.iter().any(|stray| name.split(' ').next() == Some(stray));
        assert_eq!(crates(&function).iter().find(stray), None, "{function}");
    }
}
