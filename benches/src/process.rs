//! One process under measurement: started, spoken to through its Runtime API, looked at from outside, ended.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::Fault;
use crate::programs::Program;
use crate::quota::Quota;
use crate::runtime_api::RuntimeApi;
use crate::world::World;

/// How long a process gets to fall asleep after it has asked for the next event.
const NAP: Duration = Duration::from_millis(1);

/// The process and its Runtime API.
pub struct Process {
    /// When it was started.
    pub spawned: Instant,
    child: Child,
    id: u32,
    api: RuntimeApi,
}

/// An answer, and when it was there.
pub struct Served {
    pub answer: Value,
    pub answered: Instant,
    /// How long it took from the handing over of the event.
    pub took: Duration,
}

/// How a process is started.
#[derive(Default)]
pub struct Start<'a> {
    /// What stands before the program: a tool that runs it.
    pub under: Vec<PathBuf>,
    /// The share of a core that it has.
    pub quota: Option<&'a Quota>,
    /// Variables over those of the world.
    pub variables: Vec<(String, String)>,
    /// Where its standard output goes, if anywhere.
    pub log: Option<PathBuf>,
    /// Where its standard error goes, if not to ours.
    pub errors: Option<PathBuf>,
}

impl Process {
    /// Starts a program as Lambda does: with the variables it is given and no others.
    pub async fn start(world: &World, program: &Program, start: Start<'_>) -> Result<Self, Fault> {
        let api = RuntimeApi::start().await?;
        let mut words = Vec::new();
        if let Some(quota) = start.quota {
            // The shell joins the group, and when it is told to becomes the program, under the same id.
            let join = format!("echo $$ >\"$0\" && {} && read go && exec \"$@\"", quota.preparation());
            words.extend(["/bin/sh".into(), "-c".into(), join.into(), quota.door()]);
        }
        words.extend(start.under);
        words.extend(program.command.iter().cloned());
        let (first, rest) = words.split_first().ok_or("a program without a name")?;
        let file = |path: Option<PathBuf>, otherwise: Stdio| match path {
            Some(path) => std::fs::File::create(path).map(Stdio::from),
            None => Ok(otherwise),
        };
        let mut command = Command::new(first);
        command.args(rest).current_dir(&program.folder).kill_on_drop(true);
        command.stdin(if start.quota.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(file(start.log, Stdio::null())?).stderr(file(start.errors, Stdio::inherit())?);
        command.env_clear().envs(&world.variables).envs(start.variables);
        command.env("AWS_LAMBDA_RUNTIME_API", api.address());
        command.env("LAMBDA_TASK_ROOT", &program.folder).env("_HANDLER", "app.handler");
        for (name, value) in [
            ("FUNCTION_NAME", "bench"),
            ("FUNCTION_VERSION", "$LATEST"),
            ("FUNCTION_MEMORY_SIZE", "256"),
            ("INITIALIZATION_TYPE", "on-demand"),
            ("LOG_GROUP_NAME", "/bench"),
            ("LOG_STREAM_NAME", "bench"),
            ("LOG_FORMAT", "JSON"),
        ] {
            command.env(format!("AWS_LAMBDA_{name}"), value);
        }
        let mut spawned = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", first.display()))?;
        let id = child.id().ok_or("a process without an id")?;
        if let (Some(quota), Some(mut shell)) = (start.quota, child.stdin.take()) {
            quota.joined(id).await?;
            spawned = Instant::now();
            shell.write_all(b"go\n").await?;
        }
        Ok(Self { spawned, child, id, api })
    }

    /// Waits until it asks for an event, and says when it did.
    pub async fn asked(&mut self) -> Result<Instant, Fault> {
        tokio::select! {
            asked = self.api.asked() => asked,
            ended = self.child.wait() => Err(format!("it ended: {}", ended?).into()),
        }
    }

    /// Hands an event over, and waits for its answer.
    pub async fn serve(&mut self, event: &Value) -> Result<Served, Fault> {
        let handed = self.api.hand_over(event)?;
        let (answered, answer) = tokio::select! {
            answer = self.api.answer() => answer?,
            ended = self.child.wait() => return Err(format!("it ended: {}", ended?).into()),
        };
        Ok(Served { answer, answered, took: answered.saturating_duration_since(handed) })
    }

    /// Waits until it asks for another event and sleeps over it.
    pub async fn rest(&mut self) -> Result<(), Fault> {
        self.asked().await?;
        tokio::time::sleep(NAP).await;
        Ok(())
    }

    /// How long its threads have been on a processor, to the nanosecond
    /// (<https://docs.kernel.org/scheduler/sched-stats.html>).
    pub fn cpu(&self) -> Result<Duration, Fault> {
        let mut nanoseconds = 0_u64;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id))? {
            let line = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let ran: u64 = line.split(' ').next().unwrap_or_default().parse()?;
            nanoseconds = nanoseconds.saturating_add(ran);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The most memory that it has had at once, in KiB.
    pub fn peak_kib(&self) -> Result<u64, Fault> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Ends it.
    pub async fn end(mut self) -> Result<(), Fault> {
        self.child.kill().await?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(mut self) -> Result<(), Fault> {
        Command::new("kill").arg(self.id.to_string()).status().await?;
        self.child.wait().await?;
        Ok(())
    }
}
