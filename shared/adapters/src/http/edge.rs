//! The edge: a CloudFront distribution in front of the API, if the deployment has one.

use std::net::{IpAddr, SocketAddr};

use domain::values::source_address::SourceAddress;

use super::code::Code;
use super::problem::Problem;
use super::request::Request;
use crate::app::App;
use crate::secrets::{EdgeSecret, SecretReader};

/// Shows the edge's secret.
const SECRET: &str = "x-latchkey-edge";
/// The caller's address and port. CloudFront replaces what the caller sent
/// (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/adding-cloudfront-headers.html>).
const VIEWER: &str = "cloudfront-viewer-address";

#[derive(Clone)]
pub struct Edge(Option<EdgeSecret>);

impl Edge {
    pub fn new(app: &App) -> Self {
        Self(EdgeSecret::new(app))
    }

    /// What to read before the first event.
    pub fn reader(&self) -> Option<&SecretReader> {
        self.0.as_ref().map(EdgeSecret::reader)
    }

    /// Reads it before the first event, where nothing else is read with it.
    pub async fn read_ahead(&self) {
        if let Some(secret) = &self.0 {
            secret.reader().read_ahead().await;
        }
    }

    /// The address from which a request comes, as the edge saw it, or as API Gateway did where there is no edge.
    ///
    /// # Errors
    /// `edge_required` if there is an edge and the request did not come through it.
    pub async fn source(&self, request: &Request) -> Result<SourceAddress, Problem> {
        let Some(secret) = &self.0 else { return Ok(request.socket_source()) };
        let shown = match request.header(SECRET) {
            Some(value) => secret.is_shown_by(value).await?,
            None => false,
        };
        if !shown {
            return Err(Problem::new(Code::EdgeRequired));
        }
        Ok(SourceAddress::of(request.header(VIEWER).and_then(address)))
    }
}

/// The address of `198.51.100.10:46532`, `2001:db8::1:46532` or `[2001:db8::1]:46532`.
fn address(viewer: &str) -> Option<IpAddr> {
    if let Ok(with_port) = viewer.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    let (address, port) = viewer.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    address.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_each_form_of_cloudfront_and_nothing_else_is() {
        for (viewer, expected) in [
            ("198.51.100.10:46532", "198.51.100.10"),
            ("2001:db8:0:0:0:0:0:1:46532", "2001:db8::1"),
            ("2001:db8::1:46532", "2001:db8::1"),
            ("[2001:db8::1]:46532", "2001:db8::1"),
        ] {
            assert_eq!(address(viewer), expected.parse().ok(), "{viewer}");
        }
        for viewer in
            ["", ":", "198.51.100.10", "198.51.100.10:", "198.51.100.10:99999", "a:1", "198.51.100.10, 10.0.0.1:1"]
        {
            assert_eq!(address(viewer), None, "{viewer}");
        }
    }
}
