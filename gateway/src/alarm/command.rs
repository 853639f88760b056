//! Tells a command: the text as its argument, the notice as JSON on its standard input.

use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use thiserror::Error;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
    time::timeout,
};

use super::Notice;

/// A command that runs for longer is killed, with all that it started.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Why a command told nobody.
#[derive(Debug, Error)]
pub enum CommandFailure {
    /// It does not run.
    #[error("failed to start {path}: {error}")]
    Start {
        /// Which command.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It says so, or was killed by somebody else.
    #[error("{path} ended with {status}")]
    Ended {
        /// Which command.
        path: PathBuf,
        /// How.
        status: ExitStatus,
    },
    /// It did not end in time.
    #[error("{path} ran for more than {} s, and was killed", limit.as_secs_f64())]
    TooLong {
        /// Which command.
        path: PathBuf,
        /// The time that it had.
        limit: Duration,
    },
}

/// Runs a command for at most `limit`, and waits for its end. What it prints on standard error goes where the gateway's
/// log goes. Dropped, the command is killed.
///
/// # Errors
/// If it does not end with 0 in time.
pub async fn run(path: &Path, notice: &Notice, limit: Duration) -> Result<(), CommandFailure> {
    let failed = |error| CommandFailure::Start { path: path.to_owned(), error };
    let child = Command::new(path)
        .arg(&notice.text)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        // Of its own, so that what it started ends with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut group = Group::of(child);
    match timeout(limit, group.end(&(notice.to_json() + "\n"))).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(CommandFailure::Ended { path: path.to_owned(), status }),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(CommandFailure::TooLong { path: path.to_owned(), limit }),
    }
}

/// A command and what it started; killed when dropped before its end.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    fn of(child: Child) -> Self {
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self { child, leader }
    }

    async fn end(&mut self, input: &str) -> io::Result<ExitStatus> {
        if let Some(mut stdin) = self.child.stdin.take() {
            // A command that goes by its argument need not read.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let status = self.child.wait().await?;
        self.leader = None;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use tempfile::TempDir;

    use super::*;
    use crate::alarm::{Alarm, Change, Condition, State};

    fn notice() -> Notice {
        let alarm = Alarm::of(Condition::SourceNotHeard, "finish-timer-a");
        let change = Change { alarm, state: State::Raised, since: "2026-11-28T10:42:17Z".to_owned() };
        Notice::new(&change, "stade-1-a", "stade-1", "NO RESULT WAS HEARD YET")
    }

    async fn run_script(folder: &TempDir, script: &str, limit: Duration) -> Result<(), String> {
        let path = folder.path().join("venue-alarm");
        fs::write(&path, format!("#!/bin/sh\ncd \"{}\"\n{script}\n", folder.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let told = run(&path, &notice(), limit).await;
        told.map_err(|error| error.to_string().replace(&*path.to_string_lossy(), "venue-alarm"))
    }

    /// The command gets the text, whole, and the notice with its documented keys.
    #[tokio::test]
    async fn a_command_gets_text_and_notice() {
        let folder = tempfile::tempdir().unwrap();
        run_script(&folder, "printf '%s' \"$1\" > text; cat > notice", TIME_LIMIT).await.unwrap();
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("text"), "ALARM: finish-timer-a is not heard: NO RESULT WAS HEARD YET");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&read("notice")).unwrap(),
            serde_json::json!({
                "id": "stade-1-a/source_not_heard/finish-timer-a",
                "condition": "source_not_heard",
                "state": "raised",
                "text": "ALARM: finish-timer-a is not heard: NO RESULT WAS HEARD YET",
                "gateway": "stade-1-a",
                "venue": "stade-1",
                "since": "2026-11-28T10:42:17Z",
            })
        );
    }

    /// One that does not read, or that fails, and one that is not there, are told apart.
    #[tokio::test]
    async fn each_failure_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run_script(&folder, "exec 0<&-; exit 0", TIME_LIMIT).await, Ok(()));
        assert_eq!(
            run_script(&folder, "exit 3", TIME_LIMIT).await,
            Err("venue-alarm ended with exit status: 3".to_owned())
        );
        let missing = run(&folder.path().join("nothing"), &notice(), TIME_LIMIT).await.unwrap_err();
        assert!(missing.to_string().contains("No such file or directory"), "{missing}");
    }

    /// One that hangs is killed after its time, and so is what it started.
    #[tokio::test]
    async fn what_hangs_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        // Whoever holds the writing end of the pipe keeps its reader waiting.
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let reader = std::thread::spawn({
            let pipe = folder.path().join("pipe");
            move || fs::read_to_string(pipe).unwrap()
        });
        let told = run_script(&folder, "sleep 1000 > pipe & wait", Duration::from_secs(1)).await;
        assert_eq!(told, Err("venue-alarm ran for more than 1 s, and was killed".to_owned()));
        assert_eq!(reader.join().unwrap(), "", "nobody holds the pipe any more");
    }
}
