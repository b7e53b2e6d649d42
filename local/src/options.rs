//! What a caller may choose about a system.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use adapters::config::Timeouts;

use crate::callers::Callers;
use crate::cloudformation::{ACCOUNT, REGION};

#[derive(Clone, Debug)]
pub struct Options {
    /// The API's port; 0 is any free port, as for the other two.
    pub port: u16,
    pub dynamodb_port: u16,
    /// The port of Secrets Manager, SNS and the stand-ins for the other vendors.
    pub aws_port: u16,
    /// The port of the edge, which then shows its secret to the API; with `None` there is no edge.
    pub edge_port: Option<u16>,
    /// Who may call DynamoDB and the vendors.
    pub service_callers: Callers,
    /// The address at which the API and the edge listen. The other ports are on loopback in any case.
    pub listen: IpAddr,
    /// Names by which the API may be called, beside loopback ones. The first one is in the issuer.
    pub hosts: Vec<String>,
    /// The folder whose content survives a restart; with `None` everything is kept in memory.
    pub data: Option<PathBuf>,
    /// Another DynamoDB to use instead of the embedded one, such as Amazon's DynamoDB Local. Each system is an account of
    /// its own there.
    pub other_dynamodb: Option<SocketAddr>,
    /// The CloudFormation template to run; with `None` the one that the program was built with.
    pub template: Option<PathBuf>,
    /// A file with what the system has from its start: parameters, organizations and users, as schemas/seed.json says.
    pub seed: Option<PathBuf>,
    /// Values of the template's parameters, in place of their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Environment variables that replace those of the template, for every function.
    pub overrides: BTreeMap<String, String>,
    /// How long every function waits for AWS.
    pub timeouts: Timeouts,
    /// Whether there is what the console shows: the latest calls are kept with all that was said, and the type of a problem
    /// is its page in the documents.
    pub console: bool,
    /// Whether time passes, and functions are called when something is written to a stream and at each hour. If not,
    /// call [`crate::AdjustableClock::advance`], [`crate::System::deliver_streams`] and [`crate::System::invoke`].
    pub runs_by_itself: bool,
    /// By how much the clock is behind the machine's at the start, if time does not pass.
    pub behind_seconds: u32,
}

impl Options {
    /// The parameters with which events are published, to a bus that `GET /local/events` shows.
    pub fn publishing() -> BTreeMap<String, String> {
        [("EventBusArn".to_owned(), format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/local"))].into()
    }
}

impl Default for Options {
    /// Any free ports, data in memory, the template that the program was built with.
    fn default() -> Self {
        Self {
            port: 0,
            dynamodb_port: 0,
            aws_port: 0,
            edge_port: None,
            service_callers: Callers::this_machine(),
            listen: Ipv4Addr::LOCALHOST.into(),
            hosts: Vec::new(),
            data: None,
            other_dynamodb: None,
            template: None,
            seed: None,
            parameters: BTreeMap::new(),
            overrides: BTreeMap::new(),
            timeouts: Timeouts::default(),
            console: false,
            runs_by_itself: false,
            behind_seconds: 0,
        }
    }
}
