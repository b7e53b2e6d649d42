//! `latchkey organization`: settings as people write them, checked before anyone is sent a message.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use adapters::config::{CheckedOrganization, OrganizationSettings};
use adapters::dynamodb::{SettingsTable, Store};
use clap::Subcommand;
use domain::values::text::OrganizationId;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{HIDDEN_CODE, Report, masked, table};

#[derive(Subcommand)]
pub enum Command {
    /// List the organizations
    List,
    /// Show the settings of an organization, as a file has them
    Show {
        /// Its id
        id: String,
    },
    /// Check the settings in a file, show the messages as people will read them, and write the settings
    Apply {
        /// Settings in JSON, such as examples/organization.json
        file: PathBuf,
    },
    /// Say how the settings in a file differ from those in force
    Diff {
        /// Settings in JSON
        file: PathBuf,
    },
}

pub async fn run(context: &Context, command: Command) -> Result<Report, Failure> {
    let store = context.store::<SettingsTable>()?;
    match command {
        Command::List => list(context, &store).await,
        Command::Show { id } => show(context, &store, &id).await,
        Command::Apply { file } => apply(context, &store, &file).await,
        Command::Diff { file } => diff(context, &store, &file).await,
    }
}

async fn list(context: &Context, store: &Store<SettingsTable>) -> Result<Report, Failure> {
    let default = &context.app.config.default_organization.id;
    let mut organizations = store.all_organizations().await?;
    let has_default = organizations.contains_key(default.as_str());
    if !has_default {
        let of_parameters = OrganizationSettings::of_parameters(&context.app.config.default_organization);
        organizations.insert(of_parameters.id.clone(), of_parameters);
    }
    let or = |value: &Option<String>, absent: &str| value.clone().unwrap_or_else(|| absent.to_owned());
    let list = |value: &Option<Vec<String>>, absent: &str| {
        value.as_ref().map_or_else(|| absent.to_owned(), |values| values.join(", "))
    };
    let mut rows = Vec::new();
    for (id, settings) in &organizations {
        let is_of_parameters = !has_default && id == default.as_str();
        rows.push([
            id.clone(),
            if is_of_parameters { "(the stack's parameters)".to_owned() } else { settings.app_name.clone() },
            or(&settings.membership, "open"),
            list(&settings.languages, "all"),
            list(&settings.allowed_countries, "the deployment's"),
            settings.test_numbers.len().to_string(),
        ]);
    }
    let shown: Vec<Value> = organizations.values().map(|settings| shown(context, settings)).collect();
    let text = table(["id", "app", "members", "languages", "countries", "test numbers"], &rows);
    Ok(Report::new(text, json!({"organizations": shown})))
}

async fn show(context: &Context, store: &Store<SettingsTable>, id: &str) -> Result<Report, Failure> {
    let id = context.organization(Some(id))?;
    let Current { settings, .. } = current(context, store, &id).await?;
    let shown = shown(context, &settings);
    Ok(Report::new(format!("{shown:#}\n"), shown))
}

/// The settings in force.
pub struct Current {
    pub settings: OrganizationSettings,
    /// None if the settings are those of the stack's parameters.
    pub stored: Option<OrganizationSettings>,
}

pub async fn current(context: &Context, store: &Store<SettingsTable>, id: &OrganizationId) -> Result<Current, Failure> {
    if let Some(settings) = store.organization_settings(id).await? {
        return Ok(Current { settings: settings.clone(), stored: Some(settings) });
    }
    match of_parameters(context, id)? {
        Some(settings) => Ok(Current { settings, stored: None }),
        None => Err(format!("there is no organization {}; see `latchkey organization list`", id.as_str()).into()),
    }
}

/// The settings of the default organization, if nothing but the stack's parameters says them.
fn of_parameters(context: &Context, id: &OrganizationId) -> Result<Option<OrganizationSettings>, Failure> {
    let default = &context.app.config.default_organization;
    if *id != default.id {
        return Ok(None);
    }
    if context.deployment.has_parameters {
        return Ok(Some(OrganizationSettings::of_parameters(default)));
    }
    Err("the default organization has the settings of the stack's parameters, which only --stack knows".into())
}

/// Refuses an organization that nobody can sign in to.
pub async fn check_exists(context: &Context, id: &OrganizationId) -> Result<(), Failure> {
    if *id != context.app.config.default_organization.id {
        current(context, &context.store::<SettingsTable>()?, id).await?;
    }
    Ok(())
}

