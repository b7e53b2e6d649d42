//! Pushes to devices through Firebase Cloud Messaging, HTTP v1
//! (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send>), in a service account's name
//! (<https://developers.google.com/identity/protocols/oauth2/service-account#httprest>). Nothing is read or opened
//! before the first push: few systems ever make one.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::approval::{Pushed, Pushes, Question};
use domain::firebase::FirebaseProject;
use domain::text::FcmToken;
use domain::{Timestamp, Unavailable};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::config::ConfigError;
use crate::http::causes;
use crate::https::{HttpsClient, Reply};
use crate::secrets::{PushSecret, ServiceAccount};

/// How long all that is between us and the devices may take together.
const PUSHING_TIME: Duration = Duration::from_millis(3_000);
/// What the service account asks to do.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How it asks (RFC 7523 §2.1).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long what it signs is good. Seconds; Google takes an hour at most.
const ASSERTION_SECONDS: u32 = 600;
/// For how long before its end a bearer token is used no more. Seconds.
const EARLY_SECONDS: u32 = 60;

/// Pushes in one project's name. Cheap to clone.
#[derive(Clone)]
pub struct Push {
    secret: PushSecret,
    https: HttpsClient,
    url: Arc<str>,
    bearer: Arc<Mutex<Option<Bearer>>>,
}

#[derive(Clone)]
struct Bearer {
    token: String,
    until: Timestamp,
}

/// What the token endpoint answers (RFC 6749 §5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u32,
}

impl Push {
    /// For the project that is configured, if one is.
    ///
    /// # Errors
    /// When a project is configured and no secret for it.
    pub fn new(app: &App) -> Result<Option<Self>, ConfigError> {
        let Some(project) = app.config.push_project.as_ref().map(FirebaseProject::as_str) else { return Ok(None) };
        Ok(Some(Self {
            secret: PushSecret::new(app)?,
            https: HttpsClient::new(),
            url: format!("{}/v1/projects/{project}/messages:send", app.config.fcm_base_url).into(),
            bearer: Arc::default(),
        }))
    }

    /// The token that lets us push, asked for anew when its time is over.
    async fn bearer(&self, now: Timestamp) -> Result<String, Unavailable> {
        // Held while asking: one question at a time for all who wait.
        let mut bearer = self.bearer.lock().await;
        if let Some(Bearer { token, until }) = bearer.as_ref()
            && now < *until
        {
            return Ok(token.clone());
        }
        let Granted { access_token, expires_in } = self.ask_for_bearer(now).await?;
        let until = now.plus(expires_in.saturating_sub(EARLY_SECONDS));
        *bearer = Some(Bearer { token: access_token.clone(), until });
        Ok(access_token)
    }

    async fn ask_for_bearer(&self, now: Timestamp) -> Result<Granted, Unavailable> {
        const WHAT: &str = "get a token for FCM";
        let account = self.secret.account().await?;
        let assertion = assertion(&account, now)?;
        let fields = [("grant_type", GRANT_TYPE), ("assertion", &assertion)];
        let reply = self.https.post_form(&account.token_uri, None, &fields).await;
        let reply = reply.map_err(|error| Unavailable::new(WHAT, error))?;
        if reply.status != 200 {
            return Err(Unavailable::new(WHAT, format!("status {}", reply.status)));
        }
        // The parser's error could quote the token.
        serde_json::from_slice(&reply.body).map_err(|_| Unavailable::new(WHAT, "no token came"))
    }

    /// Hands one message over.
    async fn hand_over(&self, bearer: &str, message: String) -> Pushed {
        let reply = match self.https.post_json(&self.url, &format!("Bearer {bearer}"), message).await {
            Ok(reply) => reply,
            Err(why) => {
                tracing::warn!(why = why.to_string(), "FCM did not take a push");
                return Pushed::Failed;
            }
        };
        let (pushed, status) = (read(&reply), reply.status);
        match pushed {
            Pushed::Taken => {}
            Pushed::Unregistered => tracing::info!("FCM knows a device no more"),
            Pushed::Failed => tracing::warn!(status, "FCM did not take a push"),
        }
        if status == 401 {
            // It was taken back before its time.
            *self.bearer.lock().await = None;
        }
        pushed
    }
}

