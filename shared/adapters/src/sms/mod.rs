//! SMS gateways: each vendor's protocol in a file of its own, and failover between them.

mod gateways;
mod health;
mod outcome;
mod sns;
mod sparrow;
mod twilio;

pub use self::gateways::{Gateways, SENDING_TIME};

/// How a gateway's response is understood, and what of it is logged: for the fuzz targets. For SNS the body is an error's
/// code and its message, on a line each.
#[cfg(fuzzing)]
pub fn read_response(gateway: domain::values::gateway::Gateway, status: u16, body: &[u8]) -> (&'static str, String) {
    use domain::values::gateway::Gateway;

    let response = crate::https::HttpResponse { status, body: body.to_vec(), ..Default::default() };
    let outcome = match gateway {
        Gateway::Sparrow => sparrow::read(&response),
        Gateway::Twilio => twilio::read(&response),
        Gateway::Sns => {
            let text = String::from_utf8_lossy(body);
            let mut lines = text.splitn(2, '\n');
            sns::read(lines.next().filter(|code| !code.is_empty()), lines.next())
        }
    };
    (outcome.kind(), outcome.why().to_owned())
}
