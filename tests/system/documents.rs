//! The documents: links lead to what exists, the README stays short, and no text uses a word that readers would have to
//! look up.

use std::collections::BTreeSet;

use crate::workspace::{files, path, rust_files, text};

/// This file has to contain what it forbids.
const THIS_FILE: &str = "tests/system/documents.rs";
const ABSENT_DOCUMENTS: [&str; 3] = ["DESIGN.md", "FACTS.md", "EXEMPLARS.md"];
const HARD_WORDS: [&str; 6] = ["nought", "mend", "fortnight", "dearer", "whence", "thereof"];
/// Where a file is that a document names without its folder.
const SOURCE_FOLDERS: [&str; 6] = ["shared", "functions", "admin", "local", "tests", "benches"];
const MOST_README_LINES: usize = 160;

/// The repository's text files.
fn texts() -> impl Iterator<Item = (String, String)> {
    let files = files("").into_iter().filter(|file| file != THIS_FILE);
    files.filter_map(|file| Some((file.clone(), std::fs::read_to_string(path(&file)).ok()?)))
}

fn documents() -> impl Iterator<Item = (String, String)> {
    texts().filter(|(file, _)| file.ends_with(".md"))
}

/// The lines of a document that are not code.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    document.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of a document's links: `[text](target)` and `[name]: target`.
fn links(document: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for line in prose(document) {
        // Every second part of a line is between backticks.
        for part in line.split('`').step_by(2) {
            links.extend(part.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()));
        }
        if line.starts_with('[') {
            links.extend(line.split_once("]: ").map(|(_, target)| target.trim()));
        }
    }
    links
}

/// The anchors of a document's headings, by GitHub's rule: a repeated heading gets a number.
fn anchors(document: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in prose(document).filter(|line| line.starts_with('#')) {
        let (_, heading) = heading.split_once(' ').unwrap_or_default();
        let is_kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
        let anchor = heading.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-");
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// Why a link of a document leads nowhere.
fn fault(document: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = path(document).parent().unwrap().to_owned();
    let target = if file.is_empty() { path(document) } else { folder.join(file) };
    if !target.exists() {
        return Some(format!("{document}: {link}: no such file"));
    }
    let has_heading = || anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor);
    (!anchor.is_empty() && !has_heading()).then(|| format!("{document}: {link}: no such heading"))
}

#[test]
fn every_link_of_a_document_leads_to_a_file_and_a_heading_that_exist() {
    let faults: Vec<_> = documents()
        .flat_map(|(file, document)| {
            links(&document).into_iter().filter_map(|link| fault(&file, link)).collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn links_and_anchors_are_read_as_github_reads_them() {
    let document =
        "# A `code`, twice!\n## A code, twice\n[a](b.md#c) `[no](link)` [d](<e>)\n```\n# no\n[f](g)\n```\n[h]: i.md\n";
    assert_eq!(anchors(document), ["a-code-twice", "a-code-twice-1"].map(str::to_owned).into());
    assert_eq!(links(document), ["b.md#c", "<e>", "i.md"]);
}

/// What is between backticks in a document's prose.
fn code_spans(document: &str) -> impl Iterator<Item = &str> {
    prose(document).flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Whether a document names something that the sources do not have: a file, a test or a `Type::function`.
fn is_absent(name: &str, files: &[String], sources: &str) -> bool {
    let is_identifier = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(stem) = name.strip_suffix(".rs") {
        let is_path = stem.split('/').all(|part| is_identifier(&part.replace('-', "_")));
        let is_named = |file: &String| file == name || file.ends_with(&format!("/{name}"));
        return is_path && !files.iter().any(is_named);
    }
    if let Some((kind, function)) = name.split_once("::") {
        let is_method = kind.starts_with(char::is_uppercase) && is_identifier(kind) && is_identifier(function);
        return is_method
            && !(sources.contains(&format!("impl {kind}")) && sources.contains(&format!("fn {function}")));
    }
    let is_test_name = name.split('_').count() > 4 && is_identifier(name) && name == name.to_lowercase();
    is_test_name && !sources.contains(&format!("fn {name}("))
}

/// Renaming a file, a test or a method must not leave its old name in a document.
#[test]
fn every_file_test_and_method_that_a_document_names_exists() {
    let files: Vec<_> = SOURCE_FOLDERS.into_iter().flat_map(rust_files).collect();
    let sources: String = texts().filter(|(file, _)| file.ends_with(".rs")).map(|(_, source)| source).collect();
    let mut absent = BTreeSet::new();
    for (file, document) in documents().filter(|(file, _)| file != "CHANGELOG.md") {
        let names = code_spans(&document).filter(|name| is_absent(name, &files, &sources));
        absent.extend(names.map(|name| format!("{file}: {name}")));
    }
    assert!(absent.is_empty(), "these do not exist:\n{}", absent.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_message_in_the_log_table_of_the_operator_is_one_that_the_code_logs() {
    let files = [rust_files("shared/adapters/src"), rust_files("functions")].concat();
    let sources: String = files.iter().map(|file| text(file)).collect();
    let operate = text("docs/operate.md");
    let (_, section) = operate.split_once("\n### Log\n").unwrap();
    let rows = section.lines().take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    let messages: Vec<_> = rows.map(|row| row.split('`').nth(1).unwrap()).collect();
    assert!(!messages.is_empty());
    let absent: Vec<_> = messages.iter().filter(|message| !sources.contains(&format!("\"{message}\""))).collect();
    assert!(absent.is_empty(), "docs/operate.md, section Log: no code logs {absent:?}");
}

#[test]
fn the_examples_of_a_problem_in_openapi_have_the_same_words() {
    for (code, examples) in tests::problem_examples() {
        for example in examples {
            assert_eq!(example["code"], *code);
            for name in ["title", "status"] {
                assert_eq!(example[name], examples[0][name], "{code}: {name}");
            }
            assert!(*code == "malformed_request" || example["detail"] == examples[0]["detail"], "{code}: detail");
        }
    }
}

#[test]
fn the_readme_is_short() {
    let lines = text("README.md").lines().count();
    assert!(lines <= MOST_README_LINES, "README.md has {lines} lines: move some of them to docs/");
}

#[test]
fn no_file_names_a_document_that_is_not_in_the_repository() {
    let naming = texts().filter(|(_, text)| ABSENT_DOCUMENTS.iter().any(|name| text.contains(name)));
    let naming: Vec<_> = naming.map(|(file, _)| file).collect();
    assert!(naming.is_empty(), "these files name one of {ABSENT_DOCUMENTS:?}: {naming:?}");
}

/// The licences are quoted, and the changelog is history.
#[test]
fn no_file_contains_a_word_that_readers_would_have_to_look_up() {
    let mut found = Vec::new();
    for (file, text) in texts().filter(|(file, _)| !file.starts_with("LICENSE") && file != "CHANGELOG.md") {
        for (line, number) in text.lines().zip(1..) {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_lowercase);
            let hard = words.filter(|word| HARD_WORDS.contains(&word.as_str()));
            found.extend(hard.map(|word| format!("{file}:{number}: {word}")));
        }
    }
    assert!(found.is_empty(), "use a plain word instead:\n{}", found.join("\n"));
}
