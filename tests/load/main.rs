//! Loads the API at `API` with honest sign-ins and with ten times as many requests of an attacker, who calls from other
//! addresses, sends codes to any number and guesses the codes of the honest users. Prints both sides' answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const SIGN_INS_PER_SECOND: u64 = 50;
/// Half of them are sends and half of them are guesses.
const ATTACKS_PER_SECOND: u64 = 500;
/// Of each side.
const ADDRESSES: u64 = 1_000;

const SIGNED_IN: &str = "signed in";

type Http = Client<HttpConnector, Full<Bytes>>;

/// A client for each address of one side.
struct Callers(Vec<Http>);

impl Callers {
    /// With addresses in 127.`network`.0.0/16.
    fn of(network: u8) -> Self {
        let client = |n: u64| {
            let mut connector = HttpConnector::new();
            let [high, low] = [u8::try_from(n / 250).unwrap(), u8::try_from(n % 250).unwrap() + 1];
            connector.set_local_address(Some(IpAddr::V4(Ipv4Addr::new(127, network, high, low))));
            connector.set_nodelay(true);
            Client::builder(TokioExecutor::new()).build(connector)
        };
        Self((0..ADDRESSES).map(client).collect())
    }

    fn one(&self, n: u64) -> Http {
        self.0[usize::try_from(n % ADDRESSES).unwrap()].clone()
    }
}

/// The answers to one side's requests, and how long they took.
#[derive(Default)]
struct Answers {
    counts: BTreeMap<String, u64>,
    durations: Vec<Duration>,
}

impl Answers {
    fn add(&mut self, answer: String, duration: Duration) {
        *self.counts.entry(answer).or_default() += 1;
        self.durations.push(duration);
    }

    fn print(&mut self, who: &str) {
        let durations = &mut self.durations;
        durations.sort_unstable();
        let count = durations.len();
        let at = |per_mille: usize| durations.get(count * per_mille / 1_000).copied().unwrap_or_default().as_millis();
        println!("{who}: {count} in all; p50 {} ms, p99 {} ms, p99.9 {} ms", at(500), at(990), at(999));
        for (answer, count) in &self.counts {
            println!("    {count:>8}  {answer}");
        }
    }
}

async fn call(http: &Http, url: &str, body: Option<Value>) -> Result<(u16, Value), String> {
    let request = http::Request::builder().uri(url).method(if body.is_some() { "POST" } else { "GET" });
    let request = request.header("content-type", "application/json");
    let bytes = body.map(|body| body.to_string()).unwrap_or_default();
    let reply =
        http.request(request.body(Full::new(bytes.into())).unwrap()).await.map_err(|error| error.to_string())?;
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

/// A Nepalese mobile number.
fn phone(operator: &str, n: u64) -> String {
    format!("+977{operator}{n:07}")
}

fn answer(step: &str, status: u16, body: &Value) -> String {
    format!("{step} {status} {}", body["code"].as_str().or(body["message"].as_str()).unwrap_or_default())
}

async fn sign_in(api: &str, http: &Http, n: u64) -> Result<(), String> {
    let phone = phone("984", n);
    let (status, sent) = call(http, &format!("{api}/v1/otp/send"), Some(json!({"phone_number": phone}))).await?;
    if status != 200 {
        return Err(answer("send", status, &sent));
    }
    let (_, inbox) = call(http, &format!("{api}/local/inbox?to={}", phone.replace('+', "%2B")), None).await?;
    let text = inbox["messages"][0]["text"].as_str().ok_or("no message")?;
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).ok_or("no code")?;
    let submit = json!({"phone_number": phone, "otp": code, "challenge_id": sent["challenge_id"]});
    let (status, signed_in) = call(http, &format!("{api}/v1/otp/submit"), Some(submit)).await?;
    if status == 200 { Ok(()) } else { Err(answer("submit", status, &signed_in)) }
}

/// Sends to any number, or guesses the code of one of the newest honest sign-ins.
async fn attack(api: &str, http: &Http, n: u64, newest: u64) -> String {
    let (step, reply) = if n.is_multiple_of(2) {
        let body = json!({"phone_number": phone("986", n.wrapping_mul(7_919) % 10_000_000)});
        ("send", call(http, &format!("{api}/v1/otp/send"), Some(body)).await)
    } else {
        let body =
            json!({"phone_number": phone("984", newest.saturating_sub(n % 5)), "otp": format!("{:06}", n % 1_000_000)});
        ("guess", call(http, &format!("{api}/v1/otp/submit"), Some(body)).await)
    };
    match reply {
        Ok((status, body)) => answer(step, status, &body),
        Err(error) => format!("{step} {error}"),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse::<u64>().ok());
    let (Ok(api), Some(seconds)) = (std::env::var("API"), seconds) else {
        eprintln!("usage: API=http://HOST:PORT latchkey-load SECONDS");
        return ExitCode::from(2);
    };
    let api: Arc<str> = api.into();
    let (honest, attackers) = (Callers::of(1), Callers::of(66));
    let answers: [Arc<Mutex<Answers>>; 2] = [Arc::default(), Arc::default()];
    let start = Instant::now();
    let mut running = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let (mut sign_ins, mut attacks) = (0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        tick.tick().await;
        let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap();
        while sign_ins < elapsed * SIGN_INS_PER_SECOND / 1_000 {
            let (api, http, answers, n) = (Arc::clone(&api), honest.one(sign_ins), Arc::clone(&answers[0]), sign_ins);
            running.spawn(async move {
                let start = Instant::now();
                let answer = sign_in(&api, &http, n).await.map_or_else(|why| why, |()| SIGNED_IN.to_owned());
                answers.lock().unwrap().add(answer, start.elapsed());
            });
            sign_ins += 1;
        }
        while attacks < elapsed * ATTACKS_PER_SECOND / 1_000 {
            let (api, http, answers, n) = (Arc::clone(&api), attackers.one(attacks), Arc::clone(&answers[1]), attacks);
            let newest = sign_ins.saturating_sub(1);
            running.spawn(async move {
                let start = Instant::now();
                let answer = attack(&api, &http, n, newest).await;
                answers.lock().unwrap().add(answer, start.elapsed());
            });
            attacks += 1;
        }
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
    println!("{seconds} seconds, with {SIGN_INS_PER_SECOND} sign-ins and {ATTACKS_PER_SECOND} attacks a second");
    let [mut honest, mut attacker] = answers.map(|side| std::mem::take(&mut *side.lock().unwrap()));
    honest.print("honest users");
    attacker.print("the attacker");
    if honest.counts.keys().all(|answer| answer == SIGNED_IN) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
