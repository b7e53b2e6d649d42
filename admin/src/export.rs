//! `latchkey export`: all users as JSON lines that `latchkey import lines` reads, or what is stored of one person.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use adapters::dynamodb::{AllTables, AuditEntry, Person, Store};
use clap::Args;
use domain::rules::challenge::ChallengeRecord;
use domain::rules::failures::Failures;
use domain::rules::notice::{Notice, Recipient};
use domain::rules::session::Session;
use domain::rules::user::{DelayedChange, Ending, FormerPhone, Recovery};
use domain::use_cases::send_otp::{SendOtpStore, SendState};
use domain::values::ids::SessionId;
use domain::values::phone::PhoneNumber;
use domain::values::purpose::Purpose;
use domain::values::text::{DeviceName, FcmToken};
use domain::values::time::Timestamp;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Report;
use crate::pace::Pace;
use crate::users::find;
use adapters::people::Line;

#[derive(Args)]
pub struct Command {
    /// What is stored of this user, given by id, number or username. Without it, all users
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Where to write; standard output if absent
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The most read units a second
    #[arg(long, value_name = "UNITS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    units_per_second: u64,
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    let store = context.store::<AllTables>()?;
    if context.manner.dry_run {
        return Ok(context.would("export, and write that into the audit log"));
    }
    match &command.user {
        Some(user) => one(context, &store, user, &command).await,
        None => all(context, &store, &command).await,
    }
}

fn open(command: &Command) -> Result<Box<dyn Write>, Failure> {
    Ok(match &command.to {
        Some(path) => {
            let file = create_private(path).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => format!("{} exists: remove it or choose another name", path.display()),
                _ => format!("{}: {error}", path.display()),
            })?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    })
}

/// Only its owner may read it. A file that exists is not replaced.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn cannot_write(error: std::io::Error) -> Failure {
    format!("the export can't be written: {error}").into()
}

async fn all(context: &Context, store: &Store<AllTables>, command: &Command) -> Result<Report, Failure> {
    let change = context.change("export", "all users", None).await?;
    store.record(&change).await?;
    let mut out = open(command)?;
    let mut pace = Pace::new(command.units_per_second);
    let (mut units, mut exported, mut from) = (0_u64, 0_u64, None);
    loop {
        let page = store.users_page(from).await?;
        for user in &page.users {
            let line = serde_json::to_string(&Line::from(user)).map_err(|error| error.to_string())?;
            writeln!(out, "{line}").map_err(cannot_write)?;
            exported = exported.saturating_add(1);
        }
        units = units.saturating_add(page.read_units);
        from = page.next;
        if from.is_none() {
            break;
        }
        let _ = writeln!(std::io::stderr(), "{exported} users");
        pace.keep(page.read_units).await;
    }
    out.flush().map_err(cannot_write)?;
    // With the lines on standard output, nothing else may be there.
    if command.to.is_none() {
        return Ok(Report::new("", Value::Null));
    }
    let users = if exported == 1 { "user is" } else { "users are" };
    let text = format!("{exported} {users} exported, with whole numbers: keep the file as you keep the table.\n");
    Ok(Report::new(text, json!({"exported": exported, "read_units": units})))
}

async fn one(context: &Context, store: &Store<AllTables>, who: &str, command: &Command) -> Result<Report, Failure> {
    let id = find(context, store, who).await?;
    let person = store.person(&id).await?.ok_or("there is no such user")?;
    let change = context.change("user.export", id.as_str(), None).await?;
    store.record(&change).await?;
    let sent = match &person.user.phone {
        Some(phone) => {
            let purpose = Purpose::SignIn { organization: context.app.config.default_organization.id.clone() };
            let limits = &context.app.config.limits;
            Some(store.read_send_state(&purpose, phone, None, None, limits, context.now).await?)
        }
        None => None,
    };
    let notices = store.waiting_notices(&id).await?;
    let mut entries = store.audit_entries(u32::MAX).await?;
    entries.retain(|entry| entry.subject == id.as_str());
    let document = document(&person, sent.as_ref(), &notices, &entries);
    let mut out = open(command)?;
    writeln!(out, "{document:#}").and_then(|()| out.flush()).map_err(cannot_write)?;
    if command.to.is_none() {
        return Ok(Report::new("", Value::Null));
    }
    Ok(Report::new(format!("What is stored of {id} is exported.\n"), json!({"user_id": id.as_str()})))
}

