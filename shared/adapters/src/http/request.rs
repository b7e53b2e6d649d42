//! The request from a client, as `lambda_http` converts an event.

use std::borrow::Cow;
use std::net::IpAddr;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpRequestContext};
use aws_lambda_events::http::header::HOST;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::values::source_address::SourceAddress;
use lambda_http::RequestExt;
use lambda_http::http::Uri;
use lambda_http::request::{LambdaRequest, RequestContext};
use url::Url;

use super::code::Code;
use super::credentials::Credentials;
use super::members::Members;
use super::problem::{Problem, RequestError};
use super::routes::Route;
use super::words::Tongue;

/// The largest body, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

pub struct Request {
    /// Without the body.
    http: lambda_http::Request,
    body: String,
    is_base64: bool,
}

impl Request {
    /// Converts an event.
    ///
    /// # Errors
    /// `malformed_request` if the `Host` header, the forwarded scheme, the path or the query is not part of any URL:
    /// `lambda_http` panics at such an event. It panics at invalid base64 too, so the body is decoded here.
    pub fn from_event(mut event: ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        if !has_valid_url(&event) {
            let expected = "expected a host that, with the forwarded scheme, the path and the query, is a URL";
            return Err(Problem::malformed([RequestError::header("Host", expected)]));
        }
        let (body, is_base64) = (event.body.take().unwrap_or_default(), event.is_base64_encoded);
        Ok(Self { http: LambdaRequest::ApiGatewayV2(event).into(), body, is_base64 })
    }

    pub(super) fn context(&self) -> Option<&ApiGatewayV2httpRequestContext> {
        match self.http.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => Some(context),
            _ => None,
        }
    }

    /// The route that API Gateway found, with the value of the parameter in its path. An emulator may send `$default` as
    /// the route key; then the route is found by method and path.
    pub fn route(&self) -> Option<(Route, Option<&str>)> {
        let key = self.context().and_then(|context| context.route_key.as_deref()).and_then(Route::of_key);
        if let Some(route) = key {
            let parameters = self.http.path_parameters_ref();
            let value = route.parameter().map(|name| parameters.and_then(|parameters| parameters.first(name)));
            return Some((route, value.flatten()));
        }
        let path = self.http.raw_http_path();
        let stage = self.context().and_then(|context| context.stage.as_deref()).unwrap_or_default();
        // A stage other than `$default` comes before the path.
        let staged = path.strip_prefix('/').and_then(|path| path.strip_prefix(stage));
        let path = staged.filter(|rest| rest.starts_with('/') && !stage.is_empty()).unwrap_or(path);
        Route::find(self.http.method().as_str(), path)
    }

    /// A header, without regard to case. A value that is not UTF-8 is returned as an invalid text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.http.headers().get(name)?.as_bytes();
        Some(std::str::from_utf8(value).unwrap_or("\u{fffd}"))
    }

    /// The language in which to talk to the person.
    pub fn tongue(&self) -> Tongue {
        Tongue::preferred(self.header("accept-language"))
    }

    pub fn credentials(&self) -> Credentials<'_> {
        let context = self.context();
        Credentials {
            headers: self.http.headers(),
            method: self.http.method().as_str(),
            path: self.http.raw_http_path(),
            domain: context.and_then(|context| context.domain_name.as_deref()),
            is_own_route: self.route().is_some(),
        }
    }

    /// The source address as API Gateway saw it. Never a header, which anyone can write.
    pub(super) fn socket_source(&self) -> SourceAddress {
        let address = self.context().and_then(|context| context.http.source_ip.as_deref());
        SourceAddress::of(address.and_then(|address| address.parse::<IpAddr>().ok()))
    }

    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The members of the body, which is a JSON object.
    ///
    /// # Errors
    /// A [`Problem`] that says what is wrong with the body and contains none of it.
    pub fn members(&self) -> Result<Members, Problem> {
        let body = self.decoded_body()?;
        let wrong = |detail: String| Problem::malformed([RequestError::body(detail)]);
        if body.is_empty() {
            return Err(wrong("expected a JSON object; the body is empty".to_owned()));
        }
        let media_type = self.header("content-type").map(|value| value.split(';').next().unwrap_or_default().trim());
        if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        serde_json::from_slice(&body).map_err(|error| {
            if error.is_data() {
                return wrong("expected a JSON object".to_owned());
            }
            wrong(format!("not valid JSON at line {}, column {}", error.line(), error.column()))
        })
    }

    fn decoded_body(&self) -> Result<Cow<'_, [u8]>, Problem> {
        // A body that is too long is not decoded. Base64 takes four characters for three bytes.
        let max = if self.is_base64 { MAX_BODY_BYTES.div_ceil(3).saturating_mul(4) } else { MAX_BODY_BYTES };
        if self.body.len() > max {
            return Err(Problem::new(Code::PayloadTooLarge));
        }
        if !self.is_base64 {
            return Ok(Cow::Borrowed(self.body.as_bytes()));
        }
        let not_base64 = || Problem::malformed([RequestError::body("expected JSON")]);
        let body = STANDARD.decode(&self.body).map_err(|_| not_base64())?;
        if body.len() > MAX_BODY_BYTES { Err(Problem::new(Code::PayloadTooLarge)) } else { Ok(Cow::Owned(body)) }
    }
}

