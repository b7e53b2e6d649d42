//! The main job: from a phone number to tokens.

use serde_json::json;
use tests::World;

#[tokio::test]
async fn a_person_signs_in_and_reads_who_they_are() {
    let world = World::new().await;
    let person = world.sign_in("+9779841000001").await;
    let me = world.call("GET", "/v1/me").as_person(&person).send().await.ok();
    assert_eq!(me["phone_number"], json!("+9779841000001"));
    let refreshed = world.post("/v1/session/refresh", json!({"refresh_token": person.refresh})).send().await;
    assert_eq!(refreshed.status, 200, "{refreshed:?}");
}
