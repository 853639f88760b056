//! A pseudo terminal: the device at the far end, the gateway at the near end.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use venue_devices::LineSettings;

use super::{Port, PortError, tty};

/// How often a PTY that nobody has open is looked at: the kernel tells of closing,
/// not of opening.
const TICK: Duration = Duration::from_millis(5);

/// How often one that is open is looked at for changed settings, of which the kernel
/// does not tell either.
const SETTINGS_TICK: Duration = Duration::from_millis(20);

/// What a port has that nobody has set yet, as the kernel sets its serial ports.
const FIRST_SETTINGS: LineSettings = LineSettings::eight_n_one(9600);

/// The far end of a PTY, and the symlink to its near end.
#[derive(Debug)]
pub(super) struct Pty {
    master: OwnedFd,
    near: PathBuf,
    link: Option<PathBuf>,
    /// The near end was open when it was last looked at, and is not known to be closed
    /// before what was left in it is thrown away.
    open: bool,
}

impl Pty {
    pub(super) fn open(link: Option<PathBuf>) -> Result<Self, PortError> {
        let failed = |error| PortError::new("open a pseudo terminal at", "/dev/ptmx", error);
        let (master, near) = open_pair().map_err(failed)?;
        let pty = Self { master, near: PathBuf::from(near.to_string_lossy().into_owned()), link, open: false };
        if let Some(link) = &pty.link {
            place_link(link, &pty.near)?;
        }
        Ok(pty)
    }

    /// Throws away what nobody has read. Only the near end can, so it is opened for it.
    fn flush(&self) -> rustix::io::Result<()> {
        let near = rustix::fs::open(&self.near, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        tcflush(&near, QueueSelector::IOFlush)
    }

    /// Whether the near end is closed.
    fn hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::empty())];
        let polled = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        polled.is_err() || fds[0].revents().contains(PollFlags::HUP)
    }
}

fn open_pair() -> rustix::io::Result<(OwnedFd, CString)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    rustix::io::ioctl_fionbio(&master, true)?;
    let near = ptsname(&master, Vec::new())?;
    let mut termios = tcgetattr(&master)?;
    tty::set_raw(&mut termios, FIRST_SETTINGS)?;
    tcsetattr(&master, OptionalActions::Now, &termios)?;
    // Opened and closed once: a near end that was never open does not count as closed.
    drop(rustix::fs::open(&*near, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?);
    Ok((master, near))
}

/// Places a symlink at once, in place of an older one.
fn place_link(link: &Path, target: &Path) -> Result<(), PortError> {
    let failed = |why: &dyn ToString| PortError::new("place the symlink", link.display(), why.to_string());
    match std::fs::symlink_metadata(link) {
        Ok(found) if !found.file_type().is_symlink() => {
            return Err(failed(&"something that is no symlink is there; name another place or remove it"));
        }
        _ => {}
    }
    let mut name = link.file_name().ok_or_else(|| failed(&"a file name is missing"))?.to_owned();
    name.push(".new");
    let beside = link.with_file_name(name);
    let _ = std::fs::remove_file(&beside);
    std::os::unix::fs::symlink(target, &beside).map_err(|error| failed(&error))?;
    std::fs::rename(&beside, link).map_err(|error| failed(&error))
}

impl Port for Pty {
    fn place(&self) -> String {
        self.link.as_ref().unwrap_or(&self.near).display().to_string()
    }

    fn poll_fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        // A hang-up cannot be masked and would wake at once and for ever.
        if self.is_heard() {
            fds.push(PollFd::new(&self.master, PollFlags::IN));
        }
    }

    fn tick(&self) -> Option<Duration> {
        Some(if self.is_heard() { SETTINGS_TICK } else { TICK })
    }

    fn service(&mut self, _now: Duration, input: &mut Vec<u8>) {
        // An error says that nobody has the near end open.
        let open = tty::read_available(&self.master, input).is_ok() && !self.hung_up();
        if self.open && !open {
            // What was written before and not read is not for the next one who opens it.
            let _ = self.flush();
        }
        self.open = open;
    }

    fn is_heard(&self) -> bool {
        self.open
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        !self.hung_up() && tty::write_available(&self.master, bytes) == bytes.len()
    }

    fn far_settings(&self) -> Option<LineSettings> {
        tcgetattr(&self.master).ok().map(|termios| tty::line_settings(&termios))
    }
}

impl Drop for Pty {
    /// Takes the symlink away, if it still leads here.
    fn drop(&mut self) {
        if let Some(link) = &self.link
            && std::fs::read_link(link).is_ok_and(|target| target == self.near)
        {
            let _ = std::fs::remove_file(link);
        }
    }
}
