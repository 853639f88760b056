//! Tells systemd, or whoever else supervises the gateway by its protocol, how it goes: sd_notify(3).

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// The socket of a supervisor.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that started this process, by `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`; none if there is none.
    pub fn from_environment() -> Option<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let address = variable("NOTIFY_SOCKET")?;
        let socket = connect(&address).inspect_err(|error| {
            tracing::warn!(address = %address.display(), %error, "the socket of NOTIFY_SOCKET cannot be used; nobody is told how it goes");
        });
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Some(Self { socket: socket.ok()?, watchdog })
    }

    /// The time within which it must hear `WATCHDOG=1`; none if it need not.
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it assignments, one a line: `READY=1`. Waits for nothing; what cannot be told now is not told.
    pub fn tell(&self, assignments: &str) {
        if let Err(error) = self.socket.send(assignments.as_bytes()) {
            tracing::debug!(%error, assignments, "the supervisor cannot be told");
        }
    }
}

/// A path, or a name without a file that begins with `@`.
fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor(variables: &[(&str, &str)]) -> Option<Supervisor> {
        let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Supervisor::from_variables(value)
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    /// What is told arrives as it is, at a path and at a name without a file.
    #[test]
    fn a_supervisor_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("venue-gateway-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        for (address, socket) in [(path.to_str().unwrap(), by_path), (&format!("@{name}"), by_name)] {
            let supervisor = supervisor(&[("NOTIFY_SOCKET", address)]).unwrap();
            supervisor.tell("READY=1\nSTATUS=ALL RESULTS UP TO NOW ARE AT THE CENTRE");
            assert_eq!(received(&socket), "READY=1\nSTATUS=ALL RESULTS UP TO NOW ARE AT THE CENTRE");
            drop(socket);
            supervisor.tell("WATCHDOG=1");
        }
    }

    /// The watchdog is this process's, or nobody's; what is no number is no watchdog, what is no socket no supervisor.
    #[test]
    fn a_supervisor_is_who_the_variables_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _socket = UnixDatagram::bind(&path).unwrap();
        let path = path.to_str().unwrap();
        let us = std::process::id().to_string();
        let watchdog = |micros: &str, pid: &str| {
            let pid = Some(("WATCHDOG_PID", pid)).filter(|(_, pid)| !pid.is_empty());
            let variables = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", micros)];
            supervisor(&variables.into_iter().chain(pid).collect::<Vec<_>>()).unwrap().watchdog()
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(watchdog("60000000", ""), minute);
        assert_eq!(watchdog("60000000", &us), minute);
        assert_eq!(watchdog("60000000", "1"), None);
        assert_eq!(watchdog("soon", ""), None);
        assert_eq!(watchdog("0", ""), None);
        assert!(supervisor(&[]).is_none());
        assert!(supervisor(&[("NOTIFY_SOCKET", "/nowhere/at/all")]).is_none());
    }
}
