//! Organizations of one deployment: a code, a session and a token of one are worth nothing to another.

use serde_json::{Value, json};
use tests::token::claims;
use tests::{Person, Reply, Sent, World, assert_refused, person, with, wrong};

use crate::setup::{phone, send_to_organization};

const PHONE: &str = "+9779841000001";

/// A system with two organizations, a game and a bank.
async fn world() -> World {
    let world = World::new().await;
    world.create_organization("game", &[("app_name", "Game")]).await;
    world.create_organization("bank", &[("app_name", "Bank")]).await;
    world
}

async fn send(world: &World, organization: &str) -> Sent {
    let reply = send_to_organization(world, PHONE, organization).send().await;
    world.received(PHONE, &reply).await
}

async fn submit(world: &World, organization: &str, code: &str, id: Option<&str>) -> Reply {
    let body = json!({"phone_number": PHONE, "otp": code, "organization_id": organization});
    world.post("/v1/otp/submit", with(&body, json!({"challenge_id": id}))).send().await
}

async fn sign_in(world: &World, organization: &str) -> Person {
    let sent = send(world, organization).await;
    person(PHONE, &submit(world, organization, &sent.code, Some(&sent.challenge_id)).await)
}

async fn assert_me(world: &World, token: &str, status: u16) {
    assert_eq!(world.call("GET", "/v1/me").bearer(token).send().await.status, status);
}

#[tokio::test]
async fn a_code_that_one_organization_asked_for_signs_in_to_no_other() {
    let world = world().await;
    let game = send(&world, "game").await;
    for id in [None, Some(game.challenge_id.as_str())] {
        for organization in ["bank", "default"] {
            assert_refused(&submit(&world, organization, &game.code, id).await, "incorrect_otp", json!({}));
        }
    }
    world.advance(30);
    let bank = send(&world, "bank").await;
    assert_ne!(game.code, bank.code, "one chance in a million");
    let crossed = submit(&world, "bank", &game.code, Some(&bank.challenge_id)).await;
    assert_refused(&crossed, "incorrect_otp", json!({"attempts_left": 4}));
    // Neither send ended the other's code.
    for (organization, sent) in [("bank", bank), ("game", game)] {
        let reply = submit(&world, organization, &sent.code, Some(&sent.challenge_id)).await;
        person(PHONE, &reply);
        assert!(reply.body["user"]["roles"]["default"].as_array().unwrap().contains(&json!(organization)));
    }
}

#[tokio::test]
async fn wrong_codes_at_one_organization_count_at_the_number_of_another() {
    let world = world().await;
    let game = send(&world, "game").await;
    for _ in 0..5 {
        submit(&world, "game", &wrong(&game.code), Some(&game.challenge_id)).await.assert_problem(400, "incorrect_otp");
    }
    world.advance(30);
    let bank = send(&world, "bank").await;
    for _ in 0..5 {
        submit(&world, "bank", &wrong(&bank.code), Some(&bank.challenge_id)).await.assert_problem(400, "incorrect_otp");
    }
    // The tenth closed the number, whichever organization is asked next.
    world.advance(60);
    let after = send(&world, "game").await;
    let submit_after = async |code: &str| submit(&world, "game", code, Some(&after.challenge_id)).await;
    submit_after(&wrong(&after.code)).await.assert_problem(400, "incorrect_otp");
    submit_after(&after.code).await.assert_problem(429, "too_many_requests");
}

#[tokio::test]
async fn tokens_name_the_organization_and_only_the_roles_in_it() {
    let world = world().await;
    let game = sign_in(&world, "game").await;
    world.advance(30);
    let bank = sign_in(&world, "bank").await;
    assert_eq!(world.me(&bank).await["roles"], json!({"default": ["bank", "game"]}));
    let refreshed = world.refreshed(&game).await;
    for (token, organization) in [(&game.access, "game"), (&bank.access, "bank"), (&refreshed.access, "game")] {
        let claims = claims(token);
        assert_eq!(claims["org"], json!(organization));
        assert_eq!(claims["roles"], json!({"default": [organization]}));
        assert_eq!(claims["aud"], json!("latchkey"));
    }
}

