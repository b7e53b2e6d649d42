//! The embedded DynamoDB engine. It serves on its own listener, thread and runtime; callers reach it through the proxy.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use dynoxide::Database;
use dynoxide::actions::create_table::CreateTableRequest;
use dynoxide::actions::describe_table::DescribeTableRequest;
use dynoxide::actions::describe_time_to_live::DescribeTimeToLiveRequest;
use dynoxide::actions::update_time_to_live::{TimeToLiveSpecification, UpdateTimeToLiveRequest};
use rusqlite::OpenFlags;
use tokio::sync::oneshot;

use crate::cloudformation::Table;

/// How often expired items are deleted. DynamoDB itself may take days, so no code may rely on a deletion in time.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Dropping it stops it.
pub struct Engine {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Opens the database (without a path, in memory), creates the missing tables, and serves.
    pub fn start(path: Option<&Path>, tables: &[Table]) -> Result<Self, String> {
        let database = open(path)?;
        for table in tables {
            ensure_table(&database, table).map_err(|reason| format!("table {}: {reason}", table.name))?;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("dynamodb".to_owned())
            .spawn(move || serve(listener, database, stopped))
            .map_err(|error| error.to_string())?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Finishes the requests in progress and closes the database.
    pub async fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

fn serve(listener: TcpListener, database: Database, stopped: oneshot::Receiver<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        tokio::spawn(sweep(database.clone()));
        // A message and the end of the sender both mean stop.
        let stopped = async {
            let _ = stopped.await;
        };
        let _ = dynoxide::server::serve_with_shutdown(listener, database, stopped).await;
    });
}

async fn sweep(database: Database) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let database = database.clone();
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

fn open(path: Option<&Path>) -> Result<Database, String> {
    let Some(path) = path else {
        return Database::memory().map_err(|error| error.to_string());
    };
    let name = path.display();
    if path.exists() && !is_intact(path) {
        return Err(format!("{name} is not an intact database"));
    }
    let text = path.to_str().ok_or_else(|| format!("{name} is not a UTF-8 path"))?;
    Database::new(text).map_err(|error| format!("{name}: {error}"))
}

/// Without this check, damage in the middle of the file would make some later request fail.
fn is_intact(path: &Path) -> bool {
    let check = || -> rusqlite::Result<String> {
        let connection = rusqlite::Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.pragma_query_value(None, "quick_check", |row| row.get(0))
    };
    check().is_ok_and(|result| result == "ok")
}

fn ensure_table(database: &Database, table: &Table) -> Result<(), String> {
    let describe = DescribeTableRequest { table_name: table.name.clone() };
    match database.describe_table(describe) {
        Ok(description) => {
            let description = serde_json::to_value(&description).unwrap_or_default();
            if description.pointer("/Table/KeySchema") != table.create.get("KeySchema") {
                return Err("its keys differ from the template's; move the data folder away to start afresh".to_owned());
            }
        }
        Err(_absent) => {
            let create: CreateTableRequest =
                serde_json::from_value(table.create.clone()).map_err(|error| error.to_string())?;
            database.create_table(create).map_err(|error| error.to_string())?;
        }
    }
    let Some(attribute_name) = table.ttl_attribute.clone() else { return Ok(()) };
    let describe = DescribeTimeToLiveRequest { table_name: table.name.clone() };
    let present = database.describe_time_to_live(describe).map_err(|error| error.to_string())?;
    let present = serde_json::to_value(&present).unwrap_or_default();
    if present.pointer("/TimeToLiveDescription/AttributeName").is_some() {
        return Ok(());
    }
    let time_to_live_specification = TimeToLiveSpecification { attribute_name, enabled: true };
    let update = UpdateTimeToLiveRequest { table_name: table.name.clone(), time_to_live_specification };
    database.update_time_to_live(update).map(|_| ()).map_err(|error| error.to_string())
}
