//! One running system, and the clients, phones and users of a test.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use adapters::config::Timeouts;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local::{Options, System};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::device::Device;
use crate::{contract, log};

type Http = Client<HttpConnector, Full<Bytes>>;

/// A running system that belongs to one test. It starts empty.
pub struct World {
    pub system: System,
    clients: std::sync::Mutex<BTreeMap<u8, Http>>,
    secrets: std::sync::Mutex<Vec<String>>,
    metrics_before: usize,
    is_at_the_edge: bool,
}

/// What a send returned, and the code that the phone received.
#[derive(Clone, Debug)]
pub struct Sent {
    pub challenge_id: String,
    pub code: String,
}

/// A user who is signed in on one device.
#[derive(Clone, Debug)]
pub struct Person {
    pub user_id: String,
    pub phone: String,
    pub access: String,
    pub refresh: String,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// The names are in lower case.
    pub headers: BTreeMap<String, String>,
    /// JSON, or a string if it is no JSON, or null if it is empty.
    pub body: Value,
}

impl Reply {
    /// Status and problem code. The code is "" if there is none.
    pub fn problem(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }

    /// Panics unless it is that problem, in the form of RFC 9457 and with the headers that belong to it.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.problem(), (status, code), "{:?}", self);
        assert_eq!(self.headers.get("content-type").map(String::as_str), Some("application/problem+json"));
        assert_eq!(self.body["status"], json!(status));
        if status == 401 {
            let scheme = if code == "invalid_dpop_proof" { "DPoP " } else { "Bearer " };
            assert!(self.headers["www-authenticate"].starts_with(scheme), "{:?}", self);
        }
        if let Some(seconds) = self.body.get("retry_after") {
            assert_eq!(self.headers["retry-after"], seconds.to_string());
        }
        self
    }

    /// Whether it is API Gateway's answer for a function that died.
    pub fn is_of_a_dead_function(&self) -> bool {
        self.status == 500 && self.body == json!({"message": "Internal Server Error"})
    }

    /// The body. Panics unless the status is 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{:?}", self);
        self.body
    }

    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_else(|| panic!("no text {name} in {:?}", self)).to_owned()
    }

    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        self.body[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {:?}", self))
    }
}

/// `value` with some members replaced. Null removes a member.
pub fn with(value: &Value, changes: Value) -> Value {
    let mut members = value.as_object().unwrap().clone();
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => members.remove(name),
            change => members.insert(name.clone(), change.clone()),
        };
    }
    Value::Object(members)
}

/// One race at a time: on a small machine, several races exceed the timeouts of the DynamoDB client.
static RACE: Mutex<()> = Mutex::const_new(());

