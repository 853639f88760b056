//! The real gateway, as a process of its own, under a bench's control.
//!
//! The bench is the gateway too: `venue-sim`, called with `gateway` first, is
//! `venue-gateway`, so nothing has to be built or found beside it.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::clock::Clock;

/// A stopping gateway is given this long, far more than its own time to drain, for the disk may be slow.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// A gateway with its folder: `gateway.toml` in it, `gateway.log`, and what the
/// configuration names. Dropped, it is killed.
#[derive(Debug)]
pub struct GatewayProcess {
    executable: PathBuf,
    directory: PathBuf,
    /// Put before the gateway's own command line: `strace …`, `faketime …`.
    wrapper: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    child: Option<Child>,
    clock: Clock,
}

impl GatewayProcess {
    /// A gateway that does not run yet. `executable` is `venue-sim`.
    pub fn new(executable: impl Into<PathBuf>, directory: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
            directory: directory.into(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            child: None,
            clock: Clock::start(),
        }
    }

    /// Runs it under another program from the next start on.
    pub fn set_wrapper(&mut self, wrapper: impl IntoIterator<Item = impl Into<OsString>>) {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
    }

    /// Sets a variable of its environment from the next start on.
    pub fn set_variable(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// The folder.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.directory.join("gateway.toml")
    }

    /// Writes the configuration; a gateway that runs takes it by itself once the file has been left alone for a second.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, text: &str) -> anyhow::Result<()> {
        std::fs::write(self.config(), text).context("write gateway.toml")
    }

    /// Starts it; its log goes on in the same file.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.directory.join("gateway.log"));
        let log = log.context("open the gateway's log")?;
        let mut words = self.wrapper.clone();
        words.push(self.executable.clone().into());
        let mut command = Command::new(&words[0]);
        without_settings(&mut command);
        command.args(&words[1..]).args(["gateway", "run", "--config"]).arg(self.config());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        self.child = Some(command.spawn().context("start the gateway")?);
        Ok(())
    }

    /// Process id of what was started: of the wrapper, if there is one.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Kills it as a power switch would: SIGKILL, no time for anything.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("kill the gateway")?;
        }
        Ok(())
    }

    /// Kills it (SIGKILL), and leaves it to [`terminate`](Self::terminate) to find out.
    ///
    /// # Errors
    /// If it does not run.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL).context("crash the gateway")
    }

    /// Asks it to read its configuration anew (SIGHUP).
    ///
    /// # Errors
    /// If it does not run.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP).context("ask the gateway to read its configuration")
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("it does not run")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks it to stop (SIGTERM) and waits.
    ///
    /// # Errors
    /// If it does not stop in time, or ends with another code than 0.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.terminate().await?;
        if status.success() { Ok(()) } else { bail!("stop the gateway: it ended with {status}") }
    }

    /// Asks it to stop (SIGTERM), waits, and returns how it ended.
    ///
    /// # Errors
    /// If it was not started, or does not stop in time.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM).context("ask the gateway to stop")?;
        let mut child = self.child.take().context("ask the gateway to stop")?;
        let ended = tokio::time::timeout(STOPS_WITHIN, child.wait()).await;
        ended.context("stop the gateway: it still runs")?.context("wait for the gateway")
    }

    /// Waits until it ends by itself, and returns its exit code; none after a signal.
    ///
    /// # Errors
    /// If it still runs after `patience`.
    pub async fn ended(&mut self, patience: Duration) -> anyhow::Result<Option<i32>> {
        let mut child = self.child.take().context("wait for a gateway that was not started")?;
        let ended = tokio::time::timeout(patience, child.wait()).await.context("the gateway still runs")?;
        Ok(ended?.code())
    }

    /// Runs another command of the gateway with its configuration, and returns exit
    /// code, standard output and standard error.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub async fn command(&self, words: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
        let mut command = Command::new(&self.executable);
        without_settings(&mut command);
        command.arg("gateway").args(words).stdin(Stdio::null());
        let output = command.output().await.context("run a command of the gateway")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status.code(), text(output.stdout), text(output.stderr)))
    }

    /// What `status --json` says; none while no gateway answers.
    pub async fn status(&self) -> Option<Value> {
        let config = self.config();
        let words = ["status", "--json", "--config", config.to_str()?];
        match self.command(&words).await {
            Ok((Some(0), output, _)) => serde_json::from_str(&output).ok(),
            _ => None,
        }
    }

    /// Waits until the status is as wanted, and returns it.
    ///
    /// # Errors
    /// If it is not within `patience`; says what it was instead.
    pub async fn until(&self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = self.clock.now() + patience;
        loop {
            let status = self.status().await;
            match status {
                Some(status) if wanted(&status) => return Ok(status),
                status if self.clock.now() > deadline => {
                    let shown = status.map_or_else(|| "it does not answer".to_owned(), |it| format!("{it:#}"));
                    bail!(
                        "the gateway did not come to what was waited for within {patience:?}: {shown}\n{}",
                        self.log_tail()
                    );
                }
                _ => tokio::time::sleep(GLANCE).await,
            }
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.directory.join("gateway.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Takes away the variables that would be settings of the gateway: it gets those that
/// the bench gives it, and not those of whoever runs the bench.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"VENUE_") {
            command.env_remove(name);
        }
    }
}

/// A text of a status by its JSON pointer; empty if it is not there.
pub fn text<'a>(status: &'a Value, pointer: &str) -> &'a str {
    status.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A number of a status by its JSON pointer; 0 if it is not there.
pub fn number(status: &Value, pointer: &str) -> u64 {
    status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Whether every source is connected.
pub fn all_connected(status: &Value) -> bool {
    let sources = status["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    !sources.is_empty() && sources.iter().all(|source| source["state"] == "connected")
}

/// Whether nothing waits: every result is on disk and at the first uplink's centre.
pub fn results_delivered(status: &Value) -> bool {
    let waits = |pointer| status.pointer(pointer).and_then(Value::as_u64) != Some(0);
    !waits("/journal/lanes/0/staged") && !waits("/uplinks/0/lanes/0/backlog")
}
