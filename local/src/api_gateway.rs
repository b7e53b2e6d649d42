//! The HTTP API as API Gateway serves it, with the routes, throttles, CORS settings and authorizers of the template.
//! Each request reaches its function as an event of payload format 2.0.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use adapters::http::Route as RouteTable;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::callers::is_loopback_origin;
use crate::clock::AdjustableClock;
use crate::cloudformation::{ACCOUNT, Cors, REGION, Route, Template, Throttle};
use crate::functions::Functions;
use crate::journal::{Entry, Journal};
use crate::lock::lock;
use crate::{answer, random};

/// API Gateway's limits (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>).
const MAXIMUM_BODY_BYTES: usize = 10 * 1024 * 1024;
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(30);

const API_ID: &str = "local";

pub struct ApiGateway {
    template: Template,
    functions: Arc<Functions>,
    clock: AdjustableClock,
    journal: Option<Arc<Journal>>,
    /// By route key. A route without a bucket is not throttled.
    buckets: BTreeMap<String, Mutex<Bucket>>,
}

/// A token bucket: <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html>.
struct Bucket {
    throttle: Throttle,
    tokens: f64,
    filled: Instant,
}

/// Why a function has not answered.
enum Failure {
    Function,
    Timeout,
}

/// A request to a known route.
struct Call<'a> {
    route: &'a Route,
    path: String,
    path_parameters: Map<String, Value>,
    parts: &'a request::Parts,
    source: IpAddr,
    request_id: String,
    entry: Option<&'a Entry>,
}

impl ApiGateway {
    pub fn new(
        template: Template,
        functions: Arc<Functions>,
        clock: AdjustableClock,
        journal: Option<Arc<Journal>>,
    ) -> Self {
        let mut buckets = BTreeMap::new();
        for route in &template.routes {
            let throttle = template.route_throttles.get(&route.key()).copied().or(template.default_throttle);
            if let Some(throttle) = throttle {
                let bucket = Bucket { throttle, tokens: throttle.burst, filled: Instant::now() };
                buckets.insert(route.key(), Mutex::new(bucket));
            }
        }
        Self { template, functions, clock, journal, buckets }
    }