impl Pushes for Push {
    async fn push(&self, devices: &[FcmToken], question: &Question, now: Timestamp) -> Vec<Pushed> {
        let mut pushed = vec![Pushed::Failed; devices.len()];
        let Some(deadline) = Instant::now().checked_add(PUSHING_TIME) else { return pushed };
        let bearer = match timeout_at(deadline, self.bearer(now)).await {
            Ok(Ok(bearer)) => bearer,
            Ok(Err(unavailable)) => {
                tracing::warn!(cause = causes(&unavailable), "no push was tried");
                return pushed;
            }
            Err(_) => {
                tracing::warn!("no push was tried: the token for FCM did not come in time");
                return pushed;
            }
        };
        let mut running = JoinSet::new();
        for (place, device) in devices.iter().enumerate() {
            let (push, bearer, message) = (self.clone(), bearer.clone(), message(device, question, now).to_string());
            running.spawn(async move { (place, push.hand_over(&bearer, message).await) });
        }
        while let Ok(Some(ended)) = timeout_at(deadline, running.join_next()).await {
            if let Ok((place, outcome)) = ended
                && let Some(pushed) = pushed.get_mut(place)
            {
                *pushed = outcome;
            }
        }
        if !running.is_empty() {
            tracing::warn!("FCM did not answer a push in time");
        }
        pushed
    }
}

/// A message of data alone: the app wakes and asks its person. It is of no use once the code has expired. Android wakes
/// a sleeping device for high priority; Apple takes 5 and no other where nothing is shown
/// (<https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-priority>,
/// <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>).
fn message(device: &FcmToken, question: &Question, now: Timestamp) -> Value {
    let expires_at = question.expires_at.seconds().to_string();
    json!({"message": {
        "token": device.as_str(),
        "data": {"type": "sign_in_approval", "challenge_id": question.challenge.as_str(), "expires_at": expires_at},
        "android": {"priority": "HIGH", "ttl": format!("{}s", now.seconds_until(question.expires_at))},
        "apns": {
            "headers": {"apns-push-type": "background", "apns-priority": "5", "apns-expiration": expires_at},
            "payload": {"aps": {"content-available": 1}},
        },
    }})
}

/// What an answer means (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>).
fn read(reply: &Reply) -> Pushed {
    let says_unregistered = || {
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let details = answer.pointer("/error/details").and_then(Value::as_array).into_iter().flatten();
        details.filter_map(|detail| detail.get("errorCode")).any(|code| code == "UNREGISTERED")
    };
    match reply.status {
        200 => Pushed::Taken,
        404 if says_unregistered() => Pushed::Unregistered,
        _ => Pushed::Failed,
    }
}

/// What the account signs to get a token.
fn assertion(account: &ServiceAccount, now: Timestamp) -> Result<String, Unavailable> {
    let claims = json!({
        "iss": account.client_email, "scope": SCOPE, "aud": account.token_uri,
        "iat": now.seconds(), "exp": now.plus(ASSERTION_SECONDS).seconds(),
    });
    let header = json!({"alg": "RS256", "typ": "JWT"});
    let encoded = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let signature = sign(&account.private_key, signed.as_bytes());
    let signature =
        signature.ok_or_else(|| Unavailable::new("sign for FCM", "the private_key is no RSA key in PEM"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Signs with a key in PKCS #8, in PEM (RFC 7468 §10): `jsonwebtoken` takes RSA keys in PKCS #1 alone.
fn sign(pem: &str, text: &[u8]) -> Option<Vec<u8>> {
    let base64: String = pem.lines().map(str::trim).filter(|line| !line.starts_with('-')).collect();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(base64).ok()?).ok()?;
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
    Some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_documented_answer_means_what_the_vendor_says() {
        let answer = |status, body: &str| read(&Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() });
        let error = |status: u16, code: &str| {
            let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
            let details =
                json!([{"@type": "type.googleapis.com/google.rpc.BadRequest"}, {"@type": kind, "errorCode": code}]);
            answer(status, &json!({"error": {"code": status, "status": "NOT_FOUND", "details": details}}).to_string())
        };
        assert_eq!(answer(200, r#"{"name":"projects/p/messages/0:1"}"#), Pushed::Taken);
        assert_eq!(error(404, "UNREGISTERED"), Pushed::Unregistered);
        for (status, code) in [
            (400, "INVALID_ARGUMENT"),
            (401, "THIRD_PARTY_AUTH_ERROR"),
            (403, "SENDER_ID_MISMATCH"),
            (429, "QUOTA_EXCEEDED"),
            (500, "INTERNAL"),
            (503, "UNAVAILABLE"),
            (404, "UNSPECIFIED_ERROR"),
        ] {
            assert_eq!(error(status, code), Pushed::Failed, "{code}");
        }
        // A project that is none is not found either.
        assert_eq!(answer(404, r#"{"error":{"code":404,"status":"NOT_FOUND"}}"#), Pushed::Failed);
        assert_eq!(answer(404, "<html>"), Pushed::Failed);
    }
}
