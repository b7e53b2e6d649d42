//! Delivers notices: the stream of the table of notices calls it with those that were written.
//!
//! All notices of a batch go out at the same time. Lambda repeats a batch from its first notice that was not delivered. A notice
//! that was delivered is gone by then.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>

use adapters::app::App;
use adapters::config::ConfigError;
use adapters::dynamodb::{BatchResponse, NoticeTables, Store, StreamEvent, StreamRecord};
use adapters::google::push::Push;
use adapters::sms::Gateways;
use adapters::telemetry::{self, with_request_id};
use domain::rules::notice::Notice;
use domain::use_cases::deliver_notice::{DeliverNoticeStore, Delivery, NoticeChannels, deliver_notice};
use domain::values::ids::{NoticeId, UserId};
use domain::values::unavailable::Unavailable;
use lambda_http::lambda_runtime::LambdaEvent;
use tokio::task::JoinSet;
use tracing::Instrument;

#[derive(Clone)]
pub struct Notify {
    app: App,
    store: Store<NoticeTables>,
    push: Option<Push>,
    gateways: Gateways,
}

impl Notify {
    pub fn new(app: &App) -> Result<Self, ConfigError> {
        Ok(Self { app: app.clone(), store: Store::new(app)?, push: Push::new(app)?, gateways: Gateways::new(app)? })
    }

    pub async fn handle(&self, event: LambdaEvent<StreamEvent>) -> BatchResponse {
        let LambdaEvent { payload, context } = event;
        with_request_id(&context.request_id, self.deliver_all(payload)).await
    }

    async fn deliver_all(&self, event: StreamEvent) -> BatchResponse {
        let mut running = JoinSet::new();
        for record in event.records.iter().filter(|record| record.is_insertion()) {
            let Some((user, id)) = notice_of(record) else { continue };
            let (function, number) = (self.clone(), record.sequence_number());
            let deliver = async move { (!function.deliver(&user, &id).await).then_some(number) };
            running.spawn(deliver.in_current_span());
        }
        running.join_all().await.into_iter().flatten().collect()
    }

    /// Returns whether the notice needs no further delivery.
    async fn deliver(&self, user: &UserId, id: &NoticeId) -> bool {
        let notice = match self.store.pending_notice(user, id).await {
            Ok(Some(notice)) => notice,
            Ok(None) => return true,
            Err(unavailable) => {
                telemetry::unavailable("notify", &unavailable);
                return false;
            }
        };
        let (event, now) = (notice.event, self.app.clock.now());
        match self.try_to_deliver(&notice).await {
            Ok(delivery) => {
                telemetry::notice(event, delivery, now);
                true
            }
            Err(unavailable) => {
                telemetry::notice_failed(event, &unavailable, now);
                false
            }
        }
    }

    async fn try_to_deliver(&self, notice: &Notice) -> Result<Delivery, Unavailable> {
        let (now, default) = (self.app.clock.now(), &self.app.config.default_organization);
        let organization = self.store.organization(&notice.organization, default, now).await?;
        let channels = NoticeChannels {
            pushes: self.push.as_ref(),
            messages: &self.gateways,
            // A message of an organization that was removed since is the default one's.
            organization: organization.as_ref().unwrap_or(default),
            plan: &self.app.numbering_plan,
        };
        deliver_notice(&self.store, &channels, notice, now).await.map_err(|error| Unavailable::new("deliver", error))
    }
}

/// None if the item is no notice.
fn notice_of(record: &StreamRecord) -> Option<(UserId, NoticeId)> {
    Some((record.key("pk").strip_prefix("user#")?.parse().ok()?, record.key("sk").parse().ok()?))
}
