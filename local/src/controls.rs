//! The routes under `/local`, which exist on one machine alone: the inbox, the pushes, the faults, the clock.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use adapters::Clock;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::faults::{Fault, Faults};
use crate::google::Google;
use crate::inbox::Inbox;
use crate::{answer, lock};

const LARGEST_BODY: usize = 16 * 1024;
/// Ten years in all; further ahead is a slip of the finger.
const FURTHEST: u64 = 10 * 366 * 24 * 60 * 60;

pub struct Controls {
    inbox: Arc<Inbox>,
    google: Arc<Google>,
    faults: Arc<Faults>,
    clock: Clock,
    clock_file: Option<PathBuf>,
    ahead_seconds: Mutex<u64>,
}

#[derive(Deserialize)]
struct Advance {
    advance_seconds: u64,
}

impl Controls {
    pub fn new(
        inbox: Arc<Inbox>,
        google: Arc<Google>,
        faults: Arc<Faults>,
        clock: Clock,
        clock_file: Option<PathBuf>,
    ) -> Self {
        let text = clock_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let ahead = text.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        Self { inbox, google, faults, clock, clock_file, ahead_seconds: Mutex::new(ahead) }
    }
}

pub fn router(controls: Arc<Controls>) -> Router {
    Router::new()
        .route("/inbox", get(inbox))
        .route("/pushes", get(pushes))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/clock", get(now).post(advance))
        .fallback(async || answer::problem(StatusCode::NOT_FOUND, "not_found", "There is no such local route."))
        .method_not_allowed_fallback(async || {
            answer::problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This route does not do that.")
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(controls)
}

async fn inbox(State(controls): State<Arc<Controls>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let to = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "to").map(|(_, to)| to);
    answer::json(StatusCode::OK, &json!({ "messages": controls.inbox.messages(to.as_deref()) }))
}

async fn pushes(State(controls): State<Arc<Controls>>) -> Response {
    answer::json(StatusCode::OK, &json!({ "pushes": controls.google.pushes() }))
}

async fn add_fault(State(controls): State<Arc<Controls>>, body: Bytes) -> Response {
    match read::<Fault>(&body) {
        Ok(fault) if fault.times > 0 => {
            controls.faults.add(fault);
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(_) => malformed("times must be above 0"),
        Err(detail) => malformed(&detail),
    }
}

async fn clear_faults(State(controls): State<Arc<Controls>>) -> Response {
    controls.faults.clear();
    StatusCode::NO_CONTENT.into_response()
}

async fn now(State(controls): State<Arc<Controls>>) -> Response {
    answer::json(StatusCode::OK, &json!({ "now": controls.clock.now().seconds() }))
}

async fn advance(State(controls): State<Arc<Controls>>, body: Bytes) -> Response {
    let Advance { advance_seconds } = match read(&body) {
        Ok(advance) => advance,
        Err(detail) => return malformed(&detail),
    };
    {
        let mut ahead = lock(&controls.ahead_seconds);
        let further = ahead.saturating_add(advance_seconds);
        if further > FURTHEST {
            return malformed("advance_seconds would put the clock more than ten years ahead");
        }
        // Kept, because what is stored bears the times of this clock.
        if let Some(file) = &controls.clock_file
            && let Err(error) = std::fs::write(file, further.to_string())
        {
            return answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "clock_not_kept", &error.to_string());
        }
        *ahead = further;
        controls.clock.advance(advance_seconds);
    }
    now(State(controls)).await
}

fn read<Body: DeserializeOwned>(body: &[u8]) -> Result<Body, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn malformed(detail: &str) -> Response {
    answer::problem(StatusCode::BAD_REQUEST, "malformed_request", detail)
}
