//! Serial ports: opened by stable name, raw, with damaged bytes marked.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, major, open};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, SpecialCodeIndex, Termios, ioctl_tiocexcl, tcgetattr, tcsetattr,
};
use venue_devices::{LineSettings, Parity};

use super::back_off::BackOff;
use super::line::Line;
use super::transport::{Opening, Transport};
use super::tty_ioctl;

/// An unplugged adapter is back within this.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(2);
const FIRST_BACK_OFF: Duration = Duration::from_millis(200);

/// Device numbers of the near ends of PTYs (Documentation/admin-guide/devices.txt).
const PTY_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// Why a port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("open {port}: {kind}")]
struct SerialError {
    port: String,
    kind: SerialErrorKind,
}

#[derive(Debug)]
enum SerialErrorKind {
    System(Errno),
    Busy,
    NotATty,
    Speed { wanted: u32, given: u32 },
}

impl fmt::Display for SerialErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(Errno::NOENT | Errno::NODEV | Errno::NXIO) => f.write_str(
                "there is no such port; is the adapter plugged in? `venue-gateway ports` lists those there are",
            ),
            Self::System(Errno::ACCESS | Errno::PERM) => {
                f.write_str("not permitted; make the gateway's user a member of the port's group (often dialout)")
            }
            Self::System(error) => std::io::Error::from(*error).fmt(f),
            Self::Busy => f.write_str("another program holds the port; stop it, `fuser` names it"),
            Self::NotATty => f.write_str("this is no serial port"),
            Self::Speed { wanted, given } => {
                write!(f, "the port cannot do {wanted} baud, it would do {given}; use another adapter or speed")
            }
        }
    }
}

impl From<Errno> for SerialErrorKind {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOTTY => Self::NotATty,
            Errno::BUSY | Errno::WOULDBLOCK => Self::Busy,
            error => Self::System(error),
        }
    }
}

/// The transport over a serial port.
#[derive(Debug)]
pub(super) struct Serial {
    /// Best a name in /dev/serial/by-id: resolved at each opening, so an adapter that
    /// comes back under another tty number is found again.
    port: PathBuf,
    /// 7 data bits are 7, all else is 8; 2 stop bits are 2, all else is 1.
    line: LineSettings,
}

impl Serial {
    pub(super) fn new(port: PathBuf, line: LineSettings) -> Self {
        Self { port, line }
    }
}

impl Transport for Serial {
    fn open(&mut self, _now: Duration) -> Opening {
        match open_port(&self.port, self.line) {
            Ok(fd) => Opening::Ready(Line::tty(fd, tty(&self.port))),
            Err(kind) => Opening::Failed(SerialError { port: self.port.display().to_string(), kind }.to_string()),
        }
    }

    fn back_off(&self, seed: u64) -> BackOff {
        BackOff::new(FIRST_BACK_OFF, LONGEST_BACK_OFF, seed)
    }
}

/// The tty behind the stable name, for people.
fn tty(port: &Path) -> String {
    std::fs::canonicalize(port).unwrap_or_else(|_| port.to_owned()).display().to_string()
}

fn open_port(port: &Path, line: LineSettings) -> Result<OwnedFd, SerialErrorKind> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = open(port, flags, Mode::empty())?;
    let termios = tcgetattr(&fd)?;
    claim(fd.as_fd())?;
    set_up(fd.as_fd(), termios, line)?;
    if let Err(error) = tty_ioctl::set_low_latency(&fd) {
        tracing::debug!(port = %port.display(), %error, "the driver has no low-latency mode");
    }
    Ok(fd)
}

/// Makes the port ours: two readers of one tty each get a part of every line.
///
/// The lock ends with the process however it ends. `TIOCEXCL`, which also stops
/// programs that ask for no lock, is for real ports alone: a PTY keeps it while its
/// far end is open, and would not let an ordinary user's gateway back in after a
/// SIGKILL.
fn claim(fd: BorrowedFd<'_>) -> Result<(), SerialErrorKind> {
    flock(fd, FlockOperation::NonBlockingLockExclusive)?;
    if !PTY_MAJORS.contains(&major(fstat(fd)?.st_rdev)) {
        ioctl_tiocexcl(fd)?;
    }
    Ok(())
}

/// Sets the port and checks that it took the speed.
fn set_up(fd: BorrowedFd<'_>, mut termios: Termios, line: LineSettings) -> Result<(), SerialErrorKind> {
    let wanted = line.baud;
    set_modes(&mut termios, line);
    termios.set_speed(wanted)?;
    // At once and without flushing: what the device said before we came is not ours
    // to throw away.
    tcsetattr(fd, OptionalActions::Now, &termios)?;
    let given = tcgetattr(fd)?.input_speed();
    // Drivers take the nearest that they can; a UART bears about 3 %.
    if u64::from(given.abs_diff(wanted)) * 100 > u64::from(wanted) * 3 {
        return Err(SerialErrorKind::Speed { wanted, given });
    }
    Ok(())
}

fn set_modes(termios: &mut Termios, line: LineSettings) {
    termios.make_raw();
    // INPCK even without parity: it is what has framing errors marked, too.
    termios.input_modes |= InputModes::INPCK | InputModes::PARMRK;
    termios.input_modes -= InputModes::IGNPAR | InputModes::IXOFF | InputModes::IXANY;
    // No HUPCL: DTR stays up over a restart, for on some devices its edge is a reset.
    termios.control_modes -= ControlModes::CSIZE
        | ControlModes::PARENB
        | ControlModes::PARODD
        | ControlModes::CMSPAR
        | ControlModes::CSTOPB
        | ControlModes::CRTSCTS
        | ControlModes::HUPCL;
    termios.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL | format_modes(line);
    // With one byte as the least, a read of none means that the port is gone.
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
}

fn format_modes(line: LineSettings) -> ControlModes {
    let data_bits = if line.data_bits == 7 { ControlModes::CS7 } else { ControlModes::CS8 };
    let parity = match line.parity {
        Parity::None => ControlModes::empty(),
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
    };
    let stop_bits = if line.stop_bits == 2 { ControlModes::CSTOPB } else { ControlModes::empty() };
    data_bits | parity | stop_bits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven bits, even parity, two stop bits: what some consoles of swimming pools
    /// speak, and the modes that termios has for it.
    #[test]
    fn settings_are_termios_modes() {
        let line = LineSettings { baud: 9600, data_bits: 7, parity: Parity::Even, stop_bits: 2 };
        assert_eq!(format_modes(line), ControlModes::CS7 | ControlModes::PARENB | ControlModes::CSTOPB);
        assert_eq!(format_modes(LineSettings::eight_n_one(9600)), ControlModes::CS8);
    }

    /// A wrong path says what is wrong and how to mend it.
    #[test]
    fn errors_say_how_to_mend() {
        let error = |port: &str| {
            let line = LineSettings::eight_n_one(9600);
            match Serial::new(port.into(), line).open(Duration::ZERO) {
                Opening::Failed(error) => error,
                _ => panic!("{port} opened"),
            }
        };
        assert!(error("/dev/serial/by-id/none").contains("plugged in"), "{}", error("/dev/serial/by-id/none"));
        assert!(error("/dev/null").contains("no serial port"), "{}", error("/dev/null"));
    }
}
