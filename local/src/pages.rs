//! The console at `/` and the documents at `/docs/`: built files that the program contains.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};

use crate::answer;

static PAGES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/pages");

/// The pages may run their own scripts, call this server, and load nothing from anywhere else. `data:` is for images in
/// style sheets.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; font-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'";

const MEDIA_TYPES: [(&str, &str); 8] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("woff2", "font/woff2"),
];

pub fn router() -> Router {
    Router::new()
        .route("/", get(async || page("")))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/docs/", get(async || page("docs/")))
        .route("/docs/{*path}", get(async |Path(path): Path<String>| page(&format!("docs/{path}"))))
        .route("/console/{file}", get(async |Path(file): Path<String>| page(&format!("console/{file}"))))
}

/// A folder's page is its `index.html`, and its address ends in a slash: otherwise its links would lead elsewhere.
fn page(path: &str) -> Response {
    let file = if path.is_empty() || path.ends_with('/') { format!("{path}index.html") } else { path.to_owned() };
    let Some(found) = PAGES.get_file(&file) else {
        return match PAGES.get_dir(&file) {
            Some(_) => Redirect::permanent(&format!("/{file}/")).into_response(),
            None => missing(),
        };
    };
    serve(StatusCode::OK, &file, found.contents())
}

fn missing() -> Response {
    let page = "docs/404.html";
    match PAGES.get_file(page) {
        Some(found) => serve(StatusCode::NOT_FOUND, page, found.contents()),
        None => answer::problem(StatusCode::NOT_FOUND, "not_found", "There is no such page."),
    }
}

fn serve(status: StatusCode, file: &str, content: &'static [u8]) -> Response {
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let media_type = MEDIA_TYPES.iter().find(|(known, _)| *known == extension);
    let media_type = media_type.map_or("application/octet-stream", |(_, media_type)| media_type);
    let mut response = answer::with_type(status, media_type, content);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Another version of the program has other files at the same addresses.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
