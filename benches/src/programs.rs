//! What is measured, and what is asked of each.

use std::path::{Path, PathBuf};

use crate::Fault;
use crate::flows::Flow;

/// A program that speaks to the Runtime API.
pub struct Program {
    /// What the tables call it.
    pub name: &'static str,
    /// The program and its arguments.
    pub command: Vec<PathBuf>,
    /// Where it runs.
    pub folder: PathBuf,
    /// What is asked of it.
    pub flow: Flow,
    /// What it is to the comparison.
    pub part: Part,
}

/// A program's part in the comparison.
#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    /// One of ours, and how many times the yardstick's time to its first answer it may take, if that is bounded.
    Ours(Option<f64>),
    /// The floor: the runtime alone.
    Hello,
    /// What the others are measured by.
    Yardstick,
    /// The older system's stack, beside the function of ours that does the same.
    Peer(&'static str),
}

/// All of them, in the order in which they run. Those of Rust stand beside this one.
pub fn programs(python: &Path) -> Result<Vec<Program>, Fault> {
    let built = std::env::current_exe()?.parent().ok_or("a program in no folder")?.to_path_buf();
    let rust = |name: &'static str, flow, part| Program {
        name,
        command: vec![built.join(name)],
        folder: built.clone(),
        flow,
        part,
    };
    let peer = |name, flow, ours| Program {
        name,
        // As Lambda's own base image starts it.
        command: vec![python.to_path_buf(), "-m".into(), "awslambdaric".into(), "app.handler".into()],
        folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("python"),
        flow,
        part: Part::Peer(ours),
    };
    Ok(vec![
        rust("bench-hello", Flow::Hello, Part::Hello),
        rust("bench-yardstick", Flow::Read, Part::Yardstick),
        rust("authorizer", Flow::Authorize, Part::Ours(Some(1.25))),
        rust("send-otp", Flow::Send, Part::Ours(Some(1.75))),
        rust("submit-otp", Flow::Submit, Part::Ours(Some(1.75))),
        rust("session", Flow::Refresh, Part::Ours(Some(1.75))),
        rust("validate-otp", Flow::Validate, Part::Ours(None)),
        rust("account", Flow::Me, Part::Ours(None)),
        rust("jwks", Flow::Keys, Part::Ours(None)),
        peer("python send", Flow::PeerSend, "send-otp"),
        peer("python submit", Flow::PeerSubmit, "submit-otp"),
    ])
}