    /// The answer to a request from `source`.
    pub async fn serve(&self, source: IpAddr, request: Request) -> Response {
        let origin = text(request.headers(), &header::ORIGIN);
        let method = request.method().clone();
        let (parts, body) = request.into_parts();
        let entry = self.journal.as_ref().filter(|_| method != Method::OPTIONS).map(|journal| journal.begin(&parts));
        let mut response = self.answer(source, parts, body, entry.as_ref()).await;
        // Of the clock that the functions use, because a client takes the time of its proofs from it.
        set_header(response.headers_mut(), header::DATE, &http_date(self.clock.now_seconds()));
        if let (Some(cors), Some(origin)) = (&self.template.cors, origin)
            && let Some(allowed) = allowed_origin(cors, &origin)
        {
            let headers = response.headers_mut();
            set_header(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            if method == Method::OPTIONS {
                add_preflight_headers(cors, headers);
            } else {
                let exposed = cors.exposed_headers.join(",").to_ascii_lowercase();
                set_header(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &exposed);
            }
        }
        match entry {
            Some(entry) => noted(entry, response).await,
            None => response,
        }
    }

    async fn answer(&self, source: IpAddr, parts: request::Parts, body: Body, entry: Option<&Entry>) -> Response {
        if parts.method == Method::OPTIONS && self.template.cors.is_some() {
            return StatusCode::NO_CONTENT.into_response();
        }
        let Some(path) = decoded(parts.uri.path()) else {
            return answer::gateway_message(StatusCode::BAD_REQUEST, "Bad Request");
        };
        let Some((route, path_parameters)) = self.find_route(&parts.method, parts.uri.path()) else {
            return answer::gateway_message(StatusCode::NOT_FOUND, "Not Found");
        };
        if let Some(entry) = entry {
            entry.route(&route.key(), route.authorizer.iter().chain([&route.function]).cloned());
        }
        let request_id = random::request_id();
        let call = Call { route, path, path_parameters, parts: &parts, source, request_id, entry };
        let mut response = self.run(&call, body).await;
        if let Ok(id) = HeaderValue::from_str(&call.request_id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        response
    }

    async fn run(&self, call: &Call<'_>, body: Body) -> Response {
        if !self.has_capacity(call.route) {
            return answer::gateway_message(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
        }
        let Ok(body) = to_bytes(body, MAXIMUM_BODY_BYTES).await else {
            return answer::gateway_message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
        };
        if let Some(entry) = call.entry {
            entry.request_body(&body);
        }
        let authorizer = match self.authorize(call).await {
            Ok(context) => context,
            Err(refusal) => return refusal,
        };
        let event = self.event(call, authorizer, &body);
        match self.invoke(&call.route.function, event).await {
            Ok(answer) => response(&answer).unwrap_or_else(failure),
            Err(Failure::Function) => failure(),
            Err(Failure::Timeout) => answer::gateway_message(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        }
    }

    async fn invoke(&self, function: &str, event: Value) -> Result<Value, Failure> {
        let answer = timeout(FUNCTION_TIMEOUT, self.functions.invoke(function, event)).await;
        answer.map_err(|_| Failure::Timeout)?.map_err(|reason| {
            eprintln!("{function} failed: {reason}");
            Failure::Function
        })
    }

    /// The template's route for a request, found by the table that the functions use too. An encoded slash does not
    /// separate segments.
    fn find_route(&self, method: &Method, path: &str) -> Option<(&Route, Map<String, Value>)> {
        let (known, parameter) = RouteTable::find(method.as_str(), path)?;
        let route = self.template.routes.iter().find(|route| route.key() == known.to_string())?;
        let parameters =
            known.parameter().zip(parameter).map(|(name, value)| Some((name.to_owned(), json!(decoded(value)?))));
        Some((route, parameters.into_iter().collect::<Option<_>>()?))
    }

    fn has_capacity(&self, route: &Route) -> bool {
        let Some(bucket) = self.buckets.get(&route.key()) else { return true };
        lock(bucket).take(Instant::now())
    }

    /// The context that the route's authorizer returns, if it has one. The error is API Gateway's own refusal.
    async fn authorize(&self, call: &Call<'_>) -> Result<Option<Value>, Response> {
        let Some(function) = &call.route.authorizer else { return Ok(None) };
        let mut event = self.event(call, None, &Bytes::new());
        if let Some(event) = event.as_object_mut() {
            let (method, path) = (&call.parts.method, &call.path);
            let arn = format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{API_ID}/$default/{method}{path}");
            event.remove("isBase64Encoded");
            event.insert("type".to_owned(), json!("REQUEST"));
            event.insert("routeArn".to_owned(), json!(arn));
            event.insert("identitySource".to_owned(), Value::Null);
        }
        let Ok(decision) = self.invoke(function, event).await else { return Err(failure()) };
        match decision.get("isAuthorized").and_then(Value::as_bool) {
            Some(true) => Ok(Some(decision.get("context").cloned().unwrap_or_default())),
            Some(false) => Err(answer::gateway_message(StatusCode::FORBIDDEN, "Forbidden")),
            None => Err(failure()),
        }
    }

    fn event(&self, call: &Call<'_>, authorizer: Option<Value>, body: &Bytes) -> Value {
        let (parts, headers) = (call.parts, &call.parts.headers);
        let query = parts.uri.query().unwrap_or_default();
        let host = text(headers, &header::HOST).unwrap_or_default();
        let domain = host.rsplit_once(':').map_or(host.as_str(), |(name, _port)| name);
        let now = self.clock.now_seconds();
        let mut context = json!({
            "accountId": ACCOUNT,
            "apiId": API_ID,
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": call.path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": call.source.to_string(),
                "userAgent": text(headers, &header::USER_AGENT).unwrap_or_default(),
            },
            "requestId": call.request_id,
            "routeKey": call.route.key(),
            "stage": "$default",
            "time": log_time(now),
            "timeEpoch": now.saturating_mul(1000),
        });
        let mut event = json!({
            "version": "2.0",
            "routeKey": call.route.key(),
            "rawPath": call.path,
            "rawQueryString": query,
            "headers": event_headers(headers, call.source, &host),
            "isBase64Encoded": false,
        });
        if let (Some(context), Some(authorizer)) = (context.as_object_mut(), authorizer) {
            context.insert("authorizer".to_owned(), json!({ "lambda": authorizer }));
        }
        if let Some(event) = event.as_object_mut() {
            let mut set = |name: &str, value: Value| event.insert(name.to_owned(), value);
            set("requestContext", context);
            let cookies = cookies(headers);
            if !cookies.is_empty() {
                set("cookies", json!(cookies));
            }
            if !query.is_empty() {
                set("queryStringParameters", query_parameters(query));
            }
            if !call.path_parameters.is_empty() {
                set("pathParameters", Value::Object(call.path_parameters.clone()));
            }
            if !self.template.stage_variables.is_empty() {
                set("stageVariables", json!(self.template.stage_variables));
            }
            if !body.is_empty() {
                let text = std::str::from_utf8(body).ok().filter(|_| is_textual(headers));
                set("isBase64Encoded", json!(text.is_none()));
                set("body", json!(text.map_or_else(|| STANDARD.encode(body), str::to_owned)));
            }
        }
        event
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * self.throttle.rate_per_second).min(self.throttle.burst);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

pub fn router(gateway: Arc<ApiGateway>) -> Router {
    Router::new().fallback(answer).with_state(gateway)
}

async fn answer(
    State(gateway): State<Arc<ApiGateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    gateway.serve(peer.ip(), request).await
}

/// Writes a response to the journal.
async fn noted(entry: Entry, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    // It was whole in memory before: this neither waits nor fails.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    entry.end(parts.status, &parts.headers, &body);
    Response::from_parts(parts, body.into())
}

/// The value of `Access-Control-Allow-Origin`; `None` if the template does not allow this origin, and it is not that of an app
/// in development on this machine.
fn allowed_origin<'a>(cors: &Cors, origin: &'a str) -> Option<&'a str> {
    if cors.origins.iter().any(|allowed| allowed == "*") {
        return Some("*");
    }
    let is_allowed = cors.origins.iter().any(|allowed| allowed == origin) || is_loopback_origin(origin);
    is_allowed.then_some(origin)
}

fn add_preflight_headers(cors: &Cors, headers: &mut HeaderMap) {
    set_header(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &cors.methods.join(","));
    set_header(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.headers.join(",").to_ascii_lowercase());
    set_header(headers, header::ACCESS_CONTROL_MAX_AGE, cors.max_age_seconds.as_deref().unwrap_or_default());
}

/// Sets a header that has a value.
fn set_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().map(String::from).ok()
}

/// The headers as API Gateway passes them on: in lower case, repeated ones joined, and the caller's address appended to
/// the `x-forwarded-for` that it sent.
fn event_headers(headers: &HeaderMap, source: IpAddr, host: &str) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::new();
    for name in headers.keys() {
        let hop_by_hop = [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::COOKIE];
        if !hop_by_hop.contains(name)
            && let Some(value) = text(headers, name)
        {
            joined.insert(name.as_str().to_owned(), value);
        }
    }
    let claimed = joined.remove("x-forwarded-for").map(|claimed| format!("{claimed}, ")).unwrap_or_default();
    joined.insert("x-forwarded-for".to_owned(), format!("{claimed}{source}"));
    joined.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    joined.insert("x-forwarded-port".to_owned(), host.rsplit_once(':').map_or("80", |(_, port)| port).to_owned());
    joined
}