/// Whether the URL exists that `lambda_http` builds of an event, in its own way.
fn has_valid_url(event: &ApiGatewayV2httpRequest) -> bool {
    let path = event.raw_path.as_deref().unwrap_or_default();
    if !path.is_empty() && !path.starts_with('/') {
        return false;
    }
    let text = |name: &str| event.headers.get(name).and_then(|value| value.to_str().ok());
    let host = event.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or(event.request_context.domain_name.as_deref());
    let stage = event.request_context.stage.as_deref().filter(|stage| *stage != "$default");
    let path = stage.map_or_else(|| path.to_owned(), |stage| format!("/{stage}{path}"));
    let url = match host {
        None => Url::parse(&format!("http://localhost{path}")).map(|url| url.path().to_owned()),
        Some(host) => {
            let scheme = text("x-forwarded-proto").unwrap_or("https");
            Url::parse(&format!("{scheme}://{host}{path}")).map(String::from)
        }
    };
    let query = event.raw_query_string.as_deref().filter(|query| !query.is_empty());
    url.is_ok_and(|url| {
        let url = query.map_or_else(|| url.clone(), |query| format!("{url}?{query}"));
        Uri::try_from(url).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(host: &str, scheme: &str, path: &str, query: &str) -> ApiGatewayV2httpRequest {
        serde_json::from_value(json!({
            "rawPath": path, "rawQueryString": query,
            "headers": {"host": host, "x-forwarded-proto": scheme},
            "requestContext": {"stage": "$default", "http": {"method": "GET", "path": path}},
        }))
        .unwrap()
    }

    #[test]
    fn an_event_without_a_possible_url_is_refused_before_lambda_http_converts_it() {
        assert!(Request::from_event(event("api.example.com", "https", "/v1/me", "a=b")).is_ok());
        for (host, scheme, path, query) in [
            ("a b", "https", "/", ""),
            ("[::1", "https", "/", ""),
            ("", "https", "/", ""),
            ("example.com:99999", "https", "/", ""),
            ("exa%mple.com", "https", "/", ""),
            ("api.example.com", "1:", "/", ""),
            ("api.example.com", "", "/", ""),
            ("api.example.com", "https", "v1", ""),
            ("api.example.com", "https", ":9", ""),
            ("api.example.com", "https", "/", "a b\u{7f}"),
            ("api.example.com", "https", &format!("/{}", "a".repeat(70_000)), ""),
        ] {
            let refused = Request::from_event(event(host, scheme, path, query));
            let code = refused.err().map(|problem| problem.code);
            assert_eq!(code, Some(Code::MalformedRequest), "{host} {scheme} {query}");
        }
    }
}
