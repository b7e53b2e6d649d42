//! Measures whether a sign-in costs more as the users' table grows. `latchkey-growth 1000 1000000` fills the table to
//! each given size, and at each size signs in 300 new users and 300 known users.

use std::ops::Range;
use std::process::ExitCode;

use serde_json::{Value, json};
use tests::World;

const SIGN_INS: u32 = 300;
/// The maximum of items in a `BatchWriteItem` request.
const BATCH: usize = 25;
const DAY_SECONDS: u64 = 86_400;
/// Only the store is measured, so no limit may refuse a send.
const UNLIMITED: [(&str, &str); 3] = [
    ("SOURCE_SENDS_PER_HOUR", "1000000000"),
    ("SOURCE_SENDS_PER_DAY", "1000000000"),
    ("COUNTRY_SENDS_PER_DAY", "1000000000"),
];

/// What one sign-in uses of the store: medians, and for the time also the 99th percentile.
struct Usage {
    requests: f64,
    writes: f64,
    reads: f64,
    median_milliseconds: f64,
    p99_milliseconds: f64,
}

/// The nth Nepalese mobile number with this operator prefix.
fn phone(operator: &str, n: u32) -> String {
    format!("+977{operator}{n:07}")
}

/// The two items of a new user, copied from what the service itself wrote.
struct Template(Vec<Value>);

impl Template {
    /// The table must hold exactly one user.
    async fn read(database: &World) -> Self {
        Self(database.items("UsersTable").await)
    }

    fn items_of_user(&self, n: u32) -> Vec<Value> {
        let user = format!("usr_{n:026}");
        let phone = phone("985", n);
        let fill = |item: &Value| {
            let mut item = item.clone();
            let is_lock = item.pointer("/pk/S").and_then(Value::as_str).is_some_and(|pk| pk.starts_with("phone#"));
            let Some(members) = item.as_object_mut() else { return item };
            let pk = if is_lock { format!("phone#{phone}") } else { format!("user#{user}") };
            members.insert("pk".to_owned(), json!({ "S": pk }));
            members.insert("user_id".to_owned(), json!({ "S": user }));
            if !is_lock {
                members.insert("phone".to_owned(), json!({ "S": phone }));
            }
            item
        };
        self.0.iter().map(fill).collect()
    }
}

/// Adds users, with two requests in flight.
async fn fill(database: &World, template: &Template, from: u32, to: u32) {
    let middle = from.midpoint(to);
    tokio::join!(write(database, template, from..middle), write(database, template, middle..to));
}

async fn write(database: &World, template: &Template, mut users: Range<u32>) {
    loop {
        let items = users.by_ref().take(BATCH / 2).flat_map(|n| template.items_of_user(n));
        let puts: Vec<Value> = items.map(|item| json!({"PutRequest": {"Item": item}})).collect();
        if puts.is_empty() {
            return;
        }
        database.dynamodb("BatchWriteItem", json!({"RequestItems": {"UsersTable": puts}})).await;
    }
}

/// Signs in one phone after another.
async fn sign_in(world: &World, phones: impl Iterator<Item = String>) -> Result<Usage, String> {
    let (mut requests, mut writes, mut reads, mut milliseconds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for phone in phones {
        let (recorded, reply) = world
            .requests(async {
                let sent = world.send_code(&phone).await;
                world.submit(&phone, &sent.code).send().await
            })
            .await;
        if reply.status != 200 {
            return Err(format!("a sign-in returned status {}", reply.status));
        }
        requests.push(recorded.len() as f64);
        writes.push(recorded.iter().map(|request| request.units.writes).sum());
        reads.push(recorded.iter().map(|request| request.units.reads).sum());
        milliseconds.push(recorded.iter().map(|request| request.took().as_secs_f64() * 1_000.0).sum());
    }
    Ok(Usage {
        requests: percentile(&mut requests, 50),
        writes: percentile(&mut writes, 50),
        reads: percentile(&mut reads, 50),
        median_milliseconds: percentile(&mut milliseconds, 50),
        p99_milliseconds: percentile(&mut milliseconds, 99),
    })
}

fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = figures.len().saturating_mul(percent) / 100;
    figures.get(at).or(figures.last()).copied().unwrap_or_default()
}

/// Prints one table row for each size and kind of user. `sizes` must be sorted.
async fn measure(sizes: &[u32]) -> Result<(), String> {
    let world = World::with(&UNLIMITED).await;
    world.sign_in(&phone("986", 0)).await;
    let template = Template::read(&world).await;
    println!("| users | sign-in of | requests | write units | read units | ms in the store: median | 99 % |");
    println!("|---|---|---|---|---|---|---|");
    let (mut filled, mut new_users) = (0, 0);
    for users in sizes {
        fill(&world, &template, filled, *users).await;
        filled = *users;
        // The phones that signed in at the previous size may be sent another code.
        world.advance(DAY_SECONDS);
        let step = usize::try_from(users / SIGN_INS).unwrap_or_default().max(1);
        let known = (0..*users).step_by(step).map(|n| phone("985", n));
        let unknown = (1..=SIGN_INS).map(|n| phone("986", n.saturating_add(new_users)));
        let unknown = sign_in(&world, unknown).await?;
        new_users = new_users.saturating_add(SIGN_INS);
        let known = sign_in(&world, known.take(usize::try_from(SIGN_INS).unwrap_or_default())).await?;
        for (kind, usage) in [("a new user", unknown), ("a known user", known)] {
            let Usage { requests, writes, reads, median_milliseconds, p99_milliseconds } = usage;
            println!(
                "| {users} | {kind} | {requests} | {writes} | {reads} | {median_milliseconds:.1} | {p99_milliseconds:.1} |"
            );
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let sizes: Result<Vec<u32>, _> = std::env::args().skip(1).map(|size| size.parse()).collect();
    let result = match sizes {
        Ok(sizes) if !sizes.is_empty() && sizes.is_sorted() => measure(&sizes).await,
        _ => Err("usage: latchkey-growth USERS..., the smallest number first".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("latchkey-growth: {why}");
            ExitCode::FAILURE
        }
    }
}