/// What is stored of a person. docs/administer.md says what is left out.
fn document(person: &Person, sent: Option<&SendState>, notices: &[Notice], entries: &[AuditEntry]) -> Value {
    let Person { user, kept_usernames, sessions } = person;
    let mut sessions: Vec<&Session> = sessions.iter().collect();
    sessions.sort_by_key(|session| (session.created_at, &session.id));
    let devices =
        user.device_keys.0.iter().map(|(key, at)| json!({"thumbprint": key.as_str(), "last_sign_in_at": at.seconds()}));
    let usernames =
        kept_usernames.0.iter().map(|(name, until)| json!({"username": name, "kept_until": until.seconds()}));
    let sends = sent.iter().flat_map(|state| state.schedule.shared.iter().chain(&state.schedule.reserve));
    // Not by whom: that is somebody else.
    let change = |entry: &AuditEntry| json!({"number": entry.number, "at": entry.at.seconds(), "action": entry.action, "detail": entry.detail});
    json!({
        "user": Line::from(user),
        "has_lost_number": user.has_lost_phone,
        "former_numbers": user.former_phones.iter().map(former_number).collect::<Vec<_>>(),
        "kept_usernames": usernames.collect::<Vec<_>>(),
        "known_devices": devices.collect::<Vec<_>>(),
        "delayed_change": user.delayed_change.as_deref().map(delayed_change),
        "recovery": user.recovery.as_deref().map(recovery),
        "sessions": sessions.into_iter().map(session).collect::<Vec<_>>(),
        "waiting_notices": notices.iter().map(waiting_notice).collect::<Vec<_>>(),
        "messages_sent_at": sends.map(|at| at.seconds()).collect::<Vec<_>>(),
        "wrong_codes": sent.map(|state| wrong_codes(&state.record)),
        "changes_by_operators": entries.iter().map(change).collect::<Vec<_>>(),
    })
}

fn former_number(former: &FormerPhone) -> Value {
    json!({
        "phone_number": former.phone.e164(), "proven_at": former.proven_at.seconds(),
        "changed_at": former.changed_at.seconds(), "changed_by": former.changed_by.as_str(),
        "undo_until": former.until.seconds(),
    })
}

fn delayed_change(change: &DelayedChange) -> Value {
    let refused_at = match change.ended {
        Some(Ending::Refused { at }) => Some(at.seconds()),
        Some(Ending::Withdrawn) | None => None,
    };
    json!({
        "from": change.from.as_ref().map(PhoneNumber::e164), "phone_number": change.to.e164(),
        "requested_at": change.requested_at.seconds(), "due_at": change.due_at.seconds(),
        "requested_by": change.requested_by.as_str(), "device_key": change.device_key.as_str(),
        "organization_id": change.organization.as_str(), "ended": change.ended.map(Ending::name),
        "refused_at": refused_at,
    })
}

fn recovery(recovery: &Recovery) -> Value {
    json!({
        "phone_number": recovery.phone.e164(), "requested_at": recovery.requested_at.seconds(),
        "opens_at": recovery.opens_at.seconds(), "organization_id": recovery.organization.as_str(),
        "refused_at": recovery.refused_at.map(Timestamp::seconds),
    })
}

fn waiting_notice(notice: &Notice) -> Value {
    let to = match &notice.recipient {
        Recipient::DevicesBut(session) => json!({"all_devices_but": session.as_ref().map(SessionId::as_str)}),
        Recipient::Devices(tokens) => json!({"fcm_tokens": tokens.iter().map(FcmToken::as_str).collect::<Vec<_>>()}),
        Recipient::Number { phone, until } => json!({"phone_number": phone.e164(), "until": until.seconds()}),
    };
    json!({
        "notice_id": notice.id.as_str(), "event": notice.event.name(), "at": notice.at.seconds(),
        "organization_id": notice.organization.as_str(), "to": to,
    })
}

/// Of the number, whoever guessed.
fn wrong_codes(record: &ChallengeRecord) -> Value {
    let lane = |failures: &Failures| json!({"in_a_row": failures.consecutive, "refused_until": failures.closed_until.seconds()});
    json!({
        "with_id": lane(&record.with_id), "without_id": lane(&record.without_id),
        "of_known_devices": lane(&record.of_known_devices),
    })
}

fn session(session: &Session) -> Value {
    json!({
        "session_id": session.id.as_str(),
        "organization_id": session.organization.as_str(),
        "device_name": session.device_name.as_ref().map(DeviceName::as_str),
        "device_key": session.device_key.as_ref().map(|key| key.as_str()),
        "fcm_token": session.fcm_token.as_ref().map(FcmToken::as_str),
        "fcm_token_at": session.fcm_token_at.map(Timestamp::seconds),
        "created_at": session.created_at.seconds(),
        "last_used_at": session.last_used_at.seconds(),
        "expires_at": session.expires_at().seconds(),
    })
}
