//! The counters of messages under the load of one large organization in one country: how often sign-ins meet at a shard,
//! what a cap does as it fills, and how evenly shards fall on partitions. The same figures at every run.

mod cap;
mod contention;
mod partitions;
mod random;

use crate::random::Random;

/// Any number; the same one each time.
const SEED: u64 = 20_000;
/// Sign-ins a second, of all organizations.
const OFFERED: [f64; 7] = [100.0, 200.0, 300.0, 500.0, 1_000.0, 3_000.0, 10_000.0];
/// How much of that is one organization's, in one country.
const LARGEST_SHARE: f64 = 0.9;

fn main() {
    println!("1. Sign-ins that meet at a shard; nine of ten of them are one organization's, in one country.\n");
    println!(
        "| shards | ms an item is held | sign-ins/s | write units/s a shard | read units/s | tries each | met another | 503 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for shards in [domain::pumping::SHARDS, 64, 512] {
        for hold_milliseconds in [5, 10] {
            for offered in OFFERED {
                let largest = offered * LARGEST_SHARE;
                let met = contention::of(&mut Random(SEED), largest, shards, hold_milliseconds);
                let writes = largest * contention::UNITS / f64::from(shards);
                // Every send reads every shard.
                println!(
                    "| {shards} | {hold_milliseconds} | {offered} | {writes:.0} | {largest} | {:.2} | {:.1} % | {:.2} % |",
                    met.tries,
                    met.delayed * 100.0,
                    met.lost * 100.0
                );
            }
        }
    }
    println!(
        "\n2. A day's cap as it fills, with what the domain plans: sends that were planned again, and what became of them.\n"
    );
    println!("| cap | sends/s | cap used | sends | planned again | most plans | refused too early | 503 |");
    println!("|---|---|---|---|---|---|---|---|");
    for (cap, per_second) in [(5_000, 10.0), (5_000, 1_000.0), (1_000_000, 10_000.0)] {
        let (stages, counted) = cap::fill(&mut Random(SEED), cap, per_second);
        for stage in stages {
            println!(
                "| {cap} | {per_second} | {} | {} | {} | {} | {} | {} |",
                stage.name, stage.sends, stage.planned_again, stage.most_plans, stage.refused_early, stage.lost
            );
        }
        println!("| {cap} | {per_second} | counted in the end: {counted} | | | | | |");
    }
    println!(
        "\n3. How many of one organization's sixteen hot items (sends and sign-ins) meet in a partition, in 1,000 days.\n"
    );
    println!("| partitions | on the mean day | on the worst |");
    println!("|---|---|---|");
    for partitions in [4, 40, 400] {
        let (mean, worst) = partitions::most_in_one(&mut Random(SEED), partitions);
        println!("| {partitions} | {mean:.1} | {worst} |");
    }
}
