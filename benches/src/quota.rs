//! A control group whose processes have a fifth of a core, about what Lambda gives a function of 360 MB
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>: one vCPU at 1,769 MB).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The share, in microseconds, of the shortest periods that the kernel has for it: the yardstick would slip through one
/// that were four times as long.
const SHARE: u32 = 1_000;
const PERIOD: u32 = 5_000;

/// The group; it goes when this does.
pub struct Quota(PathBuf);

impl Quota {
    /// Makes the group, in version 2 of Linux's control groups or in version 1.
    ///
    /// # Errors
    /// Why this machine or this user can't.
    pub fn open() -> Result<Self, String> {
        let mut reasons = Vec::new();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu"] {
            let folder = Path::new(root).join(format!("latchkey-bench-{}", std::process::id()));
            match fs::create_dir(&folder).map(|()| Self(folder)).and_then(Self::limited) {
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
        tokio::time::sleep(Duration::from_micros(u64::from(PERIOD) * 2)).await;
        Ok(())
    }

    /// Where a process writes its id to join.
    pub fn door(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    fn limited(self) -> io::Result<Self> {
        if self.0.join("cpu.cfs_quota_us").exists() {
            self.set("cpu.cfs_period_us", &PERIOD.to_string())?;
            self.set("cpu.cfs_quota_us", &SHARE.to_string())?;
        } else {
            self.set("cpu.max", &format!("{SHARE} {PERIOD}"))?;
        }
        Ok(self)
    }

    /// Writes what the kernel has there; a file of our own making would limit nothing.
    fn set(&self, name: &str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.0.join(name))?.write_all(value.as_bytes())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
