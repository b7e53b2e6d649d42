//! Pushes to devices by Firebase Cloud Messaging, HTTP v1
//! (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send>), with a service account
//! (<https://developers.google.com/identity/protocols/oauth2/service-account#httprest>). Nothing is read or opened before
//! the first push, since most processes make none.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::rules::firebase_token::FirebaseProject;
use domain::rules::notice::Notice;
use domain::use_cases::approval::{ApprovalRequest, PushGateway, PushOutcome};
use domain::use_cases::deliver_notice::NoticeGateway;
use domain::values::text::FcmToken;
use domain::values::time::{DAY, Timestamp};
use domain::values::unavailable::Unavailable;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::app::App;
use crate::config::ConfigError;
use crate::expiring::{Expiring, Fetched};
use crate::https::{HttpResponse, HttpsClient};
use crate::secrets::{PushSecret, ServiceAccount};
use crate::telemetry::causes;

/// How long the bearer token and all pushes may take together.
const PUSHING_TIME: Duration = Duration::from_millis(3_000);
/// How long FCM and APNs keep a notice for a device that is off: three days, as long as a change can be taken back.
const NOTICE_SECONDS: u32 = 3 * DAY;
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// RFC 7523 §2.1.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is valid. Seconds; Google accepts at most an hour.
const ASSERTION_SECONDS: u32 = 600;
/// How long before its expiry a bearer token is no longer used. Seconds.
const EARLY_SECONDS: u32 = 60;

/// Pushes for one project. Cheap to clone.
#[derive(Clone)]
pub struct Push {
    secret: PushSecret,
    https: HttpsClient,
    url: Arc<str>,
    bearer: Arc<Expiring<(), String>>,
}

/// The response of the token endpoint (RFC 6749 §5.1).
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u32,
}

impl Push {
    /// None if no project is configured.
    ///
    /// # Errors
    /// When a project is configured and no secret for it.
    pub fn new(app: &App) -> Result<Option<Self>, ConfigError> {
        let google = &app.config.google;
        let Some(project) = google.push_project.as_ref().map(FirebaseProject::as_str) else { return Ok(None) };
        Ok(Some(Self {
            secret: PushSecret::new(app)?,
            https: HttpsClient::new(),
            url: format!("{}/v1/projects/{project}/messages:send", google.fcm_base_url).into(),
            bearer: Arc::new(Expiring::new(1)),
        }))
    }

    /// The token that authorizes pushes.
    async fn bearer(&self, now: Timestamp) -> Result<String, Unavailable> {
        let fetch = || async {
            let TokenResponse { access_token, expires_in } = self.request_bearer(now).await?;
            let fresh_until = now.plus(expires_in.saturating_sub(EARLY_SECONDS));
            Ok(Fetched { value: access_token, fresh_until })
        };
        self.bearer.get(&(), now, fetch).await
    }

    async fn request_bearer(&self, now: Timestamp) -> Result<TokenResponse, Unavailable> {
        const REQUEST: &str = "get a token for FCM";
        let account = self.secret.account().await?;
        let assertion = assertion(&account, now)?;
        let fields = [("grant_type", GRANT_TYPE), ("assertion", &assertion)];
        let response = self.https.post_form(&account.token_uri, None, &fields).await;
        let response = response.map_err(|error| Unavailable::new(REQUEST, error))?;
        if response.status != 200 {
            return Err(Unavailable::new(REQUEST, format!("status {}", response.status)));
        }
        // The parser's error could quote the token.
        serde_json::from_slice(&response.body).map_err(|_| Unavailable::new(REQUEST, "the response has no token"))
    }

    async fn push_one(&self, bearer: &str, message: String) -> PushOutcome {
        let response = match self.https.post_json(&self.url, &format!("Bearer {bearer}"), message).await {
            Ok(response) => response,
            Err(why) => {
                tracing::warn!(why = why.to_string(), "FCM did not accept a push");
                return PushOutcome::Failed;
            }
        };
        let (outcome, status) = (read(&response), response.status);
        match outcome {
            PushOutcome::Accepted => {}
            PushOutcome::Unregistered => tracing::info!("a device is no longer registered with FCM"),
            PushOutcome::Failed => tracing::warn!(status, "FCM did not accept a push"),
        }
        if status == 401 {
            // The token was revoked before its expiry.
            self.bearer.forget(&()).await;
        }
        outcome
    }
}

impl PushGateway for Push {
    async fn push(&self, devices: &[FcmToken], request: &ApprovalRequest, now: Timestamp) -> Vec<PushOutcome> {
        self.push_all(devices, |device| approval_message(device, request, now), now).await
    }
}

impl NoticeGateway for Push {
    async fn push_notice(&self, devices: &[FcmToken], notice: &Notice, now: Timestamp) -> Vec<PushOutcome> {
        self.push_all(devices, |device| notice_message(device, notice), now).await
    }
}

