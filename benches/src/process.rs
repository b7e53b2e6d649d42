//! One measured process: starts it, serves it through its Runtime API, reads its usage from `/proc`, and ends it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::failure::Failure;
use crate::programs::Program;
use crate::quota::Quota;
use crate::runtime_api::RuntimeApi;
use crate::world::World;

/// The pause after a request for the next event, in which the process becomes idle.
const IDLE_PAUSE: Duration = Duration::from_millis(1);

pub struct Process {
    pub spawned: Instant,
    child: Child,
    id: u32,
    api: RuntimeApi,
}

pub struct Served {
    pub answer: Value,
    pub answered: Instant,
    /// From the event to its answer.
    pub took: Duration,
}

#[derive(Default)]
pub struct Start<'a> {
    /// The command line of a tool that runs the program, such as valgrind.
    pub wrapper: Vec<PathBuf>,
    pub quota: Option<&'a Quota>,
    /// Environment variables that override those of the `World`.
    pub variables: Vec<(String, String)>,
    /// The file for its standard output, which is otherwise discarded.
    pub log: Option<PathBuf>,
    /// The file for its standard error, which is otherwise this process's own.
    pub errors: Option<PathBuf>,
}

impl Process {
    /// Starts a program as Lambda does, with no inherited environment variables.
    pub async fn start(world: &World, program: &Program, start: Start<'_>) -> Result<Self, Failure> {
        let api = RuntimeApi::start().await?;
        let mut words = Vec::new();
        if let Some(quota) = start.quota {
            // The shell joins the group, waits for a line, then becomes the program under the same process id.
            let join = format!("echo $$ >\"$0\" && {} && read go && exec \"$@\"", quota.prepare_command());
            words.extend(["/bin/sh".into(), "-c".into(), join.into(), quota.procs_file()]);
        }
        words.extend(start.wrapper);
        words.extend(program.command.iter().cloned());
        let (first, rest) = words.split_first().ok_or("the command line is empty")?;
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
        let id = child.id().ok_or("the process has already ended")?;
        if let (Some(quota), Some(mut shell)) = (start.quota, child.stdin.take()) {
            quota.wait_until_joined(id).await?;
            spawned = Instant::now();
            shell.write_all(b"go\n").await?;
        }
        Ok(Self { spawned, child, id, api })
    }

    /// Waits until the process asks for an event, and returns when it did.
    pub async fn asked(&mut self) -> Result<Instant, Failure> {
        tokio::select! {
            asked = self.api.asked() => asked,
            ended = self.child.wait() => Err(format!("the process ended early: {}", ended?).into()),
        }
    }

    pub async fn serve(&mut self, event: &Value) -> Result<Served, Failure> {
        let sent = self.api.send_event(event)?;
        let (answered, answer) = tokio::select! {
            answer = self.api.answer() => answer?,
            ended = self.child.wait() => return Err(format!("the process ended early: {}", ended?).into()),
        };
        Ok(Served { answer, answered, took: answered.saturating_duration_since(sent) })
    }

    /// Waits until the process asks for the next event and is idle.
    pub async fn rest(&mut self) -> Result<(), Failure> {
        self.asked().await?;
        tokio::time::sleep(IDLE_PAUSE).await;
        Ok(())
    }

    /// The processor time of its threads, to the nanosecond
    /// (<https://docs.kernel.org/scheduler/sched-stats.html>).
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let mut nanoseconds = 0_u64;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id))? {
            let line = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let ran: u64 = line.split(' ').next().unwrap_or_default().parse()?;
            nanoseconds = nanoseconds.saturating_add(ran);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The peak resident memory, in KiB.
    pub fn peak_kib(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    pub async fn end(mut self) -> Result<(), Failure> {
        self.child.kill().await?;
        Ok(())
    }

    /// Sends SIGTERM and waits for the end, so that a wrapper can write its report.
    pub async fn terminate(mut self) -> Result<(), Failure> {
        Command::new("kill").arg(self.id.to_string()).status().await?;
        self.child.wait().await?;
        Ok(())
    }
}
