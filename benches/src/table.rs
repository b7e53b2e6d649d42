//! The printed tables.

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::prices::{Cost, Prices};
use crate::programs::{Program, Role};
use crate::statistics::Statistics;
use crate::usage::Usage;

/// The targets of a function: maximum memory, maximum binary size, the maximum of its own processor time for a warm
/// request, and the minimum of the Python peer's time to the first answer divided by the function's.
const PEAK_MIB: f64 = 16.0;
const BINARY_MIB: f64 = 9.0;
const OWN_CPU_MILLISECONDS: f64 = 0.5;
const PEER_RATIO: f64 = 30.0;

/// Costs are printed for this many requests.
const MILLION: f64 = 1e6;
/// The secrets of one deployment.
const SECRETS: f64 = 3.0;

/// The number of calls to AWS in a warm request of each function.
pub type Calls = BTreeMap<&'static str, f64>;

pub fn print_times(results: &[(Program, Statistics)], calls: &Calls) {
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>8}{:>10}{:>8}{:>10}{:>10}{:>10}{:>9}{:>10}",
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
        "own CPU",
        "peak mem"
    );
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>8}{:>10}{:>8}{:>10}{:>10}{:>10}{:>9}{:>10}",
        "", "MiB", "ms", "ms", "× yard", "ms", "× yard", "ms", "ms", "ms", "ms", "MiB"
    );
    let Some(yardstick) = yardstick(results) else { return };
    for (program, statistics) in results {
        let binary = binary_mib(program).map_or_else(|_| "-".to_owned(), |size| format!("{size:.2}"));
        let own =
            own_cpu(program, statistics, results, calls).map_or_else(|| "-".to_owned(), |own| format!("{own:.3}"));
        println!(
            "{:<16}{binary:>9}{:>9.2}{:>9.2}{:>8.2}{:>10.2}{:>8.2}{:>10.2}{:>10.2}{:>10.3}{own:>9}{:>10.1}",
            program.name,
            statistics.ready(),
            statistics.first(),
            statistics.first() / yardstick.first(),
            statistics.cold_cpu(),
            statistics.cold_cpu() / yardstick.cold_cpu(),
            statistics.warm(50),
            statistics.warm(99),
            statistics.warm_cpu(),
            statistics.peak_mib(),
        );
    }
    println!(
        "\nready and first: from the start to the first request for an event, and to the first answer\n\
         × yard: divided by the yardstick's time\n\
         own CPU: the warm CPU without the runtime's share (the hello world's CPU) and without the SDK's share for each\n\
         call to AWS (the yardstick's CPU, which has one call, minus the hello world's)\n"
    );
}

/// The part of a warm request's processor time that neither the runtime nor the SDK uses, in milliseconds.
fn own_cpu(
    program: &Program,
    statistics: &Statistics,
    results: &[(Program, Statistics)],
    calls: &Calls,
) -> Option<f64> {
    let of = |role: Role| {
        results.iter().find(|(program, _)| program.role == role).map(|(_, statistics)| statistics.warm_cpu())
    };
    let runtime = of(Role::Hello)?;
    let call = of(Role::Yardstick)? - runtime;
    Some(statistics.warm_cpu() - runtime - calls.get(program.name)? * call)
}

