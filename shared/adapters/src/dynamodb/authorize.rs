//! Authorizing: one read of the session; a refusal reads the user too.

use domain::rules::session::Session;
use domain::use_cases::authorize::AuthorizeStore;
use domain::values::ids::{SessionId, UserId};
use domain::values::unavailable::Unavailable;

use super::store::Store;
use super::tables::{HasSessions, HasUsers};

impl<T: HasUsers + HasSessions> AuthorizeStore for Store<T> {
    async fn session(&self, user: &UserId, session: &SessionId) -> Result<Option<Session>, Unavailable> {
        self.find_session(user, session).await
    }

    async fn user_exists(&self, user: &UserId) -> Result<bool, Unavailable> {
        Ok(self.find_user_item(user).await?.is_some())
    }
}
