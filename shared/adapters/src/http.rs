//! The HTTP edge of a function: an API Gateway event (payload 2.0) in, an answer out, one line in the log between.

use std::borrow::Cow;
use std::future::Future;
use std::net::IpAddr;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::ids::ChallengeId;
use domain::phone::{Country, DialledNumber};
use domain::send_otp::SourceAddress;
use domain::text::MalformedText;
use domain::user::User;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::problem::{Code, Problem};

/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 16 * 1024;

/// A request, as a function reads it.
#[derive(Clone, Copy)]
pub struct Request<'a>(&'a ApiGatewayV2httpRequest);

impl<'a> Request<'a> {
    /// The event itself.
    pub const fn event(self) -> &'a ApiGatewayV2httpRequest {
        self.0
    }

    /// Method and path, such as `POST /v1/otp/send`. Not the route key: an emulator may send `$default` there.
    pub fn route(self) -> (&'a str, &'a str) {
        let path = self.0.raw_path.as_deref().unwrap_or_default();
        let path = match self.0.request_context.stage.as_deref() {
            // A stage other than `$default` stands before the path.
            Some(stage) => path
                .strip_prefix('/')
                .and_then(|path| path.strip_prefix(stage))
                .filter(|rest| rest.starts_with('/'))
                .unwrap_or(path),
            None => path,
        };
        (self.0.request_context.http.method.as_str(), path)
    }

    /// A header. Names go without regard to case; a value that is no text is there all the same, for its reader to
    /// refuse.
    pub fn header(self, name: &str) -> Option<&'a str> {
        let value = self.0.headers.get(name)?.as_bytes();
        Some(std::str::from_utf8(value).unwrap_or("\u{fffd}"))
    }

    /// Where the request came from, as API Gateway saw it; never a header, which anyone can write.
    pub fn source(self) -> SourceAddress {
        let address = self.0.request_context.http.source_ip.as_deref();
        SourceAddress::of(address.and_then(|address| address.parse::<IpAddr>().ok()))
    }

    /// Whether there is a body at all.
    pub fn has_body(self) -> bool {
        self.0.body.as_ref().is_some_and(|body| !body.is_empty())
    }

    /// The body, as JSON of a known form. Members that are not part of it are ignored.
    ///
    /// # Errors
    /// A [`Problem`] that says what is wrong with the body, without repeating any of it.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        let body = self.body()?;
        let media_type = self.header("content-type").map(|value| value.split(';').next().unwrap_or_default().trim());
        if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::new(Code::UnsupportedMediaType));
        }
        let is_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        match serde_json::from_slice(&body) {
            // Serde would take the members in their order for an object of them.
            Ok(_) if !is_object => Err(of_another_form()),
            Ok(read) => Ok(read),
            Err(error) if error.is_data() => Err(of_another_form()),
            Err(_) => Err(Problem::malformed("The body is not JSON.")),
        }
    }

    fn body(self) -> Result<Cow<'a, [u8]>, Problem> {
        let text = self.0.body.as_deref().unwrap_or_default();
        // Base64 of the largest body; what is longer need not be decoded to be refused.
        let longest = if self.0.is_base64_encoded { LARGEST_BODY.div_ceil(3).saturating_mul(4) } else { LARGEST_BODY };
        if text.len() > longest {
            return Err(Problem::new(Code::PayloadTooLarge));
        }
        if !self.0.is_base64_encoded {
            return Ok(Cow::Borrowed(text.as_bytes()));
        }
        let body = STANDARD.decode(text).map_err(|_| Problem::malformed("The body is not JSON."))?;
        if body.len() > LARGEST_BODY { Err(Problem::new(Code::PayloadTooLarge)) } else { Ok(Cow::Owned(body)) }
    }
}

/// Checks one member of a body by its own type's rule; the problem names the member, not its value.
///
/// # Errors
/// `malformed_request`.
pub fn member<T>(name: &str, text: &str, parse: impl FnOnce(&str) -> Result<T, MalformedText>) -> Result<T, Problem> {
    parse(text).map_err(|malformed| Problem::malformed(format!("{name}: expected {}.", malformed.expected)))
}

