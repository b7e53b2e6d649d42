//! Whether a sign-in costs more where there are more users: fills the users' table to each of the sizes given, and signs
//! a few hundred people in at each, new ones and known ones. `latchkey-growth 1000 1000000`.

use std::ops::Range;
use std::process::ExitCode;

use serde_json::{Value, json};
use tests::World;
use tests::tap::TappedWorld;

/// Sign-ins of each kind at each size.
const SIGN_INS: u32 = 300;
/// How many items DynamoDB takes in one batch.
const BATCH: usize = 25;
/// Seconds in a day.
const DAY: u64 = 86_400;
/// What is tried is the store: no limit of the door may be met.
const UNLIMITED: [(&str, &str); 3] = [
    ("SOURCE_SENDS_PER_HOUR", "1000000000"),
    ("SOURCE_SENDS_PER_DAY", "1000000000"),
    ("COUNTRY_SENDS_PER_DAY", "1000000000"),
];

/// What sign-ins asked of the store: the median of each figure, and of the time 99 % too.
struct Measured {
    requests: f64,
    writes: f64,
    reads: f64,
    milliseconds: [f64; 2],
}

/// The nth Nepalese mobile number of an operator that tests have to themselves.
fn phone(operator: &str, n: u32) -> String {
    format!("+977{operator}{n:07}")
}

/// A new user's two items, as the service itself wrote them.
struct Template(Vec<Value>);

impl Template {
    /// Of the only user there is.
    async fn of(database: &World) -> Self {
        Self(database.items("UsersTable").await)
    }

    /// The items of the nth user.
    fn nth(&self, n: u32) -> Vec<Value> {
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

/// Adds users, two batches at a time.
async fn fill(database: &World, template: &Template, from: u32, to: u32) {
    let middle = from.midpoint(to);
    tokio::join!(write(database, template, from..middle), write(database, template, middle..to));
}

async fn write(database: &World, template: &Template, mut users: Range<u32>) {
    loop {
        let items = users.by_ref().take(BATCH / 2).flat_map(|n| template.nth(n));
        let puts: Vec<Value> = items.map(|item| json!({"PutRequest": {"Item": item}})).collect();
        if puts.is_empty() {
            return;
        }
        database.dynamodb("BatchWriteItem", json!({"RequestItems": {"UsersTable": puts}})).await;
    }
}

/// Signs people in, one after another, and notes what each sign-in asked of the store.
async fn sign_in(tapped: &TappedWorld, phones: impl Iterator<Item = String>) -> Result<Measured, String> {
    let (mut requests, mut writes, mut reads, mut took) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for phone in phones {
        let (noted, reply) = tapped
            .requests(async {
                let sent = tapped.world.send_code(&phone).await;
                tapped.world.submit(&phone, &sent.code).send().await
            })
            .await;
        if reply.status != 200 {
            return Err(format!("a sign-in was answered with {}", reply.status));
        }
        requests.push(f64::from(u32::try_from(noted.len()).unwrap_or(u32::MAX)));
        writes.push(noted.iter().map(|request| request.units.writes).sum());
        reads.push(noted.iter().map(|request| request.units.reads).sum());
        took.push(noted.iter().map(|request| request.took().as_secs_f64() * 1_000.0).sum());
    }
    Ok(Measured {
        requests: percentile(&mut requests, 50),
        writes: percentile(&mut writes, 50),
        reads: percentile(&mut reads, 50),
        milliseconds: [50, 99].map(|percent| percentile(&mut took, percent)),
    })
}

fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = figures.len().saturating_mul(percent) / 100;
    figures.get(at).or(figures.last()).copied().unwrap_or_default()
}

/// The figures at each of these numbers of users, which grow.
async fn measure(sizes: &[u32]) -> Result<(), String> {
    let tapped = TappedWorld::with(&UNLIMITED).await;
    tapped.world.sign_in(&phone("986", 0)).await;
    let template = Template::of(&tapped.world).await;
    println!("| users | a sign-in of | requests | write units | read units | ms in the store: median | of 99 % |");
    println!("|---|---|---|---|---|---|---|");
    let mut filled = 0;
    let mut newest = 0;
    for users in sizes {
        fill(&tapped.world, &template, filled, *users).await;
        filled = *users;
        // Whoever signed in at the size before may have another code.
        tapped.world.advance(DAY);
        let step = usize::try_from(users / SIGN_INS).unwrap_or_default().max(1);
        let known = (0..*users).step_by(step).map(|n| phone("985", n));
        let unknown = (1..=SIGN_INS).map(|n| phone("986", n.saturating_add(newest)));
        let unknown = sign_in(&tapped, unknown).await?;
        newest = newest.saturating_add(SIGN_INS);
        let known = sign_in(&tapped, known.take(usize::try_from(SIGN_INS).unwrap_or_default())).await?;
        for (who, Measured { requests, writes, reads, milliseconds: [median, most] }) in
            [("a new user", unknown), ("a known user", known)]
        {
            println!("| {users} | {who} | {requests} | {writes} | {reads} | {median:.1} | {most:.1} |");
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let sizes: Result<Vec<u32>, _> = std::env::args().skip(1).map(|size| size.parse()).collect();
    let done = match sizes {
        Ok(sizes) if !sizes.is_empty() && sizes.is_sorted() => measure(&sizes).await,
        _ => Err("usage: latchkey-growth USERS..., the least first".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("latchkey-growth: {why}");
            ExitCode::FAILURE
        }
    }
}
