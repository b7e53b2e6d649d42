//! The routes under `/local`, which exist only in the local system: what happened, and what a developer can make happen.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use adapters::telemetry::causes;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use domain::values::country::Country;
use domain::values::numbering_plan::NumberingPlan;
use domain::values::phone::DialledNumber;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::answer;
use crate::callers;
use crate::clock::AdjustableClock;
use crate::faults::fault::Fault;
use crate::faults::store::Faults;
use crate::inbox::Inbox;
use crate::journal::Journal;
use crate::live::Live;
use crate::lock::lock;
use crate::private_file;
use crate::seed::{Seed, SeedError, Seeder};
use crate::vendors::eventbridge::EventBridge;
use crate::vendors::google::Google;

const MAXIMUM_BODY_BYTES: usize = 16 * 1024;
/// Thousands of users.
const MAXIMUM_SEED_BYTES: usize = 1024 * 1024;
/// Ten years. More is most likely a typing error.
const MAXIMUM_AHEAD_SECONDS: u64 = 10 * 366 * 24 * 60 * 60;

type Body = Result<Bytes, BytesRejection>;

pub struct Controls {
    pub live: Arc<Live>,
    /// `None`: calls are not kept.
    pub journal: Option<Arc<Journal>>,
    pub settings: Value,
    pub seeder: Seeder,
    pub inbox: Arc<Inbox>,
    /// Where a national number of a request is read.
    pub home: Country,
    pub plan: NumberingPlan,
    pub google: Arc<Google>,
    pub eventbridge: Arc<EventBridge>,
    pub faults: Arc<Faults>,
    pub clock: AdjustableClock,
    pub clock_file: Option<PathBuf>,
    /// Held while the clock advances, so that the file always has its latest state.
    pub advancing: Mutex<()>,
}

#[derive(Deserialize)]
struct Advance {
    advance_seconds: u64,
}

pub fn router(controls: Arc<Controls>) -> Router {
    let router = Router::new()
        .route("/stream", get(stream))
        .route("/calls", get(calls))
        .route("/settings", get(settings))
        .route("/seed", post(seed).layer(DefaultBodyLimit::max(MAXIMUM_SEED_BYTES)))
        .route("/inbox", get(inbox))
        .route("/pushes", get(pushes))
        .route("/events", get(events))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/clock", get(now).post(advance))
        .fallback(async || answer::problem(StatusCode::NOT_FOUND, "not_found", "This route does not exist."))
        .method_not_allowed_fallback(async || {
            answer::problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This route does not support this method.",
            )
        })
        .layer(DefaultBodyLimit::max(MAXIMUM_BODY_BYTES))
        .with_state(controls);
    callers::no_foreign_page(router)
}

async fn stream(State(controls): State<Arc<Controls>>) -> Response {
    controls.live.stream()
}

async fn calls(State(controls): State<Arc<Controls>>) -> Response {
    let calls = controls.journal.as_ref().map(|journal| journal.calls()).unwrap_or_default();
    answer::json(StatusCode::OK, &json!({ "calls": calls.iter().map(Arc::as_ref).collect::<Vec<_>>() }))
}

async fn settings(State(controls): State<Arc<Controls>>) -> Response {
    match controls.seeder.organizations().await {
        Ok(organizations) => {
            let mut settings = controls.settings.clone();
            if let Some(members) = settings.as_object_mut() {
                members.insert("organizations".to_owned(), json!(organizations));
            }
            answer::json(StatusCode::OK, &settings)
        }
        Err(error) => not_seeded(&error),
    }
}

/// Writes the organizations and users of a seed, as `--seed` does at the start.
async fn seed(State(controls): State<Arc<Controls>>, body: Body) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unread(&rejection),
    };
    let seeded = match Seed::parse(&body) {
        Ok(seed) => controls.seeder.write(&seed).await,
        Err(error) => Err(error),
    };
    match seeded {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => not_seeded(&error),
    }
}

