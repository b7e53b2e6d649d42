//! The measured programs, and the kind of requests that each one gets.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::flows::Flow;

pub struct Program {
    pub name: &'static str,
    pub command: Vec<PathBuf>,
    pub folder: PathBuf,
    pub flow: Flow,
    pub role: Role,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Role {
    /// One of the functions, and the maximum of its time to the first answer divided by the yardstick's, if it has one.
    Function(Option<f64>),
    /// The minimum: the Lambda runtime alone.
    Hello,
    /// What the functions are compared with.
    Yardstick,
    /// The older system's stack, with the name of the function that does the same.
    Peer(&'static str),
}

/// All programs, in the order in which they run. The Rust programs are in the folder of this executable.
pub fn programs(python: &Path) -> Result<Vec<Program>, Failure> {
    let built = std::env::current_exe()?.parent().ok_or("this executable has no parent folder")?.to_path_buf();
    let rust = |name: &'static str, flow, role| Program {
        name,
        command: vec![built.join(name)],
        folder: built.clone(),
        flow,
        role,
    };
    let malformed = rust("send-otp", Flow::MalformedSend, Role::Function(None));
    let peer = |name, flow, function| Program {
        name,
        // Lambda's Python base image starts functions in this way.
        command: vec![python.to_path_buf(), "-m".into(), "awslambdaric".into(), "app.handler".into()],
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("python"),
        flow,
        role: Role::Peer(function),
    };
    Ok(vec![
        rust("bench-hello", Flow::Hello, Role::Hello),
        rust("bench-yardstick", Flow::Read, Role::Yardstick),
        rust("authorizer", Flow::Authorize, Role::Function(Some(1.25))),
        rust("send-otp", Flow::Send, Role::Function(Some(1.75))),
        Program { name: "malformed send", ..malformed },
        rust("submit-otp", Flow::Submit, Role::Function(Some(1.75))),
        rust("session", Flow::Refresh, Role::Function(Some(1.75))),
        rust("validate-otp", Flow::Validate, Role::Function(None)),
        rust("account", Flow::Me, Role::Function(None)),
        rust("jwks", Flow::Keys, Role::Function(None)),
        peer("python send", Flow::PeerSend, "send-otp"),
        peer("python submit", Flow::PeerSubmit, "submit-otp"),
    ])
}
