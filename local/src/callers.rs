//! Which callers the local servers answer: programs that call them by a loopback name or by one that the options give, and
//! no web page of another site. Such a page can let its own name lead to 127.0.0.1 (DNS rebinding), and then sends that name
//! as `Host`. It can also post to 127.0.0.1 from where it is, and then sends its own `Origin`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;

use crate::answer;

/// The name of this machine in the containers of `sam local` (`samconfig.toml`).
const NAME_IN_CONTAINERS: &str = "host.docker.internal";

/// Whoever names this machine by a loopback name or address, or by one of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    names: Arc<[String]>,
}

impl Callers {
    /// Loopback names only.
    pub fn this_machine() -> Self {
        Self::default()
    }

    pub fn this_machine_and_containers() -> Self {
        Self::by_names([NAME_IN_CONTAINERS.to_owned()])
    }

    pub fn by_names(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect() }
    }

    /// Whether the request names this machine, wherever it names a host.
    fn may_send(&self, request: &Request) -> bool {
        let hosts = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let mut named = hosts.chain(request.uri().authority().map(Authority::as_str)).peekable();
        named.peek().is_some() && named.all(|authority| self.may_name(authority))
    }

    fn may_name(&self, authority: &str) -> bool {
        let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let name = authority.rsplit_once(':').filter(|(_, text)| is_port(text)).map_or(authority, |(name, _)| name);
        is_loopback(name) || self.names.iter().any(|known| name.eq_ignore_ascii_case(known))
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a page of this machine has this origin, on any port.
pub fn is_loopback_origin(origin: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| Callers::this_machine().may_name(authority))
}

/// Refuses every request that names another host, with the status of RFC 9110 §15.5.20.
pub fn only(callers: Callers, router: Router) -> Router {
    router.layer(middleware::from_fn_with_state(callers, check_host))
}

async fn check_host(State(callers): State<Callers>, request: Request, next: Next) -> Response {
    if callers.may_send(&request) {
        return next.run(request).await;
    }
    let detail = "cargo local answers at localhost, at loopback addresses and at the names that --host gives.";
    answer::problem(StatusCode::MISDIRECTED_REQUEST, "misdirected_request", detail)
}

/// Refuses every request of a web page, unless the same server served the page.
pub fn no_foreign_page(router: Router) -> Router {
    router.layer(middleware::from_fn(check_origin))
}

async fn check_origin(request: Request, next: Next) -> Response {
    if has_own_origin(request.headers()) && !is_of_another_site(request.headers()) {
        let mut response = next.run(request).await;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        return response;
    }
    answer::problem(StatusCode::FORBIDDEN, "foreign_origin", "Only a page of this server may send this request.")
}

/// A page may load an image or a script from anywhere, without an origin. Browsers then say where the page is from
/// (<https://www.w3.org/TR/fetch-metadata/>). Programs say nothing, and `none` is an address that a person typed.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

/// A program sends no origin.
fn has_own_origin(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let is_own = |origin: &HeaderValue| host.is_some() && origin.as_bytes().strip_prefix(b"http://") == host;
    headers.get_all(header::ORIGIN).iter().all(is_own)
}
