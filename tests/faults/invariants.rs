//! What must be true of the tables after any fault.

use std::collections::BTreeSet;

use serde_json::Value;
use tests::World;

/// Panics if a user is incomplete or duplicated, or if a session belongs to no user.
pub async fn check(world: &World) {
    let text = |item: &Value, name: &str| item[name]["S"].as_str().map(str::to_owned);
    let (mut users, mut wanted, mut held) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for item in world.items("UsersTable").await {
        let (pk, user) = (text(&item, "pk").unwrap(), text(&item, "user_id").unwrap());
        // A username that was given up is locked without being anyone's.
        if pk == format!("user#{user}") {
            wanted.extend(text(&item, "phone").map(|phone| (format!("phone#{phone}"), user.clone())));
            wanted.extend(
                text(&item, "username").map(|name| (format!("username#{}", name.to_lowercase()), user.clone())),
            );
            users.insert(user);
        } else if item.get("kept_until").is_none() {
            held.insert((pk, user));
        }
    }
    assert_eq!(held, wanted, "each phone and username is locked for its user, and nothing else is locked");
    for session in world.items("SessionsTable").await {
        let user = text(&session, "user_id").unwrap();
        assert!(users.contains(&user), "a session belongs to no user");
    }
}