async fn apply(context: &Context, store: &Store<SettingsTable>, file: &Path) -> Result<Report, Failure> {
    let checked = check(context, file)?;
    let id = context.organization(Some(checked.id()))?;
    let seen = store.organization_settings(&id).await?;
    let differences = differences(context, &id, seen.as_ref(), &checked)?;
    let mut text = messages(&checked);
    let name = checked.id();
    text.push_str(&differences.text());
    let writes = !context.manner.dry_run && !differences.0.is_empty();
    if context.manner.dry_run {
        let _ = writeln!(text, "{name} is valid. Nothing was written.");
    } else if !writes {
        let _ = writeln!(text, "{name} has these settings already. Nothing was written.");
    } else {
        let detail = if seen.is_none() { "created".to_owned() } else { differences.members() };
        let change = context.change("organization.apply", name, Some(detail)).await?;
        write(store, seen.as_ref(), &checked, &change).await?;
        let _ = writeln!(text, "{name} is written. It takes effect within a minute.");
    }
    let json = json!({"id": name, "written": writes, "changes": differences.json()});
    Ok(Report::new(text, json))
}

/// Writes settings, if they are still those that the change was made for.
pub async fn write(
    store: &Store<SettingsTable>,
    seen: Option<&OrganizationSettings>,
    checked: &CheckedOrganization,
    change: &adapters::dynamodb::Change,
) -> Result<(), Failure> {
    if store.replace_organization(seen, checked, change).await? {
        return Ok(());
    }
    Err("the organization was changed at the same time: repeat the command".into())
}

async fn diff(context: &Context, store: &Store<SettingsTable>, file: &Path) -> Result<Report, Failure> {
    let checked = check(context, file)?;
    let id = context.organization(Some(checked.id()))?;
    let seen = store.organization_settings(&id).await?;
    let differences = differences(context, &id, seen.as_ref(), &checked)?;
    Ok(Report::new(differences.text(), json!({"id": checked.id(), "changes": differences.json()})))
}

fn check(context: &Context, file: &Path) -> Result<CheckedOrganization, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let settings: OrganizationSettings = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    // As `show` prints them.
    if settings.test_numbers.iter().any(|number| number.code == HIDDEN_CODE || number.phone_number.contains('*')) {
        return Err(
            format!("{name}: test_numbers: the number or its code is masked: write the file with --reveal").into()
        );
    }
    let checked = settings.check(&context.app.config.default_organization, context.now);
    checked.map_err(|invalid| format!("{name}: {invalid}").into())
}

/// Each message as users will read it, and how much of a segment it uses.
fn messages(checked: &CheckedOrganization) -> String {
    let mut output = String::new();
    for (language, purpose, message) in checked.samples() {
        let length = message.length();
        let _ = writeln!(
            output,
            "{language}, {}: {} of {} {}",
            purpose.name(),
            length.counted,
            length.allowed,
            length.unit
        );
        for line in message.reveal().lines() {
            let _ = writeln!(output, "    {line}");
        }
    }
    output
}

/// The settings as JSON, numbers and codes of test numbers only if they are to be shown.
fn shown(context: &Context, settings: &OrganizationSettings) -> Value {
    let mut settings = settings.clone();
    if !context.manner.reveal {
        for number in &mut settings.test_numbers {
            number.phone_number = masked(&number.phone_number);
            number.code = HIDDEN_CODE.to_owned();
        }
    }
    json!(settings)
}

/// Members with their values before and after; null is absent.
struct Differences(Vec<(String, Value, Value)>);

fn differences(
    context: &Context,
    id: &OrganizationId,
    stored: Option<&OrganizationSettings>,
    checked: &CheckedOrganization,
) -> Result<Differences, Failure> {
    let of_parameters = if stored.is_none() { of_parameters(context, id)? } else { None };
    let (before, after) = (stored.or(of_parameters.as_ref()), checked.settings());
    let members = |settings: Option<&OrganizationSettings>, shown: &dyn Fn(&OrganizationSettings) -> Value| {
        settings.map(shown).and_then(|value| value.as_object().cloned()).unwrap_or_default()
    };
    let whole = |settings: &OrganizationSettings| json!(settings);
    let to_show = |settings: &OrganizationSettings| shown(context, settings);
    let value = |members: &Map<String, Value>, name: &String| members.get(name).cloned().unwrap_or_default();
    let (was, is) = (members(before, &whole), members(Some(after), &whole));
    let (was_shown, is_shown) = (members(before, &to_show), members(Some(after), &to_show));
    let mut names: Vec<String> = was.keys().chain(is.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| value(&was, name) != value(&is, name));
    let changed = names.into_iter().map(|name| {
        let (before, after) = (value(&was_shown, &name), value(&is_shown, &name));
        (name, before, after)
    });
    Ok(Differences(changed.collect()))
}

impl Differences {
    fn text(&self) -> String {
        if self.0.is_empty() {
            return "There is no difference.\n".to_owned();
        }
        let mut text = String::new();
        for (name, before, after) in &self.0 {
            for (sign, value) in [("-", before), ("+", after)] {
                if !value.is_null() {
                    let _ = writeln!(text, "{sign} {name}: {value}");
                }
            }
        }
        text
    }

    fn json(&self) -> Value {
        let one = |(name, before, after): &(String, Value, Value)| json!({"member": name, "from": before, "to": after});
        json!(self.0.iter().map(one).collect::<Vec<_>>())
    }

    fn members(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(name, ..)| name.as_str()).collect();
        names.join(", ")
    }
}
