//! Runs a command beside a system whose API Gateway does not throttle: `latchkey-unthrottled [NAME=VALUE...] COMMAND...`.
//! The variables override the functions' own. The command finds the API's address in `API`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Command, ExitCode};

use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let variables: Vec<_> = arguments.iter().map_while(|argument| argument.split_once('=')).collect();
    let mut command = arguments.iter().skip(variables.len());
    let Some(program) = command.next() else {
        eprintln!("usage: latchkey-unthrottled [NAME=VALUE...] COMMAND...");
        return ExitCode::from(2);
    };
    let runtime = Runtime::new().unwrap();
    let system = runtime.block_on(tests::start_unthrottled(&variables));
    let api = format!("http://{}", system.address());
    let status = Command::new(program).args(command).env("API", api).status().expect("the command cannot be run");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
