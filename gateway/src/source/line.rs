//! A line that is up: a descriptor to read and write, without blocking.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::parmrk::MarkDecoder;
use super::state::LineErrors;
use super::tty_ioctl::{Counters, counters};

/// Bytes read from a tty at once; the kernel's own buffer holds 4 KiB.
const TTY_READ_BYTES: usize = 4096;

/// A line.
#[derive(Debug)]
pub(crate) struct Line {
    fd: OwnedFd,
    peer: String,
    tty: Option<TtyErrors>,
}

/// What a tty says about damaged bytes, in the stream and beside it.
#[derive(Debug)]
struct TtyErrors {
    marks: MarkDecoder,
    dropped_bytes: u64,
    /// The driver's counters as they were last taken; none if it has none.
    counted: Option<Counters>,
}

/// What became of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// Bytes came; none of them is left if all were damaged.
    Bytes,
    /// There is nothing to read now.
    WouldBlock,
    /// The line is gone, for this reason.
    Closed(String),
}

impl Line {
    /// A line over a connected, non-blocking socket.
    pub(crate) fn socket(fd: OwnedFd, peer: String) -> Self {
        Self { fd, peer, tty: None }
    }

    /// A line over an open, non-blocking tty that marks damaged bytes.
    pub(super) fn tty(fd: OwnedFd, peer: String) -> Self {
        let counted = counters(&fd).ok();
        Self { fd, peer, tty: Some(TtyErrors { marks: MarkDecoder::default(), dropped_bytes: 0, counted }) }
    }

    /// The other end, for people.
    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether [`take_errors`](Line::take_errors) can ever have any.
    pub(super) fn is_tty(&self) -> bool {
        self.tty.is_some()
    }

    /// Replaces what is in `buffer` by what the line has, at most its capacity.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> ReadOutcome {
        buffer.clear();
        let read = loop {
            let read = match &mut self.tty {
                None => rustix::io::read(&self.fd, spare_capacity(buffer)),
                Some(tty) => tty.read(&self.fd, buffer),
            };
            if read != Err(Errno::INTR) {
                break read;
            }
        };
        match read {
            Ok(0) => ReadOutcome::Closed(self.end_of_file().to_owned()),
            Ok(_) => ReadOutcome::Bytes,
            Err(Errno::AGAIN) => ReadOutcome::WouldBlock,
            Err(error) => ReadOutcome::Closed(self.failure("read", error)),
        }
    }

    /// Writes the beginning of `bytes` and returns how many; 0 if the line takes none
    /// now.
    ///
    /// # Errors
    /// Why the line is gone.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, String> {
        match rustix::io::write(&self.fd, bytes) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(self.failure("write", error)),
        }
    }

    /// Errors counted since the last call.
    pub(crate) fn take_errors(&mut self) -> LineErrors {
        self.tty.as_mut().map(|tty| tty.take(self.fd.as_fd())).unwrap_or_default()
    }

    fn end_of_file(&self) -> &'static str {
        match self.tty {
            Some(_) => "the port is gone; is the adapter still plugged in?",
            None => "the other end closed the connection",
        }
    }

    fn failure(&self, what: &str, error: Errno) -> String {
        match (&self.tty, error) {
            (Some(_), Errno::IO | Errno::NODEV | Errno::NXIO) => self.end_of_file().to_owned(),
            (None, Errno::TIMEDOUT) => {
                "the other end answers no more; is it switched on and its network up?".to_owned()
            }
            _ => format!("{what} failed: {}", std::io::Error::from(error)),
        }
    }
}

impl TtyErrors {
    fn read(&mut self, fd: &OwnedFd, buffer: &mut Vec<u8>) -> rustix::io::Result<usize> {
        let mut marked = [0; TTY_READ_BYTES];
        let count = rustix::io::read(fd, &mut marked)?;
        self.dropped_bytes += self.marks.decode(&marked[..count], buffer);
        Ok(count)
    }

    fn take(&mut self, fd: BorrowedFd<'_>) -> LineErrors {
        let mut errors = LineErrors { dropped_bytes: std::mem::take(&mut self.dropped_bytes), ..LineErrors::default() };
        // An unplugged port counts no more; what it had counted is then lost.
        if let Some(before) = self.counted
            && let Ok(now) = counters(fd)
        {
            errors += since(&before, &now);
            self.counted = Some(now);
        }
        errors
    }
}

/// What was counted between two readings; the kernel's counters wrap.
fn since(before: &Counters, now: &Counters) -> LineErrors {
    let delta = |now: i32, before: i32| u64::from(now.wrapping_sub(before).cast_unsigned());
    LineErrors {
        parity: delta(now.parity, before.parity),
        framing: delta(now.frame, before.frame),
        overrun: delta(now.overrun, before.overrun),
        buffer_overrun: delta(now.buf_overrun, before.buf_overrun),
        breaks: delta(now.brk, before.brk),
        dropped_bytes: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Damaged bytes are dropped where they stood and counted until asked for; a line
    /// that ends says why. A pipe stands for the tty, with the marks that it makes.
    #[test]
    fn damaged_bytes_are_dropped_and_counted() {
        let (read, write) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&read, true).unwrap();
        let (mut line, mut buffer) = (Line::tty(read.into(), "tty".to_owned()), Vec::with_capacity(64));
        assert_eq!(line.read(&mut buffer), ReadOutcome::WouldBlock);
        for part in [&b"10:04\xff\x00x:5"[..], b"5.6\xff", b"\x00", b"y\xff\xff"] {
            rustix::io::write(&write, part).unwrap();
        }
        assert_eq!(line.read(&mut buffer), ReadOutcome::Bytes);
        assert_eq!(buffer, b"10:04:55.6\xff");
        assert_eq!(line.take_errors(), LineErrors { dropped_bytes: 2, ..LineErrors::default() });
        assert!(line.take_errors().is_zero());
        drop(write);
        assert!(matches!(line.read(&mut buffer), ReadOutcome::Closed(why) if why.contains("plugged in")));
    }

    /// Counters are differences, across a wrap of the kernel's too.
    #[test]
    fn counters_are_differences() {
        let mut before = Counters::default();
        (before.parity, before.frame, before.overrun, before.brk, before.buf_overrun) = (3, i32::MAX, 1, 0, 7);
        let mut now = before;
        (now.parity, now.frame, now.brk, now.buf_overrun) = (5, i32::MIN, 1, 11);
        let expected = LineErrors { parity: 2, framing: 1, overrun: 0, buffer_overrun: 4, breaks: 1, dropped_bytes: 0 };
        assert_eq!(since(&before, &now), expected);
    }
}
