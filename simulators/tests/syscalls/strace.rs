//! `strace`, attached to a running process: it makes system calls fail, or writes down
//! which were made, until it is detached.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use venue_sim::clock::Clock;

/// An attached `strace`.
pub(crate) struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    /// Why it cannot be used here, if it cannot.
    pub(crate) fn missing() -> Option<&'static str> {
        let version = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
        match version {
            Err(_) => Some("tool strace"),
            Ok(_) if !rustix::process::geteuid().is_root() => Some("root"),
            Ok(_) => None,
        }
    }

    /// Attaches to every thread of a process, and returns when all are traced.
    pub(crate) async fn attach(process: u32, arguments: &[&str], output: &Path) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-o"]).arg(output).args(arguments).args(["-p", &process.to_string()]);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace starts");
        let clock = Clock::start();
        while !traced(process) {
            assert!(clock.now() < Duration::from_secs(20), "strace does not come to trace the gateway");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self { child, output: output.to_owned() }
    }

    /// Lets the process go, unharmed, and returns what was written down.
    pub(crate) async fn detach(mut self) -> String {
        let process = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("it runs");
        rustix::process::kill_process(process, rustix::process::Signal::INT).expect("it is ours");
        let mut ended = self.child.try_wait().expect("it is ours");
        while ended.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            ended = self.child.try_wait().expect("it is ours");
        }
        String::from_utf8_lossy(&std::fs::read(&self.output).expect("what strace wrote")).into_owned()
    }
}

/// Whether every thread of a process has a tracer.
fn traced(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut statuses = threads.map(|thread| std::fs::read_to_string(thread.path().join("status")).unwrap_or_default());
    statuses.all(|status| !status.lines().any(|line| line == "TracerPid:\t0"))
}
