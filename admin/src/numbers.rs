//! `latchkey number`: why a number can't sign in, and what operators can do about it.

use std::fmt::Write as _;
use std::net::IpAddr;

use adapters::dynamodb::{AllTables, Store};
use clap::Subcommand;
use domain::rules::device_keys::DeviceKeyPolicy;
use domain::rules::failures::Failures;
use domain::rules::limits::Limits;
use domain::rules::organization::{Membership, Organization};
use domain::rules::pumping::CounterScope;
use domain::rules::recovery::RecoveryState;
use domain::rules::user::{PhoneHolder, User};
use domain::use_cases::send_otp::{SendOtpStore, SendState};
use domain::values::phone::DialledNumber;
use domain::values::purpose::Purpose;
use domain::values::source_address::SourceAddress;
use domain::values::time::{DAY, HOUR, Timestamp};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Numbers, Report, count, fields, masked, time};

#[derive(Subcommand)]
pub enum Command {
    /// Say what keeps a number from signing in
    Why {
        /// The number
        number: String,
        /// The organization; that of the deployment if absent
        #[arg(long, value_name = "ID")]
        organization: Option<String>,
        /// The address that requests come from, to look at its limits too
        #[arg(long, value_name = "ADDRESS")]
        source: Option<IpAddr>,
    },
    /// Send no more codes to a number, or to all numbers that begin so
    Block {
        /// A number, or its beginning, with + and calling code, such as +88213
        prefix: String,
    },
    /// Take a block back
    Unblock {
        /// As it was blocked, with + and calling code
        prefix: String,
    },
    /// List the blocked numbers and beginnings of numbers
    Blocked,
    /// Make a number nobody's: its holder loses it, or it is no longer kept for a former one
    Release {
        /// The number
        number: String,
    },
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    let store = context.store::<AllTables>()?;
    match command {
        Command::Why { number, organization, source } => {
            why(context, &store, &number, organization.as_deref(), source).await
        }
        Command::Block { prefix } => block(context, &store, &prefix).await,
        Command::Unblock { prefix } => unblock(context, &store, &prefix).await,
        Command::Blocked => blocked(context, &store).await,
        Command::Release { number } => release(context, &store, &number).await,
    }
}

/// Something that keeps a number from signing in.
struct Obstacle {
    code: &'static str,
    /// With its end.
    text: String,
    /// None if it does not end by itself.
    until: Option<Timestamp>,
}

/// What was read of a number.
struct Findings {
    organization: Organization,
    holder: Option<PhoneHolder>,
    /// The holder, also a former one.
    user: Option<User>,
    state: SendState,
}

async fn read(
    store: &Store<AllTables>,
    context: &Context,
    dialled: &DialledNumber,
    organization: Option<&str>,
    source: SourceAddress,
) -> Result<Findings, Failure> {
    let (limits, now, phone) = (&context.app.config.limits, context.now, &dialled.number);
    let id = context.organization(organization)?;
    let found = store.organization_for_sends(&id, &context.app.config.default_organization, now).await?;
    let organization = found.ok_or_else(|| format!("there is no organization {}", id.as_str()))?;
    let scope = CounterScope { organization: id.clone(), country: dialled.country, source };
    let purpose = Purpose::SignIn { organization: id };
    let mut state = store.read_send_state(&purpose, phone, None, Some(&scope), limits, now).await?;
    state.counts.highest_verified_day = store.highest_verified_day(&scope, now).await?;
    let holder = store.number_holder(phone).await?;
    let user = match &holder {
        Some(holder) => store.person(&holder.user).await?.map(|person| person.user),
        None => None,
    };
    Ok(Findings { organization, holder, user, state })
}

async fn why(
    context: &Context,
    store: &Store<AllTables>,
    number: &str,
    organization: Option<&str>,
    source: Option<IpAddr>,
) -> Result<Report, Failure> {
    let dialled = context.phone(number)?;
    let findings = read(store, context, &dialled, organization, SourceAddress::of(source)).await?;
    let facts = facts(context, &dialled, &findings);
    let obstacles = obstacles(context, &dialled, &findings);
    let mut text = fields(&facts);
    text.push('\n');
    if obstacles.is_empty() {
        text.push_str("Nothing keeps this number from signing in now.\n");
    }
    for obstacle in &obstacles {
        let _ = writeln!(text, "- {}", obstacle.text);
    }
    let obstacle = |Obstacle { code, text, until }: &Obstacle| {
        let until = until.map(Timestamp::seconds);
        json!({"code": code, "detail": text, "until": until})
    };
    let facts: serde_json::Map<String, Value> =
        facts.iter().map(|(name, value)| (name.replace(' ', "_"), json!(value))).collect();
    Ok(Report::new(text, json!({"facts": facts, "obstacles": obstacles.iter().map(obstacle).collect::<Vec<_>>()})))
}

