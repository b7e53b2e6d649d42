//! Does hourly what is due: changes of number that nobody refused are made, and people are told once more of what waits.

use std::time::{Duration, Instant};

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{DueTables, Store};
use adapters::telemetry::{self, Delayed, Fate, with_request_id};
use domain::rules::due::Due;
use domain::use_cases::do_due::{Done, DueStore, do_due};
use domain::values::text::OrganizationId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use lambda_http::lambda_runtime::LambdaEvent;
use serde_json::{Value, json};

/// How long a run begins with more. What it has begun then has as long to end before Lambda ends it.
const WORKING_TIME: Duration = Duration::from_secs(120);

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
        let (now, started) = (self.app.clock.now(), Instant::now());
        let (mut seen, mut first_failure) = (0_usize, None);
        while first_failure.is_none() && started.elapsed() < WORKING_TIME {
            let due = self.store.due(now).await.inspect_err(|error| telemetry::unavailable("due", error))?;
            if due.is_empty() {
                break;
            }
            seen = seen.saturating_add(due.len());
            for due in &due {
                if let Err(unavailable) = self.do_one(due, now).await {
                    telemetry::unavailable("due", &unavailable);
                    first_failure.get_or_insert(unavailable);
                }
            }
        }
        match first_failure {
            Some(unavailable) => Err(unavailable),
            None => Ok(json!({"seen": seen})),
        }
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
