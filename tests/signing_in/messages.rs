//! The text of a message: its language, and the formats from which the organization's apps can read the code.

use serde_json::json;
use tests::World;

use crate::setup::phone;

/// Sends `body` with this `Accept-Language`; returns the text of the message.
async fn message(world: &World, body: serde_json::Value, accept_language: &str) -> String {
    let to = body["phone_number"].as_str().unwrap().to_owned();
    world.keep_secret(&to);
    let reply = world.post("/v1/otp/send", body).header("accept-language", accept_language).send().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    world.code(&to).await;
    world.inbox(&to).await[0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_language_is_that_of_the_locale_then_accept_language_then_the_organization() {
    let world = World::new().await;
    world.create_organization("himal", &[("languages", "ne,en")]).await;
    for (n, mut body, accept_language, word) in [
        (1, json!({"locale": "ne"}), "en", "कोड"),
        (2, json!({"locale": "ne_NP"}), "en", "कोड"),
        (3, json!({"locale": "fr"}), "ne-NP,ne;q=0.9", "कोड"),
        (4, json!({}), "en-US;q=0.4, ne", "कोड"),
        (5, json!({}), "fr", "code"),
        (6, json!({"organization_id": "himal"}), "fr", "कोड"),
        (7, json!({"organization_id": "himal", "locale": "en"}), "ne", "code"),
        (8, json!({}), ";q=;,=,q", "code"),
    ] {
        body["phone_number"] = json!(phone(n));
        let text = message(&world, body.clone(), accept_language).await;
        assert!(text.contains(word), "{body} {accept_language}: {text}");
    }
}

#[tokio::test]
async fn messages_have_the_format_that_the_organizations_apps_can_read() {
    let world = World::new().await;
    let (hash, domain) = (("android_app_hash", "FA+9qCX9VSu"), ("web_domain", "himal.example"));
    world.create_organization("neither", &[]).await;
    world.create_organization("android", &[hash]).await;
    world.create_organization("web", &[domain]).await;
    world.create_organization("both", &[hash, domain]).await;
    for (n, id, expected) in [
        (1, "neither", "000000 is your Acme code."),
        (2, "android", "<#> 000000 is your Acme code.\nFA+9qCX9VSu"),
        (3, "web", "Your Acme code:\n@himal.example #000000"),
        (4, "both", "<#> Your Acme code:\n@himal.example #000000 FA+9qCX9VSu"),
    ] {
        let text = message(&world, json!({"phone_number": phone(n), "organization_id": id}), "").await;
        let code = world.code(&phone(n)).await;
        assert_eq!(text.replace(&code, "000000"), expected, "{id}");
    }
}

#[tokio::test]
async fn the_message_of_a_change_says_that_its_code_changes_the_number() {
    let world = World::new().await;
    let person = world.sign_in(&phone(1)).await;
    for (accept_language, expected) in [
        ("en", "000000 is your code to CHANGE the number of your Latchkey account. Don't share it."),
        ("ne", "000000 Latchkey खाताको नम्बर फेर्ने कोड हो। कसैलाई नदिनुहोस्।"),
    ] {
        let body = json!({"phone_number": phone(2), "change": true});
        world.keep_phone_secret(&phone(2));
        let send = world.post("/v1/phone/otp/send", body).as_person(&person);
        send.header("accept-language", accept_language).send().await.ok();
        let code = world.code(&phone(2)).await;
        let text = world.inbox(&phone(2)).await[0]["text"].as_str().unwrap().replace(&code, "000000");
        assert_eq!(text, expected);
        world.advance(60);
    }
    world.advance(600);
    let own = world.post("/v1/phone/otp/send", json!({"phone_number": phone(1)})).as_person(&person);
    own.header("accept-language", "en").send().await.ok();
    let code = world.code(&phone(1)).await;
    let text = world.inbox(&phone(1)).await[0]["text"].as_str().unwrap().replace(&code, "000000");
    assert_eq!(text, "000000 is your code to verify this number for Latchkey. Don't share it.");
}

/// The command that writes an organization refuses such a line, with the excess.
#[tokio::test]
async fn a_message_that_would_be_too_long_loses_lines() {
    let site = "a long line about the site that the messages are from";
    let world = World::with(&[("APP_SITE", site)]).await;
    world.create_organization("himal", &[("site", site)]).await;
    for (n, accept_language, has_site) in [(1, "en", true), (2, "ne", false)] {
        let of_deployment = message(&world, json!({"phone_number": phone(n)}), accept_language).await;
        assert_eq!(of_deployment.contains(site), has_site, "{of_deployment}");
        world.advance(60);
        let body = json!({"phone_number": phone(n), "organization_id": "himal"});
        let of_organization = message(&world, body, accept_language).await;
        assert_eq!(of_organization.contains(site), has_site, "{of_organization}");
    }
}