fn facts(context: &Context, dialled: &DialledNumber, findings: &Findings) -> Vec<(&'static str, String)> {
    let (limits, now) = (&context.app.config.limits, context.now);
    let holder = match &findings.holder {
        None => "nobody: the right code makes a new account".to_owned(),
        Some(holder) if holder.has_phone() => holder.user.to_string(),
        Some(holder) => format!("nobody; it was {}", holder.user),
    };
    let sends = &findings.state.schedule.shared;
    let within = |seconds: u32| sends.iter().filter(|sent| now < sent.plus(seconds)).count();
    let code = match &findings.state.record.challenge {
        Some(challenge) if challenge.consumption.is_some() => "the last one was used".to_owned(),
        Some(challenge) if challenge.is_live(now) => {
            let most = challenge.issued.values().max().copied().unwrap_or_default();
            format!(
                "live until {}, with at most {most} of {} attempts used",
                time(challenge.expires_at),
                limits.code_attempts
            )
        }
        Some(_) => "the last one has expired".to_owned(),
        None => "none".to_owned(),
    };
    let mut facts = vec![
        ("number", format!("{} ({})", context.show(&dialled.number), dialled.country)),
        ("organization", findings.organization.id.as_str().to_owned()),
        ("holder", holder),
        ("code", code),
        ("sends", format!("{} in the last hour, {} in the last day", within(HOUR), within(DAY))),
        ("wrong codes", wrong_codes(&findings.state)),
    ];
    if let Some(holder) = &findings.holder {
        facts.push(("last proof", time(holder.proven_at)));
    }
    if findings.organization.fixed_code(&dialled.number, now).is_some() {
        facts.push(("test number", "yes: no message is sent to it".to_owned()));
    }
    if let Some(change) = findings.user.as_ref().and_then(|user| user.pending_change(now)) {
        let to = context.show(&change.to);
        facts.push(("waiting change", format!("to {to}, due {}", time(change.due_at))));
    }
    facts
}

fn wrong_codes(state: &SendState) -> String {
    let record = &state.record;
    let in_a_row = [&record.with_id, &record.without_id, &record.of_known_devices].map(|lane| lane.consecutive);
    let [with_id, without_id, known] = in_a_row;
    format!("in a row: {with_id} with an id, {without_id} without, {known} of known devices")
}

fn obstacles(context: &Context, dialled: &DialledNumber, findings: &Findings) -> Vec<Obstacle> {
    let (limits, now) = (&context.app.config.limits, context.now);
    let Findings { organization, state, .. } = findings;
    let is_test_number = organization.fixed_code(&dialled.number, now).is_some();
    let mut found = Vec::new();
    let mut add = |code, until, text: String| found.push(Obstacle { code, text, until });
    if !is_test_number {
        if !organization.sends_to(dialled.country) {
            let (id, country) = (organization.id.as_str(), dialled.country);
            add("country_not_allowed", None, format!("{id} sends no codes to {country}: see its allowed_countries."));
        }
        if organization.blocked.contains(&dialled.number) {
            let text =
                "The number is blocked; its sends are answered country_not_allowed. See `latchkey number blocked`.";
            add("number_blocked", None, text.to_owned());
        }
        let next = limits.next_send_at(&state.schedule.shared, now);
        if next > now {
            add("too_many_sends", Some(next), format!("No code can be sent until {}.", time(next)));
        }
        let decision = state.counts.decide(limits, now);
        if let Some(until) = decision.refused_until {
            let names: Vec<&str> = decision.exceeded.iter().map(|budget| budget.name()).collect();
            let by = if names.is_empty() { "a cap".to_owned() } else { names.join(", ") };
            add(
                "over_budget",
                Some(until),
                format!("The messages of the country, or of the address, are used up until {} ({by}).", time(until)),
            );
        }
    }
    for (lane, name) in [(&state.record.with_id, "with an id"), (&state.record.without_id, "without an id")] {
        if let Some(until) = closed(lane, now) {
            let wrong = count(usize::try_from(lane.consecutive).unwrap_or(usize::MAX), "wrong code", "wrong codes");
            let rest = if name == "with an id" { ", but for the first one under each id" } else { "" };
            let text = format!("Guesses {name} are refused until {} after {wrong}{rest}.", time(until));
            add("too_many_guesses", Some(until), text);
        }
    }
    let is_member = findings.user.as_ref().is_some_and(|user| user.is_member_of(&organization.id));
    if organization.access.membership == Membership::Invited && !is_member {
        let advice = "`latchkey user join` makes somebody one";
        add("not_a_member", None, format!("{} admits its members only: {advice}.", organization.id.as_str()));
    }
    if organization.access.device_keys == DeviceKeyPolicy::Required {
        add(
            "device_key_required",
            None,
            format!("{} accepts only devices that prove a key.", organization.id.as_str()),
        );
    }
    if let Some(holder) = &findings.holder {
        of_holder(holder, findings.user.as_ref(), limits, now, &mut add);
    }
    found
}

