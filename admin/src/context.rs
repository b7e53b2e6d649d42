//! What every command works with: the deployment, who runs the command, and how.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{Change, Store, TableSet};
use adapters::telemetry::causes;
use clap::Args;
use domain::values::phone::{DialledNumber, PhoneNumber};
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;

use crate::deployment::{Deployment, Target};
use crate::failure::Failure;
use crate::output::{Numbers, Report, printable, time};

#[derive(Args, Clone)]
pub struct Manner {
    /// Print JSON
    #[arg(long, global = true, help_heading = "Manner")]
    pub json: bool,
    /// Show whole phone numbers, and codes of test numbers
    #[arg(long, global = true, help_heading = "Manner")]
    pub reveal: bool,
    /// Say what would change, and change nothing
    #[arg(long, global = true, help_heading = "Manner")]
    pub dry_run: bool,
    /// Don't ask before what can't be taken back
    #[arg(long, global = true, help_heading = "Manner")]
    pub yes: bool,
    /// Your name in the audit log; in AWS it is added to that of your credentials
    #[arg(long = "as", global = true, value_name = "NAME", help_heading = "Manner", value_parser = name)]
    pub name: Option<String>,
    /// The name of whoever is logged in, if there is no other.
    #[arg(long, global = true, env = "USER", hide = true)]
    logged_in_as: Option<String>,
}

fn name(text: &str) -> Result<String, &'static str> {
    if !text.is_empty() && printable(text) == text {
        Ok(text.to_owned())
    } else {
        Err("expected visible characters on one line")
    }
}

pub struct Context {
    pub app: App,
    pub deployment: Deployment,
    pub manner: Manner,
    pub now: Timestamp,
}

impl Context {
    pub async fn new(target: &Target, manner: Manner) -> Result<Self, Failure> {
        let deployment = target.reach().await?;
        let app = deployment.app.clone();
        let now = app.clock.now();
        Ok(Self { app, deployment, manner, now })
    }

    pub fn store<T: TableSet>(&self) -> Result<Store<T>, ConfigError> {
        Store::new(&self.app)
    }

    pub fn numbers(&self) -> Numbers {
        if self.manner.reveal { Numbers::Revealed } else { Numbers::Masked }
    }

    pub fn show(&self, phone: &PhoneNumber) -> String {
        self.numbers().show(phone)
    }

    /// The entry of a change in the audit log.
    pub async fn change(
        &self,
        action: &'static str,
        subject: impl Into<String>,
        detail: Option<String>,
    ) -> Result<Change, Failure> {
        Ok(Change { by: self.operator().await?, action, subject: subject.into(), detail, at: self.now })
    }

    /// Who runs the command: in AWS whoever the credentials are of.
    async fn operator(&self) -> Result<String, Failure> {
        let Manner { name, logged_in_as, .. } = &self.manner;
        let Some(aws) = &self.deployment.aws else {
            return Ok(name.as_ref().or(logged_in_as.as_ref()).cloned().unwrap_or_else(|| "unknown".to_owned()));
        };
        let caller = aws_sdk_sts::Client::new(aws).get_caller_identity().send().await;
        let caller = caller.map_err(|error| {
            let reason = causes(&error);
            Failure::Unavailable(format!("AWS does not say whose credentials these are: {reason}"))
        })?;
        let arn = caller.arn.unwrap_or_default();
        Ok(name.as_ref().map_or_else(|| arn.clone(), |name| format!("{arn} as {name}")))
    }

    /// Returns once the operator agrees to what can't be taken back.
    pub fn confirm(&self, what: &str) -> Result<(), Failure> {
        if self.manner.yes {
            return Ok(());
        }
        let mut input = std::io::stdin().lock();
        if !std::io::stdin().is_terminal() {
            return Err(format!("{what} If you mean that, repeat the command with --yes.").into());
        }
        let _ = write!(std::io::stderr(), "{} Type yes to go on: ", printable(what));
        let mut answer = String::new();
        let _ = input.read_line(&mut answer);
        if answer.trim() == "yes" { Ok(()) } else { Err("nothing was changed".into()) }
    }

    /// The answer of a dry run. `what` may be more than one sentence.
    pub fn would(&self, what: &str) -> Report {
        let what = what.trim_end_matches('.');
        Report::new(
            format!("Would {what}. Nothing was changed.\n"),
            serde_json::json!({"dry_run": true, "would": what}),
        )
    }

    /// The day in UTC, as YYYY-MM-DD.
    pub fn today(&self) -> String {
        time(self.now).chars().take(10).collect()
    }

    /// A number as people write it.
    pub fn phone(&self, text: &str) -> Result<DialledNumber, Failure> {
        let country = self.app.config.default_organization.default_country;
        let number = DialledNumber::parse(text, country, &self.app.numbering_plan);
        number.map_err(|_| "this is no mobile number: write it with + and calling code".into())
    }

    pub fn organization(&self, text: Option<&str>) -> Result<OrganizationId, Failure> {
        match text {
            Some(text) => {
                OrganizationId::parse(text).map_err(|wrong| format!("the id of the organization: {wrong}").into())
            }
            None => Ok(self.app.config.default_organization.id.clone()),
        }
    }
}
