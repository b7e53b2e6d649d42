//! HTTP servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::callers::{self, Callers};

/// How long a stop waits for requests in progress.
const GRACE: Duration = Duration::from_secs(5);

/// One listener and the router that answers on it. Dropping it stops it without waiting.
pub struct Server {
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

pub async fn listen(address: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((address, port)).await
}

impl Server {
    pub fn start(listener: TcpListener, callers: Callers, router: Router) -> Self {
        let (stop, mut stopped) = watch::channel(());
        let service = callers::only(callers, router).into_make_service_with_connect_info::<SocketAddr>();
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            // Answers are small and sent one at a time: waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
        });
        let serve = axum::serve(listener, service).with_graceful_shutdown(async move {
            let _ = stopped.changed().await;
        });
        let task = tokio::spawn(async move {
            let _ = serve.await;
        });
        Self { stop, task }
    }

    pub async fn stop(self) {
        let Self { stop, mut task } = self;
        drop(stop);
        if timeout(GRACE, &mut task).await.is_err() {
            task.abort();
        }
    }
}