/// Makes `count` calls concurrently. The results are in the order of the calls, whichever ended first.
pub async fn at_once<F>(world: &Arc<World>, count: usize, call: impl Fn(Arc<World>, usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let _one_race = RACE.lock().await;
    let calls: Vec<_> = (0..count).map(|n| tokio::spawn(call(Arc::clone(world), n))).collect();
    let mut results = Vec::new();
    for call in calls {
        results.push(call.await.unwrap());
    }
    results
}

/// The address in the environment variable `OTHER_DYNAMODB`, such as 127.0.0.1:8000: every world uses the DynamoDB there
/// instead of the embedded one.
fn other_dynamodb() -> Option<SocketAddr> {
    std::env::var("OTHER_DYNAMODB").ok().map(|address| address.parse().unwrap())
}

/// Another DynamoDB may be slow, and what a test expects is its answer.
const PATIENCE: Timeouts = Timeouts {
    connect: Duration::from_secs(30),
    attempt: Duration::from_secs(30),
    operation: Duration::from_secs(60),
    transaction: Duration::from_secs(60),
};

/// A code that is not `code`.
pub fn wrong(code: &str) -> String {
    let digits = code.parse::<u32>().unwrap();
    format!("{:06}", (digits + 1) % 1_000_000)
}

/// A request that is not sent yet.
pub struct Call<'a> {
    world: &'a World,
    method: &'static str,
    path: String,
    source: u8,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Call<'_> {
    /// Calls from 127.0.0.`source` instead of 127.0.0.1.
    pub fn from(mut self, source: u8) -> Self {
        self.source = source;
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn as_person(self, person: &Person) -> Self {
        self.bearer(&person.access)
    }

    /// Proves the key of a device.
    pub fn proven_by(self, device: &Device) -> Self {
        let claims = device.claims(&self);
        let proof = device.sign(&device.header(), &claims);
        self.header("dpop", &proof)
    }

    pub fn method(&self) -> &'static str {
        self.method
    }

    pub fn url(&self) -> String {
        let system = &self.world.system;
        let address = system.edge_address().filter(|_| self.world.is_at_the_edge).unwrap_or(system.address());
        format!("http://{address}{}", self.path)
    }

    pub fn now(&self) -> i64 {
        self.world.now()
    }

    pub fn json(self, body: Value) -> Self {
        self.bytes("application/json", body.to_string().into_bytes())
    }

    pub fn bytes(mut self, media_type: &str, body: Vec<u8>) -> Self {
        self.body = body.into();
        self.header("content-type", media_type)
    }

    /// Sends the request. The answer must be one that `openapi.yaml` documents.
    pub async fn send(self) -> Reply {
        let (method, path) = (self.method, self.path.clone());
        let reply = self.send_at_risk().await;
        assert!(!reply.is_of_a_dead_function(), "{method} {path}: the function died");
        reply
    }

    /// As [`Call::send`], but API Gateway's answer for a function that died is allowed too.
    pub async fn send_at_risk(self) -> Reply {
        let mut request = http::Request::builder().method(self.method).uri(self.url());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response =
            self.world.client(self.source).request(request.body(Full::new(self.body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers: BTreeMap<String, String> =
            response.headers().iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap_or_else(|_| json!(text(&body)))
        };
        let reply = Reply { status, headers, body };
        let is_of_the_api = self.path.starts_with("/v1/") || self.path.starts_with("/.well-known/");
        if is_of_the_api && !reply.is_of_a_dead_function() {
            contract::check(self.method, &self.path, &reply);
        }
        for name in ["access_token", "refresh_token"] {
            if let Some(token) = reply.body[name].as_str() {
                self.world.keep_secret(token);
            }
        }
        reply
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let overrides = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::of(Options { overrides, ..Options::default() }).await
    }

    /// A world that publishes events.
    pub async fn publishing(variables: &[(&str, &str)]) -> Self {
        let overrides = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self::of(Options { overrides, parameters: Options::publishing(), ..Options::default() }).await
    }

    pub async fn of(mut options: Options) -> Self {
        log::capture();
        options.other_dynamodb = other_dynamodb();
        if options.other_dynamodb.is_some() && options.timeouts == Timeouts::default() {
            options.timeouts = PATIENCE;
        }
        let system = System::start(options).await.unwrap();
        Self {
            system,
            clients: Default::default(),
            secrets: Default::default(),
            metrics_before: log::metrics().len(),
            is_at_the_edge: false,
        }
    }

    /// From now on all calls go through the edge.
    pub fn at_the_edge(mut self) -> Self {
        self.is_at_the_edge = true;
        self
    }

    fn client(&self, source: u8) -> Http {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let connect = || {
            let mut connector = HttpConnector::new();
            connector.set_local_address(Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, source))));
            Client::builder(TokioExecutor::new()).build(connector)
        };
        clients.entry(source).or_insert_with(connect).clone()
    }

    /// From now on no log line and no metric may contain this text.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(secret.to_owned());
    }

    /// As [`World::keep_secret`], for a phone number with and without the country's code.
    pub fn keep_phone_secret(&self, phone: &str) {
        self.keep_secret(phone);
        self.keep_secret(phone.trim_start_matches("+977"));
    }

    pub fn call(&self, method: &'static str, path: &str) -> Call<'_> {
        Call { world: self, method, path: path.to_owned(), source: 1, headers: Vec::new(), body: Bytes::new() }
    }

    pub fn post(&self, path: &str, body: Value) -> Call<'_> {
        self.call("POST", path).json(body)
    }

    pub fn advance(&self, seconds: u64) {
        self.system.clock().advance(seconds);
    }

    /// The time on the system's clock, in epoch seconds.
    pub fn now(&self) -> i64 {
        self.system.clock().now_seconds()
    }

    /// The metric documents since this world started, oldest first. Complete only in a test with one world and one thread.
    pub fn metrics(&self) -> Vec<Value> {
        log::metrics().split_off(self.metrics_before)
    }

    /// Newest first.
    pub async fn inbox(&self, phone: &str) -> Vec<Value> {
        let path = format!("/local/inbox?to={}", phone.replace('+', "%2B"));
        self.call("GET", &path).send().await.ok()["messages"].as_array().unwrap().clone()
    }

    /// From the newest message to the phone.
    pub async fn code(&self, phone: &str) -> String {
        let inbox = self.inbox(phone).await;
        let text = inbox.first().unwrap_or_else(|| panic!("no message to {phone}"))["text"].as_str().unwrap();
        let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).unwrap().to_owned();
        self.keep_secret(&code);
        code
    }

    pub async fn send_code(&self, phone: &str) -> Sent {
        self.keep_phone_secret(phone);
        let reply = self.post("/v1/otp/send", json!({"phone_number": phone})).send().await;
        self.received(phone, &reply).await
    }

    /// What a successful send returned, and the code that the phone received.
    pub async fn received(&self, phone: &str, reply: &Reply) -> Sent {
        assert_eq!(reply.status, 200, "{reply:?}");
        Sent { challenge_id: reply.text("challenge_id"), code: self.code(phone).await }
    }

    pub fn submit(&self, phone: &str, code: &str) -> Call<'_> {
        self.post("/v1/otp/submit", json!({"phone_number": phone, "otp": code}))
    }

    pub fn submit_with_id(&self, phone: &str, challenge_id: &str, code: &str) -> Call<'_> {
        self.post("/v1/otp/submit", json!({"phone_number": phone, "otp": code, "challenge_id": challenge_id}))
    }

    pub async fn sign_in(&self, phone: &str) -> Person {
        let sent = self.send_code(phone).await;
        person(phone, &self.submit(phone, &sent.code).send().await)
    }

    pub async fn sign_in_as(&self, phone: &str, username: &str) -> Person {
        let person = self.sign_in(phone).await;
        let renamed = self.call("PATCH", "/v1/me").as_person(&person).json(json!({"username": username})).send().await;
        assert_eq!(renamed.status, 200, "{renamed:?}");
        person
    }

    pub async fn me(&self, person: &Person) -> Value {
        self.call("GET", "/v1/me").as_person(person).send().await.ok()
    }

    pub async fn refresh(&self, token: &str) -> Reply {
        self.post("/v1/session/refresh", json!({"refresh_token": token})).send().await
    }

    /// The same person with the tokens of one refresh.
    pub async fn refreshed(&self, person: &Person) -> Person {
        let reply = self.refresh(&person.refresh).await;
        Person { access: reply.text("access_token"), refresh: reply.text("refresh_token"), ..person.clone() }
    }

    /// Calls the embedded DynamoDB directly.
    pub async fn dynamodb(&self, operation: &str, body: Value) -> Value {
        self.aws(self.system.dynamodb_address(), "DynamoDB_20120810", operation, body).await
    }

    /// Calls the embedded Secrets Manager directly.
    pub async fn secrets_manager(&self, operation: &str, body: Value) -> Value {
        self.aws(self.system.aws_address(), "secretsmanager", operation, body).await
    }

    async fn aws(&self, address: SocketAddr, service: &str, operation: &str, body: Value) -> Value {
        let request = http::Request::builder().method("POST").uri(format!("http://{address}/"))
            .header("x-amz-target", format!("{service}.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
            .header("x-amz-date", "20260101T000000Z")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let response = self.client(1).request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.is_success(), "{operation}: {body}");
        body
    }

    /// The log and the metrics of all worlds of this process.
    pub fn log(&self) -> String {
        log::text()
    }

    /// The lines of the log of this thread, with the same limit as [`World::metrics`].
    pub fn own_log(&self) -> Vec<Value> {
        log::own_lines()
    }

    /// Panics if a text contains a code, a token or a phone number that was used so far.
    #[track_caller]
    pub fn assert_no_secret(&self, text: &str) {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "a code, a token or a phone number is shown");
    }

    /// Panics if the log or a metric contains a code, a token or a phone number that was used so far.
    pub fn assert_silent(&self) {
        let secrets = std::mem::take(&mut *self.secrets.lock().unwrap_or_else(PoisonError::into_inner));
        let shown = secrets.iter().find(|secret| log::contains(secret)).map(|secret| (secret, log::line_with(secret)));
        assert!(shown.is_none(), "the log or a metric contains a code, a token or a phone number: {shown:?}");
    }

    pub async fn items(&self, table: &str) -> Vec<Value> {
        self.dynamodb("Scan", json!({"TableName": table})).await["Items"].as_array().unwrap().clone()
    }
}

/// The user whom the answer to a submit signed in.
#[track_caller]
pub fn person(phone: &str, reply: &Reply) -> Person {
    assert_eq!(reply.status, 200, "{reply:?}");
    Person {
        user_id: reply.body["user"]["user_id"].as_str().unwrap().to_owned(),
        phone: phone.to_owned(),
        access: reply.text("access_token"),
        refresh: reply.text("refresh_token"),
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_silent();
        }
    }
}
