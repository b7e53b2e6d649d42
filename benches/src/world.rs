//! The emulated system that all measured programs share, with its endpoints behind TLS. It also signs people in and
//! prepares codes, so that each event causes real work.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use local::{Options, System};
use serde_json::{Value, json};

use crate::endpoints::Authority;
use crate::failure::Failure;

/// The functions' environment. `cargo local` names tables and secrets as the template does.
const VARIABLES: [(&str, &str); 16] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AWS_SESSION_TOKEN", "local"),
    ("USERS_TABLE", "UsersTable"),
    ("OTPS_TABLE", "OtpsTable"),
    ("SESSIONS_TABLE", "SessionsTable"),
    ("SETTINGS_TABLE", "SettingsTable"),
    ("NOTICES_TABLE", "NoticesTable"),
    ("PEER_TABLE", PEER_TABLE),
    ("SIGNING_KEY_SECRET", "SigningKeySecret"),
    ("CODE_KEY_SECRET", "CodeKeySecret"),
    ("GATEWAY_SECRET", "GatewaySecret"),
    OVERRIDES[0],
    OVERRIDES[1],
];
/// Settings that differ from the defaults, here and in the measured functions. All phones are in one country, so its limit
/// is raised.
const OVERRIDES: [(&str, &str); 2] = [("ISSUER", "https://auth.example.com"), ("COUNTRY_SENDS_PER_DAY", "1000000000")];
const PEER_TABLE: &str = "PeerTable";
/// The files with all trusted authorities: on Debian and its derivatives, on Fedora and its derivatives, elsewhere.
const MACHINE_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

#[derive(Clone, Copy)]
pub enum Roots {
    /// Only the benchmark's own authority.
    Small,
    /// The machine's authorities and the benchmark's own.
    Full,
}

impl fmt::Display for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Small => "one TLS root",
            Self::Full => "all TLS roots of the machine",
        })
    }
}

pub struct World {
    pub system: System,
    pub variables: BTreeMap<String, String>,
    pub folder: Folder,
    http: Client<HttpConnector, Full<Bytes>>,
    people: AtomicU32,
}

pub struct Person {
    pub access: String,
    pub refresh: String,
    /// The authorizer's context in events.
    pub context: Value,
}

