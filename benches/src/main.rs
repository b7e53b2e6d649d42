//! The benchmark: the functions as they are deployed, each a process of its own behind a Runtime API, against DynamoDB,
//! Secrets Manager and an SMS gateway on loopback behind TLS; beside them a hello world, the yardstick and a Python peer.
//! `benches/run` builds what this needs and calls it.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod endpoints;
mod flows;
mod instructions;
mod ledger;
mod prices;
mod process;
mod programs;
mod quota;
mod run;
mod runtime_api;
mod table;
mod tally;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::ledger::Ledger;
use crate::prices::Prices;
use crate::programs::{Part, Program, programs};
use crate::quota::{Period, Quota};
use crate::table::Calls;
use crate::tally::Tally;
use crate::world::{Roots, World};

/// What stops a benchmark: any step that does not do what it should.
type Fault = Box<dyn std::error::Error>;

/// Warm requests of each process; percentiles are of those of all runs.
const WARM: usize = 50;

const HELP: &str = "\
usage: latchkey-bench times [--full-roots] [--quota | --short-quota] RUNS PYTHON
       latchkey-bench costs PYTHON
       latchkey-bench instructions
PYTHON is that of a virtual environment with benches/python/requirements.txt. benches/run and benches/instructions call
this.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["times", flags @ .., runs, python] if runs.parse::<usize>().is_ok() => {
            times(flags, runs.parse().unwrap_or_default(), python.into()).await
        }
        ["costs", python] => costs(python.into()).await,
        ["instructions"] => instructions::print().await,
        _ => Err(HELP.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("latchkey-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Times every program, one run of each after the other, and prints what came of it. The first round only warms the
/// machine's caches.
async fn times(flags: &[&str], runs: usize, python: PathBuf) -> Result<(), Fault> {
    let roots = if flags.contains(&"--full-roots") { Roots::Full } else { Roots::Small };
    if flags.iter().any(|flag| !["--full-roots", "--quota", "--short-quota"].contains(flag)) {
        return Err(HELP.into());
    }
    let period = match () {
        () if flags.contains(&"--quota") => Some(Period::USUAL),
        () if flags.contains(&"--short-quota") => Some(Period::SHORTEST),
        () => None,
    };
    let quota = match period.map(Quota::open).transpose() {
        Ok(quota) => quota,
        Err(reason) => {
            println!("a fifth of a core: skipped, for {reason}");
            return Ok(());
        }
    };
    let programs = programs(&python)?;
    let calls = calls(&programs, roots).await?;
    let world = World::start(roots).await?;
    let mut tallies: Vec<(Program, Tally)> = programs.into_iter().map(|program| (program, Tally::default())).collect();
    for round in 0..=runs {
        for (program, tally) in &mut tallies {
            let run = run::run(&world, program, WARM, quota.as_ref()).await;
            let run = run.map_err(|fault| format!("{}: {fault}", program.name))?;
            if round > 0 {
                tally.add(run);
            }
        }
    }
    let core = period.map_or_else(|| "as much of a core as there is".to_owned(), |period| period.to_string());
    println!("{runs} interleaved runs, {WARM} warm requests in each; {roots} TLS roots; {core}\n");
    table::print_times(&tallies, &calls);
    table::print_verdicts(&tallies, &calls);
    Ok(())
}

/// How often a warm request of each function calls AWS: counted in a system of its own, for it takes time to count.
async fn calls(programs: &[Program], roots: Roots) -> Result<Calls, Fault> {
    let world = World::start(roots).await?;
    let mut calls = Calls::new();
    for program in programs.iter().filter(|program| matches!(program.part, Part::Ours(_))) {
        calls.insert(program.name, ledger::of(&world, program).await?.warm.dynamodb);
    }
    Ok(calls)
}

/// Counts what each program asks of others, and prints what that costs.
async fn costs(python: PathBuf) -> Result<(), Fault> {
    let world = World::start(Roots::Small).await?;
    let mut ledgers: Vec<(Program, Ledger)> = Vec::new();
    for program in programs(&python)? {
        let ledger = ledger::of(&world, &program).await.map_err(|fault| format!("{}: {fault}", program.name))?;
        ledgers.push((program, ledger));
    }
    table::print_ledgers(&ledgers);
    table::print_costs(&ledgers, &Prices::read()?);
    Ok(())
}