/// As [`member`], of one that may be absent.
///
/// # Errors
/// `malformed_request`.
pub fn optional_member<T>(
    name: &str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, MalformedText>,
) -> Result<Option<T>, Problem> {
    text.map(|text| member(name, text, parse)).transpose()
}

/// The refusal of a body that is JSON but not of the form that is wanted.
pub fn of_another_form() -> Problem {
    Problem::malformed("The body is JSON, but a member is missing, is there twice or is of the wrong type.")
}

/// Reads the challenge that a code answers, if the client says.
///
/// # Errors
/// `malformed_request`.
pub fn challenge_id(text: Option<&str>) -> Result<Option<ChallengeId>, Problem> {
    let malformed = |_| Problem::malformed("challenge_id: expected the one that the send answered.");
    text.map(str::parse).transpose().map_err(malformed)
}

/// The longest phone number that is read, with its punctuation, in characters.
const LONGEST_PHONE_NUMBER: usize = 32;

/// Reads a phone number.
///
/// # Errors
/// `invalid_phone_number`; `malformed_request` if it is longer than any number.
pub fn phone_number(text: &str, default_country: Country) -> Result<DialledNumber, Problem> {
    if text.chars().count() > LONGEST_PHONE_NUMBER {
        return Err(Problem::malformed("phone_number: expected at most 32 characters."));
    }
    DialledNumber::parse(text, default_country).map_err(|_| Problem::new(Code::InvalidPhoneNumber))
}

/// What a client is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Answer {
    /// JSON.
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        // Our own types serialise; if one did not, an empty object is what is left to say.
        let body = serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned());
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body: Some(body) }
    }

    /// Done, and nothing to say (204).
    pub const fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: None }
    }

    /// Sets a header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(present, _)| *present != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Says that nobody may keep the answer: it bears tokens or what is the caller's own.
    pub fn uncached(self) -> Self {
        self.with_header("cache-control", "no-store")
    }

    fn into_response(self, request_id: &str) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status);
        response.body = self.body.map(Body::Text);
        for (name, value) in
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).chain([("x-request-id", request_id)])
        {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// Serves one event: runs the handler, renders what it answers, writes the one line that the log gets of it.
pub async fn serve<'a, F>(
    function: &'static str,
    event: &'a ApiGatewayV2httpRequest,
    handler: impl FnOnce(Request<'a>) -> F,
) -> ApiGatewayV2httpResponse
where
    F: Future<Output = Result<Answer, Problem>>,
{
    let started = std::time::Instant::now();
    let request = Request(event);
    let request_id = event.request_context.request_id.as_deref().unwrap_or("-");
    let outcome = handler(request).await;
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (answer, code) = match outcome {
        Ok(answer) => (answer, "ok"),
        Err(problem) => {
            if let Some(unavailable) = problem.source() {
                tracing::error!(
                    function,
                    request_id,
                    code = problem.code.as_str(),
                    cause = causes(unavailable),
                    "unavailable"
                );
            }
            let code = problem.code.as_str();
            (problem.into_answer(), code)
        }
    };
    tracing::info!(function, request_id, status = answer.status, code, milliseconds, "served");
    answer.into_response(request_id)
}

/// An error and what led to it, in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

/// A user, as they see themselves.
pub fn user_json(user: &User) -> Value {
    json!({
        "user_id": user.id.as_str(),
        "phone_number": user.phone.as_ref().map(|phone| phone.e164()),
        "phone_verified": user.phone.is_some(),
        "username": user.username.as_ref().map(|username| username.as_str()),
        "name": user.name.as_ref().map(|name| name.as_str()),
        "image_url": user.image_url.as_ref().map(|url| url.as_str()),
        "source": user.source.as_ref().map(|source| source.as_str()),
        "roles": user.roles.iter().map(|(role, organizations)| {
            (role.clone(), organizations.iter().map(|id| id.as_str()).collect::<Vec<_>>())
        }).collect::<std::collections::BTreeMap<_, _>>(),
        "created_at": user.created_at.seconds(),
        "last_sign_in_at": user.last_sign_in_at.seconds(),
    })
}
