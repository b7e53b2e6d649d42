//! Runs a command beside a system of its own: `latchkey-beside [NAME=VALUE...] COMMAND...`. The variables override the
//! functions' own. The command finds the API's address in `API`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, ExitCode};

use local::{Options, System};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let variables: Vec<_> = arguments.iter().map_while(|argument| argument.split_once('=')).collect();
    let mut command = arguments.iter().skip(variables.len());
    let Some(program) = command.next() else {
        eprintln!("usage: latchkey-beside [NAME=VALUE...] COMMAND...");
        return ExitCode::from(2);
    };
    let overrides = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let runtime = Runtime::new().unwrap();
    let system = runtime.block_on(System::start(Options { overrides, ..Options::default() })).unwrap();
    let api = format!("http://{}", system.address());
    let status = Command::new(program).args(command).env("API", api).status().expect("the command cannot be run");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