fn of_holder(
    holder: &PhoneHolder,
    user: Option<&User>,
    limits: &Limits,
    now: Timestamp,
    add: &mut impl FnMut(&'static str, Option<Timestamp>, String),
) {
    if let Some(at) = user.and_then(|user| user.blocked_at) {
        let text = format!("Its holder {} is blocked since {}.", holder.user, time(at));
        add("account_blocked", None, text);
    }
    if let Some(release) = holder.pending_release(now) {
        let text = format!(
            "The number is kept for {}, who may take it back until {}. `latchkey number release` ends that.",
            holder.user,
            time(release.until)
        );
        return add("number_released", Some(release.until), text);
    }
    if !holder.has_phone() || !holder.is_dormant(limits, now) {
        return;
    }
    let text = "The number is dormant: a code alone does not open its account. A known device, a second signal or a fresh \
                account is needed.";
    add("second_signal_required", None, text.to_owned());
    if let Some(RecoveryState::Refused { until }) = user.map(|user| user.recovery_state(limits, now)) {
        let text = "A device refused to give the account to whoever has the number. The refusal holds until";
        add("recovery_refused", Some(until), format!("{text} {}.", time(until)));
    }
}

fn closed(lane: &Failures, now: Timestamp) -> Option<Timestamp> {
    (now < lane.closed_until).then_some(lane.closed_until)
}

async fn release(context: &Context, store: &Store<AllTables>, number: &str) -> Result<Report, Failure> {
    let dialled = context.phone(number)?;
    let shown = context.show(&dialled.number);
    let Some(holder) = store.number_holder(&dialled.number).await? else {
        return Err(format!("{shown} is nobody's already").into());
    };
    let what = if holder.has_phone() {
        format!("take {shown} from {}", holder.user)
    } else {
        format!("no longer keep {shown} for {}", holder.user)
    };
    if context.manner.dry_run {
        return Ok(context.would(&what));
    }
    let end = "Whoever proves the number next gets a new account.";
    context.confirm(&format!("This will {what}. {end}"))?;
    let masked = Numbers::Masked.show(&dialled.number);
    let change = context.change("number.release", holder.user.as_str(), Some(masked)).await?;
    if !store.release_number(&dialled.number, &holder, &change).await? {
        return Err("the number changed its holder at the same time: repeat the command".into());
    }
    let json = json!({"phone_number": shown, "former_holder": holder.user.as_str()});
    Ok(Report::new(format!("{shown} is nobody's. {end}\n"), json))
}

const NO_PREFIX: &str = "expected a number or its beginning with + and calling code, such as +9779841000009";

/// The beginning of numbers, in E.164: + and one to fifteen digits.
fn prefix(text: &str) -> Result<String, Failure> {
    let prefix: String = text.chars().filter(|c| !" -".contains(*c)).collect();
    let digits = prefix.strip_prefix('+').unwrap_or_default();
    let is_prefix = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_prefix { Ok(prefix) } else { Err(NO_PREFIX.into()) }
}

async fn block(context: &Context, store: &Store<AllTables>, text: &str) -> Result<Report, Failure> {
    let prefix = prefix(text)?;
    let shown = shown_prefix(context, &prefix);
    let what = format!("send no more codes to numbers that begin with {shown}");
    if context.manner.dry_run {
        return Ok(context.would(&what));
    }
    context.confirm(&format!("This will {what}."))?;
    let change = context.change("number.block", masked_prefix(&prefix), None).await?;
    if !store.block_numbers(&prefix, &change).await? {
        return Err("1000 are blocked already: block a shorter beginning, and unblock those that it contains".into());
    }
    let text = format!("Within a minute, no number that begins with {shown} gets a code.\n");
    Ok(Report::new(text, json!({"blocked": shown})))
}

async fn unblock(context: &Context, store: &Store<AllTables>, text: &str) -> Result<Report, Failure> {
    let prefix = prefix(text)?;
    let shown = shown_prefix(context, &prefix);
    if context.manner.dry_run {
        return Ok(context.would(&format!("unblock {shown}")));
    }
    let change = context.change("number.unblock", masked_prefix(&prefix), None).await?;
    if !store.unblock_numbers(&prefix, &change).await? {
        return Err(format!("{shown} is not blocked: see `latchkey number blocked`").into());
    }
    let text = format!("Within a minute, numbers that begin with {shown} get codes again.\n");
    Ok(Report::new(text, json!({"unblocked": shown})))
}

async fn blocked(context: &Context, store: &Store<AllTables>) -> Result<Report, Failure> {
    let prefixes = store.blocked_numbers().await?.0;
    let shown: Vec<String> = prefixes.iter().map(|prefix| shown_prefix(context, prefix)).collect();
    let lines: String = shown.iter().map(|prefix| format!("{prefix}\n")).collect();
    let text = if shown.is_empty() { "No number is blocked.\n".to_owned() } else { lines };
    Ok(Report::new(text, json!({"blocked": shown})))
}

/// So long a beginning, with +, may be a whole number.
const WHOLE_NUMBER: usize = 9;

fn masked_prefix(prefix: &str) -> String {
    if prefix.len() < WHOLE_NUMBER { prefix.to_owned() } else { masked(prefix) }
}

fn shown_prefix(context: &Context, prefix: &str) -> String {
    if context.manner.reveal { prefix.to_owned() } else { masked_prefix(prefix) }
}
