//! What is printed.

use crate::Fault;
use crate::ledger::Ledger;
use crate::prices::{Cost, Prices};
use crate::programs::{Part, Program};
use crate::tally::Tally;

/// The targets: MiB of memory at most, MiB of a binary, milliseconds of processor time for a warm request, and how many
/// times sooner than the Python peer the first answer is there.
const PEAK_MIB: f64 = 16.0;
const BINARY_MIB: f64 = 9.0;
const WARM_CPU: f64 = 0.5;
const AHEAD_OF_PEER: f64 = 30.0;

/// Sign-ins of the cost.
const SIGN_INS: f64 = 1e6;
/// Secrets of a stack.
const SECRETS: f64 = 3.0;

/// One row for each program.
pub fn print_times(tallies: &[(Program, Tally)]) {
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "binary", "ready", "first", "first", "warm p50", "warm p99", "cold CPU", "warm CPU", "peak mem"
    );
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>8}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "", "MiB", "ms", "ms", "× yard", "ms", "ms", "ms", "ms", "MiB"
    );
    let yardstick = yardstick(tallies);
    for (program, tally) in tallies {
        let binary = binary_mib(program).map_or_else(|_| "-".to_owned(), |size| format!("{size:.2}"));
        println!(
            "{:<16}{binary:>9}{:>9.2}{:>9.2}{:>8.2}{:>10.2}{:>10.2}{:>10.2}{:>10.3}{:>10.1}",
            program.name,
            tally.ready(),
            tally.first(),
            tally.first() / yardstick,
            tally.warm(50),
            tally.warm(99),
            tally.cold_cpu(),
            tally.warm_cpu(),
            tally.peak_mib(),
        );
    }
    println!();
}

/// Whether each target is met.
pub fn print_verdicts(tallies: &[(Program, Tally)]) {
    let yardstick = yardstick(tallies);
    for (program, tally) in tallies {
        match program.part {
            Part::Ours(bound) => {
                if let Some(bound) = bound {
                    verdict(program.name, "first answer, × the yardstick's", tally.first() / yardstick, bound);
                }
                verdict(program.name, "peak memory, MiB", tally.peak_mib(), PEAK_MIB);
                verdict(program.name, "processor time of a warm request, ms", tally.warm_cpu(), WARM_CPU);
                verdict(program.name, "binary, MiB", binary_mib(program).unwrap_or(f64::NAN), BINARY_MIB);
            }
            Part::Peer(name) => {
                let ours = tallies.iter().find(|(program, _)| program.name == name).map(|(_, tally)| tally.first());
                // Turned round, so that less is better as everywhere.
                let share = ours.unwrap_or(f64::NAN) / tally.first();
                let what = format!("first answer, × that of {}", program.name);
                verdict(name, &what, share, 1.0 / AHEAD_OF_PEER);
            }
            Part::Hello | Part::Yardstick => {}
        }
    }
    println!();
}

fn verdict(name: &str, what: &str, found: f64, bound: f64) {
    let is_met = if found <= bound { "met" } else { "MISSED" };
    println!("{is_met:<8}{name:<14}{what:<44}{found:>8.3}, at most {bound:.3}");
}

fn yardstick(tallies: &[(Program, Tally)]) -> f64 {
    let yardstick = tallies.iter().find(|(program, _)| program.part == Part::Yardstick);
    yardstick.map_or(f64::NAN, |(_, tally)| tally.first())
}

/// The size of a program of Rust; what Python is made of is not one file.
fn binary_mib(program: &Program) -> Result<f64, Fault> {
    if matches!(program.part, Part::Peer(_)) {
        return Err("not one file".into());
    }
    let file = program.command.first().ok_or("a program without a name")?;
    let bytes = std::fs::metadata(file)?.len() as f64;
    Ok(bytes / 1024.0 / 1024.0)
}

/// What each program asks of others.
pub fn print_ledgers(ledgers: &[(Program, Ledger)]) {
    println!("{:<16}{:>36}  {:>44}", "", "start to first answer", "a warm request");
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>9}  {:>9}{:>9}{:>9}{:>9}{:>8}",
        "", "DynamoDB", "others", "reads", "writes", "DynamoDB", "others", "reads", "writes", "log, B"
    );
    for (program, Ledger { cold, warm }) in ledgers {
        println!(
            "{:<16}{:>9.0}{:>9.0}{:>9.1}{:>9.1}  {:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>8.0}",
            program.name,
            cold.dynamodb,
            cold.others,
            cold.reads,
            cold.writes,
            warm.dynamodb,
            warm.others,
            warm.reads,
            warm.writes,
            warm.log_bytes,
        );
    }
    println!("requests to DynamoDB and to others (Secrets Manager, SMS gateways); read and write units\n");
}

/// What a million sign-ins cost, and what goes with them.
pub fn print_costs(ledgers: &[(Program, Ledger)], prices: &Prices) {
    let of = |name: &str, requests: f64, is_routed: bool| {
        let ledger = ledgers.iter().find(|(program, _)| program.name == name).map(|(_, ledger)| ledger);
        ledger.map(|ledger| prices.cost(&ledger.warm, requests, is_routed)).unwrap_or_default()
    };
    let (from, to) = prices.dates();
    println!("US dollars for a million, at list prices looked up from {from} to {to} (benches/prices.json)\n");
    println!("{:<44}{:>10}{:>10}{:>10}{:>8}{:>9}", "", "gateway", "Lambda", "DynamoDB", "logs", "sum");
    let row = |what: &str, cost: Cost| {
        let Cost { api_gateway, lambda, dynamodb, logs } = cost;
        println!("{what:<44}{api_gateway:>10.2}{lambda:>10.2}{dynamodb:>10.2}{logs:>8.2}{:>9.2}", cost.sum());
    };
    row("sign-ins: a send and a submit", of("send-otp", SIGN_INS, true).plus(of("submit-otp", SIGN_INS, true)));
    row("the same by the Python peer", of("python send", SIGN_INS, true).plus(of("python submit", SIGN_INS, true)));
    row("refreshes", of("session", SIGN_INS, true));
    row("requests past the authorizer, itself alone", of("authorizer", SIGN_INS, false));
    println!(
        "\nWithout SMS. Time as on loopback: a millisecond that AWS or a gateway takes longer costs {:.4} for a million \
         requests.\n{SECRETS} secrets: {:.2} a month; a cold start's calls for them: {:.2} for a million.\n",
        prices.millisecond(SIGN_INS),
        prices.secrets(SECRETS),
        prices.secret_calls(SIGN_INS * 2.0),
    );
}
