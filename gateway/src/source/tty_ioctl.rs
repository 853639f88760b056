//! The requests to a serial driver that no safe wrapper has (ioctl_tty(2),
//! linux/serial.h).
#![expect(unsafe_code, reason = "the kernel fills structures that only these requests know")]

use std::ffi::{c_int, c_uchar, c_uint, c_ulong, c_ushort, c_void};
use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl};

const GET_COUNTERS: Opcode = libc::TIOCGICOUNT as Opcode;
const GET_SERIAL: Opcode = libc::TIOCGSERIAL as Opcode;
const SET_SERIAL: Opcode = libc::TIOCSSERIAL as Opcode;

/// `ASYNC_LOW_LATENCY` of linux/tty_flags.h: hand bytes over as they come. For an
/// FTDI adapter, 1 ms instead of 16.
const LOW_LATENCY: c_int = 1 << 13;

/// `struct serial_icounter_struct`: interrupts counted since the port's driver
/// started.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counters {
    modem_lines: [c_int; 4],
    transfers: [c_int; 2],
    pub(super) frame: c_int,
    pub(super) overrun: c_int,
    pub(super) parity: c_int,
    pub(super) brk: c_int,
    pub(super) buf_overrun: c_int,
    reserved: [c_int; 9],
}

/// `struct serial_struct`; only the flags are of interest.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Serial {
    kind: c_int,
    line: c_int,
    port: c_uint,
    irq: c_int,
    flags: c_int,
    xmit_fifo_size: c_int,
    custom_divisor: c_int,
    baud_base: c_int,
    close_delay: c_ushort,
    io_type: c_uchar,
    reserved: c_uchar,
    hub6: c_int,
    closing_wait: c_ushort,
    closing_wait2: c_ushort,
    iomem_base: *mut c_void,
    iomem_reg_shift: c_ushort,
    port_high: c_uint,
    iomap_base: c_ulong,
}

/// The error counters of a port.
///
/// # Errors
/// If its driver has none; a PTY has none.
pub(super) fn counters(port: impl AsFd) -> Result<Counters> {
    // SAFETY: TIOCGICOUNT writes one `serial_icounter_struct`, whose layout is that of
    // `Counters`, and any bits are valid integers.
    unsafe { ioctl(port, Getter::<GET_COUNTERS, Counters>::new()) }
}

/// Asks the driver to hand bytes over without gathering them first.
///
/// # Errors
/// If the driver has no such setting or does not let this user change it.
pub(super) fn set_low_latency(port: impl AsFd) -> Result<()> {
    // SAFETY: TIOCGSERIAL writes one `serial_struct`, whose layout is that of `Serial`;
    // the pointer in it is the kernel's and is never followed here.
    let mut serial = unsafe { ioctl(&port, Getter::<GET_SERIAL, Serial>::new()) }?;
    serial.flags |= LOW_LATENCY;
    // SAFETY: TIOCSSERIAL reads one `serial_struct`; it is the one the kernel gave, one
    // flag apart.
    unsafe { ioctl(&port, Setter::<SET_SERIAL, Serial>::new(serial)) }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// Sizes of the kernel's structures on a 64-bit machine.
    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!(size_of::<Counters>(), 80);
        assert_eq!(size_of::<Serial>(), 72);
        assert_eq!(std::mem::offset_of!(Serial, flags), 16);
    }

    /// What is no serial port says so instead of being written to.
    #[test]
    fn other_files_are_refused() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(counters(&file).is_err());
        assert!(set_low_latency(&file).is_err());
    }
}
