//! The real gateway, as a process of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::process::{Child, Command};

/// A stopping gateway is given this long, more than its own time to drain.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

/// A gateway with its configuration and log. The bench is the gateway too: the same
/// executable, called with `gateway` first, is `venue-gateway`.
pub(super) struct Gateway {
    executable: PathBuf,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Gateway {
    /// A gateway that does not run yet.
    pub(super) fn new(directory: &Path) -> anyhow::Result<Self> {
        let executable = std::env::current_exe().context("find this program's own file")?;
        Ok(Self { executable, config: directory.join("gateway.toml"), log: directory.join("gateway.log"), child: None })
    }

    /// Starts it; its log goes on in the same file.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log).context("open the gateway's log")?;
        let child = Command::new(&self.executable)
            .args(["gateway", "run", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("open the gateway's log")?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start the gateway")?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it as a power switch would: SIGKILL, no time for anything.
    pub(super) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("kill the gateway")?;
        }
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits.
    ///
    /// # Errors
    /// If it does not stop in time, or ends with another code than 0.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        let pid = pid.context("ask the gateway to stop: it has ended already")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("ask the gateway to stop")?;
        let ended = tokio::time::timeout(STOPS_WITHIN, child.wait()).await;
        let status = ended.context("stop the gateway: it still runs")?.context("wait for the gateway")?;
        if status.success() { Ok(()) } else { bail!("stop the gateway: it ended with {status}") }
    }

    /// What `status --json` says; none while it does not answer.
    pub(super) async fn status(&self) -> Option<Value> {
        let output = Command::new(&self.executable)
            .args(["gateway", "status", "--json", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .output()
            .await
            .ok()?;
        if output.status.success() { serde_json::from_slice(&output.stdout).ok() } else { None }
    }
}

/// A text of a status by its JSON pointer; empty if it is not there.
pub(super) fn text<'a>(status: &'a Value, pointer: &str) -> &'a str {
    status.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
