//! Simulates the message counters under the load of one large organization in one country: how often sign-ins conflict at
//! a shard, how a limit behaves as it fills, and how shards spread over partitions. Every run prints the same figures.

mod contention;
mod daily_limit;
mod partitions;
mod random;

use crate::random::Random;

const SEED: u64 = 20_000;
/// Sign-ins per second of all organizations.
const SIGN_INS_PER_SECOND: [f64; 7] = [100.0, 200.0, 300.0, 500.0, 1_000.0, 3_000.0, 10_000.0];
/// The share of sign-ins that belong to the largest organization, all in one country.
const LARGEST_SHARE: f64 = 0.9;

fn main() {
    println!("1. Sign-ins that conflict at a shard; nine of ten belong to one organization in one country.\n");
    println!(
        "| shards | ms an item is held | sign-ins/s | write units/s per shard | read units/s | requests each | in conflict | 503 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for shards in [domain::rules::pumping::SHARDS, 64, 512] {
        for hold_milliseconds in [5, 10] {
            for sign_ins in SIGN_INS_PER_SECOND {
                let largest = sign_ins * LARGEST_SHARE;
                let outcome = contention::simulate(&mut Random(SEED), largest, shards, hold_milliseconds);
                let writes = largest * contention::UNITS / f64::from(shards);
                // Every send reads every shard.
                println!(
                    "| {shards} | {hold_milliseconds} | {sign_ins} | {writes:.0} | {largest} | {:.2} | {:.1} % | {:.2} % |",
                    outcome.requests,
                    outcome.delayed * 100.0,
                    outcome.lost * 100.0
                );
            }
        }
    }
    println!(
        "\n2. A daily limit as it fills, with the domain's own rule: how often sends reserve again, and their outcome.\n"
    );
    println!("| limit | sends/s | limit used | sends | reserved again | most reservations | refused too early | 503 |");
    println!("|---|---|---|---|---|---|---|---|");
    for (limit, per_second) in [(5_000, 10.0), (5_000, 1_000.0), (1_000_000, 10_000.0)] {
        let (stages, counted) = daily_limit::fill(&mut Random(SEED), limit, per_second);
        for stage in stages {
            println!(
                "| {limit} | {per_second} | {} | {} | {} | {} | {} | {} |",
                stage.name, stage.sends, stage.reserved_again, stage.most_reservations, stage.refused_early, stage.lost
            );
        }
        println!("| {limit} | {per_second} | counted in the end: {counted} | | | | | |");
    }
    println!(
        "\n3. How many of one organization's sixteen hot items (sends and sign-ins) share a partition, over 1,000 days.\n"
    );
    println!("| partitions | mean day | worst day |");
    println!("|---|---|---|");
    for partitions in [4, 40, 400] {
        let (mean, worst) = partitions::most_in_one(&mut Random(SEED), partitions);
        println!("| {partitions} | {mean:.1} | {worst} |");
    }
}
