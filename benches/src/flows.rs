//! The requests to each program. Each one does the real work and must succeed, except the malformed one, which must be
//! refused.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::world::{Person, World, body, sample};

#[derive(Clone, Copy, PartialEq)]
pub enum Flow {
    /// Any request: the hello world ignores it.
    Hello,
    /// Any request to the yardstick, which does one read.
    Read,
    Authorize,
    Send,
    /// A send without a number, which is refused.
    MalformedSend,
    Submit,
    Refresh,
    /// The right code for a change of number.
    Validate,
    Me,
    Keys,
    /// `Send` in the older system's API.
    PeerSend,
    /// `Submit` in the older system's API.
    PeerSubmit,
}

/// The requests to one process. Those that need a session belong to one signed-in person.
pub struct Conversation<'a> {
    world: &'a World,
    flow: Flow,
    person: Option<Person>,
    /// The phone that the last code was sent to, and the source address of that request.
    sent: Option<(String, Ipv4Addr)>,
}

impl<'a> Conversation<'a> {
    pub async fn begin(world: &'a World, flow: Flow) -> Result<Self, Failure> {
        let has_person = matches!(flow, Flow::Authorize | Flow::Refresh | Flow::Me);
        let person = if has_person { Some(world.sign_in().await?) } else { None };
        Ok(Self { world, flow, person, sent: None })
    }

    /// The next event, with everything prepared that it needs to succeed.
    pub async fn event(&mut self) -> Result<Value, Failure> {
        let (phone, source) = self.world.new_user();
        let request = |route: &str, body: &Value| self.world.request(route, source, body);
        Ok(match self.flow {
            Flow::Hello | Flow::Read => request("GET /", &Value::Null),
            Flow::Keys => request("GET /.well-known/jwks.json", &Value::Null),
            Flow::Send => {
                self.sent = Some((phone.clone(), source));
                request("POST /v1/otp/send", &json!({"phone_number": phone}))
            }
            Flow::MalformedSend => request("POST /v1/otp/send", &json!({})),
            Flow::Submit => self.world.typed_code().await?,
            Flow::Authorize => {
                let mut event = sample(include_str!("../../events/authorizer/no-token.json"));
                event["headers"]["authorization"] = json!(format!("Bearer {}", self.person()?.access));
                event
            }
            Flow::Refresh => request("POST /v1/session/refresh", &json!({"refresh_token": self.person()?.refresh})),
            Flow::Me => self.world.request_as(self.person()?, "GET /v1/me", source, &Value::Null),
            Flow::Validate => self.change_of_number(&phone, source).await?,
            Flow::PeerSend => request("POST /login", &json!({"action": "send_otp", "phone_number": phone})),
            Flow::PeerSubmit => {
                self.world.peer_code(&phone, "123456").await?;
                request("POST /login", &json!({"action": "submit_otp", "phone_number": phone, "otp": "123456"}))
            }
        })
    }

    /// Checks an answer and continues as a client would: submits a code that was sent, and keeps the newest refresh token
    /// for the next request.
    pub async fn hear(&mut self, answer: &Value) -> Result<(), Failure> {
        if self.flow == Flow::Authorize {
            let passes = answer["isAuthorized"] == true && answer["context"]["user_id"].is_string();
            return if passes { Ok(()) } else { Err(format!("token not accepted: {answer}").into()) };
        }
        if self.flow == Flow::MalformedSend {
            return if answer["statusCode"] == 400 { Ok(()) } else { Err(format!("not refused: {answer}").into()) };
        }
        let body = body(answer)?;
        let member = match self.flow {
            Flow::Hello | Flow::Read => return Ok(()),
            Flow::Keys => "keys",
            Flow::Send => "challenge_id",
            Flow::Submit | Flow::Refresh | Flow::PeerSubmit => "refresh_token",
            Flow::Me => "user_id",
            Flow::Authorize | Flow::MalformedSend | Flow::Validate | Flow::PeerSend => "message",
        };
        if body[member].is_null() {
            return Err(format!("the answer has no {member}: {answer}").into());
        }
        if let (Flow::Refresh, Some(person), Some(next)) = (self.flow, &mut self.person, body["refresh_token"].as_str())
        {
            person.refresh = next.to_owned();
        }
        if let Some((phone, source)) = self.sent.take() {
            let submit = self.world.submission(&phone, source, &body).await?;
            self.world.serve("SubmitOtpFunction", submit).await?;
        }
        Ok(())
    }

    /// By a new person each time, because nobody may change their number often.
    async fn change_of_number(&self, phone: &str, source: Ipv4Addr) -> Result<Value, Failure> {
        let person = &self.world.sign_in().await?;
        let username = phone.replace('+', "u");
        let rename = self.world.request_as(person, "PATCH /v1/me", source, &json!({"username": username}));
        self.world.serve("AccountFunction", rename).await?;
        let send = json!({"phone_number": phone, "change": true});
        let send = self.world.request_as(person, "POST /v1/phone/otp/send", source, &send);
        self.world.serve("SendOtpFunction", send).await?;
        let code = self.world.code(phone).await?;
        let validate = json!({"phone_number": phone, "otp": code, "username": username});
        Ok(self.world.request_as(person, "POST /v1/phone/otp/validate", source, &validate))
    }

    fn person(&self) -> Result<&Person, Failure> {
        self.person.as_ref().ok_or_else(|| "this flow has no signed-in person".into())
    }
}
