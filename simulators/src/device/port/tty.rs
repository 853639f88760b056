//! Terminal settings as line settings, and back.

use rustix::io::{Errno, Result};
use rustix::termios::{ControlModes, Termios};
use venue_devices::{LineSettings, Parity};

/// What the settings of a terminal mean on a line.
pub(super) fn line_settings(termios: &Termios) -> LineSettings {
    let modes = termios.control_modes;
    let size = modes & ControlModes::CSIZE;
    let parity = match (modes.contains(ControlModes::PARENB), modes.contains(ControlModes::PARODD)) {
        (false, _) => Parity::None,
        (true, false) => Parity::Even,
        (true, true) => Parity::Odd,
    };
    LineSettings {
        baud: termios.output_speed(),
        data_bits: if size == ControlModes::CS7 { 7 } else { 8 },
        parity,
        stop_bits: if modes.contains(ControlModes::CSTOPB) { 2 } else { 1 },
    }
}

/// Makes settings raw, with a line's speed and format.
///
/// # Errors
/// If the speed cannot be set.
pub(super) fn set_raw(termios: &mut Termios, line: LineSettings) -> Result<()> {
    termios.make_raw();
    let format = ControlModes::CSIZE | ControlModes::PARENB | ControlModes::PARODD | ControlModes::CSTOPB;
    termios.control_modes -= format | ControlModes::CRTSCTS;
    termios.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL | modes_of(line);
    termios.set_speed(line.baud)
}

fn modes_of(line: LineSettings) -> ControlModes {
    let size = if line.data_bits == 7 { ControlModes::CS7 } else { ControlModes::CS8 };
    let parity = match line.parity {
        Parity::None => ControlModes::empty(),
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
    };
    let stop = if line.stop_bits == 2 { ControlModes::CSTOPB } else { ControlModes::empty() };
    size | parity | stop
}

/// Reads what is there; none if there is nothing, an empty slice's count of 0 never.
///
/// # Errors
/// If the other side is gone.
pub(super) fn read_available(fd: impl std::os::fd::AsFd, input: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; super::READ_BYTES];
    loop {
        match rustix::io::read(&fd, &mut buffer) {
            Ok(0) => return Err(Errno::PIPE),
            Ok(count) => {
                input.extend_from_slice(&buffer[..count]);
                if count < buffer.len() {
                    return Ok(());
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Writes what is taken at once; returns how many bytes.
pub(super) fn write_available(fd: impl std::os::fd::AsFd, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(&fd, &bytes[written..]) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    written
}
