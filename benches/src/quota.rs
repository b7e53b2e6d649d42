//! A control group that limits processes to a fifth of a core, about what Lambda gives a function of 360 MB
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>: one vCPU at 1,769 MB).

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The scheduling period in microseconds. Processes may run for a fifth of each period.
#[derive(Clone, Copy, PartialEq)]
pub struct Period(u32);

impl Period {
    /// The kernel's default, which containers and services usually have.
    pub const DEFAULT: Self = Self(100_000);
    /// The shortest period of which the kernel allows a fifth. Almost every step of a process waits for a new period.
    pub const SHORTEST: Self = Self(5_000);

    const fn share(self) -> u32 {
        self.0 / 5
    }

    /// Whether to pin the process to one core. Between two ticks of the kernel a process may exceed a short quota, and on
    /// another core it would not pay that back.
    fn needs_one_core(self) -> bool {
        self == Self::SHORTEST
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a fifth of a core, {} of each {} ms", self.share() / 1_000, self.0 / 1_000)
    }
}

/// The time in which a used up quota is restored, even if it was exceeded.
const RESTORE_PAUSE: Duration = Duration::from_millis(100);

/// The control group. Dropping this removes it.
pub struct Quota {
    folder: PathBuf,
    period: Period,
}

impl Quota {
    /// Creates the group, with version 2 of Linux's control groups or else version 1.
    ///
    /// # Errors
    /// The machine does not support it, or this user may not do it.
    pub fn open(period: Period) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu"] {
            let folder = Path::new(root).join(format!("latchkey-bench-{}", std::process::id()));
            match fs::create_dir(&folder).map(|()| Self { folder, period }).and_then(Self::limited) {
                Ok(quota) => return Ok(quota),
                Err(error) => reasons.push(format!("{root}: {error}")),
            }
        }
        Err(format!("cannot create a control group ({})", reasons.join("; ")))
    }

    /// Waits until a process has joined, which may take the kernel tens of milliseconds, and until the quota that it and the
    /// previous process used up is restored.
    pub async fn wait_until_joined(&self, id: u32) -> io::Result<()> {
        while !fs::read_to_string(self.procs_file())?.lines().any(|line| line == id.to_string()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(RESTORE_PAUSE).await;
        Ok(())
    }

    /// A command for the shell that then becomes the limited process.
    pub fn prepare_command(&self) -> &'static str {
        if self.period.needs_one_core() { "taskset -cp 0 $$ >/dev/null" } else { "true" }
    }

    /// A process joins the group by writing its id to this file.
    pub fn procs_file(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    fn limited(self) -> io::Result<Self> {
        if self.folder.join("cpu.cfs_quota_us").exists() {
            self.set("cpu.cfs_period_us", &self.period.0.to_string())?;
            self.set("cpu.cfs_quota_us", &self.period.share().to_string())?;
        } else {
            self.set("cpu.max", &format!("{} {}", self.period.share(), self.period.0))?;
        }
        Ok(self)
    }

    /// Writes to an existing file only: a file that the kernel did not create would limit nothing.
    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.folder.join(name))?.write_all(value.as_bytes())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
