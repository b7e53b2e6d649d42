//! Form-encoded requests to gateways, over the SDK's own HTTP client: no second TLS stack in the binary.

use std::error::Error;
use std::sync::{Arc, LazyLock};

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use hyper_util::client::legacy;

use super::Outcome;
use crate::https;

/// What a gateway answered: its status, and its body as far as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct FormClient(Arc<LazyLock<Connector>>);

impl FormClient {
    pub(super) fn new() -> Self {
        Self(Arc::new(LazyLock::new(https::connector)))
    }

    /// Reads whom the system trusts, ahead of the first message.
    pub(super) fn warm(&self) {
        LazyLock::force(&self.0);
    }

    /// Posts a form, and waits for the answer as long as it is awaited. What kept one from coming is an outcome already.
    pub(super) async fn post(
        &self,
        url: &str,
        authorization: Option<&str>,
        fields: &[(&str, &str)],
    ) -> Result<Reply, Outcome> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request =
            request(url, authorization, form).map_err(|_| Outcome::Unavailable("its URL is no URL".into()))?;
        let response = self.0.call(request).await.map_err(|error| unanswered(&error))?;
        let status = response.status().as_u16();
        match ByteStream::new(response.into_body()).collect().await {
            Ok(body) => Ok(Reply { status, body: body.to_vec() }),
            Err(_) => Err(Outcome::Unknown),
        }
    }
}

/// What it means that no answer came: without a connection nothing was sent; with one, nobody can tell what arrived.
pub(super) fn unanswered(error: &ConnectorError) -> Outcome {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut was_connected = !error.is_user();
    while let Some(error) = cause {
        if error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect) {
            was_connected = false;
        }
        cause = error.source();
    }
    if was_connected { Outcome::Unknown } else { Outcome::Unavailable("out of reach".into()) }
}

fn request(url: &str, authorization: Option<&str>, form: String) -> Result<HttpRequest, HttpError> {
    let mut request = HttpRequest::new(SdkBody::from(form));
    request.set_method("POST")?;
    request.set_uri(url)?;
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request.headers_mut().insert("authorization", authorization.to_owned());
    }
    Ok(request)
}
