//! Serial ports: opened by stable name, raw, with damaged bytes marked.
//!
//! The crate `serialport` opens a port and gives it speed and format; what it has no
//! word for is added on its descriptor before the first read:
//!
//! ```text
//! serialport   raw mode, baud, data bits, parity, stop bits, no flow control
//! here         exclusive lock, TIOCEXCL, marks (INPCK, PARMRK), no HUPCL,
//!              non-blocking reads, low latency, the check of the speed
//! ```
//!
//! # Opening disturbs nothing
//!
//! On Linux `serialport` flushes neither direction: what the device said before we
//! came is not ours to throw away. It leaves DTR and RTS alone, too. The kernel
//! itself raises both when a closed port is opened, which nothing can prevent and
//! which is right for timing devices: without flow control they ignore the two
//! lines, and isolators that draw their power from them need them up.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, major, open};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, SpecialCodeIndex, ioctl_tiocexcl, tcgetattr, tcsetattr,
};
use serialport::{DataBits, FlowControl, SerialPortBuilder, StopBits, TTYPort};
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
pub(crate) struct SerialError {
    port: String,
    kind: SerialErrorKind,
}

impl SerialError {
    /// Whether the port is sound and only cannot do the speed.
    pub(crate) fn is_of_speed(&self) -> bool {
        matches!(self.kind, SerialErrorKind::Speed { .. })
    }
}

#[derive(Debug)]
enum SerialErrorKind {
    System(Errno),
    Busy,
    NotATty,
    /// In the words of `serialport`.
    Other(String),
    Speed {
        wanted: u32,
        given: u32,
    },
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
            Self::Other(words) => f.write_str(words),
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
        match open_line(&self.port, self.line) {
            Ok(line) => Opening::Ready(line),
            Err(error) => Opening::Failed(error.to_string()),
        }
    }

    fn back_off(&self, seed: u64) -> BackOff {
        BackOff::new(FIRST_BACK_OFF, LONGEST_BACK_OFF, seed)
    }
}

/// Opens a port, raw, exclusive and without blocking.
///
/// # Errors
/// Why it could not be opened, and how to mend it.
pub(crate) fn open_line(port: &Path, line: LineSettings) -> Result<Line, SerialError> {
    match open_port(port, line) {
        Ok(fd) => Ok(Line::tty(fd, tty(port))),
        Err(kind) => Err(SerialError { port: port.display().to_string(), kind }),
    }
}

/// The tty behind the stable name, for people.
fn tty(port: &Path) -> String {
    std::fs::canonicalize(port).unwrap_or_else(|_| port.to_owned()).display().to_string()
}

fn open_port(port: &Path, line: LineSettings) -> Result<OwnedFd, SerialErrorKind> {
    let settings = settings(port.to_str().ok_or(Errno::ILSEQ)?, line);
    let fd = settings.open_native().map_err(|error| why(port, error)).map(own)?;
    claim(fd.as_fd())?;
    add_modes(fd.as_fd())?;
    check_speed(fd.as_fd(), line.baud)?;
    // `serialport` opens without blocking, and then has reads block.
    ioctl_fionbio(&fd, true)?;
    if let Err(error) = tty_ioctl::set_low_latency(&fd) {
        tracing::debug!(port = %port.display(), %error, "the driver has no low-latency mode");
    }
    Ok(fd)
}

/// What `serialport` is asked for.
fn settings(port: &str, line: LineSettings) -> SerialPortBuilder {
    let parity = match line.parity {
        Parity::None => serialport::Parity::None,
        Parity::Even => serialport::Parity::Even,
        Parity::Odd => serialport::Parity::Odd,
    };
    serialport::new(port, line.baud)
        .data_bits(if line.data_bits == 7 { DataBits::Seven } else { DataBits::Eight })
        .parity(parity)
        .stop_bits(if line.stop_bits == 2 { StopBits::Two } else { StopBits::One })
        .flow_control(FlowControl::None)
        .preserve_dtr_on_open()
        // A shared lock, and no TIOCEXCL: `claim` does better.
        .exclusive(false)
}

