//! `cargo organization`: checks an organization's settings, and writes them to the local or a deployed table.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

use adapters::app::App;
use adapters::clock::Clock;
use adapters::config::{CheckedOrganization, Config, OrganizationSettings};
use adapters::dynamodb::{SettingsTable, Store};
use adapters::telemetry::causes;
use aws_config::BehaviorVersion;

const HELP: &str = "\
Adds or replaces an organization, after a check that each of its messages fits into one SMS segment.

Usage: cargo organization FILE [OPTIONS]

  FILE                   settings in JSON, such as examples/organization.json
  --table NAME           settings table of a deployment (its output SettingsTableName), with your AWS credentials and
                         region; without it, the table of the running `cargo local`
  --dynamodb-port PORT   DynamoDB port of the running `cargo local` (default 8000)
  --check                check only, write nothing
  --help                 show this help
";
/// The settings table of `cargo local`.
const LOCAL_TABLE: &str = "SettingsTable";

#[derive(Default)]
struct Arguments {
    file: Option<String>,
    table: Option<String>,
    dynamodb_port: Option<u16>,
    is_check_only: bool,
    is_help: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => return fail(2, &format!("{wrong}; see --help")),
    };
    if arguments.is_help {
        print(HELP);
        return ExitCode::SUCCESS;
    }
    match run(arguments).await {
        Ok(output) => {
            print(&output);
            ExitCode::SUCCESS
        }
        Err(refusal) => fail(1, &refusal),
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--table" => arguments.table = Some(value()?),
            "--dynamodb-port" => {
                let port = value()?.parse().map_err(|_| "--dynamodb-port needs a port from 1 to 65535".to_owned())?;
                arguments.dynamodb_port = Some(port);
            }
            "--check" => arguments.is_check_only = true,
            "--help" | "-h" => arguments.is_help = true,
            option if option.starts_with('-') => return Err(format!("{option} is not an option")),
            _ if arguments.file.is_some() => return Err("only one FILE is allowed".to_owned()),
            _ => arguments.file = Some(argument),
        }
    }
    if arguments.file.is_none() && !arguments.is_help {
        return Err("FILE is missing".to_owned());
    }
    if arguments.table.is_some() && arguments.dynamodb_port.is_some() {
        return Err("--table is for a deployment and --dynamodb-port for cargo local: choose one".to_owned());
    }
    Ok(arguments)
}

async fn run(arguments: Arguments) -> Result<String, String> {
    let file = arguments.file.unwrap_or_default();
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let settings: OrganizationSettings = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    let app = app(arguments.table.as_deref(), arguments.dynamodb_port).await?;
    let checked = settings.check(&app.config.default_organization, app.clock.now());
    let checked = checked.map_err(|invalid| format!("{file}: {invalid}"))?;
    let mut output = messages(&checked);
    let id = checked.id();
    if arguments.is_check_only {
        let _ = writeln!(output, "{id} is valid. Nothing was written.");
        return Ok(output);
    }
    let store = Store::<SettingsTable>::new(&app).map_err(|error| error.to_string())?;
    store.put_organization(&checked).await.map_err(|unavailable| match &arguments.table {
        Some(table) => format!("{table} cannot be written: {}", causes(&unavailable)),
        None => format!("{} Does `cargo local` run? See --dynamodb-port and --table.", causes(&unavailable)),
    })?;
    let _ = writeln!(output, "{id} is written. It takes effect within a minute.");
    Ok(output)
}

/// The configuration to reach the table: fixed variables for `cargo local`, the environment's for a deployment.
async fn app(table: Option<&str>, dynamodb_port: Option<u16>) -> Result<App, String> {
    let port = dynamodb_port.unwrap_or(8000);
    let mut variables = BTreeMap::from([("SETTINGS_TABLE".to_owned(), table.unwrap_or(LOCAL_TABLE).to_owned())]);
    if table.is_none() {
        let local = [
            ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://127.0.0.1:{port}")),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ];
        variables.extend(local.map(|(name, value)| (name.to_owned(), value)));
    }
    let mut config = Config::from_variables(&variables).map_err(|error| error.to_string())?;
    if table.is_some() {
        // As with every AWS tool: from the environment, or wherever the SDK finds it.
        config.aws = Config::from_environment().map_err(|error| error.to_string())?.aws;
        let aws = aws_config::load_defaults(BehaviorVersion::latest()).await;
        return Ok(App::with_aws(config, Clock::system(), aws));
    }
    App::new(config, Clock::system()).map_err(|error| error.to_string())
}

/// Each message as users will read it, and how much of a segment it uses.
fn messages(checked: &CheckedOrganization) -> String {
    let mut output = String::new();
    for (language, purpose, message) in checked.samples() {
        let length = message.length();
        let _ = writeln!(
            output,
            "{language}, {}: {} of {} {}",
            purpose.name(),
            length.counted,
            length.allowed,
            length.unit
        );
        for line in message.reveal().lines() {
            let _ = writeln!(output, "    {line}");
        }
    }
    output
}

/// Ignores errors: a closed pipe is no reason to fail.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn fail(code: u8, reason: &dyn Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "cargo organization: {reason}");
    ExitCode::from(code)
}
