//! `latchkey test-number`: the numbers of an organization that have a fixed code until a day.

use adapters::config::{OrganizationSettings, TestNumberSettings};
use adapters::dynamodb::SettingsTable;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::organizations::{Current, current, write};
use crate::output::{HIDDEN_CODE, Report, masked, table};

#[derive(Subcommand)]
pub enum Command {
    /// List the test numbers of an organization
    List(Of),
    /// Add a test number, or give one another code or end
    Add {
        #[command(flatten)]
        of: Of,
        /// The number, with + and calling code
        number: String,
        /// Six digits
        #[arg(long)]
        code: String,
        /// The first day on which the code is no longer valid, in UTC: YYYY-MM-DD, at most 366 days ahead
        #[arg(long, value_name = "DAY")]
        until: String,
    },
    /// Remove a test number
    Remove {
        #[command(flatten)]
        of: Of,
        /// The number, with + and calling code
        number: String,
    },
}

#[derive(Args)]
pub struct Of {
    /// The organization; that of the deployment if absent
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
}

enum Edit {
    Add(TestNumberSettings),
    Remove(String),
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    match command {
        Command::List(of) => list(context, &of).await,
        Command::Add { of, number, code, until } => {
            let phone_number = context.phone(&number)?.number.e164().to_owned();
            edit(context, &of, Edit::Add(TestNumberSettings { phone_number, code, until })).await
        }
        Command::Remove { of, number } => {
            let phone_number = context.phone(&number)?.number.e164().to_owned();
            edit(context, &of, Edit::Remove(phone_number)).await
        }
    }
}

async fn list(context: &Context, of: &Of) -> Result<Report, Failure> {
    let id = context.organization(of.organization.as_deref())?;
    let settings = context.store::<SettingsTable>()?.organization_settings(&id).await?.unwrap_or_default();
    let shown = |number: &TestNumberSettings| {
        if context.manner.reveal {
            [number.phone_number.clone(), number.code.clone(), number.until.clone()]
        } else {
            [masked(&number.phone_number), HIDDEN_CODE.to_owned(), number.until.clone()]
        }
    };
    let rows: Vec<[String; 3]> = settings.test_numbers.iter().map(shown).collect();
    let text = if rows.is_empty() {
        format!("{} has no test numbers.\n", id.as_str())
    } else {
        table(["number", "code", "until"], &rows)
    };
    let one = |[number, code, until]: &[String; 3]| json!({"phone_number": number, "code": code, "until": until});
    Ok(Report::new(text, json!({"test_numbers": rows.iter().map(one).collect::<Vec<_>>()})))
}

async fn edit(context: &Context, of: &Of, edit: Edit) -> Result<Report, Failure> {
    let id = context.organization(of.organization.as_deref())?;
    let store = context.store::<SettingsTable>()?;
    let Current { settings, stored } = current(context, &store, &id).await?;
    let mut after: OrganizationSettings = settings.clone();
    let number = match &edit {
        Edit::Add(added) => &added.phone_number,
        Edit::Remove(removed) => removed,
    };
    let is_other = |listed: &TestNumberSettings| {
        context.phone(&listed.phone_number).is_ok_and(|listed| listed.number.e164() != *number)
    };
    after.test_numbers.retain(is_other);
    let (action, shown) = (
        match &edit {
            Edit::Add(_) => "test_number.add",
            Edit::Remove(_) => "test_number.remove",
        },
        if context.manner.reveal { number.clone() } else { masked(number) },
    );
    let what = match &edit {
        Edit::Add(added) => {
            after.test_numbers.push(added.clone());
            format!("make {shown} a test number of {} until {}", id.as_str(), added.until)
        }
        Edit::Remove(_) if after.test_numbers.len() == settings.test_numbers.len() => {
            return Err(format!("{shown} is no test number of {}", id.as_str()).into());
        }
        Edit::Remove(_) => format!("remove the test number {shown} of {}", id.as_str()),
    };
    // Those that are over are no reason to refuse another one.
    let today = context.today();
    after.test_numbers.retain(|listed| listed.until > today);
    let checked = after.check(&context.app.config.default_organization, context.now);
    let checked = checked.map_err(|invalid| invalid.to_string())?;
    if context.manner.dry_run {
        return Ok(context.would(&what));
    }
    let detail = format!("{} of {}", masked(number), id.as_str());
    let change = context.change(action, format!("organization {}", id.as_str()), Some(detail)).await?;
    write(&store, stored.as_ref(), &checked, &change).await?;
    let text = match edit {
        Edit::Add(added) => {
            format!(
                "{shown} is a test number of {} until {}. It takes effect within a minute.\n",
                id.as_str(),
                added.until
            )
        }
        Edit::Remove(_) => format!("{shown} is no test number of {} any more, within a minute.\n", id.as_str()),
    };
    Ok(Report::new(text, json!({"organization": id.as_str(), "phone_number": shown})))
}
