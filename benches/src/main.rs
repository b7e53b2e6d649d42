//! The benchmark. It runs each function as a process behind a Runtime API, against emulated DynamoDB, Secrets Manager and
//! SMS gateways on loopback behind TLS, and compares it with a hello world, the yardstick and the older system's Python
//! stack (the "Python peer"). `benches/run` builds what this needs and calls it.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod endpoints;
mod failure;
mod flows;
mod instructions;
mod prices;
mod process;
mod programs;
mod quota;
mod run;
mod runtime_api;
mod statistics;
mod table;
mod usage;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::failure::Failure;
use crate::prices::Prices;
use crate::programs::{Program, Role, programs};
use crate::quota::{Period, Quota};
use crate::statistics::Statistics;
use crate::table::Calls;
use crate::usage::Usage;
use crate::world::{Roots, World};

/// Warm requests of each process. Percentiles are taken over all runs.
const WARM: usize = 50;

const HELP: &str = "\
usage: latchkey-bench times [--full-roots] [--quota | --short-quota] RUNS PYTHON
       latchkey-bench costs PYTHON
       latchkey-bench instructions
PYTHON is the interpreter of a virtual environment with benches/python/requirements.txt installed. Usually benches/run and
benches/instructions call this program.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["times", flags @ .., runs, python] if runs.parse::<usize>().is_ok() => {
            times(flags, runs.parse().unwrap_or_default(), python.into()).await
        }
        ["costs", python] => costs(python.into()).await,
        ["instructions"] => instructions::print().await,
        _ => Err(HELP.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("latchkey-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Times every program in interleaved runs and prints the results. The first round only warms the machine's caches and is
/// not recorded.
async fn times(flags: &[&str], runs: usize, python: PathBuf) -> Result<(), Failure> {
    let roots = if flags.contains(&"--full-roots") { Roots::Full } else { Roots::Small };
    if flags.iter().any(|flag| !["--full-roots", "--quota", "--short-quota"].contains(flag)) {
        return Err(HELP.into());
    }
    let period = match () {
        () if flags.contains(&"--quota") => Some(Period::DEFAULT),
        () if flags.contains(&"--short-quota") => Some(Period::SHORTEST),
        () => None,
    };
    let quota = match period.map(Quota::open).transpose() {
        Ok(quota) => quota,
        Err(reason) => {
            println!("a fifth of a core: skipped: {reason}");
            return Ok(());
        }
    };
    let programs = programs(&python)?;
    let calls = count_calls(&programs, roots).await?;
    let world = World::start(roots).await?;
    let mut results: Vec<(Program, Statistics)> =
        programs.into_iter().map(|program| (program, Statistics::default())).collect();
    for round in 0..=runs {
        for (program, statistics) in &mut results {
            let run = run::run(&world, program, WARM, quota.as_ref()).await;
            let run = run.map_err(|fault| format!("{}: {fault}", program.name))?;
            if round > 0 {
                statistics.add(run);
            }
        }
    }
    let core = period.map_or_else(|| "no CPU limit".to_owned(), |period| period.to_string());
    println!("{runs} interleaved runs, {WARM} warm requests in each; {roots}; {core}\n");
    table::print_times(&results, &calls);
    table::print_targets(&results, &calls);
    Ok(())
}

/// Counts how often a warm request of each function calls AWS. It runs apart from the timing, because counting takes time.
async fn count_calls(programs: &[Program], roots: Roots) -> Result<Calls, Failure> {
    let world = World::start(roots).await?;
    let mut calls = Calls::new();
    for program in programs.iter().filter(|program| matches!(program.role, Role::Function(_))) {
        calls.insert(program.name, usage::of(&world, program).await?.warm.dynamodb);
    }
    Ok(calls)
}

/// Counts each program's requests to AWS and SMS gateways, and prints what they cost.
async fn costs(python: PathBuf) -> Result<(), Failure> {
    let world = World::start(Roots::Small).await?;
    let mut usages: Vec<(Program, Usage)> = Vec::new();
    for program in programs(&python)? {
        let usage = usage::of(&world, &program).await.map_err(|fault| format!("{}: {fault}", program.name))?;
        usages.push((program, usage));
    }
    table::print_requests(&usages);
    table::print_costs(&usages, &Prices::read()?);
    Ok(())
}
