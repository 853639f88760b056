//! What a process uses, from `/proc`.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// User and system time of all its threads.
    pub(super) cpu: Duration,
    /// Resident memory now, bytes.
    pub(super) rss: u64,
    /// The most resident memory that it ever had, bytes.
    pub(super) rss_peak: u64,
}

impl Usage {
    /// Of a process that runs.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        let file =
            |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).context("look at the gateway's process");
        let (stat, status) = (file("stat")?, file("status")?);
        // Behind the name in parentheses, which may hold anything.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        let cpu = Duration::from_secs_f64(ticks as f64 / per_second as f64);
        Ok(Self { cpu, rss: kib("VmRSS:"), rss_peak: kib("VmHWM:") })
    }
}
