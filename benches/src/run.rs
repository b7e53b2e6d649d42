//! One run of one program: its start, its first answer, then warm requests.

use std::time::Duration;

use crate::failure::Failure;
use crate::flows::Conversation;
use crate::process::{Process, Start};
use crate::programs::Program;
use crate::quota::Quota;
use crate::world::World;

pub struct Run {
    /// From the start to the first request for an event.
    pub ready: Duration,
    /// From the start to the first answer.
    pub first: Duration,
    /// Processor time until the process is idle after the first answer.
    pub cold_cpu: Duration,
    /// From an event to its answer, for each warm request.
    pub warm: Vec<Duration>,
    pub warm_cpu: Vec<Duration>,
    pub peak_kib: u64,
}

pub async fn run(world: &World, program: &Program, warm: usize, quota: Option<&Quota>) -> Result<Run, Failure> {
    let mut conversation = Conversation::begin(world, program.flow).await?;
    let event = conversation.event().await?;
    let mut process = Process::start(world, program, Start { quota, ..Start::default() }).await?;
    let ready = process.asked().await?.saturating_duration_since(process.spawned);
    let served = process.serve(&event).await?;
    let first = served.answered.saturating_duration_since(process.spawned);
    process.rest().await?;
    let cold_cpu = process.cpu()?;
    conversation.hear(&served.answer).await?;
    let mut run = Run { ready, first, cold_cpu, warm: Vec::new(), warm_cpu: Vec::new(), peak_kib: 0 };
    for _ in 0..warm {
        let event = conversation.event().await?;
        let before = process.cpu()?;
        let served = process.serve(&event).await?;
        process.rest().await?;
        run.warm_cpu.push(process.cpu()?.saturating_sub(before));
        run.warm.push(served.took);
        conversation.hear(&served.answer).await?;
    }
    run.peak_kib = process.peak_kib()?;
    process.end().await?;
    Ok(run)
}
