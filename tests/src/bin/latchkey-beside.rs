//! Runs a command beside a system of its own: `latchkey-beside [--behind SECONDS] [NAME=VALUE...] COMMAND...`. The variables
//! override the functions' own. The command finds the addresses in `API` and `SECRETS_MANAGER`. With `--behind`, the clock
//! starts in the past: a command that moves it to the present has tokens that have expired for other programs too.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, ExitCode};

use local::{Options, System};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (behind_seconds, arguments) = match arguments.as_slice() {
        [option, seconds, rest @ ..] if option == "--behind" => (seconds.parse().expect("SECONDS is no number"), rest),
        all => (0, all),
    };
    let variables: Vec<_> = arguments.iter().map_while(|argument| argument.split_once('=')).collect();
    let mut command = arguments.iter().skip(variables.len());
    let Some(program) = command.next() else {
        eprintln!("usage: latchkey-beside [--behind SECONDS] [NAME=VALUE...] COMMAND...");
        return ExitCode::from(2);
    };
    let overrides = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let runtime = Runtime::new().unwrap();
    let options = Options { overrides, behind_seconds, ..Options::default() };
    let system = runtime.block_on(System::start(options)).unwrap();
    let addresses = [("API", system.address()), ("SECRETS_MANAGER", system.aws_address())];
    let addresses = addresses.map(|(name, address)| (name, format!("http://{address}")));
    let status = Command::new(program).args(command).envs(addresses).status().expect("the command cannot be run");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