/// All values of a header, joined by commas. Bytes that are not UTF-8 are replaced.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let joined = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    joined.flat_map(|line| line.split(';')).map(|cookie| cookie.trim().to_owned()).collect()
}

fn query_parameters(query: &str) -> Value {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let joined = match parameters.get(name.as_ref()) {
            Some(earlier) => format!("{earlier},{value}"),
            None => value.into_owned(),
        };
        parameters.insert(name.into_owned(), joined);
    }
    json!(parameters)
}

/// Whether API Gateway passes the body on as text. It encodes bodies of other media types in base64.
fn is_textual(headers: &HeaderMap) -> bool {
    let Some(media_type) = text(headers, &header::CONTENT_TYPE) else { return true };
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&media_type.as_str())
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
}

/// The time in the form of RFC 9110 §5.6.7.
fn http_date(now: i64) -> String {
    let since = Duration::from_secs(now.try_into().unwrap_or_default());
    httpdate::fmt_http_date(UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH))
}

/// The time in the form of an access log: `22/Nov/2026:10:00:00 +0000`.
fn log_time(now: i64) -> String {
    let date = http_date(now);
    match date.split_whitespace().collect::<Vec<_>>().as_slice() {
        [_weekday, day, month, year, time, _gmt] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => date,
    }
}

/// The HTTP response in a function's answer; `None` if the answer is malformed.
fn response(answer: &Value) -> Option<Response> {
    let status = answer.get("statusCode").and_then(Value::as_u64)?;
    let status = StatusCode::from_u16(u16::try_from(status).ok()?).ok()?;
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    let body = match answer.get("isBase64Encoded").and_then(Value::as_bool) {
        Some(true) => STANDARD.decode(body).ok()?,
        _ => body.as_bytes().to_vec(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let single = answer.get("headers").and_then(Value::as_object).into_iter().flatten();
    let cookies = answer.get("cookies").and_then(Value::as_array).into_iter().flatten();
    let set_cookie = header::SET_COOKIE.to_string();
    for (name, value) in single.chain(cookies.map(|cookie| (&set_cookie, cookie))) {
        let name = HeaderName::try_from(name.as_str()).ok()?;
        let value = HeaderValue::from_str(value.as_str()?).ok()?;
        if ![header::CONTENT_LENGTH, header::CONNECTION, header::TRANSFER_ENCODING].contains(&name) {
            headers.append(name, value);
        }
    }
    if !headers.contains_key(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
    }
    Some(response)
}

fn failure() -> Response {
    answer::gateway_message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let throttle = Throttle { burst: 2.0, rate_per_second: 1.0 };
        let mut bucket = Bucket { throttle, tokens: throttle.burst, filled: start };
        let second = |n| start.checked_add(Duration::from_secs(n)).unwrap();
        let taken =
            [start, start, start, second(1), second(1), second(60), second(60), second(60)].map(|now| bucket.take(now));
        assert_eq!(taken, [true, true, false, true, false, true, true, false]);
    }

    #[test]
    fn the_time_has_the_form_of_the_access_log() {
        assert_eq!(log_time(1_583_348_638), "04/Mar/2020:19:03:58 +0000");
    }
}
