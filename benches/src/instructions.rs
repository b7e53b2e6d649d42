//! Counts the instructions of a warm request with valgrind's cachegrind. A busy machine does not change the count.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::flows::Conversation;
use crate::process::{Process, Start};
use crate::programs::{Program, Role, programs};
use crate::world::{Roots, World};

/// Warm requests of the shorter and of the longer run. The difference of their counts, divided by the difference of their
/// requests, is the count of one warm request.
const FEW: u32 = 20;
const MANY: u32 = 120;

/// Counts each Rust program twice and prints both counts.
pub async fn print() -> Result<(), Failure> {
    let world = World::start(Roots::Small).await?;
    println!("{:<16}{:>16}{:>16}{:>16}", "instructions", "warm request", "second count", "to first answer");
    for program in programs(Path::new(""))? {
        if matches!(program.role, Role::Peer(_)) {
            continue;
        }
        let mut counts = Vec::new();
        for _ in 0..2 {
            let few = count(&world, &program, FEW).await?;
            let many = count(&world, &program, MANY).await?;
            let each = many.saturating_sub(few) / u64::from(MANY - FEW);
            counts.push((each, few.saturating_sub(each.saturating_mul(u64::from(FEW)))));
        }
        println!("{:<16}{:>16}{:>16}{:>16}", program.name, counts[0].0, counts[1].0, counts[0].1);
    }
    Ok(())
}

/// The instructions of a process from its start to its last answer.
async fn count(world: &World, program: &Program, warm: u32) -> Result<u64, Failure> {
    let mut conversation = Conversation::begin(world, program.flow).await?;
    let report = world.folder.0.join("valgrind");
    let wrapper = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        .map(PathBuf::from)
        .into();
    let start = Start { wrapper, errors: Some(report.clone()), ..Start::default() };
    let mut process = Process::start(world, program, start).await?;
    for _ in 0..=warm {
        process.asked().await?;
        let event = conversation.event().await?;
        let served = process.serve(&event).await?;
        conversation.hear(&served.answer).await?;
    }
    process.asked().await?;
    process.terminate().await?;
    let report = std::fs::read_to_string(report)?;
    // The line looks like `==7== I refs:        1,234,567`.
    let count =
        report.lines().find_map(|line| line.split_once("refs:")).map(|(_, count)| count.trim().replace(',', ""));
    Ok(count.ok_or_else(|| format!("no count in valgrind's report: {report}"))?.parse()?)
}
