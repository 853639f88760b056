//! The process, as the kernel counts it in /proc.

use std::fs;

use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, getrlimit},
};

/// What the kernel counts of this process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_fds: usize,
    /// None if there is no limit.
    pub(super) max_fds: Option<u64>,
    /// UTC seconds, by the clock of the boot.
    pub(super) started_utc_s: f64,
}

impl Process {
    /// Reads it; none where there is no /proc.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let (cpu_ticks, start_ticks) = ticks(&stat)?;
        let ticks = clock_ticks_per_second() as f64;
        let booted_utc_s = field(&fs::read_to_string("/proc/stat").ok()?, "btime ")? as f64;
        Some(Self {
            cpu_seconds: cpu_ticks as f64 / ticks,
            resident_bytes: field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")? * 1024,
            // One of them reads the folder.
            open_fds: fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1),
            max_fds: getrlimit(Resource::Nofile).current,
            started_utc_s: booted_utc_s + start_ticks as f64 / ticks,
        })
    }
}

/// CPU time, and start since the boot, both in ticks, of /proc/PID/stat (proc_pid_stat(5)).
fn ticks(stat: &str) -> Option<(u64, u64)> {
    // The name before may hold blanks and parentheses.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace();
    // `state` is the third field.
    let mut number = |skip| fields.nth(skip)?.parse::<u64>().ok();
    let (user, system, start) = (number(14 - 3)?, number(0)?, number(22 - 16)?);
    Some((user + system, start))
}

/// The number behind a key of a file of lines.
fn field(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process whose name looks like more fields.
    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "42 (a) R 1 (b c) S 1 42 42 0 -1 4194304 100 0 0 0 13 4 0 0 20 0 8 0 987654 1000 250 18446744073709551615\n";
        assert_eq!(ticks(stat), Some((17, 987_654)));
        assert_eq!(ticks("42 (a) S 1"), None);
        assert_eq!(field("cpu 1\nbtime 1795859137\n", "btime "), Some(1_795_859_137));
        assert_eq!(field("Name:\ta\nVmRSS:\t    5120 kB\n", "VmRSS:"), Some(5_120));
    }

    /// This very process: it runs, and has what it holds open.
    #[test]
    fn this_process_is_read() {
        let before = Process::read().expect("Linux");
        let held: Vec<_> = (0..8).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = Process::read().expect("Linux");
        assert!(after.open_fds >= held.len() && after.resident_bytes > 100_000, "{after:?}");
        assert!(after.cpu_seconds >= before.cpu_seconds, "{before:?} {after:?}");
        assert_eq!(after.started_utc_s.to_bits(), before.started_utc_s.to_bits());
    }
}