/// The functions' figures beside their targets. A missed target is marked.
pub fn print_targets(results: &[(Program, Statistics)], calls: &Calls) {
    println!(
        "{:<16}{:>20}{:>20}{:>14}{:>14}{:>14}",
        "targets", "first answer,", "Python ÷ function,", "peak mem", "own CPU", "binary"
    );
    println!(
        "{:<16}{:>20}{:>20}{:>14}{:>14}{:>14}",
        "! = missed",
        "× yardstick",
        format!("first answer ≥ {PEER_RATIO}"),
        format!("≤ {PEAK_MIB} MiB"),
        format!("≤ {OWN_CPU_MILLISECONDS} ms"),
        format!("≤ {BINARY_MIB} MiB"),
    );
    let Some(yardstick) = yardstick(results) else { return };
    for (program, statistics) in results {
        let Role::Function(bound) = program.role else { continue };
        let times = statistics.first() / yardstick.first();
        let first = match bound {
            Some(bound) => format!("{times:.2} ≤ {bound}{}", mark(times <= bound)),
            None => format!("{times:.2}  "),
        };
        let peer = results.iter().find(|(peer, _)| peer.role == Role::Peer(program.name));
        let peer = peer.map_or_else(String::new, |(_, peer)| {
            let ratio = peer.first() / statistics.first();
            format!("{ratio:.1}{}", mark(ratio >= PEER_RATIO))
        });
        let bounded = |found: f64, digits: usize, bound: f64| format!("{found:.digits$}{}", mark(found <= bound));
        println!(
            "{:<16}{first:>20}{peer:>20}{:>14}{:>14}{:>14}",
            program.name,
            bounded(statistics.peak_mib(), 1, PEAK_MIB),
            bounded(own_cpu(program, statistics, results, calls).unwrap_or(f64::NAN), 3, OWN_CPU_MILLISECONDS),
            bounded(binary_mib(program).unwrap_or(f64::NAN), 2, BINARY_MIB),
        );
    }
    println!();
}

fn mark(is_met: bool) -> &'static str {
    if is_met { "  " } else { " !" }
}

fn yardstick(results: &[(Program, Statistics)]) -> Option<&Statistics> {
    results.iter().find(|(program, _)| program.role == Role::Yardstick).map(|(_, statistics)| statistics)
}

/// The size of a Rust program. The Python programs are many files, so they have no size here.
fn binary_mib(program: &Program) -> Result<f64, Failure> {
    if matches!(program.role, Role::Peer(_)) {
        return Err("a Python program is not one file".into());
    }
    let file = program.command.first().ok_or("the command line is empty")?;
    let bytes = std::fs::metadata(file)?.len() as f64;
    Ok(bytes / 1024.0 / 1024.0)
}

pub fn print_requests(usages: &[(Program, Usage)]) {
    println!("{:<16}{:>36}  {:>44}", "", "start to first answer", "warm request");
    println!(
        "{:<16}{:>9}{:>9}{:>9}{:>9}  {:>9}{:>9}{:>9}{:>9}{:>8}",
        "", "DynamoDB", "others", "reads", "writes", "DynamoDB", "others", "reads", "writes", "log, B"
    );
    for (program, Usage { cold, warm }) in usages {
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
    println!(
        "DynamoDB, others: requests to DynamoDB, and to Secrets Manager and SMS gateways; reads, writes: DynamoDB units\n"
    );
}

/// The cost of a million sign-ins, and of the requests that follow them.
pub fn print_costs(usages: &[(Program, Usage)], prices: &Prices) {
    let of = |name: &str, requests: f64, is_routed: bool| {
        let usage = usages.iter().find(|(program, _)| program.name == name).map(|(_, usage)| usage);
        usage.map(|usage| prices.cost(&usage.warm, requests, is_routed)).unwrap_or_default()
    };
    let (from, to) = prices.dates();
    println!("US dollars per million, at list prices of {from} to {to} (benches/prices.json)\n");
    println!("{:<44}{:>10}{:>10}{:>10}{:>8}{:>9}", "", "gateway", "Lambda", "DynamoDB", "logs", "sum");
    let row = |what: &str, cost: Cost| {
        let Cost { api_gateway, lambda, dynamodb, logs } = cost;
        println!("{what:<44}{api_gateway:>10.2}{lambda:>10.2}{dynamodb:>10.2}{logs:>8.2}{:>9.2}", cost.sum());
    };
    row("sign-in: a send and a submit", of("send-otp", MILLION, true).plus(of("submit-otp", MILLION, true)));
    row("sign-in by the Python peer", of("python send", MILLION, true).plus(of("python submit", MILLION, true)));
    row("refresh", of("session", MILLION, true));
    row("authorizer alone", of("authorizer", MILLION, false));
    println!(
        "\nThese costs exclude SMS. Times are those of loopback: each additional millisecond costs {:.4} per million \
         requests.\n{SECRETS} secrets cost {:.2} per month. A million cold starts, which read two secrets each, cost {:.2}.\n",
        prices.millisecond(MILLION),
        prices.secrets(SECRETS),
        prices.secret_calls(MILLION * 2.0),
    );
}
