//! `strace`, attached to a running process: it makes system calls fail, or writes down
//! which were made, until it is detached.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "shared by several test binaries, of which each needs a part; `expect` would fail in the one that needs all"
)]

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::stage::PATIENCE;

/// An attached `strace`.
pub(crate) struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    /// Why it cannot be used here, if it cannot.
    pub(crate) fn missing() -> Option<&'static str> {
        let version = std::process::Command::new("strace").arg("-V").stdout(Stdio::null()).status();
        match version {
            Err(_) => Some("tool strace"),
            Ok(_) if !rustix::process::geteuid().is_root() => Some("root"),
            Ok(_) => None,
        }
    }

    /// Attaches to every thread of a process, and returns when none of them makes a call untraced.
    pub(crate) async fn attach(process: u32, arguments: &[&str], output: &Path) -> Self {
        Self::start(process, &[&["-f"], arguments].concat(), output, "attached with").await
    }

    /// Attaches to the thread of a process that has this name, and to no other.
    pub(crate) async fn attach_to_thread(process: u32, name: &str, arguments: &[&str], output: &Path) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
        let mut threads = threads.map(|thread| thread.expect("it runs").path());
        let is_named =
            |thread: &PathBuf| std::fs::read_to_string(thread.join("comm")).is_ok_and(|it| it.trim() == name);
        let thread = threads.find(is_named).unwrap_or_else(|| panic!("no thread {name}"));
        let id = thread.file_name().and_then(|id| id.to_str()?.parse().ok()).expect("the kernel's number of a thread");
        Self::start(id, arguments, output, "attached").await
    }

    async fn start(id: u32, arguments: &[&str], output: &Path, sign: &str) -> Self {
        let mut command = Command::new("strace");
        command.arg("-o").arg(output).args(arguments).args(["-p", &id.to_string()]);
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("strace starts");
        let mut told = String::new();
        let mut words = BufReader::new(child.stderr.as_mut().expect("what it tells"));
        timeout(PATIENCE, words.read_line(&mut told)).await.expect("strace attaches").expect("what it tells");
        assert!(told.contains(sign), "{told}");
        Self { child, output: output.to_owned() }
    }

    /// Lets the process go, unharmed, and returns what was written down.
    pub(crate) async fn detach(mut self) -> String {
        let process = Pid::from_raw(self.child.id().expect("it runs").cast_signed()).expect("it runs");
        kill_process(process, Signal::INT).expect("it is ours");
        timeout(PATIENCE, self.child.wait()).await.expect("strace ends").expect("it is ours");
        String::from_utf8_lossy(&std::fs::read(&self.output).expect("what strace wrote")).into_owned()
    }
}
