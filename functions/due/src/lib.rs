//! Does hourly what is due: changes of number that nobody refused are made, and people are told once more of what waits.

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{DueTables, Store};
use adapters::telemetry::{self, Delayed, Fate, with_request_id};
use domain::rules::due::Due;
use domain::use_cases::do_due::{Done, DueStore, ENOUGH_DUE, do_due};
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use lambda_http::lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// How often a run reads what is due, so that it ends before Lambda ends it.
const MAX_READS: usize = 10;

#[derive(Clone)]
pub struct DueWork {
    app: App,
    store: Store<DueTables>,
}

impl DueWork {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), store: Store::new(app)? })
    }

    /// Returns how much was due.
    ///
    /// # Errors
    /// When something could not be done. The rest was done, and the next run tries again.
    pub async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Unavailable> {
        with_request_id(&event.context.request_id, self.do_all()).await
    }

    async fn do_all(&self) -> Result<Value, Unavailable> {
        // One moment for all, so that what is postponed is not due again in this run.
        let now = self.app.clock.now();
        let mut seen = 0_usize;
        for _ in 0..MAX_READS {
            let due = self.store.due(now).await.inspect_err(|error| telemetry::unavailable("due", error))?;
            self.do_some(&due, now).await?;
            seen = seen.saturating_add(due.len());
            if due.len() < ENOUGH_DUE {
                break;
            }
        }
        Ok(json!({"seen": seen}))
    }

    /// Does each of them, and then fails if one failed.
    async fn do_some(&self, due: &[Due], now: Timestamp) -> Result<(), Unavailable> {
        let mut first_failure = None;
        for due in due {
            if let Err(unavailable) = self.do_one(due, now).await {
                telemetry::unavailable("due", &unavailable);
                first_failure.get_or_insert(unavailable);
            }
        }
        first_failure.map_or(Ok(()), Err)
    }

    async fn do_one(&self, due: &Due, now: Timestamp) -> Result<(), Unavailable> {
        let notices = |organization: &OrganizationId| self.app.notices(organization, now);
        match do_due(&self.store, &notices, &self.app.config.limits, due, now).await? {
            Done::ChangeMade { user, former_holder } => {
                telemetry::delayed(Delayed::PhoneChange, Fate::Granted, now);
                if let Some(former) = former_holder {
                    telemetry::phone_reassigned("due", &former, &user);
                }
            }
            Done::ChangeDropped => telemetry::delayed(Delayed::PhoneChange, Fate::Dropped, now),
            Done::ChangeRefused => telemetry::delayed(Delayed::PhoneChange, Fate::Refused, now),
            Done::NotYet | Done::UndoExtended => telemetry::delayed(Delayed::PhoneChange, Fate::Held, now),
            Done::Reminded | Done::Nothing => {}
        }
        Ok(())
    }
}
