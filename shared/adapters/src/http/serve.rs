//! Serves one event: converts it, runs the handler, renders the answer, and writes one line to the log.

use std::time::Instant;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};

use domain::rules::device_proof::ProofRefusal;

use super::answer::Answer;
use super::problem::Problem;
use super::request::Request;
use super::words::Tongue;
use crate::telemetry::{causes, with_request_id};

/// The stage variable with the URL of the documents.
const DOCUMENTATION: &str = "LatchkeyDocumentation";

pub async fn serve<F>(
    function: &'static str,
    event: ApiGatewayV2httpRequest,
    handler: impl FnOnce(Request) -> F,
) -> ApiGatewayV2httpResponse
where
    F: Future<Output = Result<Answer, Problem>>,
{
    let request_id = event.request_context.request_id.clone();
    let request_id = request_id.as_deref().unwrap_or("-");
    // Boxed: otherwise the type is too deep for the compiler's limit in a release build.
    with_request_id(request_id, Box::pin(answer(function, event, handler))).await.into_response(request_id)
}

async fn answer<F>(function: &'static str, event: ApiGatewayV2httpRequest, handler: impl FnOnce(Request) -> F) -> Answer
where
    F: Future<Output = Result<Answer, Problem>>,
{
    let started = Instant::now();
    let accepted = event.headers.get("accept-language").and_then(|value| value.to_str().ok());
    let tongue = Tongue::preferred(accepted);
    let documentation = event.stage_variables.get(DOCUMENTATION).cloned();
    let outcome = match Request::from_event(event) {
        Ok(request) => handler(request).await,
        Err(problem) => Err(problem),
    };
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (answer, code, why) = match outcome {
        Ok(answer) => (answer, "ok", None),
        Err(problem) => {
            let code = problem.code.as_str();
            if let Some(unavailable) = problem.source() {
                tracing::error!(function, code, cause = causes(unavailable), "unavailable");
            }
            let why = problem.proof_refusal().map(ProofRefusal::name);
            (problem.into_answer(tongue, documentation.as_deref()), code, why)
        }
    };
    tracing::info!(function, status = answer.status, code, why, milliseconds, "served");
    answer
}
