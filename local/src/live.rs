//! What happens in the system, as server-sent events for the console
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::lock::lock;

/// A listener who is further behind loses what is oldest.
const EVENTS_KEPT: usize = 256;

#[derive(Clone)]
struct Happened {
    what: &'static str,
    data: Arc<str>,
}

/// Tells its listeners what happens, until it is closed.
#[derive(Default)]
pub struct Live {
    /// `None` once it is closed.
    sender: Mutex<Option<broadcast::Sender<Happened>>>,
}

/// Closes a [`Live`] when it is dropped. An open stream would keep its server from stopping.
pub struct Closing(pub Arc<Live>);

impl Drop for Closing {
    fn drop(&mut self) {
        *lock(&self.0.sender) = None;
    }
}

impl Live {
    pub fn open() -> Arc<Self> {
        Arc::new(Self { sender: Mutex::new(Some(broadcast::channel(EVENTS_KEPT).0)) })
    }

    pub fn tell(&self, what: &'static str, data: &impl Serialize) {
        let sender = lock(&self.sender).clone().filter(|sender| sender.receiver_count() > 0);
        if let (Some(sender), Ok(data)) = (sender, serde_json::to_string(data)) {
            // The error says that nobody listens any more.
            let _ = sender.send(Happened { what, data: data.into() });
        }
    }

    /// The events from here on. An event `missed` stands for those that a slow listener did not get.
    pub fn stream(&self) -> Response {
        let receiver = lock(&self.sender).as_ref().map(broadcast::Sender::subscribe);
        let events = stream::unfold(receiver, async |receiver| {
            let mut receiver = receiver?;
            let event = match receiver.recv().await {
                Ok(Happened { what, data }) => Event::default().event(what).data(data),
                Err(RecvError::Lagged(_)) => Event::default().event("missed").data("{}"),
                Err(RecvError::Closed) => return None,
            };
            Some((Ok::<_, Infallible>(event), Some(receiver)))
        });
        Sse::new(events).keep_alive(KeepAlive::default()).into_response()
    }
}
