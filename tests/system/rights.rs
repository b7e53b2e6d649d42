//! The rights of an operator's role in docs/administer.md: exactly what `latchkey` asks of AWS.

use std::collections::BTreeSet;

use local::{Aim, Mode, Outgoing, Target};
use serde_json::json;
use tests::World;
use tests::device::Device;

use crate::admin::Ran;
use crate::doctor::{Account, in_aws};
use crate::policies::actions;
use crate::workspace::{Folder, list, path, resource, text};

const PHONE: &str = "+9779841000001";
const OTHER: &str = "+9779841000002";

/// Actions, each with the secret that it is for.
type Rights = BTreeSet<String>;

/// The rights in the row of the document's table whose first cell begins so.
fn stated(row: &str) -> Rights {
    let document = text("docs/administer.md");
    let row = document.lines().find(|line| line.starts_with(&format!("| {row}"))).unwrap();
    let mut stated = Rights::new();
    let mut action = "";
    for span in row.split('`').skip(1).step_by(2) {
        if span.contains(':') {
            action = span;
            stated.insert(action.to_owned());
        } else if span.ends_with("Secret") {
            stated.remove(action);
            stated.insert(format!("{action} {span}"));
        }
    }
    stated
}

/// The rights that commands need, and what each printed.
async fn needed(world: &World, account: &Account, commands: &[&[&str]]) -> (Rights, Vec<Ran>) {
    world.system.reset_dynamodb_requests();
    account.asked.lock().unwrap().clear();
    let mut printed = Vec::new();
    for command in commands {
        printed.push(in_aws(world, account.clone(), command).await);
    }
    let mut needed = account.asked.lock().unwrap().clone();
    let of_tables = world.system.take_dynamodb_requests();
    needed.extend(of_tables.iter().flat_map(actions).map(|(action, _)| action));
    let of_secrets = world.system.outgoing().into_iter().filter(|request| request.target == Target::SecretsManager);
    needed.extend(of_secrets.map(|request| {
        let words: Vec<_> = request.what.split(' ').take(2).collect();
        format!("secretsmanager:{}", words.join(" "))
    }));
    (needed, printed)
}

fn without(rights: Rights, others: &[&Rights]) -> Rights {
    rights.into_iter().filter(|right| !others.iter().any(|others| others.contains(right))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_needs_exactly_the_rights_in_the_document() {
    let world = World::new().await;
    let code = world.send_code(PHONE).await.code;
    world.submit(PHONE, &code).proven_by(&Device::new()).send().await.ok();
    world.sign_in_as(OTHER, "sita").await;
    let folder = Folder::new(&format!("rights-{}", world.system.dynamodb_address().port()));
    let line = json!({"phone_number": "+9779841000003", "phone_proven_at": world.now()});
    let users = folder.write("users.jsonl", line.to_string());
    let (users, himal) = (users.to_str().unwrap(), path("examples/organization.json"));
    let himal = himal.to_str().unwrap();
    let mut account = Account::of(&world);
    account.variables.extend([("FCM_PROJECT_ID", "himal-app".to_owned()), ("PUSH_SECRET", "PushSecret".to_owned())]);

    let (of_kms, of_all): (Rights, Rights) = stated("all ").into_iter().partition(|right| right.starts_with("kms:"));
    let policy = &resource("KmsKeyPolicy")["Properties"]["PolicyDocument"]["Statement"][0]["Action"];
    let of_functions = list(policy).into_iter().map(|action| action.as_str().unwrap().to_owned());
    assert_eq!(of_kms, of_functions.collect(), "of the KMS key, as the functions");

    world.system.aim(None);
    let commands: [&[&str]; 24] = [
        &["organization", "apply", himal],
        &["organization", "list"],
        &["organization", "diff", himal],
        &["test-number", "list"],
        &["user", "show", "sita"],
        &["user", "join", "sita", "--organization", "himal"],
        &["user", "leave", "sita", "--organization", "himal"],
        &["user", "set-claims", PHONE, r#"{"plan":"gold"}"#],
        &["user", "sign-out", PHONE, "--yes"],
        &["user", "sign-out", OTHER, "--yes"],
        &["user", "block", PHONE, "--yes"],
        &["user", "unblock", PHONE],
        &["number", "why", PHONE],
        &["number", "block", "+88213", "--yes"],
        &["number", "unblock", "+88213"],
        &["number", "blocked"],
        &["number", "release", PHONE, "--yes"],
        &["import", "lines", users, "--dry-run"],
        &["import", "lines", users],
        &["export"],
        &["export", "--user", OTHER],
        &["user", "delete", OTHER, "--yes"],
        &["user", "delete", "+9779841000003", "--at-once", "--yes"],
        &["audit"],
    ];
    let (of_tables, printed) = needed(&world, &account, &commands).await;
    for ran in printed {
        ran.ok();
    }
    assert!(of_tables.is_superset(&of_all), "{of_tables:?}");
    let of_tables = without(of_tables, &[&of_all]);
    assert_eq!(of_tables, stated("organizations, "));

    // What the rotation itself asks for is a matter of its function.
    let what = "RotateSecret SigningKeySecret".to_owned();
    let at = Outgoing { target: Target::SecretsManager, what, nth: 1 };
    world.system.aim(Some(Aim { at, mode: Mode::Refuse, code: None, lasts: true }));
    let (of_keys, _) = needed(&world, &account, &[&["key", "status"], &["key", "rotate"]]).await;
    let mut stated_of_keys = stated("keys ");
    // AWS asks for it when it rotates.
    assert!(stated_of_keys.remove("lambda:InvokeFunction"));
    assert_eq!(without(of_keys, &[&of_all, &of_tables]), stated_of_keys);

    world.system.aim(None);
    let (of_doctor, _) = needed(&world, &account, &[&["doctor"]]).await;
    assert_eq!(without(of_doctor, &[&of_all, &of_tables]), stated("`doctor` "));
}