impl World {
    pub async fn start(roots: Roots) -> Result<Self, Failure> {
        let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let options = Options { overrides: OVERRIDES.map(text).into(), ..Options::default() };
        let system = System::start(options).await?;
        let authority = Authority::new()?;
        let dynamodb = authority.serve(system.dynamodb()).await?;
        let aws = authority.serve(system.aws()).await?;
        let folder = Folder::new()?;
        let trusted = folder.0.join("roots.pem");
        std::fs::write(&trusted, trust(roots, &authority)?)?;
        let trusted = trusted.display().to_string();
        let mut variables = BTreeMap::from(VARIABLES.map(text));
        variables.extend([
            ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), format!("https://{dynamodb}")),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER".to_owned(), format!("https://{aws}")),
            ("AWS_ENDPOINT_URL_SNS".to_owned(), format!("https://{aws}")),
            ("SPARROW_BASE_URL".to_owned(), format!("https://{aws}/sparrow")),
            // The trusted roots: for the AWS SDKs, for rustls, for Python's requests.
            ("AWS_CA_BUNDLE".to_owned(), trusted.clone()),
            ("SSL_CERT_FILE".to_owned(), trusted.clone()),
            ("REQUESTS_CA_BUNDLE".to_owned(), trusted),
        ]);
        let http = Client::builder(TokioExecutor::new()).build_http();
        let world = Self { system, variables, folder, http, people: AtomicU32::new(0) };
        world.age_signing_key().await?;
        let table = json!({
            "TableName": PEER_TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        });
        world.call_aws(world.system.dynamodb_address(), "DynamoDB_20120810.CreateTable", table).await?;
        Ok(world)
    }

    pub fn new_user(&self) -> (String, Ipv4Addr) {
        let n = self.people.fetch_add(1, Ordering::Relaxed);
        let [_, a, b, c] = n.to_be_bytes();
        (format!("+977984{n:07}"), Ipv4Addr::new(10, a, b, c))
    }

    /// An event of API Gateway (payload format 2.0).
    pub fn request(&self, route: &str, source: Ipv4Addr, body: &Value) -> Value {
        let (method, path) = route.split_once(' ').unwrap_or_default();
        let mut event = sample(include_str!("../../events/send-otp/login.json"));
        event["routeKey"] = json!(route);
        event["rawPath"] = json!(path);
        event["requestContext"]["routeKey"] = json!(route);
        event["requestContext"]["http"]["method"] = json!(method);
        event["requestContext"]["http"]["path"] = json!(path);
        event["requestContext"]["http"]["sourceIp"] = json!(source);
        event["headers"]["x-forwarded-for"] = json!(source);
        event["body"] = if body.is_null() { Value::Null } else { json!(body.to_string()) };
        event
    }

    /// An event that the authorizer has accepted for this person.
    pub fn request_as(&self, person: &Person, route: &str, source: Ipv4Addr, body: &Value) -> Value {
        let mut event = self.request(route, source, body);
        event["requestContext"]["authorizer"] = json!({ "lambda": person.context });
        event
    }

    /// Serves an event in this process and returns the answer's body.
    pub async fn serve(&self, function: &str, event: Value) -> Result<Value, Failure> {
        body(&self.system.invoke(function, event).await?)
    }

    pub async fn sign_in(&self) -> Result<Person, Failure> {
        let submit = self.typed_code().await?;
        let body = self.serve("SubmitOtpFunction", submit).await?;
        let text = |name: &str| body[name].as_str().map(str::to_owned).ok_or("the sign-in returned no tokens");
        let (access, refresh) = (text("access_token")?, text("refresh_token")?);
        let claims = access.split('.').nth(1).ok_or("the access token is not a JWT")?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        let context = json!({"user_id": claims["sub"], "session_id": claims["sid"], "organization_id": claims["org"], "fresh": true, "roles": claims["roles"].to_string()});
        Ok(Person { access, refresh, context })
    }

    pub async fn typed_code(&self) -> Result<Value, Failure> {
        let (phone, source) = self.new_user();
        let send = self.request("POST /v1/otp/send", source, &json!({"phone_number": phone}));
        let sent = self.serve("SendOtpFunction", send).await?;
        self.submission(&phone, source, &sent).await
    }

    /// The submission of the code in the newest message to a phone. `sent` is the body of the send's answer.
    pub async fn submission(&self, phone: &str, source: Ipv4Addr, sent: &Value) -> Result<Value, Failure> {
        let code = self.code(phone).await?;
        let submit = json!({"phone_number": phone, "otp": code, "challenge_id": sent["challenge_id"]});
        Ok(self.request("POST /v1/otp/submit", source, &submit))
    }

    /// The code in the newest message to a phone.
    pub async fn code(&self, phone: &str) -> Result<String, Failure> {
        let url = format!("http://{}/local/inbox?to={}", self.system.address(), phone.replace('+', "%2B"));
        let reply = self.http.get(url.parse()?).await?.into_body().collect().await?.to_bytes();
        let inbox: Value = serde_json::from_slice(&reply)?;
        let text = inbox["messages"][0]["text"].as_str().ok_or("the inbox has no message for this phone")?;
        let code = text.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() == 6);
        Ok(code.ok_or("the message has no code")?.to_owned())
    }

    pub async fn peer_code(&self, phone: &str, code: &str) -> Result<(), Failure> {
        let item = json!({"pk": {"S": format!("otp#{phone}")}, "otp": {"S": code}, "expires_at": {"N": "4102444800"}});
        let put = json!({"TableName": PEER_TABLE, "Item": item});
        self.call_aws(self.system.dynamodb_address(), "DynamoDB_20120810.PutItem", put).await.map(drop)
    }

    /// Makes the signing key old, as it is on most days. While a key is new, functions also read the previous key, because
    /// the new one has not reached all verifiers.
    async fn age_signing_key(&self) -> Result<(), Failure> {
        let (aws, secret) = (self.system.aws_address(), "SigningKeySecret");
        let value = self.call_aws(aws, "secretsmanager.GetSecretValue", json!({"SecretId": secret})).await?;
        let mut key: Value =
            serde_json::from_str(value["SecretString"].as_str().ok_or("the signing key's secret is not text")?)?;
        key["signs_from"] = json!(0);
        let put = json!({
            "SecretId": secret,
            "ClientRequestToken": "00000000-0000-4000-8000-000000000000",
            "SecretString": key.to_string(),
        });
        self.call_aws(aws, "secretsmanager.PutSecretValue", put).await.map(drop)
    }

    /// Calls an emulated AWS service, which does not check the signature.
    async fn call_aws(&self, address: SocketAddr, target: &str, body: Value) -> Result<Value, Failure> {
        let request = axum::http::Request::builder()
            .method("POST")
            .uri(format!("http://{address}/"))
            .header("x-amz-target", target)
            .header("x-amz-date", "20260101T000000Z")
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let reply = self.http.request(request).await?;
        if !reply.status().is_success() {
            return Err(format!("{target}: {}", reply.status()).into());
        }
        Ok(serde_json::from_slice(&reply.into_body().collect().await?.to_bytes())?)
    }
}

/// The body of an answer to API Gateway. Its status must be 200.
pub fn body(answer: &Value) -> Result<Value, Failure> {
    if answer["statusCode"] != 200 {
        return Err(format!("the status is not 200: {answer}").into());
    }
    Ok(answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default())
}

pub fn sample(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn trust(roots: Roots, authority: &Authority) -> Result<String, Failure> {
    let machine = match roots {
        Roots::Small => String::new(),
        Roots::Full => {
            let found = MACHINE_ROOTS.iter().find_map(|file| std::fs::read_to_string(file).ok());
            found.ok_or_else(|| format!("found none of {}", MACHINE_ROOTS.join(", ")))?
        }
    };
    Ok(format!("{machine}\n{}", authority.pem))
}

/// A temporary folder of this process. Dropping it removes it.
pub struct Folder(pub PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("latchkey-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// The file for a measured program's standard output when its bytes are counted.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
