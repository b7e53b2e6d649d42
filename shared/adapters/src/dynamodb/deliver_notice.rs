//! Notices to deliver: reading them, and removing those that were delivered.

use domain::rules::notice::Notice;
use domain::rules::session::Session;
use domain::use_cases::deliver_notice::DeliverNoticeStore;
use domain::values::ids::{NoticeId, UserId};
use domain::values::text::FcmToken;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::notice::{notice, notice_item, notice_key};
use super::store::Store;
use super::tables::{HasNotices, HasSessions};
use super::transaction::Transaction;

impl<T: HasNotices + HasSessions> DeliverNoticeStore for Store<T> {
    async fn pending_notice(&self, user: &UserId, id: &NoticeId) -> Result<Option<Notice>, Unavailable> {
        let item = self.get("read a notice", self.tables.notices(), notice_key(user, id)).await?;
        Ok(item.as_ref().map(notice).transpose()?)
    }

    async fn devices(&self, user: &UserId, now: Timestamp) -> Result<Vec<Session>, Unavailable> {
        self.live_sessions(user, now).await
    }

    async fn forget_fcm_token(&self, session: &Session, token: &FcmToken) -> Result<(), Unavailable> {
        self.forget_token_of_session(session, token).await
    }

    async fn remove_notice(&self, notice: &Notice) -> Result<(), Unavailable> {
        self.delete("remove a notice", self.tables.notices(), notice_key(&notice.user, &notice.id)).await
    }
}

impl<T: HasNotices> Store<T> {
    /// Adds a notice to the transaction of what it tells of.
    pub(super) fn telling<Tag: Copy>(
        &self,
        transaction: Transaction<Tag>,
        tag: Tag,
        notices: impl IntoIterator<Item = impl std::borrow::Borrow<Notice>>,
    ) -> Transaction<Tag> {
        notices.into_iter().fold(transaction, |transaction, notice| {
            transaction.put(tag, self.tables.notices(), notice_item(notice.borrow()), Expression::new())
        })
    }

    /// Writes a notice alone, before what it tells of.
    pub(super) async fn tell(&self, notice: Option<&Notice>) -> Result<(), Unavailable> {
        let Some(notice) = notice else { return Ok(()) };
        let put =
            Transaction::new("write a notice").put((), self.tables.notices(), notice_item(notice), Expression::new());
        self.transact(put).await.map(drop)
    }
}
