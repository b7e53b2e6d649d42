//! The workflows in `.github`, and the code of others that they run.

use crate::workspace::{files, text};

/// A tag can be moved to other code, and a commit cannot.
#[test]
fn every_action_of_a_workflow_is_pinned_by_its_commit_and_says_its_version() {
    let workflows = files(".github");
    let lines = workflows.iter().flat_map(|file| text(file).lines().map(str::to_owned).collect::<Vec<_>>());
    let actions = lines.filter_map(|line| Some(line.split_once("uses:")?.1.trim().to_owned()));
    let is_pinned = |action: &String| {
        let (name, version) = action.split_once(" # v").unwrap_or_default();
        let (_, commit) = name.split_once('@').unwrap_or_default();
        commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()) && !version.is_empty()
    };
    let (pinned, loose): (Vec<_>, Vec<_>) = actions.partition(is_pinned);
    assert!(!pinned.is_empty() && loose.is_empty(), "pin these by commit, with the version in a comment: {loose:?}");
}
