//! `cargo local`: runs the whole system on one machine until Ctrl-C.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use local::{Callers, Options, StartError, System};

const HELP: &str = "\
Latchkey on one machine: the API, an embedded DynamoDB, Secrets Manager and SNS, and stand-ins for the SMS gateways.

Usage: cargo local [OPTIONS]

  --port PORT            port of the API and the web page (default 3000; 0 is any free port)
  --dynamodb-port PORT   port of DynamoDB (default 8000)
  --aws-port PORT        port of Secrets Manager, SNS and the SMS gateways (default 4566)
  --edge-port PORT       also run the edge, as CloudFront in front of the API; the API then refuses who goes around it
  --data FOLDER          folder for users, keys and messages (default .local, here or at the root of Latchkey's workspace)
  --ephemeral            keep all data in memory
  --seed FILE            parameters, organizations and users to start with, as JSON (see examples/seed.json)
  --events               publish events, at GET /local/events
  --containers           let containers call the last two ports too, as host.docker.internal (for sam local)
  --listen ADDRESS       address at which the API listens (default 127.0.0.1); 0.0.0.0 in a container
  --host NAME            also answer callers of the API who name this host, such as other containers; may be repeated
  --announce FILE        write the addresses as JSON to a file, once everything answers; for programs that start it
  --template FILE        CloudFormation template to run instead of the built-in one; --data is .local beside it then
  --help                 show this help
";

const DATA: &str = ".local";

enum Command {
    Run(Box<Options>, Option<PathBuf>),
    Help,
}

#[tokio::main]
async fn main() -> ExitCode {
    let (options, announcement) = match command(std::env::args().skip(1)) {
        Ok(Command::Run(options, announcement)) => (*options, announcement),
        Ok(Command::Help) => {
            print(HELP);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return fail(2, &format!("{wrong}; see --help")),
    };
    if let Some(file) = &announcement
        && let Err(error) = remove(file)
    {
        return fail(1, &format!("{}: {error}", file.display()));
    }
    adapters::telemetry::start_log("warn");
    let kept = options.data.clone();
    // Listen from the start: a signal between two listeners would be lost.
    let mut stop_signal = std::pin::pin!(interrupted());
    let system = tokio::select! {
        started = System::start(options) => match started {
            Ok(system) => system,
            Err(error) => return fail(if matches!(error, StartError::Seed { .. }) { 2 } else { 1 }, &error),
        },
        () = &mut stop_signal => return ExitCode::SUCCESS,
    };
    if let Some(file) = &announcement
        && let Err(error) = announce(&system, file)
    {
        return fail(1, &format!("{}: {error}", file.display()));
    }
    print(&banner(&system, kept.as_deref()));
    stop_signal.await;
    print("stopping\n");
    if let Some(file) = &announcement {
        let _ = remove(file);
    }
    tokio::select! {
        () = system.stop() => ExitCode::SUCCESS,
        // A second Ctrl-C does not wait.
        () = interrupted() => ExitCode::FAILURE,
    }
}

fn command(mut arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let defaults = Options::default();
    let mut options =
        Options { port: 3000, dynamodb_port: 8000, aws_port: 4566, console: true, runs_by_itself: true, ..defaults };
    let (mut data, mut announcement) = (None, None);
    let mut is_ephemeral = false;
    while let Some(argument) = arguments.next() {
        let (flag, mut inline) = match argument.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        let mut value = || inline.take().or_else(|| arguments.next()).ok_or_else(|| format!("{flag} needs a value"));
        match flag {
            "--port" => options.port = port(flag, &value()?)?,
            "--dynamodb-port" => options.dynamodb_port = port(flag, &value()?)?,
            "--aws-port" => options.aws_port = port(flag, &value()?)?,
            "--edge-port" => options.edge_port = Some(port(flag, &value()?)?),
            "--data" => data = Some(PathBuf::from(value()?)),
            "--announce" => announcement = Some(PathBuf::from(value()?)),
            "--seed" => options.seed = Some(PathBuf::from(value()?)),
            "--template" => options.template = Some(PathBuf::from(value()?)),
            "--ephemeral" => is_ephemeral = true,
            "--events" => options.parameters = Options::publishing(),
            "--containers" => options.service_callers = Callers::this_machine_and_containers(),
            "--listen" => options.listen = value()?.parse().map_err(|_| format!("{flag} needs an IP address"))?,
            "--host" => options.hosts.push(host(flag, value()?)?),
            "--help" | "-h" => return Ok(Command::Help),
            _ => return Err(format!("{flag} is not an option")),
        }
        if inline.is_some() {
            return Err(format!("{flag} takes no value"));
        }
    }
    if is_ephemeral && data.is_some() {
        return Err("--ephemeral and --data exclude each other: choose one".to_owned());
    }
    if !is_ephemeral {
        options.data = Some(data.unwrap_or_else(|| default_data(options.template.as_deref())));
    }
    Ok(Command::Run(Box::new(options), announcement))
}

/// Without a template of the caller's own, in the current folder. `cargo local` can be started in any folder of its workspace,
/// and has the same data in each.
fn default_data(template: Option<&Path>) -> PathBuf {
    if let Some(template) = template {
        return template.with_file_name(DATA);
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(""));
    match std::env::current_dir() {
        Ok(current) if current.starts_with(workspace) => workspace.join(DATA),
        _ => PathBuf::from(DATA),
    }
}

fn port(flag: &str, value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| format!("{flag} needs a port from 0 to 65535"))
}

fn host(flag: &str, name: String) -> Result<String, String> {
    let is_of_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = name.len() <= 253 && name.split('.').all(|label| !label.is_empty() && label.bytes().all(is_of_label));
    if is_name { Ok(name) } else { Err(format!("{flag} needs a host name in lower case, without a port")) }
}

/// Writes the addresses. Whoever waits for the file finds it whole or not at all.
fn announce(system: &System, file: &Path) -> std::io::Result<()> {
    let url = |address| format!("http://{address}");
    let announcement = serde_json::json!({
        "api": url(system.edge_address().unwrap_or(system.address())),
        "dynamodb": url(system.dynamodb_address()),
        "aws": url(system.aws_address()),
        "pid": std::process::id(),
    });
    local::write_private_file(file, format!("{announcement}\n").as_bytes())
}

/// Removes what an earlier run announced: whoever waits for the file must not find addresses where nobody answers.
fn remove(announcement: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(announcement) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn banner(system: &System, kept: Option<&Path>) -> String {
    let api = format!("http://{}", system.edge_address().unwrap_or(system.address()));
    let data = kept.map_or_else(|| "in memory".to_owned(), |folder| folder.display().to_string());
    format!(
        "\
Latchkey is up: {api}  (open it in a browser for the console)
  DynamoDB                             http://{dynamodb}
  Secrets Manager, SNS, SMS gateways   http://{aws}
  data                                 {data}

Try:
  curl {api}/v1/otp/send -H 'content-type: application/json' -d '{{\"phone_number\":\"9841234567\"}}'
  curl '{api}/local/inbox?to=+9779841234567'
  curl {api}/v1/otp/submit -H 'content-type: application/json' -d '{{\"phone_number\":\"9841234567\",\"otp\":\"the code\"}}'

Ctrl-C stops it.
",
        dynamodb = system.dynamodb_address(),
        aws = system.aws_address(),
    )
}

/// Resolves at Ctrl-C or SIGTERM.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Ignores errors: a closed pipe is no reason to stop.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn fail(code: u8, reason: &dyn Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "cargo local: {reason}");
    ExitCode::from(code)
}
