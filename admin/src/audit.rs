//! `latchkey audit`: the log of what operators changed.

use adapters::dynamodb::{AuditEntry, SettingsTable};
use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Report, table, time};

#[derive(Args)]
pub struct Command {
    /// How many changes, the newest first
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    last: u32,
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    let entries = context.store::<SettingsTable>()?.audit_entries(command.last).await?;
    let row = |entry: &AuditEntry| {
        [
            entry.number.to_string(),
            time(entry.at),
            entry.by.clone(),
            entry.action.clone(),
            entry.subject.clone(),
            entry.detail.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let text = if rows.is_empty() {
        "Nobody has changed anything with this tool yet.\n".to_owned()
    } else {
        table(["no", "when", "who", "what", "of whom", "detail"], &rows)
    };
    let entry = |entry: &AuditEntry| {
        json!({
            "number": entry.number, "at": entry.at.seconds(), "by": entry.by, "action": entry.action,
            "subject": entry.subject, "detail": entry.detail,
        })
    };
    Ok(Report::new(text, json!({"entries": entries.iter().map(entry).collect::<Vec<_>>()})))
}