fn not_seeded(error: &SeedError) -> Response {
    match error {
        SeedError::Unavailable(_) => {
            answer::problem(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", &causes(error))
        }
        SeedError::Wrong { .. } | SeedError::Unreadable(_) => malformed(&error.to_string()),
    }
}

async fn inbox(State(controls): State<Arc<Controls>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let to = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "to").map(|(_, to)| to);
    // A plus that is not encoded means a space.
    let to = to.map(|to| if to.starts_with(' ') { format!("+{}", to.trim_start()) } else { to.into_owned() });
    let read = |to: String| match DialledNumber::parse(&to, controls.home, &controls.plan) {
        Ok(dialled) => dialled.number.e164().to_owned(),
        Err(_) => to,
    };
    answer::json(StatusCode::OK, &json!({ "messages": controls.inbox.messages(to.map(read).as_deref()) }))
}

async fn pushes(State(controls): State<Arc<Controls>>) -> Response {
    answer::json(StatusCode::OK, &json!({ "pushes": controls.google.pushes() }))
}

async fn events(State(controls): State<Arc<Controls>>) -> Response {
    answer::json(StatusCode::OK, &json!({ "events": controls.eventbridge.events() }))
}

async fn faults(State(controls): State<Arc<Controls>>) -> Response {
    answer::json(StatusCode::OK, &controls.faults.pending())
}

async fn add_fault(State(controls): State<Arc<Controls>>, body: Body) -> Response {
    match read::<Fault>(body) {
        Ok(fault) if fault.times == 0 => malformed("times must be at least 1"),
        Ok(fault) if !matches!(fault.code, Value::Null | Value::String(_) | Value::Number(_)) => {
            malformed("code must be a text or a number")
        }
        Ok(fault) if controls.faults.add(fault.clone()) => StatusCode::NO_CONTENT.into_response(),
        Ok(_) => malformed("too many faults are left: clear them first"),
        Err(refusal) => *refusal,
    }
}

async fn clear_faults(State(controls): State<Arc<Controls>>) -> Response {
    controls.faults.clear();
    StatusCode::NO_CONTENT.into_response()
}

async fn now(State(controls): State<Arc<Controls>>) -> Response {
    answer::json(StatusCode::OK, &time(&controls))
}

fn time(controls: &Controls) -> Value {
    json!({ "now": controls.clock.now_seconds() })
}

async fn advance(State(controls): State<Arc<Controls>>, body: Body) -> Response {
    let Advance { advance_seconds } = match read(body) {
        Ok(advance) => advance,
        Err(refusal) => return *refusal,
    };
    {
        let _advancing = lock(&controls.advancing);
        let ahead = controls.clock.ahead_seconds().saturating_add(advance_seconds);
        if ahead > MAXIMUM_AHEAD_SECONDS {
            return malformed("advance_seconds would move the clock more than ten years ahead");
        }
        // A restart must not set the clock back: the stored data has the times of this clock.
        if let Some(file) = &controls.clock_file
            && let Err(error) = private_file::write(file, ahead.to_string().as_bytes())
        {
            return answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "clock_not_kept", &error.to_string());
        }
        controls.clock.advance(advance_seconds);
        controls.live.tell("clock", &time(&controls));
    }
    now(State(controls)).await
}

/// A problem for a body that is too large or was cut off.
fn unread(rejection: &BytesRejection) -> Response {
    answer::problem(rejection.status(), "unread_body", &rejection.body_text())
}

/// The error is the answer.
fn read<T: DeserializeOwned>(body: Body) -> Result<T, Box<Response>> {
    let body = body.map_err(|rejection| Box::new(unread(&rejection)))?;
    parse(&body).map_err(|detail| Box::new(malformed(&detail)))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        // The place helps only where the body is no JSON.
        let without_place = text.split_once(" at line ").map_or(&*text, |(reason, _)| reason);
        if error.is_data() { without_place.to_owned() } else { text }
    })
}

fn malformed(detail: &str) -> Response {
    answer::problem(StatusCode::BAD_REQUEST, "malformed_request", detail)
}
