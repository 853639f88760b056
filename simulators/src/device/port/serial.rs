//! A real serial port, wired to another one.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use venue_devices::LineSettings;

use super::{Port, PortError, tty};

/// An open serial port. Nobody can know whether anybody listens at the other end of
/// the wire: what the driver takes counts as heard.
#[derive(Debug)]
pub(super) struct Serial {
    fd: OwnedFd,
    path: PathBuf,
    lost: bool,
}

impl Serial {
    pub(super) fn open(path: &Path, line: LineSettings) -> Result<Self, PortError> {
        let open = || {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let fd = rustix::fs::open(path, flags, Mode::empty())?;
            let mut termios = tcgetattr(&fd)?;
            tty::set_raw(&mut termios, line)?;
            tcsetattr(&fd, OptionalActions::Now, &termios)?;
            Ok(fd)
        };
        let mend = "is the adapter plugged in, and is this user in the port's group (often dialout)?";
        let failed = |error: rustix::io::Errno| {
            PortError::new("open the serial port", path.display(), format!("{}; {mend}", std::io::Error::from(error)))
        };
        Ok(Self { fd: open().map_err(failed)?, path: path.to_owned(), lost: false })
    }
}

impl Port for Serial {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        if !self.lost {
            fds.push(PollFd::new(&self.fd, PollFlags::IN));
        }
    }

    fn tick(&self) -> Option<Duration> {
        None
    }

    fn service(&mut self, _now: Duration, input: &mut Vec<u8>) {
        self.lost |= tty::read_available(&self.fd, input).is_err();
    }

    fn is_heard(&self) -> bool {
        !self.lost
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        !self.lost && tty::write_available(&self.fd, bytes) == bytes.len()
    }
}
