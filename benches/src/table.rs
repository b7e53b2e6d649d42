//! What is printed.

use std::collections::BTreeMap;

use crate::Fault;
use crate::ledger::Ledger;
use crate::prices::{Cost, Prices};
use crate::programs::{Part, Program};
use crate::tally::Tally;

/// The targets: MiB of memory at most, MiB of a binary, milliseconds of processor time of our own for a warm request, and
/// how many times sooner than the Python peer the first answer is there.
const PEAK_MIB: f64 = 16.0;
const BINARY_MIB: f64 = 9.0;
const WARM_CPU: f64 = 0.5;
const AHEAD_OF_PEER: f64 = 30.0;

/// Sign-ins of the cost.
const SIGN_INS: f64 = 1e6;
/// Secrets of a stack.
const SECRETS: f64 = 3.0;

/// How many calls to AWS a warm request of each function makes.
pub type Calls = BTreeMap<&'static str, f64>;

/// One row for each program.
pub fn print_times(tallies: &[(Program, Tally)], calls: &Calls) {
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>8}{:>10}{:>8}{:>10}{:>10}{:>10}{:>8}{:>10}",
        "",
        "binary",
        "ready",
        "first",
        "first",
        "cold CPU",
        "CPU",
        "warm p50",
        "warm p99",
        "warm CPU",
        "ours",
        "peak mem"
    );
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>8}{:>10}{:>8}{:>10}{:>10}{:>10}{:>8}{:>10}",
        "", "MiB", "ms", "ms", "× yard", "ms", "× yard", "ms", "ms", "ms", "ms", "MiB"
    );
    let Some(yardstick) = yardstick(tallies) else { return };
    for (program, tally) in tallies {
        let binary = binary_mib(program).map_or_else(|_| "-".to_owned(), |size| format!("{size:.2}"));
        let ours = ours(program, tally, tallies, calls).map_or_else(|| "-".to_owned(), |ours| format!("{ours:.3}"));
        println!(
            "{:<16}{binary:>9}{:>9.2}{:>9.2}{:>8.2}{:>10.2}{:>8.2}{:>10.2}{:>10.2}{:>10.3}{ours:>8}{:>10.1}",
            program.name,
            tally.ready(),
            tally.first(),
            tally.first() / yardstick.first(),
            tally.cold_cpu(),
            tally.cold_cpu() / yardstick.cold_cpu(),
            tally.warm(50),
            tally.warm(99),
            tally.warm_cpu(),
            tally.peak_mib(),
        );
    }
    println!(
        "\nours: what a warm request's processor time has above the hello world's and, for each call to AWS, above the\n\
         SDK's, which is what the yardstick's one call has above the hello world\n"
    );
}

/// Of a warm request's processor time what is neither the runtime's nor the SDK's, in milliseconds.
fn ours(program: &Program, tally: &Tally, tallies: &[(Program, Tally)], calls: &Calls) -> Option<f64> {
    let of = |part: Part| tallies.iter().find(|(program, _)| program.part == part).map(|(_, tally)| tally.warm_cpu());
    let runtime = of(Part::Hello)?;
    let call = of(Part::Yardstick)? - runtime;
    Some(tally.warm_cpu() - runtime - calls.get(program.name)? * call)
}

/// Our functions beside their targets; what misses its own is marked.
pub fn print_verdicts(tallies: &[(Program, Tally)], calls: &Calls) {
    println!(
        "{:<16}{:>20}{:>20}{:>14}{:>14}{:>14}",
        "targets", "first answer,", "first answer,", "peak mem", "CPU, ours", "binary"
    );
    println!(
        "{:<16}{:>20}{:>20}{:>14}{:>14}{:>14}",
        "! is missed",
        "× yardstick",
        format!("ahead, ≥ {AHEAD_OF_PEER} ×"),
        format!("≤ {PEAK_MIB} MiB"),
        format!("≤ {WARM_CPU} ms"),
        format!("≤ {BINARY_MIB} MiB"),
    );
    let Some(yardstick) = yardstick(tallies) else { return };
    for (program, tally) in tallies {
        let Part::Ours(bound) = program.part else { continue };
        let times = tally.first() / yardstick.first();
        let first = match bound {
            Some(bound) => format!("{times:.2} ≤ {bound}{}", mark(times <= bound)),
            None => format!("{times:.2}  "),
        };
        let peer = tallies.iter().find(|(peer, _)| peer.part == Part::Peer(program.name));
        let ahead = peer.map_or_else(String::new, |(_, peer)| {
            let ahead = peer.first() / tally.first();
            format!("{ahead:.1}{}", mark(ahead >= AHEAD_OF_PEER))
        });
        let bounded = |found: f64, digits: usize, bound: f64| format!("{found:.digits$}{}", mark(found <= bound));
        println!(
            "{:<16}{first:>20}{ahead:>20}{:>14}{:>14}{:>14}",
            program.name,
            bounded(tally.peak_mib(), 1, PEAK_MIB),
            bounded(ours(program, tally, tallies, calls).unwrap_or(f64::NAN), 3, WARM_CPU),
            bounded(binary_mib(program).unwrap_or(f64::NAN), 2, BINARY_MIB),
        );
    }
    println!();
}

fn mark(is_met: bool) -> &'static str {
    if is_met { "  " } else { " !" }
}

fn yardstick(tallies: &[(Program, Tally)]) -> Option<&Tally> {
    tallies.iter().find(|(program, _)| program.part == Part::Yardstick).map(|(_, tally)| tally)
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
         requests.\n{SECRETS} secrets: {:.2} a month; the two that a cold start reads: {:.2} for a million cold starts.\n",
        prices.millisecond(SIGN_INS),
        prices.secrets(SECRETS),
        prices.secret_calls(SIGN_INS * 2.0),
    );
}