/// Why a port could not be opened. `serialport` names the port that is taken; of
/// other reasons it keeps the words alone, so the system is asked once more.
fn why(port: &Path, error: serialport::Error) -> SerialErrorKind {
    if error.kind == serialport::ErrorKind::NoDevice {
        return SerialErrorKind::Busy;
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match open(port, flags, Mode::empty()).and_then(|fd| tcgetattr(&fd).map(drop)) {
        Err(error) => error.into(),
        Ok(()) => SerialErrorKind::Other(error.description),
    }
}

/// Takes the descriptor out of a port, whose own closing would take `TIOCEXCL` off.
#[expect(unsafe_code, reason = "the port has no safe way to give its descriptor away")]
fn own(port: TTYPort) -> OwnedFd {
    // SAFETY: the descriptor is open, and nobody else's: `into_raw_fd` gives it up.
    unsafe { OwnedFd::from_raw_fd(port.into_raw_fd()) }
}

/// Makes the port ours: two readers of one tty each get a part of every line.
///
/// The lock ends with the process however it ends. `TIOCEXCL`, which also stops
/// programs that ask for no lock, is for real ports alone: a PTY keeps it while its
/// far end is open, and would not let an ordinary user's gateway back in after a
/// SIGKILL. Root passes it by: a second gateway of root's is stopped by the lock, but
/// `serialport` then takes `TIOCEXCL` off as it closes the port.
fn claim(fd: BorrowedFd<'_>) -> Result<(), SerialErrorKind> {
    flock(fd, FlockOperation::NonBlockingLockExclusive)?;
    if !PTY_MAJORS.contains(&major(fstat(fd)?.st_rdev)) {
        ioctl_tiocexcl(fd)?;
    }
    Ok(())
}

/// Adds the modes that `serialport` has no word for.
fn add_modes(fd: BorrowedFd<'_>) -> Result<(), SerialErrorKind> {
    let mut termios = tcgetattr(fd)?;
    // INPCK even without parity: it is what has framing errors marked, too. Without
    // parity `serialport` sets IGNPAR, which would drop such bytes unseen.
    termios.input_modes |= InputModes::INPCK | InputModes::PARMRK;
    termios.input_modes -= InputModes::IGNPAR | InputModes::IXANY;
    // No HUPCL: DTR stays up over a restart, for on some devices its edge is a reset.
    termios.control_modes -= ControlModes::CMSPAR | ControlModes::HUPCL;
    // With one byte as the least, a read of none means that the port is gone.
    termios.special_codes[SpecialCodeIndex::VMIN] = 1;
    termios.special_codes[SpecialCodeIndex::VTIME] = 0;
    // At once and without flushing.
    Ok(tcsetattr(fd, OptionalActions::Now, &termios)?)
}

/// Checks that the port took the speed. Drivers take the nearest that they can; a
/// UART bears about 3 %.
fn check_speed(fd: BorrowedFd<'_>, wanted: u32) -> Result<(), SerialErrorKind> {
    let given = tcgetattr(fd)?.input_speed();
    if u64::from(given.abs_diff(wanted)) * 100 > u64::from(wanted) * 3 {
        return Err(SerialErrorKind::Speed { wanted, given });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seven bits, even parity, two stop bits: what some consoles of swimming pools
    /// speak. A PTY has no such format, so what is asked for is looked at.
    #[test]
    fn settings_are_what_serialport_is_asked_for() {
        let shared = |baud| serialport::new("p", baud).exclusive(false);
        let line = LineSettings { baud: 9600, data_bits: 7, parity: Parity::Even, stop_bits: 2 };
        let asked = shared(9600).data_bits(DataBits::Seven).parity(serialport::Parity::Even).stop_bits(StopBits::Two);
        assert_eq!(settings("p", line), asked);
        let odd = LineSettings { parity: Parity::Odd, ..LineSettings::eight_n_one(31_250) };
        assert_eq!(settings("p", odd), shared(31_250).parity(serialport::Parity::Odd));
        assert_eq!(settings("p", LineSettings::eight_n_one(300)), shared(300));
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
