//! A control group whose processes have a fifth of a core, about what Lambda gives a function of 360 MB
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>: one vCPU at 1,769 MB).

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A fifth of each period, in microseconds.
#[derive(Clone, Copy, PartialEq)]
pub struct Period(u32);

impl Period {
    /// The kernel's own, which containers and services get unless they are given another.
    pub const USUAL: Self = Self(100_000);
    /// The shortest that there can be a fifth of: what waits for the end of one waits for it at almost every step.
    pub const SHORTEST: Self = Self(5_000);

    const fn share(self) -> u32 {
        self.0 / 5
    }

    /// Whether a process had better keep to one core: what it overdraws on one, until the kernel's next look, is not held
    /// against it on another.
    fn is_soon_overdrawn(self) -> bool {
        self == Self::SHORTEST
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a fifth of a core, {} of each {} ms", self.share() / 1_000, self.0 / 1_000)
    }
}

/// Until what was used up is there again, overdrawn shares included.
const REST: Duration = Duration::from_millis(100);

/// The group; it goes when this does.
pub struct Quota {
    folder: PathBuf,
    period: Period,
}

impl Quota {
    /// Makes the group, in version 2 of Linux's control groups or in version 1.
    ///
    /// # Errors
    /// Why this machine or this user can't.
    pub fn open(period: Period) -> Result<Self, String> {
        let mut reasons = Vec::new();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu"] {
            let folder = Path::new(root).join(format!("latchkey-bench-{}", std::process::id()));
            match fs::create_dir(&folder).map(|()| Self { folder, period }).and_then(Self::limited) {
                Ok(quota) => return Ok(quota),
                Err(error) => reasons.push(format!("{root}: {error}")),
            }
        }
        Err(format!("no control group can be had ({})", reasons.join("; ")))
    }

    /// Waits until a process has joined, which the kernel lets wait for tens of milliseconds, and until what it and the
    /// one before it used up is there again.
    pub async fn joined(&self, id: u32) -> io::Result<()> {
        while !fs::read_to_string(self.door())?.lines().any(|line| line == id.to_string()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(REST).await;
        Ok(())
    }

    /// What the shell `$$` has to do before it becomes a process under this quota.
    pub fn preparation(&self) -> &'static str {
        if self.period.is_soon_overdrawn() { "taskset -cp 0 $$ >/dev/null" } else { "true" }
    }

    /// Where a process writes its id to join.
    pub fn door(&self) -> PathBuf {
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

    /// Writes what the kernel has there; a file of our own making would limit nothing.
    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.folder.join(name))?.write_all(value.as_bytes())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
