//! A mosquitto of the test's own, that can be stopped, killed and started again, with or without its memory.

#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "shared by test binaries of which each needs a part; `expect` would fail in the one that needs all"
)]

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// A condition that does not come true within this fails the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A broker on loopback.
pub(crate) struct Broker {
    folder: TempDir,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl Broker {
    /// Starts one; `settings` are further lines of its configuration.
    pub(crate) async fn start(settings: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        // Taken from the kernel and given back; nobody else on this machine asks for ports by number.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let mut broker = Self { folder, port, process: None };
        let mut config = std::fs::File::create(broker.config()).expect("its configuration");
        let place = broker.folder.path().display();
        writeln!(
            config,
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {place}/\n\
             max_queued_messages 0\nuser root\n{settings}"
        )
        .expect("its configuration");
        broker.restart().await;
        broker
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("mosquitto.conf")
    }

    /// Starts it, with what it has on disk.
    pub(crate) async fn restart(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("its log");
        let program = ["/usr/sbin/mosquitto", "mosquitto"].into_iter().find(|it| Path::new(it).exists());
        let child = Command::new(program.unwrap_or("mosquitto"))
            .arg("-c")
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mosquitto, which scripts/prepare installs");
        self.process = Some(child);
        eventually("a broker that listens", || TcpStream::connect(("127.0.0.1", self.port)).ok()).await;
    }

    /// Ends it as asked: it writes its sessions down.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().expect("it runs");
        let id = rustix::process::Pid::from_child(&process);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        process.wait().expect("it ends");
    }

    /// Takes its memory away.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_file(self.folder.path().join("mosquitto.db"));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Awaits that a look finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}
