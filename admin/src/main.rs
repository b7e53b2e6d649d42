//! `latchkey`: the administrator's tool. It works on the tables and secrets of a deployment, by the verbs of `adapters`.

mod audit;
mod context;
mod deployment;
mod doctor;
mod export;
mod failure;
mod import;
mod keys;
mod numbers;
mod organizations;
mod output;
mod pace;
mod sources;
mod test_numbers;
mod users;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::{Context, Manner};
use crate::deployment::Target;
use crate::failure::Failure;
use crate::output::{Report, print, printable};

const LOCAL: &str = "Does `cargo local` run? See --dynamodb-port and --aws-port, or --stack for a stack in AWS.";
const CLOUD: &str = "Check the names, the Region and what your credentials allow.";

/// Administers a deployment of Latchkey: organizations, users, numbers, keys.
#[derive(Parser)]
#[command(name = "latchkey", version)]
struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    manner: Manner,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The apps that people sign in to
    #[command(subcommand)]
    Organization(organizations::Command),
    /// Numbers with fixed codes, for reviewers and tests
    #[command(subcommand)]
    TestNumber(test_numbers::Command),
    /// The keys that sign tokens
    #[command(subcommand)]
    Key(keys::Command),
    /// People and their devices
    #[command(subcommand)]
    User(users::Command),
    /// Phone numbers
    #[command(subcommand)]
    Number(numbers::Command),
    /// Write the users of a file, from Latchkey or from elsewhere
    Import(import::Command),
    /// Write all users as JSON lines, or what is stored of one
    Export(export::Command),
    /// Check whether a deployment can do its work, and say what to do
    Doctor,
    /// What operators changed
    Audit(audit::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { target, manner, command } = Arguments::parse();
    let (is_json, is_local) = (manner.json, target.is_local());
    match run(&target, manner, command).await {
        Ok(report) => {
            if is_json && !report.json.is_null() {
                print(&format!("{:#}\n", report.json));
            } else {
                print(&report.text);
            }
            if report.is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(Failure::Refused(reason)) => fail(&reason),
        Err(Failure::Unavailable(reason)) => fail(&format!("{reason}. {}", if is_local { LOCAL } else { CLOUD })),
    }
}

async fn run(target: &Target, manner: Manner, command: Command) -> Result<Report, Failure> {
    let context = Context::new(target, manner).await?;
    match command {
        Command::Organization(command) => organizations::run(&context, command).await,
        Command::TestNumber(command) => test_numbers::run(&context, command).await,
        Command::Key(command) => keys::run(&context, command).await,
        Command::User(command) => users::run(&context, command).await,
        Command::Number(command) => numbers::run(&context, command).await,
        Command::Import(command) => import::run(&context, command).await,
        Command::Export(command) => export::run(&context, command).await,
        Command::Doctor => doctor::run(&context, target).await,
        Command::Audit(command) => audit::run(&context, command).await,
    }
}

fn fail(reason: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "latchkey: {}", printable(reason));
    ExitCode::FAILURE
}
