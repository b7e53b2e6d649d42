//! What a program asks of other services, counted apart from its timing.

use std::path::Path;

use local::Target;

use crate::failure::Failure;
use crate::flows::Conversation;
use crate::process::{Process, Start};
use crate::programs::Program;
use crate::statistics::{milliseconds, percentile};
use crate::world::World;

/// The number of warm requests that are counted.
const WARM: u32 = 20;

/// The figures of a start until the first answer, or of one warm request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Requests to DynamoDB.
    pub dynamodb: f64,
    /// Requests to Secrets Manager and to SMS gateways.
    pub others: f64,
    /// Read units of DynamoDB.
    pub reads: f64,
    /// Write units of DynamoDB.
    pub writes: f64,
    pub log_bytes: f64,
    /// The median time from an event to its answer; zero for a start.
    pub milliseconds: f64,
}

pub struct Usage {
    /// From the start to the first answer.
    pub cold: Counts,
    /// A warm request, on average.
    pub warm: Counts,
}

pub async fn of(world: &World, program: &Program) -> Result<Usage, Failure> {
    let mut conversation = Conversation::begin(world, program.flow).await?;
    let event = conversation.event().await?;
    let log = world.folder.log();
    let variables =
        vec![("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), format!("http://{}", world.system.dynamodb_address()))];
    // From here on the system counts all requests, those that prepare events included.
    world.system.aim(None);
    world.system.reset_dynamodb_requests();
    let start = Start { variables, log: Some(log.clone()), ..Start::default() };
    let mut process = Process::start(world, program, start).await?;
    process.asked().await?;
    let served = process.serve(&event).await?;
    process.rest().await?;
    let cold = so_far(world, &log);
    conversation.hear(&served.answer).await?;
    let (mut warm, mut took) = (Counts::default(), Vec::new());
    for _ in 0..WARM {
        let event = conversation.event().await?;
        let before = so_far(world, &log);
        let served = process.serve(&event).await?;
        process.rest().await?;
        let used = so_far(world, &log).with(&before, |now, before| now - before);
        warm = warm.with(&used, |sum, used| sum + used / f64::from(WARM));
        took.push(served.took);
        conversation.hear(&served.answer).await?;
    }
    process.end().await?;
    world.system.take_dynamodb_requests();
    Ok(Usage { cold, warm: Counts { milliseconds: milliseconds(percentile(&took, 50)), ..warm } })
}

fn so_far(world: &World, log: &Path) -> Counts {
    let requests = world.system.dynamodb_requests();
    let others = world.system.outgoing().iter().filter(|request| request.target != Target::Dynamodb).count();
    Counts {
        dynamodb: requests.len() as f64,
        others: others as f64,
        reads: requests.iter().map(|request| request.units.reads).sum(),
        writes: requests.iter().map(|request| request.units.writes).sum(),
        log_bytes: std::fs::metadata(log).map_or(0, |file| file.len()) as f64,
        milliseconds: 0.0,
    }
}

impl Counts {
    /// Combines each figure with the same figure of `other`.
    fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            dynamodb: of(self.dynamodb, other.dynamodb),
            others: of(self.others, other.others),
            reads: of(self.reads, other.reads),
            writes: of(self.writes, other.writes),
            log_bytes: of(self.log_bytes, other.log_bytes),
            milliseconds: of(self.milliseconds, other.milliseconds),
        }
    }
}
