//! Honest people beside an attacker: so many sign-ins a second, and ten times as many requests of someone who sends to
//! strangers' numbers and guesses at theirs, from other addresses. Prints what became of both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Sign-ins a second.
const HONEST: u64 = 50;
/// Requests a second of the attacker, half of them sends and half of them guesses.
const ATTACKER: u64 = 500;
/// From how many addresses each side comes.
const ADDRESSES: u64 = 1_000;

type Http = Client<HttpConnector, Full<Bytes>>;

/// Who calls from where: honest people from 127.1.0.0/16, the attacker from 127.66.0.0/16.
struct Callers(Vec<Http>);

impl Callers {
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

/// What became of one side's requests, and how long they took.
#[derive(Default)]
struct Tally {
    ends: BTreeMap<String, u64>,
    took: Vec<Duration>,
}

impl Tally {
    fn note(&mut self, end: String, took: Duration) {
        *self.ends.entry(end).or_default() += 1;
        self.took.push(took);
    }

    fn print(&mut self, who: &str) {
        self.took.sort_unstable();
        let at = |share: usize| self.took.get(self.took.len() * share / 1_000).copied().unwrap_or_default().as_millis();
        println!("{who}: {} in all; p50 {} ms, p99 {} ms, most {} ms", self.took.len(), at(500), at(990), at(999));
        for (end, count) in &self.ends {
            println!("    {count:>8}  {end}");
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

/// A Nepalese mobile number: of an honest person, or of anybody at all.
fn phone(operator: &str, n: u64) -> String {
    format!("+977{operator}{n:07}")
}

fn end(step: &str, status: u16, body: &Value) -> String {
    format!("{step} {status} {}", body["code"].as_str().or(body["message"].as_str()).unwrap_or_default())
}

/// Asks for a code, reads it, types it.
async fn sign_in(api: &str, http: &Http, n: u64) -> Result<(), String> {
    let phone = phone("984", n);
    let (status, sent) = call(http, &format!("{api}/v1/otp/send"), Some(json!({"phone_number": phone}))).await?;
    if status != 200 {
        return Err(end("send", status, &sent));
    }
    let (_, inbox) = call(http, &format!("{api}/local/inbox?to={}", phone.replace('+', "%2B")), None).await?;
    let text = inbox["messages"][0]["text"].as_str().ok_or("no message")?;
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6).ok_or("no code")?;
    let submit = json!({"phone_number": phone, "otp": code, "challenge_id": sent["challenge_id"]});
    let (status, signed_in) = call(http, &format!("{api}/v1/otp/submit"), Some(submit)).await?;
    if status == 200 { Ok(()) } else { Err(end("submit", status, &signed_in)) }
}

/// Sends to a number out of all there are, or guesses at one that an honest person is about to type a code for.
async fn attack(api: &str, http: &Http, n: u64, honest: u64) -> String {
    let (step, reply) = if n.is_multiple_of(2) {
        let body = json!({"phone_number": phone("986", n.wrapping_mul(7_919) % 10_000_000)});
        ("send", call(http, &format!("{api}/v1/otp/send"), Some(body)).await)
    } else {
        let body =
            json!({"phone_number": phone("984", honest.saturating_sub(n % 5)), "otp": format!("{:06}", n % 1_000_000)});
        ("guess", call(http, &format!("{api}/v1/otp/submit"), Some(body)).await)
    };
    match reply {
        Ok((status, body)) => end(step, status, &body),
        Err(error) => format!("{step} {error}"),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(api), Some(seconds)) = (arguments.next(), arguments.next().and_then(|text| text.parse::<u64>().ok()))
    else {
        eprintln!("usage: latchkey-load API SECONDS");
        return ExitCode::from(2);
    };
    let api: Arc<str> = api.into();
    let (honest, attackers) = (Arc::new(Callers::of(1)), Arc::new(Callers::of(66)));
    let tallies: [Arc<Mutex<Tally>>; 2] = [Arc::default(), Arc::default()];
    let begun = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut running = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let (mut sign_ins, mut attacks) = (0, 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        tick.tick().await;
        let elapsed = u64::try_from(start.elapsed().as_millis()).unwrap();
        while sign_ins < elapsed * HONEST / 1_000 {
            let (api, http, tally, n) = (Arc::clone(&api), honest.one(sign_ins), Arc::clone(&tallies[0]), sign_ins);
            begun.store(n, Ordering::Relaxed);
            running.spawn(async move {
                let start = Instant::now();
                let end = sign_in(&api, &http, n).await.map_or_else(|why| why, |()| "signed in".to_owned());
                tally.lock().unwrap().note(end, start.elapsed());
            });
            sign_ins += 1;
        }
        while attacks < elapsed * ATTACKER / 1_000 {
            let (api, http, tally, n) = (Arc::clone(&api), attackers.one(attacks), Arc::clone(&tallies[1]), attacks);
            let honest = begun.load(Ordering::Relaxed);
            running.spawn(async move {
                let start = Instant::now();
                let end = attack(&api, &http, n, honest).await;
                tally.lock().unwrap().note(end, start.elapsed());
            });
            attacks += 1;
        }
        while running.try_join_next().is_some() {}
    }
    while running.join_next().await.is_some() {}
    println!("{seconds} seconds, {HONEST} sign-ins and {ATTACKER} requests of an attacker a second");
    let [honest, attacker] = &tallies;
    honest.lock().unwrap().print("honest people");
    attacker.lock().unwrap().print("the attacker");
    let failed: u64 = honest.lock().unwrap().ends.iter().filter(|(end, _)| *end != "signed in").map(|(_, n)| n).sum();
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