#[tokio::test]
async fn a_token_has_the_audience_of_its_organization() {
    let world = World::new().await;
    world.create_organization("bank", &[("audience", "https://api.bank.example")]).await;
    let bank = sign_in(&world, "bank").await;
    let refreshed = world.refreshed(&bank).await;
    for token in [&bank.access, &refreshed.access] {
        assert_eq!(claims(token)["aud"], json!("https://api.bank.example"));
        assert_me(&world, token, 200).await;
    }
    // When the organization gives its audience up, the tokens that bear it are no longer valid.
    world.create_organization("bank", &[]).await;
    world.advance(60);
    assert_me(&world, &refreshed.access, 401).await;
    let again = world.refreshed(&refreshed).await;
    assert_eq!(claims(&again.access)["aud"], json!("latchkey"));
    assert_me(&world, &again.access, 200).await;
}

#[tokio::test]
async fn an_invited_organization_admits_its_members_only_and_says_so_only_after_the_right_code() {
    let world = World::new().await;
    world.create_organization("bank", &[("membership", "invited")]).await;
    let sent = send(&world, "bank").await;
    let (id, code) = (Some(sent.challenge_id.as_str()), sent.code.as_str());
    let refused = submit(&world, "bank", &wrong(code), id).await;
    assert_refused(&refused, "incorrect_otp", json!({"attempts_left": 4}));
    // Nobody with this number, and then a user who is no member.
    assert_refused(&submit(&world, "bank", code, id).await, "not_a_member", json!({}));
    assert_eq!(world.items("UsersTable").await, [] as [Value; 0]);
    world.advance(30);
    let elsewhere = world.sign_in(PHONE).await;
    assert_refused(&submit(&world, "bank", code, id).await, "not_a_member", json!({}));
    let join = |change: &str| {
        json!({
            "UpdateExpression": format!("{change} role_teller :bank"),
            "ExpressionAttributeValues": {":bank": {"SS": ["bank"]}},
        })
    };
    let user = format!("user#{}", elsewhere.user_id);
    world.update_user(&user, join("ADD")).await;
    let teller = person(PHONE, &submit(&world, "bank", code, id).await);
    assert_eq!(claims(&teller.access)["roles"]["teller"], json!(["bank"]));
    // Who is no longer a member gets no further tokens.
    world.update_user(&user, join("DELETE")).await;
    assert_refused(&world.refresh(&teller.refresh).await, "not_a_member", json!({}));
    assert_eq!(world.items("SessionsTable").await.len(), 2);
    // The refusal used up no token: a member again goes on with the same one, however long it took.
    world.advance(600);
    world.update_user(&user, join("ADD")).await;
    world.refreshed(&teller).await;
}

#[tokio::test]
async fn an_organization_whose_audience_is_the_issuer_issues_no_tokens() {
    let world = world().await;
    let bank = sign_in(&world, "bank").await;
    world.advance(30);
    let sent = send(&world, "bank").await;
    let issuer = claims(&bank.access)["iss"].as_str().unwrap().to_owned();
    world.create_organization("bank", &[("audience", &issuer)]).await;
    world.advance(60);
    send_to_organization(&world, PHONE, "bank").send().await.assert_problem(503, "service_unavailable");
    let refused = submit(&world, "bank", &sent.code, Some(&sent.challenge_id)).await;
    refused.assert_problem(503, "service_unavailable");
    world.refresh(&bank.refresh).await.assert_problem(503, "service_unavailable");
    // When the mistake is corrected, nothing is lost.
    world.create_organization("bank", &[]).await;
    world.advance(60);
    world.refreshed(&bank).await;
    person(PHONE, &submit(&world, "bank", &sent.code, Some(&sent.challenge_id)).await);
}

#[tokio::test]
async fn a_fresh_account_does_not_join_an_invited_organization() {
    let world = World::new().await;
    world.create_organization("bank", &[]).await;
    // The number's former holder is a member.
    sign_in(&world, "bank").await;
    world.create_organization("bank", &[("membership", "invited")]).await;
    world.advance(crate::setup::DORMANT_SECONDS);
    let sent = send(&world, "bank").await;
    let body = json!({
        "phone_number": PHONE, "otp": sent.code, "organization_id": "bank", "fresh_account": true,
    });
    let refused = world.post("/v1/otp/submit", body).send().await;
    assert_refused(&refused, "not_a_member", json!({}));
}

#[tokio::test]
async fn a_session_of_an_organization_that_is_gone_is_over() {
    let world = world().await;
    let game = sign_in(&world, "game").await;
    let key = json!({"TableName": "SettingsTable", "Key": {"pk": {"S": "organization#game"}}});
    world.dynamodb("DeleteItem", key).await;
    world.advance(60);
    assert_refused(&world.refresh(&game.refresh).await, "session_revoked", json!({}));
    let other = send_to_organization(&world, &phone(2), "game").send().await;
    assert_refused(&other, "no_such_organization", json!({}));
}
