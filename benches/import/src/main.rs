//! Measures `latchkey import`: `latchkey-import-bench 100000` imports as many users into the embedded engine, kills the import
//! after a third and after two thirds, and goes on. It fails if a user is missing afterwards or is there twice.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::World;

/// No limit: the engine is measured.
const UNITS_PER_SECOND: &str = "1000000";
const POLL: Duration = Duration::from_millis(50);
/// A day on which the numbers were proven.
const PROVEN_AT: i64 = 1_700_000_000;

type Failure = Box<dyn std::error::Error>;

/// Where the import reads and writes.
struct Files {
    folder: PathBuf,
    users: PathBuf,
    checkpoint: PathBuf,
}

impl Files {
    fn write(users: u64) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("latchkey-import-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("users.jsonl");
        let mut out = BufWriter::new(File::create(&file)?);
        for n in 0..users {
            let line = json!({
                "phone_number": format!("+97798{:08}", n.saturating_add(40_000_000)), "username": format!("user{n}"),
                "name": "Sita Rai", "phone_proven_at": PROVEN_AT, "roles": {"default": ["default"]},
            });
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        let checkpoint = folder.join("users.jsonl.checkpoint");
        Ok(Self { folder, users: file, checkpoint })
    }

    /// The records that the checkpoint says are done.
    fn records_done(&self) -> u64 {
        let text = std::fs::read_to_string(&self.checkpoint).unwrap_or_default();
        let progress: Value = serde_json::from_str(&text).unwrap_or_default();
        progress.get("records").and_then(Value::as_u64).unwrap_or_default()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn start(files: &Files, port: u16) -> Result<Child, Failure> {
    let built = std::env::current_exe()?;
    let program = built.parent().ok_or("this executable has no parent folder")?.join("latchkey");
    let child = Command::new(&program)
        .args(["import", "lines"])
        .arg(&files.users)
        .args(["--json", "--units-per-second", UNITS_PER_SECOND, "--dynamodb-port", &port.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    child.map_err(|error| format!("{}: {error}: build it first", program.display()).into())
}

/// The most memory that a process has had, in kilobytes.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

async fn measure(users: u64) -> Result<(), Failure> {
    let files = Files::write(users)?;
    let world = World::new().await;
    let port = world.system.dynamodb_address().port();
    let (started, mut memory, mut kills) = (Instant::now(), 0, Vec::new());
    for third in [1, 2] {
        let mut import = start(&files, port)?;
        while files.records_done() < users.saturating_mul(third) / 3 {
            memory = memory.max(peak_memory(import.id()).unwrap_or_default());
            if import.try_wait()?.is_some() {
                return Err("the import ended before it was killed: give more users".into());
            }
            tokio::time::sleep(POLL).await;
        }
        import.kill()?;
        import.wait()?;
        kills.push(files.records_done());
    }
    let mut import = start(&files, port)?;
    while import.try_wait()?.is_none() {
        memory = memory.max(peak_memory(import.id()).unwrap_or_default());
        tokio::time::sleep(POLL).await;
    }
    let output = import.wait_with_output()?;
    let seconds = started.elapsed().as_secs_f64();
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
    check(&world, users).await?;
    println!(
        "{users} users in {seconds:.0} s, {:.0} a second, with {} MB of memory and {} write units",
        f64::from(u32::try_from(users)?) / seconds,
        memory / 1_024,
        count("write_units")
    );
    println!("killed after {kills:?} records; {} were written twice: none lost, none doubled", count("already_there"));
    Ok(())
}

/// Each user has an item, and a lock for the number and one for the username.
async fn check(world: &World, users: u64) -> Result<(), Failure> {
    let (mut keys, mut all, mut from) = (BTreeSet::new(), 0_u64, None);
    loop {
        let mut request = json!({"TableName": "UsersTable", "ProjectionExpression": "pk, user_id"});
        if let (Some(from), Some(members)) = (from, request.as_object_mut()) {
            members.insert("ExclusiveStartKey".to_owned(), from);
        }
        let page = world.dynamodb("Scan", request).await;
        for item in page.get("Items").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| item.pointer(&format!("/{name}/S")).and_then(Value::as_str).unwrap_or_default();
            let kind = text("pk").split('#').next().unwrap_or_default().to_owned();
            keys.insert((kind, text("user_id").to_owned()));
            all = all.saturating_add(1);
        }
        from = page.get("LastEvaluatedKey").cloned();
        if from.is_none() {
            break;
        }
    }
    let wanted = users.saturating_mul(3);
    let distinct = u64::try_from(keys.len())?;
    if (all, distinct) == (wanted, wanted) {
        return Ok(());
    }
    Err(format!("{all} items, {distinct} of them distinct, and not {wanted}").into())
}

#[tokio::main]
async fn main() -> ExitCode {
    let users = std::env::args().nth(1).and_then(|users| users.parse().ok());
    let Some(users) = users else {
        eprintln!("usage: latchkey-import-bench USERS");
        return ExitCode::FAILURE;
    };
    match measure(users).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("latchkey-import-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