impl Push {
    async fn push_all(
        &self,
        devices: &[FcmToken],
        message: impl Fn(&FcmToken) -> Value,
        now: Timestamp,
    ) -> Vec<PushOutcome> {
        let mut outcomes = vec![PushOutcome::Failed; devices.len()];
        let Some(deadline) = Instant::now().checked_add(PUSHING_TIME) else { return outcomes };
        let bearer = match timeout_at(deadline, self.bearer(now)).await {
            Ok(Ok(bearer)) => bearer,
            Ok(Err(unavailable)) => {
                tracing::warn!(cause = causes(&unavailable), "no push was sent");
                return outcomes;
            }
            Err(_) => {
                tracing::warn!("no push was sent: the token for FCM did not come in time");
                return outcomes;
            }
        };
        let mut running = JoinSet::new();
        for (place, device) in devices.iter().enumerate() {
            let (push, bearer, message) = (self.clone(), bearer.clone(), message(device).to_string());
            let push_one = async move { (place, push.push_one(&bearer, message).await) };
            running.spawn(push_one.in_current_span());
        }
        while let Ok(Some(ended)) = timeout_at(deadline, running.join_next()).await {
            if let Ok((place, outcome)) = ended
                && let Some(of_device) = outcomes.get_mut(place)
            {
                *of_device = outcome;
            }
        }
        if !running.is_empty() {
            tracing::warn!("FCM did not respond to a push in time");
        }
        outcomes
    }
}

/// A data message: the app wakes and asks its user. It is useless after the code has expired. Android wakes a sleeping
/// device for high priority; Apple accepts only 5 where nothing is shown
/// (<https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-priority>,
/// <https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>).
fn approval_message(device: &FcmToken, request: &ApprovalRequest, now: Timestamp) -> Value {
    let expires_at = request.expires_at.seconds().to_string();
    json!({"message": {
        "token": device.as_str(),
        "data": {"type": "sign_in_approval", "challenge_id": request.challenge.as_str(), "expires_at": expires_at},
        "android": {"priority": "HIGH", "ttl": format!("{}s", now.seconds_until(request.expires_at))},
        "apns": {
            "headers": {"apns-push-type": "background", "apns-priority": "5", "apns-expiration": expires_at},
            "payload": {"aps": {"content-available": 1}},
        },
    }})
}

/// A data message: the app shows it in the words of its own language.
fn notice_message(device: &FcmToken, notice: &Notice) -> Value {
    let data = json!({
        "type": "account_notice", "event": notice.event.name(), "notice_id": notice.id.as_str(),
        "user_id": notice.user.as_str(), "at": notice.at.seconds().to_string(),
    });
    json!({"message": {
        "token": device.as_str(),
        "data": data,
        "android": {"priority": "HIGH", "ttl": format!("{NOTICE_SECONDS}s")},
        "apns": {
            "headers": {
                "apns-push-type": "background", "apns-priority": "5",
                "apns-expiration": notice.at.plus(NOTICE_SECONDS).seconds().to_string(),
            },
            "payload": {"aps": {"content-available": 1}},
        },
    }})
}

/// What a response means (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>).
fn read(response: &HttpResponse) -> PushOutcome {
    let says_unregistered = || {
        let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let details = answer.pointer("/error/details").and_then(Value::as_array).into_iter().flatten();
        details.filter_map(|detail| detail.get("errorCode")).any(|code| code == "UNREGISTERED")
    };
    match response.status {
        200 => PushOutcome::Accepted,
        404 if says_unregistered() => PushOutcome::Unregistered,
        _ => PushOutcome::Failed,
    }
}

/// What the service account signs to get a token.
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
        signature.ok_or_else(|| Unavailable::new("sign for FCM", "the private_key is not an RSA key in PEM"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Signs with a key in PKCS #8, in PEM (RFC 7468 §10). `jsonwebtoken` accepts RSA keys only in PKCS #1.
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
    fn each_documented_response_has_the_documented_meaning() {
        let answer = |status, body: &str| {
            read(&HttpResponse { status, body: body.as_bytes().to_vec(), ..HttpResponse::default() })
        };
        let error = |status: u16, code: &str| {
            let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
            let details =
                json!([{"@type": "type.googleapis.com/google.rpc.BadRequest"}, {"@type": kind, "errorCode": code}]);
            answer(status, &json!({"error": {"code": status, "status": "NOT_FOUND", "details": details}}).to_string())
        };
        assert_eq!(answer(200, r#"{"name":"projects/p/messages/0:1"}"#), PushOutcome::Accepted);
        assert_eq!(error(404, "UNREGISTERED"), PushOutcome::Unregistered);
        for (status, code) in [
            (400, "INVALID_ARGUMENT"),
            (401, "THIRD_PARTY_AUTH_ERROR"),
            (403, "SENDER_ID_MISMATCH"),
            (429, "QUOTA_EXCEEDED"),
            (500, "INTERNAL"),
            (503, "UNAVAILABLE"),
            (404, "UNSPECIFIED_ERROR"),
        ] {
            assert_eq!(error(status, code), PushOutcome::Failed, "{code}");
        }
        // An unknown project is not found either.
        assert_eq!(answer(404, r#"{"error":{"code":404,"status":"NOT_FOUND"}}"#), PushOutcome::Failed);
        assert_eq!(answer(404, "<html>"), PushOutcome::Failed);
    }
}
