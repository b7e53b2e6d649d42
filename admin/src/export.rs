//! `latchkey export`: all users as JSON lines that `latchkey import lines` reads, or everything that is stored of one person.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use adapters::dynamodb::{AllTables, Person, Store};
use clap::Args;
use domain::rules::session::Session;
use domain::use_cases::send_otp::SendOtpStore;
use domain::values::purpose::Purpose;
use domain::values::text::DeviceName;
use domain::values::time::Timestamp;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Report;
use crate::pace::Pace;
use crate::people::Line;
use crate::users::find;

#[derive(Args)]
pub struct Command {
    /// Everything that is stored of this user: a user id, a number or a username. Without it, all users
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
            let file = create_private(path).map_err(|error| format!("{}: {error}", path.display()))?;
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
        let _ = writeln!(std::io::stderr(), "{exported} users");
        from = page.next;
        if from.is_none() {
            break;
        }
        pace.keep(page.read_units).await;
    }
    out.flush().map_err(cannot_write)?;
    // With the lines on standard output, nothing else may be there.
    if command.to.is_none() {
        return Ok(Report::new("", Value::Null));
    }
    let text = format!("{exported} users are exported, with whole numbers: keep the file as you keep the table.\n");
    Ok(Report::new(text, json!({"exported": exported, "read_units": units})))
}

async fn one(context: &Context, store: &Store<AllTables>, who: &str, command: &Command) -> Result<Report, Failure> {
    let id = find(context, store, who).await?;
    let Person { user, kept_usernames, sessions } = store.person(&id).await?.ok_or("there is no such user")?;
    let change = context.change("user.export", id.as_str(), None).await?;
    store.record(&change).await?;
    let sent = match &user.phone {
        Some(phone) => {
            let purpose = Purpose::SignIn { organization: context.app.config.default_organization.id.clone() };
            let limits = &context.app.config.limits;
            Some(store.read_send_state(&purpose, phone, None, None, limits, context.now).await?)
        }
        None => None,
    };
    let seconds = Timestamp::seconds;
    let former = user.former_phones.iter().map(|former| {
        json!({
            "phone_number": former.phone.e164(), "proven_at": former.proven_at.seconds(),
            "changed_at": former.changed_at.seconds(), "undo_until": former.until.seconds(),
        })
    });
    let devices =
        user.device_keys.0.iter().map(|(key, at)| json!({"thumbprint": key.as_str(), "last_sign_in_at": at.seconds()}));
    let usernames =
        kept_usernames.0.iter().map(|(name, until)| json!({"username": name, "kept_until": until.seconds()}));
    let change = user.delayed_change.as_ref().map(|change| {
        json!({
            "phone_number": change.to.e164(), "requested_at": change.requested_at.seconds(), "due_at": change.due_at.seconds(),
        })
    });
    let recovery = user.recovery.as_ref().map(
        |recovery| json!({"requested_at": recovery.requested_at.seconds(), "opens_at": recovery.opens_at.seconds()}),
    );
    let messages = sent.map(|state| {
        let sends = state.schedule.shared.iter().chain(&state.schedule.reserve);
        sends.copied().map(seconds).collect::<Vec<_>>()
    });
    let document = json!({
        "user": Line::from(&user),
        "former_numbers": former.collect::<Vec<_>>(),
        "kept_usernames": usernames.collect::<Vec<_>>(),
        "known_devices": devices.collect::<Vec<_>>(),
        "delayed_change": change,
        "recovery": recovery,
        "sessions": sessions.iter().map(session).collect::<Vec<_>>(),
        "messages_of_the_last_day": messages.unwrap_or_default(),
    });
    let mut out = open(command)?;
    writeln!(out, "{document:#}").and_then(|()| out.flush()).map_err(cannot_write)?;
    if command.to.is_none() {
        return Ok(Report::new("", Value::Null));
    }
    Ok(Report::new(format!("What is stored of {id} is exported.\n"), json!({"user_id": id.as_str()})))
}

fn session(session: &Session) -> Value {
    json!({
        "session_id": session.id.as_str(),
        "organization_id": session.organization.as_str(),
        "device_name": session.device_name.as_ref().map(DeviceName::as_str),
        "device_key": session.device_key.as_ref().map(|key| key.as_str()),
        "fcm_token": session.fcm_token.as_ref().map(|token| token.as_str()),
        "fcm_token_at": session.fcm_token_at.map(Timestamp::seconds),
        "created_at": session.created_at.seconds(),
        "last_used_at": session.last_used_at.seconds(),
        "expires_at": session.expires_at().seconds(),
    })
}
