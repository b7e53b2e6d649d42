//! The published keys, on one item.

use domain::rules::limits::Limits;
use domain::rules::signing_keys::{KeySet, PublicKey, RetirementError};
use domain::values::ids::KeyId;
use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;

use super::expression::Expression;
use super::items::attributes::number;
use super::items::audit::Change;
use super::items::public_keys::{key_set, key_set_item, key_set_key};
use super::store::Store;
use super::tables::HasSettings;
use super::transaction::Transaction;

/// How often a publication is retried because another key was published in between.
const MAX_RETRIES: usize = 5;

impl<T: HasSettings> Store<T> {
    /// The published keys; empty before the first rotation.
    pub async fn key_set(&self) -> Result<KeySet, Unavailable> {
        let item = self.get("read the public keys", self.tables.settings(), key_set_key()).await?;
        Ok(item.as_ref().map(key_set).transpose()?.unwrap_or_default())
    }

    /// Publishes a key as the newest one.
    pub async fn publish_key(&self, public: &PublicKey, now: Timestamp, limits: &Limits) -> Result<(), Unavailable> {
        self.change_keys(|before| before.publish(public.clone(), now, limits)).await
    }

    /// Notes that a key is the current one, and signs in every process from `from` on.
    pub async fn key_signs(&self, key: &KeyId, from: Timestamp) -> Result<(), Unavailable> {
        self.change_keys(|before| before.signing(key, from)).await
    }

    async fn change_keys(&self, change: impl Fn(&KeySet) -> KeySet) -> Result<(), Unavailable> {
        for _ in 0..MAX_RETRIES {
            let before = self.key_set().await?;
            let after = change(&before);
            if after == before {
                return Ok(());
            }
            let unchanged =
                Expression::new().if_any(|on| [on.absent("pk"), on.equals("revision", number(before.revision))]);
            let table = self.tables.settings();
            let transaction = Transaction::new("publish a key").put((), table, key_set_item(&after), unchanged);
            if self.transact(transaction).await?.is_done() {
                return Ok(());
            }
        }
        Err(Unavailable::new("publish a key", "another key was published each time"))
    }

    /// Removes a public key. Processes that have read it accept it for five minutes more.
    pub async fn retire_key(&self, id: &KeyId, change: &Change) -> Result<Result<(), RetirementError>, Unavailable> {
        for _ in 0..MAX_RETRIES {
            let before = self.key_set().await?;
            let after = match before.retire(id, change.at) {
                Ok(after) => after,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let build = || {
                let unchanged = Expression::new().if_equals("revision", number(before.revision));
                Transaction::new("retire a key").put((), self.tables.settings(), key_set_item(&after), unchanged)
            };
            if self.transact_recorded(change, build).await?.is_done() {
                return Ok(Ok(()));
            }
        }
        Err(Unavailable::new("retire a key", "another key was published each time"))
    }
}
