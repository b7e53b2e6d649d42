//! The one cache: values kept in the process until they expire. One request at a time fetches a value; others that need the
//! same value wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use domain::values::time::Timestamp;
use domain::values::unavailable::Unavailable;
use tokio::sync::Mutex;

#[derive(Clone)]
pub struct Fetched<V> {
    pub value: V,
    pub fresh_until: Timestamp,
}

pub struct Expiring<K, V> {
    slots: Mutex<BTreeMap<K, Arc<Mutex<Slot<V>>>>>,
    /// The most keys that are kept. A further key empties the cache: keys may come from strangers.
    capacity: usize,
    /// How long after its expiry a value is still used if fetching it again fails. Seconds.
    stale_seconds: u32,
    /// The shortest time between a failed fetch and the next one. Seconds.
    retry_seconds: u32,
    /// Whether that time is kept also without a stale value.
    fails_fast: bool,
}

struct Slot<V> {
    kept: Option<Fetched<V>>,
    fetch_again_at: Timestamp,
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { kept: None, fetch_again_at: Timestamp::default() }
    }
}

impl<K: Ord + Clone, V: Clone> Expiring<K, V> {
    pub fn new(capacity: usize) -> Self {
        Self { slots: Mutex::default(), capacity, stale_seconds: 0, retry_seconds: 0, fails_fast: false }
    }

    /// Uses a value for this long after its expiry if fetching it again fails.
    pub fn stale_for(self, stale_seconds: u32) -> Self {
        Self { stale_seconds, ..self }
    }

    /// Uses a stale value for this long after a failed fetch, without fetching.
    pub fn retry_after(self, retry_seconds: u32) -> Self {
        Self { retry_seconds, ..self }
    }

    /// Also fails for that long, without fetching, if there is no stale value.
    pub fn fails_fast(self) -> Self {
        Self { fails_fast: true, ..self }
    }

    /// The value of a key, fetched if it is not kept or has expired. A value that is fetched with an expiry in the past is
    /// returned and not kept.
    pub async fn get<F>(&self, key: &K, now: Timestamp, fetch: impl FnOnce() -> F) -> Result<V, Unavailable>
    where
        F: Future<Output = Result<Fetched<V>, Unavailable>>,
    {
        self.get_if(key, now, |_| true, fetch).await
    }

    /// As [`Expiring::get`], and a kept value that is not `sufficient` is fetched again too.
    pub async fn get_if<F>(
        &self,
        key: &K,
        now: Timestamp,
        sufficient: impl FnOnce(&Fetched<V>) -> bool,
        fetch: impl FnOnce() -> F,
    ) -> Result<V, Unavailable>
    where
        F: Future<Output = Result<Fetched<V>, Unavailable>>,
    {
        let slot = self.slot(key).await;
        let mut slot = slot.lock().await;
        let stale = slot.kept.clone().filter(|kept| now < kept.fresh_until.plus(self.stale_seconds));
        if let Some(kept) = &stale
            && (now < slot.fetch_again_at || (now < kept.fresh_until && sufficient(kept)))
        {
            return Ok(kept.value.clone());
        }
        if self.fails_fast && now < slot.fetch_again_at {
            return Err(Unavailable::new("fetch a value", "the last fetch failed a moment ago"));
        }
        match fetch().await {
            Ok(fetched) => {
                let value = fetched.value.clone();
                Self::keep(&mut slot, fetched, now);
                Ok(value)
            }
            Err(error) => {
                slot.fetch_again_at = now.plus(self.retry_seconds);
                stale.map(|kept| kept.value).ok_or(error)
            }
        }
    }

    /// The value of a key, if it is kept, has not expired and is not being fetched.
    pub fn kept(&self, key: &K, now: Timestamp) -> Option<V> {
        let slots = self.slots.try_lock().ok()?;
        let slot = slots.get(key)?.try_lock().ok()?;
        slot.kept.as_ref().filter(|kept| now < kept.fresh_until).map(|kept| kept.value.clone())
    }

    /// Keeps a value that was fetched by other means.
    pub async fn insert(&self, key: &K, fetched: Fetched<V>, now: Timestamp) {
        let slot = self.slot(key).await;
        Self::keep(&mut *slot.lock().await, fetched, now);
    }

    /// Forgets the value of a key.
    pub async fn forget(&self, key: &K) {
        self.slots.lock().await.remove(key);
    }

    fn keep(slot: &mut Slot<V>, fetched: Fetched<V>, now: Timestamp) {
        slot.fetch_again_at = Timestamp::default();
        slot.kept = Some(fetched).filter(|fetched| now < fetched.fresh_until);
    }

    async fn slot(&self, key: &K) -> Arc<Mutex<Slot<V>>> {
        let mut slots = self.slots.lock().await;
        if slots.len() >= self.capacity && !slots.contains_key(key) {
            slots.clear();
        }
        Arc::clone(slots.entry(key.clone()).or_default())
    }
}

/// Values may be secrets, so none is shown.
impl<K, V> fmt::Debug for Expiring<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expiring(…)")
    }
}
